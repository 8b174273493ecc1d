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
_BLOCK_PRODUCTS = 1 << 21
"""Kernel values held at a time; 16 MB."""


def resample(x: np.ndarray, from_hz: float, to_hz: float, lead_s: float) -> np.ndarray:
    """Values of x at times lead_s + j / to_hz after its first sample, j = 0, 1, ...

    The mirror image of x stands before and after it. `to_hz` must be at least `from_hz` / `FASTEST_RATIO`.
    """
    lead = lead_s * from_hz
    whole = int(np.floor(lead + TIMING_TOLERANCE_S * from_hz))
    fraction = lead - whole
    x = x[whole:]
    if abs(fraction) <= TIMING_TOLERANCE_S * from_hz:
        fraction = 0.0
    ratio = _ratio(from_hz, to_hz, (len(x) + whole) / from_hz)
    if ratio is None:
        return _by_table(x, from_hz, to_hz, fraction)
    up, down = ratio
    if fraction == 0.0 and up == down == 1:
        return x
    kernel = _kernel(up, down, round(fraction * 1e6))
    centre = len(kernel) // 2
    lead_zeros = -centre % down  # so that output samples fall on the kernel's centre
    y = scipy.signal.upfirdn(np.pad(kernel, (lead_zeros, 0)), x, up, down, mode="symmetric")
    return np.asarray(y[(centre + lead_zeros) // down :])


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


def _by_table(x: np.ndarray, from_hz: float, to_hz: float, fraction: float) -> np.ndarray:
    """`resample` by the kernel of `_kernel`, for any ratio: one row of kernel values an output sample."""
    step = from_hz / to_hz  # input samples between two output samples
    widest = max(1.0, step)  # input samples between two zero crossings
    half = _HALF_LENGTH * widest + 1.0  # input samples on each side
    table = _table(half / widest, 0.95 if step > 1.0 else 1.0)
    reach = int(np.ceil(half))
    n = max(0, int(np.floor((len(x) - 1 - fraction) / step + 1e-9)) + 1)
    padded = np.pad(x, reach + 1, mode="symmetric")
    offsets = np.arange(-reach, reach + 2)
    y = np.empty(n)
    rows = max(1, _BLOCK_PRODUCTS // len(offsets))
    for first in range(0, n, rows):
        at = fraction + step * np.arange(first, min(n, first + rows))  # in input samples
        nearest = np.floor(at).astype(np.int64)
        place = np.abs(offsets[None, :] - (at - nearest)[:, None]) * (_TABLE_STEPS / widest)
        index = np.minimum(place.astype(np.int64), len(table) - 2)
        weight = table[index] + (place - index) * (table[index + 1] - table[index])
        weight[place >= len(table) - 1] = 0.0
        columns = nearest[:, None] + offsets[None, :] + reach + 1
        y[first : first + len(at)] = np.einsum("ij,ij->i", weight, padded[np.minimum(columns, len(padded) - 1)])
    return y / widest


@functools.lru_cache(maxsize=8)
def _table(half: float, cutoff: float) -> np.ndarray:
    """Kernel from 0 to `half` zero crossings in steps of 1 / `_TABLE_STEPS`, with integral 1 over both sides."""
    u = np.arange(int(half * _TABLE_STEPS) + 2) / _TABLE_STEPS
    inside = np.clip(1.0 - (u / half) ** 2, 0.0, None)
    kernel = np.sinc(u * cutoff) * np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    kernel[u > half] = 0.0
    return np.asarray(kernel / ((2 * kernel.sum() - kernel[0]) / _TABLE_STEPS))
