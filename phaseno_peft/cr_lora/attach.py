"""Put adapters on a backbone without PEFT: strictly, whole, or not at all.

Importing PEFT takes seconds and hundreds of megabytes; a process that only picks has no use for it. The tensors and
their names are those of PEFT's `adapter_model.safetensors`, the layers those of the PEFT tuner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from phaseno_peft.backbone import PhaseNO, StationGraph
from phaseno_peft.contract import Contract, Preprocessing
from phaseno_peft.cr_lora.layer import (
    PEFT_ROOT,
    CRLoraLayer,
    LayerSize,
    Part,
    ResidentAdapter,
    Traits,
    expected_shapes,
    selected_adapter,
)
from phaseno_peft.cr_lora.resident import (
    Views,
    changing,
    layout_of,
    not_resident,
    prepare_layers,
    residents_of,
)
from phaseno_peft.cr_lora.settings import STEM, CRLoraSettings, target_layers
from phaseno_peft.errors import AdapterError

_SURELY_FINITE = 1e3
"""Sum of absolute weights of a row. Between two normalisations, whose output is below 60, lie four such layers: 60e12
and the sum over a window of its square are far from float32's 3e38."""
_UNBOUNDED = ("crlora_down.weight", "crlora_up.weight", "crlora_factors.weight")


def expected_tensors(model: nn.Module, settings: CRLoraSettings) -> dict[str, tuple[int, ...]]:
    """Key in `adapter_model.safetensors` -> shape, of a complete adapter with these settings on this model.

    Raises `AdapterError` if there is no such adapter: the settings reach no layer, or a stem that the model lacks.
    """
    check_stem(model, settings)
    shapes = {}
    for path, layer, kind in target_layers(_Unwrapped(model), settings):
        for key, shape in expected_shapes(kind, LayerSize.of(layer), settings).items():
            shapes[f"{PEFT_ROOT}{path}.{key}"] = shape
    if not shapes:
        raise AdapterError(f"CR-LoRA: `target_modules` {settings.target_modules!r} reaches no layer of this model.")
    return shapes


def check_stem(model: nn.Module, settings: CRLoraSettings) -> None:
    """Raise `AdapterError` if the settings adapt a stem and the model has none."""
    if settings.stem != "none" and getattr(model, "stem", None) is None:
        raise AdapterError(
            f"the adapter also adapts a stem (`stem` is {settings.stem!r}), but backbone "
            f"{getattr(model, 'name_or_path', None) or 'given'!r} has none. Take the backbone it was trained on, or "
            "train one with `stem` 'none' (recipe cr-lora)."
        )


def check_window(model: nn.Module, contract: Mapping[str, Any] | None, name: str) -> None:
    """Raise `AdapterError` if an adapter's contract names windows of another length than the network takes."""
    network = getattr(model, "phaseno_config", None)
    if contract is None or network is None:
        return
    samples = (contract.get("preprocessing") or {}).get("window_samples", Preprocessing().window_samples)
    if samples != network.window_samples:
        raise AdapterError(
            f"adapter {name!r} needs windows of {samples} samples, the backbone takes {network.window_samples}. Fetch "
            "the adapter again."
        )


