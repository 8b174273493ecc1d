"""Where records come from: files, streams, or chunks that arrive one after the other, indexed by their headers.

An index holds what the headers say of every trace, and reads samples part by part when they are asked for: a file, or
a few megabytes of a large MiniSEED file. Chunks of an iterable go to temporary files as they come.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from obspy import Stream

from phaseno_peft.campaign.file_headers import FileHeaders, Header, Place, read_headers, trace_headers
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.plan import few
from phaseno_peft.campaign.waveform_files import (
    ChannelMap,
    list_files,
    nothing_readable,
    read_channels,
    read_file,
    read_span,
    rename_channels,
)
from phaseno_peft.errors import CampaignError

Source: TypeAlias = (
    str | Path | Sequence[str | Path] | Sequence[FileHeaders] | Stream | Mapping[str, Stream] | Iterable[Stream]
)
"""A file, a folder of files, a list of files or of their headers, an obspy Stream, named Streams, or an iterable of
Streams such as the answers of an obspy client."""

PART_BYTES = 2 << 20
"""Large MiniSEED files are read in parts of this size, so that a day in one file costs no more than one in many."""
UNREADABLE = "unreadable file"
"""Kind of the findings about files that were left out because they cannot be read."""
CACHE_BYTES = 64 << 20
"""Samples of parts that are kept because the next block may need them again."""


class UnreadableFileError(CampaignError):
    """A file that cannot be read and must not be skipped."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What is read at once."""

    name: str
    load: Callable[[], Sequence[Any]]
    """Gives [trace][sample]."""
    lengths: tuple[int, ...]
    """Samples of each trace by its header."""


