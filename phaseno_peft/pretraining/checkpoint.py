"""Where a run stands, and how it is kept: a folder that is replaced whole, of files under 16 MB.

Nothing in it can execute: safetensors and JSON. A killed run goes on from its last checkpoint; what was being written
is thrown away.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.files import remove_folder, write_file, write_folder
from phaseno_peft.files.tensors import read_safetensors, to_safetensors

FORMAT = "phaseno-peft-pretraining/1"
LARGEST_FILE_BYTES = 15_000_000
PREFIX = "checkpoint-"


@dataclass
class Progress:
    """Everything but tensors that the next step depends on, and what the run has done so far."""

    what: dict[str, Any]
    """Settings, sources and initial weights, as plain JSON types."""
    step: int = 0
    """Batches taken."""
    updates: int = 0
    """Steps of the optimiser: a batch with a non-finite gradient gives none."""
    seen: int = 0
    """Station-windows."""
    seconds: float = 0.0
    """Training time of all stretches."""
    cooldown_total: float | None = None
    """Length of the cooldown in its own unit; None before it."""
    cooldown_unit: str | None = None
    """minutes or steps"""
    cooldown_used: float = 0.0
    finished: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    """Windows, station-windows and labels of each source."""
    curve: list[dict[str, float | int | None]] = field(default_factory=list)
    """Rows of the learning curve."""
    best_step: int | None = None
    best_part: float = 1.0
    """Part of the way from the run's first weights to its last at which the best lie; 1: the average itself."""
    best_score: float = -1.0
    best_loss: float = float("inf")
    thresholds: dict[str, float] = field(default_factory=dict)
    """Chosen on the held-out windows with the best weights."""
    recent: list[float] = field(default_factory=list)
    """Training losses since the last row of the curve."""
    stem_step: int = 0
    """Batches taken in the first stage, the stem's."""
    stem_seen: int = 0
    stem_seconds: float = 0.0
    stem_curve: list[dict[str, float | int | None]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; an infinite loss is None."""
        raw = dataclasses.asdict(self)
        return raw | {"format": FORMAT, "counts": dict(self.counts), "best_loss": _finite(self.best_loss)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Progress:
        """Inverse of `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
        raw = dict(raw)
        if (found := raw.pop("format")) != FORMAT:
            raise ValueError(f"format is {found!r}")
        raw["counts"] = Counter(raw["counts"])
        raw["best_loss"] = float("inf") if raw["best_loss"] is None else raw["best_loss"]
        return cls(**raw)


Tensors = Mapping[str, Mapping[str, Tensor]]
"""Group ("weights", "average", "best", "moment1", "moment2") -> tensors by parameter."""


def save_checkpoint(run: Path, progress: Progress, tensors: Tensors) -> Path:
    """Write a checkpoint beside the last one, then rename it and remove the last one.

    Raises `PhasenoPeftError` where the disk is full or cannot be written; the last checkpoint is still there then.
    """
    target = run / f"{PREFIX}{progress.stem_step + progress.step:09d}"
    older = [path for path in checkpoints(run) if path != target]
    try:
        with write_folder(target, overwrite=True) as part:  # there may be one, of a second save of the same step
            for group, content in tensors.items():
                for number, shard in enumerate(shards(content)):
                    write_file(part / f"{group}-{number}.safetensors", to_safetensors(shard))
            write_file(part / "progress.json", json.dumps(progress.to_json()))
    except PhasenoPeftError as error:
        last = checkpoints(run)
        kept = f"the checkpoint of step {int(last[-1].name.removeprefix(PREFIX))} is intact" if last else "none is kept"
        raise PhasenoPeftError(
            f"{target}: the checkpoint cannot be written ({error}); {kept}. Make room for some 70 MB and run the same "
            "command again."
        ) from error
    for path in older:
        remove_folder(path)
    return target


def load_checkpoint(run: Path) -> tuple[Progress, dict[str, dict[str, Tensor]]] | None:
    """The last checkpoint of a run, or None. Raises `PhasenoPeftError` where it is damaged."""
    there = checkpoints(run)
    if not there:
        return None
    folder = there[-1]
    try:
        progress = Progress.from_json(json.loads((folder / "progress.json").read_text(encoding="utf-8")))
        tensors: dict[str, dict[str, Tensor]] = {}
        for file in sorted(folder.glob("*.safetensors")):
            group = tensors.setdefault(file.name.rpartition("-")[0], {})
            group |= read_safetensors(file)[0]
        if not {"weights", "average"} <= set(tensors):
            raise ValueError("weights or average are missing")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PhasenoPeftError(
            f"{folder}: not a checkpoint that can be continued ({error}). Begin anew with --restart."
        ) from error
    return progress, tensors


def checkpoints(run: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    return sorted(p for p in run.glob(f"{PREFIX}*") if p.is_dir() and p.name.removeprefix(PREFIX).isdigit())


def discard(run: Path) -> None:
    """Remove a run's checkpoints and pseudo-labels; its results stay until they are replaced."""
    for path in (*checkpoints(run), run / "pseudo-labels"):
        if path.exists():
            remove_folder(path)


def shards(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Tensors in groups of at most 15 MB, filled up in order."""
    made: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, tensor in tensors.items():
        if made[-1] and size + tensor.nbytes > LARGEST_FILE_BYTES:
            made.append({})
            size = 0
        made[-1][key] = tensor
        size += tensor.nbytes
    return made


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None
