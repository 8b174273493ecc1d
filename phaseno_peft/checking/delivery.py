"""What was delivered, read as far as it can be: a file that cannot be used becomes an error and the rest goes on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phaseno_peft.campaign.around_events import SPAN_BYTES, ArchivePieces, SetPieces, is_large, streams_around
from phaseno_peft.campaign.campaign import Campaign, prepare_pieces, prepare_recordings
from phaseno_peft.campaign.catalog import Catalogue
from phaseno_peft.campaign.catalog_files import read_catalogue
from phaseno_peft.campaign.coordinates import local_km, scaled_coordinates
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.seisbench_files import set_folder
from phaseno_peft.campaign.station_files import FORMATS, read_stations
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.stretch import Times
from phaseno_peft.campaign.unpack import obspy_format, obspy_path
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
from phaseno_peft.checking.raw_traces import RawTraces
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from obspy import Inventory, Stream

SPREAD_PIECES, PIECE_S = 48, 600.0
"""Of a large archive without picks."""
_NO_RECORD = "Not a SEED record"
"""In what obspy warns of where a MiniSEED file is damaged."""


@dataclass(frozen=True)
class Response:
    """What the station file says of one channel's instrument."""

    units: str
    """Of the ground motion it records, upper case: "M/S"."""
    counts_per_unit: float
    rate_hz: float | None


@dataclass(frozen=True)
class Delivery:
    """Everything that could be read of a campaign, and what could not."""

    traces: RawTraces
    """What the raw traces say of themselves."""
    arrivals: Mapping[str, Stream]
    """Raw traces around events; of a large archive, of some."""
    stations: StationTable | None
    responses: Mapping[str, Response]
    """By NET.STA.LOC.CHA; empty where the station file holds no responses."""
    catalogue: Catalogue | None
    campaign: Campaign | None
    """None where one of the three is missing, or where they do not fit together."""
    recordings: tuple[Recording, ...]
    findings: tuple[Finding, ...]
    """What reading found."""

    @property
    def rate_hz(self) -> float:
        """Real rate of the recordings."""
        return self.recordings[0].rate_hz if self.recordings else 100.0


def read_delivery(
    waveforms: Any,
    stations: Any,
    picks: Any,
    *,
    preprocessing: Preprocessing,
    edge_limit_km: float,
    channels: ChannelMap | str | Path | None,
    progress: Callable[[int, int], None] | None,
) -> Delivery:
    """Read what is there of waveforms, stations and picks (None: not given); nothing raises but a bad `channels`.

    A set in SeisBench's format brings the stations and picks that are not given.
    """
    findings: list[Finding] = []
    own = set_folder(waveforms)
    stations, picks = (own if given is None else given for given in (stations, picks))
    mapping = read_channels(channels)
    table = _read(stations, "stations", read_stations, findings)
    catalogue = _read(picks, "picks", read_catalogue, findings)
    large = is_large(waveforms)
    traces, streams = RawTraces(), dict[str, "Stream"]()
    usable = list[Path | None]()
    for name, file, stream in () if waveforms is None else _streams(waveforms, mapping, findings, in_parts=large):
        traces.add(name, stream)
        usable.append(file)
        if not large:
            streams[name] = streams[name] + stream if name in streams else stream
    records: Any = streams
    if large:
        broken = {f.file for f in findings if f.kind == "unreadable file"}  # some in their middle
        records = waveforms if own else [f for f in dict.fromkeys(usable) if f is not None and str(f) not in broken]
        events = () if catalogue is None or not traces else catalogue.events
        streams = streams_around(records, events, mapping)
    responses = _responses(stations) if table is not None else {}
    campaign, recordings = None, tuple[Recording, ...]()
    if traces and table is not None:
        if catalogue is not None:
            try:
                campaign = Campaign.read(
                    records,
                    table,
                    catalogue,
                    preprocessing=preprocessing,
                    edge_limit_km=edge_limit_km,
                    skip_unknown=True,
                    channels=mapping,
                    progress=progress,
                )
                recordings = campaign.recordings
                findings += campaign.findings
            except CampaignError as error:
                findings.append(Finding("error", str(error), kind="cannot train"))
        if campaign is None:
            try:
                if large:
                    pieces = _pieces(records, own, traces, mapping, preprocessing)
                    recordings, found = prepare_pieces(pieces, table, preprocessing, progress)
                else:
                    recordings, found = prepare_recordings(streams, table, preprocessing, progress)
                findings += [*table.findings, *found]
            except CampaignError as error:
                if not any(f.text == str(error) for f in findings):
                    findings.append(Finding("error", str(error), kind="cannot train"))
    elif table is not None:
        findings += table.findings
    if campaign is None and catalogue is not None:
        findings += catalogue.findings
    return Delivery(traces, streams, table, responses, catalogue, campaign, recordings, tuple(findings))


