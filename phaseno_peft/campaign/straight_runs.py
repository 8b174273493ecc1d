"""Stretches of a trace that follow a straight line: gaps that a program interpolated, or filled and then detrended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BLOCKS = 4
"""A run of the wanted length is looked for in pieces of a quarter of it, of which two at least lie inside it."""
_PRECISION = 8.0
"""Rounding errors of the number's kind by which a drawn line may miss."""
_LEAST_DRIFT = 3.0
"""Counts from end to end; a run that drifts less is a constant one, which `padding` judges."""
_LEAST_NOISE = 8.0
"""Counts from lowest to highest difference in a piece: where the trace is quieter it may be straight by itself."""
_QUIET_PERCENT = 10.0
"""So many of the other pieces may be quieter: the noise before an earthquake, not the earthquake, is what is usual."""
_SILENCE = 1e-9
"""Of what is usual. No digitiser reaches so far down (30 bits): it is what a filter makes of zeros."""


def straight_runs(segments: Sequence[np.ndarray], n_least: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Half-open runs of at least `n_least` samples in each segment [sample] of one channel that follow a straight line.

    Only where the channel is noisy otherwise: a line that is drawn has no noise. Integers may lie a rounding off it.
    """
    looked_at = [_Pieces.of(x, n) for x, n in zip(segments, n_least, strict=True)]
    if not any(pieces.runs for pieces in looked_at):
        return [[] for _ in segments]
    others = np.concatenate([pieces.spread[~pieces.is_straight] for pieces in looked_at])
    usual = float(np.percentile(others, _QUIET_PERCENT)) if len(others) else 0.0
    return [_lines(x, n, pieces, usual) for x, n, pieces in zip(segments, n_least, looked_at, strict=True)]


class _Pieces:
    """The differences of one segment, piece by piece."""

    def __init__(self, size: int, tolerance: float, is_counts: bool, spread: np.ndarray) -> None:
        self.size, self.tolerance, self.is_counts, self.spread = size, tolerance, is_counts, spread
        self.is_straight = spread <= tolerance
        pairs = np.flatnonzero(self.is_straight[1:] & self.is_straight[:-1])
        parts = np.split(pairs, np.flatnonzero(np.diff(pairs) > 1) + 1) if len(pairs) else []
        self.runs = [(int(part[0]), int(part[-1]) + 2) for part in parts]
        """Half-open runs of pieces that are straight, two at least."""

    @classmethod
    def of(cls, x: np.ndarray, n_least: int) -> _Pieces:
        size = max(2, n_least // _BLOCKS)
        n_pieces = (len(x) - 1) // size
        if n_pieces < _BLOCKS:
            return cls(size, 0.0, True, np.ones(0))
        is_counts = x.dtype.kind in "iu"
        ends = (np.float64(x.min()), np.float64(x.max()))
        tolerance = 1.0 if is_counts else _PRECISION * float(np.finfo(x.dtype).eps) * max(map(abs, ends))
        steps = np.diff(x[: n_pieces * size + 1].astype(np.float64)).reshape(n_pieces, size)
        return cls(size, tolerance, is_counts, steps.max(axis=1) - steps.min(axis=1))


def _lines(x: np.ndarray, n_least: int, pieces: _Pieces, usual: float) -> list[tuple[int, int]]:
    """The runs of straight pieces that are one line, with what else of the segment lies on it."""
    found = []
    least_noise = _LEAST_NOISE if pieces.is_counts else 1000.0 * pieces.tolerance
    for low, high in pieces.runs if usual >= least_noise else ():
        first, last = low * pieces.size, high * pieces.size  # both on the line
        begin, end = max(0, first - pieces.size), min(len(x), last + pieces.size + 1)
        y = x[begin:end].astype(np.float64)
        slope = (y[last - begin] - y[first - begin]) / (last - first)
        line = y[first - begin] + slope * (np.arange(begin, end) - first)
        is_near = np.abs(y - line) <= (1.5 if pieces.is_counts else 2.0 * pieces.tolerance)
        if not is_near[first - begin : last - begin + 1].all():
            continue
        off = np.flatnonzero(~is_near) + begin
        first = int(off[off < first].max(initial=begin - 1)) + 1
        last = int(off[off > last].min(initial=end))
        drift = abs(slope) * (last - first)
        least = _LEAST_DRIFT if pieces.is_counts else 100.0 * pieces.tolerance
        is_silent = not pieces.is_counts and 0.0 < float(np.ptp(y[first - begin : last - begin])) <= _SILENCE * usual
        if last - first >= n_least and (drift >= least or is_silent):
            found.append((first, last))
    return found
