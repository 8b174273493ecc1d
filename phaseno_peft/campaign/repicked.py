"""Events that were picked again in a later catalogue: one event each, with the later picks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from phaseno_peft.campaign.catalog import Catalogue, CatalogueEvent, LabelledPick
from phaseno_peft.campaign.findings import Finding

SAME_ARRIVAL_S = 0.5
"""Network's time: picks of one phase at one station that lie within so much are of one arrival."""


def first_catalogue(catalogues: Sequence[Catalogue]) -> dict[str, int]:
    """Event id -> number of the first catalogue that lists it."""
    found: dict[str, int] = {}
    for number, catalogue in enumerate(catalogues):
        for event in catalogue.events:
            found.setdefault(event.event_id, number)
    return found


def repicked_as_one(catalogue: Catalogue, added_in: Mapping[str, int], time_scale: float = 1.0) -> Catalogue:
    """A joined catalogue with each event once, however many of its parts list it.

    `added_in` has for each event id the number of the part that it came with (`first_catalogue`). An event is one of an
    earlier part where at least half of the picks of either lie within `SAME_ARRIVAL_S` of the other's. Where both have
    a usable pick of a phase at a station the later counts, and what only one has is kept; id and place are the earlier
    event's. A finding says of how many events that holds.
    """
    within_s = SAME_ARRIVAL_S / time_scale
    if not any(added_in.values()):
        return catalogue
    kept: dict[str, CatalogueEvent] = {}
    arrivals, merged = _Arrivals(), 0
    for part in sorted(set(added_in.values())):
        for event in (event for event in catalogue.events if added_in[event.event_id] == part):
            first = arrivals.event_of(event, within_s, kept)
            if first is None:
                kept[event.event_id] = event
            else:
                kept[first] = _with_later_picks(kept[first], event)
                merged += 1
        arrivals = _Arrivals(kept.values())
    if not merged:
        return catalogue
    text = (
        f"{merged} added events are events of the campaign that were picked again: each is kept once, with the added "
        "picks where both have one."
    )
    finding = Finding("warning", text, kind="picked again", file=catalogue.source)
    events = tuple(event for event in catalogue.events if event.event_id in kept)
    return replace(catalogue, events=tuple(kept[e.event_id] for e in events), findings=(*catalogue.findings, finding))


class _Arrivals:
    """Picks of events by station and phase, in time order."""

    def __init__(self, events: Iterable[CatalogueEvent] = ()) -> None:
        self._times_ns: dict[tuple[str, str], list[tuple[int, str]]] = {}
        for event in events:
            for pick in event.picks:
                self._times_ns.setdefault(_key(pick), []).append((pick.time.ns, event.event_id))
        for times in self._times_ns.values():
            times.sort()

    def event_of(self, event: CatalogueEvent, within_s: float, events: Mapping[str, CatalogueEvent]) -> str | None:
        """The id of the event that shares most arrivals with this one, where that is half of the smaller one's."""
        shared: Counter[str] = Counter()
        for pick in event.picks:
            times = self._times_ns.get(_key(pick), [])
            at = bisect_left(times, (pick.time.ns - round(within_s * 1e9), ""))
            near = set()
            while at < len(times) and times[at][0] <= pick.time.ns + round(within_s * 1e9):
                near.add(times[at][1])
                at += 1
            shared.update(near)
        for event_id, n in shared.most_common():
            if 2 * n >= min(len(event.picks), len(events[event_id].picks)):
                return event_id
        return None


def _with_later_picks(first: CatalogueEvent, later: CatalogueEvent) -> CatalogueEvent:
    picks = {_key(pick): pick for pick in first.picks}
    for pick in later.picks:
        before = picks.get(_key(pick))
        if before is None or pick.usable or not before.usable:
            picks[_key(pick)] = replace(pick, event_id=first.event_id)
    return replace(first, picks=tuple(sorted(picks.values(), key=lambda pick: pick.time.ns)))


def _key(pick: LabelledPick) -> tuple[str, str]:
    return pick.station_id, pick.phase
