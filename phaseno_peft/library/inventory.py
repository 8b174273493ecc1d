"""What stands in the library: facts about an adapter, whether it is still whole, and taking it out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phaseno_peft.errors import AdapterError, HubError
from phaseno_peft.files import remove_folder, settle, write_file, write_folder
from phaseno_peft.files.manifest import MANIFEST, altered_files, read_manifest, write_manifest
from phaseno_peft.library.names import CARD, CARD_SOURCE, CONFIG, EVALUATION, check_name
from phaseno_peft.library.resolve import Place, find_adapter, library_folder, list_adapters
from phaseno_peft.library.store import (
    Origin,
    listed_files,
    read_contract,
    read_json,
    read_located,
    read_origin,
    render_card,
)

if TYPE_CHECKING:
    from phaseno_peft.contract import Contract


@dataclass(frozen=True)
class AdapterInfo:
    """What is known of an adapter without loading its tensors."""

    name: str
    place: Place
    folder: Path
    contract: Contract
    origin: Origin | None
    """Where on the Hub it came from or was pushed to."""
    is_evaluated: bool
    n_bytes: int
    """Of all its files."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What re-hashing an adapter found."""

    name: str
    folder: Path
    problems: tuple[str, ...]
    """One sentence each; empty where every file is as it was written."""


def adapter_info(name_or_path: str | Path) -> AdapterInfo:
    """Facts about an adapter, found as `load_adapter` finds it. Raises `AdapterError` and `HubError`."""
    found = find_adapter(name_or_path)
    contract = read_contract(found.folder)
    origin = read_origin(found.folder)
    if found.hub is not None and found.commit is not None:
        origin = Origin(found.hub.repository, found.hub.revision, found.commit)
    sizes = (
        (found.folder / file).stat().st_size for file in listed_files(found.folder) if (found.folder / file).exists()
    )
    evaluated = (found.folder / EVALUATION).is_file()
    return AdapterInfo(found.name, found.place, found.folder, contract, origin, evaluated, sum(sizes))


def verify_adapters(names: Iterable[str | Path] | None = None) -> list[Verification]:
    """Hash every file of adapters again and read them strictly: of `names`, or of the library and those shipped.

    Raises `AdapterError` for a name that is not there.
    """
    results = []
    for name in list_adapters() if names is None else names:
        found = find_adapter(name, remote=False)
        problems = altered_files(found.folder)
        if not (found.folder / MANIFEST).is_file():
            problems = [f"{found.folder}: has no {MANIFEST}, so only its tensors can be verified."]
        try:
            read_located(found)
        except AdapterError as error:
            problems = problems or [str(error)]
        results.append(Verification(found.name, found.folder, tuple(problems)))
    return results


def remove_adapter(name: str) -> Path:
    """Take an adapter out of the user's library, at once and whole; returns the folder that was removed.

    Raises `AdapterError` for names that are not in the library: shipped adapters and the Hub's cache stay.
    """
    folder = library_folder() / check_name(name)
    settle(folder)
    if not (folder / CONFIG).is_file():
        where = find_adapter(name, remote=False)  # says what is there instead
        raise AdapterError(
            f"adapter {name!r} is {where.place} at {where.folder}, not in your library. Nothing removed."
        )
    remove_folder(folder)
    return folder


def renew_card(folder: Path, extra_notes: Sequence[str] = (), tables: Mapping[str, str] | None = None) -> Path:
    """Generate an adapter's card anew, with `extra_notes` under its limits, and bring its manifest up to date.

    `tables` (heading -> Markdown) replace or join those that it has.

    Raises `AdapterError` if anything but the card was altered.
    """
    own = [file for file in listed_files(folder) if file not in (MANIFEST, CARD, CARD_SOURCE)]
    if altered := altered_files(folder, own):
        raise AdapterError(f"{altered[0]} It was altered after it was written; train it again.")
    source = read_json(folder / CARD_SOURCE)
    source["notes"] += [note for note in extra_notes if note not in source["notes"]]
    source["tables"] = {**source["tables"], **(tables or {})}
    manifest = read_manifest(folder)
    name = manifest.name if manifest is not None else folder.name
    with write_folder(folder, "renewing the card of", overwrite=True) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True)
        write_file(part / CARD_SOURCE, json.dumps(source, indent=1) + "\n")
        write_file(part / CARD, render_card(part, name))
        write_manifest(part, name, [*own, CARD, CARD_SOURCE])
    return folder / CARD


def describe(name: str) -> AdapterInfo | str:
    """`adapter_info`, or in a sentence why there is none: for tables in which one damaged adapter is one row."""
    try:
        return adapter_info(name)
    except (AdapterError, HubError) as error:
        return str(error)
