"""Scores as curves: over thresholds, over tolerances, and against what makes an arrival hard; all with intervals.

Every interval is 95 % by the bootstrap over events of `Scores.drawn`; the difference adapter minus another model is
drawn on the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES
from phaseno_peft.evaluation import Predictions, Scores
from phaseno_peft.evaluation.judge import Judgement
from phaseno_peft.evaluation.metrics import threshold_counts
from phaseno_peft.judging.evidence import ADAPTER, noise_hours
from phaseno_peft.judging.judged_picks import JudgedPick

THRESHOLDS = np.round(np.arange(0.05, 0.991, 0.01), 2)
TOLERANCES_S = np.round(np.concatenate([np.arange(0.02, 0.2, 0.02), np.arange(0.2, 1.01, 0.05)]), 2)
"""Network's time."""
MOST_BINS, FEWEST_IN_BIN = 5, 8
"""Bins of labels by a quantity: equally filled, as many as hold so many labels each."""


@dataclass(frozen=True)
class Curve:
    """One quantity of one model and phase along x, with 95 % intervals and its difference to the adapter."""

    phase: str
    model: str
    x: NDArray[np.float64]
    """[point]"""
    y: NDArray[np.float64]
    """[point] NaN where it is undefined."""
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    labels: NDArray[np.int64] | None = None
    """[point] labels behind it, where points are bins."""
    gain: NDArray[np.float64] | None = None
    """[3 (adapter minus it, low, high), point]; None for the adapter itself."""
    recall: NDArray[np.float64] | None = None
    """[point] of a precision-recall curve, whose x are thresholds and y precisions."""

    def rows(self, x_name: str, y_name: str) -> Iterator[dict[str, Any]]:
        """Plain values, a row a point."""
        for k, x in enumerate(self.x):
            row: dict[str, Any] = {"phase": self.phase, "model": self.model, x_name: float(x)}
            if self.recall is not None:
                row["recall"] = _or_none(self.recall[k])
            row |= {y_name: _or_none(self.y[k]), "low": _or_none(self.low[k]), "high": _or_none(self.high[k])}
            if self.labels is not None:
                row["labels"] = int(self.labels[k])
            for name, value in zip(
                ("", "_low", "_high"), self.gain if self.gain is not None else [None] * 3, strict=True
            ):
                row[f"adapter_minus_it{name}"] = _or_none(value[k]) if value is not None else None
            yield row


@dataclass(frozen=True)
class AveragePrecision:
    """Area under a precision-recall curve, with its 95 % interval and its difference to the adapter."""

    phase: str
    model: str
    value: float
    low: float
    high: float
    gain: tuple[float, float, float] | None

    def row(self) -> dict[str, Any]:
        """Plain values."""
        gain = self.gain or (None, None, None)
        names = ("phase", "model", "average_precision", "low", "high")
        values = (self.phase, self.model, self.value, self.low, self.high)
        extra = ("adapter_minus_it", "adapter_minus_it_low", "adapter_minus_it_high")
        return dict(zip(names, values, strict=True)) | dict(zip(extra, gain, strict=True))


Counts = Mapping[str, NDArray[np.int64]]
"""Model -> [phase, window, 3 (true positives, judged picks, labels), threshold], see `threshold_counts`."""


def counts_over_thresholds(judgement: Judgement) -> dict[str, NDArray[np.int64]]:
    """Return the counts behind the curves over thresholds, of every model, within 0.5 s of the network's time."""
    return {model: _counts(found, judgement.scores[model]) for model, found in judgement.predictions.items()}


def precision_recall(judgement: Judgement, counts: Counts) -> tuple[list[Curve], list[AveragePrecision]]:
    """Return precision over thresholds with the recall there, and the average precision.

    The average precision is the sum of precision times the step in recall, over thresholds from 0.99 down to 0.05; what
    lies below 0.05 does not count.
    """
    curves, averages = [], []
    for p, phase in enumerate(PHASES):
        drawn: dict[str, tuple[float, NDArray[np.float64]]] = {}
        for model, scores in judgement.scores.items():
            own = counts[model][p]
            if not own[:, 2].any():
                continue
            (precision, recall), draws = _ratios(own.sum(axis=0)), _ratios(scores.drawn(own).swapaxes(0, 1))
            low, high = _interval(draws[0])
            curves.append(Curve(phase, model, THRESHOLDS, precision, low, high, recall=recall))
            drawn[model] = float(_average(precision, recall)), _average(*draws)
        for model, (value, sample) in drawn.items():
            best, best_sample = drawn[ADAPTER]
            gain = None if model == ADAPTER else (best - value, *_floats(_interval(best_sample - sample)))
            averages.append(AveragePrecision(phase, model, value, *_floats(_interval(sample)), gain))
    return curves, averages


