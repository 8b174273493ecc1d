"""Events that were picked again in a later catalogue: one event each, with the later picks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from phaseno_peft.campaign.catalog import Catalogue, CatalogueEvent, LabelledPick
from phaseno_peft.campaign.findings import Finding

SAME_ARRIVAL_S = 0.5
"""Network's time: picks of one phase at one station that lie within so much are of one arrival."""
SAME_ID_S = 30.0
"""Network's time: events of one id in two catalogues that begin within so much are one event."""


@dataclass(frozen=True)
class Parts:
    """Catalogues that are to be joined, with ids that tell their events apart."""

    catalogues: tuple[Catalogue, ...]
    first_in: Mapping[str, int]
    """Event id -> number of the first catalogue that lists it."""
    renamed: Mapping[str, str]
    """Id of an event that has other picks under the id of an earlier one -> that id."""


def told_apart(catalogues: Sequence[Catalogue]) -> Parts:
    """Give events of later catalogues an id of their own where an earlier one has other picks under theirs."""
    first_in: dict[str, int] = {}
    renamed: dict[str, str] = {}
    readings: dict[str, list[tuple[str, str, int, bool]]] = {}
    made = []
    for number, catalogue in enumerate(catalogues):
        events = []
        for event in catalogue.events:
            own, event_id = event.readings, event.event_id
            if first_in.get(event_id, number) < number and readings[event_id] != own:
                event_id = f"{event_id}#{number + 1}"
                renamed[event_id] = event.event_id
                event = _with_id(event, event_id)
            first_in.setdefault(event_id, number)
            readings.setdefault(event_id, own)
            events.append(event)
        made.append(replace(catalogue, events=tuple(events)))
    return Parts(tuple(made), first_in, renamed)


def repicked_as_one(catalogue: Catalogue, parts: Parts, time_scale: float = 1.0) -> Catalogue:
    """The joined catalogue of `parts` with each event once, however many of them list it.

    An event is one of an earlier part where at least half of the picks of either lie within `SAME_ARRIVAL_S` of the
    other's, or where it has that one's id and begins within `SAME_ID_S` of it. Events of an earlier part that are one
    with the same later one are one. Where both have a usable pick of a phase at a station the later counts, and what
    only one has is kept; id and place are the earlier event's. A finding says of how many events that holds.
    """
    kept: dict[str, CatalogueEvent] = {}
    one_with: dict[str, str] = {}
    arrivals, merged = _Arrivals(), 0
    for number in range(len(parts.catalogues)):
        for event in (event for event in catalogue.events if parts.first_in[event.event_id] == number):
            same = [*_of_same_id(event, parts, kept, time_scale), *arrivals.alike(event, SAME_ARRIVAL_S / time_scale)]
            same = list(dict.fromkeys(one_with.get(event_id, event_id) for event_id in same))
            if not same:
                kept[event.event_id] = event
                continue
            first, *others = same
            for other in others:
                kept[first] = _with_later_picks(kept[first], kept.pop(other))
                one_with |= {gone: first for gone, at in one_with.items() if at == other} | {other: first}
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
    events = tuple(kept[event.event_id] for event in catalogue.events if event.event_id in kept)
    return replace(catalogue, events=events, findings=(*catalogue.findings, finding))


class _Arrivals:
    """Picks of events by station and phase, in time order."""

    def __init__(self, events: Iterable[CatalogueEvent] = ()) -> None:
        self._n_picks: dict[str, int] = {}
        self._times_ns: dict[tuple[str, str], list[tuple[int, str]]] = {}
        for event in events:
            self._n_picks[event.event_id] = len(event.picks)
            for pick in event.picks:
                self._times_ns.setdefault(_key(pick), []).append((pick.time.ns, event.event_id))
        for times in self._times_ns.values():
            times.sort()

    def alike(self, event: CatalogueEvent, within_s: float) -> list[str]:
        """Ids of the events that share half of the arrivals of either, those that share most first."""
        shared: Counter[str] = Counter()
        within_ns = round(within_s * 1e9)
        for pick in event.picks:
            times = self._times_ns.get(_key(pick), [])
            first = bisect_left(times, (pick.time.ns - within_ns, ""))
            last = bisect_left(times, (pick.time.ns + within_ns + 1, ""))
            shared.update({event_id for _, event_id in times[first:last]})
        return [i for i, n in shared.most_common() if 2 * n >= min(len(event.picks), self._n_picks[i])]


def _of_same_id(
    event: CatalogueEvent, parts: Parts, kept: Mapping[str, CatalogueEvent], time_scale: float
) -> list[str]:
    earlier = kept.get(parts.renamed.get(event.event_id, ""))
    if earlier is None or not (event.picks and earlier.picks):
        return []
    apart_s = abs(event.picks[0].time - earlier.picks[0].time)
    return [earlier.event_id] if apart_s <= SAME_ID_S / time_scale else []


def _with_id(event: CatalogueEvent, event_id: str) -> CatalogueEvent:
    return replace(event, event_id=event_id, picks=tuple(replace(pick, event_id=event_id) for pick in event.picks))


def _with_later_picks(first: CatalogueEvent, later: CatalogueEvent) -> CatalogueEvent:
    picks = {_key(pick): pick for pick in first.picks}
    for pick in later.picks:
        before = picks.get(_key(pick))
        if before is None or pick.usable or not before.usable:
            picks[_key(pick)] = pick
    return _with_id(replace(first, picks=tuple(sorted(picks.values(), key=lambda p: p.time.ns))), first.event_id)


def _key(pick: LabelledPick) -> tuple[str, str]:
    return pick.station_id, pick.phase
