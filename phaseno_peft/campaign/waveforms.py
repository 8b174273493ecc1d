"""Raw traces in, `Recording`s out: one grid, causal high-pass, E N Z, and a mask of what was really recorded.

`prepare` is preprocessing "campaign-v1" (DESIGN section 4). In short, for every gap-free segment of every channel:
Butterworth high-pass, 4 corners, one causal pass, started from the settled state of the first samples (which takes the
mean out too) -> windowed-sinc polyphase resampling onto the common grid, sub-sample shift included. Nothing crosses a
gap, and nothing is shifted by 10 ms.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.signal
from obspy import UTCDateTime

from phaseno_peft.campaign.channels import (
    MAX_SEGMENTS,
    Channel,
    Segment,
    choose_sensor,
    inspect_channel,
    read_channel,
    sensors_of,
)
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.resampling import FASTEST_RATIO, TIMING_TOLERANCE_S, resample
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.station_checks import isolated_stations
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.contract import COMPONENTS, EDGE_LIMIT_KM, Preprocessing
from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from obspy import Stream

MAX_SAMPLES = 2_000_000_000
"""Largest array `prepare` builds (8 GB of float32); longer streams must come in pieces."""
_SPARSE_SAMPLES = 200_000_000
_SPARSEST = 0.02
"""A recording larger than `_SPARSE_SAMPLES` (1 GB) must be recorded in at least this share."""
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_YEAR_NS = 31_556_952 * 10**9
"""Mean year; obspy cannot name the year of the most absurd times a header holds."""
"""A trace that starts outside has a header nobody can believe."""
_SLOWEST_CORNERS = 10.0
"""Channels sampled slower than this many times the high-pass corner carry nothing the network looks at."""


@dataclass(frozen=True)
class Recording:
    """A stretch of record of the network, ready to be cut into windows."""

    name: str
    start: UTCDateTime
    """Time of sample 0."""
    rate_hz: float
    """Real rate of the samples, `Preprocessing.rate_hz`."""
    stations: tuple[Station, ...]
    samples: np.ndarray
    """[station, component (E, N, Z), sample] float32, high-passed; 0 where not recorded."""
    recorded: np.ndarray
    """[station, component, sample] bool; False in gaps, on dead channels and outside a trace."""
    components: tuple[str, ...]
    """The components each station really has, for example "ENZ" or "Z"."""
    findings: tuple[Finding, ...] = ()
    first_sample: int = 0
    """Position of sample 0 in the recording this one was sliced from."""

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return int(self.samples.shape[-1])

    @property
    def duration_s(self) -> float:
        """Real length, n_samples / rate_hz."""
        return self.n_samples / self.rate_hz

    @property
    def end(self) -> UTCDateTime:
        """Time one sample after the last."""
        return self.start + self.duration_s

    @property
    def station_ids(self) -> tuple[str, ...]:
        """Ids in the order of the first axis."""
        return tuple(s.station_id for s in self.stations)

    def index_of(self, time: UTCDateTime) -> float:
        """Fractional sample of a time; negative before the start."""
        return float((time.ns - self.start.ns) * 1e-9 * self.rate_hz)

    def slice(self, first: int, last: int) -> Recording:
        """Samples [first, last) as a recording that shares this one's arrays."""
        if not 0 <= first < last <= self.n_samples:
            raise CampaignError(f"{self.name}: slice {first}:{last} is not inside its {self.n_samples} samples.")
        return replace(
            self,
            start=self.start + first / self.rate_hz,
            samples=self.samples[..., first:last],
            recorded=self.recorded[..., first:last],
            first_sample=self.first_sample + first,
        )


