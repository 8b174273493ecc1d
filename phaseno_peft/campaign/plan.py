"""What a whole record decides: stations, the sensor used of each, the grid, the first and the last sample.

Made of channels whose samples are in memory, or of headers alone; both decide by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign.channels import MAX_SEGMENTS, Channel, choose_sensor, sensors_of
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.grid import Canvas, first_index, grid_anchor, last_index
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.station_checks import isolated_stations
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.contract import COMPONENTS, EDGE_LIMIT_KM, Preprocessing
from phaseno_peft.errors import CampaignError

MAX_SAMPLES = 2_000_000_000
"""Largest array `prepare` builds (8 GB of float32); longer streams must come in pieces."""
_SPARSE_SAMPLES = 200_000_000
_SPARSEST = 0.02
"""A recording larger than `_SPARSE_SAMPLES` (1 GB) must be recorded in at least this share."""
_SLOWEST_CORNERS = 10.0
"""Channels sampled slower than this many times the high-pass corner carry nothing the network looks at."""


@dataclass(frozen=True)
class Plan:
    """What holds for a record from its first sample to its last."""

    name: str
    rate_hz: float
    stations: tuple[Station, ...]
    slots: tuple[dict[str, Channel], ...]
    """Of each station, component -> the channel that is used."""
    anchor_ns: int
    """Time of grid point 0, in nanoseconds since 1970."""
    first: int
    last: int
    """Grid points of the first and the last sample."""
    table: StationTable
    findings: list[Finding]
    hearing_km: float

    @property
    def segments(self) -> list[Any]:
        """Of all channels that are used."""
        return [s for slots in self.slots for c in slots.values() for s in c.segments]

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return self.last - self.first + 1

    def time_of(self, grid_index: int) -> UTCDateTime:
        """Time of a grid point."""
        return UTCDateTime(ns=self.anchor_ns + round(grid_index * 1e9 / self.rate_hz))

    def on_grid(self, begin_ns: int, end_ns: int, anchor_ns: int | None) -> Plan:
        """The same plan from one time to another, on the grid through a third time, which None leaves as it is."""
        anchor_ns = self.anchor_ns if anchor_ns is None else anchor_ns
        first = first_index(begin_ns, anchor_ns, self.rate_hz)
        last = last_index(end_ns, 1, self.rate_hz, anchor_ns, self.rate_hz)
        return replace(self, anchor_ns=anchor_ns, first=first, last=last)

    def check_size(self) -> None:
        """Raise `CampaignError` for what does not make one recording in memory."""
        n, n_stations = self.n_samples, len(self.stations)
        if n < 1 or n * 3 * n_stations > MAX_SAMPLES:
            raise CampaignError(
                f"{self.name}: {n_stations} stations over {max(n, 0) / self.rate_hz:.0f} s do not make one recording. "
                "Give longer records in pieces of a few hours, and shorter ones of at least one sample."
            )
        segments = self.segments
        held = sum(len(s.samples) * self.rate_hz / s.rate_hz for s in segments)
        if n * 3 * n_stations > max(_SPARSE_SAMPLES, held / _SPARSEST):
            raise CampaignError(
                f"{self.name}: its traces hold {held / self.rate_hz:.0f} s within {n / self.rate_hz:.0f} s from "
                f"{UTCDateTime(ns=min(s.start_ns for s in segments))}. Check the start times, or give the pieces as "
                "files."
            )

    def recording(self, canvas: Canvas) -> Recording:
        """The whole record, without stations that nothing was written for."""
        alive: np.ndarray = np.any(canvas.recorded, axis=-1)  # [station, component]
        keep: np.ndarray = np.any(alive, axis=-1)
        stations, samples, recorded = self.stations, canvas.samples, canvas.recorded
        if not keep.all():
            stations = tuple(s for s, k in zip(stations, keep, strict=True) if k)
            samples, recorded, alive = samples[keep], recorded[keep], alive[keep]
        isolated = isolated_stations(list(stations), self.table.source, self.hearing_km)
        return Recording(
            name=self.name,
            start=self.time_of(self.first),
            rate_hz=self.rate_hz,
            stations=stations,
            samples=samples,
            recorded=recorded,
            components=tuple("".join(c for c, a in zip(COMPONENTS, row, strict=True) if a) for row in alive),
            findings=(*self.findings, *isolated),
        )


def make_plan(
    channels: Iterable[tuple[Station, Channel]],
    table: StationTable,
    preprocessing: Preprocessing,
    name: str,
    findings: list[Finding],
    inspect: Callable[[Channel], None],
) -> Plan:
    """The plan of a record of these channels; what is left out or assumed is added to `findings`.

    `inspect` marks a channel dead, clipped or filled. Raises `CampaignError` where no channel can be used.
    """
    by_station: dict[Station, list[Channel]] = {}
    for station, channel in channels:
        by_station.setdefault(station, []).append(channel)
    findings += table.findings_of(station.station_id for station in by_station)
    slowest = slowest_hz(preprocessing)
    chosen: dict[Station, dict[str, Channel]] = {}
    for station, members in by_station.items():
        slots = _components_of(station, members, table, slowest, findings, inspect)
        if slots:
            chosen[station] = slots
    if not chosen:
        unknown = next((f.text for f in findings if "not known to be" in f.text), "")
        unknown += next((f" {f.text}" for f in findings if unknown and "under one id" in f.text), "")
        raise CampaignError(
            f"{name}: no trace can be used. {unknown}"
            if unknown
            else f"{name}: every trace is constant or sampled below {slowest:g} Hz. "
            "Check the digitisers, or leave the file out."
        )
    rate_hz = preprocessing.rate_hz
    segments = [s for slots in chosen.values() for c in slots.values() for s in c.segments]
    anchor_ns = grid_anchor(segments, rate_hz)
    stations = tuple(s for s in table if s in chosen)
    return Plan(
        name=name,
        rate_hz=rate_hz,
        stations=stations,
        slots=tuple(chosen[s] for s in stations),
        anchor_ns=anchor_ns,
        first=min(first_index(s.start_ns, anchor_ns, rate_hz) for s in segments),
        last=max(last_index(s.start_ns, len(s.samples), s.rate_hz, anchor_ns, rate_hz) for s in segments),
        table=table,
        findings=findings,
        hearing_km=EDGE_LIMIT_KM / preprocessing.time_scale,
    )


def slowest_hz(preprocessing: Preprocessing) -> float:
    """Channels sampled slower than this are left out."""
    return _SLOWEST_CORNERS * preprocessing.highpass_hz * preprocessing.time_scale


def seed_id_of(stats: Any) -> str:
    """NET.STA.LOC.CHA of a trace's header, without spaces and dashes."""
    location = stats.location.strip().replace("--", "")
    return f"{stats.network.strip()}.{stats.station.strip()}.{location}.{stats.channel.strip()}"


