"""PhaseNO (Sun et al. 2023): Fourier neural operators in time, graph neural operators between stations.

Upstream's parameter names, shapes and numbers; the arithmetic is rearranged (DESIGN section 2), never changed. Inside,
tensors are time-major, [station, time, channel], so that every pointwise layer is one matrix product.

Two facts of upstream's network are part of its trained weights and reproduced as they are: InstanceNorm makes the two
coordinate channels of the input inert, so geometry acts only through the edges; and a message puts the *source's*
coordinates beside the *target's* features and the reverse.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phaseno_peft.backbone.config import PhaseNOConfig
from phaseno_peft.backbone.fourier import Resample, SpectralConv
from phaseno_peft.backbone.graph import StationGraph
from phaseno_peft.backbone.messages import mean_of_gelu
from phaseno_peft.errors import BackboneError


class Gated(Protocol):
    """A pointwise layer that also weighs its output channels (an adapter's squeeze-and-excitation)."""

    def gate(self, time_mean: Tensor) -> Tensor | None:
        """[station, channel] mean over time of the layer's output -> [station, channel] factors, or None for ones."""


class Pointwise(nn.Module):
    """Holds the 1x1 convolution of a Fourier block under upstream's name `w.conv`."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels_out, 1)


class FourierBlock(nn.Module):
    """gelu(InstanceNorm(spectral(x) + gate * resample(conv1x1(x)))); the gate is 1 unless an adapter brings one."""

    def __init__(
        self, channels_in: int, channels_out: int, modes: int, samples_in: int, samples_out: int, activate: bool = True
    ) -> None:
        super().__init__()
        self.conv = SpectralConv(channels_in, channels_out, modes, samples_in, samples_out)
        self.w = Pointwise(channels_in, channels_out)
        self.normalize_layer = nn.InstanceNorm1d(channels_out, affine=True)
        self.resample = Resample(samples_in, samples_out) if samples_in != samples_out else None
        self.shrinks = samples_out < samples_in
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """[station, samples in, in] -> [station, samples out, out]."""
        pointwise = self.w.conv
        weight, bias = pointwise.weight.squeeze(-1), pointwise.bias
        gate: Tensor | None = None
        if hasattr(pointwise, "gate"):
            gate = cast(Gated, pointwise).gate(F.linear(x.mean(1), weight, bias))
        if self.resample is None:
            local = F.linear(x, weight, bias)
        elif self.shrinks:  # a 1x1 convolution commutes with interpolation: convolve at the lower rate
            local = F.linear(self.resample(x), weight, bias)
        else:
            local = self.resample(F.linear(x, weight, bias))
        if gate is not None:
            local = local * gate[:, None]
        y = self.conv(x) + local
        norm = self.normalize_layer
        y = y - y.mean(1, keepdim=True)
        scale = torch.rsqrt(y.square().mean(1, keepdim=True) + norm.eps) * norm.weight
        y = torch.addcmul(norm.bias, y, scale)
        return F.gelu(y) if self.activate else y


class FeedForward(nn.Module):
    """Two linear layers under upstream's names; `GraphBlock` applies them piecewise."""

    def __init__(self, channels_in: int, hidden: int, channels_out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels_in, hidden)
        self.fc2 = nn.Linear(hidden, channels_out)


class GraphBlock(nn.Module):
    """Messages between stations, sample by sample: mean over incoming edges, then update of [message, own features]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.edge = FeedForward(2 * channels + 4, 4 * channels, channels)
        self.aggre = FeedForward(2 * channels, 4 * channels, channels)

    def forward(self, x: Tensor, graph: StationGraph) -> Tensor:
        """[station, time, channel] -> same shape."""
        c = self.channels
        first, second = self.edge.fc1, self.edge.fc2
        weight = first.weight  # columns: target features, source coordinates, source features, target coordinates
        at_target = F.linear(x, weight[:, :c])
        at_target += F.linear(graph.coordinates, weight[:, 2 * c + 2 :], first.bias)[:, None]
        at_source = F.linear(x, weight[:, c + 2 : 2 * c + 2])
        at_source += F.linear(graph.coordinates, weight[:, c : c + 2])[:, None]
        heard = mean_of_gelu(at_target, at_source, graph)  # [S, T, 4c]
        message = F.linear(heard, second.weight)
        message += second.bias * (graph.in_degree > 0)[:, None, None]
        first, second = self.aggre.fc1, self.aggre.fc2
        weight = first.weight
        hidden = F.linear(message, weight[:, :c]) + F.linear(x, weight[:, c:], first.bias)
        return F.linear(F.gelu(hidden), second.weight, second.bias)


class PhaseNO(nn.Module):
    """Waveforms of stations and the graph that joins them -> logits of P and S for every station and sample.

    Any number of stations from one; stations of several windows may be stacked with `StationGraph.stack`. Probabilities
    are the sigmoid of the logits, P and S independent of each other.
    """

    grid: Tensor
    padded: Tensor

    def __init__(self, config: PhaseNOConfig | None = None) -> None:
        super().__init__()
        self.phaseno_config = config = config or PhaseNOConfig()
        self.name_or_path: str | None = None
        """What PEFT records as the base model's name; set by `load_backbone`."""
        w, fine, middle, coarse = config.width, config.padded_samples, config.middle_samples, config.coarse_samples
        m, m_half, m_third = config.modes, config.modes // 2, config.modes // 3
        self.fc0 = nn.Linear(6, w)
        self.fno0 = FourierBlock(w, w, m, fine, fine)
        self.gno0 = GraphBlock(w)
        self.fno1 = FourierBlock(w, 2 * w, m_half, fine, middle)
        self.gno1 = GraphBlock(2 * w)
        self.fno2 = FourierBlock(2 * w, 4 * w, m_third, middle, coarse)
        self.gno3 = GraphBlock(4 * w)
        self.fno4 = FourierBlock(8 * w, 2 * w, m_third, coarse, middle)
        self.gno4 = GraphBlock(2 * w)
        self.fno5 = FourierBlock(4 * w, w, m_half, middle, fine)
        self.gno5 = GraphBlock(w)
        self.fno6 = FourierBlock(2 * w, w, m, fine, fine)
        self.fno7 = FourierBlock(w, w, m, fine, fine, activate=False)
        self.fc1 = nn.Linear(w, 2 * w)
        self.fc2 = nn.Linear(2 * w, 2)
        t, pad = config.window_samples, config.padding_samples
        rows = torch.arange(-pad, t + pad).abs()
        self.register_buffer("padded", torch.where(rows >= t, 2 * (t - 1) - rows, rows), persistent=False)
        self.register_buffer("grid", torch.linspace(0, 1, t), persistent=False)

    def forward(self, waveforms: Tensor, graph: StationGraph) -> Tensor:
        """[station, 3 (E, N, Z), time] float and the graph of the same stations -> logits [station, 2 (P, S), time].

        Raises `BackboneError` if shapes disagree.
        """
        config = self.phaseno_config
        if waveforms.ndim != 3 or waveforms.shape[1:] != (3, config.window_samples):
            raise BackboneError(
                f"waveforms should be [station, 3, {config.window_samples}] but are {list(waveforms.shape)}. "
                "Cut and resample them to windows of 30 s at the network's 100 Hz."
            )
        if waveforms.shape[0] != graph.n_stations:
            raise BackboneError(f"{waveforms.shape[0]} stations have waveforms, but the graph has {graph.n_stations}.")
        x = self.lift(waveforms, graph)
        x0 = self.fno0(x)
        x1 = self.fno1(self.gno0(x0, graph))
        x2 = self.fno2(self.gno1(x1, graph))
        x = self.fno4(torch.cat([x2, self.gno3(x2, graph)], 2))
        x = self.fno5(torch.cat([x1, self.gno4(x, graph)], 2))
        x = self.fno6(torch.cat([x0, self.gno5(x, graph)], 2))
        return self.decide(self.fno7(x))

    def lift(self, waveforms: Tensor, graph: StationGraph) -> Tensor:
        """fc0 on [waveform, coordinates, time grid], reflected at both ends: -> [station, padded time, width]."""
        weight, bias = self.fc0.weight, self.fc0.bias
        constant = F.linear(graph.coordinates, weight[:, 3:5], bias)  # inert behind InstanceNorm, kept for exactness
        x = F.linear(waveforms.transpose(1, 2), weight[:, :3]) + constant[:, None] + self.grid[:, None] * weight[:, 5]
        return x[:, self.padded]

    def decide(self, x: Tensor) -> Tensor:
        """The head, [station, padded time, width] -> logits [station, 2, time]."""
        pad = self.phaseno_config.padding_samples
        x = x[:, pad : x.shape[1] - pad]
        x = F.gelu(F.linear(x, self.fc1.weight, self.fc1.bias))
        return F.linear(x, self.fc2.weight, self.fc2.bias).transpose(1, 2)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Typed for mypy."""
        return cast(Tensor, super().__call__(*args, **kwargs))
