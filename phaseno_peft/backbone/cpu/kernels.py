"""The inner loops of the network on a CPU: GELU and what it is always summed, scaled or multiplied with, in one pass.

A message between stations costs one addition, one GELU and one accumulation for every channel and sample. As three
operations on tensors they cost 1.7 ns together, most of it erf and memory; compiled into one loop, 0.6 ns. numba
compiles them at the first call and keeps the machine code beside this file, or in the user's cache folder.

GELU is max(x, 0) plus an even bulge, x * Phi(x) - max(x, 0) = -|x| * Phi(-|x|), which one polynomial gives to 2e-7 over
|x| < 5.5 and which is below 1.1e-7 beyond: as exact as a float32 erf. Its derivative is good to 1e-6. NaN stays NaN.

Tensors are contiguous, float32, without gradient. What is written is none of what is read, unless a name ends in `_`:
the compiled loops are eight lanes wide only where they see that nothing overlaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ParamSpec

import numpy as np
from numba import njit
from numpy.polynomial.chebyshev import cheb2poly, chebinterpolate
from numpy.typing import NDArray
from torch import Tensor

P = ParamSpec("P")
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

f32 = np.float32
_REACH, _DEGREE = 5.5, 16
_TO_UNIT = f32(2 / _REACH)
_LANES = 512
"""Elements of one station's series that are summed before the next: few enough for the first cache."""
_PATCH = 64
"""Elements that share their Chebyshev nodes."""


def _coefficients(function: Callable[[float], float]) -> tuple[np.float32, ...]:
    """Powers of s in [-1, 1] that give `function` over [0, 5.5]."""
    series = chebinterpolate(np.vectorize(lambda s: function(_REACH / 2 * (s + 1))), _DEGREE)
    return tuple(f32(c) for c in cheb2poly(series))


_BULGE = _coefficients(lambda u: -u * math.erfc(u / math.sqrt(2)) / 2)
_SLOPE = _coefficients(
    lambda u: u * math.exp(-u * u / 2) / math.sqrt(2 * math.pi) - math.erfc(u / math.sqrt(2)) / 2,
)
"""Of the bulge."""


def _compiled(function: Callable[P, None]) -> Callable[P, None]:
    """To machine code that lets other threads run; multiplications and additions may fuse, nothing else is relaxed."""
    options = {"nogil": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}
    try:
        result: Callable[P, None] = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep machine code in: compiled again in every process
        result = njit(**options)(function)
    return result


def _inlined(function: Callable[P, np.float32]) -> Callable[P, np.float32]:
    result: Callable[P, np.float32] = njit(inline="always")(function)
    return result


# --- one number -----------------------------------------------------------------------------------------------------


@_inlined
def _polynomial(c: tuple[np.float32, ...], s: np.float32) -> np.float32:
    """Of degree 16, in an order that leaves a processor little to wait for (Estrin's)."""
    s2 = s * s
    s4 = s2 * s2
    s8 = s4 * s4
    low = (c[0] + c[1] * s + (c[2] + c[3] * s) * s2) + (c[4] + c[5] * s + (c[6] + c[7] * s) * s2) * s4
    high = (c[8] + c[9] * s + (c[10] + c[11] * s) * s2) + (c[12] + c[13] * s + (c[14] + c[15] * s) * s2) * s4
    return low + (high + c[16] * s8) * s8


@_inlined
def _place(x: np.float32) -> np.float32:
    """Of |x|, at most 5.5, in [-1, 1]."""
    u = abs(x)
    u = u if u < f32(_REACH) else f32(_REACH)
    return u * _TO_UNIT - f32(1)


@_inlined
def _gelu(x: np.float32) -> np.float32:
    return _polynomial(_BULGE, _place(x)) + (f32(0) if x < f32(0) else x)


@_inlined
def _gelu_slope(x: np.float32) -> np.float32:
    slope = _polynomial(_SLOPE, _place(x))
    return f32(1) + slope if x > f32(0) else -slope


# --- loops ----------------------------------------------------------------------------------------------------------


@_compiled
def _gelu_all(x: Floats) -> None:
    for k in range(x.size):
        x[k] = _gelu(x[k])


@_compiled
def _gelu_backward_all(grad: Floats, x: Floats) -> None:
    for k in range(x.size):
        x[k] = grad[k] * _gelu_slope(x[k])


@_compiled
def _scaled_gelu(x: Floats, scale: Floats, shift: Floats, out: Floats) -> None:
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            out[t, c] = _gelu(x[t, c] * scale[c] + shift[c])


