"""Upstream's Lightning checkpoint -> a backbone folder, without executing anything the file brings."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phaseno_peft.backbone.config import PhaseNOConfig
from phaseno_peft.backbone.network import PhaseNO
from phaseno_peft.backbone.weights import apply_state, refuse_existing, save_backbone
from phaseno_peft.errors import BackboneError

LOSS_BUFFER = "criterion.pos_weight"
"""The only entry of upstream's state_dict that is not the network's: the loss's weight of positives."""
UPSTREAM_THRESHOLDS = {"P": 0.3, "S": 0.3}
"""Upstream's notebook calls its peak detection with 0.3 for both phases."""


def read_checkpoint(path: str | Path) -> PhaseNO:
    """The network of a Lightning `.ckpt` (or a bare state_dict saved by torch) with upstream's names and sizes.

    Raises `BackboneError` for files that are cut short, hold objects other than tensors and plain Python types, or are
    another model's.
    """
    path = Path(path)
    raw = _read(path)
    state = raw.get("state_dict", raw) if isinstance(raw, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise BackboneError(
            f"{path}: no table of weights (`state_dict`) in it. Give a checkpoint written by PyTorch Lightning or a "
            "state_dict written by torch.save."
        )
    tensors = {str(name): tensor for name, tensor in state.items() if name != LOSS_BUFFER}
    model = PhaseNO(PhaseNOConfig())
    apply_state(model, tensors, str(path))
    return model.eval().requires_grad_(False)


def convert_checkpoint(path: str | Path, folder: str | Path, name: str | None = None) -> Path:
    """Write the network of upstream's checkpoint as a backbone folder for `load_backbone`, and return that folder.

    Raises `BackboneError` as `read_checkpoint` does, and if the folder exists; nothing is left behind then.
    """
    path, folder = Path(path), Path(folder)
    name = name or folder.name
    refuse_existing(folder)
    card = (
        f"# {name}\n\nPhaseNO (Sun et al. 2023, doi:10.1093/gji/ggad150), converted from `{path.name}` by "
        "`phaseno-peft backbone convert`. Weights unchanged; the optimiser and the loss's buffer are left out.\n"
    )
    return save_backbone(read_checkpoint(path), folder, name, UPSTREAM_THRESHOLDS, card)


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BackboneError(f"{path}: no such file.") from error
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):
            raise BackboneError(
                f"{path}: holds Python objects besides tensors, which phaseno-peft does not execute. Save its "
                "`state_dict` alone where it was trained, and convert that."
            ) from error
        raise BackboneError(f"{path}: not a checkpoint written by torch, or cut short. Fetch it again.") from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BackboneError(f"{path}: not a readable checkpoint ({reason}). Fetch it again.") from error
