"""Compressed files and archives, opened by ourselves and within limits, so that no reader of obspy ever unpacks one.

obspy unpacks tar, zip, gz and bz2 without any limit and then guesses the format of what was inside, Python pickles
included. Readers of this package take the bytes from here instead and name the format themselves.
"""

from __future__ import annotations

import bz2
import functools
import glob
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from phaseno_peft.errors import CampaignError

MAX_UNPACKED_BYTES = 2 << 30
"""Of all that one file unpacks to, layers in between included."""
MAX_RATIO = 100
"""Unpacked bytes for each byte of the file, beyond the first `FREE_BYTES`: records shrink 2 to 10 times, XML 50."""
FREE_BYTES = 32 << 20
MAX_LAYERS = 4
"""Wrappings inside each other: a .tar.gz has two."""
MAX_MEMBERS = 20_000
"""Files of one archive, those of archives inside it included."""

_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 512
_XZ_MEMORY_BYTES = 128 << 20
"""xz -9 needs 65 MB to unpack; a header may ask for 4 GB."""
_OFFICE_MEMBERS = {"[Content_Types].xml", "mimetype"}
"""Every .xlsx and .docx is a zip with the first (ECMA-376, part 2), .ods with the second; their pieces are no files of
anybody."""
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)


def wrapping(head: bytes) -> str | None:
    """ "gz", "bz2", "xz", "zip" or "tar" by the first 512 bytes of a file, whatever its name; None for all others."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gz"
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return "bz2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return "zip"
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")  # checks the header's sum
    except (tarfile.TarError, ValueError):
        return None
    return "tar"


def is_packed(path: Path) -> bool:
    """True for a compressed file or an archive, judged by its content; office documents are neither."""
    with path.open("rb") as file:
        kind = wrapping(file.read(_HEAD_BYTES))
        return kind is not None and not (kind == "zip" and is_office_document(file))


def is_office_document(file: IO[bytes]) -> bool:
    """True for a workbook or another office document, which are zip archives inside."""
    try:
        with zipfile.ZipFile(file) as archive:
            return not _OFFICE_MEMBERS.isdisjoint(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError):
        return False


def unpacked(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every plain file inside a file, one at a time, through all its wrappings.

    A file that is no archive gives itself. Names are for messages only: they come from the archive, so never use one
    as a path. Links, folders and devices are passed over, and so are empty members. Raises `CampaignError` for a
    damaged or encrypted archive and for one beyond the limits above; nothing is written to disk.
    """
    path = Path(path)
    budget = _Budget(path, path.stat().st_size)
    with path.open("rb") as file:
        yield from _plain_files(path.name, file, budget, layer=0)


@dataclass(slots=True)
class _Budget:
    path: Path
    packed_bytes: int
    unpacked_bytes: int = 0
    members: int = 0

    def spend(self, n_bytes: int) -> None:
        self.unpacked_bytes += n_bytes
        most = min(MAX_UNPACKED_BYTES, FREE_BYTES + MAX_RATIO * self.packed_bytes)
        if self.unpacked_bytes > most:
            raise self.refusal(f"unpacks to more than {most >> 20} MB from {self.packed_bytes} bytes")

    def count_member(self) -> None:
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise self.refusal(f"holds more than {MAX_MEMBERS} files")

    def refusal(self, what: str) -> CampaignError:
        return CampaignError(f"{self.path}: {what}. If you trust it, unpack it yourself and give the folder.")


def _plain_files(name: str, file: IO[bytes], budget: _Budget, layer: int) -> Iterator[tuple[str, bytes]]:
    kind = wrapping(file.read(_HEAD_BYTES))
    if kind == "zip" and is_office_document(file):
        kind = None
    file.seek(0)
    if kind is None:
        yield name, file.read()
        return
    if layer >= MAX_LAYERS:
        raise budget.refusal(f"holds archives more than {MAX_LAYERS} deep ({name[-120:]})")
    try:
        for inner_name, content in _members(kind, name, file, budget):
            yield from _plain_files(inner_name, io.BytesIO(content), budget, layer + 1)
    # What the five modules raise for damaged content; a password is a RuntimeError.
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        raise _damaged(budget, name, error) from error
    except zipfile.BadZipFile as error:
        raise _damaged(budget, name, error) from error


def _damaged(budget: _Budget, name: str, error: Exception) -> CampaignError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    where = "" if name == budget.path.name else f" {name[-120:]} in it"
    return CampaignError(
        f"{budget.path}: damaged or encrypted archive,{where} cannot be unpacked ({reason}). "
        "Fetch it again, or unpack it yourself and give the folder."
    )


