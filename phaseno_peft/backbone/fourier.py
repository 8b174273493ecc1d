"""Band-limited transforms and resampling along time, as thin matrix products.

Only 24, 12 or 8 Fourier modes survive in a block, so two matrices of that many columns replace FFT, truncation and
inverse FFT exactly (golden vectors: 1e-14 in float64). Time is axis 1: [station, time, channel].
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn


def analysis_matrix(samples: int, modes: int) -> Tensor:
    """[2 * modes, samples] float32: real parts, then imaginary parts, of the first modes of rfft(norm="forward")."""
    angle = _angles(samples, modes)
    return (torch.cat([angle.cos(), -angle.sin()]) / samples).float()


def synthesis_matrix(samples: int, modes: int) -> Tensor:
    """[samples, 2 * modes] float32: inverse of the above, irfft(norm="forward") of modes that are zero elsewhere."""
    angle = _angles(samples, modes)
    twice = torch.full((modes, 1), 2.0, dtype=torch.float64)
    twice[0] = 1.0
    return torch.cat([angle.cos() * twice, -angle.sin() * twice]).T.contiguous().float()


def _angles(samples: int, modes: int) -> Tensor:
    """[modes, samples] float64, reduced to one turn before scaling so that late samples keep their accuracy."""
    turns = torch.outer(torch.arange(modes), torch.arange(samples)) % samples
    return turns.double() * (2 * math.pi / samples)


class SpectralConv(nn.Module):
    """Holds the Fourier branch of a block: modes are mixed over channels, y(k) = sum_i x_i(k) W(i, o, k).

    Li et al. 2021 (arXiv 2010.08895) as in Sun et al. 2023. `weights1` [in, out, modes] complex64, upstream's name.
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, channels_in: int, channels_out: int, modes: int, samples_in: int, samples_out: int) -> None:
        super().__init__()
        self.modes = modes
        # Upstream draws uniform [0, 1) / (in * out), which the InstanceNorm that follows cannot see; start visible.
        start = torch.randn(channels_in, channels_out, modes, dtype=torch.complex64) * channels_in**-0.5
        self.weights1 = nn.Parameter(start)
        self.register_buffer("analysis", analysis_matrix(samples_in, modes), persistent=False)
        self.register_buffer("synthesis", synthesis_matrix(samples_out, modes), persistent=False)


class Resample(nn.Module):
    """Linear interpolation along time with both ends kept (upstream's `F.interpolate(..., align_corners=True)`).

    Positions are computed in float64: upstream's float32 positions are most of its float32 noise (golden/README.md).
    """

    earlier: Tensor
    later: Tensor
    share: Tensor
    mean: Tensor
    """[samples in] weights of the mean over time of the result."""
    users: Tensor
    """[k, samples in] samples of the result that a sample is used in."""
    user_share: Tensor
    """[k, samples in, 1] with which weight, zero where there are fewer than k."""

    def __init__(self, samples_in: int, samples_out: int) -> None:
        super().__init__()
        self.shrinks = samples_out < samples_in
        position = torch.arange(samples_out, dtype=torch.float64) * ((samples_in - 1) / max(samples_out - 1, 1))
        earlier = position.floor().long().clamp(max=max(samples_in - 2, 0))
        share = position - earlier
        used, order = torch.cat([earlier, earlier + 1]).sort(stable=True)
        user, weight = torch.arange(samples_out).repeat(2)[order], torch.cat([1 - share, share])[order]
        counts = torch.bincount(used, minlength=samples_in)
        place = torch.arange(len(used)) - (counts.cumsum(0) - counts)[used]
        users = torch.zeros(int(counts.max()), samples_in, dtype=torch.int64)
        user_share = torch.zeros(*users.shape, 1)
        users[place, used], user_share[place, used, 0] = user, weight.float()
        mean = torch.zeros(samples_in, dtype=torch.float64).index_add_(0, used, weight / samples_out)
        for name, tensor in (
            ("earlier", earlier),
            ("later", earlier + 1),
            ("share", share.float()[:, None]),
            ("mean", mean.float()),
            ("users", users),
            ("user_share", user_share),
        ):
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., samples in, channel] -> [..., samples out, channel]."""
        share = self.share.to(x.dtype)  # lerp takes one kind of number only, also in mixed precision
        return torch.lerp(x.index_select(-2, self.earlier), x.index_select(-2, self.later), share)

    def transposed(self, g: Tensor) -> Tensor:
        """Gradient of the result, [samples out, channel] -> gradient of the input, [samples in, channel]."""
        total = g.index_select(0, self.users[0]).mul_(self.user_share[0])
        for users, share in zip(self.users[1:], self.user_share[1:], strict=True):
            total.addcmul_(g.index_select(0, users), share)
        return total

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Typed for mypy."""
        return cast(Tensor, super().__call__(*args, **kwargs))
