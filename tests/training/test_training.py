"""The training loop and what is made of a campaign."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from phaseno_peft.backbone import fingerprint, load_backbone
from phaseno_peft.campaign import Campaign, WindowSampler, split_campaign
from phaseno_peft.cr_lora import CRLoraConfig
from phaseno_peft.errors import AdapterError, CampaignError
from phaseno_peft.evaluation import read_evaluation
from phaseno_peft.evaluation.judge import validation_windows
from phaseno_peft.library import read_adapter
from phaseno_peft.training import TrainingSettings, train, train_adapter
from phaseno_peft.training.course import Epoch, best_epoch
from phaseno_peft.training.loop import judged, masked_loss


@pytest.fixture(scope="module")
def campaign(campaign_folder: Path) -> Campaign:
    return Campaign.read(
        campaign_folder / "waveforms", campaign_folder / "stations.xml", campaign_folder / "picks.xml", name="ohio"
    )


def adapted(backbone: Path, seed: int = 0) -> torch.nn.Module:
    from peft import get_peft_model

    torch.manual_seed(seed)
    return get_peft_model(load_backbone(backbone), CRLoraConfig())


def run(campaign: Campaign, model: torch.nn.Module, **changes: object) -> tuple[list[Epoch], int]:
    split = split_campaign(campaign, 0)
    sampler = WindowSampler(split.train, campaign.frame, campaign.preprocessing, 0)
    validation = validation_windows(split, campaign.frame, campaign.preprocessing, 0)
    settings = TrainingSettings(**{"epochs": 3, "learning_rate": 0.01, **changes})  # type: ignore[arg-type]
    return train(model, sampler, validation, 30.0, settings)


def test_masked_loss_ignores_unknown_samples() -> None:
    logits, targets = torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)
    known = torch.zeros(1, 2, 4, dtype=torch.bool)
    assert masked_loss(logits, targets, known, 5.0) == 0
    known[0, 0, 0] = True
    logits[0, 0, 1:] = 100.0  # wrong, but unknown
    assert float(masked_loss(logits, targets, known, 5.0)) == pytest.approx(math.log(2))
    targets[0, 0, 0] = 1.0
    assert float(masked_loss(logits, targets, known, 5.0)) == pytest.approx(5 * math.log(2))


def test_training_lowers_the_loss_and_leaves_the_backbone_alone(campaign: Campaign, small_backbone: Path) -> None:
    model = adapted(small_backbone)
    before = fingerprint(model.get_base_model())  # type: ignore[operator]
    history, kept = run(campaign, model, epochs=4)
    assert fingerprint(model.get_base_model()) == before  # type: ignore[operator]
    assert history[-1].validation_loss < 0.9 * history[0].validation_loss
    assert kept > 0
    assert [epoch.epoch for epoch in history] == [0, 1, 2, 3, 4]
    assert history[1].learning_rate > history[-1].learning_rate


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(
    campaign: Campaign, small_backbone: Path
) -> None:
    def trained(seed: int) -> list[np.ndarray]:
        model = adapted(small_backbone)
        run(campaign, model, epochs=1, seed=seed)
        return [p.detach().numpy().copy() for p in model.parameters() if p.requires_grad]

    first, again, other = trained(0), trained(0), trained(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_model_is_left_at_the_kept_epoch(campaign: Campaign, small_backbone: Path) -> None:
    model = adapted(small_backbone)
    history, kept = run(campaign, model, epochs=3, learning_rate=0.1)
    validation = validation_windows(split_campaign(campaign, 0), campaign.frame, campaign.preprocessing, 0)
    loss, *f1 = judged(model, validation, 30.0, TrainingSettings())
    assert loss == history[kept].validation_loss
    assert f1 == [history[kept].validation_f1_P, history[kept].validation_f1_S, history[kept].validation_f1_close]
    assert len({e.validation_loss for e in history}) == len(history)


def test_a_loss_that_is_no_number_ends_training_and_keeps_what_was_good(
    campaign: Campaign, small_backbone: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = adapted(small_backbone)
    history, kept = run(campaign, model, epochs=3, learning_rate=1e6, clip_norm=1e9)
    assert "the loss became nan" in caplog.text
    assert math.isfinite(history[kept].validation_loss)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters() if p.requires_grad)


def epoch(number: int, f1: float, loss: float) -> Epoch:
    return Epoch(number, 0.1, loss, f1, f1, f1, 1e-3, 1.0)


def test_scores_closer_than_one_pick_are_told_apart_by_the_loss() -> None:
    history = [epoch(0, 0.50, 0.10), epoch(1, 0.80, 0.08), epoch(2, 0.79, 0.05), epoch(3, 0.60, 0.01)]
    assert best_epoch(history, one_pick=0.02) == 2
    assert best_epoch(history, one_pick=0.001) == 1


def test_early_stopping_and_the_time_limit_end_training(campaign: Campaign, small_backbone: Path) -> None:
    history, _ = run(campaign, adapted(small_backbone), epochs=50, learning_rate=3.0, patience=1)
    assert len(history) - 1 < 20
    history, _ = run(campaign, adapted(small_backbone), epochs=50, max_minutes=1e-3)
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


def test_a_taken_name_is_refused_before_training(campaign: Campaign, adapter_home: Path) -> None:
    with pytest.raises(AdapterError, match="exists already"):
        train_adapter("tiny-ohio", campaign, folder=adapter_home / "adapters", backbone="no such backbone is read")


def test_too_few_events_are_refused_before_training(campaign: Campaign, tmp_path: Path) -> None:
    few = dataclasses.replace(campaign, recordings=campaign.recordings[:4])
    with pytest.raises(CampaignError, match="split needs"):
        train_adapter("few-events", few, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_adapter_of_a_simulated_campaign_beats_the_frozen_backbone_on_the_validation_loss(
    campaign: Campaign, tmp_path: Path
) -> None:
    trained = train_adapter("ohio-real", campaign, folder=tmp_path, training=TrainingSettings(epochs=4))
    assert trained.n_trainable == 85_426  # arXiv 2512.13197: about 85,000
    assert min(e.validation_loss for e in trained.history[1:]) < trained.history[0].validation_loss


@pytest.mark.slow
def test_a_real_campaign_trains_from_its_files(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "campaigns" / "iceland-vt"
    campaign = Campaign.read(source / "waveforms", source / "stations.xml", source / "picks.xml", name="iceland-vt")
    trained = train_adapter("iceland-vt", campaign, folder=tmp_path, training=TrainingSettings(epochs=2))
    offset = trained.contract.label_offset["P"].median_s
    assert offset is not None
    assert 0.05 < offset < 0.11  # data/campaigns/iceland-vt/README.md: about 0.08 s early
    assert trained.scores["adapter"].n_labels("P") > 20
