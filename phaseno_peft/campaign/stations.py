"""A `StationTable`: places, epochs and sensor directions, and coordinates of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign.depths import depth_shifts_m
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.station import Direction, Station
from phaseno_peft.campaign.station_checks import (
    KM_PER_DEGREE,
    believable_m,
    check_degrees,
    check_stations,
    distance_km,
)
from phaseno_peft.contract import EDGE_LIMIT_KM, Frame
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_fields

SAME_PLACE_KM = 0.05
"""Sensors and epochs of one site may differ by survey corrections and a few steps (10 ms of P), not by more."""
_FOREVER_NS = 1 << 63
_TOUCHING_NS = 86_400_000_000_000
"""Epochs of one place that follow within a day are one."""


class StationTable:
    """Stations in file order, unique by id; `table["NZ.GCSZ.10"]`, `len`, iteration over `Station`, and `in` by id.

    A station that moved has several places; the plain table shows the latest, `at` gives the table of another time.
    """

    def __init__(
        self,
        stations: Iterable[Station],
        orientations: Mapping[str, tuple[float, float] | Sequence[Direction]] | None = None,
        source: str = "the station table",
    ) -> None:
        """Raise `CampaignError` for impossible coordinates or one id at two places at once; `source` is for messages.

        `orientations` gives each NET.STA.LOC.CHA its (azimuth_deg, dip_deg), or one `Direction` an epoch.

        A placeholder (0, 0) and a place that only a wrong sign explains are left out, which `findings` report.
        """
        self.source = source
        given: dict[str, list[Station]] = {}
        for station in stations:
            try:
                station_fields(station.station_id)
            except CampaignError as error:
                raise CampaignError(f"{source}: {error}") from None
            check_degrees(station, source)
            given.setdefault(station.station_id, []).append(station)
        epochs = {station_id: _epochs(entries, source) for station_id, entries in given.items()}
        check = check_stations([places[-1] for places in epochs.values()], source)
        self._left_out = check.left_out
        self.findings: tuple[Finding, ...] = check.findings
        """What is doubtful about the table as a whole."""
        directions = {seed_id: _directions(listed) for seed_id, listed in (orientations or {}).items()}
        self._set(_with_depths({i: e for i, e in epochs.items() if i not in self._left_out}), directions)

    def _set(self, epochs: dict[str, list[Station]], directions: Mapping[str, Sequence[Direction]]) -> None:
        self._epochs = epochs
        self._directions = dict(directions)
        self._stations = {station_id: places[-1] for station_id, places in epochs.items()}
        self._span_ns: tuple[int, int] | None = None
        self._of_time: dict[str, Finding] = {}
        self._sites: dict[str, list[str]] = {}
        for station_id in epochs:
            network, code, _ = station_fields(station_id)
            self._sites.setdefault(f"{network}.{code}", []).append(station_id)
            if network:
                self._sites.setdefault(f".{code}", []).append(station_id)

    def _part(self, epochs: dict[str, list[Station]], directions: Mapping[str, Sequence[Direction]]) -> StationTable:
        part = StationTable([], source=self.source)
        part._left_out = self._left_out
        part.findings = self.findings
        part._set(epochs, directions)
        return part

    def __getitem__(self, station_id: str) -> Station:
        return self._stations[station_id]

    def __len__(self) -> int:
        return len(self._stations)

    def __iter__(self) -> Iterator[Station]:
        return iter(self._stations.values())

    def __contains__(self, station: object) -> bool:
        return (station.station_id if isinstance(station, Station) else station) in self._stations

    def __repr__(self) -> str:
        return f"<StationTable of {len(self)} stations from {self.source}>"

    @property
    def station_ids(self) -> tuple[str, ...]:
        """Ids in table order."""
        return tuple(self._stations)

    def find(self, station_id: str, time: UTCDateTime | None = None) -> Station | None:
        """Station of this id, or else the one site with this NET.STA (or, without a network code, this STA).

        Waveforms and picks often carry a location code that the inventory has not, or the reverse: sensors of one site
        stand at the same place, and the first listed one is taken. Where the code stands at several places, `time`
        chooses the one in use. None where nothing fits; `why_not` says why.
        """
        station = self._stations.get(station_id)
        if station is not None:
            return station
        candidates = self._candidates(station_id, time)
        if candidates and all(distance_km(candidates[0], other) <= SAME_PLACE_KM for other in candidates[1:]):
            return candidates[0]
        return None

    def why_not(self, station_id: str) -> str:
        """Why `find` gives no station: a sentence's end, such as "stations.xml does not list the station"."""
        candidates = self._candidates(station_id, None)
        if len(candidates) > 1:
            places = ", ".join(f"{s.station_id} at {s.latitude_deg:.5f} {s.longitude_deg:.5f}" for s in candidates[:4])
            more = f" and {len(candidates) - 4} more" if len(candidates) > 4 else ""
            code = "location" if len({station_fields(s.station_id)[0] for s in candidates}) == 1 else "network"
            return f"{self.source} lists several places for it ({places}{more}): the {code} code must say which"
        if station_id in self._of_time:
            return self._of_time[station_id].text
        for left_out, why in self._left_out.items():
            if left_out == station_id or station_fields(left_out)[:2] == station_fields(station_id)[:2]:
                return f"in {self.source} it {why}"
        return f"{self.source} does not list the station"

    def _candidates(self, station_id: str, time: UTCDateTime | None) -> list[Station]:
        """Stations of the site an id names, those in use at the time where the table knows."""
        try:
            network, code, _ = station_fields(station_id)
        except CampaignError:
            return []
        ids = self._sites.get(f"{network}.{code}", [])
        if not ids and network in ("", "NA", "??", "--"):  # what catalogue formats without network codes leave behind
            ids = self._sites.get(f".{code}", [])
        found = [self._stations[i] for i in ids]
        span = (time.ns, time.ns) if time is not None else self._span_ns
        if span is not None and len(found) > 1:
            in_use = [s for s in found if any(_overlap_ns(place, span) >= 0 for place in self._epochs[s.station_id])]
            found = in_use or found
        return found

    def orientation(self, seed_id: str) -> tuple[float, float] | None:
        """(azimuth_deg, dip_deg) of channel NET.STA.LOC.CHA where the inventory gives both; dip -90 points up.

        A channel the inventory lacks takes those of its NET.STA and channel code, where all locations agree.
        """
        exact = self._directions.get(seed_id)
        if exact:
            return exact[-1].azimuth_deg, exact[-1].dip_deg
        station_id, _, channel = seed_id.rpartition(".")
        matches = {
            (listed[-1].azimuth_deg, listed[-1].dip_deg)
            for station in self._candidates(station_id, None)
            if (listed := self._directions.get(f"{station.station_id}.{channel}"))
        }
        return matches.pop() if len(matches) == 1 else None

    def at(self, start: UTCDateTime, end: UTCDateTime) -> StationTable:
        """The table as it was from `start` to `end`: one place a station and one direction a channel.

        Of a station that moved meanwhile, the place it had for most of the time; outside all epochs, the nearest in
        time. Both are reported by `findings_of`. A station listed at two places for all of that time is left out.
        """
        span = (start.ns, end.ns)
        if all(len(places) == 1 for places in self._epochs.values()) and all(
            len(d) == 1 for d in self._directions.values()
        ):
            table = self
            if any(len(ids) > 1 for ids in self._sites.values()):
                table = self._part(self._epochs, self._directions)
                table._span_ns = span
            return table
        epochs: dict[str, list[Station]] = {}
        findings: dict[str, Finding] = {}
        for station_id, places in self._epochs.items():
            chosen, problem = _place_in(places, span)
            if problem:
                findings[station_id] = Finding("warning", f"{self.source}: station {station_id} {problem}")
            if chosen is not None:
                epochs[station_id] = [chosen]
        directions = {
            seed_id: [max(listed, key=lambda d: _overlap_ns(d, span))] for seed_id, listed in self._directions.items()
        }
        table = self._part(epochs, directions)
        table._span_ns, table._of_time = span, findings
        return table

    def findings_of(self, station_ids: Iterable[str]) -> list[Finding]:
        """What `at` had to decide for these stations."""
        return [self._of_time[i] for i in station_ids if i in self._of_time]

    def select(self, station_ids: Iterable[str]) -> StationTable:
        """Table of these stations only, in this table's order."""
        wanted = set(station_ids)
        return self._part({i: places for i, places in self._epochs.items() if i in wanted}, self._directions)

    def frame(self, edge_limit_km: float = EDGE_LIMIT_KM) -> Frame:
        """Frame centred on the middle of the box of all places (also across the date line)."""
        places = [place for epochs in self._epochs.values() for place in epochs]
        if not places:
            raise CampaignError(f"{self.source}: no stations, so there is no centre. Give at least one station.")
        latitudes = [s.latitude_deg for s in places]
        reference = places[0].longitude_deg
        eastings = [_wrap_deg(s.longitude_deg - reference) for s in places]
        return Frame(
            center_latitude_deg=(min(latitudes) + max(latitudes)) / 2,
            center_longitude_deg=_wrap_deg(reference + (min(eastings) + max(eastings)) / 2),
            edge_limit_km=edge_limit_km,
        )


