"""What scoring found, kept so that every number can be derived again: per-window counts and matched pairs.

Times here are of two kinds. A *tolerance* is in the network's time, where the adapter's labels and thresholds live (0.5
s is 50 samples). A *residual* or a *width* that is reported is in real seconds. With ``time_scale`` 1 they coincide;
with k they differ by k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation.bootstrap import bootstrap_draws, interval_of_draws
from phaseno_peft.evaluation.matching import ROUNDING_S

WIDEST_TOLERANCE_S = 1.0
"""Matches are kept up to this tolerance (network's time), the end of the paper's figure 10."""
MAD_TO_SIGMA = 1.4826
"""The MAD of a normal distribution times this is its standard deviation."""


@dataclass(frozen=True, slots=True)
class PhaseTally:
    """The raw facts of one phase: counts per window, and every matched pick up to the widest tolerance.

    A pick outside `match_window` is a false one if it is counted in `judged_picks`; picks that cannot be judged appear
    nowhere.
    """

    phase: str
    threshold: float
    labels: tuple[int, ...]
    """[window] labels, over all stations."""
    judged_picks: tuple[int, ...]
    """[window] picks that are either right or wrong."""
    quiet: tuple[int, ...]
    """[window] stations rightly without a pick (true negatives)."""
    match_window: tuple[int, ...]
    """[match] index of the window."""
    match_residual_s: tuple[float, ...]
    """[match] pick - label, network's time."""
    match_half_width_s: tuple[float, ...]
    """[match] half width of the probability at half height, network's time."""
    match_probability: tuple[float, ...]
    """[match] height of the probability at the pick."""
    window_thresholds: tuple[float, ...] = ()
    """[window] its threshold, where windows have different ones: `threshold` is then their parts' mean. Else empty."""


@dataclass(frozen=True, slots=True)
class PhaseScore:
    """How well one phase is picked at one tolerance. Ratios without a denominator are NaN; F1 is then 0."""

    phase: str
    tolerance_s: float
    """In the network's time."""
    threshold: float
    tp: int
    fp: int
    fn: int
    tn: int
    n_labels: int
    residuals_s: tuple[float, ...]
    """Pick - label of the true positives, real seconds: negative is early."""
    half_widths_s: tuple[float, ...]
    """Half width of the probability at half height around each true positive, real seconds."""
    f1_95: tuple[float, float]
    """95 % interval of F1, by bootstrap over events: windows that share one are drawn together, noise one by one."""

    @property
    def precision(self) -> float:
        """Right picks among judged picks."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Labels that were picked."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 without labels and picks."""
        return float(_f1(np.array(self.tp), np.array(self.fp), np.array(self.fn)))

    @property
    def accuracy(self) -> float:
        """Right decisions among all decisions, true negatives being stations of noise windows without a pick."""
        return _ratio(self.tp + self.tn, self.tp + self.tn + self.fp + self.fn)

    @property
    def residual_median_s(self) -> float:
        """Median residual, real seconds."""
        return _median(self.residuals_s)

    @property
    def residual_mad_s(self) -> float:
        """Median absolute deviation of the residuals from their median, times 1.4826, real seconds."""
        return _mad(self.residuals_s)

    @property
    def residual_mean_s(self) -> float:
        """Mean residual, real seconds."""
        return float(np.mean(self.residuals_s)) if self.residuals_s else math.nan

    @property
    def residual_std_s(self) -> float:
        """Standard deviation of the residuals about their mean, real seconds."""
        return float(np.std(self.residuals_s)) if self.residuals_s else math.nan

    @property
    def residual_mae_s(self) -> float:
        """Mean absolute residual, real seconds."""
        return float(np.mean(np.abs(self.residuals_s))) if self.residuals_s else math.nan

    @property
    def half_width_median_s(self) -> float:
        """Median half width at half height around true positives, real seconds; 1.18 sigma for a Gaussian peak."""
        return _median(self.half_widths_s)

    @property
    def half_width_mad_s(self) -> float:
        """1.4826 * median absolute deviation of the half widths, real seconds."""
        return _mad(self.half_widths_s)

    def summary(self) -> dict[str, Any]:
        """Return counts and derived numbers as plain JSON types, None where undefined: F1 without labels, too."""
        return {
            "threshold": self.threshold,
            **{name: getattr(self, name) for name in ("tp", "fp", "fn", "tn", "n_labels")},
            **{name: _or_none(getattr(self, name)) for name in _SUMMARY},
            "f1": self.f1 if self.n_labels else None,
            "f1_95": list(self.f1_95) if self.n_labels else None,
        }


_SUMMARY = (
    "precision",
    "recall",
    "accuracy",
    "residual_median_s",
    "residual_mad_s",
    "residual_mean_s",
    "residual_std_s",
    "residual_mae_s",
    "half_width_median_s",
    "half_width_mad_s",
)


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one model on one set of windows; `phase` gives any phase at any tolerance up to the widest."""

    tallies: dict[str, PhaseTally]
    tolerances_s: tuple[float, ...]
    """Tolerances to report, network's time."""
    widest_tolerance_s: float
    min_distance_s: float
    """Two picks of a station and phase are farther apart than this, network's time."""
    time_scale: float
    noise_windows: tuple[bool, ...]
    """[window] whether it holds no event."""
    seed: int
    """Of the bootstrap."""
    window_groups: tuple[int, ...] = ()
    """[window] number of its group: windows that share an event are drawn together. Empty: each is drawn alone."""

    @property
    def n_windows(self) -> int:
        """Windows scored, noise included."""
        return len(self.noise_windows)

    @property
    def n_noise_windows(self) -> int:
        """Windows without an event."""
        return sum(self.noise_windows)

    @property
    def thresholds(self) -> dict[str, float]:
        """Phase -> probability from which on a peak was a pick."""
        return {phase: tally.threshold for phase, tally in self.tallies.items()}

    @property
    def window_thresholds(self) -> list[dict[str, float]]:
        """[window] thresholds it was scored at: those of its fold, where each fold has its own."""
        each = {p: t.window_thresholds or (t.threshold,) * self.n_windows for p, t in self.tallies.items()}
        return [{phase: own[i] for phase, own in each.items()} for i in range(self.n_windows)]

    def n_labels(self, phase: str) -> int:
        """Labels of a phase in all windows."""
        return sum(self._tally(phase).labels)

    def phase(self, phase: str, tolerance_s: float = 0.5) -> PhaseScore:
        """Return the score of "P" or "S" at a tolerance in the network's time.

        Raises `PhasenoPeftError` for another phase, or a tolerance beyond the widest one that was matched.
        """
        tally = self._tally(phase)
        hits = self.hits(phase, tolerance_s)
        tp, fp, fn = (int(part.sum()) for part in self._counts(tally, hits))
        return PhaseScore(
            phase=phase,
            tolerance_s=tolerance_s,
            threshold=tally.threshold,
            tp=tp,
            fp=fp,
            fn=fn,
            tn=sum(tally.quiet),
            n_labels=sum(tally.labels),
            residuals_s=tuple((np.array(tally.match_residual_s)[hits] / self.time_scale).tolist()),
            half_widths_s=tuple((np.array(tally.match_half_width_s)[hits] / self.time_scale).tolist()),
            f1_95=interval_of_draws(self._f1_draws(phase, tolerance_s)),
        )

    def mean_f1(self, tolerance_s: float = 0.5) -> float:
        """Return the mean F1 over the phases that have labels; 0 when none has."""
        labelled = [phase for phase in self.tallies if self.n_labels(phase)]
        return float(np.mean([self._f1_at(phase, tolerance_s) for phase in labelled])) if labelled else 0.0

    def f1_curve(self, phase: str, tolerances_s: Sequence[float]) -> NDArray[np.float64]:
        """Return F1 [tolerance] from the stored residuals, without matching again."""
        return np.array([self._f1_at(phase, tolerance_s) for tolerance_s in tolerances_s])

    def window_counts(self, phase: str, tolerance_s: float) -> NDArray[np.int64]:
        """Return [3 (true positives, false positives, false negatives), window] at a tolerance."""
        return self._counts(self._tally(phase), self.hits(phase, tolerance_s))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types: all raw facts, and under ``summary`` the numbers at the reported tolerances."""
        return {
            "tolerances_s": list(self.tolerances_s),
            "widest_tolerance_s": self.widest_tolerance_s,
            "min_distance_s": self.min_distance_s,
            "time_scale": self.time_scale,
            "seed": self.seed,
            "noise_windows": list(self.noise_windows),
            "window_groups": list(self.window_groups),
            "tallies": {
                phase: {
                    name: list(value) if isinstance(value, tuple) else value
                    for name in PhaseTally.__slots__
                    for value in [getattr(tally, name)]
                    if value or name != "window_thresholds"  # as in files of before there were any
                }
                for phase, tally in self.tallies.items()
            },
            "summary": {
                phase: {f"{tolerance:g}": self.phase(phase, tolerance).summary() for tolerance in self.tolerances_s}
                for phase in self.tallies
            },
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Scores:
        """Inverse of `to_json`; the summary is computed anew. Raises `PhasenoPeftError` for damaged fields."""
        try:
            tallies = {phase: _tally_from_json(fields) for phase, fields in raw["tallies"].items()}
            scores = cls(
                tallies=tallies,
                tolerances_s=tuple(raw["tolerances_s"]),
                widest_tolerance_s=raw["widest_tolerance_s"],
                min_distance_s=raw["min_distance_s"],
                time_scale=raw["time_scale"],
                noise_windows=tuple(raw["noise_windows"]),
                seed=raw["seed"],
                window_groups=tuple(raw.get("window_groups", ())),  # none in files of before there were groups
            )
            scores._check()
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise PhasenoPeftError(f"stored scores are damaged: {error}. Run the evaluation again.") from error
        return scores

    def _check(self) -> None:
        if len(self.window_groups) not in (0, self.n_windows) or not all(g >= 0 for g in self.window_groups):
            raise ValueError(f"`window_groups` names {len(self.window_groups)} windows, not {self.n_windows}")
        for tally in self.tallies.values():
            for name in ("labels", "judged_picks", "quiet"):
                if len(getattr(tally, name)) != self.n_windows:
                    raise ValueError(
                        f"{tally.phase} has {name} of {len(getattr(tally, name))} windows, not {self.n_windows}"
                    )
            for name in ("match_residual_s", "match_half_width_s", "match_probability"):
                if len(getattr(tally, name)) != len(tally.match_window):
                    raise ValueError(
                        f"{tally.phase} has {len(getattr(tally, name))} of {name}, not {len(tally.match_window)}"
                    )
            if len(tally.window_thresholds) not in (0, self.n_windows):
                raise ValueError(
                    f"{tally.phase} has thresholds of {len(tally.window_thresholds)} windows, not {self.n_windows}"
                )
            if any(not 0 <= window < self.n_windows for window in tally.match_window):
                raise ValueError(f"{tally.phase} has a match outside its {self.n_windows} windows")

    def _tally(self, phase: str) -> PhaseTally:
        if phase not in self.tallies:
            raise PhasenoPeftError(f"`phase` should be one of {', '.join(self.tallies)} but is {phase!r}.")
        return self.tallies[phase]

    def hits(self, phase: str, tolerance_s: float) -> NDArray[np.bool_]:
        """Return [match] whether it is within the tolerance: greedy matching makes this the matching at it."""
        if not 0.0 <= tolerance_s <= self.widest_tolerance_s + ROUNDING_S:
            raise PhasenoPeftError(
                f"`tolerance_s` should be between 0 and {self.widest_tolerance_s:g}, the widest that was matched, "
                f"but is {tolerance_s}. Score again with this tolerance among `tolerances_s`."
            )
        residuals = np.array(self._tally(phase).match_residual_s, dtype=np.float64)
        return np.abs(residuals) <= tolerance_s + ROUNDING_S

    def _counts(self, tally: PhaseTally, hits: NDArray[np.bool_]) -> NDArray[np.int64]:
        """[3 (tp, fp, fn), window]."""
        windows = np.array(tally.match_window, dtype=np.int64)[hits]
        tp = np.bincount(windows, minlength=self.n_windows)
        return np.stack([tp, np.array(tally.judged_picks) - tp, np.array(tally.labels) - tp]).astype(np.int64)

    def _f1_at(self, phase: str, tolerance_s: float) -> float:
        return float(_f1(*self.window_counts(phase, tolerance_s).sum(axis=1)))

    def drawn(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """Return counts [draw, ...] of groups of windows drawn with replacement, from counts [window, ...].

        The same seed and groups draw the same windows for every model, so that differences are paired. This is the
        bootstrap behind every interval.
        """
        return bootstrap_draws(counts, self.window_groups or range(self.n_windows), self.seed)

    def _f1_draws(self, phase: str, tolerance_s: float) -> NDArray[np.float64]:
        """[draw] F1 of windows drawn with replacement."""
        return _f1(*self.drawn(self.window_counts(phase, tolerance_s).T).T)


def f1_gain(before: Scores, after: Scores, phase: str, tolerance_s: float = 0.5) -> tuple[float, float, float]:
    """Return F1 of `after` minus F1 of `before`, and its 95 % interval from a paired bootstrap.

    Both are drawn on the same windows. The paired interval is narrower than the two single ones suggest: hard windows
    are hard for both. Raises `PhasenoPeftError` where the two were not scored on the same windows.
    """
    _check_same_windows(before, after, phase)
    low, high = interval_of_draws(after._f1_draws(phase, tolerance_s) - before._f1_draws(phase, tolerance_s))
    return after._f1_at(phase, tolerance_s) - before._f1_at(phase, tolerance_s), low, high


def mean_f1_gain(
    before: Scores, after: Scores, tolerances_s: Sequence[float] = (0.5, 0.1)
) -> tuple[float, float, float]:
    """Return the mean of `f1_gain` over labelled phases and tolerances, and its paired 95 % interval."""
    return f1_gain_of_seeds([before], [after], tolerances_s)


def f1_of_seeds(seeds: Sequence[Scores], tolerances_s: Sequence[float]) -> tuple[float, float, float]:
    """Return F1, mean over labelled phases, tolerances and seeds, and its 95 % interval by bootstrap over events.

    The scores of one model trained with several seeds, all on the same windows: the interval says what other events
    would do, not what other seeds would.
    """
    value, draws = _mean_f1(seeds, tolerances_s)
    return value, *interval_of_draws(draws)


def f1_gain_of_seeds(
    before: Sequence[Scores], after: Sequence[Scores], tolerances_s: Sequence[float] = (0.5, 0.1)
) -> tuple[float, float, float]:
    """Return `f1_of_seeds` of `after` minus that of `before`, and its 95 % interval, drawn on the same windows.

    Raises `PhasenoPeftError` where there is no label, or the two were not scored on the same windows.
    """
    for phase in after[0].tallies:
        for one in (*before, *after):
            _check_same_windows(after[0], one, phase)
    (old, old_draws), (new, new_draws) = _mean_f1(before, tolerances_s), _mean_f1(after, tolerances_s)
    return new - old, *interval_of_draws(new_draws - old_draws)


def _mean_f1(seeds: Sequence[Scores], tolerances_s: Sequence[float]) -> tuple[float, NDArray[np.float64]]:
    """F1 over phases, tolerances and seeds, and the same [draw] of windows drawn with replacement."""
    phases = [phase for phase in seeds[0].tallies if seeds[0].n_labels(phase)]
    cases = [(one, phase, tolerance_s) for one in seeds for phase in phases for tolerance_s in tolerances_s]
    if not cases:
        raise PhasenoPeftError("there is no label to score. Give windows with labels.")
    value = float(np.mean([one._f1_at(phase, tolerance_s) for one, phase, tolerance_s in cases]))
    return value, np.mean([one._f1_draws(phase, tolerance_s) for one, phase, tolerance_s in cases], axis=0)


def _check_same_windows(before: Scores, after: Scores, phase: str) -> None:
    if (before.tallies[phase].labels, before.noise_windows, before.window_groups, before.seed) != (
        after.tallies[phase].labels,
        after.noise_windows,
        after.window_groups,
        after.seed,
    ):
        raise PhasenoPeftError(
            f"F1 of {phase} cannot be compared pair by pair: the two scores come from different windows or seeds "
            f"({before.n_windows} and {after.n_windows} windows). Score both models on the same windows."
        )


def _tally_from_json(fields: dict[str, Any]) -> PhaseTally:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return PhaseTally(**values)


def _f1(tp: NDArray[Any], fp: NDArray[Any], fn: NDArray[Any]) -> NDArray[np.float64]:
    f1: NDArray[np.float64] = 2.0 * tp / np.maximum(2 * tp + fp + fn, 1)
    return f1


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _mad(values: Sequence[float]) -> float:
    return MAD_TO_SIGMA * _median(np.abs(np.array(values) - np.median(values)).tolist()) if len(values) else math.nan


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
