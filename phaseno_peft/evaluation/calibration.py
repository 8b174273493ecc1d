"""Half widths of probability peaks -> uncertainties of picks, measured on events that did not train.

Two forms are tried per phase. A scale: sigma = factor * half width. A curve: sigma as a function of the half width that
never falls (isotonic regression by pooling adjacent violators, Barlow et al. 1972, of the quantile that one sigma
stands for); level where the width says nothing. The one with the smaller error on events that it was not fitted to is
kept. Error: the mean quantile loss of |residual| at 68 % and 95 %, which is least where the intervals are neither too
narrow nor too wide (Gneiting & Raftery 2007, section 6.2). Quantiles are those of split conformal prediction, the
ceil((n + 1) p)-th smallest of n, so that few picks do not make intervals too narrow (Vovk et al. 2005).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.contract import NORMAL_95, PHASES, Calibration, PickUncertainty
from phaseno_peft.evaluation.metrics import score
from phaseno_peft.evaluation.scores import Scores

if TYPE_CHECKING:
    from phaseno_peft.campaign.windows import Window

FEWEST_PICKS = 8
"""With fewer right picks there is nothing to calibrate: the uncertainty is the half width itself."""
FEWEST_EVENTS = 2
"""An error on other events needs another event."""
ONE_SIGMA, TWO_SIGMA = 0.68, 0.95
"""Shares of right picks within the stated intervals."""
PICKS_PER_KNOT = 15
"""So many picks of similar half width make one knot of the curve: the quantile of fewer is one pick's word."""
MOST_KNOTS = 20
FOLDS = 10
"""Parts of the events that are left out in turn; each event by itself where there are fewer."""
Stated = Mapping[str, NDArray[np.float64]]
"""Phase -> [2 (68 %, 95 %), pick] half the widths, seconds, of the intervals stated for the right picks of scores."""


@dataclass(frozen=True, slots=True)
class RightPicks:
    """Right picks of one phase: what calibration and coverage are made of."""

    error_s: NDArray[np.float64]
    """[pick] |pick - label|, real seconds."""
    half_width_s: NDArray[np.float64]
    """[pick] real seconds."""
    group: NDArray[np.int64]
    """[pick] number of the group of events that are judged together."""


def right_picks(scores: Scores, phase: str, tolerance_s: float = 0.5) -> RightPicks:
    """Return the right picks behind scores, within a tolerance in the network's time."""
    tally, found = scores.tallies[phase], scores.phase(phase, tolerance_s)
    hits = scores.hits(phase, tolerance_s)
    groups = np.array(scores.window_groups or range(scores.n_windows), dtype=np.int64)
    return RightPicks(
        np.abs(np.array(found.residuals_s, dtype=np.float64)),
        np.array(found.half_widths_s, dtype=np.float64),
        groups[np.array(tally.match_window, dtype=np.int64)[hits]],
    )


def calibrate_uncertainty(
    windows: Sequence[Window],
    probabilities: Sequence[NDArray[np.floating]],
    thresholds: Mapping[str, float],
    *,
    tolerance_s: float = 0.5,
    min_distance_s: float = 0.5,
) -> PickUncertainty:
    """Return how half widths become uncertainties, per phase, from the right picks of validation or held-out windows.

    Labels are where picks are given out (`with_moved_labels`), and residuals are taken as they are: an offset that the
    adapter keeps is an error of its picks. A phase with fewer than 8 right picks gets its half widths as they are.
    """
    scores = score(windows, probabilities, thresholds, tolerances_s=(tolerance_s,), min_distance_s=min_distance_s)
    return calibrated(scores, tolerance_s)


def calibrated(scores: Scores, tolerance_s: float = 0.5) -> PickUncertainty:
    """`calibrate_uncertainty` from scores that are there."""
    factor: dict[str, float] = {}
    calibration: dict[str, Calibration] = {}
    for phase in PHASES:
        picks = right_picks(scores, phase, tolerance_s)
        if len(picks.error_s) < FEWEST_PICKS or not picks.half_width_s.all():
            factor[phase] = 1.0
        else:
            factor[phase], calibration[phase] = calibrate_picks(picks)
    return PickUncertainty(factor, calibration)


def calibrate_picks(picks: RightPicks) -> tuple[float, Calibration]:
    """Return the factor of a scale, and the form with the smaller error on other events; of equals the scale."""
    n_events = len(np.unique(picks.group))
    kinds = ("scale", "isotonic") if n_events >= FEWEST_EVENTS else ("scale",)
    kind = min(kinds, key=lambda kind: held_out_error(picks, kind))
    return _scale(picks), _fitted(picks, kind, n_events)


