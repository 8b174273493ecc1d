"""Pseudo-labels that several models agree on, and where they do not: the former teach, the latter are masked.

Self-training (Yarowsky 1995) with a committee as its own filter (tri-training, Zhou and Li 2005). A pick is kept where
most models pick it at nearly one time and an association supports it; everything else that any model sees near an event
becomes a doubtful pick, around which nothing is known.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace

from phaseno_peft.campaign import StationTable
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.labelling.associators import Associator, events_of
from phaseno_peft.labelling.coincidence import Coincidence
from phaseno_peft.labelling.doubt import Reading, readings
from phaseno_peft.picks import Pick, PickList

AGREEING = 0.75
"""Part of the models that must pick an arrival."""
APART_S = 0.15
"""Network's time: their picks lie no farther apart than this."""
AROUND_S = 30.0
"""Network's time: doubtful picks this near an event's picks are masked with it."""


def agreed_events(
    picks: Sequence[PickList],
    thresholds: Mapping[str, float],
    stations: StationTable,
    rule: Coincidence,
    time_scale: float = 1.0,
    associator: Associator = "coincidence",
) -> list[AssociatedEvent]:
    """Events of the picks that models [model] agree on, with what is doubtful around them as ambiguous, in time order.

    `picks` are made well below `thresholds`, so that what a model nearly picks counts as doubtful. Raises
    `PhasenoPeftError` where PyOcto is asked for and not installed.
    """
    found = readings(picks, thresholds, time_scale)
    needed = math.ceil(AGREEING * len(picks) - 1e-9)
    agreed = [_agreed(r) for r in found if r.votes >= needed and r.range_s * time_scale <= APART_S]
    events = events_of(PickList(agreed), stations, rule, associator)
    around_ns = round(1e9 * AROUND_S / time_scale)
    labels = {_key(pick) for event in events for pick in event.picks}
    doubtful = sorted((pick for r in found if _key(pick := _agreed(r)) not in labels), key=lambda pick: pick.time.ns)
    times_ns = [pick.time.ns for pick in doubtful]

    def around(event: AssociatedEvent) -> tuple[Pick, ...]:
        first = bisect_left(times_ns, event.picks[0].time.ns - around_ns)
        return tuple(doubtful[first : bisect_right(times_ns, event.picks[-1].time.ns + around_ns)])

    return [replace(event, ambiguous=around(event)) for event in events]


def _agreed(reading: Reading) -> Pick:
    """The pick at the median time of the models that have it."""
    return replace(reading.pick, time=reading.middle or reading.pick.time)


def _key(pick: Pick) -> tuple[str, str, int]:
    return pick.trace_id, pick.phase, pick.time.ns
