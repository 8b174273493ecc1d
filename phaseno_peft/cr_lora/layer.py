"""One adapted layer: the frozen layer and, for each adapter, what is added to it.

For a pointwise convolution or a linear layer with weight W, and for the mean over time m of a convolution's output:

    W' = W + scaling * B A                      low-rank update, B = 0 at the start
    y' = y * 2 sigmoid(U relu(D m))             channel recalibration, U = 0 at the start (pointwise convolutions only)
    W' = W + dW,  b' = b + db                   decision head, zero at the start

Where an adapter also adapts the backbone's stem (`CRLoraSettings.stem`), a convolution of k samples from c channels to
n, W [n, c, k] (transposed ones [c, n, k]), is seen as the matrix [n, c * k]: A [r, c * k] is a convolution of the same
kernel and stride to r channels, B [n, r] a pointwise one behind it. The stem's output layer, with stem="last" the
convolution before it and with stem="full" every one, have a dense dW and db; the factors with which its logits are
taken are f' = f + df.

Updates live in weight space: PhaseNO reads `layer.weight`, `layer.bias` and `layer.gate`, so an adapted network runs
the same factorised arithmetic as the frozen one. This file is the method, once, in plain torch. Where the tensors live
is left to two subclasses: `ResidentLayer` (packed, for picking), PEFT's `CRLoraTunerLayer` (parameters, for training).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phaseno_peft.backbone import StationGraph, around_forward
from phaseno_peft.backbone.cpu import parallel
from phaseno_peft.backbone.network import Forward
from phaseno_peft.backbone.stem import Output, RisingLayer
from phaseno_peft.contract import Contract
from phaseno_peft.cr_lora.settings import Adaptable, CRLoraSettings, LayerKind, trains
from phaseno_peft.errors import AdapterError

PEFT_ROOT = "base_model.model."
Folded = tuple[list[int], Tensor, Tensor | None]
"""Versions of the tensors it was made of, effective weight, effective bias."""


class Traits(NamedTuple):
    """What of an adapter's settings its arithmetic needs."""

    scaling: float
    dropout: float
    paper_gate: bool

    @classmethod
    def of(cls, settings: CRLoraSettings) -> Traits:
        """From an adapter's settings."""
        return cls(settings.scaling, settings.lora_dropout, settings.se_init == "paper")


class Part(NamedTuple):
    """What one adapter adds to one layer."""

    traits: Traits
    tensors: Mapping[str, Tensor]
    """`crlora_<part>.weight` or `.bias` -> tensor."""
    folded: Folded | None = None


@dataclass(frozen=True, eq=False)
class ResidentAdapter:
    """A loaded adapter, never changed: another of its name takes its place in a table, and who uses this one goes on.

    Weights, name and contract are one object, so that a pick that holds it cannot mix two adapters.
    """

    name: str
    settings: CRLoraSettings
    contract: Contract | None
    parts: Mapping[str, Part]
    """Path of a layer -> what is added there; layers that are not named stay frozen."""
    members: tuple[ResidentAdapter, ...] = ()
    """Adapters whose mean answer takes the place of this one's, and whose spread is told; empty for one alone."""

    def tensors(self) -> dict[str, Tensor]:
        """All of them, under their names in `adapter_model.safetensors`."""
        return {f"{PEFT_ROOT}{path}.{key}": t for path, part in self.parts.items() for key, t in part.tensors.items()}


class Table(Protocol):
    """The adapters that are resident on one network."""

    def adapter(self, name: str) -> ResidentAdapter:
        """The one of this name. Raises `AdapterError` if it is not resident."""


class Selection:
    """What was chosen in a context: an adapter, a name that each network looks up once, or None for the backbone."""

    def __init__(self, choice: ResidentAdapter | str | None) -> None:
        self.choice = choice
        self.found: dict[Table, ResidentAdapter] = {}
        """What the name meant when a network first asked."""

    def on(self, layer: CRLoraLayer) -> Part | None:
        """What is added to `layer`. Raises `AdapterError` for a name that is not resident there."""
        choice = self.choice
        if isinstance(choice, str):
            if layer.table is None:
                return layer.part_by_name(choice)
            if layer.table not in self.found:
                self.found.setdefault(layer.table, layer.table.adapter(choice))
            choice = self.found[layer.table]
        return None if choice is None else choice.parts.get(layer.path)


_SELECTED: ContextVar[Selection | None] = ContextVar("phaseno_peft_selected_adapter", default=None)


