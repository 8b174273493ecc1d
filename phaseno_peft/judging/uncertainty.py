"""Whether stated uncertainties and probabilities mean what they say: coverage of intervals, reliability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.contract import PHASES
from phaseno_peft.evaluation import Scores
from phaseno_peft.evaluation.calibration import Stated
from phaseno_peft.judging.curves import THRESHOLDS, Counts, Curve

GOAL = {"68 %": (0.63, 0.73), "95 %": (0.92, 0.98)}
"""Stated interval -> what share of right picks should lie within it."""
ENOUGH_PICKS = 100
"""Matched picks from which on coverage is held against its goal."""
EDGES = (0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
"""Of the bins of probability; those above the last edge count in the last bin."""
FEWEST_PICKS = 5
"""A bin with fewer picks is not drawn."""


@dataclass(frozen=True)
class Coverage:
    """Share of right picks whose residual lies within a stated interval."""

    phase: str
    stated: str
    picks: int
    share: float
    low: float
    high: float
    """95 % by bootstrap over events."""
    share_without_offset: float
    """The same after the median residual is taken off: a common offset is a label convention, not an uncertainty."""
    median_s: float
    """Half the width of the median interval, real seconds."""

    def row(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def judgement(self) -> str:
        """Whether it reaches its goal, in words."""
        if self.picks < ENOUGH_PICKS:
            return f"fewer than {ENOUGH_PICKS} picks"
        low, high = GOAL[self.stated]
        return "as stated" if low <= self.share <= high else "too narrow" if self.share < low else "too wide"


def coverage(scores: Scores, stated: Stated) -> list[Coverage]:
    """Return the coverage of each stated interval per phase, of the right picks within 0.5 s of the network's time."""
    made = []
    for phase in PHASES:
        residuals_s = np.array(scores.phase(phase, 0.5).residuals_s)
        windows = np.array(scores.tallies[phase].match_window, dtype=np.int64)[scores.hits(phase, 0.5)]
        if not len(residuals_s):
            continue
        centred_s = residuals_s - np.median(residuals_s)
        for name, half_s in zip(GOAL, stated[phase], strict=True):
            is_inside = np.abs(residuals_s) <= half_s
            counts = np.stack(
                [np.bincount(windows, weights, scores.n_windows) for weights in (np.ones(len(windows)), is_inside)], 1
            )
            drawn = scores.drawn(counts)
            shares = drawn[drawn[:, 0] > 0, 1] / drawn[drawn[:, 0] > 0, 0]
            low, high = np.quantile(shares, [0.025, 0.975])
            without = float(np.mean(np.abs(centred_s) <= half_s))
            made.append(
                Coverage(
                    phase,
                    name,
                    len(residuals_s),
                    float(is_inside.mean()),
                    float(low),
                    float(high),
                    without,
                    float(np.median(half_s)),
                )
            )
    return made


def reliability(scores: Mapping[str, Scores], counts: Counts) -> list[Curve]:
    """Return the share of right picks among judged ones in bins of probability, per phase and model.

    `counts`: see `counts_over_thresholds`. Points lie in the middle of their bins; fewer than 5 picks give none.
    """
    edges = np.searchsorted(THRESHOLDS, EDGES)
    middle = (THRESHOLDS[edges][:-1] + THRESHOLDS[edges][1:]) / 2
    curves = []
    for p, phase in enumerate(PHASES):
        for model, own in scores.items():
            above = counts[model][p][:, :2, edges].astype(np.float64)  # [window, 2 (right, judged), edge]
            inside = np.maximum(above[..., :-1] - above[..., 1:], 0.0)
            inside[..., -1] = above[..., -2]
            total = inside.sum(axis=0)
            drawn = own.drawn(inside)
            share, shares = _share(total), _share(drawn.swapaxes(0, 1))
            is_enough = total[1] >= FEWEST_PICKS
            if not is_enough.any():
                continue
            low, high = np.nanquantile(shares[:, is_enough], [0.025, 0.975], axis=0)
            picks = total[1][is_enough].astype(np.int64)
            curves.append(Curve(phase, model, middle[is_enough], share[is_enough], low, high, labels=picks))
    return curves


def _share(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    right, judged = counts
    with np.errstate(invalid="ignore"):
        return np.asarray(right / judged)