def station_of_each(
    seed_ids: Iterable[str], stations: StationTable, name: str, findings: list[Finding]
) -> dict[str, Station]:
    """Sorted NET.STA.LOC.CHA -> its station; what belongs to none is told in `findings`.

    Raises `CampaignError` where nothing belongs to any station.
    """
    known: dict[str, Station] = {}
    unlisted: dict[str, str] = {}
    for seed_id in sorted(seed_ids):
        station_id = seed_id.rsplit(".", 1)[0]
        station = stations.find(station_id)
        if station is None:
            unlisted[station_id] = seed_id
        else:
            known[seed_id] = station
    if not known and all(station_id == ".." for station_id in unlisted):
        raise CampaignError(
            f"{name}: its traces carry no station code. SEG-Y, SU and SEG-2 files have none: say which trace is which "
            "station and component with --channels 1=STATION.Z,2=STATION.N and so on, or with a file of such lines."
        )
    if not known:
        first = next(iter(unlisted))
        raise CampaignError(
            f"{name}: no trace belongs to a station of {stations.source} ({first}: {stations.why_not(first)}). "
            f"The traces are {few(unlisted)}; "
            f"the stations are {few(stations.station_ids)}. Give the network and station codes of the waveforms."
        )
    reasons: dict[str, list[str]] = {}
    for station_id in unlisted:
        reasons.setdefault(stations.why_not(station_id), []).append(station_id)
    for reason, ids in reasons.items():
        text = f"traces of {few(ids)} are left out: {reason}."
        findings.append(Finding("warning", text, kind="station without coordinates", place=", ".join(ids)))
    return known


def few(names: Iterable[str], most: int = 4) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _components_of(
    station: Station,
    channels: list[Channel],
    stations: StationTable,
    slowest_hz: float,
    findings: list[Finding],
    inspect: Callable[[Channel], None],
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
        inspect(channel)
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
    # Beside H1 and H2 a channel V alone may be the missing one; beside Z, N and E all others are of other sensors.
    asked = [found for found in sensors if sensor is None or found is sensor or len(slots) < len(COMPONENTS)]
    unknown = list(dict.fromkeys(c for found in asked for c in found.unknown if c in living))
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
    findings += state_findings(station, slots.values())
    return slots


def state_findings(station: Station, channels: Iterable[Channel]) -> list[Finding]:
    """What is said of channels of one station that stand still for a while or are clipped."""
    findings = []
    if filled := [c.code for c in channels if c.filled]:
        text = f"{station.station_id}: {', '.join(filled)} stands still or at a fill value; that counts as a gap."
        findings.append(Finding("note", text))
    if clipped := [c.code for c in channels if c.clipped]:
        text = f"{station.station_id}: {', '.join(clipped)} is clipped; it is kept."
        findings.append(Finding("warning", text, kind="clipped", place=station.station_id))
    return findings


def _name(channel: Channel, station: Station) -> str:
    station_id, code = channel.seed_id.rsplit(".", 1)
    return code if station_id == station.station_id else f"{station_id.rsplit('.', 1)[1]}.{code}"