@contextmanager
def selected_adapter(choice: ResidentAdapter | str | None) -> Iterator[None]:
    """Within this block and this thread, layers use one adapter; None is the frozen backbone.

    A name is looked up once, when a network first runs in the block: reloading or removing it changes nothing inside.
    """
    token = _SELECTED.set(Selection(choice))
    try:
        yield
    finally:
        _SELECTED.reset(token)


@contextmanager
def adapters_by_window(names: Sequence[ResidentAdapter | str | None]) -> Iterator[None]:
    """Within this block and this thread, window i of a batch is computed with adapter `names[i]`; None is frozen.

    Windows are those of `StationGraph.sizes`; the stations of one window exchange messages and share an adapter.
    Windows of one adapter are computed together. A batch of another number of windows raises `AdapterError`.
    """
    windows_of: dict[ResidentAdapter | str | None, list[int]] = {}
    for window, name in enumerate(names):
        windows_of.setdefault(name, []).append(window)

    def divided(run: Forward, waveforms: Tensor, graph: StationGraph) -> Tensor:
        if len(names) != len(graph.sizes):
            raise AdapterError(
                f"{len(names)} adapter names are given for a batch of {len(graph.sizes)} windows. Give one for each "
                "window (a window is a whole network, stacked with StationGraph.stack)."
            )
        network = getattr(run, "__self__", None)
        layers = network.modules() if isinstance(network, nn.Module) else ()
        table = next((layer.table for layer in layers if isinstance(layer, CRLoraLayer)), None)
        shares = [
            (table.adapter(name) if table is not None and isinstance(name, str) else name, *graph.select(windows))
            for name, windows in windows_of.items()
        ]
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


