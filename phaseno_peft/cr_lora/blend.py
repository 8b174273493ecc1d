"""Weighted sums of adapters: soups and interpolation between campaigns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from phaseno_peft.cr_lora.settings import CRLoraSettings
from phaseno_peft.errors import AdapterError

_SHARED = ("se_reduction", "se_init", "train_head", "target_modules", "stem")


def blend(
    adapters: Sequence[tuple[CRLoraSettings, Mapping[str, Tensor]]], weights: Sequence[float]
) -> tuple[CRLoraSettings, dict[str, Tensor]]:
    """Settings and tensors of sum_i weights[i] * adapters[i].

    Exact for the low-rank updates (their ranks are put side by side) and for the differences of head and stem. A gate
    is a nonlinear function of the record and has no exact sum: gates are summed before their sigmoid, which is exact
    for one adapter of weight one, and an average for several. Ranks may differ. Raises `AdapterError` for adapters that
    do not fit together.
    """
    if not adapters or len(adapters) != len(weights):
        raise AdapterError(f"{len(weights)} weights are given for {len(adapters)} adapters. Give one for each.")
    if not all(math.isfinite(weight) for weight in weights):
        raise AdapterError(f"weights {list(weights)} should be finite numbers.")
    first = adapters[0][0]
    for settings, _ in adapters[1:]:
        for field in _SHARED:
            if getattr(settings, field) != getattr(first, field):
                raise AdapterError(
                    f"adapters with `{field}` {getattr(first, field)!r} and {getattr(settings, field)!r} cannot be "
                    "blended. Train them with the same settings."
                )
        if bool(settings.r) != bool(first.r):
            raise AdapterError("an adapter with low-rank updates and one without cannot be blended.")
    rank = sum(settings.r for settings, _ in adapters)
    blended = dataclasses.replace(
        first,
        r=rank,
        lora_alpha=float(rank or first.lora_alpha),
        use_rslora=False,
        se_gates=sum(settings.se_gates for settings, _ in adapters),
        contract=None,
    )
    tensors: dict[str, Tensor] = {}
    for key in adapters[0][1]:
        part = key.split("crlora_")[1].split(".")[0]
        own = [
            (tensors_[key], settings, weight) for (settings, tensors_), weight in zip(adapters, weights, strict=True)
        ]
        if part in ("A", "down"):
            tensors[key] = torch.cat([tensor for tensor, _, _ in own], 0)
        elif part == "B":
            tensors[key] = torch.cat([tensor * (weight * settings.scaling) for tensor, settings, weight in own], 1)
        elif part == "up":
            tensors[key] = torch.cat([tensor * weight for tensor, _, weight in own], 1)
        else:
            tensors[key] = sum((tensor * weight for tensor, _, weight in own), torch.zeros_like(own[0][0]))
    return blended, tensors


def shrunk(parameters: Mapping[str, Tensor], factor: float) -> dict[str, Tensor]:
    """Parameters of an adapter with `factor` of its update, as `blend` has it for one adapter; names may be a model's.

    Of a product of two matrices the second is scaled; 0 leaves the frozen network, where gates start from identity.
    """
    return {
        key: tensor.detach() * (1.0 if key.split("crlora_")[1].split(".")[0] in ("A", "down") else factor)
        for key, tensor in parameters.items()
    }
