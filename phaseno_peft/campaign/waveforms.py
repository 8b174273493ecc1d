"""Raw traces in, `Recording`s out: one grid, causal high-pass, E N Z, and a mask of what was really recorded.

`prepare` is preprocessing "campaign-v1" (DESIGN section 4). In short, for every gap-free segment of every channel:
Butterworth high-pass, 4 corners, one causal pass, started from the settled state of the first samples (which takes the
mean out too) -> windowed-sinc polyphase resampling onto the common grid, sub-sample shift included. Nothing crosses a
gap, and nothing is shifted by 10 ms.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.signal
from obspy import UTCDateTime

from phaseno_peft.campaign.channels import (
    Channel,
    Segment,
    assign_components,
    choose_sensor,
    contiguous_segments,
    inspect_channel,
)
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.places import HEARING_KM, lonely_stations
from phaseno_peft.campaign.stations import Station, StationTable
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from obspy import Stream

COMPONENTS = "ENZ"
MAX_SAMPLES = 2_000_000_000
"""Largest array `prepare` builds (8 GB of float32); longer streams must come in pieces."""
_HALF_LENGTH = 16
"""Zero crossings of the sinc kernel on each side."""
_KAISER_BETA = 6.0
_SLOWEST_CORNERS = 10.0
"""Channels sampled slower than this many times the high-pass corner carry nothing the network looks at."""
_TIMING_TOLERANCE_S = 1e-5
"""Starts this near to the grid and clocks that drift less than this within a segment count as exact."""


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
    What was dropped, assumed or looks wrong stands in the recording's `findings`. Raises `CampaignError` for an empty
    stream, a bad sampling rate, traces that belong to no station, and a stream without a living trace.
    """
    preprocessing = preprocessing or Preprocessing()
    findings: list[Finding] = []
    if any(len(trace) for trace in stream):
        stations = stations.at(
            min(t.stats.starttime for t in stream if len(t)), max(t.stats.endtime for t in stream if len(t))
        )
    by_station = _channels_by_station(stream, stations, name, findings)
    findings += stations.findings_of(station.station_id for station in by_station)
    slowest_hz = _SLOWEST_CORNERS * preprocessing.highpass_hz * preprocessing.time_scale
    slots: dict[Station, dict[str, Channel]] = {}
    for station, channels in by_station.items():
        chosen = _components_of(station, channels, stations, slowest_hz, findings)
        if chosen:
            slots[station] = chosen
    if not slots:
        raise CampaignError(
            f"{name}: every trace is constant or sampled below {slowest_hz:g} Hz. "
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
    findings += lonely_stations(ordered, stations.source, HEARING_KM / preprocessing.time_scale)
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


def _channels_by_station(
    stream: Stream, stations: StationTable, name: str, findings: list[Finding]
) -> dict[Station, list[Channel]]:
    """Channels with their gap-free segments under the station each belongs to."""
    traces: dict[str, list[Any]] = {}
    for trace in stream:
        stats = trace.stats
        if not len(trace.data) or trace.data.dtype.kind not in "iuf":  # log channels hold text
            continue
        if not (np.isfinite(stats.sampling_rate) and stats.sampling_rate > 0):
            raise CampaignError(
                f"{name}: trace {trace.id} has sampling rate {stats.sampling_rate} Hz. "
                "Repair its header, or leave it out."
            )
        location = stats.location.strip().replace("--", "")
        seed_id = f"{stats.network.strip()}.{stats.station.strip()}.{location}.{stats.channel.strip()}"
        traces.setdefault(seed_id, []).append(trace)
    if not traces:
        raise CampaignError(f"{name}: the stream is empty. Give at least one trace with samples.")
    by_station: dict[Station, list[Channel]] = {}
    strangers: dict[str, str] = {}
    for seed_id, members in sorted(traces.items()):
        station_id = seed_id.rsplit(".", 1)[0]
        station = stations.find(station_id)
        if station is None:
            strangers[station_id] = seed_id
            continue
        by_station.setdefault(station, []).append(Channel(seed_id, contiguous_segments(members)))
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
    for reason, left_out in reasons.items():
        findings.append(Finding("warning", f"traces of {_few(left_out)} are left out: {reason}."))
    return by_station


def _components_of(
    station: Station, channels: list[Channel], stations: StationTable, slowest_hz: float, findings: list[Finding]
) -> dict[str, Channel]:
    """The one sensor of a station that is used, by slot; empty where nothing lives."""
    for channel in channels:
        inspect_channel(channel)
    dead = [c.code for c in channels if c.dead]
    if dead:
        findings.append(Finding("warning", f"{station.station_id}: {', '.join(dead)} is constant and counts as dead."))
    slow = [c for c in channels if not c.dead and min(s.rate_hz for s in c.segments) < slowest_hz]
    if slow:
        codes = ", ".join(_name(c, station) for c in slow)
        findings.append(Finding("note", f"{station.station_id}: {codes} left out, sampled below {slowest_hz:g} Hz."))
    living = [c for c in channels if not c.dead and c not in slow]
    if not living:
        return {}
    sensor, dropped = choose_sensor(living)
    if dropped:
        findings.append(
            Finding(
                "note",
                f"{station.station_id}: {', '.join(_name(c, station) for c in sensor)} used, "
                f"{', '.join(_name(c, station) for c in dropped)} left out (one sensor a station).",
            )
        )
    slots, assumed = assign_components(sensor, stations)
    if assumed:
        findings.append(Finding("note", f"{station.station_id}: {assumed}."))
    filled = [c.code for c in slots.values() if c.filled]
    if filled:
        findings.append(
            Finding(
                "note", f"{station.station_id}: {', '.join(filled)} stands still for seconds; that counts as a gap."
            )
        )
    clipped = [c.code for c in slots.values() if c.clipped]
    if clipped:
        findings.append(Finding("warning", f"{station.station_id}: {', '.join(clipped)} is clipped; it is kept."))
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
    return int(np.ceil((start_s - _TIMING_TOLERANCE_S) * rate_hz))


def _last_index(segment: Segment, anchor_ns: int, rate_hz: float) -> int:
    """Last grid point at or before the segment's last sample."""
    end_s = (segment.start_ns - anchor_ns) * 1e-9 + (len(segment.samples) - 1) / segment.rate_hz
    return int(np.floor((end_s + _TIMING_TOLERANCE_S) * rate_hz))


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
    values = _resample(x, segment.rate_hz, rate_hz, lead_s)[:n]
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


def _resample(x: np.ndarray, from_hz: float, to_hz: float, lead_s: float) -> np.ndarray:
    """Values of x at times lead_s + j / to_hz after its first sample, j = 0, 1, ..."""
    up, down = _ratio(from_hz, to_hz, len(x) / from_hz)
    lead = lead_s * from_hz
    whole = int(np.floor(lead + _TIMING_TOLERANCE_S * from_hz))
    fraction = lead - whole
    x = x[whole:]
    if abs(fraction) <= _TIMING_TOLERANCE_S * from_hz:
        fraction = 0.0
        if up == down == 1:
            return x
    kernel = _kernel(up, down, round(fraction * 1e6))
    centre = len(kernel) // 2
    lead_zeros = -centre % down  # so that output samples fall on the kernel's centre
    y = scipy.signal.upfirdn(np.pad(kernel, (lead_zeros, 0)), x, up, down, mode="symmetric")
    return np.asarray(y[(centre + lead_zeros) // down :])


def _ratio(from_hz: float, to_hz: float, duration_s: float) -> tuple[int, int]:
    """Smallest up/down whose clock drifts by less than the timing tolerance within the segment."""
    exact = Fraction(to_hz) / Fraction(from_hz)
    for largest in (1, 2, 5, 10, 20, 50, 100, 1000, 10_000, 100_000):
        ratio = exact.limit_denominator(largest)
        if ratio > 0 and abs(float(ratio / exact) - 1.0) * duration_s <= _TIMING_TOLERANCE_S:
            break
    return ratio.numerator, ratio.denominator


@functools.lru_cache(maxsize=64)
def _kernel(up: int, down: int, shift_millionths: int) -> np.ndarray:
    """Kaiser-windowed sinc at the upsampled rate, advanced by a fraction of an input sample."""
    widest = max(up, down)
    half = _HALF_LENGTH * widest
    shift = shift_millionths * 1e-6 * up
    m = (
        np.arange(-half - up, half + up + 1, dtype=np.float64) + shift
    )  # centred at -shift: output j sees x(t_j + shift)
    cutoff = 1.0 if down <= up else 0.95  # of the lower of the two Nyquist frequencies
    inside = np.clip(1.0 - (m / (half + up)) ** 2, 0.0, None)
    taps = np.sinc(m * cutoff / widest) * np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    taps[np.abs(m) > half + up] = 0.0
    return np.asarray(taps * (up / taps.sum()))
