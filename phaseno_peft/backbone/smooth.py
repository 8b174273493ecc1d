"""The mean over all stations of gelu(a + b_j), as a smooth function of a.

In a network where everyone hears everyone, all targets ask the same function of one variable, one for each channel and
sample, at as many places as there are stations. It is analytic, so it is evaluated on a few Chebyshev nodes across the
stations' range of a and interpolated: n * nodes GELUs in place of n * n. Ranges differ widely between channels and
moments; each patch of channels and samples takes the nodes its own range needs, or the plain sum where that is less.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

_gelu_ = torch.ops.aten.gelu_
MIN_STATIONS = 14
"""Below this, plain sums cost less."""
PATCH_CHANNELS = 48
_LIMITS = (
    (0.2, 4), (0.4, 5), (0.6, 6), (0.8, 7), (1.1, 8), (1.4, 9), (1.6, 10), (2.1, 12), (2.6, 14), (3.2, 16), (3.7, 18),
    (4.2, 20), (5.2, 24), (6.2, 28), (7.2, 32),
)  # fmt: skip
"""(largest half range of a, nodes) that keep the interpolated GELU within 2e-5, wherever b lies."""


def order_by_range(at_target: Tensor) -> Tensor:
    """[station, time, channel] -> channels in order of the stations' mean range."""
    return (at_target.amax(0) - at_target.amin(0)).mean(0).argsort()


def hear_everyone(target: Tensor, source: Tensor, heard: Tensor, channels: int) -> None:
    """Terms of targets and sources -> mean of the GELUs in `heard`, all [station, time * channel]."""
    n = len(target)
    target, source = target.view(n, -1, channels), source.view(n, -1, channels)
    means = heard.view(n, -1, channels)
    low, high = torch.aminmax(target, dim=0)  # [time, channel]
    middle, half = (low + high).mul_(0.5), (high - low).mul_(0.5)
    widest = torch.split(half.amax(0), PATCH_CHANNELS)
    for i, first in enumerate(range(0, channels, PATCH_CHANNELS)):
        patch = slice(first, first + PATCH_CHANNELS)
        a, b = target[..., patch], source[..., patch].contiguous()
        nodes = _nodes(float(widest[i].max()))
        if 1.4 * nodes >= n:
            means[..., patch] = _sum(a.contiguous(), b)
        else:
            means[..., patch] = _interpolated(a, b, middle[:, patch].contiguous(), half[:, patch].contiguous(), nodes)
    heard.mul_(1 / n)


def _sum(a: Tensor, b: Tensor) -> Tensor:
    """Sum over j of gelu(a_i + b_j), every i."""
    heard, buffer = torch.empty_like(a), torch.empty_like(b)
    for i in range(len(a)):
        torch.sum(_gelu_(torch.add(b, a[i], out=buffer)), 0, out=heard[i])
    return heard


def _interpolated(a: Tensor, b: Tensor, middle: Tensor, half: Tensor, nodes: int) -> Tensor:
    places, transform = _chebyshev(nodes)
    buffer, values = torch.empty_like(b), b.new_empty(nodes, *b.shape[1:])
    for k, place in enumerate(places):
        torch.sum(_gelu_(torch.add(b, torch.add(middle, half, alpha=place), out=buffer)), 0, out=values[k])
    c = torch.mm(transform, values.view(nodes, -1)).view_as(values)  # Chebyshev coefficients
    u = (a - middle).mul_(2 / half.clamp(min=1e-6))  # twice the place within [-1, 1]
    later, now = c[-1].expand_as(u).clone(), torch.addcmul(c[-2], u, c[-1], out=buffer)
    for k in range(nodes - 3, 0, -1):  # Clenshaw
        torch.sub(c[k], later, out=later).addcmul_(u, now)
        later, now = now, later
    return torch.sub(c[0], later, out=later).addcmul_(u, now, value=0.5)


def _nodes(half_range: float) -> int:
    return next((nodes for limit, nodes in _LIMITS if half_range <= limit), 1 << 30)


@lru_cache
def _chebyshev(nodes: int) -> tuple[list[float], Tensor]:
    """Nodes in [-1, 1] and the matrix from values there to coefficients."""
    angles = [math.pi * (k + 0.5) / nodes for k in range(nodes)]
    rows = [[2 / nodes * math.cos(m * angle) / (2 if m == 0 else 1) for angle in angles] for m in range(nodes)]
    return [math.cos(angle) for angle in angles], torch.tensor(rows)
