"""Samples at one rate brought onto another's grid: a Kaiser-windowed sinc, sub-sample shift included.

Rates in a simple ratio go through one polyphase filter. All others (99.99931 Hz) take each output sample from the
same kernel, read from a table in blocks: exact timing, and time and memory that do not depend on the ratio's digits.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import scipy.signal

TIMING_TOLERANCE_S = 1e-5
"""Starts this near to the grid and clocks that drift less than this within a segment count as exact."""
HEADER_PRECISION = 6e-8
"""Half a unit in the last place of a float32, which is how SAC and others store rates: 5 ms a day at most."""
LARGEST_UPSAMPLING = 1000
"""Factor beyond which the polyphase filter's kernel costs more than the table does."""
FASTEST_RATIO = 20_000.0
"""Input samples for one output sample; 2 MHz at a grid of 100 Hz."""

_HALF_LENGTH = 16
"""Zero crossings of the sinc kernel on each side."""
_KAISER_BETA = 6.0
_TABLE_STEPS = 2048
"""Table entries between two zero crossings: linear interpolation errs by 1e-7 of the kernel's peak."""
_SETTLED_S = 2.0 * TIMING_TOLERANCE_S / HEADER_PRECISION
"""Of longer segments the length does not decide any more whether a ratio is exact enough."""
_BLOCK_PRODUCTS = 1 << 21
"""Kernel values held at a time; 16 MB."""


def resample(x: np.ndarray, from_hz: float, to_hz: float, lead_s: float) -> np.ndarray:
    """Values of x at times lead_s + j / to_hz after its first sample, j = 0, 1, ...

    The mirror image of x stands before and after it. `to_hz` must be at least `from_hz` / `FASTEST_RATIO`.
    """
    return Resampler(from_hz, to_hz, lead_s).push(x, last=True)


