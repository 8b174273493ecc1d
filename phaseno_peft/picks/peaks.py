"""Picks on one probability curve: local maxima, the higher of two close ones, and how sharp they are.

Conventions, next to upstream's ``detect_peaks`` (golden/README.md, post-processing):

- a maximum needs a lower, finite sample on both sides: the first and the last sample, and the samples beside a NaN
  or an infinity, are never picks (as upstream);
- a pick lies at the centre of mass of what rises above half of the maximum, at most 0.2 s from it (upstream: at the
  maximum), because labels are symmetric triangles of that half base and weighted training flattens the learned tops;
- a flat top counts once, at its middle (upstream: at its rising edge);
- of two maxima at most `min_distance_samples` apart the higher stays (as upstream), of equals the earlier
  (upstream: whatever an unstable sort gives);
- since the highest is settled first, whether a pick survives depends on higher picks only: picking at a low threshold
  and then dropping the picks below a higher one is the same as picking at the higher one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from phaseno_peft.errors import PhasenoPeftError

WIDTH_REACH_SAMPLES = 500
"""A side of a peak is followed this far for its half height; bounds the cost on day-long curves."""
LONGEST_HELD_SAMPLES = 60_000
"""A curve is held no longer than this (10 min at 100 Hz) in wait for a place that separates its maxima."""
CENTRE_REACH_SAMPLES = 20
"""Half the base of the labels at the network's rate: a pick lies this near to its maximum."""


