"""The adapters of the folds beside the adapter that ships: stored on request, read as strictly.

`folds.json` says of each its file (`folds/1.safetensors`, ...), the SHA-256 of its tensors, and the constant shift of
its picks; settings and everything else of the contract are the adapter's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le, MaxLen, MinLen

from phaseno_peft.contract import Contract, Second, tensors_sha256
from phaseno_peft.errors import AdapterError
from phaseno_peft.files import write_file
from phaseno_peft.files.manifest import altered_files
from phaseno_peft.library.names import ADAPTER, FOLD_WEIGHTS, FOLDS
from phaseno_peft.library.resolve import find_adapter
from phaseno_peft.library.store import StoredAdapter, read_evaluation_json, read_json, read_tensors
from phaseno_peft.schema import Digest, Word, checked, strict

if TYPE_CHECKING:
    from torch import Tensor

FOLDS_VERSION = 1
FEWEST, MOST = 2, 64


@dataclass(frozen=True)
class FoldAdapter:
    """What one fold's adapter has of its own."""

    tensors: Mapping[str, Tensor]
    pick_shift_s: Mapping[str, float]


@strict
@dataclass(frozen=True, slots=True)
class _Entry:
    file: Word
    tensors_sha256: Digest
    pick_shift_s: Annotated[dict[Word, Second], MaxLen(2)]


@strict
@dataclass(frozen=True, slots=True)
class _Raw:
    folds_version: Annotated[int, Ge(FOLDS_VERSION), Le(FOLDS_VERSION)]
    folds: Annotated[list[_Entry], MinLen(FEWEST), MaxLen(MOST)]


def write_folds(scratch: Path, folds: Sequence[FoldAdapter]) -> dict[str, Path]:
    """Write folds to a folder and return name in the adapter's folder -> file, for `write_adapter`."""
    from phaseno_peft.files.tensors import to_safetensors

    files: dict[str, Path] = {}
    entries = []
    for number, fold in enumerate(folds, start=1):
        name = FOLD_WEIGHTS.replace("*", str(number))
        files[name] = write_file(scratch / f"fold-{number}.safetensors", to_safetensors(fold.tensors))
        digest = tensors_sha256(fold.tensors)
        entries.append({"file": name, "tensors_sha256": digest, "pick_shift_s": dict(fold.pick_shift_s)})
    raw = {"folds_version": FOLDS_VERSION, "folds": entries}
    files[FOLDS] = write_file(scratch / FOLDS, json.dumps(raw, indent=1) + "\n")
    return files


def has_folds(name_or_path: str | Path) -> bool:
    """Whether the folds' adapters are stored beside an adapter. Raises `AdapterError` where there is none."""
    return (find_adapter(name_or_path).folder / FOLDS).is_file()


def why_no_folds(folder: Path) -> str:
    """Why no folds lie beside an adapter, and what to do; without a full stop."""
    about = (read_evaluation_json(folder) or {}).get("about", {})
    folds = about.get("folds") if isinstance(about, dict) else None
    if isinstance(folds, dict) and folds.get("factor") == 0:
        return (
            "its training kept no update, so that its folds have no adapters that differ. Label more events and train "
            "it again with --keep-folds"
        )
    return "the adapters of its folds are not stored. Train it again with --keep-folds"


def read_folds(stored: StoredAdapter) -> list[StoredAdapter]:
    """The adapters of the folds of one that was read, each with a contract of its own.

    Raises `AdapterError` where none are stored, and for anything missing, too large or altered.
    """
    folder = stored.folder
    if not (folder / FOLDS).is_file():
        raise AdapterError(f"{folder}: {why_no_folds(folder)}, or load it without `ensemble`.")
    try:
        found = checked(_Raw, read_json(folder / FOLDS))
    except ValueError as error:
        raise AdapterError(f"{folder / FOLDS}: {error}. Fetch or train the adapter again.") from error
    if odd := [each.file for each in found.folds if ADAPTER.limit(each.file) is None or "/" not in each.file]:
        raise AdapterError(f"{folder / FOLDS}: {odd[0]!r} is no file of a fold. Fetch or train the adapter again.")
    if altered := altered_files(folder, (FOLDS, *(each.file for each in found.folds))):
        raise AdapterError(f"{altered[0]} It was altered after it was written; fetch or train the adapter again.")
    folds = []
    for number, each in enumerate(found.folds, start=1):
        own = {"pick_shift_s": dict(each.pick_shift_s), "tensors_sha256": each.tensors_sha256}
        contract = Contract.from_json(stored.contract.to_json() | own)
        tensors = read_tensors(folder / each.file, contract)
        folds.append(StoredAdapter(f"{stored.name}, fold {number}", folder, stored.settings, contract, tensors))
    return folds
