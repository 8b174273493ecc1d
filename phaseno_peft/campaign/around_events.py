"""Archives too large for memory: read piece by piece around the events, the prepared arrays kept on disk."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from obspy import Stream, UTCDateTime

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.noise_times import joined_times
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.runs import TOUCHING_S
from phaseno_peft.campaign.seisbench_files import SetRecord, SetWaveforms, chunks_of, records_of, set_folder
from phaseno_peft.campaign.stretch import Times
from phaseno_peft.campaign.waveform_files import (
    ChannelMap,
    list_files,
    miniseed_spans,
    nothing_readable,
    read_channels,
    read_file,
    read_span,
    rename_channels,
)
from phaseno_peft.campaign.waveforms import traces_with_valid_headers
from phaseno_peft.contract import Preprocessing

if TYPE_CHECKING:
    from phaseno_peft.campaign.catalog import CatalogueEvent

LARGE_BYTES = 100 << 20
"""Of files on disk; from here on an archive is read around its events. In memory compressed samples are 3 to 6 times as
large."""
BEFORE_S, AFTER_S = 120.0, 90.0
"""Real time kept before the first and after the last pick of an event: the window at any shift, and noise."""
LONGEST_PIECE_S = 1800.0
"""A swarm's piece is cut between two events where it becomes longer."""
SOME_EVENTS = 100
"""Of a large archive, whose raw records are looked at together."""
SPAN_BYTES = 1 << 20
"""Big MiniSEED files are read in parts of this size."""


def is_large(waveforms: Any) -> bool:
    """Whether files that are given by their paths hold more than `LARGE_BYTES`."""
    if not isinstance(waveforms, str | Path | Sequence):
        return False
    return sum(file.stat().st_size for file in list_files(waveforms)[0] if file.is_file()) > LARGE_BYTES


def event_times(events: Iterable[CatalogueEvent], also: Times | None = None) -> Times:
    """(begin, end) of what is read: around each event, and `also` (noise that was asked for)."""
    spans = sorted((min(p.time.ns for p in e.picks), max(p.time.ns for p in e.picks)) for e in events if e.picks)
    before, after, longest = (round(1e9 * s) for s in (BEFORE_S, AFTER_S, LONGEST_PIECE_S))
    times: list[tuple[int, int]] = []
    last_pick = 0
    for first, last in spans:
        begin, end = first - before, last + after
        if times and begin <= times[-1][1]:
            start, stop = times[-1]
            between = (last_pick + first) // 2
            if end - start > longest and first - last_pick > before // 2:
                times[-1] = (start, between)
                times.append((between, end))
            else:
                times[-1] = (start, max(stop, end))
        else:
            times.append((begin, end))
        last_pick = max(last_pick, last)
    if also is None:
        return tuple(times)
    return joined_times([*times, *also])


@dataclass(frozen=True, slots=True)
class _Part:
    """A file, or a part of a big one, and the time it covers."""

    file: Path
    span: tuple[int, int] | None
    start_ns: int
    end_ns: int

    def read(self, *, in_folder: bool) -> Stream:
        if self.span is not None:
            return read_span(self.file, self.span)
        return read_file(self.file, in_folder=in_folder) or Stream()


@dataclass
class ArchivePieces:
    """Raw streams around events, one piece at a time; no more than the pieces that a file or part shares is held."""

    path: Any
    times: Times
    channels: ChannelMap | str | Path | None
    rate_hz: float
    where: str = "around the events of the catalogue only"
    """In words, what `times` are."""
    findings: list[Finding] = field(default_factory=list)
    total_s: float = 0.0
    """Of the archive, first to last sample."""

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[dict[str, Stream]]:
        """Streams of each piece by the name of their file. Raises as `read_waveforms` does."""
        mapping = read_channels(self.channels)
        files, in_folder = list_files(self.path)
        parts = sorted(self._parts(files, in_folder), key=lambda part: (part.start_ns, part.file, part.span or (0, 0)))
        if not parts:
            raise nothing_readable(self.path, files)
        self.total_s = (max(p.end_ns for p in parts) - parts[0].start_ns) * 1e-9
        begins_ns, ends_ns = ([piece[i] for piece in self.times] for i in (0, 1))  # in order: pieces do not overlap
        open_pieces: dict[tuple[int, int], dict[str, Stream]] = {}
        for part in parts:
            for piece in sorted(piece for piece in open_pieces if piece[1] <= part.start_ns):
                yield open_pieces.pop(piece)
            wanted = self.times[bisect_right(ends_ns, part.start_ns) : bisect_left(begins_ns, part.end_ns)]
            if not wanted:
                continue
            stream = part.read(in_folder=in_folder)
            rename_channels(stream, mapping)
            for piece in wanted:
                begin, end = (UTCDateTime(ns=ns) for ns in piece)
                kept = [cut for t in stream if (cut := t.slice(begin, end - t.stats.delta / 2)).stats.npts]
                for trace in kept:
                    trace.data = trace.data.copy()
                if kept:
                    named = open_pieces.setdefault(piece, {})
                    named[part.file.stem] = named.get(part.file.stem, Stream()) + Stream(kept)
        for piece in sorted(open_pieces):
            yield open_pieces[piece]

    def _parts(self, files: Sequence[Path], in_folder: bool) -> Iterator[_Part]:
        for file in files:
            spans: Sequence[tuple[int, int] | None] = miniseed_spans(file, SPAN_BYTES) or [None]
            for span in spans:
                if span is None:
                    stream = read_file(file, in_folder=in_folder, headers_only=True)
                else:
                    stream = read_span(file, span, headers_only=True)
                sound, left_out = traces_with_valid_headers(stream or (), self.rate_hz)
                self.findings += [Finding(f.severity, f"{file.stem}: {f.text}") for f in left_out]
                if sound:
                    ends = [t.stats.endtime.ns + round(1e9 * t.stats.delta) for t in sound]
                    yield _Part(file, span, min(t.stats.starttime.ns for t in sound), max(ends))


