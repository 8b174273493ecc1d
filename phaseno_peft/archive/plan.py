"""An archive cut into tasks: groups of stations that hear each other, times block of time.

Picks depend on neither. A group holds all whose messages reach the stations that it gives picks of, the frame of the
coordinates is that of all stations, and windows stand where those of the whole record stand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from obspy import UTCDateTime

from phaseno_peft.campaign.coordinates import scaled_coordinates
from phaseno_peft.campaign.file_headers import FileHeaders, Header
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.grid import grid_anchor
from phaseno_peft.campaign.long_run import INSPECTED_S
from phaseno_peft.campaign.plan import slowest_hz, station_of_each
from phaseno_peft.campaign.runs import RunSpan, run_spans, years_apart
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.contract import Frame, Preprocessing
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.picking.inference import networks
from phaseno_peft.picking.quiet_windows import reached

HOUR_NS = 3_600_000_000_000
BLOCK_HOURS = 6
"""Real hours of a task: 1,440 windows, some minutes of one core, and of its reading less than a tenth is overlap."""
GROUP_STATIONS = 50
"""Stations of one task, as far as the network can be parted: what 50 stations of six hours need fits into 1 GB."""
LARGEST_HALO = 0.5
"""A connected network is parted only where the parts together have at most this much more stations than it has."""
_AROUND_SPANS = 2.0
"""Lengths of what is inspected at once, around a block: within, a run that is short can be told from a long one."""


@dataclass(frozen=True, slots=True)
class StationGroup:
    """Stations that are picked together."""

    station_ids: tuple[str, ...]
    """Those whose picks are given out."""
    halo_ids: tuple[str, ...]
    """Those that are heard only: their messages reach the others."""
    frame: Frame
    """Of the whole network."""

    @property
    def all_ids(self) -> tuple[str, ...]:
        """Both."""
        return self.station_ids + self.halo_ids


@dataclass(frozen=True, slots=True)
class Task:
    """A group of stations for a block of time, and the files that hold it."""

    key: str
    """Differs where anything differs on which the picks hang."""
    begin_ns: int
    end_ns: int
    """Picks from the one time up to the other are given out; nanoseconds since 1970."""
    group: StationGroup
    files: tuple[FileHeaders, ...]
    """With the headers of the group's stations around the block."""
    runs: tuple[RunSpan, ...]
    """Of all stations of the archive, around the block."""

    @property
    def block(self) -> str:
        """The block's time, to be read."""
        return f"{UTCDateTime(ns=self.begin_ns)} to {UTCDateTime(ns=self.end_ns)}"


@dataclass(frozen=True, slots=True)
class ArchivePlan:
    """All tasks of an archive, in the order of time."""

    tasks: tuple[Task, ...]
    station_ids: tuple[str, ...]
    """Stations that have records in the time."""
    findings: tuple[Finding, ...]


