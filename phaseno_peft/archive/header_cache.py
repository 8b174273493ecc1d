"""The headers of an archive's files, read once and kept: a file is opened again only if its size or its time changes.

One line of JSON a file, in the user's cache folder, appended as files are read: a kill loses nothing but the line that
was being written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from obspy import UTCDateTime

from phaseno_peft.campaign.file_headers import FileHeaders, Header, Place, read_headers
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.sources import PART_BYTES
from phaseno_peft.campaign.waveform_files import ChannelMap, list_files, nothing_readable, read_channels
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.files import write_file
from phaseno_peft.paths import cache_folder

log = logging.getLogger(__name__)

VERSION = 1
_DAY_NS = 86_400_000_000_000
_SDS_NAME = re.compile(r"[^.]*\.[^.]+\.[^.]*\.[^.]+\.[A-Z]\.(?P<year>\d{4})\.(?P<day>\d{3})")
"""NET.STA.LOC.CHA.TYPE.YEAR.DAY, the names of an SDS tree."""
_MOST_STALE = 2.0
"""The cache is written anew where it has this many times the lines that count."""


def read_archive_headers(
    archive: str | Path,
    rate_hz: float,
    *,
    channels: ChannelMap | str | Path | None = None,
    begin_ns: int | None = None,
    end_ns: int | None = None,
    retry: bool = False,
    suspect: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[FileHeaders]:
    """The headers of every file of an archive, an SDS tree or any folder of files; those of damaged ones say why.

    Files whose SDS names say that they lie more than a day outside of begin and end (nanoseconds since 1970) are not
    looked at. retry: read files again that could not be read before, or that one of the sentences in `suspect` names.
    Raises `CampaignError` for an archive that is not
    there, or holds no waveforms or none of the time.
    """
    folder = Path(archive)
    if not folder.exists():
        raise CampaignError(f"{folder}: no such archive. Give the top of an SDS tree, or a folder of day files.")
    files, in_folder = list_files(folder)
    if not files:
        raise CampaignError(f"{folder}: the archive is empty. Give the top of an SDS tree, or a folder of day files.")
    wanted = [file for file in files if _may_hold(file.name, begin_ns, end_ns)]
    if not wanted:
        raise CampaignError(
            f"{folder}: by their names none of the archive's {len(files)} files is of the time that is asked for. The "
            f"first is {min(file.name for file in files)}. Ask for another time."
        )
    mapping = read_channels(channels)
    cache = HeaderCache(_cache_path(folder, rate_hz, mapping))
    found: list[FileHeaders] = []
    for number, file in enumerate(wanted):
        known = cache.get(file)
        if known is None or (retry and (known.error or any(f"{file}" in text for text in suspect))):
            known = read_headers(file, rate_hz, mapping, PART_BYTES, in_folder=in_folder)
            cache.put(known)
        found.append(known)
        if progress is not None:
            progress(number + 1, len(wanted))
    cache.tidy()
    if not any(file.spans or file.error for file in found):
        raise nothing_readable(folder, files)
    return found


class HeaderCache:
    """Headers of files by path, kept in one file; where it cannot be written, a warning is logged, nothing kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, str] = {}
        self._n_read = 0
        self._is_writable = True
        try:
            for line in path.read_text(encoding="utf-8").splitlines():
                self._n_read += 1
                try:
                    self._lines[json.loads(line)["path"]] = line
                except (ValueError, KeyError, TypeError):  # a kill cut it off
                    continue
        except (OSError, UnicodeDecodeError):
            pass

    def get(self, file: Path) -> FileHeaders | None:
        """What is kept of a file that has not changed since."""
        line = self._lines.get(f"{file}")
        if line is None:
            return None
        try:
            known, stat = headers_from_json(json.loads(line)), file.stat()
        except (ValueError, KeyError, TypeError, OSError):
            return None
        return known if (known.size_bytes, known.modified_ns) == (stat.st_size, stat.st_mtime_ns) else None

    def put(self, headers: FileHeaders) -> None:
        """Keep the headers of a file."""
        line = json.dumps(headers_to_json(headers), separators=(",", ":"))
        self._lines[f"{headers.path}"] = line
        self._n_read += 1
        if not self._is_writable:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError as error:
            self._is_writable = False
            log.warning("%s: headers cannot be kept there (%s); they are read again the next time.", self._path, error)

    def tidy(self) -> None:
        """Drop lines that others have replaced, where they are many."""
        if self._is_writable and self._n_read > _MOST_STALE * len(self._lines):
            try:
                write_file(self._path, "".join(f"{line}\n" for line in self._lines.values()))
            except PhasenoPeftError as error:
                log.warning("%s", error)


def headers_to_json(headers: FileHeaders) -> dict[str, Any]:
    """Plain JSON types only."""
    return {
        "path": f"{headers.path}",
        "size_bytes": headers.size_bytes,
        "modified_ns": headers.modified_ns,
        "spans": headers.spans,
        "lengths": headers.lengths,
        "headers": [
            [h.seed_id, h.start_ns, h.rate_hz, h.n_samples, [[p.part, p.number, p.first, p.last] for p in h.places]]
            for h in headers.headers
        ],
        "findings": [finding.text for finding in headers.findings],
        "error": headers.error,
    }


def headers_from_json(raw: dict[str, Any]) -> FileHeaders:
    """Inverse of `headers_to_json`. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
    return FileHeaders(
        Path(raw["path"]),
        int(raw["size_bytes"]),
        int(raw["modified_ns"]),
        tuple(None if span is None else (int(span[0]), int(span[1])) for span in raw["spans"]),
        tuple(tuple(map(int, lengths)) for lengths in raw["lengths"]),
        tuple(
            Header("", f"{seed_id}", int(start), float(rate), int(n), tuple(Place(*map(int, p)) for p in places))
            for seed_id, start, rate, n, places in raw["headers"]
        ),
        tuple(Finding("warning", f"{text}") for text in raw["findings"]),
        f"{raw['error']}",
    )


def _may_hold(name: str, begin_ns: int | None, end_ns: int | None) -> bool:
    """False for a file of an SDS tree whose name says another day; clocks and overlaps get a day on both sides."""
    match = _SDS_NAME.fullmatch(name)
    if match is None or not 1 <= int(match["day"]) <= 366:
        return True
    start_ns = UTCDateTime(year=int(match["year"]), julday=1).ns + (int(match["day"]) - 1) * _DAY_NS
    after = end_ns is None or start_ns - _DAY_NS < end_ns
    return after and (begin_ns is None or start_ns + 2 * _DAY_NS > begin_ns)


def _cache_path(folder: Path, rate_hz: float, mapping: ChannelMap) -> Path:
    """Where the headers of an archive are kept, for one way of reading them."""
    way = [VERSION, f"{folder.resolve()}", rate_hz, sorted(mapping.items()), PART_BYTES]
    return cache_folder() / "headers" / f"{hashlib.sha256(json.dumps(way).encode()).hexdigest()[:16]}.jsonl"


def unreadable(files: Iterable[FileHeaders]) -> list[str]:
    """Why each damaged file cannot be read, one sentence each."""
    return [file.error for file in files if file.error]