def _wrap_deg(angle: float) -> float:
    return (angle + 180.0) % 360.0 - 180.0


def _epochs(entries: Sequence[Station], source: str) -> list[Station]:
    """The places of one station in time order; entries of one place are one, dates or not, where it never moved."""
    if all(distance_km(entries[-1], entry) <= SAME_PLACE_KM for entry in entries):
        return [_joined(entries[-1], entries)]
    places: list[Station] = []
    for entry in sorted(entries, key=_bounds_ns):
        for i, known in enumerate(places):
            is_same_place = distance_km(known, entry) <= SAME_PLACE_KM
            if is_same_place and _overlap_ns(known, _bounds_ns(entry)) >= -_TOUCHING_NS:
                places[i] = _joined(entry, (known, entry))
                break
            if not is_same_place and _bounds_ns(known) == _bounds_ns(entry):
                raise CampaignError(
                    f"{source}: station {entry.station_id} stands at two places, "
                    f"{known.latitude_deg:.5f} {known.longitude_deg:.5f} and "
                    f"{entry.latitude_deg:.5f} {entry.longitude_deg:.5f}. "
                    "Give each its time, keep one, or give the two sensors different location codes."
                )
        else:
            places.append(entry)
    return sorted(places, key=_bounds_ns)


def _joined(place: Station, entries: Sequence[Station]) -> Station:
    starts, ends = [e.start_ns for e in entries], [e.end_ns for e in entries]
    return replace(
        place,
        start_ns=None if None in starts else min(s for s in starts if s is not None),
        end_ns=None if None in ends else max(e for e in ends if e is not None),
    )


