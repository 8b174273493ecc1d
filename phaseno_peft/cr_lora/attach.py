"""Put adapters on a backbone without PEFT: strictly, whole, or not at all.

Importing PEFT takes seconds and hundreds of megabytes; a process that only picks has no use for it. The tensors and
their names are those of PEFT's `adapter_model.safetensors`, the layers those of the PEFT tuner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from phaseno_peft.cr_lora.layer import CRLoraLayer, Traits, expected_shapes
from phaseno_peft.cr_lora.resident import ResidentLayer, layout_of
from phaseno_peft.cr_lora.settings import CRLoraSettings, target_layers
from phaseno_peft.errors import AdapterError

PEFT_ROOT = "base_model.model."


def expected_tensors(model: nn.Module, settings: CRLoraSettings) -> dict[str, tuple[int, ...]]:
    """Key in `adapter_model.safetensors` -> shape, of a complete adapter with these settings on this model."""
    shapes = {}
    for path, layer, kind in target_layers(_Unwrapped(model), settings):
        weight = layer.weight
        for key, shape in expected_shapes(kind, weight.shape[0], weight.shape[1], settings).items():
            shapes[f"{PEFT_ROOT}{path}.{key}"] = shape
    if not shapes:
        raise AdapterError(f"CR-LoRA: `target_modules` {settings.target_modules!r} reaches no layer of this model.")
    return shapes


def check_tensors(expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], origin: str) -> None:
    """Raise `AdapterError` unless `tensors` are exactly the expected ones: names, shapes, kinds, finite values."""
    if missing := sorted(set(expected) - set(tensors)):
        raise AdapterError(
            f"{origin}: {len(missing)} of {len(expected)} tensors are missing, the first is {missing[0]}. "
            "The file is cut short or of other settings; fetch or train the adapter again."
        )
    if surplus := sorted(set(tensors) - set(expected)):
        raise AdapterError(
            f"{origin}: {len(surplus)} tensors do not belong to this adapter, the first is {surplus[0]}. "
            "Nothing was loaded."
        )
    for key, shape in expected.items():
        tensor = tensors[key]
        if tuple(tensor.shape) != shape:
            raise AdapterError(f"{origin}: {key} is {list(tensor.shape)}, these settings need {list(shape)}.")
        if tensor.dtype != torch.float32:
            raise AdapterError(f"{origin}: {key} is {tensor.dtype}, adapters are stored as float32.")
    if not bool(torch.isfinite(torch.cat([tensors[key].reshape(-1) for key in expected])).all()):
        bad = next(key for key in expected if not bool(torch.isfinite(tensors[key]).all()))
        raise AdapterError(f"{origin}: {bad} holds NaN or infinite values. Do not use this adapter.")


def attach(model: nn.Module, name: str, settings: CRLoraSettings, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Make adapter `name` resident on `model`, verified before anything is touched; replaces one of the same name.

    The adapter takes effect within `selected_adapter(name)`. Raises `AdapterError` and leaves the model as it was.
    """
    wrapped = [layer for layer in model.modules() if isinstance(layer, CRLoraLayer)]
    if any(not isinstance(layer, ResidentLayer) for layer in wrapped):
        raise AdapterError(f"{origin}: the model has adapters of PEFT's; load this one with PEFT's load_adapter too.")
    expected = expected_tensors(model, settings)
    check_tensors(expected, tensors, origin)
    targets = list(target_layers(_Unwrapped(model), settings))
    with torch.no_grad():
        block = torch.cat([tensors[key].reshape(-1) for key in expected]).to(next(model.parameters()).device)
    traits = Traits.of(settings)
    detach(model, name)
    first = 0
    for path, layer, kind in targets:
        there = model.get_submodule(path)
        if not isinstance(there, ResidentLayer):
            there = ResidentLayer(layer, kind)
            parent_path, _, leaf = path.rpartition(".")
            setattr(model.get_submodule(parent_path), leaf, there)
        layout, size = layout_of(kind, there.channels_out, there.channels_in, settings)
        there.hold(name, block, first, layout, traits)
        first += size
    there_now = [layer for layer in model.modules() if isinstance(layer, ResidentLayer)]
    residents = {resident for wrapper in there_now for resident in wrapper.places}
    for wrapper in there_now:  # an adapter that adds nothing to a layer is known there all the same
        for resident in residents - set(wrapper.places):
            wrapper.hold(resident, block[:0], 0, {}, traits)


def resident_tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    """Tensors of a resident adapter under their names in `adapter_model.safetensors`; changing them changes it.

    Raises `AdapterError` if the adapter is not resident.
    """
    found: dict[str, Tensor] = {
        f"{PEFT_ROOT}{path}.{key}": tensor
        for path, layer in model.named_modules()
        if isinstance(layer, CRLoraLayer)
        for key, tensor in layer.tensors(name).items()
    }
    if not found:
        raise AdapterError(f"adapter {name!r} is not resident. Load it first.")
    return found


def write_tensors(model: nn.Module, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Copy all tensors of a resident adapter. Raises `AdapterError` and writes nothing if one is missing or surplus."""
    there = resident_tensors(model, name)
    check_tensors({key: tuple(tensor.shape) for key, tensor in there.items()}, tensors, f"adapter {name!r}")
    with torch.no_grad():
        for key, tensor in there.items():
            tensor.copy_(tensors[key])


def detach(model: nn.Module, name: str) -> None:
    """Forget adapter `name`; layers without any adapter left become the plain layers they were."""
    for path, layer in list(model.named_modules()):
        if isinstance(layer, ResidentLayer):
            layer.forget(name)
            if not any(place.layout for place in layer.places.values()):
                parent_path, _, leaf = path.rpartition(".")
                setattr(model.get_submodule(parent_path), leaf, layer.base_layer)


def fold(model: nn.Module, name: str) -> None:
    """Merge adapter `name` as far as it can be: low-rank updates and head are added up once, gates stay live.

    The frozen weights are not touched, so other adapters and the backbone stay what they are; costs the memory of the
    adapted layers. Raises `AdapterError` if the adapter is not resident.
    """
    for layer in _wrapped_with(model, name):
        layer.fold(name)


def unfold(model: nn.Module, name: str) -> None:
    """Undo `fold`, exactly."""
    for layer in _wrapped_with(model, name):
        layer.unfold(name)


def _wrapped_with(model: nn.Module, name: str) -> list[CRLoraLayer]:
    layers = [layer for layer in model.modules() if isinstance(layer, CRLoraLayer) and layer.tensors(name)]
    if not layers:
        raise AdapterError(f"adapter {name!r} is not resident. Load it first.")
    return layers


class _Unwrapped(nn.Module):
    """Walks a model as if no layer were wrapped."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.__dict__["walked"] = model

    def named_modules(self, *_: object, **__: object) -> Iterator[tuple[str, nn.Module]]:
        for path, layer in self.__dict__["walked"].named_modules():
            if isinstance(layer, CRLoraLayer):
                yield path, layer.base_layer
            elif "base_layer" not in path and "crlora_" not in path:
                yield path, layer
