"""One adapted layer: the frozen layer and, for each adapter, what is added to it.

For a pointwise convolution or a linear layer with weight W, and for the mean over time m of a convolution's output:

    W' = W + scaling * B A                      low-rank update, B = 0 at the start
    y' = y * 2 sigmoid(U relu(D m))             channel recalibration, U = 0 at the start (pointwise convolutions only)
    W' = W + dW,  b' = b + db                   decision head, zero at the start

Updates live in weight space: PhaseNO reads `layer.weight`, `layer.bias` and `layer.gate`, so an adapted network runs
the same factorised arithmetic as the frozen one. Every tensor sits at `<layer>.crlora_<part>.<adapter>.weight`. This
file is plain torch; `model.py` adds PEFT's bookkeeping to the same class, so there is one implementation of the method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phaseno_peft.backbone import StationGraph, around_forward
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
        logits, order = [], []
        for name, windows in windows_of.items():
            share, rows = graph.select(windows)
            with selected_adapter(name):
                logits.append(run(waveforms[rows], share))
            order.append(rows)
        return torch.cat(logits)[torch.cat(order).argsort()]

    token = around_forward.set(divided)
    try:
        yield
    finally:
        around_forward.reset(token)


class _Part(nn.Linear):
    """A linear layer in float32 that draws no random numbers when it is made."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool, device: torch.device) -> None:
        super().__init__(channels_in, channels_out, bias, device, torch.float32)

    def reset_parameters(self) -> None:
        """Nothing: `CRLoraLayer.reset_parts` knows the start values."""


