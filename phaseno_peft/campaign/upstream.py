"""Preprocessing "upstream-v1": a stream becomes windows exactly as in upstream's notebook, its flaws included.

For comparing with numbers that upstream's code gave. Sun et al. 2023, sun-hongyu/PhaseNO, `phaseno_predict.ipynb`. What
differs from "campaign-v1" (`waveforms.prepare`), and is wrong in it, but reproduced here:

- sample k of a window is sample start + 1 + k of the stream while its probability is put at start + k: picks are 10 ms
  early;
- gaps are filled with the sample before them, and short windows with zeros, before the normalisation, which sees both;
- a station of one component gets it three times, unmarked, and if it is an accelerometer it is integrated three times;
- where one of three components has gaps, it comes first (with more, upstream's order hangs on memory addresses; here
  they come sorted);
- a window in which any trace of the network is missing gets probability zero everywhere;
- coordinates are degrees, so that a degree of longitude is as long as one of latitude.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from obspy import Stream

from phaseno_peft.campaign.coordinates import edges as edges_within
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.contract import EDGE_LIMIT_KM, NETWORK_RATE_HZ, WINDOW_SAMPLES
from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from obspy import Trace

STEP_SAMPLES = 2000
EPSILON = 1e-6
"""Added to the standard deviation, in the unit of the data: records in m/s come out smaller than records in counts."""


@dataclass(frozen=True)
class UpstreamWindows:
    """A stream as upstream's network sees it."""

    recording: Recording
    """Filtered and trimmed; three channels a station in upstream's order, zeros outside a trace."""
    starts: tuple[int, ...]
    """Sample of the recording where a window's first probability is put; its first waveform sample is one later."""
    complete: np.ndarray
    """[window] bool; False where a trace is missing altogether."""
    waveforms: np.ndarray
    """[window, station, 3, 3000] float32, normalised; zeros where not complete."""
    coordinates: np.ndarray
    """[station, 2] float32 scaled (x, y), one unit for two degrees."""
    edges: np.ndarray
    """[2, edge] int64, source and target, both ways and to itself, within the limit."""


def upstream_windows(
    stream: Stream,
    stations: StationTable,
    *,
    center: tuple[float, float] | None = None,
    edge_limit_km: float = EDGE_LIMIT_KM,
    accelerometers: Collection[str] = (),
) -> UpstreamWindows:
    """Windows of 30 s every 20 s of a 100 Hz stream.

    center: longitude and latitude in degrees that are put at (0.5, 0.5), by default the middle of those that recorded.
    accelerometers: ids of stations in m/s**2, integrated to velocity. The stream is not changed. Raises `CampaignError`
    for a stream without traces of known stations, another sampling rate, or more than three channels of a station.
    """
    ordered, traces, findings = _filtered(stream, stations)
    unique = {id(trace): trace for channels in traces for trace in channels}
    first = min(trace.stats.starttime for trace in unique.values())
    last = max(trace.stats.endtime for trace in unique.values())
    for trace in unique.values():
        trace.trim(first, last, pad=True, fill_value=0)
    for station, channels in zip(ordered, traces, strict=True):
        for trace in channels if station.station_id in accelerometers else ():  # a trace as often as it stands there
            trace.integrate()
            trace.filter("highpass", freq=1.0)
    n = min(len(trace) for trace in unique.values())
    samples = np.array([[trace.data[:n] for trace in channels] for channels in traces])  # [station, 3, n] float64
    starts = tuple(range(0, n, STEP_SAMPLES))
    waveforms = np.zeros((len(starts), len(ordered), 3, WINDOW_SAMPLES), np.float32)
    complete = np.zeros(len(starts), bool)
    for i, start in enumerate(starts):
        cut = samples[..., start : start + WINDOW_SAMPLES + 1]
        complete[i] = cut.shape[-1] > 0
        padded = np.zeros((*samples.shape[:2], WINDOW_SAMPLES + 1))
        padded[..., : cut.shape[-1]] = cut
        waveforms[i] = _normalised(padded[..., 1:])
    longitude, latitude = center or _middle(ordered)
    places = [
        ((s.longitude_deg - (longitude - 1)) / 2, (s.latitude_deg - (latitude - 1)) / 2) for s in ordered
    ]  # fmt: skip
    coordinates = np.array(places, np.float32)
    recording = Recording(
        name="upstream-v1",
        start=first,
        rate_hz=NETWORK_RATE_HZ,
        stations=tuple(ordered),
        samples=samples.astype(np.float32),
        recorded=np.ones(samples.shape, bool),
        components=tuple("".join(trace.stats.channel[-1] for trace in channels) for channels in traces),
        findings=findings,
    )
    return UpstreamWindows(
        recording, starts, complete, waveforms, coordinates, edges_within(coordinates, edge_limit_km)
    )