def plan_archive(
    files: Sequence[FileHeaders],
    table: StationTable,
    preprocessing: Preprocessing,
    *,
    source: str,
    settings_digest: str = "",
    trained: Frame | None = None,
    begin_ns: int | None = None,
    end_ns: int | None = None,
    block_hours: int = BLOCK_HOURS,
    group_stations: int = GROUP_STATIONS,
    finished_ns: Iterable[tuple[int, int]] = (),
) -> ArchivePlan:
    """The tasks of an archive from one time up to another (nanoseconds since 1970; by default all of it).

    settings_digest: goes into the keys of tasks. trained: the frame an adapter was trained with. source: the archive,
    for messages. finished_ns: times of tasks that are done; where the time that is asked for cuts their blocks, it is
    widened to them, so that a block is one task however it was asked for. Raises `CampaignError` where no record lies
    in the time or none belongs to a station, and `PhasenoPeftError` for blocks that do not part a day.
    """
    if block_hours < 1 or 24 % block_hours:
        raise PhasenoPeftError(f"`block_hours` should be a whole part of a day but is {block_hours}. Give 1 to 24.")
    headers = sorted(chain.from_iterable(file.headers for file in files), key=lambda h: h.start_ns)
    if not headers:
        why = next((file.error for file in files if file.error), "its files hold no samples.")
        raise CampaignError(f"{source}: nothing in the archive can be picked: {why}")
    first_ns, last_ns = headers[0].start_ns, max(h.end_ns for h in headers)
    begin_ns = first_ns if begin_ns is None else max(begin_ns, first_ns)
    end_ns = last_ns + 1 if end_ns is None else min(end_ns, last_ns + 1)
    begin_ns, end_ns = _widened(begin_ns, end_ns, finished_ns, block_hours)
    inside = [h for h in headers if h.start_ns < end_ns and h.end_ns >= begin_ns]
    if not inside:
        raise CampaignError(
            f"{source}: the archive holds nothing of the time that is asked for. It reaches from "
            f"{UTCDateTime(ns=first_ns)} to {UTCDateTime(ns=last_ns)}. Ask for a time in between."
        )
    findings: list[Finding] = []
    station_of = station_of_each({h.seed_id for h in inside}, table, source, findings)
    known = set(station_of.values())
    stations = [station for station in table if station in known]
    groups, said = station_groups(stations, trained, preprocessing, group_stations)
    findings += said
    spans = _anchored(run_spans(headers), headers, station_of, preprocessing)
    findings += years_apart([(span.begin_ns, span.end_ns) for span in spans])
    around_ns = round(_AROUND_SPANS * INSPECTED_S / preprocessing.time_scale * 1e9)
    reach = [(min(h.start_ns for h in f.headers), max(h.end_ns for h in f.headers), f) for f in files if f.headers]
    reach.sort(key=lambda entry: (entry[0], entry[2].path))
    members = {station_id: number for number, group in enumerate(groups) for station_id in group.station_ids}
    tasks: list[Task] = []
    for block in _blocks(begin_ns, end_ns, block_hours):
        wide = (block[0] - around_ns, block[1] + around_ns)
        near = [f for first, last, f in reach if first < wide[1] and last >= wide[0]]
        runs = tuple(span for span in spans if span.begin_ns < wide[1] and span.end_ns >= wide[0])
        alive = {
            members[station_of[h.seed_id].station_id]
            for f in near
            for h in f.headers
            if h.seed_id in station_of and h.start_ns < block[1] and h.end_ns >= block[0]
        }
        then = table.at(UTCDateTime(ns=block[0]), UTCDateTime(ns=block[1]))
        for number in sorted(alive):
            own = _of_group(near, groups[number], station_of, wide)
            places = [then[i] if i in then else table[i] for i in groups[number].all_ids]
            tasks.append(_task(block, groups[number], own, runs, places, settings_digest))
    return ArchivePlan(tuple(tasks), tuple(s.station_id for s in stations), tuple(findings))


def station_groups(
    stations: Sequence[Station], trained: Frame | None, preprocessing: Preprocessing, most: int = GROUP_STATIONS
) -> tuple[list[StationGroup], list[Finding]]:
    """Groups of stations that can be picked apart from each other, and what is to be said of the network.

    Stations that hear each other stay together. A connected network of more than `most` is parted, each part with the
    stations whose messages reach it, unless it is so dense that this would cost more than it brings (`LARGEST_HALO`).
    """
    parts, findings = networks(stations, trained, preprocessing)
    groups: list[StationGroup] = []
    for rows, frame in parts:
        inside = [stations[row] for row in rows]
        units = scaled_coordinates(inside, frame, preprocessing.time_scale)
        heard = reached(units, frame.edge_limit_km)
        small: list[int] = []
        for members in _connected(heard):
            if len(members) > most:
                groups += [_group(inside, core, heard, frame) for core in _parted(members, units, heard, most)]
                continue
            if small and len(small) + len(members) > most:
                groups.append(_group(inside, small, heard, frame))
                small = []
            small += members
        if small:
            groups.append(_group(inside, small, heard, frame))
    return groups, findings


