"""The constant part of a catalogue's convention, measured on the frozen network's picks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phaseno_peft.backbone import load_backbone
from phaseno_peft.campaign import Campaign, with_moved_labels
from phaseno_peft.evaluation import Predictions, read_evaluation, score, score_at_thresholds_of
from phaseno_peft.evaluation.judge import judge
from phaseno_peft.library import read_adapter
from phaseno_peft.picking import load_adapter
from phaseno_peft.simulation import simulate_campaign
from phaseno_peft.simulation.analyst import clear_extremum
from phaseno_peft.training import TrainingSettings, find_recipe, train, train_adapter
from phaseno_peft.training import forgetting as forgetting_module
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import fit
from phaseno_peft.training.loop import judged
from phaseno_peft.training.pick_shift import PickShift, describe, measure_pick_shift, pick_shift_of, shifts_s
from tests.evaluation.handmade_windows import probability, window
from tests.training.conftest import LEAN, read

THRESHOLDS = {"P": 0.3, "S": 0.3}


def arrivals_of(convention: str, n: int, seed: int) -> Predictions:
    """A network that picks onsets to 10 ms, and an analyst of arrivals of 0.1 to 0.3 s, most of them up."""
    rng = np.random.default_rng(seed)
    windows, found = [], []
    for _ in range(n):
        labels, picks = {}, {}
        for station, phase, onset in ((0, "P", 300), (0, "S", 600)):
            late_s = (np.arange(1000) - onset) / 100.0
            wave = np.where(late_s >= 0, np.exp(-3 * late_s) * np.sin(2 * np.pi * rng.uniform(3.3, 10.0) * late_s), 0.0)
            at_s = onset / 100.0 + 0.12
            if convention != "onset":
                at_s = clear_extremum(
                    rng.choice([-1, 1], p=(0.2, 0.8)) * wave, onset / 100.0, 100.0, convention, phase="PS".index(phase)
                )
            labels[station, phase], picks[station, phase] = [100 * at_s], [onset + rng.normal(0.0, 1.0)]
        windows.append(window(labels))
        found.append(probability(picks))
    return Predictions(windows, found)


@pytest.mark.parametrize(
    ("convention", "low_s", "high_s"), [("onset", 0.11, 0.13), ("peak", 0.02, 0.08), ("trough", 0.02, 0.14)]
)
def test_the_shift_of_every_analyst_is_found_and_holds_on_other_events(
    convention: str, low_s: float, high_s: float
) -> None:
    shift_s = shifts_s(pick_shift_of(score(*arrivals_of(convention, 60, 0), THRESHOLDS)))
    others = arrivals_of(convention, 200, 1)
    before = score(*others, THRESHOLDS)
    after = score(with_moved_labels(others.windows, shift_s), others.probabilities, THRESHOLDS)
    for phase in "PS":
        assert low_s < shift_s[phase] < high_s
        assert abs(after.phase(phase).residual_median_s) < 0.015 < -before.phase(phase).residual_median_s


def measured(offsets_samples: list[float]) -> PickShift:
    """The shift of P where label - pick is this."""
    windows = [window({(0, "P"): [300.0 + offset]}) for offset in offsets_samples]
    return pick_shift_of(score(windows, [probability({(0, "P"): [300.0]})] * len(windows), THRESHOLDS))["P"]


def test_few_scattered_or_insignificant_picks_give_no_shift_and_say_why() -> None:
    nothing = pick_shift_of(score([window({(0, "P"): [300.0]})], [probability({})], THRESHOLDS))["P"]
    assert (nothing.n, nothing.shift_s) == (0, 0.0)
    assert "no pick near a label" in nothing.reason
    few = measured([12.0] * 7)
    assert (few.shift_s, few.n) == (0.0, 7)
    assert "only 7 picks" in few.reason
    scattered = measured(list(np.linspace(-39.0, 49.0, 400)))
    assert scattered.shift_s == 0.0
    assert "spread by" in scattered.reason
    close = measured([-6.0, -4.0, -2.0, 0.0, 1.0, 3.0, 5.0, 7.0])
    assert close.shift_s == 0.0
    assert "not told apart from zero" in close.reason
    clear = measured([12.0, 11.0, 13.0, 12.0, 12.0, 11.0, 13.0, 40.0])
    assert clear.shift_s == pytest.approx(0.12, abs=0.003)
    assert clear.reason == ""
    first, second = describe({"P": clear, "S": close})
    assert "0.120 s after the frozen network's" in first
    assert "no constant shift" in second


def test_labels_are_moved_in_every_step_and_in_judging_epochs(dataset: CampaignDataset, small_backbone: Path) -> None:
    shift_s = {"P": 0.2, "S": -0.1}
    losses = []
    for given in (shift_s, {"P": 0.0, "S": 0.0}):
        model = find_recipe("cr-lora").model(load_backbone(small_backbone), 0)
        sampler = dataset.sampler(dataset.split.train, 0)
        expected = judged(model, with_moved_labels(dataset.validation, given), dataset.edge_limit_km, LEAN)[0]
        settings = LEAN.changed(epochs=1)
        history, _ = train(model, sampler, dataset.validation, dataset.edge_limit_km, settings, pick_shift_s=given)
        assert history[0].validation_loss == expected
        losses.append(history[1].train_loss)
    assert losses[0] != losses[1]


def test_a_recipe_that_makes_a_backbone_keeps_the_labels_where_they_are(
    dataset: CampaignDataset, small_backbone: Path
) -> None:
    from phaseno_peft.comparison.recipes import find_recipe as find_any

    lean = LEAN.changed(epochs=0)
    assert fit(find_any("full"), dataset, lean, backbone=small_backbone).pick_shift == {}
    assert set(fit(find_any("cr-lora"), dataset, lean, backbone=small_backbone).pick_shift) == {"P", "S"}
    unshifted = TrainingSettings(epochs=0, judged_windows=3, shifts_labels=False)
    assert fit(find_any("cr-lora"), dataset, unshifted, backbone=small_backbone).pick_shift_s == {"P": 0.0, "S": 0.0}


@pytest.mark.slow  # the embedded backbone on some sixty windows
@pytest.mark.parametrize("convention", ["onset", "peak", "trough"])
def test_the_embedded_backbones_shift_holds_on_other_events(convention: str, tmp_path: Path) -> None:
    made = simulate_campaign("ohio-frac", tmp_path / "ohio", seed=3, events=32, label_convention=convention)
    campaign = Campaign.read(made.waveforms, made.stations, made.picks, name="ohio")
    dataset, frozen = CampaignDataset.of(campaign, 0), load_backbone()
    around = (campaign.frame, campaign.preprocessing, 0)
    shift_s = shifts_s(measure_pick_shift(frozen, dataset.split.train, *around))
    others = (*dataset.split.validation, *dataset.split.test)
    from phaseno_peft.campaign import fixed_windows
    from phaseno_peft.picking.inference import window_probabilities

    windows = fixed_windows(others, *around, noise_per_event=0)
    found = window_probabilities(frozen, windows, dataset.edge_limit_km)
    before = score_at_thresholds_of(Predictions(windows, found), Predictions(windows, found))
    after = score(with_moved_labels(windows, shift_s), found, before.thresholds)
    for phase in "PS":
        assert abs(after.phase(phase).residual_median_s) < 0.02
        assert convention == "onset" or -before.phase(phase).residual_median_s > 0.02


@pytest.mark.slow  # the embedded backbone through a whole training without an epoch
def test_a_trained_adapter_carries_its_shift_to_card_scores_and_judging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = forgetting_module.forgetting_windows()[:6]
    monkeypatch.setattr(forgetting_module, "forgetting_windows", lambda: few)
    folder = simulate_campaign("ohio-frac", tmp_path / "ohio", seed=3, events=16, label_convention="trough").folder
    campaign = read(folder)
    trained = train_adapter("late-picks", campaign, folder=tmp_path, training=TrainingSettings(epochs=0), folds=0)
    contract = read_adapter(trained.folder).contract
    assert min(contract.pick_shift_s.values()) > 0.02
    assert "| constant shift of the picks | P +" in (trained.folder / "README.md").read_text()
    about = read_evaluation(trained.folder / "evaluation.json").about
    assert about["pick_shift"]["P"]["shift_s"] == contract.pick_shift_s["P"]
    picker = load_adapter(trained.folder)
    assert judge(picker, campaign).scores["adapter"].to_json() == trained.scores["adapter"].to_json()
    frozen, adapter = (trained.scores[name].phase("P", 0.5) for name in ("frozen", "adapter"))
    assert adapter.residual_median_s == pytest.approx(frozen.residual_median_s + contract.pick_shift_s["P"], abs=0.02)
