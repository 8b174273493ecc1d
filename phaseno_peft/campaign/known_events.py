"""Events that an adapter has seen, recognised by when they were picked, whatever they and their stations are called."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from phaseno_peft.campaign.stretch import Stretch

BIN_S = 2
"""Arrival times are told to this. A digest tells less than a time to the eye, but whoever tries all times finds it."""
DIGITS = 12
"""Hexadecimal digits of a digest: 48 bits tell the 2 s of a century apart."""
SHARE = 0.5
"""Part of an event's picks that lie, to 2 s, where picks lay that were seen."""


def pick_times_sha256(stretches: Sequence[Stretch]) -> list[str]:
    """Return the digests, sorted, of the times of all usable picks, to 2 s: what a contract keeps of its events."""
    return sorted({_digest(time) for times in _pick_times(stretches).values() for time in times})


def known_events(stretches: Sequence[Stretch], seen_sha256: Collection[str]) -> frozenset[str]:
    """Return the ids of the events at least half of whose picks lie within 2 s of picks behind `seen_sha256`."""
    seen = frozenset(seen_sha256)
    if not seen:
        return frozenset()
    return frozenset(
        event_id
        for event_id, times in _pick_times(stretches).items()
        if sum(any(_digest(time + k) in seen for k in (-1, 0, 1)) for time in times) >= SHARE * len(times)
    )


def _pick_times(stretches: Sequence[Stretch]) -> dict[str, list[int]]:
    """Event id -> times of its usable picks, in bins."""
    times: dict[str, list[int]] = {}
    for stretch in stretches:
        for pick in stretch.picks:
            if pick.usable:
                times.setdefault(pick.event_id, []).append(pick.time.ns // (BIN_S * 10**9))
    return times


def _digest(time: int) -> str:
    return hashlib.sha256(str(time).encode()).hexdigest()[:DIGITS]
