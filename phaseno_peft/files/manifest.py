"""A folder's manifest: size and SHA-256 of every file, so that what is read is what was written.

`manifest.json` lies beside the files it lists. It tells a damaged or half-copied folder from a whole one; it does not
say who wrote it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from annotated_types import Ge, Le, MaxLen

from phaseno_peft.files.atomic import write_file
from phaseno_peft.schema import Digest, Word, checked, read_object, strict

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
LARGEST_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder is called and what each of its files should be."""

    name: str
    files: dict[str, tuple[int, str]]
    """Path within the folder -> (bytes, SHA-256)."""


@strict
@dataclass(frozen=True, slots=True)
class _Entry:
    bytes: Annotated[int, Ge(0), Le(2**40)]
    sha256: Digest


@strict
@dataclass(frozen=True, slots=True)
class _Raw:
    manifest_version: int
    name: Word
    files: Annotated[dict[Word, _Entry], MaxLen(1000)]


def write_manifest(folder: Path, name: str, files: Iterable[str]) -> Path:
    """List `files` (paths within `folder`) in its `manifest.json`, and return that path."""
    entries = {file: {"bytes": (folder / file).stat().st_size, "sha256": sha256(folder / file)} for file in files}
    raw = {"manifest_version": MANIFEST_VERSION, "name": name, "files": dict(sorted(entries.items()))}
    return write_file(folder / MANIFEST, json.dumps(raw, indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest, None if it has none. Raises `ValueError` in a sentence for a damaged or a newer one."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    raw = read_object(path, LARGEST_MANIFEST_BYTES)
    if (version := raw.get("manifest_version")) != MANIFEST_VERSION:
        raise ValueError(f"{path}: manifest version is {version!r}, this phaseno-peft reads {MANIFEST_VERSION}")
    try:
        found = checked(_Raw, raw)
    except ValueError as error:
        raise ValueError(f"{path}: not a manifest ({error})") from error
    if not all(_is_inside(file) for file in found.files):
        raise ValueError(f"{path}: lists a file outside its folder")
    return Manifest(found.name, {file: (entry.bytes, entry.sha256) for file, entry in found.files.items()})


def altered_files(folder: Path, only: Iterable[str] | None = None) -> list[str]:
    """One sentence for each listed file that is missing or not as listed; empty where all is well or no manifest is.

    only: look at these files alone, and require that they are listed.
    """
    try:
        manifest = read_manifest(folder)
    except ValueError as error:
        return [f"{error}."]
    if manifest is None:
        return []
    problems = []
    for file in sorted(manifest.files if only is None else only):
        if file not in manifest.files:
            problems.append(f"{folder / file}: is not listed in {MANIFEST}.")
            continue
        if (problem := _difference(folder / file, *manifest.files[file])) is not None:
            problems.append(problem)
    return problems


def _difference(path: Path, n_bytes: int, digest: str) -> str | None:
    """What is wrong with a listed file; one that goes away while it is looked at, with its folder, is missing."""
    try:
        if path.is_file() and (size := path.stat().st_size) != n_bytes:
            return f"{path}: {size} bytes, {MANIFEST} says {n_bytes}."
        seen = sha256(path) if path.is_file() else None
    except FileNotFoundError:
        seen = None
    if seen is None:
        return f"{path}: is missing, {MANIFEST} lists it."
    return None if seen == digest else f"{path}: the SHA-256 is {seen[:12]}, {MANIFEST} says {digest[:12]}."


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_inside(file: str) -> bool:
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in file and ":" not in file