def places_km(table: StationTable) -> dict[str, np.ndarray]:
    """(east, north, down) of each station in km, around the middle of the network and its highest station."""
    flat = local_km(scaled_coordinates(tuple(table), table.frame(), 1.0))
    elevation_km = np.nan_to_num(np.array([s.elevation_m for s in table], float)) / 1e3
    down = elevation_km.max() - elevation_km
    return dict(zip(table.station_ids, np.column_stack([flat, down]), strict=True))


def _read(source: Any, kind: str, reader: Callable[[Any], Any], findings: list[Finding]) -> Any:
    if source is None:
        return None
    try:
        return reader(source)
    except CampaignError as error:
        file = str(source) if isinstance(source, str | Path) else kind
        findings.append(Finding("error", str(error), kind="unreadable file", file=file))
        return None


def _streams(
    waveforms: Any, channels: ChannelMap, findings: list[Finding], *, in_parts: bool
) -> Iterator[tuple[str, Path | None, Stream]]:
    """(name, file, raw traces), one file at a time, big ones in parts if asked for; each broken file is told."""
    from obspy import Stream

    if isinstance(waveforms, Stream):
        waveforms = {"stream": waveforms}
    if isinstance(waveforms, Mapping):
        yield from ((name, None, stream) for name, stream in waveforms.items())
        return
    names: set[str] = set()
    is_any_broken = False
    files, in_folder = list_files(waveforms)
    for file in files:
        name = file.stem if file.stem not in names else file.name
        spans: Sequence[tuple[int, int] | None] = (miniseed_spans(file, SPAN_BYTES) if in_parts else []) or [None]
        damage = ""
        for span in spans:
            try:
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    stream = read_span(file, span) if span else read_file(file, in_folder=in_folder)
            except CampaignError as error:
                findings.append(Finding("error", str(error), kind="unreadable file", file=str(file)))
                is_any_broken = True
                break
            damage = damage or next((str(w.message) for w in said if _NO_RECORD in str(w.message)), "")
            if stream is not None:  # in a folder other files lie beside
                rename_channels(stream, channels)
                names.add(name)
                yield name, file, stream
        if damage:
            text = f"{file}: parts of it are no MiniSEED records and are passed over ({damage.splitlines()[0]})."
            step = "Fetch it again; what is missing counts as a gap."
            findings.append(Finding("warning", text, "damaged file", str(file), file.name, "", step))
    if not names and not is_any_broken:
        text = str(nothing_readable(waveforms, files))
        findings.append(Finding("error", text, kind="unreadable file", file=str(waveforms)))


def _pieces(
    records: Any, own: Path | None, traces: RawTraces, channels: ChannelMap, preprocessing: Preprocessing
) -> ArchivePieces | SetPieces:
    """Pieces of a large archive where no picks say where to look: `SPREAD_PIECES`, evenly over its time."""
    if own is not None:
        return SetPieces(own, preprocessing.rate_hz)
    times = spread_over(traces.recorded_ns, SPREAD_PIECES, round(1e9 * PIECE_S))
    where = f"in {len(times)} pieces of up to {PIECE_S / 60:g} minutes, since no picks say where to look"
    return ArchivePieces(records, times, channels, preprocessing.rate_hz, where)


def spread_over(recorded_ns: Times, n: int, length_ns: int) -> Times:
    """Pieces of at most this length, apart, spread evenly over what was recorded."""
    total = sum(end - begin for begin, end in recorded_ns)
    step = -(-total // n)
    pieces: list[tuple[int, int]] = []
    passed = due = 0
    for begin, end in recorded_ns:
        while due < passed + end - begin:
            start = begin + due - passed
            stop = min(start + length_ns, end)
            pieces.append((start, stop))
            due += max(step, stop - start)
        passed += end - begin
    return tuple(pieces)


def _responses(stations: Any) -> dict[str, Response]:
    """Instruments of an inventory; a table of coordinates has none."""
    inventory = _inventory(stations)
    found: dict[str, Response] = {}
    for network in inventory or ():
        for site in network:
            for channel in site.channels:
                sensitivity = getattr(channel.response, "instrument_sensitivity", None)
                value = getattr(sensitivity, "value", None)
                if sensitivity is None or value is None or not np.isfinite(value) or not value:
                    continue
                seed_id = f"{network.code}.{site.code}.{channel.location_code}.{channel.code}"
                units = str(sensitivity.input_units or "").upper().replace("**", "")
                found[seed_id] = Response(units, float(value), channel.sample_rate)
    return found


def _inventory(stations: Any) -> Inventory | None:
    """obspy's inventory of a source that `read_stations` has read and found harmless."""
    if not isinstance(stations, str | Path):
        return None if isinstance(stations, StationTable) else stations
    path = Path(stations)
    format_name = obspy_format("inventory", path, FORMATS) if path.is_file() else None
    if format_name is None:
        return None
    from obspy import read_inventory

    try:
        return read_inventory(obspy_path(path), format=format_name, check_compression=False)
    except Exception:  # obspy's readers raise whatever their parsers do; the table itself was read
        return None
