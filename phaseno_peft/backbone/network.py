"""PhaseNO (Sun et al. 2023): Fourier neural operators in time, graph neural operators between stations.

Upstream's parameter names, shapes and numbers; the arithmetic is rearranged (DESIGN section 2), never changed. Inside,
tensors are time-major, [station, time, channel], so that every pointwise layer is one matrix product.

Two facts of upstream's network are part of its trained weights and reproduced as they are: InstanceNorm makes the two
coordinate channels of the input inert, so geometry acts only through the edges; and a message puts the *source's*
coordinates beside the *target's* features and the reverse.

With a stem in its config (`phaseno_peft.backbone.stem`) the network is not upstream's any more: the curves come in
where the coordinates were inert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phaseno_peft.backbone.config import PhaseNOConfig
from phaseno_peft.backbone.cpu import parallel
from phaseno_peft.backbone.cpu.messages import BlockWeights, graph_block
from phaseno_peft.backbone.cpu.spectral import Lift, decide, fourier_block
from phaseno_peft.backbone.fourier import Resample, SpectralConv
from phaseno_peft.backbone.graph import StationGraph
from phaseno_peft.backbone.stem import Stem, focused
from phaseno_peft.errors import BackboneError

Forward = Callable[[Tensor, StationGraph], Tensor]
around_forward: ContextVar[Callable[[Forward, Tensor, StationGraph], Tensor] | None] = ContextVar(
    "phaseno_peft_around_forward", default=None
)
"""What is put around every forward pass in this context; adapters divide a batch by its windows here."""


class Pointwise(nn.Module):
    """Holds the 1x1 convolution of a Fourier block under upstream's name `w.conv`."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels_out, 1)


class Moving(Protocol):
    """A stem's output layer that also moves the factors with which the network takes its logits (an adapter's)."""

    def moved(self, factors: Tensor) -> Tensor:
        """The backbone's [1 or 2 (skip, focus), 2 (P, S)] -> those in force."""


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
        self.activate = activate

    def forward(self, *parts: Tensor, lift: Lift | None = None) -> Tensor:
        """[station, samples in, in] -> [station, samples out, out]; the input may come in parts, side by side.

        With `lift` it is raw channels, still to be mapped linearly to the block's input.
        """
        return fourier_block(parts, lift, self.conv, self.w.conv, self.normalize_layer, self.resample, self.activate)


class FeedForward(nn.Module):
    """fc2(gelu(fc1(x))) under upstream's names; `GraphBlock` applies it piece by piece."""

    def __init__(self, channels_in: int, hidden: int, channels_out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels_in, hidden)
        self.fc2 = nn.Linear(hidden, channels_out)


