"""A `Catalogue` of events with labelled P and S picks, and which of several picks counts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.station_ids import station_fields

OF_PREFERRED_ORIGIN, MANUAL, REVIEWED = 4, 2, 1
"""What a pick's `rank` is the sum of."""
UNASSOCIATED_ID = "smi:local/phaseno-peft/unassociated"
"""The event in which `PickList` keeps picks that belong to none."""
SIMULATED_PICK = "smi:local/phaseno-peft/simulated-analyst"
"""Method of the picks of `phaseno-peft simulate`."""
PAUSE_S = 10.0
"""Picks without events (a pick list) are parted where none follows for this long (real time)."""


@dataclass(frozen=True, slots=True)
class LabelledPick:
    """One P or S arrival of the catalogue at one station."""

    pick_id: str
    event_id: str
    station_id: str
    phase: str
    """"P" or "S"."""
    time: UTCDateTime
    uncertainty_s: float | None
    usable: bool
    """False where the catalogue gives it weight 0 or rejects it: its surroundings count as unknown."""
    number: int = 0
    """Position in the file, counted from 1; for messages."""
    is_automatic: bool = False
    """The catalogue says that a program made it and does not say that an analyst reviewed it."""
    method: str = ""
    """The catalogue's id of what made it; empty where it does not say."""
    phase_name: str = ""
    """As the catalogue writes it, for example "Pn"."""
    rank: int = 0
    """Which of several picks of one arrival counts: the sum of `OF_PREFERRED_ORIGIN`, `MANUAL` and `REVIEWED`."""
    weight: float = 1.0
    """Of its arrival; 1 where the catalogue gives none."""


@dataclass(frozen=True, slots=True)
class CatalogueEvent:
    """One event with the picks of its stations, in time order."""

    event_id: str
    origin_time: UTCDateTime | None
    latitude_deg: float | None
    longitude_deg: float | None
    depth_m: float | None
    picks: tuple[LabelledPick, ...]

    @property
    def readings(self) -> list[tuple[str, str, int, bool]]:
        """(station id, phase, nanoseconds since 1970, usable) of its picks: events with the same ones are the same."""
        return [(pick.station_id, pick.phase, pick.time.ns, pick.usable) for pick in self.picks]


@dataclass(frozen=True)
class Catalogue:
    """Events in time order."""

    events: tuple[CatalogueEvent, ...]
    source: str = "the catalogue"
    findings: tuple[Finding, ...] = ()

    @cached_property
    def picks(self) -> tuple[LabelledPick, ...]:
        """Picks of all events, sorted by time."""
        return tuple(sorted((p for event in self.events for p in event.picks), key=lambda p: p.time.ns))

    @property
    def epicentres(self) -> np.ndarray:
        """[event, (latitude_deg, longitude_deg)] of the events that have one on the globe."""
        places = [
            (e.latitude_deg, e.longitude_deg)
            for e in self.events
            if e.latitude_deg is not None and e.longitude_deg is not None and abs(e.latitude_deg) <= 90
        ]
        return np.array(places, float).reshape(-1, 2)


def made_by(picks: Sequence[LabelledPick]) -> Literal["simulated", "automatic", "unknown"]:
    """Who made the picks, where the catalogue says the same of every one."""
    if picks and all(pick.method == SIMULATED_PICK for pick in picks):
        return "simulated"
    return "automatic" if picks and all(pick.is_automatic for pick in picks) else "unknown"


def phase_of(name: str) -> str | None:
    """ "P" for Pg, Pn, PKP, p..., "S" for Sg, S1, s...; None for others, among them depth phases such as sP.

    A letter for the onset's quality before it is passed over: iP, eS, IPU0.
    """
    name = re.sub(r"^\s*[ieqIEQ](?=[PS])", "", name)
    if re.match(r"[ps][PS]", name):
        return None
    first = name.strip()[:1].upper()
    return first if first in ("P", "S") else None


def one_per_station_and_phase(picks: Iterable[LabelledPick]) -> tuple[LabelledPick, ...]:
    """Picks in time order with one left a (event, station, phase), chosen by the catalogue's own preferences.

    Usable ones go first, then those of the preferred origin, manual ones, reviewed ones, the earliest. Of picks with
    the same phase name, the weight of their arrivals goes before the time (of Pn and Pg the first is the onset,
    whatever their weights).
    """
    by_name: dict[tuple[str, str, str, str], LabelledPick] = {}
    for pick in sorted(picks, key=lambda p: (not p.usable, -p.rank, -p.weight, p.time.ns)):
        by_name.setdefault((pick.event_id, pick.station_id, pick.phase, pick.phase_name), pick)
    kept: dict[tuple[str, str, str], LabelledPick] = {}
    for pick in sorted(by_name.values(), key=lambda p: (not p.usable, -p.rank, p.time.ns)):
        kept.setdefault((pick.event_id, pick.station_id, pick.phase), pick)
    return tuple(sorted(kept.values(), key=lambda p: p.time.ns))


def content_id(
    picks: Sequence[tuple[str, str, UTCDateTime]], origin_time: UTCDateTime | None = None, place: str = ""
) -> str:
    """An event's id from its content: (station id, phase, time) of its picks, or its origin where it has none.

    For files without ids of their own: the same at every reading, in any order, with any obspy. Times count to 0.1 ms;
    network and location codes do not, which readers fill in differently.
    """
    lines = sorted(f"{station_fields(i)[1]} {phase} {(time.ns + 50_000) // 100_000}" for i, phase, time in picks)
    if not lines:
        lines = [f"origin {'' if origin_time is None else (origin_time.ns + 50_000) // 100_000} {place}"]
    return f"smi:local/phaseno-peft/content/{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:24]}"


def groups_between_pauses(picks: Iterable[LabelledPick]) -> list[list[LabelledPick]]:
    """Picks without events in groups that can stand for events: parted by pauses, each phase of a station once."""
    groups: list[list[LabelledPick]] = []
    seen: set[tuple[str, str]] = set()
    for pick in sorted(picks, key=lambda p: (p.time.ns, p.station_id, p.phase)):
        key = (pick.station_id, pick.phase)
        if not groups or pick.time - groups[-1][-1].time > PAUSE_S or key in seen:
            groups.append([])
            seen = set()
        groups[-1].append(pick)
        seen.add(key)
    return groups