def prepare(
    stream: Stream, stations: StationTable, preprocessing: Preprocessing | None = None, name: str = "stream"
) -> Recording:
    """One recording of every living station of the stream, on one grid at `preprocessing.rate_hz` (campaign-v1).

    Takes raw counts or physical units alike; the stream is not changed. Stations without a living trace are left out.
    What was dropped, assumed or looks wrong stands in the recording's `findings`: a bad trace costs only itself. Raises
    `CampaignError` for a stream without a usable trace, traces that belong to no station or lie years apart, and
    component codes that are not known where nothing else remains.
    """
    preprocessing = preprocessing or Preprocessing()
    findings: list[Finding] = []
    if any(len(trace) for trace in stream):
        stations = stations.at(
            min(t.stats.starttime for t in stream if len(t)), max(t.stats.endtime for t in stream if len(t))
        )
    by_station = _channels_by_station(stream, stations, preprocessing.rate_hz, name, findings)
    findings += stations.findings_of(station.station_id for station in by_station)
    slowest_hz = _SLOWEST_CORNERS * preprocessing.highpass_hz * preprocessing.time_scale
    slots: dict[Station, dict[str, Channel]] = {}
    for station, channels in by_station.items():
        chosen = _components_of(station, channels, stations, slowest_hz, findings)
        if chosen:
            slots[station] = chosen
    if not slots:
        unknown = next((f.text for f in findings if "not known to be" in f.text), "")
        unknown += next((f" {f.text}" for f in findings if unknown and "under one id" in f.text), "")
        raise CampaignError(
            f"{name}: no trace can be used. {unknown}"
            if unknown
            else f"{name}: every trace is constant or sampled below {slowest_hz:g} Hz. "
            "Check the digitisers, or leave the file out."
        )

    rate_hz = preprocessing.rate_hz
    segments = [s for channels in slots.values() for c in channels.values() for s in c.segments]
    anchor_ns = _grid_anchor(segments, rate_hz)
    first = min(_first_index(s, anchor_ns, rate_hz) for s in segments)
    last = max(_last_index(s, anchor_ns, rate_hz) for s in segments)
    n = last - first + 1
    if n < 1 or n * 3 * len(slots) > MAX_SAMPLES:
        raise CampaignError(
            f"{name}: {len(slots)} stations over {max(n, 0) / rate_hz:.0f} s do not make one recording. "
            "Give longer records in pieces of a few hours, and shorter ones of at least one sample."
        )
    held = sum(len(s.samples) * rate_hz / s.rate_hz for s in segments)
    if n * 3 * len(slots) > max(_SPARSE_SAMPLES, held / _SPARSEST):
        raise CampaignError(
            f"{name}: its traces hold {held / rate_hz:.0f} s within {n / rate_hz:.0f} s from "
            f"{UTCDateTime(ns=min(s.start_ns for s in segments))}. Check the start times, or give the pieces as files."
        )
    ordered = [s for s in stations if s in slots]
    samples = np.zeros((len(ordered), 3, n), np.float32)
    recorded = np.zeros((len(ordered), 3, n), bool)
    for i, station in enumerate(ordered):
        for slot, channel in slots[station].items():
            component = COMPONENTS.index(slot)
            for segment in channel.segments:
                start, values = _process(segment, anchor_ns, preprocessing)
                offset = start - first
                free = ~recorded[i, component, offset : offset + len(values)]
                samples[i, component, offset : offset + len(values)][free] = values[free]
                recorded[i, component, offset : offset + len(values)] = True
    alive: np.ndarray = np.any(recorded, axis=-1)  # [station, component]
    keep: np.ndarray = np.any(alive, axis=-1)
    if not keep.all():
        ordered = [s for s, k in zip(ordered, keep, strict=True) if k]
        samples, recorded, alive = samples[keep], recorded[keep], alive[keep]
    findings += isolated_stations(ordered, stations.source, EDGE_LIMIT_KM / preprocessing.time_scale)
    return Recording(
        name=name,
        start=UTCDateTime(ns=anchor_ns + round(first * 1e9 / rate_hz)),
        rate_hz=rate_hz,
        stations=tuple(ordered),
        samples=samples,
        recorded=recorded,
        components=tuple("".join(c for c, a in zip(COMPONENTS, row, strict=True) if a) for row in alive),
        findings=tuple(findings),
    )


