"""One adapted layer: the frozen layer and, for each adapter, what is added to it.

For a pointwise convolution or a linear layer with weight W, and for the mean over time m of a convolution's output:

    W' = W + scaling * B A                      low-rank update, B = 0 at the start
    y' = y * 2 sigmoid(U relu(D m))             channel recalibration, U = 0 at the start (pointwise convolutions only)
    W' = W + dW,  b' = b + db                   decision head, zero at the start

Updates live in weight space: PhaseNO reads `layer.weight`, `layer.bias` and `layer.gate`, so an adapted network runs
the same factorised arithmetic as the frozen one. This file is the method, once, in plain torch. Where the tensors live
is left to two subclasses: `ResidentLayer` (packed, for picking), PEFT's `CRLoraTunerLayer` (parameters, for training).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phaseno_peft.backbone import StationGraph, around_forward, parallel
from phaseno_peft.backbone.network import Forward
from phaseno_peft.cr_lora.settings import CRLoraSettings, LayerKind
from phaseno_peft.errors import AdapterError

_UNSET = "\0unset"
_SELECTED: ContextVar[str | None] = ContextVar("phaseno_peft_selected_adapter", default=_UNSET)


@contextmanager
def selected_adapter(name: str | None) -> Iterator[None]:
    """Within this block and this thread, layers use adapter `name`; None uses the frozen backbone.

    Swapping a resident adapter is setting this variable: threads never see each other's choice.
    """
    token = _SELECTED.set(name)
    try:
        yield
    finally:
        _SELECTED.reset(token)


@contextmanager
def adapters_by_window(names: Sequence[str | None]) -> Iterator[None]:
    """Within this block and this thread, window i of a batch is computed with adapter `names[i]`; None is frozen.

    Windows are those of `StationGraph.sizes`; the stations of one window exchange messages and share an adapter.
    Windows of one adapter are computed together. A batch of another number of windows raises `AdapterError`.
    """
    windows_of: dict[str | None, list[int]] = {}
    for window, name in enumerate(names):
        windows_of.setdefault(name, []).append(window)

    def divided(run: Forward, waveforms: Tensor, graph: StationGraph) -> Tensor:
        if len(names) != len(graph.sizes):
            raise AdapterError(
                f"{len(names)} adapter names are given for a batch of {len(graph.sizes)} windows. Give one for each "
                "window (a window is a whole network, stacked with StationGraph.stack)."
            )
        shares = [(name, *graph.select(windows)) for name, windows in windows_of.items()]
        logits: dict[int, Tensor] = {}

        def piece(i: int) -> None:
            name, share, rows = shares[i]
            with selected_adapter(name):
                logits[i] = run(waveforms[rows], share)

        pieces = [partial(piece, i) for i in range(len(shares))]
        many = len(pieces) >= 2 * torch.get_num_threads()
        if many and parallel.by_station(waveforms) and not torch.is_grad_enabled():
            with parallel.undivided():  # a core for each adapter, in place of all cores for one after the other
                parallel.run(pieces)
        else:
            for each in pieces:
                each()
        return torch.cat([logits[i] for i in range(len(shares))])[torch.cat([rows for _, _, rows in shares]).argsort()]

    token = around_forward.set(divided)
    try:
        yield
    finally:
        around_forward.reset(token)


class Traits(NamedTuple):
    """What of an adapter's settings its arithmetic needs."""

    scaling: float
    dropout: float
    paper_gate: bool

    @classmethod
    def of(cls, settings: CRLoraSettings) -> Traits:
        """From an adapter's settings."""
        return cls(settings.scaling, settings.lora_dropout, settings.se_init == "paper")


