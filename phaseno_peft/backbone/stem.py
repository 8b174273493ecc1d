"""The stem: a small convolutional network in time that listens to one station, ahead of the neural operator.

PhaseNO's operators see time through a few Fourier modes and pointwise layers, so that sharp onsets are hard to come by.
A U-Net of strided convolutions has them at once (Ronneberger et al. 2015; the proportions of the default are those of
PhaseNet, Zhu & Beroza 2019, table 1). Its curves take the place of the operator's two inert coordinate channels, and
its logits are added to the output; see `PhaseNO`. The operator's curves are broad in time, so that a sum of both peaks
between them; `focused` gives the time back to the stem.

Padding is TensorFlow's 'SAME', so that weights published for PhaseNet mean here what they meant there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextvars import copy_context
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phaseno_peft.backbone.config import StemConfig
from phaseno_peft.backbone.cpu import parallel
from phaseno_peft.contract import COMPONENTS
from phaseno_peft.errors import BackboneError

CLASSES = 3
"""Noise, P, S: one softmax over them."""
EPS = 1e-3
"""Added to variances, as in PhaseNet."""
MOMENTUM = 0.1
"""With which batch statistics enter the running ones while a stem learns them."""
LEAST_DEVIATION = 1e-6
"""Traces below this standard deviation carry nothing; windows arrive with 0.1."""
LARGEST_LOGIT = math.log((1 - 3e-4) / 3e-4)
"""Logits are cut here: beyond, they say no more about an onset and only outvote the operator."""
DISSENT = 0.25
"""By so many logits the peak of the sum may lie below the sum of the peaks until the stem's time counts 1 / e."""
STATIONS_AT_ONCE = 8
"""What one core convolves together, so that a piece fits its cache."""


class Layer(nn.Module):
    """relu(norm(convolution)); the norm is by running statistics, or by the batch's while they are learnt."""

    mean: Tensor
    variance: Tensor
    is_last = False
    """True of the one before the stem's output."""

    def __init__(self, channels_in: int, channels_out: int, config: StemConfig, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        size = config.kernel_samples
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, size) * (2 / (channels_in * size)) ** 0.5)
        self.scale = nn.Parameter(torch.ones(channels_out))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.register_buffer("mean", torch.zeros(channels_out))
        self.register_buffer("variance", torch.ones(channels_out))

    def forward(self, x: Tensor, learns_statistics: bool) -> Tensor:
        """[station, in, samples] -> [station, out, samples / stride, rounded up]."""
        return self.compute(x, self.weight, self.bias, learns_statistics)

    def compute(self, x: Tensor, weight: Tensor, bias: Tensor, learns_statistics: bool) -> Tensor:
        """`forward` with this weight and bias, which an adapter may have changed."""
        if learns_statistics:
            y = self.convolve(x, weight, None)
            return F.relu(F.batch_norm(y, self.mean, self.variance, self.scale, bias, True, MOMENTUM, EPS))
        factor = self.scale * torch.rsqrt(self.variance + EPS)
        return F.relu(self.convolve(x, self.scaled(weight, factor), bias - self.mean * factor))

    def scaled(self, weight: Tensor, factor: Tensor) -> Tensor:
        """A weight times a factor [out]."""
        return weight * factor[:, None, None]

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        left, right = same_padding(x.shape[-1], weight.shape[-1], self.stride)
        if left == right:
            return F.conv1d(x, weight, bias, self.stride, left)
        return F.conv1d(F.pad(x, (left, right)), weight, bias, self.stride)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Typed for mypy."""
        return cast(Tensor, super().__call__(*args, **kwargs))


class RisingLayer(Layer):
    """A `Layer` by transposed convolution: `stride` times as many samples. Its weight is [in, out, kernel]."""

    def __init__(self, channels_in: int, channels_out: int, config: StemConfig) -> None:
        super().__init__(channels_in, channels_out, config, config.stride)
        self.weight = nn.Parameter(self.weight.detach().transpose(0, 1).contiguous() * config.stride**0.5)

    def scaled(self, weight: Tensor, factor: Tensor) -> Tensor:
        return weight * factor[None, :, None]

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = F.conv_transpose1d(x, weight, bias, self.stride)
        first = (weight.shape[-1] - self.stride) // 2
        return y[..., first : first + self.stride * x.shape[-1]]


class Descent(nn.Module):
    """Down one level: features at this rate, then at a `stride`-th of it."""

    def __init__(self, channels_in: int, channels: int, config: StemConfig) -> None:
        super().__init__()
        self.same = Layer(channels_in, channels, config)
        self.down = Layer(channels, channels, config, config.stride)


class Ascent(nn.Module):
    """Up one level: the coarser features at this rate, mixed with those kept on the way down."""

    def __init__(self, channels_in: int, channels: int, config: StemConfig) -> None:
        super().__init__()
        self.up = RisingLayer(channels_in, channels, config)
        self.same = Layer(2 * channels, channels, config)


class Output(nn.Conv1d):
    """The pointwise convolution at a stem's end, to noise, P and S."""

    def __init__(self, channels_in: int, config: StemConfig) -> None:
        super().__init__(channels_in, CLASSES, 1)
        self.n_factors = 2 if config.reach_samples else 1
        """Factors a phase with which the network takes these logits: `skip`, and `focus` if the stem has a reach."""


