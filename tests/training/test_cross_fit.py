"""All events train and all events judge: folds, what they choose, and the adapter that ships."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from phaseno_peft.backbone import load_backbone
from phaseno_peft.campaign import Campaign, fold_campaign
from phaseno_peft.cr_lora.blend import shrunk
from phaseno_peft.errors import AdapterError, PhasenoPeftError
from phaseno_peft.evaluation import read_evaluation
from phaseno_peft.evaluation.judge import judge
from phaseno_peft.library import read_adapter
from phaseno_peft.picking import load_adapter
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training import Epoch, TrainedAdapter, TrainingSettings, find_recipe, out_of_fold, train_adapter
from phaseno_peft.training import adapter as adapter_module
from phaseno_peft.training import forgetting as forgetting_module
from phaseno_peft.training.adapter import how_many_folds
from phaseno_peft.training.cross_fit import cross_fit
from phaseno_peft.training.dataset import CampaignDataset, training_events
from phaseno_peft.training.fit import TrainingCallbacks
from phaseno_peft.training.out_of_fold import fit_folds, judge_and_choose, pooled
from phaseno_peft.training.outcome import Outcome, Task
from phaseno_peft.training.settings import FULL_RATE_EVENTS
from tests.training.conftest import LEAN

SHORT = dataclasses.replace(LEAN, epochs=2, windows_per_epoch=2, judged_windows=2)


@pytest.fixture(autouse=True)
def few_forgetting_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    few = forgetting_module.forgetting_windows()[:3]
    monkeypatch.setattr(forgetting_module, "forgetting_windows", lambda: few)


def train_in_folds(
    campaign: Campaign, folder: Path, backbone: Path, folds: int = 2, **options: object
) -> TrainedAdapter:
    return train_adapter(
        "folded",
        campaign,
        folder=folder,
        backbone=backbone,
        folds=folds,
        training=SHORT,
        recipe="se-only",
        **options,  # type: ignore[arg-type]
    )


def test_all_events_train_and_all_are_judged_by_adapters_that_never_saw_them(
    campaign: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    trained = train_in_folds(campaign, tmp_path, small_backbone, on_stage=said.append)
    events = training_events(campaign.stretches())
    made = trained.contract.provenance
    assert (made.train_events, made.validation_events, made.test_events) == (len(events), 0, 0)
    labels = sum(p.usable and p.phase == "P" for s in campaign.stretches() for p in s.picks)
    assert labels - 3 <= trained.scores["adapter"].n_labels("P") <= labels  # an event longer than a window is cut
    about = read_evaluation(trained.folder / "evaluation.json").about
    assert about["folds"]["folds"] == 2
    assert sum(about["folds"]["events"]) == len(events)
    assert about["epoch_kept"] == about["folds"]["epoch"]
    assert [row["epoch"] for row in about["history"]] == [0, 1, 2]
    card = (trained.folder / "README.md").read_text()
    assert "The scores are those of 2 adapters, each on the events it was not trained on" in card
    assert any("training on all 12 events" in line for line in said)
    assert [path.name for path in tmp_path.iterdir()] == ["folded"]
    picker = load_adapter(trained.folder, backbone=small_backbone)
    judged = judge(picker, campaign)
    assert "which it was trained on: these scores flatter" in judged.events


def test_the_report_of_a_training_in_folds_shows_what_each_fold_said_of_events_it_never_saw(
    campaign: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    trained = train_in_folds(campaign, tmp_path / "library", small_backbone, report=report)
    tables = {path.stem: json.loads(path.read_text()) for path in (report / "tables").glob("*.json")}
    about = read_evaluation(trained.folder / "evaluation.json").about
    assert tables["verdict"] == [about["verdict"]]
    assert tables["coverage"] == about["coverage"]
    scored = {row["window"] for row in tables["windows"] if row["in_f1"]}
    for row in tables["scores"]:
        own = trained.scores[row["model"]].phase(row["phase"], row["tolerance_s"])
        assert (row["tp"], row["fp"], row["fn"]) == (own.tp, own.fp, own.fn)
        if row["tolerance_s"] == 0.5:  # each pick at the threshold of the other folds
            listed = [
                pick["outcome"]
                for pick in tables["picks"]
                if (pick["model"], pick["phase"]) == (row["model"], row["phase"]) and pick["window"] in scored
            ]
            assert [listed.count(kind) for kind in ("found", "false", "missed")] == [own.tp, own.fp, own.fn]
    html = (report / "index.html").read_text()
    assert f"Adapter folded on {about['verdict']['evidence']['n_events']} events of its own campaign, out of" in html
    assert "The scores are those of 2 adapters, each on the events it was not trained on" in html
    assert "were chosen on the same predictions" in html
    with pytest.raises(PhasenoPeftError, match="exists already"):
        train_in_folds(campaign, tmp_path / "other", small_backbone, report=report)
    inside = tmp_path / "other" / "folded" / "report"
    with pytest.raises(PhasenoPeftError, match="lies in the adapter's own folder"):
        train_in_folds(campaign, tmp_path / "other", small_backbone, report=inside)
    assert not (tmp_path / "other" / "folded").exists()


def test_the_adapter_that_ships_is_trained_at_the_rates_of_the_folds(
    campaign: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    four = dataclasses.replace(campaign, recordings=campaign.recordings[:4])
    folds, rates = fold_campaign(four, 2, 0), []
    task = Task(
        find_recipe("se-only"), dataclasses.replace(SHORT, epochs=1), small_backbone, "cpu", tmp_path,
        TrainingCallbacks(on_epoch=lambda epoch: rates.append(epoch.learning_rate)),
    )  # fmt: skip
    outcome = cross_fit(task, folds, CampaignDataset(four, folds.whole, [], [], 0))
    assert outcome.fitted.training.rate_factor == 2 / FULL_RATE_EVENTS
    trained = [rate for rate in rates if rate]
    assert len(trained) >= 2
    assert max(trained) <= SHORT.learning_rate * 2 / FULL_RATE_EVENTS
    assert len(set(trained)) == 1


class StoppedError(Exception):
    pass


def parts_of(campaign: Campaign, folder: Path, backbone: Path, on_epoch: Callable[[Epoch], None] | None) -> Outcome:
    """Two folds of four events, without what is written of them."""
    four = dataclasses.replace(campaign, recordings=campaign.recordings[:4])
    callbacks = TrainingCallbacks(on_epoch=on_epoch)
    task = Task(find_recipe("se-only"), SHORT, backbone, "cpu", folder, callbacks)
    folds = fold_campaign(four, 2, 0)
    return cross_fit(task, folds, CampaignDataset(four, folds.whole, [], [], 0))


def test_a_stopped_cross_fitting_goes_on_fold_by_fold_and_ends_the_same(
    campaign: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    whole = parts_of(campaign, tmp_path / "whole", small_backbone, None)
    begun: list[Epoch] = []

    def stop(epoch: Epoch) -> None:
        begun.append(epoch)
        if len(begun) == 5:  # the second fold's first epoch
            raise StoppedError

    with pytest.raises(StoppedError):
        parts_of(campaign, tmp_path / "stopped", small_backbone, stop)
    seen: list[Epoch] = []
    again = parts_of(campaign, tmp_path / "stopped", small_backbone, seen.append)
    assert len(seen) == 1 + again.fitted.kept + 1  # the rest of the second fold, and the training on all events
    for a, b in zip(whole.fitted.model.parameters(), again.fitted.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert again.adapter.test.to_json() == whole.adapter.test.to_json()
    assert (again.thresholds, again.about) == (whole.thresholds, whole.about)


@pytest.mark.slow  # two processes that load everything anew
def test_folds_side_by_side_give_the_same_adapter(campaign: Campaign, small_backbone: Path, tmp_path: Path) -> None:
    one = train_in_folds(campaign, tmp_path / "one", small_backbone)
    two = train_in_folds(campaign, tmp_path / "two", small_backbone, at_once=2)
    assert two.scores["adapter"].to_json() == one.scores["adapter"].to_json()
    first, second = (read_adapter(each.folder).contract.tensors_sha256 for each in (one, two))
    assert first == second


def test_events_that_cannot_be_parted_give_the_shift_alone_and_the_card_says_so(
    campaign: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    one = dataclasses.replace(campaign, recordings=campaign.recordings[:1])
    assert len(training_events(one.stretches())) == 1
    said: list[str] = []

    def fails(*_: object, **__: object) -> None:
        raise OSError("no space left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter_module, "write_report", fails)
        with pytest.raises(PhasenoPeftError, match=r"no space left The adapter itself is written.*without training"):
            train_in_folds(one, tmp_path / "library", small_backbone, folds=4, report=tmp_path / "report")
    trained = train_in_folds(
        one, tmp_path / "library", small_backbone, folds=4, report=tmp_path / "report", on_stage=said.append
    )
    assert not (tmp_path / "library" / ".training").exists()
    card = (trained.folder / "README.md").read_text()
    assert "No event could be held out" in card
    assert "## Scores on the events that chose its thresholds" in card
    assert read_evaluation(trained.folder / "evaluation.json").about["side"].endswith("which chose its thresholds")
    html = (tmp_path / "report" / "index.html").read_text()
    assert "1 event of its own campaign, which it was trained on" in html
    assert "No event could be held out" in html
    assert read_evaluation(trained.folder / "evaluation.json").about["folds"]["factor"] == 0.0
    gates = [t for key, t in read_adapter(trained.folder).tensors.items() if ".crlora_up" in key]
    assert gates
    assert not any(bool(t.any()) for t in gates)


def test_an_update_that_is_no_better_at_the_thresholds_of_other_folds_is_not_kept(
    campaign: Campaign, small_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    four = dataclasses.replace(campaign, recordings=campaign.recordings[:4])
    folds = fold_campaign(four, 2, 0)
    task = Task(find_recipe("se-only"), SHORT, small_backbone, "cpu", tmp_path, TrainingCallbacks())
    found = fit_folds(task, folds, CampaignDataset(four, folds.whole, [], [], 0))
    assert found.factor > 0
    trained = found.probabilities()
    frozen = load_backbone(small_backbone)
    start = [window_probabilities(frozen, d.validation, d.edge_limit_km) for d in found.datasets]
    for better, n_kept, said in ((0.9, found.kept, trained), (0.1, 0, start)):
        values = iter((0.5, 1 - better))  # of what was trained, then of the constant shift alone
        monkeypatch.setattr(out_of_fold, "mean_score", lambda _, values=values: next(values))
        chosen, probabilities, (scores, _, _) = judge_and_choose(found)
        assert (chosen.kept, chosen.factor > 0) == (n_kept, n_kept > 0)
        for own, expected in zip(probabilities, said, strict=True):
            np.testing.assert_allclose(np.concatenate(own), np.concatenate(expected), atol=1e-6)
        for one, own, dataset in zip(chosen.fits, said, chosen.datasets, strict=True):  # the models are left so
            now = window_probabilities(one.model, dataset.validation, dataset.edge_limit_km)
            np.testing.assert_allclose(np.concatenate(now), np.concatenate(own), atol=1e-6)
        assert scores.test.n_labels("P") > 0


def test_a_phase_without_labels_is_left_out_of_every_loss_that_chooses(
    campaign: Campaign, small_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = tuple(
        dataclasses.replace(event, picks=tuple(pick for pick in event.picks if pick.phase == "P"))
        for event in campaign.catalogue.events
    )
    four = dataclasses.replace(
        campaign,
        recordings=campaign.recordings[:4],
        catalogue=dataclasses.replace(campaign.catalogue, events=events),
    )
    folds = fold_campaign(four, 2, 0)
    task = Task(find_recipe("se-only"), SHORT, small_backbone, "cpu", tmp_path, TrainingCallbacks())
    monkeypatch.setattr(out_of_fold, "FACTORS", (1e-9,))  # the frozen network, judged apart from the training
    monkeypatch.setattr(out_of_fold, "best_epoch", lambda history, _: len(history) - 1)
    found = fit_folds(task, folds, CampaignDataset(four, folds.whole, [], [], 0))
    assert all(one.labelled == {"P"} for one in found.fits)
    none, next_to_none, _ = found.choices
    assert next_to_none.loss == pytest.approx(none.loss, rel=1e-4)


def test_a_part_of_the_update_lies_between_the_frozen_network_and_the_adapter(
    dataset: CampaignDataset, small_backbone: Path
) -> None:
    model = find_recipe("cr-lora").model(load_backbone(small_backbone), 0)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in trainable.values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    whole = {name: p.detach().clone() for name, p in trainable.items()}

    def curves(factor: float) -> np.ndarray:
        with torch.no_grad():
            for name, tensor in shrunk(whole, factor).items():
                trainable[name].copy_(tensor)
        return window_probabilities(model, dataset.test[:1], 30.0)[0]

    with model.disable_adapter():  # type: ignore[operator]
        frozen = window_probabilities(model, dataset.test[:1], 30.0)[0]
    np.testing.assert_allclose(curves(0.0), frozen, atol=1e-6)
    distances = [float(np.abs(curves(factor) - frozen).mean()) for factor in (0.25, 0.5, 1.0)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_histories_are_pooled_by_labels_over_the_epochs_that_all_have() -> None:
    def epoch(number: int, loss: float, f1: float) -> Epoch:
        return Epoch(number, 1.0 if number else None, loss, f1, f1, f1, 0.1, 2.0)

    found = pooled([[epoch(0, 1.0, 0.2), epoch(1, 0.5, 0.4)], [epoch(0, 3.0, 0.6)]], [30, 10])
    assert len(found) == 1
    assert found[0].validation_loss == pytest.approx(1.5)
    assert found[0].validation_score == pytest.approx(0.3)
    assert (found[0].train_loss, found[0].seconds) == (None, 4.0)


def test_folds_are_the_default_where_events_are_few_and_options_that_need_a_test_side_keep_it(
    campaign: Campaign,
) -> None:
    assert how_many_folds("auto", campaign, TrainingSettings()) == 4
    assert how_many_folds("3", campaign, TrainingSettings()) == 3
    assert how_many_folds(0, campaign, TrainingSettings()) == 0
    assert how_many_folds("auto", campaign, TrainingSettings(), sets_aside=True) == 0
    assert how_many_folds("auto", campaign, TrainingSettings(max_minutes=3.0)) == 0
    many = dataclasses.replace(campaign, recordings=())
    assert how_many_folds("auto", many, TrainingSettings()) == 4
    for wrong in (1, -2, "many", "1"):
        with pytest.raises(AdapterError, match="should be 'auto', 0 or at least 2"):
            how_many_folds(wrong, campaign, TrainingSettings())
    with pytest.raises(AdapterError, match="does not go with several seeds"):
        how_many_folds(4, campaign, TrainingSettings(), sets_aside=True)
