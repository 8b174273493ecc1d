"""What the headers of one waveform file say, read once and kept: traces, times, and where their samples lie."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phaseno_peft.campaign.channels import true_runs
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.plan import seed_id_of
from phaseno_peft.campaign.segments import SAME_RATE
from phaseno_peft.campaign.waveform_files import (
    ChannelMap,
    miniseed_spans,
    read_file,
    read_span,
    rename_channels,
)
from phaseno_peft.campaign.waveforms import traces_with_valid_headers
from phaseno_peft.errors import CampaignError


@dataclass(frozen=True, slots=True)
class Place:
    """Where samples lie: from one sample to another of a trace of a part."""

    part: int
    number: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a trace says, and where its samples lie."""

    name: str
    """Of the file, for messages."""
    seed_id: str
    start_ns: int
    rate_hz: float
    n_samples: int
    places: tuple[Place, ...]
    """One after the other; several where a file is read in parts."""

    @property
    def end_ns(self) -> int:
        """Time of the last sample."""
        return self.start_ns + round((self.n_samples - 1) * 1e9 / self.rate_hz)

    def goes_on_with(self, other: Header) -> bool:
        """True where the other one follows within half a sample on the same channel."""
        late = (other.start_ns - self.start_ns) * 1e-9 * self.rate_hz - self.n_samples
        return self.seed_id == other.seed_id and abs(late) <= 0.5 and abs(other.rate_hz / self.rate_hz - 1) <= SAME_RATE


@dataclass(frozen=True, slots=True)
class Stored:
    """Samples `first` to `last` of a trace, not read yet; has a length and can be sliced like an array."""

    header: Header
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, cut: slice) -> Stored:
        first, last, _ = cut.indices(len(self))
        return Stored(self.header, self.first + first, self.first + max(first, last))

    def places(self) -> Iterator[tuple[int, Place]]:
        """(how many of these samples come before, place) of every piece."""
        at = 0
        for place in self.header.places:
            first, last = max(self.first - at, 0), min(self.last - at, place.last - place.first)
            if last > first:
                yield at + first - self.first, replace(place, first=place.first + first, last=place.first + last)
            at += place.last - place.first


@dataclass(frozen=True, slots=True)
class FileHeaders:
    """What the headers of one file say: enough to find its samples again without opening any other file."""

    path: Path
    size_bytes: int
    modified_ns: int
    """Size and time of the last change tell whether the file is still the one whose headers these are."""
    spans: tuple[tuple[int, int] | None, ...] = ()
    """(first byte, bytes) of each part; None for a file that is read as a whole. Empty: it holds no waveforms."""
    lengths: tuple[tuple[int, ...], ...] = ()
    """Samples of every trace of each part, by its header."""
    headers: tuple[Header, ...] = ()
    """Of the traces that can be believed; their names are empty, and parts are counted within the file."""
    findings: tuple[Finding, ...] = ()
    """What was left out."""
    error: str = ""
    """Why the file cannot be read; empty where it can."""


def read_headers(file: Path, rate_hz: float, mapping: ChannelMap, part_bytes: int, *, in_folder: bool) -> FileHeaders:
    """The headers of a file; `error` says why it cannot be read, and no spans that it is no waveform file.

    rate_hz: of the grid the traces will be brought to. mapping: what `read_channels` gives. part_bytes: large MiniSEED
    files are read in parts of this size.
    """
    try:
        stat = file.stat()
        size_bytes, modified_ns = stat.st_size, stat.st_mtime_ns
    except OSError:
        size_bytes, modified_ns = 0, 0
    found = FileHeaders(file, size_bytes, modified_ns)
    try:
        whole_numbers = any(key.isdigit() for key in mapping)  # traces are counted from the file's beginning
        spans = miniseed_spans(file, part_bytes) if file.is_file() and not whole_numbers else []
        if spans:
            streams = ((span, read_span(file, span, headers_only=True)) for span in spans)
            return _of_parts(found, streams, rate_hz, mapping)
        stream = read_file(file, in_folder=in_folder, headers_only=True)
        return found if stream is None else _of_parts(found, [(None, stream)], rate_hz, mapping)
    except CampaignError as error:
        return replace(found, error=str(error))


def _of_parts(found: FileHeaders, streams: Any, rate_hz: float, mapping: ChannelMap) -> FileHeaders:
    """The file's headers from those of its parts, a trace that goes on from part to part as one."""
    spans: list[tuple[int, int] | None] = []
    lengths: list[tuple[int, ...]] = []
    findings: list[Finding] = []
    of_file: dict[str, list[Header]] = {}
    for part, (span, stream) in enumerate(streams):
        rename_channels(stream, mapping)
        headers, left_out = trace_headers(stream, rate_hz, part)
        spans.append(span)
        lengths.append(tuple(trace.stats.npts for trace in stream))
        findings += [finding for finding in left_out if finding not in findings]
        _join_parts(of_file, headers)
    joined = tuple(itertools.chain.from_iterable(of_file.values()))
    return replace(found, spans=tuple(spans), lengths=tuple(lengths), headers=joined, findings=tuple(findings))


def trace_headers(
    stream: Any, rate_hz: float, part: int, masks: Sequence[np.ndarray | None] = ()
) -> tuple[list[Header], list[Finding]]:
    """Headers of the traces of one part, without names, and what cannot be believed and is left out."""
    sound, left_out = traces_with_valid_headers(stream, rate_hz)
    believed = {id(trace) for trace in sound}
    headers: list[Header] = []
    for number, trace in enumerate(stream):
        if id(trace) not in believed:
            continue
        mask = masks[number] if masks else None
        own_hz, start_ns = float(trace.stats.sampling_rate), int(trace.stats.starttime.ns)
        for a, b in [(0, trace.stats.npts)] if mask is None else true_runs(~mask):
            begin_ns = start_ns + round(a * 1e9 / own_hz)
            headers.append(Header("", seed_id_of(trace.stats), begin_ns, own_hz, b - a, (Place(part, number, a, b),)))
    return headers, left_out


def _join_parts(of_file: dict[str, list[Header]], headers: Sequence[Header]) -> None:
    """Add the headers of a file's next part, so that a trace that goes on from part to part stays one trace."""
    for header in headers:
        known = of_file.setdefault(header.seed_id, [])
        if known and known[-1].goes_on_with(header):
            n_samples, places = known[-1].n_samples + header.n_samples, known[-1].places + header.places
            known[-1] = replace(known[-1], n_samples=n_samples, places=places)
        else:
            known.append(header)