def held_out_error(picks: RightPicks, kind: str) -> float:
    """Return the mean quantile loss, seconds, of a form on groups of events that it was not fitted to."""
    groups = np.unique(picks.group)
    if len(groups) < FEWEST_EVENTS:
        return 0.0
    losses = []
    part_of_group = dict(zip(groups.tolist(), (np.arange(len(groups)) % FOLDS).tolist(), strict=True))
    part = np.array([part_of_group[group] for group in picks.group.tolist()])
    for left_out in np.unique(part):
        others = _some(picks, part != left_out)
        if len(others.error_s) == 0:
            continue
        own, found = _some(picks, part == left_out), _fitted(others, kind, 0)
        uncertainty = PickUncertainty({"P": _scale(others)}, {"P": found})
        sigma = stated_s(uncertainty, "P", own.half_width_s)
        losses += [_quantile_loss(own.error_s, s, p) for s, p in zip(sigma, (ONE_SIGMA, TWO_SIGMA), strict=True)]
    return float(np.sum(np.concatenate(losses)) / len(picks.error_s))


def stated_s(uncertainty: PickUncertainty, phase: str, half_width_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the widths [2 (68 %, 95 %), pick] of the intervals that are stated for peaks of these half widths."""
    one = np.array([uncertainty.one_sigma_s(phase, float(width)) for width in half_width_s], dtype=np.float64)
    return np.stack([one, uncertainty.factor_95(phase) * one])


def stated_for(scores: Scores, uncertainty: PickUncertainty) -> Stated:
    """Return what an adapter's contract states for the right picks within 0.5 s of the network's time."""
    return {phase: stated_s(uncertainty, phase, right_picks(scores, phase).half_width_s) for phase in PHASES}


def _fitted(picks: RightPicks, kind: str, n_events: int) -> Calibration:
    if kind == "scale":
        x, y = np.zeros(0), np.zeros(0)
        sigma = _scale(picks) * picks.half_width_s
    else:
        x, y = _curve(picks)
        sigma = np.interp(picks.half_width_s, x, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(picks.error_s > 0, picks.error_s / sigma, 0.0)
    factor_95 = _conformal(ratio, TWO_SIGMA)
    if _rank(len(ratio), TWO_SIGMA) > len(ratio):
        factor_95 = max(factor_95, NORMAL_95)  # the largest of so few is no 95 % quantile
    return Calibration(
        "scale" if kind == "scale" else "isotonic",
        tuple(x.tolist()),
        tuple(y.tolist()),
        float(np.clip(factor_95, 1.0, 1e3)),
        len(picks.error_s),
        n_events,
    )


def _scale(picks: RightPicks) -> float:
    return _conformal(picks.error_s / picks.half_width_s, ONE_SIGMA)


def _curve(picks: RightPicks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half widths [knot], ascending, and the 68 % quantile of the errors there [knot], never falling."""
    order = np.argsort(picks.half_width_s, kind="stable")
    parts = np.array_split(order, min(max(len(order) // PICKS_PER_KNOT, 1), MOST_KNOTS))
    blocks: list[tuple[list[float], NDArray[np.float64]]] = []  # middles of the bins, errors of all of them
    for part in parts:
        middle = float(np.median(picks.half_width_s[part]))
        if blocks and middle <= blocks[-1][0][-1]:  # the same width again, which needs no knot of its own
            middles, errors = blocks.pop()
            blocks.append((middles, np.concatenate([errors, picks.error_s[part]])))
        else:
            blocks.append(([middle], picks.error_s[part]))
        while len(blocks) > 1 and _conformal(blocks[-2][1], ONE_SIGMA) >= _conformal(blocks[-1][1], ONE_SIGMA):
            middles, errors = blocks.pop()
            blocks[-1] = (blocks[-1][0] + middles, np.concatenate([blocks[-1][1], errors]))
    x = [middle for middles, _ in blocks for middle in middles]
    y = [_conformal(errors, ONE_SIGMA) for middles, errors in blocks for _ in middles]
    return np.array(x), np.array(y)


def _rank(n: int, share: float) -> int:
    return math.ceil((n + 1) * share)


def _conformal(values: NDArray[np.float64], share: float) -> float:
    """The ceil((n + 1) share)-th smallest of n values; the largest where there are too few."""
    return float(np.sort(values)[min(_rank(len(values), share), len(values)) - 1])


def _quantile_loss(error_s: NDArray[np.float64], stated: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    off = error_s - stated
    return np.maximum(share * off, (share - 1.0) * off)


def _some(picks: RightPicks, rows: NDArray[np.bool_]) -> RightPicks:
    return RightPicks(picks.error_s[rows], picks.half_width_s[rows], picks.group[rows])
