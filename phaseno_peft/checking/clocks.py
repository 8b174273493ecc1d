"""Stations whose clock is off: their P and S lie off the move-out by the same time, always or for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phaseno_peft.checking.event_fit import FAR_PART, Located, TimedPick

CLOCK_S = 0.3
"""Smaller common shifts of P and S are what the ground below a station does."""
CLOCK_EVENTS = 4
CLOCK_AGREE = 0.25
"""A clock shifts P and S alike; slow ground shifts S by nearly twice as much."""
CLOCK_P_ALONE = 3.0
"""Where S is hardly picked, P must be off by so many times the largest shift of any other station."""


@dataclass(frozen=True)
class Clock:
    """A station whose P and S are shifted alike in several events."""

    station_id: str
    offset_s: float
    """Positive: its picks are late."""
    event_ids: tuple[str, ...]
    of_events: int
    """Events of this station that were looked at."""
    by_s: int
    """Events in which S says the same as P."""


def shifted_clocks(
    events: Sequence[Located], sigma: Mapping[str, float], terms: Mapping[tuple[str, str], float]
) -> Iterator[Clock]:
    """Stations whose P and S lie off by the same time in several events, always or for a while."""
    shifts: dict[str, list[tuple[str, float, bool]]] = {}
    for event in events:
        by_station: dict[str, dict[str, TimedPick]] = {}
        for t in event.picks:
            by_station.setdefault(t.pick.station_id, {})[t.pick.phase] = t
        for station_id, both in by_station.items():
            if "P" not in both:
                continue
            p = both["P"].raw_residual_s
            s = both["S"].raw_residual_s if "S" in both else p
            shift = 0.5 * (p + s)
            limit = max(CLOCK_S, 5 * max(sigma.values()), FAR_PART * both["P"].travel_s)
            alike = abs(s - p) < max(CLOCK_AGREE * abs(shift), 0.1)
            shifts.setdefault(station_id, []).append(
                (event.event_id, shift if abs(shift) > limit and alike else 0.0, "S" in both)
            )
    for station_id, found in sorted(shifts.items()):
        off = [shift for _, shift, _ in found if shift]
        if len(off) < CLOCK_EVENTS:
            continue
        middle = float(np.median(off))
        near = [(e, has_s) for e, shift, has_s in found if shift and abs(shift - middle) < CLOCK_AGREE * abs(middle)]
        by_s = sum(has_s for _, has_s in near)
        others = max(
            (abs(term) for (other, phase), term in terms.items() if other != station_id and phase == "P"), default=0.0
        )
        if len(near) < max(CLOCK_EVENTS, 0.6 * len(off)) or (by_s < 2 and abs(middle) < CLOCK_P_ALONE * others):
            continue
        yield Clock(station_id, middle, tuple(e for e, _ in near), len(found), by_s)