def find_picks(
    probability: NDArray[np.floating], threshold: float, min_distance_samples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return positions [pick], heights [pick] and half widths [pick] of the picks of one curve [sample], in time order.

    Positions are in samples: the centre of mass above half height where both sides get down to it, taken up to half of
    `min_distance_samples` from the maximum; else the apex of the parabola through the maximum and its neighbours.
    Heights are the largest sample values, at least `threshold`. Half widths are in samples, measured at half of the
    height above zero: the mean of both sides, or the one side that gets down to half height where the other meets an
    edge, a NaN or a higher peak first. `min_distance_samples` of 0 keeps every maximum. Raises `PhasenoPeftError` for a
    curve that is not one-dimensional, a threshold outside [0, 1], or a negative distance.
    """
    curve = np.array(probability, dtype=np.float64)
    if curve.ndim != 1:
        raise PhasenoPeftError(
            f"`probability` should be one curve [sample] but has shape {curve.shape}. "
            "Give one station and phase at a time."
        )
    _check(threshold, min_distance_samples)
    curve[~np.isfinite(curve)] = np.inf  # an infinite neighbour is never lower: no maximum beside it
    tops, middles = _maxima(curve, threshold)
    return _described(curve, tops, middles, min_distance_samples)


class PickFinder:
    """`find_picks` for a curve that comes in pieces: the same picks, wherever it is cut.

    A pick is given out when nothing that may follow can change it. A maximum that is the highest within
    `min_distance_samples` on both sides separates what lies before from what lies behind it; the curve is held from the
    last such maximum on, or from the last samples where no maximum stands.
    """

    def __init__(self, threshold: float, min_distance_samples: int) -> None:
        _check(threshold, min_distance_samples)
        self._threshold, self._distance = threshold, min_distance_samples
        self._reach = max(min_distance_samples, WIDTH_REACH_SAMPLES) + 2
        self._held = np.zeros(0)
        self._first = 0
        """Position of the first held sample."""
        self._given = -1.0
        """Maxima up to here have been given out or removed."""

    def push(
        self, probability: NDArray[np.floating], *, last: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """What `find_picks` returns, for the picks that the next samples make certain; all the rest with the `last`.

        Positions count from the first sample of all.
        """
        curve = np.concatenate([self._held, np.asarray(probability, np.float64)])
        curve[~np.isfinite(curve)] = np.inf
        tops, middles = _maxima(curve, self._threshold)
        until = np.inf if last else self._certain(curve, tops, middles)
        found = _described(curve, tops, middles, self._distance, self._given - self._first, until, self._first)
        self._given = max(self._given, until + self._first if until >= 0 else -1.0)
        keep_from = len(curve) if last else self._keep_from(curve, middles, until)
        self._held, self._first = curve[keep_from:].copy(), self._first + keep_from
        return found

    def _certain(self, curve: NDArray[np.float64], tops: NDArray[np.intp], middles: NDArray[np.float64]) -> float:
        """The last maximum that separates, -1 without one; the end of a curve that must not be held any longer."""
        end = _settled_end(curve, self._threshold) - self._reach
        if len(curve) > LONGEST_HELD_SAMPLES:
            return float(end)
        heights = curve[tops]
        first = np.searchsorted(middles, middles - self._distance, side="left")
        last = np.searchsorted(middles, middles + self._distance, side="right")
        for i in range(len(middles) - 1, -1, -1):
            if middles[i] <= self._given - self._first:
                break
            before, behind = heights[first[i] : i], heights[i : last[i]]
            if middles[i] < end and heights[i] > before.max(initial=-1.0) and heights[i] >= behind.max():
                return float(middles[i])
        return -1.0

    def _keep_from(self, curve: NDArray[np.float64], middles: NDArray[np.float64], until: float) -> int:
        """First sample that maxima which are not certain yet need."""
        done = max(until, self._given - self._first)
        needed = min([_settled_end(curve, self._threshold), *middles[middles > done][:1]])
        if done >= 0 and needed - done <= self._distance:
            needed = done  # it removes the lower ones behind it again
        return max(0, int(needed) - self._reach)


def _settled_end(curve: NDArray[np.float64], threshold: float) -> int:
    """First sample of the flat end of a curve, which may be the top of a maximum; its length where it cannot be one."""
    if not len(curve) or not threshold <= curve[-1] < np.inf:
        return len(curve)
    different = np.flatnonzero(curve != curve[-1])
    return int(different[-1]) + 1 if len(different) else 0


def _check(threshold: float, min_distance_samples: int) -> None:
    if not 0.0 <= threshold <= 1.0:
        raise PhasenoPeftError(f"`threshold` should be a probability between 0 and 1 but is {threshold}.")
    if not min_distance_samples >= 0:
        raise PhasenoPeftError(f"`min_distance_samples` should be 0 or more but is {min_distance_samples}.")


def _maxima(curve: NDArray[np.float64], threshold: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Maxima of at least the threshold, and the middles of their tops."""
    tops, plateaus = signal.find_peaks(curve, plateau_size=1)
    is_pick = (curve[tops] >= threshold) & (curve[tops] > 0.0) & np.isfinite(curve[tops])
    middles = 0.5 * (plateaus["left_edges"] + plateaus["right_edges"])[is_pick].astype(np.float64)
    return tops[is_pick], middles


def _described(
    curve: NDArray[np.float64],
    tops: NDArray[np.intp],
    middles: NDArray[np.float64],
    min_distance_samples: int,
    after: float = -np.inf,
    until: float = np.inf,
    origin: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Positions, heights and half widths of the maxima that stay, of those behind `after` and up to `until`.

    Positions count from `origin` samples before the curve, so that they are rounded as those of the whole curve.
    """
    kept = _greatest_first(middles, curve[tops], min_distance_samples) & (middles > after) & (middles <= until)
    middles, tops = middles[kept], tops[kept]
    left, right, reached_before, reached_after = _flanks(curve, tops)
    positions = (origin + middles) + _parabola_shift(curve, tops)
    reach = min(CENTRE_REACH_SAMPLES, min_distance_samples // 2)  # so that picks keep their order
    for k in np.flatnonzero(reached_before & reached_after) if reach else ():
        first, last = max(left[k], middles[k] - reach), min(right[k], middles[k] + reach)
        begin = math.ceil(first)
        positions[k] = (origin + begin) + _centre(curve, begin, math.floor(last), 0.5 * curve[tops[k]])
    before, after_top = positions - (origin + left), (origin + right) - positions
    both = 0.5 * (before + after_top)
    half_widths = np.where(reached_before == reached_after, both, np.where(reached_before, before, after_top))
    return positions, curve[tops], half_widths


def _greatest_first(
    middles: NDArray[np.float64], heights: NDArray[np.float64], min_distance_samples: int
) -> NDArray[np.bool_]:
    """Which maxima stay, when each kept one removes the lower ones at most `min_distance_samples` away."""
    kept = np.zeros(len(middles), dtype=np.bool_)
    alive = np.ones(len(middles), dtype=np.bool_)
    first = np.searchsorted(middles, middles - min_distance_samples, side="left")
    last = np.searchsorted(middles, middles + min_distance_samples, side="right")
    for i in np.argsort(-heights, kind="stable"):  # stable: of equals the earlier comes first
        if alive[i]:
            alive[first[i] : last[i]] = False
            kept[i] = True
    return kept


def _parabola_shift(curve: NDArray[np.float64], tops: NDArray[np.intp]) -> NDArray[np.float64]:
    """Apex of the parabola through each top and its neighbours, in samples from the top; 0 on a flat top."""
    left, top, right = curve[tops - 1], curve[tops], curve[tops + 1]
    bend = left - 2.0 * top + right
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = 0.5 * (left - right) / bend
    is_sharp = (left < top) & (right < top)
    return np.where(is_sharp & np.isfinite(shift), np.clip(shift, -0.5, 0.5), 0.0)


def _flanks(
    curve: NDArray[np.float64], tops: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Where each peak falls to half of its height on the left and on the right, and whether it does on either side."""
    if len(tops) == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0, np.bool_), np.zeros(0, np.bool_)
    # The bases are the lowest samples before a higher one, an edge or a NaN: a side ends there at the latest.
    _, left_bases, right_bases = signal.peak_prominences(curve, tops, wlen=2 * WIDTH_REACH_SAMPLES + 1)
    heights = curve[tops]
    _, _, left, right = signal.peak_widths(
        curve, tops, rel_height=0.5, prominence_data=(heights, left_bases, right_bases)
    )
    return left, right, curve[left_bases] <= 0.5 * heights, curve[right_bases] <= 0.5 * heights


def _centre(curve: NDArray[np.float64], first: int, last: int, level: float) -> float:
    """Centre of mass of what rises above `level` from one sample to another, in samples from the first."""
    weight = curve[first : last + 1] - level
    return float(np.arange(len(weight)) @ weight / weight.sum())