def check_tensors(expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], origin: str) -> None:
    """Raise `AdapterError` unless `tensors` are exactly the expected ones: names, shapes, kinds, finite values."""
    if missing := sorted(set(expected) - set(tensors)):
        raise AdapterError(
            f"{origin}: {len(missing)} of {len(expected)} tensors are missing, the first is {missing[0]}. "
            "The file is cut short or of other settings; fetch or train the adapter again."
        )
    if surplus := sorted(set(tensors) - set(expected)):
        of_stem = any(key.startswith(f"{PEFT_ROOT}{STEM}") for key in surplus)
        raise AdapterError(
            f"{origin}: {len(surplus)} tensors do not belong to this adapter, the first is {surplus[0]}. "
            + ("They adapt a stem, of which its settings say nothing (`stem`). " if of_stem else "")
            + "Nothing was loaded."
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


def make_resident(
    model: nn.Module,
    name: str,
    settings: CRLoraSettings,
    tensors: Mapping[str, Tensor],
    origin: str,
    contract: Contract | None = None,
) -> ResidentAdapter:
    """An adapter for `model`, verified whole and tried, not yet resident. Raises `AdapterError`."""
    try:
        expected = expected_tensors(model, settings)
    except AdapterError as error:
        raise AdapterError(f"{origin}: {error}") from error
    check_tensors(expected, tensors, origin)
    with torch.no_grad():
        block = torch.cat([tensors[key].reshape(-1) for key in expected]).to(next(model.parameters()).device)
    traits, parts, first = Traits.of(settings)._replace(dropout=0.0), {}, 0
    for path, layer, kind in target_layers(_Unwrapped(model), settings):
        layout, size = layout_of(kind, LayerSize.of(layer), settings)
        parts[path] = Part(traits, Views(block, first, layout))
        first += size
    adapter = ResidentAdapter(name, settings, contract, parts)
    _try(model, adapter, origin)
    return adapter


def attach(
    model: nn.Module,
    name: str,
    settings: CRLoraSettings,
    tensors: Mapping[str, Tensor],
    origin: str,
    contract: Contract | None = None,
) -> ResidentAdapter:
    """Make adapter `name` resident on `model`, verified before anything is touched; replaces one of the same name.

    The adapter takes effect within `selected_adapter(name)`; passes that run keep the one they began with. Raises
    `AdapterError` and leaves the model as it was.
    """
    try:
        residents = prepare_layers(model)
    except AdapterError as error:
        raise AdapterError(f"{origin}: {error}") from error
    adapter = make_resident(model, name, settings, tensors, origin, contract)
    residents.put(adapter)
    return adapter


def _try(model: nn.Module, adapter: ResidentAdapter, origin: str) -> None:
    """Raise `AdapterError` if the adapter is too large for float32: one pass of a made-up record must stay finite.

    Rows of ordinary size cannot overflow (`_SURELY_FINITE`) and are spared the pass, but for the stem's: no layer of
    it is normalised behind an adapter, so it is tried alone.
    """
    layers = {path: layer for path, layer in model.named_modules() if path in adapter.parts}
    with torch.no_grad():
        largest = 0.0
        for path, part in adapter.parts.items():
            layer = layers[path]
            if not isinstance(layer, CRLoraLayer) or layer.path != path:
                raise AdapterError(f"{origin}: layer {path} belongs to another network, whose adapters it serves.")
            rows = [layer.effective(part)[0], *(part.tensors[key] for key in _UNBOUNDED if key in part.tensors)]
            if (bias := part.tensors.get("crlora_delta.bias")) is not None:
                rows.append(bias[:, None])
            largest = max([largest, *(float(each.abs().flatten(1).sum(1).max()) for each in rows)])
            if not math.isfinite(largest):
                break
        adapts_stem = adapter.settings.stem != "none"
        if largest <= _SURELY_FINITE and not adapts_stem:
            return
        if math.isfinite(largest) and isinstance(model, PhaseNO):
            record = torch.randn(
                1, 3, model.phaseno_config.window_samples, generator=torch.Generator().manual_seed(0)
            )  # fmt: skip
            graph = StationGraph.from_coordinates(torch.full((1, 2), 0.5))
            device = next(model.parameters()).device
            with selected_adapter(adapter):
                found = [] if largest <= _SURELY_FINITE else [model.run(record.to(device), graph.to(device))]
                if adapts_stem and model.stem is not None:
                    found.append(model.stem.classes(record.to(device)))
            if all(bool(torch.isfinite(each).all()) for each in found):
                return
    raise AdapterError(
        f"{origin}: its numbers are too large, the network's output is not finite with them. Do not use this adapter."
    )


def resident_tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    """Tensors of a resident adapter under their names in `adapter_model.safetensors`; changing them changes it.

    Raises `AdapterError` if the adapter is not resident.
    """
    return {
        f"{PEFT_ROOT}{path}.{key}": tensor
        for path, part in _parts(model, name).items()
        for key, tensor in part.tensors.items()
    }


def write_tensors(model: nn.Module, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Copy all tensors of a resident adapter. Raises `AdapterError` and writes nothing if one is missing or surplus."""
    there = resident_tensors(model, name)
    check_tensors({key: tuple(tensor.shape) for key, tensor in there.items()}, tensors, f"adapter {name!r}")
    with torch.no_grad():
        for key, tensor in there.items():
            tensor.copy_(tensors[key])


def detach(model: nn.Module, name: str) -> None:
    """Forget adapter `name`, if it is resident; passes that run with it go on to their end."""
    residents = residents_of(model)
    if residents is not None:
        residents.drop(name)


def fold(model: nn.Module, name: str) -> None:
    """Merge adapter `name` as far as it can be: low-rank updates and head are added up once, gates stay live.

    The frozen weights are not touched, so other adapters and the backbone stay what they are; costs the memory of the
    adapted layers. Raises `AdapterError` if the adapter is not resident.
    """
    _exchange(model, name, lambda layer, part: layer.fold(part))


def unfold(model: nn.Module, name: str) -> None:
    """Undo `fold`, exactly."""
    _exchange(model, name, lambda _, part: part._replace(folded=None))


def _exchange(model: nn.Module, name: str, change: Callable[[CRLoraLayer, Part], Part]) -> None:
    layers = {layer.path: layer for layer in _adapted_layers(model)}
    with changing():
        parts = {path: change(layers[path], part) for path, part in _parts(model, name).items()}
        residents = residents_of(model, peft=True)
        if residents is not None:
            residents.put(replace(residents.adapter(name), parts=parts))
        else:
            for path, part in parts.items():
                layers[path].keep_folded(name, part.folded)


def _parts(model: nn.Module, name: str) -> Mapping[str, Part]:
    """Path -> part of every layer that a resident adapter adds something to."""
    residents = residents_of(model, peft=True)
    if residents is not None:
        return residents.adapter(name).parts
    found = {layer.path: part for layer in _adapted_layers(model) if (part := layer.part_of(name)) and part.tensors}
    if not found:
        raise AdapterError(not_resident(name, ()))
    return found


def _adapted_layers(model: nn.Module) -> list[CRLoraLayer]:
    return [layer for layer in model.modules() if isinstance(layer, CRLoraLayer)]


class _Unwrapped(nn.Module):
    """Walks a model as if no layer were wrapped."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.__dict__["walked"] = model

    def named_modules(self, *_: object, **__: object) -> Iterator[tuple[str, nn.Module]]:
        for path, layer in self.__dict__["walked"].named_modules():
            if isinstance(layer, CRLoraLayer):
                yield path, getattr(layer, "base_layer", layer)
            elif "base_layer" not in path and "crlora_" not in path:
                yield path, layer
