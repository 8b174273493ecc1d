"""Adapters as folders: written whole or not at all, read strictly.

A folder holds `adapter_config.json` (settings and contract), `adapter_model.safetensors`, `README.md` (the card) and
`evaluation.json`: PEFT's names, so that `PeftModel.from_pretrained` reads it too; and `manifest.json`, which lists the
SHA-256 of each. Nothing that is read can execute.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phaseno_peft.contract import Contract, tensors_sha256
from phaseno_peft.errors import AdapterError
from phaseno_peft.files import check_folder, settle, version_of, write_file, write_folder
from phaseno_peft.files.manifest import MANIFEST, altered_files, read_manifest, write_manifest
from phaseno_peft.library.card import Card, CardSource, metadata
from phaseno_peft.library.names import (
    ADAPTER,
    CARD,
    CARD_SOURCE,
    CONFIG,
    EVALUATION,
    LARGEST_JSON_BYTES,
    LARGEST_WEIGHTS_BYTES,
    ORIGIN,
    WEIGHTS,
    check_name,
)
from phaseno_peft.library.resolve import Located, find_adapter, library_folder
from phaseno_peft.schema import Word, checked, read_object, strict

if TYPE_CHECKING:
    from torch import Tensor

    from phaseno_peft.cr_lora import CRLoraSettings

__all__ = [
    "CARD",
    "CONFIG",
    "EVALUATION",
    "WEIGHTS",
    "Origin",
    "StoredAdapter",
    "adapter_folder",
    "copy_listed",
    "install",
    "listed_files",
    "read_adapter",
    "read_config",
    "read_contract",
    "read_evaluation_json",
    "read_json",
    "read_located",
    "read_origin",
    "read_tensors",
    "refuse_existing",
    "render_card",
    "tensors_sha256",
    "write_adapter",
    "write_origin",
]


REREADS = 5
"""So often an adapter is read again that another process replaces meanwhile."""


@dataclass(frozen=True)
class StoredAdapter:
    """An adapter read from its folder and checked in itself; `cr_lora.attach` checks it against a backbone."""

    name: str
    folder: Path
    settings: CRLoraSettings
    contract: Contract
    tensors: dict[str, Tensor]


def adapter_folder(name_or_path: str | Path) -> Path:
    """Folder of an adapter as `find_adapter` finds it."""
    return find_adapter(name_or_path).folder


def read_config(folder: Path) -> tuple[CRLoraSettings, Contract]:
    """Settings and contract of the adapter in `folder`, without its tensors."""
    from phaseno_peft.cr_lora import CRLoraSettings

    raw = read_json(folder / CONFIG)
    try:
        return CRLoraSettings.from_adapter_config(raw), _contract(raw)
    except (AdapterError, TypeError, ValueError) as error:  # a value of another kind fails in a comparison
        raise AdapterError(f"{folder / CONFIG}: {error}") from error


def read_contract(folder: Path) -> Contract:
    """Contract of the adapter in `folder`. Needs no torch, so that lists of adapters come at once."""
    raw = read_json(folder / CONFIG)
    try:
        return _contract(raw)
    except AdapterError as error:
        raise AdapterError(f"{folder / CONFIG}: {error}") from error


def _contract(raw: dict[str, Any]) -> Contract:
    contract = raw.get("contract")
    if not isinstance(contract, dict):
        raise AdapterError("it has no contract, so nothing says which data and backbone it fits. Train it again.")
    return Contract.from_json(contract)


def read_adapter(name_or_path: str | Path) -> StoredAdapter:
    """Find an adapter and read it strictly. Raises `AdapterError` for anything missing, too large or altered."""
    return read_located(find_adapter(name_or_path))


def read_located(found: Located) -> StoredAdapter:
    """`read_adapter` of one that was found already. Config and weights must be as the folder's manifest lists them.

    Read again where the folder was replaced meanwhile: its config and its weights are of one adapter.
    """
    for _ in range(REREADS):
        before = version_of(found.folder)
        try:
            return _read_located(found)
        except AdapterError:
            settle(found.folder)
            if version_of(found.folder) == before:
                raise
    return _read_located(found)


def _read_located(found: Located) -> StoredAdapter:
    folder = found.folder
    if altered := altered_files(folder, (CONFIG, WEIGHTS)):
        raise AdapterError(f"{altered[0]} It was altered after it was written; fetch or train the adapter again.")
    settings, contract = read_config(folder)
    return StoredAdapter(found.name, folder, settings, contract, read_tensors(folder / WEIGHTS, contract))


def read_tensors(path: Path, contract: Contract) -> dict[str, Tensor]:
    """The tensors of an adapter's file, which are those that its contract names. Raises `AdapterError`."""
    from phaseno_peft.files.tensors import read_safetensors

    _check_size(path, LARGEST_WEIGHTS_BYTES)
    try:
        tensors, _ = read_safetensors(path)
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path}: {error}. Fetch the adapter again.") from error
    for key, tensor in tensors.items():
        if str(tensor.dtype) != "torch.float32":
            raise AdapterError(f"{path}: {key} is {tensor.dtype}, adapters are stored as float32. Fetch it again.")
    if (seen := tensors_sha256(tensors)) != contract.tensors_sha256:
        raise AdapterError(
            f"{path}: the tensors' SHA-256 is {seen[:12]}, the contract says {str(contract.tensors_sha256)[:12]}. "
            "The file was altered or belongs to another adapter; fetch it again."
        )
    return tensors