def _connected(heard: NDArray[np.bool_]) -> list[list[int]]:
    """Rows of each connected part of a network, in the order of its first station."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    _, label = connected_components(csr_array(heard), directed=False)
    parts = [np.flatnonzero(label == number).tolist() for number in range(int(label.max()) + 1)]
    return sorted(parts)


def _parted(
    members: Sequence[int], units: NDArray[np.floating], heard: NDArray[np.bool_], most: int
) -> list[list[int]]:
    """Rows of a connected network in parts of at most `most`, halved along its longer side; whole where halos cost."""
    cores: list[list[int]] = []
    waiting = [list(members)]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= most:
            cores.append(rows)
            continue
        places = units[rows]
        axis = int(np.argmax(places.max(0) - places.min(0)))
        order = [rows[i] for i in np.lexsort((places[:, 1 - axis], places[:, axis]))]
        waiting += [order[len(order) // 2 :], order[: len(order) // 2]]
    together = sum(int(heard[core].any(axis=0).sum()) for core in cores)
    return cores if together <= (1 + LARGEST_HALO) * len(members) else [list(members)]


def _group(stations: Sequence[Station], core: Sequence[int], heard: NDArray[np.bool_], frame: Frame) -> StationGroup:
    inside = set(core)
    halo = [int(row) for row in np.flatnonzero(heard[list(core)].any(axis=0)) if row not in inside]
    ids = [station.station_id for station in stations]
    return StationGroup(tuple(ids[row] for row in sorted(core)), tuple(ids[row] for row in halo), frame)


def _anchored(
    spans: Sequence[RunSpan], headers: Sequence[Header], station_of: dict[str, Station], preprocessing: Preprocessing
) -> list[RunSpan]:
    """The runs with a grid that most of what is recorded in each agrees with."""
    slowest = slowest_hz(preprocessing)
    used = [h for h in headers if h.seed_id in station_of and h.rate_hz >= slowest]
    anchored: list[RunSpan] = []
    at = 0
    for span in spans:
        first = at
        while at < len(used) and used[at].start_ns <= span.end_ns:
            at += 1
        inside: Any = used[first:at]
        anchored.append(replace(span, anchor_ns=grid_anchor(inside, preprocessing.rate_hz)) if inside else span)
    return anchored


def _blocks(begin_ns: int, end_ns: int, block_hours: int) -> Iterable[tuple[int, int]]:
    """Pieces of a time between the multiples of so many hours since 1970."""
    step = block_hours * HOUR_NS
    for number in range(begin_ns // step, -(-end_ns // step)):
        yield max(begin_ns, number * step), min(end_ns, (number + 1) * step)


def _widened(begin_ns: int, end_ns: int, finished_ns: Iterable[tuple[int, int]], block_hours: int) -> tuple[int, int]:
    """The time with what is finished of its first and of its last block."""
    step = block_hours * HOUR_NS
    first, last = begin_ns // step * step, -(-end_ns // step) * step
    done = list(finished_ns)
    begins = [a for a, b in done if first <= a and b <= first + step]
    ends = [b for a, b in done if last - step <= a and b <= last]
    return min([begin_ns, *begins]), max([end_ns, *ends])


def _of_group(
    files: Sequence[FileHeaders], group: StationGroup, station_of: dict[str, Station], wide: tuple[int, int]
) -> tuple[FileHeaders, ...]:
    """The files with the headers of a group's stations in a time, those without any left out."""
    wanted = set(group.all_ids)
    found = []
    for file in files:
        headers = tuple(
            h
            for h in file.headers
            if h.start_ns < wide[1]
            and h.end_ns >= wide[0]
            and h.seed_id in station_of
            and station_of[h.seed_id].station_id in wanted
        )
        if headers:
            found.append(replace(file, headers=headers))
    return tuple(found)


def _task(
    block: tuple[int, int],
    group: StationGroup,
    files: tuple[FileHeaders, ...],
    runs: tuple[RunSpan, ...],
    stations: Sequence[Station],
    settings_digest: str,
) -> Task:
    places = [[s.station_id, round(s.latitude_deg, 6), round(s.longitude_deg, 6), s.depth_shift_m] for s in stations]
    frame = [group.frame.center_latitude_deg, group.frame.center_longitude_deg, group.frame.edge_limit_km]
    seen = [[f"{file.path}", file.size_bytes, file.modified_ns] for file in files]
    of_what = [settings_digest, *block, len(group.station_ids), places, frame, seen]
    key = hashlib.sha256(json.dumps(of_what).encode()).hexdigest()[:16]
    return Task(key, *block, group, files, runs)
