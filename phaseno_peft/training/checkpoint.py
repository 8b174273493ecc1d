"""A training on disk between two epochs: one safetensors file, replaced whole after each epoch.

Tensors hold parameters, AdamW's moments and snapshots; the file's JSON metadata holds the history and what is being
trained. Nothing in it can execute. A killed training goes on from here with the same result as one that was never
stopped (on the same machine, and as long as no time limit cuts it).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from phaseno_peft.errors import AdapterError, PhasenoPeftError
from phaseno_peft.files import write_file
from phaseno_peft.files.tensors import read_safetensors, to_safetensors
from phaseno_peft.training.history import Epoch, TrainingState, first_difference

FORMAT = "phaseno-peft-training/1"
FOLDER = ".training"
"""Beside the adapters."""
ATTEMPTS = 5
"""So often a checkpoint is written before a vanished folder counts as an error."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where one training is kept, and what it trains: settings, data, backbone, versions, as plain JSON types."""

    path: Path
    what: Mapping[str, Any]

    def save(self, state: TrainingState) -> None:
        """Replace the file by the state after the last epoch of `state`, whole or not at all."""
        tensors = {f"parameter/{name}": tensor for name, tensor in state.parameters.items()}
        for name, moments in state.moments.items():
            tensors |= {f"moment/{key}/{name}": tensor for key, tensor in moments.items()}
        for number, parameters in state.snapshots.items():
            tensors |= {f"snapshot/{number}/{name}": tensor for name, tensor in parameters.items()}
        about = {
            "format": FORMAT,
            "what": dict(self.what),
            "last_epoch": state.last_epoch,
            "history": [dataclasses.asdict(epoch) for epoch in state.history],
        }
        content = to_safetensors(tensors, {"course": json.dumps(about)})
        for attempt in range(ATTEMPTS):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                write_file(self.path, content)
                return
            except PhasenoPeftError as error:  # a training beside this one may just have removed the empty folder
                if attempt == ATTEMPTS - 1 or not isinstance(error.__cause__, FileNotFoundError):
                    raise

    def load(self) -> TrainingState | None:
        """The state that was saved, or None. Raises `AdapterError` if it was another training, or is damaged."""
        if not self.path.is_file():
            return None
        about, tensors = self._read()
        if difference := first_difference(about["what"], json.loads(json.dumps(dict(self.what)))):
            raise AdapterError(
                f"{self.path}: a training stopped after epoch {about['history'][-1]['epoch']} lies here, but "
                f"{difference}. Give the earlier settings and data to continue it, or --restart to begin anew."
            )
        state = TrainingState(about["last_epoch"], [Epoch(**epoch) for epoch in about["history"]])
        for key, tensor in tensors.items():
            kind, _, rest = key.partition("/")
            if kind == "parameter":
                state.parameters[rest] = tensor
                continue
            inner, _, name = rest.partition("/")
            if kind == "moment":
                state.moments.setdefault(name, {})[inner] = tensor
            else:
                state.snapshots.setdefault(int(inner), {})[name] = tensor
        return state

    def discard(self) -> None:
        """Remove the file, and its folders if nothing else is in them."""
        for file in (self.path, *self.path.parent.glob(f".{self.path.name}.*.tmp")):  # the last: of a killed process
            file.unlink(missing_ok=True)
        for folder in (self.path.parent, self.path.parent.parent):
            if folder.name == FOLDER or folder.parent.name == FOLDER:
                try:
                    folder.rmdir()
                except OSError:  # not there, or another training is kept in it
                    return

    def _read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        try:
            tensors, metadata = read_safetensors(self.path)
            about = json.loads(metadata["course"])
            if about["format"] != FORMAT or not about["history"]:
                raise ValueError(f"format is {about['format']!r}")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise AdapterError(
                f"{self.path}: not a training that can be continued ({error}). Begin anew with --restart."
            ) from error
        return about, tensors