class CRLoraLayer(nn.Module):
    """A frozen `Linear`, 1x1 `Conv1d` or convolution of a stem, and any number of adapters for it."""

    kind: LayerKind
    path: str
    """Of this layer in its network."""
    table: Table | None = None
    """Where the network's adapters are, unless its layers hold them themselves."""

    @property
    def frozen(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the backbone."""
        raise NotImplementedError

    def part_of(self, name: str) -> Part | None:
        """What adapter `name` adds here; None if it adds nothing or is not resident."""
        raise NotImplementedError

    def part_by_name(self, name: str) -> Part | None:
        """`part_of`; raises `AdapterError` if `name` is not resident."""
        raise NotImplementedError

    def keep_folded(self, name: str, folded: Folded | None) -> None:
        """Serve adapter `name` with these weights from now on; None forgets them."""
        raise NotImplementedError

    def part_by_default(self) -> Part | None:
        """What is added where nothing was selected."""
        return None

    @property
    def part(self) -> Part | None:
        """What the adapter in force adds here: of this thread's selection, else the layer's own."""
        selection = _SELECTED.get()
        return self.part_by_default() if selection is None else selection.on(self)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """`crlora_<part>.weight` or `.bias` -> tensor of adapter `name`; empty if it adds nothing here."""
        part = self.part_of(name)
        return {} if part is None else dict(part.tensors)

    def delta_weight(self, part: Part) -> Tensor | None:
        """What is added to the weight, as a matrix [out, in * kernel], or None."""
        if (dense := part.tensors.get("crlora_delta.weight")) is not None:
            return dense
        a, b = part.tensors.get("crlora_A.weight"), part.tensors.get("crlora_B.weight")
        if a is None or b is None:
            return None
        if self.training and part.traits.dropout > 0:
            kernel = math.prod(self.frozen[0].shape[2:])
            channels = F.dropout(a.new_ones(1, a.shape[1] // kernel), part.traits.dropout)
            a = a * channels.repeat_interleave(kernel, 1)
        return (b @ a) * part.traits.scaling

    @property
    def weight(self) -> Tensor:
        """The effective weight, same shape as the frozen layer's."""
        part = self.part
        return self.frozen[0] if part is None else self.effective(part)[0]

    @property
    def bias(self) -> Tensor | None:
        """The effective bias."""
        bias, part = self.frozen[1], self.part
        if bias is None or part is None or (delta := part.tensors.get("crlora_delta.bias")) is None:
            return bias
        if (ready := self._ready(part)) is not None:
            return ready[1]
        return bias + delta.to(bias.dtype)

    def effective(self, part: Part) -> tuple[Tensor, Tensor | None]:
        """Weight with `part`, and the bias that was kept with it if it is folded."""
        if (ready := self._ready(part)) is not None:
            return ready
        weight, delta = self.frozen[0], self.delta_weight(part)
        if delta is None:
            return weight, None
        if self.kind == "stem_rising":
            return weight + delta.view(weight.shape[1], weight.shape[0], -1).transpose(0, 1).to(weight.dtype), None
        return weight + delta.view_as(weight).to(weight.dtype), None

    def gate(self, time_mean: Tensor) -> Tensor | None:
        """[station, channel] mean over time of this layer's output -> [station, channel] factors; None means ones."""
        part = self.part
        if part is None:
            return None
        down, up = part.tensors.get("crlora_down.weight"), part.tensors.get("crlora_up.weight")
        if down is None or up is None:
            return None
        excitation = torch.sigmoid(F.linear(F.relu(F.linear(time_mean.to(down.dtype), down)), up))
        return (excitation if part.traits.paper_gate else 2 * excitation).to(time_mean.dtype)

    def moved(self, factors: Tensor) -> Tensor:
        """Of a stem's output layer: the backbone's factors [1 or 2 (skip, focus), 2 (P, S)] -> those in force."""
        part = self.part
        delta = None if part is None else part.tensors.get("crlora_factors.weight")
        return factors if delta is None else factors + delta.to(factors.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The layer on its own, channels-last for Linear and [station, channel, time] for a 1x1 Conv1d."""
        if self.kind in ("linear", "head"):
            return F.linear(x, self.weight, self.bias)
        y = F.conv1d(x, self.weight, self.bias)
        gate = self.gate(y.mean(-1))
        return y if gate is None else y * gate[..., None]

    def fold(self, part: Part) -> Part:
        """`part` with its effective weight and bias kept ready; gates stay live, the frozen layer untouched.

        They serve passes that record no gradients, until one of the tensors behind them changes or moves.
        """
        part = part._replace(folded=None)
        with torch.no_grad():
            if self.delta_weight(part) is None:
                return part
            bias, delta = self.frozen[1], part.tensors.get("crlora_delta.bias")
            bias = bias if bias is None or delta is None else bias + delta.to(bias.dtype)
            weight = self.effective(part)[0].clone()
            return part._replace(folded=(self._versions(part), weight, None if bias is None else bias.clone()))

    def _versions(self, part: Part) -> list[int]:
        tensors = [*(tensor for tensor in self.frozen if tensor is not None), *part.tensors.values()]
        return [0 if tensor.is_inference() else tensor._version for tensor in tensors]

    def _ready(self, part: Part) -> tuple[Tensor, Tensor | None] | None:
        """Folded weight and bias where they serve."""
        if part.folded is None or torch.is_grad_enabled():
            return None
        versions, weight, bias = part.folded
        frozen = self.frozen[0]
        same = weight.device == frozen.device and weight.dtype == frozen.dtype and versions == self._versions(part)
        return (weight, bias) if same else None


class LayerSize(NamedTuple):
    """Sizes of a layer that those of an adapter follow from; its weight is seen as a matrix."""

    rows: int
    """Output channels."""
    columns: int
    """Input channels times kernel."""
    n_factors: int
    """Of a stem's output layer: factors a phase with which its logits are taken."""

    @classmethod
    def of(cls, layer: Adaptable) -> LayerSize:
        """From the frozen layer."""
        weight = layer.frozen[0] if isinstance(layer, CRLoraLayer) else layer.weight
        rows = weight.shape[1 if isinstance(layer, RisingLayer) else 0]
        return cls(rows, weight.numel() // rows, layer.n_factors if isinstance(layer, Output) else 0)


def expected_shapes(kind: LayerKind, size: LayerSize, settings: CRLoraSettings) -> dict[str, tuple[int, ...]]:
    """`crlora_<part>.weight` or `.bias` -> shape, for one layer of this size."""
    rows, columns = size.rows, size.columns
    shapes: dict[str, tuple[int, ...]] = {}
    if not trains(kind, settings):
        return shapes
    if kind in ("head", "stem_out") or (kind.startswith("stem") and settings.stem != "lora"):
        shapes["crlora_delta.weight"] = (rows, columns)
        shapes["crlora_delta.bias"] = (rows,)
        if kind == "stem_out":
            shapes["crlora_factors.weight"] = (size.n_factors, rows - 1)  # for each class but noise
        return shapes
    if settings.r:
        shapes["crlora_A.weight"] = (settings.r, columns)
        shapes["crlora_B.weight"] = (rows, settings.r)
    if kind == "pointwise" and settings.se_reduction:
        squeezed = settings.se_gates * (rows // settings.se_reduction)
        if not squeezed:
            raise AdapterError(
                f"CR-LoRA: `se_reduction` is {settings.se_reduction}, more than a layer's {rows} channels."
            )
        shapes["crlora_down.weight"] = (squeezed, rows)
        shapes["crlora_up.weight"] = (rows, squeezed)
    return shapes