def f1_over_tolerance(judgement: Judgement) -> list[Curve]:
    """Return F1 against the tolerance, 0.02 to 1 s of the network's time."""

    def of(scores: Scores, phase: str) -> NDArray[np.float64]:
        counts = np.stack([scores.window_counts(phase, t) for t in TOLERANCES_S], axis=-1)
        return counts.swapaxes(0, 1).astype(np.float64)

    return _f1_curves(judgement, lambda model, phase: of(judgement.scores[model], phase), TOLERANCES_S, None)


def f1_against(
    judgement: Judgement, rows: Mapping[str, Sequence[JudgedPick]], quantity: Callable[[JudgedPick], float]
) -> list[Curve]:
    """Return F1 within 0.5 s in bins of a quantity, equally filled with labels; NaN: a label or pick without it.

    False picks count in the bin their own quantity falls in; those without one, or beyond all labels, in none. Points
    lie at the median of their labels. Empty where fewer than 8 labels of a phase have the quantity, or it is the same
    for all of them.
    """
    curves: list[Curve] = []
    for phase in PHASES:
        own = [row for row in rows[ADAPTER] if row.phase == phase and row.outcome in ("found", "missed")]
        values = np.array([quantity(row) for row in own], dtype=np.float64)
        values = values[np.isfinite(values)]
        n_bins = min(MOST_BINS, len(values) // FEWEST_IN_BIN)
        if n_bins == 0 or values.min() == values.max():
            continue
        edges = np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1)))
        bin_of = _bins(edges)
        middle = np.array([np.median(values[bin_of(values) == k]) for k in range(len(edges) - 1)])
        n_labels = np.bincount(bin_of(values), minlength=len(middle))

        def counts_of(
            model: str,
            phase: str,
            bin_of: Callable[[NDArray[np.float64]], NDArray[np.int64]] = bin_of,
            n: int = len(middle),
        ) -> NDArray[np.float64]:
            counts = np.zeros((judgement.scores[model].n_windows, 3, n))
            scored = [row for row in rows[model] if row.window < judgement.scores[model].n_windows]
            of_phase = [row for row in scored if row.phase == phase and row.outcome != "not judged"]
            values = np.array([quantity(row) for row in of_phase], dtype=np.float64)
            bins = bin_of(np.where(np.isfinite(values), values, -np.inf))
            windows = np.array([row.window for row in of_phase], dtype=np.int64)
            outcomes = np.array([("found", "false", "missed").index(row.outcome) for row in of_phase], dtype=np.int64)
            inside = bins >= 0
            np.add.at(counts, (windows[inside], outcomes[inside], bins[inside]), 1)
            return counts

        curves += _f1_curves(judgement, counts_of, middle, n_labels, (phase,))
    return curves


def false_per_hour(judgement: Judgement, counts: Counts) -> list[Curve]:
    """Return false picks in noise windows per hour of noise, further noise too, against the threshold."""
    hours = noise_hours(judgement.predictions_with_noise(ADAPTER).windows)
    if not hours.any():
        return []
    nothing = Predictions([], [])
    further = {
        model: _counts(more.predictions if (more := judgement.further_noise.get(model)) else nothing, scores)
        for model, scores in judgement.scores.items()
    }
    curves: list[Curve] = []
    for p, phase in enumerate(PHASES):
        rates: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        for model in judgement.scores:
            scores = judgement.scores_with_noise(model)
            false = np.concatenate([counts[model][p][:, 1], further[model][p][:, 1]]) * (hours > 0)[:, None]
            drawn = scores.drawn(np.concatenate([false, hours[:, None]], axis=1))
            with np.errstate(invalid="ignore", divide="ignore"):
                rates[model] = false.sum(axis=0) / hours.sum(), drawn[:, :-1] / drawn[:, -1:]
        curves += _curves(phase, rates, THRESHOLDS, None)
    return curves