@_compiled
def _scaled_gelu_backward(grad: Floats, x: Floats, scale: Floats, shift: Floats, out: Floats) -> None:
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            out[t, c] = grad[t, c] * _gelu_slope(x[t, c] * scale[c] + shift[c])


@_compiled
def _hear(target: Floats, source: Floats, pointers: Rows, rows: Rows, out: Floats) -> None:
    n, size = target.shape
    for start in range(0, size, _LANES):
        lanes = min(_LANES, size - start)
        for i in range(n):
            a, heard = target[i, start : start + lanes], out[i, start : start + lanes]
            first, last = pointers[i], pointers[i + 1]
            share = f32(1) / f32(max(last - first, 1))
            if (last - first) % 2:
                b = source[rows[first], start : start + lanes]
                for k in range(lanes):
                    heard[k] = _gelu(a[k] + b[k]) * share
                first += 1
            else:
                heard[:] = f32(0)
            for q in range(first, last, 2):
                b, c = source[rows[q], start : start + lanes], source[rows[q + 1], start : start + lanes]
                for k in range(lanes):
                    heard[k] += (_gelu(a[k] + b[k]) + _gelu(a[k] + c[k])) * share


@_compiled
def _hear_backward(
    grad: Floats, target: Floats, source: Floats, pointers: Rows, rows: Rows, of_target: Floats, of_source: Floats
) -> None:
    n, size = target.shape
    for start in range(0, size, _LANES):
        lanes = min(_LANES, size - start)
        of_source[:, start : start + lanes] = f32(0)
        for i in range(n):
            a, g = target[i, start : start + lanes], grad[i, start : start + lanes]
            total = of_target[i, start : start + lanes]
            total[:] = f32(0)
            share = f32(1) / f32(max(pointers[i + 1] - pointers[i], 1))
            for q in range(pointers[i], pointers[i + 1]):
                b, part = source[rows[q], start : start + lanes], of_source[rows[q], start : start + lanes]
                for k in range(lanes):
                    flow = g[k] * share * _gelu_slope(a[k] + b[k])
                    total[k] += flow
                    part[k] += flow


