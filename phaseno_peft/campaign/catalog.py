"""What was picked: QuakeML or any obspy event format in, events with labelled P and S picks out."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from obspy import UTCDateTime

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.errors import CampaignError

SEEN_BY_AN_ANALYST = ("confirmed", "reviewed", "final")
"""QuakeML evaluation statuses."""


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
    """The catalogue says that a machine made it, and not that anybody has looked at it."""
    method: str = ""
    """The catalogue's id of what made it; empty where it does not say."""


@dataclass(frozen=True, slots=True)
class CatalogueEvent:
    """One event with the picks of its stations, in time order."""

    event_id: str
    origin_time: UTCDateTime | None
    latitude_deg: float | None
    longitude_deg: float | None
    depth_m: float | None
    picks: tuple[LabelledPick, ...]


@dataclass(frozen=True)
class Catalogue:
    """Events in time order."""

    events: tuple[CatalogueEvent, ...]
    source: str = "the catalogue"
    findings: tuple[Finding, ...] = ()

    @property
    def picks(self) -> tuple[LabelledPick, ...]:
        """Picks of all events, sorted by time."""
        return tuple(sorted((p for event in self.events for p in event.picks), key=lambda p: p.time))


def read_catalogue(path: Any) -> Catalogue:
    """Events and picks of a QuakeML file, of any other event format obspy reads, or of an obspy `Catalog`.

    A pick's phase is its `phase_hint`, or else the phase of its arrival: names starting with P count as P, with S as S,
    others are left out and counted. One pick is kept a station, phase and event: the earliest usable one. Raises
    `CampaignError` for a missing or unreadable file, an event given twice, and a file without any P or S pick.
    """
    if isinstance(path, Catalogue):
        return path
    if isinstance(path, str | Path):
        catalog, source = _read_events(Path(path)), Path(path).name
    else:
        catalog, source = path, "the catalogue"
    ignored: Counter[str] = Counter()
    incomplete: Counter[str] = Counter()
    events: list[CatalogueEvent] = []
    number = repeated = 0
    for event in catalog:
        event_id = str(event.resource_id.id) if event.resource_id else f"event-{len(events) + 1}"
        origin = event.preferred_origin() or (event.origins[-1] if event.origins else None)
        arrivals = {a.pick_id.id: a for o in event.origins if o is not origin for a in o.arrivals if a.pick_id}
        arrivals |= {a.pick_id.id: a for a in (origin.arrivals if origin else []) if a.pick_id}
        picks: list[LabelledPick] = []
        for pick in event.picks:
            number += 1
            arrival = arrivals.get(pick.resource_id.id) if pick.resource_id else None
            name = str(pick.phase_hint or (arrival.phase if arrival is not None else None) or "").strip()
            phase = phase_of(name)
            if not name:
                incomplete["no phase"] += 1
            elif phase is None:
                ignored[name] += 1
            elif pick.time is None:
                incomplete["no time"] += 1
            elif pick.waveform_id is None or not pick.waveform_id.station_code:
                incomplete["no station"] += 1
            else:
                picks.append(_labelled(pick, arrival, phase, event_id, number))
        kept = one_per_station_and_phase(picks)
        repeated += len(picks) - len(kept)
        events.append(
            CatalogueEvent(
                event_id,
                UTCDateTime(origin.time) if origin is not None and origin.time is not None else None,
                _number(origin, "latitude"),
                _number(origin, "longitude"),
                _number(origin, "depth"),
                kept,
            )
        )
    twice = [event_id for event_id, n in Counter(e.event_id for e in events).items() if n > 1]
    if twice:
        raise CampaignError(f"{source}: event {twice[0]} is given twice. Keep one of the two, or give it another id.")
    if not any(e.picks for e in events):
        seen = f"{number} picks, none of them P or S with a time and a station" if number else "no picks"
        raise CampaignError(f"{source}: {len(events)} events and {seen}. Give a catalogue that holds the pick times.")
    findings = [
        Finding("note", f"{source}: {n} picks of phase {name!r} are neither P nor S and are left out.")
        for name, n in sorted(ignored.items())
    ]
    findings += [
        Finding("warning", f"{source}: {n} picks have {what} and are left out.")
        for what, n in sorted(incomplete.items())
    ]
    if repeated:
        findings.append(
            Finding(
                "note",
                f"{source}: {repeated} picks repeat a phase of the same event and station; the earliest is kept.",
            )
        )
    return Catalogue(tuple(sorted(events, key=_event_time)), source, tuple(findings))


def phase_of(name: str) -> str | None:
    """ "P" for Pg, Pn, PKP, p..., "S" for Sg, S1, s...; None for others, among them depth phases such as sP."""
    if re.match(r"[ps][PS]", name):
        return None
    first = name.strip()[:1].upper()
    return first if first in ("P", "S") else None


def one_per_station_and_phase(picks: Iterable[LabelledPick]) -> tuple[LabelledPick, ...]:
    """Picks in time order with one left a (event, station, phase): the earliest usable, or else the earliest."""
    kept: dict[tuple[str, str, str], LabelledPick] = {}
    for pick in sorted(picks, key=lambda p: (not p.usable, p.time)):
        kept.setdefault((pick.event_id, pick.station_id, pick.phase), pick)
    return tuple(sorted(kept.values(), key=lambda p: p.time))


def _event_time(event: CatalogueEvent) -> float:
    if event.picks:
        return float(event.picks[0].time.timestamp)
    return float(event.origin_time.timestamp) if event.origin_time is not None else 0.0


def _labelled(pick: Any, arrival: Any, phase: str, event_id: str, number: int) -> LabelledPick:
    waveform = pick.waveform_id
    location = (waveform.location_code or "").strip().replace("--", "")
    weight = arrival.time_weight if arrival is not None else None
    return LabelledPick(
        pick_id=str(pick.resource_id.id) if pick.resource_id else f"{event_id}/pick-{number}",
        event_id=event_id,
        station_id=f"{(waveform.network_code or '').strip()}.{waveform.station_code.strip()}.{location}",
        phase=phase,
        time=UTCDateTime(pick.time),
        uncertainty_s=_uncertainty_s(pick.time_errors),
        usable=not (weight is not None and weight <= 0) and str(pick.evaluation_status or "") != "rejected",
        number=number,
        is_automatic=str(pick.evaluation_mode or "") == "automatic"
        and str(pick.evaluation_status or "") not in SEEN_BY_AN_ANALYST,
        method=str(pick.method_id.id) if pick.method_id else "",
    )


def _uncertainty_s(errors: Any) -> float | None:
    if errors is None:
        return None
    if errors.uncertainty is not None:
        return float(errors.uncertainty)
    sides = [float(v) for v in (errors.lower_uncertainty, errors.upper_uncertainty) if v is not None]
    return sum(sides) / len(sides) if sides else None


def _number(origin: Any, name: str) -> float | None:
    value = getattr(origin, name, None)
    return None if value is None else float(value)


def _read_events(path: Path) -> Any:
    from obspy import read_events

    if not path.is_file():
        raise CampaignError(f"{path}: no such catalogue file. Give a QuakeML file with picks.")
    try:
        return read_events(glob.escape(str(path)))
    except Exception as error:  # obspy's readers raise whatever their parsers do
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise CampaignError(
            f"{path}: not readable as QuakeML or another event format ({first}). Export the picks as QuakeML."
        ) from error