def _with_depths(epochs: dict[str, list[Station]]) -> dict[str, list[Station]]:
    """The epochs with the shifts that depth gives their stations; those of a part of a table have theirs already."""
    latest = [places[-1] for places in epochs.values()]
    if not latest or any(s.depth_shift_m != (0.0, 0.0) for s in latest):
        return epochs
    first = latest[0]
    degree_m = 1000 * KM_PER_DEGREE
    along_m = degree_m * math.cos(math.radians(first.latitude_deg))
    places = [
        (
            ((s.longitude_deg - first.longitude_deg + 180.0) % 360.0 - 180.0) * along_m,
            (s.latitude_deg - first.latitude_deg) * degree_m,
            believable_m(s.elevation_m),
        )
        for s in latest
    ]
    shifts = depth_shifts_m(np.array(places))
    if not shifts.any():
        return epochs
    return {
        station_id: [replace(place, depth_shift_m=(float(east), float(north))) for place in places_of]
        for (station_id, places_of), (east, north) in zip(epochs.items(), shifts, strict=True)
    }


def _directions(listed: tuple[float, float] | Sequence[Direction]) -> list[Direction]:
    epochs = [d for d in listed if isinstance(d, Direction)]
    if epochs:
        return epochs
    azimuth_deg, dip_deg = (float(angle) for angle in listed if not isinstance(angle, Direction))
    return [Direction(azimuth_deg, dip_deg)]


def _bounds_ns(epoch: Station | Direction) -> tuple[int, int]:
    return (
        -_FOREVER_NS if epoch.start_ns is None else epoch.start_ns,
        _FOREVER_NS if epoch.end_ns is None else epoch.end_ns,
    )


def _overlap_ns(epoch: Station | Direction, span_ns: tuple[int, int]) -> int:
    """How long an epoch and a span share; negative is the time between them."""
    start, end = _bounds_ns(epoch)
    return min(end, span_ns[1]) - max(start, span_ns[0])


def _place_in(places: Sequence[Station], span_ns: tuple[int, int]) -> tuple[Station | None, str]:
    """The place to take in a span of time, and what is wrong with it: empty, or the end of a sentence."""
    if len(places) == 1:
        return places[0], ""
    best = max(places, key=lambda s: _overlap_ns(s, span_ns))
    if _overlap_ns(best, span_ns) < 0:
        return best, "has several epochs and none holds the record's time; the place of the nearest one is taken."
    others = [s for s in places if s is not best and _overlap_ns(s, span_ns) > 0]
    if not others:
        return best, ""
    if any(_overlap_ns(s, span_ns) == _overlap_ns(best, span_ns) == span_ns[1] - span_ns[0] for s in others):
        where = " and ".join(f"{s.latitude_deg:.5f} {s.longitude_deg:.5f}" for s in (best, *others))
        return None, f"stands at two places at once ({where}) and is left out. Correct the dates of its epochs."
    return best, "moved in the record's time; its place for most of the record is taken. Cut the record there."