class GraphBlock(nn.Module):
    """Messages between stations, sample by sample.

    message(t) = mean over edges s -> t of edge([x_t, place_s, x_s, place_t]);  y_t = aggre([message(t), x_t])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edge = FeedForward(2 * channels + 4, 4 * channels, channels)
        self.aggre = FeedForward(2 * channels, 4 * channels, channels)

    def forward(self, x: Tensor, graph: StationGraph) -> Tensor:
        """[station, time, channel] -> same shape."""
        edge, aggre = self.edge, self.aggre
        return graph_block(x, BlockWeights.of(edge.fc1, edge.fc2, aggre.fc1, aggre.fc2, graph.coordinates), graph)


class PhaseNO(nn.Module):
    """Waveforms of stations and the graph that joins them -> logits of P and S for every station and sample.

    Any number of stations from one; stations of several windows may be stacked with `StationGraph.stack`. Probabilities
    are the sigmoid of the logits, P and S independent of each other.

    With a stem: its probabilities of P and S are two more channels of the input, read by those columns of `fc0` that
    read the coordinates in upstream's network, and its logits times `skip`, a factor a phase, are added to the output.
    If the stem's config has a reach, the sum is `focused`, with one more factor a phase, `focus`. A new network reads
    and adds nothing of it: columns and factors are zero.
    """

    grid: Tensor
    padded: Tensor

    def __init__(self, config: PhaseNOConfig | None = None) -> None:
        super().__init__()
        self.phaseno_config = config = config or PhaseNOConfig()
        self.name_or_path: str | None = None
        """What PEFT records as the base model's name; set by `load_backbone`."""
        w, fine, middle, coarse = config.width, config.padded_samples, config.middle_samples, config.coarse_samples
        m, m_half, m_third = config.modes_by_level
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
        self.stem: Stem | None = None
        if config.stem is not None:
            self.stem, self.skip = Stem(config.stem), nn.Parameter(torch.zeros(2))
            if config.stem.reach_samples:
                self.focus = nn.Parameter(torch.zeros(2))
            with torch.no_grad():
                self.fc0.weight[:, 3:5] = 0
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
        surround = None if torch.compiler.is_compiling() else around_forward.get()
        return self.run(waveforms, graph) if surround is None else surround(self.run, waveforms, graph)

    def run(self, waveforms: Tensor, graph: StationGraph) -> Tensor:
        """`forward` of checked input, on all cores."""
        heard = None if self.stem is None else self.stem(waveforms)
        return parallel.on_all_cores(self.compute, waveforms, graph, heard)

    def compute(self, waveforms: Tensor, graph: StationGraph, heard: Tensor | None) -> Tensor:
        """`forward` of checked input and what the stem says of it."""
        x0 = self.fno0(*self.raw(waveforms, heard), lift=self.lift(graph))
        x1 = self.fno1(self.gno0(x0, graph))
        x2 = self.fno2(self.gno1(x1, graph))
        x = self.fno4(x2, self.gno3(x2, graph))
        x = self.fno5(x1, self.gno4(x, graph))
        x = self.fno6(x0, self.gno5(x, graph))
        logits = self.decide(self.fno7(x))
        if self.stem is None or heard is None:
            return logits
        out, reach_samples = self.stem.out, self.stem.config.reach_samples
        factors = torch.stack([self.skip, self.focus] if reach_samples else [self.skip])
        if hasattr(out, "moved"):
            factors = cast(Moving, out).moved(factors)
        if reach_samples:
            return focused(logits, heard, factors[0], factors[1], reach_samples)
        return torch.addcmul(logits, heard, factors[0, :, None])

    def raw(self, waveforms: Tensor, heard: Tensor | None) -> list[Tensor]:
        """Waveforms and time grid, reflected at both ends: [station, padded time, 4]; the stem's curves likewise."""
        grid = self.grid[:, None].expand(len(waveforms), -1, 1)
        parts = [torch.cat([waveforms.transpose(1, 2), grid], 2)]
        if heard is not None:
            parts.append(torch.sigmoid(heard).transpose(1, 2))
        return [part.index_select(1, self.padded) for part in parts]

    def lift(self, graph: StationGraph) -> Lift:
        """fc0 on the parts of `raw` and what is constant in time: coordinates (without a stem) and bias."""
        weight = self.fc0.weight  # columns: waveforms, coordinates or the stem's curves, grid
        own, inner = weight[:, [0, 1, 2, 5]], weight[:, 3:5]
        if self.stem is None:
            return Lift([own], F.linear(graph.coordinates, inner, self.fc0.bias))
        return Lift([own, inner], self.fc0.bias.expand(graph.n_stations, -1))

    def operator_parameters(self) -> Iterator[nn.Parameter]:
        """All parameters but the stem's own."""
        return (p for name, p in self.named_parameters() if not name.startswith("stem."))

    def decide(self, x: Tensor) -> Tensor:
        """The head, [station, padded time, width] -> logits [station, 2, time]."""
        pad = self.phaseno_config.padding_samples
        x = x[:, pad : x.shape[1] - pad]
        return decide(x, (self.fc1.weight, self.fc1.bias), (self.fc2.weight, self.fc2.bias))

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Typed for mypy."""
        return cast(Tensor, super().__call__(*args, **kwargs))