def merge_upstream(starts: tuple[int, ...], probabilities: np.ndarray) -> np.ndarray:
    """Probabilities [window, station, 2, 3000] -> [station, 2, last start + 3000]: mean over the windows that cover."""
    size = starts[-1] + WINDOW_SAMPLES
    total, count = np.zeros((*probabilities.shape[1:3], size)), np.zeros(size)
    for start, found in zip(starts, probabilities, strict=True):
        total[..., start : start + WINDOW_SAMPLES] += found
        count[start : start + WINDOW_SAMPLES] += 1
    return np.asarray(total / count, np.float32)


def _filtered(stream: Stream, stations: StationTable) -> tuple[list[Station], list[list[Trace]], tuple[Finding, ...]]:
    """Stations in the table's order and their three traces, high-passed; one trace stands three times where need be."""
    by_station: dict[Station, list[Trace]] = {}
    unlisted: list[str] = []
    for trace in stream:
        station = stations.find(".".join((trace.stats.network, trace.stats.station, trace.stats.location)))
        if station is not None:
            by_station.setdefault(station, []).append(trace)
        else:
            unlisted.append(".".join((trace.stats.network, trace.stats.station, trace.stats.location)))
        if trace.stats.sampling_rate != NETWORK_RATE_HZ:
            raise CampaignError(
                f"{trace.id}: {trace.stats.sampling_rate:g} Hz, upstream-v1 takes 100 Hz only. Use campaign-v1."
            )
    if not by_station:
        raise CampaignError(f"the stream has no trace of the stations in {stations.source}. Check codes and files.")
    ordered = [station for station in stations if station in by_station]
    channels: list[list[Any]] = []
    for station in ordered:
        pieces = Counter(trace.stats.channel for trace in by_station[station])
        merged = Stream([trace.copy() for trace in by_station[station]])
        merged.merge(fill_value="latest")
        merged.traces.sort(key=lambda trace: (pieces[trace.stats.channel] == 1, trace.stats.channel))
        if len(merged) > 3:
            raise CampaignError(
                f"{station.station_id}: {len(merged)} channels, upstream-v1 takes up to three. Give one sensor's."
            )
        merged.detrend("constant")
        merged.filter("highpass", freq=1.0)
        traces = list(merged)
        traces += [traces[0]] * (3 - len(traces))
        channels.append(traces)
    left_out = "left out: {} does not list the station, or not under one location code."
    findings = [
        Finding("warning", f"{station_id}: {left_out.format(stations.source)}") for station_id in sorted({*unlisted})
    ]
    return ordered, channels, tuple(findings)


def _normalised(x: np.ndarray) -> np.ndarray:
    mean, deviation = x.mean(-1, keepdims=True), x.std(-1, keepdims=True)
    return np.asarray((x - mean) / (deviation + EPSILON) / 10, np.float32)


def _middle(recorded: list[Station]) -> tuple[float, float]:
    frame = StationTable(recorded).frame()
    return frame.center_longitude_deg, frame.center_latitude_deg