class CRLoraLayer(nn.Module):
    """A frozen `Linear` or 1x1 `Conv1d` with the parts of any number of adapters."""

    adapter_layer_names: tuple[str, ...] = ("crlora_A", "crlora_B", "crlora_down", "crlora_up", "crlora_delta")
    other_param_names: tuple[str, ...] = ("scaling", "dropout", "paper_gate", "folded")
    _disable_adapters: bool = False
    _active_adapter: str | list[str] = "default"
    base_layer: nn.Linear | nn.Conv1d
    crlora_A: nn.ModuleDict  # noqa: N815  # the names of PEFT's LoRA
    crlora_B: nn.ModuleDict  # noqa: N815
    crlora_down: nn.ModuleDict
    crlora_up: nn.ModuleDict
    crlora_delta: nn.ModuleDict

    def __init__(self, base_layer: nn.Linear | nn.Conv1d, kind: LayerKind) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.kind: LayerKind = kind
        self.channels_out, self.channels_in = base_layer.weight.shape[:2]
        for part in self.adapter_layer_names:
            setattr(self, part, nn.ModuleDict())
        self.scaling: dict[str, float] = {}
        self.dropout: dict[str, float] = {}
        self.paper_gate: dict[str, bool] = {}
        self.folded: dict[str, tuple[list[int], Tensor, Tensor | None]] = {}

    def add_parts(self, name: str, settings: CRLoraSettings, *, start: bool = True) -> None:
        """Create the parts of adapter `name`, starting as a layer that changes nothing (unless se_init="paper").

        With `start` False their values are arbitrary, to be copied from a file.
        """
        shapes = expected_shapes(self.kind, self.channels_out, self.channels_in, settings)
        device = self.base_layer.weight.device
        for key, shape in shapes.items():
            part, leaf = key.split(".")
            if leaf == "weight":
                getattr(self, part)[name] = _Part(shape[1], shape[0], bias=f"{part}.bias" in shapes, device=device)
        self.scaling[name] = settings.scaling
        self.dropout[name] = settings.lora_dropout
        self.paper_gate[name] = settings.se_init == "paper"
        if start:
            self.reset_parts(name)

    def reset_parts(self, name: str) -> None:
        """Start values: A and D (and the paper's U) as torch's Linear; B, U and the head's difference zero."""
        with torch.no_grad():
            for part in self.adapter_layer_names:
                holder = getattr(self, part)
                if name not in holder:
                    continue
                if part in ("crlora_A", "crlora_down") or (part == "crlora_up" and self.paper_gate[name]):
                    nn.Linear.reset_parameters(holder[name])
                else:
                    for parameter in holder[name].parameters():
                        parameter.zero_()

    def remove_parts(self, name: str) -> None:
        """Forget adapter `name`."""
        for attribute in self.adapter_layer_names + self.other_param_names:
            holder = getattr(self, attribute)
            if name in holder:
                del holder[name]

    def tensors(self, name: str) -> dict[str, nn.Parameter]:
        """`crlora_<part>.weight` or `.bias` -> parameter of adapter `name`; empty if it adds nothing here."""
        holders = {part: getattr(self, part)[name] for part in self.adapter_layer_names if name in getattr(self, part)}
        return {f"{part}.{leaf}": p for part, holder in holders.items() for leaf, p in holder.named_parameters()}

    def holds(self, name: str) -> bool:
        """True if adapter `name` adds something to this layer."""
        return bool(self.tensors(name))

    @property
    def has_parts(self) -> bool:
        """True if any adapter adds something to this layer."""
        return any(len(getattr(self, part)) for part in self.adapter_layer_names)

    @property
    def current(self) -> str | None:
        """Adapter in force: this thread's `selected_adapter`, else the layer's active one; None if frozen."""
        name = _SELECTED.get()
        if name is None:
            return None
        if name != _UNSET:
            if name not in self.scaling:
                raise AdapterError(f"adapter {name!r} is not resident (resident: {', '.join(self.scaling)}).")
            return name
        if self._disable_adapters or not self._active_adapter:
            return None
        name = self._active_adapter if isinstance(self._active_adapter, str) else self._active_adapter[0]
        return name if name in self.scaling else None

    def delta_weight(self, name: str) -> Tensor | None:
        """What adapter `name` adds to the weight, [out, in], or None."""
        if name in self.crlora_delta:
            return self._part("crlora_delta", name).weight
        if name in self.crlora_A:
            a, b = self._part("crlora_A", name).weight, self._part("crlora_B", name).weight
            if self.training and self.dropout[name] > 0:
                a = a * F.dropout(torch.ones_like(a[:1]), self.dropout[name])
            return (b @ a) * self.scaling[name]
        return None

    def _part(self, part: str, name: str) -> nn.Linear:
        holder: nn.Linear = getattr(self, part)[name]
        return holder

    def fold(self, name: str) -> None:
        """Keep the effective weight and bias of adapter `name` ready; its gate stays live, the frozen layer untouched.

        They serve passes that record no gradients, until one of the tensors behind them changes or moves.
        """
        self.folded.pop(name, None)
        if name in self.crlora_A or name in self.crlora_delta:
            with torch.no_grad(), selected_adapter(name):
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

    @property
    def weight(self) -> Tensor:
        """The effective weight, same shape as the frozen layer's."""
        weight: Tensor = self.base_layer.weight
        name = self.current
        if name is not None and (ready := self._ready(name)) is not None:
            return ready[0]
        delta = None if name is None else self.delta_weight(name)
        return weight if delta is None else weight + delta.view_as(weight).to(weight.dtype)

    @property
    def bias(self) -> Tensor | None:
        """The effective bias."""
        bias: Tensor | None = self.base_layer.bias
        name = self.current
        if bias is None or name is None or name not in self.crlora_delta:
            return bias
        if (ready := self._ready(name)) is not None:
            return ready[1]
        return bias + self._part("crlora_delta", name).bias.to(bias.dtype)

    def gate(self, time_mean: Tensor) -> Tensor | None:
        """[station, channel] mean over time of this layer's output -> [station, channel] factors; None means ones."""
        name = self.current
        if name is None or name not in self.crlora_down:
            return None
        down, up = self._part("crlora_down", name).weight, self._part("crlora_up", name).weight
        excitation = torch.sigmoid(F.linear(F.relu(F.linear(time_mean.to(down.dtype), down)), up))
        return (excitation if self.paper_gate[name] else 2 * excitation).to(time_mean.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The layer on its own, channels-last for Linear and [station, channel, time] for Conv1d."""
        if self.kind != "pointwise":
            return F.linear(x, self.weight, self.bias)
        y = F.conv1d(x, self.weight, self.bias)
        gate = self.gate(y.mean(-1))
        return y if gate is None else y * gate[..., None]


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
