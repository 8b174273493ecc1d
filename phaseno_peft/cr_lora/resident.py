"""Where a picking process keeps adapters: each in one block of memory, shared by all layers, never changed.

The layers of a network are prepared once and look up what is in force; loading, reloading and removing exchange a table
by one assignment. So nothing that runs is touched, and a thousand campaigns cost little more than their numbers.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor, nn

from phaseno_peft.backbone.stem import Layer, Output, RisingLayer
from phaseno_peft.cr_lora.layer import CRLoraLayer, LayerSize, Part, ResidentAdapter, expected_shapes
from phaseno_peft.cr_lora.settings import CRLoraSettings, LayerKind, layer_kind
from phaseno_peft.errors import AdapterError

Layout = dict[str, tuple[int, tuple[int, ...]]]
"""Key -> (first number, shape) within a layer's part of the block."""


class Views(Mapping[str, Tensor]):
    """The tensors of one layer, as views that are made when they are asked for."""

    __slots__ = ("block", "first", "layout")

    def __init__(self, block: Tensor, first: int, layout: Layout) -> None:
        self.block, self.first, self.layout = block, first, layout

    def __getitem__(self, key: str) -> Tensor:
        first, shape = self.layout[key]
        return self.block[self.first + first :][: math.prod(shape)].view(shape)

    def __contains__(self, key: object) -> bool:
        return key in self.layout

    def get(self, key: str, default: Any = None) -> Any:
        """The tensor, or `default`."""
        return self[key] if key in self.layout else default

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout)

    def __len__(self) -> int:
        return len(self.layout)


_changing = threading.RLock()
"""Held while a table or a network's layers are exchanged: rarely, shortly, so one for all, which a fork can renew."""


def _renew_lock() -> None:
    global _changing
    _changing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def changing() -> threading.RLock:
    """The lock that is held while what is resident changes."""
    return _changing


class Residents:
    """The adapters that are resident on one network."""

    def __init__(self) -> None:
        self.adapters: Mapping[str, ResidentAdapter] = {}
        """Never changed, only exchanged: take it once and it stays as it was."""

    def adapter(self, name: str) -> ResidentAdapter:
        """The one of this name. Raises `AdapterError` if it is not resident."""
        adapters = self.adapters
        if name not in adapters:
            raise AdapterError(not_resident(name, adapters))
        return adapters[name]

    def put(self, adapter: ResidentAdapter) -> None:
        """Make an adapter resident; one of the same name goes."""
        with changing():
            self.adapters = {**self.adapters, adapter.name: adapter}

    def drop(self, name: str) -> None:
        """Forget an adapter, if it is there."""
        with changing():
            self.adapters = {other: adapter for other, adapter in self.adapters.items() if other != name}


def not_resident(name: str, residents: Iterable[str]) -> str:
    """The sentence for an adapter that is not there."""
    there = ", ".join(sorted(residents)) or "none yet"
    return f"adapter {name!r} is not resident (resident: {there}). Load it first."


class ResidentLayer(CRLoraLayer):
    """A layer of the backbone that adds what the adapter in force brings. Its parameters stay where they were.

    A layer becomes one by taking its class (as in torch.nn.utils.parametrize): names in `state_dict`, the parameters
    and the module tree are those of the plain network, so that this can happen beside a running pass.
    """

    table: Residents

    @property
    def frozen(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the backbone."""
        return self._parameters["weight"], self._parameters["bias"]  # type: ignore[return-value]  # a weight is there

    def part_of(self, name: str) -> Part | None:
        """What adapter `name` adds here; None if it adds nothing or is not resident."""
        adapter = self.table.adapters.get(name)
        return None if adapter is None else adapter.parts.get(self.path)


class ResidentLinear(ResidentLayer, nn.Linear):  # type: ignore[misc, override]  # weight and bias are properties here
    """`ResidentLayer` of a linear layer."""


class ResidentConv1d(ResidentLayer, nn.Conv1d):  # type: ignore[override]  # as above
    """`ResidentLayer` of a 1x1 convolution."""


class ResidentStemLayer(ResidentLayer, Layer):  # type: ignore[misc]  # as above
    """`ResidentLayer` of a stem's convolution."""

    forward = Layer.forward  # type: ignore[assignment]  # with its norm


class ResidentOutput(ResidentLayer, Output):  # type: ignore[override]  # as above
    """`ResidentLayer` of a stem's output layer."""


class ResidentRisingLayer(ResidentLayer, RisingLayer):  # type: ignore[misc]  # as above
    """`ResidentLayer` of a stem's transposed convolution."""

    forward = Layer.forward  # type: ignore[assignment]  # with its norm


_RESIDENT: dict[type[nn.Module], type[ResidentLayer]] = {
    nn.Linear: ResidentLinear,
    nn.Conv1d: ResidentConv1d,
    Layer: ResidentStemLayer,
    RisingLayer: ResidentRisingLayer,
    Output: ResidentOutput,
}


def residents_of(model: nn.Module, *, peft: bool = False) -> Residents | None:
    """The adapters resident on `model`, None where none ever was.

    A model whose layers are PEFT's has none either: for it None with `peft`, else an `AdapterError`.
    """
    layer = next((layer for layer in model.modules() if isinstance(layer, CRLoraLayer)), None)
    if isinstance(layer, ResidentLayer):
        return layer.table
    if layer is not None and not peft:
        raise AdapterError("the model has adapters of PEFT's; load this one with PEFT's load_adapter too.")
    return None


def prepare_layers(model: nn.Module) -> Residents:
    """Have every layer that an adapter may reach look up what is in force; harmless to repeat and beside a pass."""
    with changing():
        there = residents_of(model)
        if there is not None:
            return there
        residents = Residents()
        for path, layer in model.named_modules():
            if path and type(layer) in _RESIDENT and (type(layer) is not nn.Conv1d or layer.kernel_size == (1,)):
                attributes = {"path": path, "kind": layer_kind(path, layer), "table": residents}
                layer.__dict__.update(attributes)
                layer.__class__ = _RESIDENT[type(layer)]
        return residents


def layout_of(kind: LayerKind, size: LayerSize, settings: CRLoraSettings) -> tuple[Layout, int]:
    """How an adapter's numbers for one layer are packed, in the order of `expected_shapes`, and how many they are."""
    return _layout(tuple(expected_shapes(kind, size, settings).items()))


@lru_cache
def _layout(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> tuple[Layout, int]:
    layout: Layout = {}
    size = 0
    for key, shape in shapes:
        layout[key] = (size, shape)
        size += math.prod(shape)
    return layout, size
