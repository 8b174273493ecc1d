"""Pieces of raw record: what is cut out of an archive to be looked at or trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from obspy import Stream, Trace, UTCDateTime

from phaseno_peft.campaign.file_headers import Header, Stored
from phaseno_peft.campaign.long_run import joined_runs
from phaseno_peft.campaign.sources import Index, Source
from phaseno_peft.campaign.waveform_files import ChannelMap


def raw_spans(
    source: Source,
    spans: Sequence[tuple[UTCDateTime, UTCDateTime]],
    rate_hz: float,
    *,
    channels: ChannelMap | str | Path | None = None,
    skip_unreadable: bool = False,
) -> Iterator[Stream]:
    """The traces of a source between two times, for each span in turn, cut to their samples and otherwise untouched.

    A span without a record gives an empty stream. `rate_hz` is that of the preparation, by which headers are believed;
    `channels` says what codes of files mean: traces carry the codes it gives, and are turned round where it says so.
    Raises `CampaignError` for what cannot be read.
    """
    index = Index(source, rate_hz, channels=channels, skip_unreadable=skip_unreadable)
    try:
        for start, end in spans:
            yield Stream([trace for header in index.headers for trace in _cut(index, header, start.ns, end.ns)])
    finally:
        index.close()


def _cut(index: Index, header: Header, start_ns: int, end_ns: int) -> Iterator[Trace]:
    """What of one trace lies in a span; several traces where a part of it cannot be read."""
    per_ns = 1e-9 * header.rate_hz
    first = max(0, -int((header.start_ns - start_ns) * per_ns // 1))
    last = min(header.n_samples, int((end_ns - header.start_ns) * per_ns // 1) + 1)
    if last <= first:
        return
    places = list(Stored(header, 0, header.n_samples)[first:last].places())
    arrays = index.read([place for _, place in places])
    network, station, location, channel = header.seed_id.split(".")
    codes = {"network": network, "station": station, "location": location, "channel": channel}
    there = [(at, samples) for (at, _), samples in zip(places, arrays, strict=True) if samples is not None]
    for at, samples in joined_runs(there):
        start = UTCDateTime(ns=header.start_ns + round((first + at) / per_ns))
        yield Trace(samples, {**codes, "sampling_rate": header.rate_hz, "starttime": start})