class Index:
    """Headers of everything a source holds, in the order of time and file name; see `Source`.

    Raises `CampaignError` for what cannot be read, which `skip_unreadable` turns into a warning in `findings`.
    """

    def __init__(
        self,
        source: Source,
        rate_hz: float,
        *,
        channels: ChannelMap | str | Path | None = None,
        skip_unreadable: bool = False,
        on_findings: Callable[[Sequence[Finding]], None] | None = None,
    ) -> None:
        self.findings: list[Finding] = []
        """What was left out of the whole source."""
        self.rates_hz: set[float] = set()
        self._rate_hz, self._skip_unreadable, self._on_findings = rate_hz, skip_unreadable, on_findings
        self._parts: list[_Part] = []
        self._unreadable: set[int] = set()
        self._cache: OrderedDict[int, Sequence[Any]] = OrderedDict()
        self._spool: tempfile.TemporaryDirectory[str] | None = None
        found = self._index(source, read_channels(channels))
        self.headers: tuple[Header, ...] = tuple(sorted(found, key=lambda h: (h.start_ns, h.name)))
        """In time order; of those that start together, by the name of the file."""

    def close(self) -> None:
        """Remove the temporary files of chunks."""
        if self._spool is not None:
            self._spool.cleanup()
            self._spool = None

    def read(self, wanted: Sequence[Place]) -> list[np.ndarray | None]:
        """Samples of each, every part opened once; None for those of a part that cannot be read and is skipped."""
        by_part: dict[int, list[int]] = {}
        for i, place in enumerate(wanted):
            by_part.setdefault(place.part, []).append(i)
        found: list[np.ndarray | None] = [None] * len(wanted)
        for part, members in sorted(by_part.items()):
            if (arrays := self._arrays(part)) is not None:
                for i in members:
                    found[i] = np.array(arrays[wanted[i].number][wanted[i].first : wanted[i].last])
        return found

    def _arrays(self, part: int) -> Sequence[Any] | None:
        """[trace][sample] of a part; None where it cannot be read and that is allowed."""
        if part in self._unreadable:
            return None
        if part in self._cache:
            self._cache.move_to_end(part)
            return self._cache[part]
        wanted = self._parts[part]
        try:
            arrays = wanted.load()
            if [len(array) for array in arrays] != list(wanted.lengths):
                raise CampaignError(
                    f"{wanted.name}: its samples are not those that its headers announce. Fetch it again, or leave it "
                    "out."
                )
        except CampaignError as error:
            self._skip(error)
            self._unreadable.add(part)
            return None
        if sum(_held_bytes(array) for array in arrays) <= CACHE_BYTES:
            self._cache[part] = arrays
        while sum(_held_bytes(array) for held in self._cache.values() for array in held) > CACHE_BYTES:
            self._cache.popitem(last=False)
        return arrays

    def _skip(self, error: CampaignError) -> None:
        """Tell what cannot be read, where that is allowed; else raise."""
        if not self._skip_unreadable:
            raise UnreadableFileError(
                f"{error} To pick the rest, skip what cannot be read (--skip-unreadable)."
            ) from error
        self._tell([Finding("warning", f"left out: {error}", kind=UNREADABLE)])

    def _tell(self, findings: Sequence[Finding]) -> None:
        self.findings += findings
        if findings and self._on_findings is not None:
            self._on_findings(findings)

    def _index(self, source: Source, mapping: ChannelMap) -> list[Header]:
        if isinstance(source, Stream):
            return self._add_stream("stream", source)
        if isinstance(source, Mapping):
            return [header for name, stream in source.items() for header in self._add_stream(name, stream)]
        if isinstance(source, str | Path):
            return self._add_files(source, mapping)
        chunks = iter(source)
        first = next(chunks, None)
        if first is None:
            raise CampaignError("the list of waveforms is empty. Give at least one file or stream.")
        if isinstance(first, str | Path):
            return self._add_files([first, *cast(Iterator[str | Path], chunks)], mapping)
        if isinstance(first, FileHeaders):
            return self._add_headers([first, *cast(Iterator[FileHeaders], chunks)], mapping)[0]
        return self._add_chunks(first, cast(Iterator[Stream], chunks))

    def _add_files(self, source: str | Path | Sequence[str | Path], mapping: ChannelMap) -> list[Header]:
        files, in_folder = list_files(source)
        read = (read_headers(f, self._rate_hz, mapping, PART_BYTES, in_folder=in_folder) for f in files)
        found, unreadable = self._add_headers(read, mapping)
        if not self._parts and not unreadable:
            raise nothing_readable(source, files)
        return found

    def _add_headers(self, files: Iterable[FileHeaders], mapping: ChannelMap) -> tuple[list[Header], int]:
        """Headers of files, and how many files cannot be read."""
        found: list[Header] = []
        names: set[str] = set()
        unreadable = 0
        passed_over: list[str] = []
        for file in files:
            name = file.path.name if file.path.stem in names else file.path.stem
            names.add(name)
            if file.error:
                self._skip(CampaignError(file.error))
                unreadable += 1
            elif not file.spans:
                passed_over.append(file.path.name)
            first = len(self._parts)
            for span, lengths in zip(file.spans, file.lengths, strict=True):
                if span is None:
                    read: Callable[[], Stream | None] = partial(read_file, file.path, in_folder=False)
                else:
                    read = partial(read_span, file.path, span)
                self._parts.append(_Part(f"{file.path}", _loader(partial(_renamed, read, mapping)), lengths))
            found += self._named(name, file.headers, file.findings, first)
        if passed_over:
            self._tell([Finding("note", f"{few(passed_over)} passed over: no waveform format obspy knows.")])
        return found, unreadable

    def _named(
        self, name: str, headers: Iterable[Header], left_out: Iterable[Finding], first_part: int
    ) -> list[Header]:
        """Headers with the name of their file, parts counted over all files; what was left out is told."""
        self._tell([f for f in (replace(f, text=f"{name}: {f.text}") for f in left_out) if f not in self.findings])
        named = []
        for header in headers:
            self.rates_hz.add(header.rate_hz)
            places = tuple(replace(place, part=place.part + first_part) for place in header.places)
            named.append(replace(header, name=name, places=places))
        return named

    def _add_stream(self, name: str, stream: Stream) -> list[Header]:
        arrays = [np.ma.getdata(trace.data) for trace in stream]
        masks = [np.ma.getmaskarray(t.data) if np.ma.isMaskedArray(t.data) else None for t in stream]
        return self._add(name, stream, lambda: arrays, name, masks)

    def _add_chunks(self, first: Stream, others: Iterator[Stream]) -> list[Header]:
        self._spool = tempfile.TemporaryDirectory(prefix="phaseno-peft-", ignore_cleanup_errors=True)
        folder = Path(self._spool.name)
        chunks = enumerate(itertools.chain([first], others))
        return [header for number, chunk in chunks for header in self._add_chunk(number, chunk, folder / f"{number}")]

    def _add_chunk(self, number: int, chunk: Any, path: Path) -> list[Header]:
        if not isinstance(chunk, Stream):
            raise CampaignError(
                f"chunk {number} of the waveforms is a {type(chunk).__name__}, not an obspy Stream. Give a file, a "
                "folder, a list of files, a Stream, or an iterable of Streams."
            )
        kept: list[_OnDisk] = []
        at = 0
        with path.open("wb") as file:
            for trace in chunk:
                values = np.ascontiguousarray(np.ma.getdata(trace.data))
                file.write(values.data if len(values) else b"")
                kept.append(_OnDisk(path, at, values.dtype, len(values)))
                at += values.nbytes
        masks = [np.ma.getmaskarray(t.data) if np.ma.isMaskedArray(t.data) else None for t in chunk]
        name = f"chunk {number:05d}"
        return self._add(name, chunk, lambda: kept, name, masks)

    def _add(
        self,
        name: str,
        stream: Stream,
        load: Callable[[], Sequence[Any]],
        shown: str,
        masks: Sequence[np.ndarray | None] = (),
    ) -> list[Header]:
        """Headers of one part; those that cannot be believed are told and left out."""
        headers, left_out = trace_headers(stream, self._rate_hz, 0, masks)
        self._parts.append(_Part(shown, load, tuple(trace.stats.npts for trace in stream)))
        return self._named(name, headers, left_out, len(self._parts) - 1)


@dataclass(frozen=True, slots=True)
class _OnDisk:
    """Samples in a temporary file; has a length and can be sliced."""

    path: Path
    first_byte: int
    dtype: np.dtype[Any]
    n_samples: int

    def __len__(self) -> int:
        return self.n_samples

    def __getitem__(self, cut: slice) -> np.ndarray:
        first, last, _ = cut.indices(self.n_samples)
        offset = self.first_byte + first * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, max(0, last - first), offset=offset)


def _held_bytes(array: Any) -> int:
    return int(getattr(array, "nbytes", 0))


def _renamed(read: Callable[[], Stream | None], mapping: ChannelMap) -> Stream | None:
    """What is read, with traces turned round whose channel map says so."""
    stream = read()
    if stream is not None and any(target.startswith("-") for target in mapping.values()):
        rename_channels(stream, mapping)
    return stream


def _loader(read: Callable[[], Stream | None]) -> Callable[[], Sequence[np.ndarray]]:
    """Arrays of the traces that `read` gives."""

    def load() -> list[np.ndarray]:
        stream = read()
        return [] if stream is None else [np.asarray(trace.data) for trace in stream]

    return load
