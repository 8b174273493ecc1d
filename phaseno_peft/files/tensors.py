"""Tensors in safetensors files, with texts beside them: the one codec of backbones, adapters and checkpoints.

A complex tensor K is stored as the real tensor `K.real_imag` [..., 2]. safetensors knows complex64 by now, but the
backbones that are out there are written so, and readers in other languages do not know it. Nothing in such a file can
execute. Needs torch, so that `phaseno_peft.files` does not import it for others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

COMPLEX_SUFFIX = ".real_imag"


def stored_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share no memory, complex ones as real ones [..., 2]."""
    made = {}
    for key, tensor in tensors.items():
        tensor = tensor.detach().cpu()
        if tensor.is_complex():
            key, tensor = key + COMPLEX_SUFFIX, torch.view_as_real(tensor)
        made[key] = tensor.clone(memory_format=torch.contiguous_format)
    return made


def to_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Content of a safetensors file that holds `tensors`, and `metadata` in its header."""
    content: bytes = save(stored_tensors(tensors), dict(metadata) if metadata is not None else None)
    return content


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of a file, complex ones put together again, and its metadata.

    Raises `OSError` where there is no file, and `ValueError` in a sentence for what is not safetensors.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = dict(file.metadata() or {})
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dict
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"not a readable safetensors file: {error}") from error
    tensors = {}
    for key, tensor in stored.items():
        if key.endswith(COMPLEX_SUFFIX):
            if tensor.shape[-1:] != (2,) or not tensor.is_floating_point():
                raise ValueError(
                    f"{key} is {tensor.dtype} {list(tensor.shape)}, a complex tensor needs a last axis of 2 "
                    "(real, imaginary)"
                )
            if tensor.dtype not in (torch.float32, torch.float64):
                tensor = tensor.float()  # complex numbers of half precision do not compute
            key, tensor = key.removesuffix(COMPLEX_SUFFIX), torch.view_as_complex(tensor.contiguous())
        tensors[key] = tensor
    return tensors, metadata