QUANTITIES: dict[str, tuple[str, Callable[[JudgedPick], float]]] = {
    "snr": ("SNR (dB)", lambda row: row.snr_db),
    "distance": ("epicentral distance (km)", lambda row: row.distance_km),
    "s_minus_p": ("S minus P (s)", lambda row: row.sp_s),
    "position": ("place in the window (s of 30 s, network's time)", lambda row: row.sample / NETWORK_RATE_HZ),
    "stations": ("stations in the window", lambda row: float(row.n_stations)),
}
"""File's name -> (what it is, with its unit; its value of a row)."""


@dataclass(frozen=True)
class AllCurves:
    """Every curve of a report."""

    precision_recall: list[Curve]
    averages: list[AveragePrecision]
    tolerance: list[Curve]
    quantities: dict[str, list[Curve]]
    """By the names of `QUANTITIES`; empty where too few labels have the quantity."""
    false_picks: list[Curve]
    counts: Counts
    """Behind the curves over thresholds."""

    def named(self) -> dict[str, tuple[str, str, list[Curve]]]:
        """Name of its table -> (column of x, column of y, curves), of those that have points."""
        named = {
            "precision_recall": ("threshold", "precision", self.precision_recall),
            "f1_tolerance": ("tolerance_s", "f1", self.tolerance),
            "false_picks": ("threshold", "false_picks_per_hour", self.false_picks),
        }
        named |= {f"f1_{name}": (name, "f1", lines) for name, lines in self.quantities.items()}
        return {name: curves for name, curves in named.items() if curves[2]}


def all_curves(judgement: Judgement, rows: Mapping[str, Sequence[JudgedPick]]) -> AllCurves:
    """Return every curve of a report; `rows` are the judged picks of each model."""
    counts = counts_over_thresholds(judgement)
    return AllCurves(
        *precision_recall(judgement, counts),
        f1_over_tolerance(judgement),
        {name: f1_against(judgement, rows, value) for name, (_, value) in QUANTITIES.items()},
        false_per_hour(judgement, counts),
        counts,
    )


def _counts(found: Predictions, scores: Scores) -> NDArray[np.int64]:
    return threshold_counts(*found, THRESHOLDS, min_distance_s=scores.min_distance_s)


def _f1_curves(
    judgement: Judgement,
    counts_of: Callable[[str, str], NDArray[np.float64]],
    x: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
    phases: Sequence[str] = PHASES,
) -> list[Curve]:
    """`counts_of` (model, phase) gives [window, 3 (tp, fp, fn), point]."""
    curves: list[Curve] = []
    for phase in phases:
        f1 = {}
        for model, scores in judgement.scores.items():
            if scores.n_labels(phase):
                counts = counts_of(model, phase)
                f1[model] = _f1(counts.sum(axis=0)), _f1(scores.drawn(counts).swapaxes(0, 1))
        curves += _curves(phase, f1, x, labels)
    return curves


def _curves(
    phase: str,
    drawn: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    x: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
) -> Iterator[Curve]:
    """`drawn` is model -> (value [point], draws [draw, point])."""
    for model, (value, draws) in drawn.items():
        gain = None
        if model != ADAPTER:
            best, best_draws = drawn[ADAPTER]
            gain = np.stack([best - value, *_interval(best_draws - draws)])
        yield Curve(phase, model, x, value, *_interval(draws), labels=labels, gain=gain)


def _bins(edges: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.int64]]:
    """Number of the bin of each value; -1 outside. Bins hold their lower edge, the last one both."""

    def bin_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
        k = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        return np.where((values >= edges[0]) & (values <= edges[-1]), k, -1).astype(np.int64)

    return bin_of


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 [...] of [3 (tp, fp, fn), ...]; NaN without labels and picks."""
    tp, fp, fn = counts
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * tp / (2 * tp + fp + fn))


def _ratios(counts: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(precision, recall), each [..., threshold], of [3 (tp, judged, labels), ..., threshold]."""
    tp, judged, labels = np.asarray(counts, np.float64)
    with np.errstate(invalid="ignore"):
        return tp / judged, tp / labels


def _average(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average precision of curves [..., threshold] over ascending thresholds."""
    falling, rising = np.nan_to_num(precision[..., ::-1]), np.nan_to_num(recall[..., ::-1])
    steps = np.maximum(np.diff(rising, axis=-1, prepend=0.0), 0.0)
    return np.asarray((steps * falling).sum(axis=-1))


def _interval(draws: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(low, high) [...] of draws [draw, ...]; NaN where most draws are undefined."""
    known = np.isfinite(draws).mean(axis=0) >= 0.5
    filled = np.where(known, draws, 0.0)
    low, high = np.nanquantile(filled, [0.025, 0.975], axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def _floats(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
