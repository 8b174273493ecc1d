"""The training loop and what is made of a campaign."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StemConfig, fingerprint, load_backbone, save_backbone
from phaseno_peft.campaign import Campaign, Window, augment, split_campaign
from phaseno_peft.errors import AdapterError, CampaignError
from phaseno_peft.evaluation import read_evaluation
from phaseno_peft.library import read_adapter
from phaseno_peft.picking import load_adapter
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training import Epoch, TrainingSettings, find_recipe, train, train_adapter
from phaseno_peft.training import forgetting as forgetting_module
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.loop import judged, masked_loss, seeded
from phaseno_peft.training.provenance import on_extrema
from tests.campaign.test_conventions import PLACES_S, delivery
from tests.training.conftest import LEAN


def adapted(backbone: Path, seed: int = 0) -> torch.nn.Module:
    return find_recipe("cr-lora").model(load_backbone(backbone), seed)


def run(dataset: CampaignDataset, model: torch.nn.Module, **changes: object) -> tuple[list[Epoch], int]:
    settings = dataclasses.replace(LEAN, **changes)  # type: ignore[arg-type]
    sampler = dataset.sampler(dataset.split.train, 0)
    return train(model, sampler, dataset.validation, dataset.edge_limit_km, settings)


def test_masked_loss_ignores_unknown_samples() -> None:
    logits, targets = torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)
    known = torch.zeros(1, 2, 4, dtype=torch.bool)
    assert masked_loss(logits, targets, known, 5.0) == 0
    known[0, 0, 0] = True
    logits[0, 0, 1:] = 100.0  # wrong, but unknown
    assert float(masked_loss(logits, targets, known, 5.0)) == pytest.approx(math.log(2))
    targets[0, 0, 0] = 1.0
    assert float(masked_loss(logits, targets, known, 5.0)) == pytest.approx(5 * math.log(2))


def test_training_lowers_the_loss_and_leaves_the_backbone_alone(dataset: CampaignDataset, small_backbone: Path) -> None:
    model = adapted(small_backbone)
    before = fingerprint(model.get_base_model())  # type: ignore[operator]
    history, kept = run(dataset, model, epochs=3, windows_per_epoch=8)
    assert fingerprint(model.get_base_model()) == before  # type: ignore[operator]
    assert history[-1].validation_loss < 0.9 * history[0].validation_loss
    assert kept > 0
    assert [epoch.epoch for epoch in history] == [0, 1, 2, 3]
    assert history[1].learning_rate > history[-1].learning_rate


@pytest.mark.parametrize("phase", ["P", "S"])
def test_a_phase_that_nobody_labelled_stays_what_the_frozen_network_says(
    campaign: Campaign, small_backbone: Path, phase: str
) -> None:
    events = tuple(
        dataclasses.replace(event, picks=tuple(pick for pick in event.picks if pick.phase == phase))
        for event in campaign.catalogue.events
    )
    half = dataclasses.replace(campaign, catalogue=dataclasses.replace(campaign.catalogue, events=events))
    dataset, model = CampaignDataset.of(half, 0), adapted(small_backbone)

    def mean_of_phases() -> np.ndarray:
        found = window_probabilities(model, dataset.test, dataset.edge_limit_km)
        return np.concatenate(found).mean(axis=(0, 2))

    frozen = mean_of_phases()
    history, _ = run(dataset, model, epochs=4, windows_per_epoch=16, learning_rate=0.02, keep_epoch=4)
    change = abs(mean_of_phases() / frozen - 1)
    taught, other = ("P", "S").index(phase), ("S", "P").index(phase)
    assert change[taught] > 0.5  # most of the record is noise
    assert change[other] < 0.1
    assert history[-1].validation_loss < history[0].validation_loss  # of the labelled phase alone


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(
    dataset: CampaignDataset, small_backbone: Path
) -> None:
    def trained(seed: int) -> list[np.ndarray]:
        model = adapted(small_backbone)
        run(dataset, model, epochs=1, seed=seed)
        return [p.detach().numpy().copy() for p in model.parameters() if p.requires_grad]

    first, again, other = trained(0), trained(0), trained(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_model_is_left_at_the_kept_epoch(dataset: CampaignDataset, small_backbone: Path) -> None:
    model = adapted(small_backbone)
    history, kept = run(dataset, model, epochs=3, learning_rate=0.1)
    loss, *f1 = judged(model, dataset.validation, 30.0, TrainingSettings())
    assert loss == history[kept].validation_loss
    assert f1 == [history[kept].validation_f1_P, history[kept].validation_f1_S, history[kept].validation_f1_close]
    assert len({e.validation_loss for e in history}) == len(history)


def test_a_loss_that_is_no_number_ends_training_and_keeps_what_was_good(
    dataset: CampaignDataset, small_backbone: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = adapted(small_backbone)
    history, kept = run(dataset, model, epochs=3, learning_rate=1e6, clip_norm=1e9)
    assert "the loss became nan" in caplog.text
    assert math.isfinite(history[kept].validation_loss)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters() if p.requires_grad)


def test_early_stopping_and_the_time_limit_end_training(dataset: CampaignDataset, small_backbone: Path) -> None:
    history, _ = run(dataset, adapted(small_backbone), epochs=50, learning_rate=3.0, patience=1)
    assert len(history) - 1 < 20
    history, _ = run(dataset, adapted(small_backbone), epochs=50, max_minutes=1e-3)
    assert len(history) - 1 == 1


def test_a_campaign_becomes_an_adapter_with_everything_it_promises(
    campaign: Campaign, adapter_home: Path, small_backbone: Path
) -> None:
    folder = adapter_home / "adapters" / "tiny-ohio"
    contract = read_adapter(folder).contract
    split = split_campaign(campaign, 0)
    made = contract.provenance
    assert made.split_sha256 == split.sha256()
    assert (made.train_events, made.validation_events, made.test_events) == tuple(
        len({e for s in side for e in s.event_ids}) for side in (split.train, split.validation, split.test)
    )
    assert contract.backbone_fingerprint == fingerprint(load_backbone(small_backbone))
    assert set(contract.thresholds) == set(contract.uncertainty_factor) == {"P", "S"}
    evaluation = read_evaluation(folder / "evaluation.json")
    assert list(evaluation.scores) == ["frozen", "frozen, offset removed", "adapter"]
    assert evaluation.about["n_trainable"] == sum(t.numel() for t in read_adapter(folder).tensors.values())
    for figure in ("record_section", "scores", "residuals", "tolerance", "training"):
        assert (folder / "figures" / f"{figure}.png").stat().st_size > 10_000
    assert json.loads((folder / "adapter_config.json").read_text())["peft_type"] == "CRLORA"


def test_labels_seeds_quick_and_forgetting_are_written_down(
    campaign: Campaign, small_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = forgetting_module.forgetting_windows()[:6]
    monkeypatch.setattr(forgetting_module, "forgetting_windows", lambda: few)
    messages: list[str] = []
    trained = train_adapter(
        "few-labels",
        campaign,
        folder=tmp_path,
        backbone=small_backbone,
        recipe="se-only",
        training=dataclasses.replace(LEAN, epochs=1, windows_per_epoch=2),
        labels=3,
        seeds=2,
        quick=True,
        label_convention="peak",
        report=tmp_path / "report",
        on_stage=messages.append,
    )
    about = read_evaluation(trained.folder / "evaluation.json").about
    assert json.loads((tmp_path / "report" / "tables" / "verdict.json").read_text()) == [about["verdict"]]
    assert "events of its own campaign, held out of training" in (tmp_path / "report" / "index.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few-labels", "report"]  # nothing of the checkpoints
    made = read_adapter(trained.folder).contract.provenance
    assert (made.train_events, made.train_windows) == (3, 2)
    assert load_adapter(trained.folder, backbone=small_backbone).active_adapter == "few-labels"
    assert "the labels of 3 were used" in made.split
    assert made.split_sha256 == split_campaign(campaign, 0).sha256()
    assert (about["recipe"], about["labelled_events"], about["quick"]) == ("se-only", 3, True)
    assert [one["seed"] for one in about["seeds"]] == [0, 1]
    best = max(about["seeds"], key=lambda one: (one["validation_score"], -one["validation_loss"]))
    assert about["training"]["seed"] in (0, 1)
    assert about["training"]["keeps_polarity"] is True  # the labels are said to sit on peaks
    assert best["validation_score"] - about["seeds"][about["training"]["seed"]]["validation_score"] <= 0.2
    forgetting = about["forgetting"]
    assert forgetting["switched_off_equals_backbone"] is True
    assert forgetting["frozen"]["P"]["0.5"]["n_labels"] == forgetting["adapter"]["P"]["0.5"]["n_labels"] > 0
    card = (trained.folder / "README.md").read_text()
    for part in ("What was forgotten", "bit for bit", "Trained with --quick", "best of 2 seeds"):
        assert part in card
    assert any("--quick" in line for line in messages)


@pytest.mark.parametrize(("picks_on", "expected"), [("onset", False), ("peak", True), ("trough", True)])
def test_labels_on_peaks_and_troughs_are_recognised_and_what_is_said_goes_before(picks_on: str, expected: bool) -> None:
    delivered = delivery(PLACES_S[picks_on])
    assert on_extrema(delivered, delivered.stretches()) is expected
    assert on_extrema(delivered, delivered.stretches(), "onset") is False
    assert on_extrema(delivered, delivered.stretches(), "trough") is True


def test_a_training_on_peaks_reverses_no_station(
    dataset: CampaignDataset, small_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reversed_stations: list[int] = []

    def noting(rng: np.random.Generator, window: Window) -> Window:
        reversed_stations.append(len(window.station_ids))
        return window

    monkeypatch.setattr(augment, "flip_polarity", noting)
    run(dataset, adapted(small_backbone), epochs=1, keeps_polarity=True)
    assert not reversed_stations
    run(dataset, adapted(small_backbone), epochs=1)
    assert reversed_stations


@pytest.mark.parametrize(
    ("stem", "tensors_of_it", "said"),
    [("last", 5, "its last convolution and output"), ("full", 23, "all its convolutions")],
)
def test_an_adapter_of_the_stem_is_trained_written_and_picked_with(
    stem: str, tensors_of_it: int, said: str, campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = forgetting_module.forgetting_windows()[:3]
    monkeypatch.setattr(forgetting_module, "forgetting_windows", lambda: few)
    torch.manual_seed(0)
    model = PhaseNO(PhaseNOConfig(width=8, modes=6, stem=StemConfig(channels=2, levels=3)))
    model.skip.data.fill_(0.4)
    backbone = save_backbone(model, tmp_path / "with-stem", "with-stem", {"P": 0.3, "S": 0.3})
    trained = train_adapter(
        "ears",
        campaign,
        folder=tmp_path / "adapters",
        backbone=backbone,
        recipe=f"cr-lora+stem-{stem}",
        folds=0,
        training=dataclasses.replace(LEAN, epochs=1, windows_per_epoch=2),
    )
    tensors = read_adapter(trained.folder).tensors
    of_stem = {key: tensor for key, tensor in tensors.items() if ".stem." in key}
    assert len(of_stem) == tensors_of_it  # weight and bias of each layer, and the factors
    if read_evaluation(trained.folder / "evaluation.json").about["epoch_kept"]:
        assert all(bool(tensor.any()) for tensor in of_stem.values())
    picker = load_adapter(trained.folder, backbone=backbone)
    assert picker.active_adapter == "ears"
    assert f"stem adapted ({said})" in (trained.folder / "README.md").read_text()


def test_the_adapters_start_values_come_from_the_seed_and_from_nothing_else(small_backbone: Path) -> None:
    def start(seed: int, noise: int) -> list[np.ndarray]:
        torch.manual_seed(noise)
        return [p.detach().numpy() for p in adapted(small_backbone, seed).parameters() if p.requires_grad]

    first, again, other = start(0, 1), start(0, 2), start(1, 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_seeded_random_numbers_leave_those_outside_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1, 2):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(1, 2):
        assert torch.equal(torch.rand(3), inside)


def test_a_recipe_that_makes_no_adapter_is_refused_before_training(
    campaign: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    with pytest.raises(AdapterError, match=r"recipe 'full' makes no CR-LoRA adapter.*phaseno-peft compare"):
        train_adapter("all-weights", campaign, folder=tmp_path, recipe="full")
    with pytest.raises(CampaignError, match="99 labelled events are asked for, the training side has 7"):
        train_adapter("many-labels", campaign, folder=tmp_path, labels=99)
    with pytest.raises(AdapterError, match=r"also adapts a stem .* has none"):
        train_adapter("a-stem", campaign, folder=tmp_path, recipe="cr-lora+stem", backbone=small_backbone)
    assert not list(tmp_path.iterdir())


def test_a_taken_name_is_refused_before_training(campaign: Campaign, adapter_home: Path) -> None:
    with pytest.raises(AdapterError, match="exists already"):
        train_adapter("tiny-ohio", campaign, folder=adapter_home / "adapters", backbone="no such backbone is read")


def test_too_few_events_are_refused_before_training(campaign: Campaign, tmp_path: Path) -> None:
    few = dataclasses.replace(campaign, recordings=campaign.recordings[:4])
    with pytest.raises(CampaignError, match="three sides need 6"):
        train_adapter("few-events", few, folder=tmp_path, folds=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_adapter_of_a_simulated_campaign_beats_the_frozen_backbone_on_the_validation_loss(
    campaign: Campaign, tmp_path: Path
) -> None:
    trained = train_adapter("ohio-real", campaign, folder=tmp_path, training=TrainingSettings(epochs=4), folds=0)
    assert trained.n_trainable == 85_426  # arXiv 2512.13197: about 85,000
    assert min(e.validation_loss for e in trained.history[1:]) < trained.history[0].validation_loss


@pytest.mark.slow
def test_a_real_campaign_trains_from_its_files(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "campaigns" / "iceland-vt"
    campaign = Campaign.read(source / "waveforms", source / "stations.xml", source / "picks.xml", name="iceland-vt")
    trained = train_adapter("iceland-vt", campaign, folder=tmp_path, training=TrainingSettings(epochs=2), folds=0)
    offset = trained.contract.label_offset["P"].median_s
    assert offset is not None
    assert 0.05 < offset < 0.11  # data/campaigns/iceland-vt/README.md: about 0.08 s early
    assert trained.scores["adapter"].n_labels("P") > 20
