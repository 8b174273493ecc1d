"""Picks of events in a homogeneous space, at eight stations on a plain at the equator."""

from __future__ import annotations

import math

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign import Station, StationTable
from phaseno_peft.events import AssociatedEvent
from phaseno_peft.picks import Pick

T0 = UTCDateTime(2024, 5, 1)
VP, VS = 5.0, 2.8
KM = 111.195
PLACES = {
    "A": (0.0, 0.0),
    "B": (10.0, 0.0),
    "C": (0.0, 10.0),
    "D": (-10.0, -5.0),
    "E": (12.0, 12.0),
    "F": (-8.0, 9.0),
    "G": (4.0, -9.0),
    "H": (9.0, 6.0),
}
"""Station -> km east and north of 0, 0."""
CODES = "".join(PLACES)


def table(codes: str = CODES) -> StationTable:
    return StationTable([Station(f"XX.{c}.", PLACES[c][1] / KM, PLACES[c][0] / KM, 0.0) for c in codes], source="table")


def pick(code: str, phase: str, time_s: float) -> Pick:
    return Pick(f"XX.{code}.", phase, T0 + time_s, 0.8, 0.05)


def arrivals(origin_s: float, place: tuple[float, float, float], codes: str = CODES) -> list[Pick]:
    """P and S at every station of an event at km east, north, down."""
    picks = []
    for code in codes:
        km = math.dist((*PLACES[code], 0.0), place)
        picks += [pick(code, "P", origin_s + km / VP), pick(code, "S", origin_s + km / VS)]
    return sorted(picks, key=lambda p: p.time.ns)


def places(n: int) -> list[tuple[float, float, float]]:
    rng = np.random.default_rng(3)
    return [(float(rng.uniform(-8, 8)), float(rng.uniform(-6, 8)), float(rng.uniform(3, 9))) for _ in range(n)]


def events(n: int, codes: str = CODES) -> list[AssociatedEvent]:
    """An event every 100 s, with the place it has."""
    return [
        AssociatedEvent(
            tuple(arrivals(100.0 * k, place, codes)),
            (),
            T0 + 100.0 * k,
            place[1] / KM,
            place[0] / KM,
            1000.0 * place[2],
            is_located=True,
        )
        for k, place in enumerate(places(n))
    ]