@_compiled
def _hear_everyone(target: Floats, source: Floats, limits: Floats, nodes: Rows, cosines: Floats, out: Floats) -> None:
    n, size = target.shape
    low, high = np.empty(_PATCH, f32), np.empty(_PATCH, f32)
    middle, half, per_half = np.empty(_PATCH, f32), np.empty(_PATCH, f32), np.empty(_PATCH, f32)
    node, later, now = np.empty(_PATCH, f32), np.empty(_PATCH, f32), np.empty(_PATCH, f32)
    values, terms = np.empty((cosines.shape[1], _PATCH), f32), np.empty((cosines.shape[1] + 1, _PATCH), f32)
    share = f32(1) / f32(n)
    for start in range(0, size, _PATCH):
        lanes = min(_PATCH, size - start)
        low[:lanes] = target[0, start : start + lanes]
        high[:lanes] = target[0, start : start + lanes]
        for i in range(1, n):
            a = target[i, start : start + lanes]
            for k in range(lanes):
                low[k] = a[k] if a[k] < low[k] else low[k]
                high[k] = a[k] if a[k] > high[k] else high[k]
        widest = f32(0)
        for k in range(lanes):
            middle[k], half[k] = f32(0.5) * (low[k] + high[k]), f32(0.5) * (high[k] - low[k])
            per_half[k] = f32(2) / (half[k] if half[k] > f32(1e-6) else f32(1e-6))
            widest = half[k] if half[k] > widest else widest
        row = np.searchsorted(limits, widest)
        count = nodes[row] if row < limits.size else n
        if f32(1.2) * count >= n:
            for i in range(n):
                a, heard = target[i, start : start + lanes], out[i, start : start + lanes]
                heard[:] = f32(0)
                for j in range(n):
                    b = source[j, start : start + lanes]
                    for k in range(lanes):
                        heard[k] += _gelu(a[k] + b[k])
                for k in range(lanes):
                    heard[k] *= share
            continue
        for q in range(count):
            mean = values[q]
            mean[:] = f32(0)
            for k in range(lanes):
                node[k] = middle[k] + half[k] * cosines[row, 1, q]
            for j in range(n):
                b = source[j, start : start + lanes]
                for k in range(lanes):
                    mean[k] += _gelu(node[k] + b[k])
        for m in range(count):  # Chebyshev coefficients
            scale = share * f32(1 if m == 0 else 2) / f32(count)
            term = terms[m]
            term[:] = f32(0)
            for q in range(count):
                weight = scale * cosines[row, m, q]
                for k in range(lanes):
                    term[k] += weight * values[q, k]
        terms[count] = f32(0)
        for i in range(n):  # Clenshaw's recurrence
            a, heard = target[i, start : start + lanes], out[i, start : start + lanes]
            for k in range(lanes):
                node[k] = (a[k] - middle[k]) * per_half[k]  # twice the place within [-1, 1]
                later[k] = f32(0)
                now[k] = f32(0)
            for m in range(count // 2 * 2, 0, -2):
                for k in range(lanes):
                    later[k] = terms[m, k] + (node[k] * now[k] - later[k])
                for k in range(lanes):
                    now[k] = terms[m - 1, k] + (node[k] * later[k] - now[k])
            for k in range(lanes):
                heard[k] = terms[0, k] + (f32(0.5) * node[k] * now[k] - later[k])


# --- of tensors -----------------------------------------------------------------------------------------------------


def _array(x: Tensor) -> Floats:
    array: Floats = x.detach().numpy()
    return array


def gelu_(x: Tensor) -> Tensor:
    """In place; any shape."""
    _gelu_all(_array(x.view(-1)))
    return x


def gelu_backward_(grad: Tensor, x: Tensor) -> Tensor:
    """grad times the derivative at x, in place of x; two tensors of the same shape."""
    _gelu_backward_all(_array(grad.view(-1)), _array(x.view(-1)))
    return x


def scaled_gelu(x: Tensor, scale: Tensor, shift: Tensor, out: Tensor) -> Tensor:
    """`out` = gelu(x * scale + shift): x, out [time, channel], scale, shift [channel]."""
    _scaled_gelu(_array(x), _array(scale), _array(shift), _array(out))
    return out


def scaled_gelu_backward(grad: Tensor, x: Tensor, scale: Tensor, shift: Tensor, out: Tensor) -> Tensor:
    """`out` = grad times the derivative at x * scale + shift: grad, x, out [time, channel], scale, shift [channel]."""
    _scaled_gelu_backward(_array(grad), _array(x), _array(scale), _array(shift), _array(out))
    return out


def hear(target: Tensor, source: Tensor, pointers: Rows, rows: Rows, out: Tensor) -> None:
    """out[i] = mean of gelu(target[i] + source[j]) over j in rows[pointers[i] : pointers[i + 1]], or zero.

    target, source, out: [station, element]; `out` is none of the others.
    """
    _hear(_array(target), _array(source), pointers, rows, _array(out))


def hear_backward(
    grad: Tensor, target: Tensor, source: Tensor, pointers: Rows, rows: Rows, of_target: Tensor, of_source: Tensor
) -> None:
    """The gradients of `hear` by its first two arguments, written to two tensors that are none of the others."""
    arrays = (_array(grad), _array(target), _array(source), pointers, rows, _array(of_target), _array(of_source))
    _hear_backward(*arrays)


def hear_everyone(target: Tensor, source: Tensor, out: Tensor) -> None:
    """`hear` where all hear all, in some n * 10 GELUs an element in place of n * n (within 2e-5).

    All targets ask the same smooth function of one variable, a -> mean of gelu(a + source[j]), at as many places as
    there are stations. It is evaluated on a few Chebyshev nodes across the targets' range and interpolated. Each patch
    of elements takes the nodes its range needs, or the plain sum where that is less; so order channels by range.
    """
    _hear_everyone(_array(target), _array(source), _LIMITS, _NODES, _COSINES, _array(out))


_NEEDED = (
    (0.2, 4), (0.4, 5), (0.6, 6), (0.8, 7), (1.1, 8), (1.4, 9), (1.6, 10), (2.1, 12), (2.6, 14), (3.2, 16), (3.7, 18),
    (4.2, 20), (5.2, 24), (6.2, 28), (7.2, 32),
)  # fmt: skip
"""(largest half range of a, nodes) that keep the interpolated GELU within 2e-5, wherever b lies."""
_LIMITS = np.array([limit for limit, _ in _NEEDED], np.float32)
_NODES = np.array([count for _, count in _NEEDED], np.int64)
_COSINES = np.zeros((len(_NEEDED), 32, 32), np.float32)
"""[range, order m, node q] cos(m * angle of node q); row 1 are the nodes themselves."""
for _row, (_, _count) in enumerate(_NEEDED):
    _angle = math.pi * (np.arange(_count) + 0.5) / _count
    _COSINES[_row, :_count, :_count] = np.cos(np.outer(np.arange(_count), _angle))