@dataclass
class SetPieces:
    """Raw streams of a set in SeisBench's format, records that touch together; its metadata are looked through first.

    A record of a set is around an event already: all are read.
    """

    folder: Path
    rate_hz: float
    findings: list[Finding] = field(default_factory=list)
    total_s: float = 0.0
    """Of the records together."""
    n: int = 0

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[dict[str, Stream]]:
        """Streams by the name of their file. Raises as `records_of` does."""
        with SetWaveforms() as waveforms:
            records = sorted(
                (record for chunk in chunks_of(self.folder) for record in records_of(chunk.waveforms, waveforms)),
                key=lambda record: (record.start_ns, record.station, record.name),
            )
            groups: list[list[SetRecord]] = []
            reached_ns = 0
            for record in records:
                start_ns = record.start_ns
                end_ns = start_ns + round(1e9 * record.n_samples(waveforms) / record.rate_hz)
                if not groups or (start_ns - reached_ns) * 1e-9 > TOUCHING_S:
                    groups.append([])
                    reached_ns = start_ns
                self.total_s += max(0, end_ns - max(reached_ns, start_ns)) * 1e-9
                reached_ns = max(reached_ns, end_ns)
                groups[-1].append(record)
            del records
            self.n = len(groups)
            for group in groups:
                named: dict[str, Stream] = {}
                for record in group:
                    named.setdefault(record.path.stem, Stream()).extend(list(record.traces(waveforms)))
                yield named


def streams_around(
    waveforms: Any, events: Sequence[CatalogueEvent], channels: ChannelMap | str | Path | None
) -> dict[str, Stream]:
    """Raw streams of a large archive around at most `SOME_EVENTS` of its events, spread over them."""
    some = events[:: -(-len(events) // SOME_EVENTS) or 1]
    folder, rate_hz = set_folder(waveforms), Preprocessing().rate_hz
    pieces: ArchivePieces | SetPieces
    if folder is None:
        pieces = ArchivePieces(waveforms, event_times(some), channels, rate_hz)
    else:
        pieces = SetPieces(folder, rate_hz)
    streams: dict[str, Stream] = {}
    for piece in itertools.islice(pieces, SOME_EVENTS) if some else ():
        streams |= {f"{len(streams)} {name}": stream for name, stream in piece.items()}
    return streams


class RecordingsOnDisk:
    """Recordings whose arrays lie in one temporary file, mapped into memory; it is gone when nothing uses it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="phaseno-peft-")  # noqa: SIM115  # kept open by what is mapped
        self._kept: list[tuple[Recording, int, int]] = []

    def put(self, recording: Recording) -> None:
        """Write a recording's arrays."""
        first = [self._write(array) for array in (recording.samples, recording.recorded)]
        bare = dataclasses.replace(recording, samples=_bare(recording.samples), recorded=_bare(recording.recorded))
        self._kept.append((bare, first[0], first[1]))

    def _write(self, array: np.ndarray) -> int:
        """Append an array; returns where it begins, aligned to its items."""
        self._file.write(bytes(-self._file.seek(0, 2) % array.dtype.itemsize))
        first = self._file.tell()
        self._file.write(np.ascontiguousarray(array).data)
        return first

    def recordings(self) -> list[Recording]:
        """All that were put in."""
        if not self._kept:
            return []
        self._file.flush()
        whole = np.memmap(self._file, dtype=np.uint8, mode="c")
        return [
            dataclasses.replace(
                bare, samples=_mapped(whole, samples, bare.samples), recorded=_mapped(whole, recorded, bare.recorded)
            )
            for bare, samples, recorded in self._kept
        ]


def _bare(array: np.ndarray) -> np.ndarray:
    """An array of the same shape and kind that holds one value."""
    return np.broadcast_to(np.zeros((), array.dtype), array.shape)


def _mapped(whole: np.ndarray, first: int, like: np.ndarray) -> np.ndarray:
    n_bytes = int(np.prod(like.shape)) * like.dtype.itemsize
    return np.frombuffer(whole, like.dtype, count=n_bytes // like.dtype.itemsize, offset=first).reshape(like.shape)


def read_around(
    pieces: ArchivePieces | SetPieces,
    prepare_piece: Callable[[dict[str, Stream]], Sequence[Recording]],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Recording], list[Finding]]:
    """Prepared recordings of all pieces, on disk, in time order, and what was found."""
    on_disk = RecordingsOnDisk()
    kept_s = 0.0
    for done, streams in enumerate(pieces, start=1):
        for recording in prepare_piece(streams):
            kept_s += recording.duration_s
            on_disk.put(recording)
        if progress is not None:
            progress(min(done, len(pieces)), len(pieces))
    text = f"the waveforms are larger than {LARGE_BYTES >> 20} MB and are "
    if isinstance(pieces, ArchivePieces):
        text += f"read {pieces.where}: "
        text += f"{kept_s / 3600:.1f} of {pieces.total_s / 3600:.1f} hours"
    else:
        text += "prepared piece by piece and kept on disk"
    return on_disk.recordings(), [Finding("note", f"{text}."), *pieces.findings]
