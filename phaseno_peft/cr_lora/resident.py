"""Where a picking process keeps adapters: each in one block of memory, shared by all layers.

A thousand campaigns cost little more than their numbers, and loading one is one copy.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from torch import Tensor, nn

from phaseno_peft.cr_lora.layer import CRLoraLayer, Traits, expected_shapes
from phaseno_peft.cr_lora.settings import CRLoraSettings, LayerKind

Layout = dict[str, tuple[int, tuple[int, ...]]]
"""Key -> (first number, shape) within a layer's part of the block."""


class _Place(NamedTuple):
    block: Tensor
    """[number of parameters] of the whole adapter."""
    first: int
    layout: Layout
    traits: Traits


class ResidentLayer(CRLoraLayer):
    """A frozen layer and the adapters that `attach` made resident on it. Their tensors are not parameters."""

    def __init__(self, base_layer: nn.Linear | nn.Conv1d, kind: LayerKind) -> None:
        super().__init__(base_layer, kind)
        self._active_adapter = []
        self.places: dict[str, _Place] = {}

    def hold(self, name: str, block: Tensor, first: int, layout: Layout, traits: Traits) -> None:
        """Make adapter `name` known: its numbers for this layer begin at `first` of its block."""
        self.folded.pop(name, None)
        self.places[name] = _Place(block, first, layout, traits)

    def forget(self, name: str) -> None:
        """Forget adapter `name`."""
        self.folded.pop(name, None)
        self.places.pop(name, None)

    def traits(self, name: str) -> Traits | None:
        """Of adapter `name`, or None if it is not resident."""
        place = self.places.get(name)
        return None if place is None else place.traits

    def tensor(self, name: str, key: str) -> Tensor | None:
        """A view of the adapter's block, or None."""
        place = self.places.get(name)
        if place is None or key not in place.layout:
            return None
        first, shape = place.layout[key]
        return place.block[place.first + first :][: math.prod(shape)].view(shape)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """All of adapter `name` for this layer, as views."""
        place = self.places.get(name)
        found = {key: self.tensor(name, key) for key in (place.layout if place else {})}
        return {key: tensor for key, tensor in found.items() if tensor is not None}

    @property
    def residents(self) -> list[str]:
        """Names of all adapters that are known here."""
        return list(self.places)


def layout_of(kind: LayerKind, channels_out: int, channels_in: int, settings: CRLoraSettings) -> tuple[Layout, int]:
    """How an adapter's numbers for one layer are packed, in the order of `expected_shapes`, and how many they are."""
    return _layout(tuple(expected_shapes(kind, channels_out, channels_in, settings).items()))


@lru_cache
def _layout(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> tuple[Layout, int]:
    layout: Layout = {}
    size = 0
    for key, shape in shapes:
        layout[key] = (size, shape)
        size += math.prod(shape)
    return layout, size
