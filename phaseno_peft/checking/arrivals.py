"""The catalogue alone: S before P, events listed twice, events whose picks lie under each other's windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from phaseno_peft.campaign.catalog import Catalogue, CatalogueEvent
from phaseno_peft.campaign.findings import Finding

SAME_PICK_S = 0.3
"""Two analysts, or a machine and an analyst, put one arrival within this (real time)."""
SHARED_PICKS = 3
SHARED_PART = 0.6
"""Events are one where they share so many picks, and this part of the smaller one's."""
LONGEST_SLIP_S = 600.0
"""An S earlier than P by more is of another day or event, and no exchanged phase."""
NEIGHBOUR_S = 10.0
"""Only events whose first picks lie within this are compared."""


def arrival_findings(catalogue: Catalogue, window_s: float) -> list[Finding]:
    """Findings about the picks by themselves; `window_s` is the real length of one window."""
    return [
        *_s_before_p(catalogue),
        *_events_twice(catalogue),
        *_under_one_window(catalogue, window_s),
    ]


def short_event(event_id: str) -> str:
    """The last part of an event's id, which people know it by."""
    return event_id.rsplit("/", 1)[-1]


def _s_before_p(catalogue: Catalogue) -> Iterator[Finding]:
    for event in catalogue.events:
        arrivals = {(p.station_id, p.phase): p for p in event.picks if p.usable}
        for (station_id, phase), p in arrivals.items():
            s = arrivals.get((station_id, "S"))
            if phase == "P" and s is not None and s.time <= p.time:
                yield Finding(
                    "warning",
                    f"event {short_event(event.event_id)} on {station_id}: S is picked {p.time - s.time:.2f} s "
                    "before P.",
                    "S before P",
                    catalogue.source,
                    f"picks {p.number} and {s.number}, {station_id} {s.time}",
                    f"{s.time - p.time:+.2f} s",
                    "Exchange the two phases, or delete the wrong pick."
                    if p.time - s.time < LONGEST_SLIP_S
                    else "Correct the date of one of the two (around midnight?), or the number of the event.",
                )


def _events_twice(catalogue: Catalogue) -> Iterator[Finding]:
    events = sorted((e for e in catalogue.events if e.picks), key=lambda e: e.picks[0].time.ns)
    for i, first in enumerate(events):
        for second in events[i + 1 :]:
            if second.picks[0].time - first.picks[0].time > NEIGHBOUR_S:
                break
            shared = _shared(first, second)
            if shared >= max(SHARED_PICKS, SHARED_PART * min(len(first.picks), len(second.picks))):
                yield Finding(
                    "warning",
                    f"events {short_event(first.event_id)} and {short_event(second.event_id)} share {shared} picks: "
                    "one earthquake is listed twice.",
                    "duplicate event",
                    catalogue.source,
                    f"events {short_event(first.event_id)}, {short_event(second.event_id)} at {first.picks[0].time}",
                    f"{shared} picks",
                    "Delete one of the two.",
                )


def _shared(first: CatalogueEvent, second: CatalogueEvent) -> int:
    times = {(p.station_id, p.phase): p.time for p in first.picks}
    return sum(
        abs(p.time - times[p.station_id, p.phase]) < SAME_PICK_S
        for p in second.picks
        if (p.station_id, p.phase) in times
    )


def _under_one_window(catalogue: Catalogue, window_s: float) -> Iterator[Finding]:
    """Catalogued neighbours: both are labelled, which is well, but scores and splits should know."""
    events = sorted((e for e in catalogue.events if e.picks), key=lambda e: e.picks[0].time.ns)
    near = _pairs_within(events, window_s)
    if near:
        first, second = near[0]
        pairs = "1 pair" if len(near) == 1 else f"{len(near)} pairs"
        yield Finding(
            "note",
            f"{pairs} of catalogued events lie within one window of {window_s:g} s, the first "
            f"{short_event(first.event_id)} and {short_event(second.event_id)}; both are labelled there.",
            "catalogued neighbours",
            catalogue.source,
            f"{first.picks[0].time}",
            pairs,
        )


def _pairs_within(events: Sequence[CatalogueEvent], window_s: float) -> list[tuple[CatalogueEvent, CatalogueEvent]]:
    pairs = []
    for i, first in enumerate(events):
        for second in events[i + 1 :]:
            if second.picks[0].time - first.picks[0].time > window_s:
                break
            pairs.append((first, second))
    return pairs