class Resampler:
    """`resample` for a segment that comes in pieces: the same values, wherever it is cut."""

    def __init__(self, from_hz: float, to_hz: float, lead_s: float) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz
        lead = lead_s * from_hz
        whole = int(np.floor(lead + TIMING_TOLERANCE_S * from_hz))
        fraction = lead - whole
        self._fraction = 0.0 if abs(fraction) <= TIMING_TOLERANCE_S * from_hz else fraction
        self._whole = whole
        """Samples before the one that the first value stands at."""
        self._held = np.zeros(0)
        self._first = 0
        """Position of the first held sample behind the `whole` ones."""
        self._seen = 0
        self._made = 0
        self._ratio: tuple[int, int] | None = None
        self._decided = False

    def push(self, x: np.ndarray, *, last: bool) -> np.ndarray:
        """The values that x, which follows on what was pushed before, makes certain; all the rest with the `last`."""
        drop = min(len(x), max(0, self._whole - self._seen))
        self._seen += len(x)
        self._held = x[drop:] if not len(self._held) else np.concatenate([self._held, x[drop:]])
        if not self._decide(last=last) or not len(self._held):
            return np.zeros(0)
        if self._ratio is None:
            return self._by_table(last=last)
        up, down = self._ratio
        if self._fraction == 0.0 and up == down == 1:
            values, self._held = self._held, np.zeros(0)
            return values
        return self._by_ratio(up, down, last=last)

    def _decide(self, *, last: bool) -> bool:
        """Choose the ratio, which hangs on the segment's length as long as the segment is short."""
        if not self._decided:
            duration_s = self._seen / self._from_hz
            self._ratio = _ratio(self._from_hz, self._to_hz, duration_s)
            settled = duration_s >= _SETTLED_S or self._ratio == _ratio(self._from_hz, self._to_hz, _SETTLED_S)
            self._decided = last or settled
        return self._decided

    def _by_ratio(self, up: int, down: int, *, last: bool) -> np.ndarray:
        kernel = _kernel(up, down, round(self._fraction * 1e6))
        centre = len(kernel) // 2
        lead_zeros = -centre % down  # so that output samples fall on the kernel's centre
        reach = -(-(centre + lead_zeros) // up) + 1  # input samples on each side
        mode = "symmetric"
        y = scipy.signal.upfirdn(np.pad(kernel, (lead_zeros, 0)), self._held, up, down, mode=mode)
        y = y[(centre + lead_zeros) // down :]
        before = self._first // down * up  # values that belong to samples no longer held
        end = self._first + len(self._held)
        certain = before + len(y) if last else max(self._made, -(-(end - reach) * up // down))
        values = np.array(y[self._made - before : certain - before])
        self._made = certain
        self._keep_from((certain * down // up - reach) // down * down)
        return values

    def _by_table(self, *, last: bool) -> np.ndarray:
        step = self._from_hz / self._to_hz
        reach = _table_reach(step)
        end = self._first + len(self._held)
        n = max(0, int(np.floor((end - 1 - self._fraction) / step + 1e-9)) + 1)
        if not last:
            n = max(self._made, int(np.floor((end - reach - 3 - self._fraction) / step)))
        values = _from_table(self._held, self._first, step, self._fraction, self._made, n)
        self._made = n
        self._keep_from(int(self._fraction + step * n) - reach - 3)
        return values

    def _keep_from(self, position: int) -> None:
        if position > self._first:
            self._held = self._held[position - self._first :].copy()
            self._first = position


def _ratio(from_hz: float, to_hz: float, duration_s: float) -> tuple[int, int] | None:
    """Smallest up/down whose clock stays within the tolerances over the segment; None where no small one does."""
    exact = Fraction(to_hz) / Fraction(from_hz)
    tolerance_s = max(TIMING_TOLERANCE_S, HEADER_PRECISION * duration_s)
    for largest in (1, 2, 5, 10, 20, 50, 100, 1000, 10_000):
        ratio = exact.limit_denominator(largest)
        if ratio > 0 and abs(float(ratio / exact) - 1.0) * duration_s <= tolerance_s:
            return (ratio.numerator, ratio.denominator) if ratio.numerator <= LARGEST_UPSAMPLING else None
    return None


@functools.lru_cache(maxsize=16)
def _kernel(up: int, down: int, shift_millionths: int) -> np.ndarray:
    """Kaiser-windowed sinc at the upsampled rate, advanced by a fraction of an input sample."""
    widest = max(up, down)
    half = _HALF_LENGTH * widest
    shift = shift_millionths * 1e-6 * up
    # centred at -shift: output j sees x(t_j + shift)
    m = np.arange(-half - up, half + up + 1, dtype=np.float64) + shift
    cutoff = 1.0 if down <= up else 0.95  # of the lower of the two Nyquist frequencies
    inside = np.clip(1.0 - (m / (half + up)) ** 2, 0.0, None)
    taps = np.sinc(m * cutoff / widest) * np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    taps[np.abs(m) > half + up] = 0.0
    return np.asarray(taps * (up / taps.sum()))


def _table_reach(step: float) -> int:
    """Input samples on each side that the table's kernel takes."""
    return int(np.ceil(_HALF_LENGTH * max(1.0, step) + 1.0))


def _from_table(x: np.ndarray, first: int, step: float, fraction: float, begin: int, end: int) -> np.ndarray:
    """Values `begin` to `end` of a segment whose sample `first` is x[0], by the kernel of `_kernel`, for any ratio."""
    widest = max(1.0, step)  # input samples between two zero crossings
    half = _HALF_LENGTH * widest + 1.0  # input samples on each side
    table = _table(half / widest, 0.95 if step > 1.0 else 1.0)
    reach = _table_reach(step)
    padded = np.pad(x, reach + 1, mode="symmetric")
    offsets = np.arange(-reach, reach + 2)
    y = np.empty(end - begin)
    rows = max(1, _BLOCK_PRODUCTS // len(offsets))
    for row in range(begin, end, rows):
        at = fraction + step * np.arange(row, min(end, row + rows))  # in input samples
        nearest = np.floor(at).astype(np.int64)
        place = np.abs(offsets[None, :] - (at - nearest)[:, None]) * (_TABLE_STEPS / widest)
        index = np.minimum(place.astype(np.int64), len(table) - 2)
        weight = table[index] + (place - index) * (table[index + 1] - table[index])
        weight[place >= len(table) - 1] = 0.0
        columns = nearest[:, None] - first + offsets[None, :] + reach + 1
        y[row - begin : row - begin + len(at)] = np.einsum(
            "ij,ij->i", weight, padded[np.minimum(columns, len(padded) - 1)]
        )
    return y / widest


@functools.lru_cache(maxsize=8)
def _table(half: float, cutoff: float) -> np.ndarray:
    """Kernel from 0 to `half` zero crossings in steps of 1 / `_TABLE_STEPS`, with integral 1 over both sides."""
    u = np.arange(int(half * _TABLE_STEPS) + 2) / _TABLE_STEPS
    inside = np.clip(1.0 - (u / half) ** 2, 0.0, None)
    kernel = np.sinc(u * cutoff) * np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    kernel[u > half] = 0.0
    return np.asarray(kernel / ((2 * kernel.sum() - kernel[0]) / _TABLE_STEPS))