def traces_with_valid_headers(traces: Iterable[Any], rate_hz: float) -> tuple[list[Any], list[Finding]]:
    """Traces whose headers can be believed, and what was left out and why; text (log channels) goes without a word.

    `rate_hz` is that of the grid the traces will be brought to.
    """
    sound: list[Any] = []
    reasons: dict[str, list[str]] = {}
    for trace in traces:
        stats = trace.stats
        if trace.data.dtype.kind not in "iuf":
            continue
        trace_hz = float(stats.sampling_rate)
        dotted = [code for code in (stats.network, stats.station, stats.location, stats.channel) if "." in code]
        if not (np.isfinite(trace_hz) and trace_hz > 0):
            reason = f"their sampling rate is {trace_hz} Hz. Repair the header"
        elif trace_hz > FASTEST_RATIO * rate_hz:
            reason = f"their sampling rate is {trace_hz:g} Hz. Repair the header, or bring them to less than 1 MHz"
        elif not len(trace.data):
            reason = "they hold no samples"
        elif not _FIRST_YEAR <= (year := 1970 + stats.starttime.ns // _YEAR_NS) <= _LAST_YEAR:
            reason = f"they start in the year {year}. Repair the header"
        elif dotted:
            reason = f"{dotted[0]!r} is no code, it holds a dot. Write the code of the station file into the header"
        else:
            sound.append(trace)
            continue
        reasons.setdefault(reason, []).append(trace.id)
    return sound, [
        Finding("warning", f"traces {_few(dict.fromkeys(ids))} are left out: {reason}.")
        for reason, ids in reasons.items()
    ]


def _channels_by_station(
    stream: Stream, stations: StationTable, rate_hz: float, name: str, findings: list[Finding]
) -> dict[Station, list[Channel]]:
    """Channels with their gap-free segments under the station each belongs to."""
    sound, left_out = traces_with_valid_headers(stream, rate_hz)
    findings += left_out
    traces: dict[str, list[Any]] = {}
    for trace in sound:
        stats = trace.stats
        location = stats.location.strip().replace("--", "")
        seed_id = f"{stats.network.strip()}.{stats.station.strip()}.{location}.{stats.channel.strip()}"
        traces.setdefault(seed_id, []).append(trace)
    if not traces:
        why = f"no trace can be used: {left_out[0].text}" if left_out else "the stream is empty."
        raise CampaignError(f"{name}: {why} Give at least one trace with samples.")
    by_station: dict[Station, list[Channel]] = {}
    strangers: dict[str, str] = {}
    for seed_id, members in sorted(traces.items()):
        station_id = seed_id.rsplit(".", 1)[0]
        station = stations.find(station_id)
        if station is None:
            strangers[station_id] = seed_id
            continue
        by_station.setdefault(station, []).append(read_channel(seed_id, members))
    if not by_station and all(station_id == ".." for station_id in strangers):
        raise CampaignError(
            f"{name}: its traces carry no station code. SEG-Y, SU and SEG-2 files have none: say which trace is which "
            "station and component with --channels 1=STATION.Z,2=STATION.N and so on, or with a file of such lines."
        )
    if not by_station:
        first = next(iter(strangers))
        raise CampaignError(
            f"{name}: no trace belongs to a station of {stations.source} ({first}: {stations.why_not(first)}). "
            f"The traces are {_few(strangers)}; "
            f"the stations are {_few(stations.station_ids)}. Give the network and station codes of the waveforms."
        )
    reasons: dict[str, list[str]] = {}
    for station_id in strangers:
        reasons.setdefault(stations.why_not(station_id), []).append(station_id)
    for reason, ids in reasons.items():
        text = f"traces of {_few(ids)} are left out: {reason}."
        findings.append(Finding("warning", text, kind="station without coordinates", place=", ".join(ids)))
    return by_station


def _components_of(
    station: Station, channels: list[Channel], stations: StationTable, slowest_hz: float, findings: list[Finding]
) -> dict[str, Channel]:
    """The one sensor of a station that is used, by slot; empty where nothing lives or nothing is known."""
    shown = station.station_id
    for channel in channels:
        if channel.conflict:
            findings.append(Finding("warning", f"{shown}: {channel.code or '(no code)'}: {channel.conflict}."))
        if len(channel.segments) > MAX_SEGMENTS:
            text = f"{shown}: {channel.code} left out, it lies in {len(channel.segments)} pieces"
            findings.append(Finding("warning", f"{text} and {MAX_SEGMENTS} are the most. Join its traces first."))
            channel.dead = True
    whole = [c for c in channels if not c.dead]
    for channel in whole:
        inspect_channel(channel)
    dead = [c.code for c in whole if c.dead]
    if dead:
        text = f"{shown}: {', '.join(dead)} is constant and counts as dead."
        findings.append(Finding("warning", text, kind="dead channel", place=shown))
    slow = [c for c in channels if not c.dead and min(s.rate_hz for s in c.segments) < slowest_hz]
    if slow:
        codes = ", ".join(_name(c, station) for c in slow)
        findings.append(Finding("note", f"{shown}: {codes} left out, sampled below {slowest_hz:g} Hz."))
    living = [c for c in channels if not c.dead and c not in slow]
    sensors = sensors_of(channels, stations)
    for found in sensors:
        found.slots = {slot: c for slot, c in found.slots.items() if c in living}
    sensor = choose_sensor(sensors)
    slots = sensor.slots if sensor is not None else {}
    used = sorted(slots.values(), key=lambda c: c.seed_id)
    unknown = [c for found in sensors if sensor is None or found is sensor for c in found.unknown if c in living]
    others = [c for c in living if c not in used and c not in unknown]
    if unknown:
        codes = ", ".join(f"{_name(c, station)!r}" for c in unknown)
        findings.append(
            Finding(
                "warning",
                f"{shown}: {codes} left out, not known to be Z, N or E. "
                f"Say what they are with --channels, as in {unknown[0].code}=Z.",
            )
        )
    if used and others:
        findings.append(
            Finding(
                "note",
                f"{shown}: {', '.join(_name(c, station) for c in used)} used, "
                f"{', '.join(_name(c, station) for c in others)} left out (one sensor a station).",
            )
        )
    if sensor is not None and sensor.assumed:
        findings.append(Finding("note", f"{shown}: {sensor.assumed}."))
    filled = [c.code for c in slots.values() if c.filled]
    if filled:
        findings.append(
            Finding(
                "note",
                f"{station.station_id}: {', '.join(filled)} stands still or at a fill value; that counts as a gap.",
            )
        )
    clipped = [c.code for c in slots.values() if c.clipped]
    if clipped:
        text = f"{station.station_id}: {', '.join(clipped)} is clipped; it is kept."
        findings.append(Finding("warning", text, kind="clipped", place=station.station_id))
    return slots


def _name(channel: Channel, station: Station) -> str:
    station_id, code = channel.seed_id.rsplit(".", 1)
    return code if station_id == station.station_id else f"{station_id.rsplit('.', 1)[1]}.{code}"


def _few(names: Any, most: int = 4) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _grid_anchor(segments: list[Segment], rate_hz: float) -> int:
    """Start of a segment that most segments agree with, so that as few as possible need a fractional shift."""
    reference = segments[0].start_ns
    counts: dict[int, list[int]] = {}
    for segment in segments:
        phase = ((segment.start_ns - reference) * 1e-9 * rate_hz) % 1.0
        entry = counts.setdefault(round(phase * 1000) % 1000, [0, segment.start_ns])
        entry[0] += segment.end_ns - segment.start_ns
        entry[1] = min(entry[1], segment.start_ns)
    return max(counts.values(), key=lambda e: (e[0], -e[1]))[1]


def _first_index(segment: Segment, anchor_ns: int, rate_hz: float) -> int:
    """First grid point at or after the segment's first sample."""
    start_s = (segment.start_ns - anchor_ns) * 1e-9
    return int(np.ceil((start_s - TIMING_TOLERANCE_S) * rate_hz))


def _last_index(segment: Segment, anchor_ns: int, rate_hz: float) -> int:
    """Last grid point at or before the segment's last sample."""
    end_s = (segment.start_ns - anchor_ns) * 1e-9 + (len(segment.samples) - 1) / segment.rate_hz
    return int(np.floor((end_s + TIMING_TOLERANCE_S) * rate_hz))


def _process(segment: Segment, anchor_ns: int, preprocessing: Preprocessing) -> tuple[int, np.ndarray]:
    """(grid index of the first value, values) of one segment: high-passed, on the grid."""
    rate_hz = preprocessing.rate_hz
    first, last = _first_index(segment, anchor_ns, rate_hz), _last_index(segment, anchor_ns, rate_hz)
    n = last - first + 1
    if n < 1 or len(segment.samples) < 2:
        return first, np.zeros(0)
    corner_hz = preprocessing.highpass_hz * preprocessing.time_scale
    x = highpass(segment.samples.astype(np.float64), segment.rate_hz, corner_hz)
    lead_s = (
        first / rate_hz - (segment.start_ns - anchor_ns) * 1e-9
    )  # from the first raw sample to the first grid point
    values = resample(x, segment.rate_hz, rate_hz, lead_s)[:n]
    return first, values


def highpass(x: np.ndarray, rate_hz: float, corner_hz: float) -> np.ndarray:
    """Causal Butterworth high-pass, 4 corners, started as if the first samples had lasted for ever."""
    sos, settled = _highpass_design(rate_hz, corner_hz)
    filtered, _ = scipy.signal.sosfilt(sos, x, zi=settled * float(np.median(x[:5])))
    return np.asarray(filtered)


@functools.lru_cache(maxsize=32)
def _highpass_design(rate_hz: float, corner_hz: float) -> tuple[np.ndarray, np.ndarray]:
    sos = scipy.signal.butter(4, corner_hz, "highpass", fs=rate_hz, output="sos")
    return sos, scipy.signal.sosfilt_zi(sos)
