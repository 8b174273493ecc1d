"""Curves worked out by hand, equal to the scores where they say the same, and paired with the adapter's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from phaseno_peft.campaign.windows import Window
from phaseno_peft.evaluation import Predictions, score
from phaseno_peft.evaluation.judge import Judgement
from phaseno_peft.judging.curves import (
    FEWEST_IN_BIN,
    MOST_BINS,
    THRESHOLDS,
    Curve,
    counts_over_thresholds,
    f1_against,
    f1_over_tolerance,
    false_per_hour,
    precision_recall,
)
from phaseno_peft.judging.judged_picks import judged_picks
from tests.evaluation.handmade_windows import SAMPLES, probability, window

THRESHOLD = {"P": 0.3, "S": 0.3}


def judgement(windows: Sequence[Window], models: Mapping[str, Sequence[np.ndarray]]) -> Judgement:
    predictions = {model: Predictions(windows, found) for model, found in models.items()}
    scores = {model: score(*found, THRESHOLD) for model, found in predictions.items()}
    return Judgement(scores, "these", predictions, len(windows), is_own=True, may_flatter=False)


def picks(*heights_at: tuple[float, float], phase: str = "P") -> np.ndarray:
    """Probabilities with one triangle a (height, sample) at station 0."""
    return np.maximum.reduce([probability({(0, phase): [at]}, height=height) for height, at in heights_at])


def of(curves: Sequence[Curve], model: str, phase: str = "P") -> Curve:
    (curve,) = [c for c in curves if (c.model, c.phase) == (model, phase)]
    return curve


def many(seed: int = 0) -> Judgement:
    """Twelve events with four P labels each, and a worse model beside the adapter."""
    rng = np.random.default_rng(seed)
    windows = [window({(0, "P"): [150, 350, 550, 750]}) for _ in range(12)]
    models = {
        name: [picks(*((0.8, at + rng.normal(0, spread)) for at in (150, 350, 550, 750))) for _ in windows]
        for name, spread in (("frozen", 40.0), ("adapter", 10.0))
    }
    return judgement(windows, models)


def test_average_precision_worked_by_hand() -> None:
    """Right at 0.9, false at 0.8, right at 0.7, of two labels: half the recall at precision 1, half at 2/3."""
    made = judgement([window({(0, "P"): [200, 600]})], {"adapter": [picks((0.9, 200), (0.8, 400), (0.7, 600))]})
    curves, averages = precision_recall(made, counts_over_thresholds(made))
    assert [(a.phase, a.model) for a in averages] == [("P", "adapter")]  # there is no S label
    assert averages[0].value == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert averages[0].gain is None
    curve = of(curves, "adapter")
    at = {threshold: k for k, threshold in enumerate(THRESHOLDS.tolist())}
    assert curve.recall is not None
    assert (curve.y[at[0.85]], curve.recall[at[0.85]]) == (1.0, 0.5)
    assert (curve.y[at[0.75]], curve.recall[at[0.75]]) == (0.5, 0.5)
    assert (curve.y[at[0.3]], curve.recall[at[0.3]]) == (pytest.approx(2 / 3), 1.0)
    assert np.isnan(curve.y[at[0.95]])  # no pick, no precision


def test_f1_over_tolerance_is_that_of_the_scores_with_paired_differences() -> None:
    made = many()
    curves = f1_over_tolerance(made)
    frozen, adapter = of(curves, "frozen"), of(curves, "adapter")
    assert adapter.y == pytest.approx(made.scores["adapter"].f1_curve("P", adapter.x.tolist()))
    k = adapter.x.tolist().index(0.5)
    assert (adapter.low[k], adapter.high[k]) == pytest.approx(made.scores["adapter"].phase("P", 0.5).f1_95)
    assert adapter.gain is None
    assert frozen.gain is not None
    assert frozen.gain[0] == pytest.approx(adapter.y - frozen.y)
    assert (frozen.gain[1] <= frozen.gain[0] + 1e-12).all()
    assert (frozen.gain[0] <= frozen.gain[2] + 1e-12).all()
    assert frozen.gain[1, adapter.x.tolist().index(0.2)] > 0  # clearly better at close tolerances


def test_bins_hold_every_label_once_and_are_equally_filled() -> None:
    made = many()
    rows = {model: judged_picks(found, made.scores[model], {}) for model, found in made.predictions.items()}
    curves = f1_against(made, rows, lambda row: row.sample + row.window)  # all different
    adapter = of(curves, "adapter")
    assert adapter.labels is not None
    assert len(adapter.x) == MOST_BINS
    assert adapter.labels.sum() == 48
    assert np.ptp(adapter.labels) <= 1
    assert (np.diff(adapter.x) > 0).all()
    assert f1_against(made, rows, lambda _: 7.0) == []  # one value tells nothing of the quantity
    two = of(f1_against(made, rows, lambda row: 7.0 + (row.window == 0)), "adapter")
    assert two.labels is not None
    assert two.labels.sum() == 48


def test_picks_without_the_quantity_count_in_no_bin_and_few_labels_make_none() -> None:
    windows = [window({(0, "P"): [200]}) for _ in range(FEWEST_IN_BIN)]
    made = judgement(windows, {"adapter": [picks((0.8, 200), (0.8, 700)) for _ in windows]})
    rows = {"adapter": judged_picks(made.predictions["adapter"], made.scores["adapter"], {})}
    known = of(f1_against(made, rows, lambda row: row.window if row.outcome == "found" else np.nan), "adapter")
    assert known.y.tolist() == [1.0]
    everything = of(f1_against(made, rows, lambda row: row.window), "adapter")
    assert everything.y.tolist() == [pytest.approx(2 / 3)]
    assert f1_against(made, rows, lambda row: row.window if row.window else np.nan) == []


def test_false_picks_are_counted_per_hour_of_recorded_noise() -> None:
    noise = window(is_noise=True)
    noise.waveforms[:, :, : SAMPLES // 2] = 1.0  # five seconds of the ten were recorded
    made = judgement(
        [noise, window({(0, "P"): [200]})], {"adapter": [picks((0.8, 100), (0.4, 300)), picks((0.8, 700))]}
    )
    curve = of(false_per_hour(made, counts_over_thresholds(made)), "adapter")
    at = {threshold: k for k, threshold in enumerate(THRESHOLDS.tolist())}
    assert [curve.y[at[t]] for t in (0.3, 0.6, 0.9)] == pytest.approx([2 * 720.0, 720.0, 0.0])
    silent = judgement([window({(0, "P"): [200]})], {"adapter": [picks((0.8, 200))]})
    assert false_per_hour(silent, counts_over_thresholds(silent)) == []


def test_rows_of_a_curve_are_plain_values() -> None:
    rows = list(of(f1_over_tolerance(many()), "frozen").rows("tolerance_s", "f1"))
    assert list(rows[0]) == [
        "phase",
        "model",
        "tolerance_s",
        "f1",
        "low",
        "high",
        "adapter_minus_it",
        "adapter_minus_it_low",
        "adapter_minus_it_high",
    ]
    assert all(isinstance(value, float | str) for value in rows[0].values())