def write_adapter(
    folder: Path,
    settings: CRLoraSettings,
    contract: Contract,
    tensors: Mapping[str, Tensor],
    card: Card,
    files: Mapping[str, Path],
    *,
    overwrite: bool = False,
) -> Path:
    """Write an adapter's folder; it appears whole or not at all, and an old one stays until the new one is complete.

    files: name in the folder -> file to copy there, `evaluation.json` among them. `card` becomes `card.json` and
    `README.md`. Raises `AdapterError` if the folder exists and `overwrite` is False.
    """
    from phaseno_peft.cr_lora.settings import PEFT_TYPE
    from phaseno_peft.files.tensors import to_safetensors

    check_name(folder.name)
    refuse_existing(folder, overwrite=overwrite)
    contract = dataclasses.replace(contract, tensors_sha256=tensors_sha256(tensors))
    config = {
        "peft_type": PEFT_TYPE,
        "task_type": None,
        "auto_mapping": None,
        "peft_version": contract.versions.get("peft"),
        "base_model_name_or_path": contract.backbone_name,
        "revision": None,
        "inference_mode": True,
        **settings.to_json(),
        "contract": contract.to_json(),
    }
    with write_folder(folder, overwrite=overwrite) as part:
        write_file(part / WEIGHTS, to_safetensors(tensors))
        write_file(part / CONFIG, json.dumps(config, indent=2) + "\n")
        for name, source in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            write_file(part / name, source.read_bytes())
        write_file(part / CARD_SOURCE, json.dumps(card.to_json(), indent=1) + "\n")
        write_file(part / CARD, render_card(part, folder.name))
        write_manifest(part, folder.name, sorted({WEIGHTS, CONFIG, CARD_SOURCE, CARD, *files}))
    return folder


@strict
@dataclass(frozen=True, slots=True)
class Origin:
    """Where on the Hub an adapter of the library came from, or was pushed to."""

    repository: Word
    revision: Word | None
    """What was asked for: a tag, a branch, a commit, or None."""
    commit: Word


def install(found: Located, name: str, *, overwrite: bool = False) -> Path:
    """Copy a fetched adapter into the user's library as `name`, with its origin; it appears whole or not at all."""
    folder = library_folder() / check_name(name)
    refuse_existing(folder, overwrite=overwrite)
    with write_folder(folder, "installing", overwrite=overwrite) as part:
        copy_listed(found.folder, part)
        if found.hub is not None and found.commit is not None:
            write_origin(part, Origin(found.hub.repository, found.hub.revision, found.commit))
    return folder


def copy_listed(source: Path, target: Path) -> None:
    """Copy an adapter's own files and its manifest, and nothing else that lies in its folder."""
    for file in (file for file in listed_files(source) if ADAPTER.limit(file) is not None):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        write_file(target / file, (source / file).read_bytes())


def listed_files(folder: Path) -> list[str]:
    """Paths within its folder of an adapter's own files: those its manifest lists, else those an adapter has."""
    try:
        manifest = read_manifest(folder)
    except ValueError as error:
        raise AdapterError(f"{error}. Fetch or train the adapter again.") from error
    if manifest is not None:
        return [MANIFEST, *sorted(manifest.files)]
    there = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in there if ADAPTER.limit(path) is not None)


def render_card(folder: Path, name: str, figures_in: str = "") -> str:
    """The card of the adapter in `folder`, metadata included, from what lies there and the template.

    figures_in: path from the card to `folder`, with a slash, for a card that lies elsewhere. Raises `AdapterError`.
    """
    settings, contract = read_config(folder)
    try:
        source = checked(CardSource, read_json(folder / CARD_SOURCE))
        prose = Card(name, settings, contract, source.tables, source.figures, source.notes).prose(figures_in)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise AdapterError(f"{folder / CARD_SOURCE}: not the source of a card ({error}). Train it again.") from error
    return metadata(name, contract, read_evaluation_json(folder)) + prose


def read_origin(folder: Path) -> Origin | None:
    """Where the adapter in `folder` is on the Hub, None if nowhere that is known of."""
    if not (folder / ORIGIN).is_file():
        return None
    try:
        return checked(Origin, read_json(folder / ORIGIN))
    except ValueError as error:
        raise AdapterError(f"{folder / ORIGIN}: not an adapter's origin ({error}). Remove the file.") from error


def write_origin(folder: Path, origin: Origin) -> None:
    """Note where the adapter in `folder` is on the Hub."""
    write_file(folder / ORIGIN, json.dumps(dataclasses.asdict(origin), indent=2) + "\n")


def read_evaluation_json(folder: Path) -> dict[str, Any] | None:
    """`evaluation.json` as it stands, None if the adapter was never judged."""
    return read_json(folder / EVALUATION) if (folder / EVALUATION).is_file() else None


def refuse_existing(folder: Path, *, overwrite: bool) -> None:
    """Raise `AdapterError` if `folder` is taken; asked before training, not after.

    What is no adapter is not to be replaced either, for which `check_folder` raises `PhasenoPeftError`.
    """
    settle(folder)
    if folder.exists() and not overwrite:
        raise AdapterError(f"{folder}: exists already. Choose another name, or replace it with --overwrite.")
    check_folder(folder, "adapter", (CONFIG,), overwrite=overwrite)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of bounded size and depth. Raises `AdapterError` naming the file."""
    try:
        return read_object(path, LARGEST_JSON_BYTES)
    except ValueError as error:
        raise AdapterError(f"{error}. Fetch the adapter again.") from error


def _check_size(path: Path, largest_bytes: int) -> None:
    if not path.is_file():  # a pipe would be waited for
        raise AdapterError(f"{path}: no such file. Fetch or train the adapter again.")
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:  # its folder is being replaced: read again
        raise AdapterError(f"{path}: no such file. Fetch or train the adapter again.") from error
    if size > largest_bytes:
        raise AdapterError(f"{path}: {size} bytes, more than the {largest_bytes} an adapter may have.")