class CRLoraLayer(nn.Module):
    """A frozen `Linear` or 1x1 `Conv1d` and any number of adapters for it."""

    base_layer: nn.Linear | nn.Conv1d
    _disable_adapters: bool = False
    _active_adapter: str | list[str] = "default"

    def __init__(self, base_layer: nn.Linear | nn.Conv1d, kind: LayerKind) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.kind: LayerKind = kind
        self.channels_out, self.channels_in = base_layer.weight.shape[:2]
        self.folded: dict[str, tuple[list[int], Tensor, Tensor | None]] = {}

    def traits(self, name: str) -> Traits | None:
        """Of adapter `name`, or None if it is not resident."""
        raise NotImplementedError

    def tensors(self, name: str) -> dict[str, Tensor]:
        """`crlora_<part>.weight` or `.bias` -> tensor of adapter `name`; empty if it adds nothing here."""
        raise NotImplementedError

    def tensor(self, name: str, key: str) -> Tensor | None:
        """One of `tensors`, or None."""
        raise NotImplementedError

    @property
    def residents(self) -> list[str]:
        """Names of all adapters that are known here."""
        raise NotImplementedError

    @property
    def current(self) -> str | None:
        """Adapter in force: this thread's `selected_adapter`, else the layer's active one; None if frozen."""
        name = _SELECTED.get()
        if name is None:
            return None
        if name != _UNSET:
            if self.traits(name) is None:
                raise AdapterError(f"adapter {name!r} is not resident (resident: {', '.join(self.residents)}).")
            return name
        if self._disable_adapters or not self._active_adapter:
            return None
        name = self._active_adapter if isinstance(self._active_adapter, str) else self._active_adapter[0]
        return None if self.traits(name) is None else name

    def delta_weight(self, name: str) -> Tensor | None:
        """What adapter `name` adds to the weight, [out, in], or None."""
        if (dense := self.tensor(name, "crlora_delta.weight")) is not None:
            return dense
        a, b, traits = self.tensor(name, "crlora_A.weight"), self.tensor(name, "crlora_B.weight"), self.traits(name)
        if a is None or b is None or traits is None:
            return None
        if self.training and traits.dropout > 0:
            a = a * F.dropout(torch.ones_like(a[:1]), traits.dropout)
        return (b @ a) * traits.scaling

    @property
    def weight(self) -> Tensor:
        """The effective weight, same shape as the frozen layer's."""
        weight: Tensor = self.base_layer.weight
        name = self.current
        if name is None:
            return weight
        if (ready := self._ready(name)) is not None:
            return ready[0]
        delta = self.delta_weight(name)
        return weight if delta is None else weight + delta.view_as(weight).to(weight.dtype)

    @property
    def bias(self) -> Tensor | None:
        """The effective bias."""
        bias: Tensor | None = self.base_layer.bias
        name = self.current
        if bias is None or name is None or (delta := self.tensor(name, "crlora_delta.bias")) is None:
            return bias
        if (ready := self._ready(name)) is not None:
            return ready[1]
        return bias + delta.to(bias.dtype)

    def gate(self, time_mean: Tensor) -> Tensor | None:
        """[station, channel] mean over time of this layer's output -> [station, channel] factors; None means ones."""
        name = self.current
        if name is None:
            return None
        down, up = self.tensor(name, "crlora_down.weight"), self.tensor(name, "crlora_up.weight")
        traits = self.traits(name)
        if down is None or up is None or traits is None:
            return None
        excitation = torch.sigmoid(F.linear(F.relu(F.linear(time_mean.to(down.dtype), down)), up))
        return (excitation if traits.paper_gate else 2 * excitation).to(time_mean.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The layer on its own, channels-last for Linear and [station, channel, time] for Conv1d."""
        if self.kind != "pointwise":
            return F.linear(x, self.weight, self.bias)
        y = F.conv1d(x, self.weight, self.bias)
        gate = self.gate(y.mean(-1))
        return y if gate is None else y * gate[..., None]

    def fold(self, name: str) -> None:
        """Keep the effective weight and bias of adapter `name` ready; its gate stays live, the frozen layer untouched.

        They serve passes that record no gradients, until one of the tensors behind them changes or moves.
        """
        self.folded.pop(name, None)
        with torch.no_grad(), selected_adapter(name):
            if self.delta_weight(name) is not None:
                bias = self.bias
                self.folded[name] = (self._versions(name), self.weight.clone(), None if bias is None else bias.clone())

    def unfold(self, name: str) -> None:
        """Undo `fold`."""
        self.folded.pop(name, None)

    def _versions(self, name: str) -> list[int]:
        tensors = [*self.base_layer.parameters(), *self.tensors(name).values()]
        return [0 if tensor.is_inference() else tensor._version for tensor in tensors]

    def _ready(self, name: str) -> tuple[Tensor, Tensor | None] | None:
        """Folded weight and bias where they serve."""
        if name not in self.folded or torch.is_grad_enabled():
            return None
        versions, weight, bias = self.folded[name]
        frozen = self.base_layer.weight
        same = weight.device == frozen.device and weight.dtype == frozen.dtype and versions == self._versions(name)
        return (weight, bias) if same else None


def expected_shapes(
    kind: LayerKind, channels_out: int, channels_in: int, settings: CRLoraSettings
) -> dict[str, tuple[int, ...]]:
    """`crlora_<part>.weight` or `.bias` -> shape, for one layer."""
    shapes: dict[str, tuple[int, ...]] = {}
    if kind == "head":
        if settings.train_head:
            shapes["crlora_delta.weight"] = (channels_out, channels_in)
            shapes["crlora_delta.bias"] = (channels_out,)
        return shapes
    if settings.r:
        shapes["crlora_A.weight"] = (settings.r, channels_in)
        shapes["crlora_B.weight"] = (channels_out, settings.r)
    if kind == "pointwise" and settings.se_reduction:
        squeezed = settings.se_gates * (channels_out // settings.se_reduction)
        if not squeezed:
            raise AdapterError(
                f"CR-LoRA: `se_reduction` is {settings.se_reduction}, more than a layer's {channels_out} channels."
            )
        shapes["crlora_down.weight"] = (squeezed, channels_out)
        shapes["crlora_up.weight"] = (channels_out, squeezed)
    return shapes