def _members(kind: str, name: str, file: IO[bytes], budget: _Budget) -> Iterator[tuple[str, bytes]]:
    """(name, content) of what one wrapping holds, each counted against the budget while it is read."""
    if kind == "zip":
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                budget.count_member()
                if entry.is_dir():
                    continue
                if entry.compress_type not in _ZIP_METHODS:
                    raise budget.refusal(f"{entry.filename[-120:]!r} is packed by zip method {entry.compress_type}")
                with archive.open(entry) as member:
                    if content := _read(member, budget):
                        yield f"{name}/{entry.filename}", content
    elif kind == "tar":
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                budget.count_member()
                member_file = tar.extractfile(info) if info.isreg() and not info.issparse() else None
                if member_file is not None and (content := _read(member_file, budget)):
                    yield f"{name}/{info.name}", content
    elif kind == "gz":
        with gzip.GzipFile(fileobj=file) as stream:
            yield name, _read(stream, budget)
    elif kind == "bz2":
        with bz2.BZ2File(file) as stream:
            yield name, _read(stream, budget)
    else:
        yield name, _read_xz(file, budget)


def _read(stream: Any, budget: _Budget) -> bytes:
    pieces = []
    while piece := stream.read(_CHUNK_BYTES):
        budget.spend(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def _read_xz(file: IO[bytes], budget: _Budget) -> bytes:
    """All streams of an .xz file; `lzma.LZMAFile` has no limit on memory."""
    pieces: list[bytes] = []
    rest = b""
    while rest := rest or file.read(_CHUNK_BYTES):
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
        while not decoder.eof:
            if decoder.needs_input and not rest:
                rest = file.read(_CHUNK_BYTES)
                if not rest:
                    raise EOFError("the file ends in the middle of an xz stream")
            piece = decoder.decompress(rest, _CHUNK_BYTES)
            rest = b""
            budget.spend(len(piece))
            pieces.append(piece)
        rest = decoder.unused_data.lstrip(b"\0")  # padding between streams
    return b"".join(pieces)


@contextmanager
def plain_files(path: str | Path) -> Iterator[Iterator[tuple[str, Path]]]:
    """(name, real path) of every plain file inside a file, for readers that need one on disk.

    A file that is no archive gives its own path; members of an archive are written, one at a time, to a private folder
    that holds nothing else, under a name of ours. Raises what `unpacked` raises, and `CampaignError` for a pipe, which
    can be read only once.
    """
    path = Path(path)
    if not path.is_file():
        raise CampaignError(f"{path}: is no regular file (a pipe, say). Write its content into one first.")
    if not is_packed(path):
        yield iter([(path.name, path)])
        return
    with tempfile.TemporaryDirectory(prefix="phaseno-peft-") as folder:

        def files() -> Iterator[tuple[str, Path]]:
            for name, content in unpacked(path):
                member = Path(folder) / "member"
                member.write_bytes(content)
                yield name, member

        yield files()


def obspy_format(group: Literal["waveform", "event", "inventory"], path: Path, allowed: Collection[str]) -> str | None:
    """First of the allowed formats whose obspy reader recognises a plain file, in obspy's order; None for none.

    Give it to `obspy.read(obspy_path(path), format=, check_compression=False)`, so that obspy neither guesses nor
    unpacks. Formats that are not in `allowed` (PICKLE) are not even asked.
    """
    for name, recognises in _recognisers(group):
        if name not in allowed:
            continue
        try:
            if recognises(str(path)):
                return name
        except Exception:  # obspy's checks raise whatever their parsers do; that is a no
            continue
    return None


def obspy_path(path: Path) -> str:
    """A path for obspy's readers: they read every file that fits, so that picks[1].xml alone would give picks1.xml."""
    return glob.escape(str(path))


@functools.cache
def _recognisers(group: str) -> tuple[tuple[str, Callable[[str], Any]], ...]:
    """(format, check) in obspy's order; kept, because each look at an entry point reads its package's metadata."""
    from obspy.core.util.base import ENTRY_POINTS
    from obspy.core.util.misc import buffered_load_entry_point

    return tuple(
        (name, buffered_load_entry_point(entry.dist.name, f"obspy.plugin.{group}.{entry.name}", "isFormat"))
        for name, entry in ENTRY_POINTS[group].items()
        if name != "PICKLE"
    )