class Stem(nn.Module):
    """Waveforms of stations -> logits of P and S for every station and sample, each station by itself."""

    def __init__(self, config: StemConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or StemConfig()
        widths = [config.channels * 2**level for level in range(config.levels)]
        self.first = Layer(3, widths[0], config)
        before = [widths[0], *widths]
        self.descents = nn.ModuleList(Descent(before[k], widths[k], config) for k in range(config.levels - 1))
        self.deepest = Layer(before[-2], widths[-1], config)
        self.ascents = nn.ModuleList(Ascent(widths[k + 1], widths[k], config) for k in reversed(range(len(widths) - 1)))
        cast(Ascent, self.ascents[-1]).same.is_last = True
        self.out = Output(widths[0], config)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor([4.0, -1.0, -1.0]))  # type: ignore[union-attr]  # arrivals are rare

    def forward(self, waveforms: Tensor, learns_statistics: bool = False) -> Tensor:
        """[station, 3 (E, N, Z), samples] as PhaseNO gets them -> logits [station, 2 (P, S), samples].

        With ``learns_statistics`` layers are normalised by the batch, and their running statistics follow; otherwise
        by the running ones, whatever the module's mode: a frozen backbone stays what it is while an adapter learns.
        """
        if not parallel.by_station(waveforms) or torch.is_grad_enabled():
            return self.listen(waveforms, learns_statistics)
        logits = waveforms.new_empty(len(waveforms), CLASSES - 1, waveforms.shape[-1])

        def piece(first: int) -> None:
            rows = slice(first, first + STATIONS_AT_ONCE)
            logits[rows] = self.listen(waveforms[rows], learns_statistics)

        with parallel.undivided():  # each piece in the caller's context, which says what adapter is in force
            pieces = range(0, len(waveforms), STATIONS_AT_ONCE)
            parallel.run([partial(copy_context().run, piece, first) for first in pieces])
        return logits

    def listen(self, waveforms: Tensor, learns_statistics: bool) -> Tensor:
        """`forward`, all stations at once."""
        noise, p, s = self.classes(waveforms, learns_statistics).float().unbind(1)
        logits = torch.stack([p - torch.logaddexp(noise, s), s - torch.logaddexp(noise, p)], 1)
        return logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)

    def classes(self, waveforms: Tensor, learns_statistics: bool = False) -> Tensor:
        """[station, 3 (E, N, Z), samples] -> what the softmax is taken of, [station, 3 (noise, P, S), samples]."""
        x = self.first(own_normalisation(waveforms), learns_statistics)
        kept = []
        for descent in cast("list[Descent]", list(self.descents)):
            kept.append(descent.same(x, learns_statistics))
            x = descent.down(kept[-1], learns_statistics)
        x = self.deepest(x, learns_statistics)
        for ascent, fine in zip(cast("list[Ascent]", list(self.ascents)), reversed(kept), strict=True):
            x = ascent.up(x, learns_statistics)
            surplus = (x.shape[-1] - fine.shape[-1]) // 2
            x = ascent.same(torch.cat([fine, x[..., surplus : surplus + fine.shape[-1]]], 1), learns_statistics)
        return cast(Tensor, self.out(x))

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Typed for mypy."""
        return cast(Tensor, super().__call__(*args, **kwargs))


def focused(logits: Tensor, heard: Tensor, skip: Tensor, factor: Tensor, reach_samples: int) -> Tensor:
    """logits + skip * heard, [station, 2 (P, S), sample], with its heights kept and its times drawn to the stem's.

    Where the operator's `logits` and the stem's `heard` peak together, a sample gets, at a factor of 1, the highest sum
    within `reach_samples`, less what the stem lacks there of its highest: the operator says whether there is an
    arrival, the stem when. The further apart they peak, the less (`DISSENT`), so that an operator that learns other
    times, as with an adapter, moves the output; and the less, the less the stem hears. At a factor of 0 it is the sum.
    """
    pool = partial(F.max_pool1d, kernel_size=2 * reach_samples + 1, stride=1, padding=reach_samples)
    skip, factor = skip[:, None], factor[:, None]
    both = torch.addcmul(logits, heard, skip)
    highest, most_heard = pool(both), pool(heard)
    dissent = (torch.addcmul(pool(logits), most_heard, skip) - highest).clamp(min=0)
    weight = torch.sigmoid(most_heard) * torch.exp(-dissent / DISSENT)
    return torch.addcmul(both, weight * (highest - both + heard - most_heard), factor)


def own_normalisation(waveforms: Tensor) -> Tensor:
    """Each trace of [station, 3, samples] less its mean, over its deviation; k living ones of three times 3 / k.

    Where one trace stands in all three slots it counts once, as the vertical: so a station with one component looks
    alike, whether the others are missing or filled up with it.
    """
    z = waveforms - waveforms.mean(-1, keepdim=True)
    deviation = z.square().mean(-1, keepdim=True).sqrt()
    living = deviation > LEAST_DEVIATION
    one_in_three = (waveforms[:, :2] == waveforms[:, 2:]).flatten(1).all(1)
    vertical = torch.tensor([False, False, True], device=waveforms.device)[None, :, None]
    living = living & (vertical | ~one_in_three[:, None, None])
    count = living.sum(1, keepdim=True).clamp(min=1)
    return torch.where(living, z / deviation.clamp(min=LEAST_DEVIATION) * (3.0 / count), 0.0)


def same_padding(samples: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros on the left and right of TensorFlow's 'SAME': as few as give samples / stride, rounded up."""
    total = max((-(-samples // stride) - 1) * stride + kernel - samples, 0)
    return total // 2, total - total // 2


def from_phasenet(tensors: Mapping[str, Tensor], phases: str, component_order: str, origin: str) -> Stem:
    """A stem that computes what a PhaseNet of these weights does: E, N, Z in, P and S out.

    ``tensors`` have the names under which PhaseNet is published for PyTorch (inc, in_bn, down_branch, up_branch, out),
    ``phases`` is the order of its classes (NPS, PSN), ``component_order`` that of its input. Raises `BackboneError`
    where they are another network's.
    """
    stem = Stem(StemConfig())
    names = {"first": ("inc", "in_bn"), "deepest": ("down_branch.4.0", "down_branch.4.1")}
    for k in range(4):
        for ours, theirs in ((f"descents.{k}", f"down_branch.{k}"), (f"ascents.{k}", f"up_branch.{k}")):
            parts = ("same", "down") if ours.startswith("d") else ("up", "same")
            names |= {f"{ours}.{part}": (f"{theirs}.{2 * i}", f"{theirs}.{2 * i + 1}") for i, part in enumerate(parts)}
    try:
        state = {"out.weight": tensors["out.weight"], "out.bias": tensors["out.bias"]}
        for ours, (convolution, norm) in names.items():
            state[f"{ours}.weight"] = tensors[f"{convolution}.weight"]
            for name, theirs in (("scale", "weight"), ("bias", "bias"), ("mean", "running_mean")):
                state[f"{ours}.{name}"] = tensors[f"{norm}.{theirs}"]
            state[f"{ours}.variance"] = tensors[f"{norm}.running_var"]
        state["first.mean"] = state["first.mean"] - tensors["inc.bias"]  # the norm behind it takes it off again
        classes = [phases.index(phase) for phase in "NPS"]
        state["out.weight"], state["out.bias"] = state["out.weight"][classes], state["out.bias"][classes]
        state["first.weight"] = state["first.weight"][:, [component_order.index(c) for c in COMPONENTS]]
        stem.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise BackboneError(f"{origin}: not the weights of a PhaseNet ({reason}).") from error
    return stem.eval().requires_grad_(False)
