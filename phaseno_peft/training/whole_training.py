"""The whole training of an adapter in one file beside its checkpoints: what is trained, and which adapter came of it.

A checkpoint knows one of the trainings, and settings such as the number of folds give it another name. So this file is
there before the first checkpoint and goes with the last: another training of the same name is refused before anything
is trained, and an adapter that stands is replaced by nothing but the training it came of.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from phaseno_peft.campaign.waveform_files import read_channels
from phaseno_peft.contract import tensors_sha256
from phaseno_peft.errors import AdapterError
from phaseno_peft.files import remove_folder, write_file
from phaseno_peft.library import read_contract
from phaseno_peft.training.checkpoint import FOLDER
from phaseno_peft.training.history import first_difference
from phaseno_peft.training.unlabelled import Unlabelled

FORMAT = "phaseno-peft-whole-training/1"
FILE = "training.json"


@dataclass(frozen=True)
class WholeTraining:
    """One training of an adapter, from the first fold to the card, beside the one that is kept for the same folder."""

    target: Path
    """The adapter's folder."""
    what: Mapping[str, Any]
    """Everything the adapter's tensors depend on, as plain JSON types; a difference that brings others comes first."""
    written_as: Mapping[str, Any]
    """What else its folder depends on, as plain JSON types. It may change until the adapter is written."""

    @property
    def is_written(self) -> bool:
        """Whether this training wrote the adapter in `target`, and was stopped before its checkpoints were removed."""
        return was_stopped_after_writing(self.target) and not (self._differs("what") or self._differs("written_as"))

    def begin(self, *, restart: bool) -> None:
        """Remove what is kept of another training that had written its adapter, and of any if `restart`.

        Raises `AdapterError` where one is kept that had not, or the file is damaged. Checkpoints of before there was
        the file stay: each of them says what it is of.
        """
        if restart:
            remove_checkpoints(self.target)
        elif difference := self._differs("what"):
            if not was_stopped_after_writing(self.target):
                raise AdapterError(
                    f"{checkpoint_folder(self.target)}: a stopped training of {self.target.name!r} lies here, but "
                    f"{difference}. Give the earlier settings and data to continue it, or --restart to begin anew."
                )
            remove_checkpoints(self.target)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Have the file while the block trains; what ends before a first checkpoint leaves nothing behind."""
        has_checkpoints = any(checkpoint_folder(self.target).rglob("*.safetensors"))
        is_new = _stored(self.target) is None
        if is_new:
            self._write(None)
        try:
            yield
        except BaseException as error:
            if not any(checkpoint_folder(self.target).rglob("*.safetensors")):
                remove_checkpoints(self.target)
            elif is_new and has_checkpoints and isinstance(error, AdapterError):  # they may be of another training
                _file(self.target).unlink()
            raise

    def note_written(self, tensors: Mapping[str, Tensor]) -> None:
        """Note the tensors that are about to be written to `target`."""
        self._write(tensors_sha256(tensors))

    def _differs(self, part: str) -> str | None:
        """What the kept training differs in; None where none is kept."""
        stored = _stored(self.target)
        now = json.loads(json.dumps(dict(getattr(self, part))))  # as it comes back from a file
        return None if stored is None else first_difference(stored[part], now)

    def _write(self, digest: str | None) -> None:
        about = {
            "format": FORMAT,
            "what": dict(self.what),
            "written_as": dict(self.written_as),
            "tensors_sha256": digest,
        }
        file = _file(self.target)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(about, indent=1) + "\n")


def checkpoint_folder(target: Path) -> Path:
    """Where the training of the adapter in `target` keeps its epochs."""
    return target.parent / FOLDER / target.name


def remove_checkpoints(target: Path) -> None:
    """Remove all that is kept of the training of the adapter in `target`."""
    remove_folder(checkpoint_folder(target))
    with contextlib.suppress(OSError):  # another training is kept there
        (target.parent / FOLDER).rmdir()


def was_stopped_after_writing(target: Path) -> bool:
    """Whether the adapter in `target` was written by a training that could not remove its checkpoints any more.

    The same training, repeated, then ends with the same adapter instead of refusing because there is one.
    """
    try:
        digest = (_stored(target) or {}).get("tensors_sha256")
        return digest is not None and digest == read_contract(target).tensors_sha256
    except (OSError, ValueError, AdapterError):
        return False


def identity_of_archive(unlabelled: Unlabelled | None) -> dict[str, Any]:
    """Which records that nobody picked are used, and how: by the names of files, where they are files."""
    if unlabelled is None:
        return {"unlabelled": None}
    source = unlabelled.source
    if isinstance(source, str | Path):
        named: Any = str(Path(source).absolute())
    elif isinstance(source, Sequence):
        named = [str(getattr(one, "path", one)) for one in source]  # files, or their headers
    else:
        named = type(source).__name__
    return {
        "unlabelled": named,
        "rounds": unlabelled.rounds,
        "associator": unlabelled.associator,
        "channels of unlabelled": read_channels(unlabelled.channels),
    }


def _file(target: Path) -> Path:
    return checkpoint_folder(target) / FILE


def _stored(target: Path) -> dict[str, Any] | None:
    """What the file holds; None if there is none. Raises `AdapterError` if it is damaged."""
    file = _file(target)
    if not file.is_file():
        return None
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise ValueError(f"format is {stored['format']!r}")
        return {
            "what": dict(stored["what"]),
            "written_as": dict(stored["written_as"]),
            "tensors_sha256": stored["tensors_sha256"],
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise AdapterError(
            f"{file}: does not say what training was stopped here ({error}). Begin anew with --restart."
        ) from error
