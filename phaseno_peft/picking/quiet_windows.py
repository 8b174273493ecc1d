"""Windows in which nothing arrives need no operator: the stem has heard every station already.

A window is quiet where no station's curve is high by itself and no two fit one event: P and S of a station, or the same
phase at two stations no further apart in time than a wave takes between them. This is asked of every station and those
whose messages reach it, so that the answer for one part of a wide network does not hang on another. The levels were
chosen on simulated networks and on records of noise, none of them a campaign that adapters are judged on.
`benchmarks.quiet_windows` counts the windows that are skipped and the picks that are lost.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.contract import KM_PER_UNIT, MESSAGE_HOPS, Preprocessing
from phaseno_peft.errors import PhasenoPeftError

Gate = Literal["auto", "off"]
"""auto: stations that are not among the `loud_stations` of a window are not picked in it. off: all are."""
ALONE = 0.3
"""A stem's curve that reaches this may be an arrival, whatever the others hear."""
TOGETHER = 0.01
"""Two curves that fit one event may be arrivals where the product of their peaks reaches this."""
LOWEST_PEAK = TOGETHER / ALONE
"""Peaks below are not looked at: with another below `ALONE` they cannot reach `TOGETHER`."""
LOWEST_THRESHOLD = 0.4
"""Where weaker picks are asked for, every window is picked: the rule was chosen for thresholds of 0.4 and more."""
SLOWEST_KM_S = (2.55, 1.5)
"""Apparent velocities of P and S, below those of crystalline and most sedimentary rock."""
SLACK_S = 1.0
"""By which two stations may differ beyond that: errors of places, times and structure."""
S_MINUS_P_S = (0.3, 12.0)
"""Of an event within some 100 km."""
BIN_S = 0.1
"""Curves are looked at as their maxima of so many seconds."""
MOST_PEAKS = 1000
"""A window with more of them is not quiet, and its million of pairs is not looked at."""


def weakest_pick(gate: Gate, thresholds: Mapping[str, float], given: Mapping[str, float | None]) -> float | None:
    """The lowest threshold in force, for windows to be left out; None where none shall be.

    given: phase -> threshold instead of the one in `thresholds`, or None. Raises `PhasenoPeftError` for another gate.
    """
    if gate not in ("auto", "off"):
        raise PhasenoPeftError(f"`gate` should be 'auto' or 'off' but is {gate!r}.")
    levels = [thresholds[phase] if (level := given.get(phase)) is None else level for phase in thresholds]
    return None if gate == "off" else min(levels)


def loud_stations(
    curves: NDArray[np.floating], coordinates: NDArray[np.floating], edge_limit_km: float
) -> NDArray[np.bool_]:
    """[station] False where the operator would find no pick at a station: all whose messages reach it are quiet.

    curves, coordinates: as for `is_quiet`.
    """
    n = len(curves)
    if is_quiet(curves, coordinates):
        return np.zeros(n, np.bool_)
    loud = np.ones(n, np.bool_)
    heard, which = np.unique(reached(coordinates, edge_limit_km), axis=0, return_inverse=True)
    for number, members in enumerate(heard if len(heard) > 1 else ()):
        if is_quiet(curves[members], coordinates[members]):
            loud[which == number] = False
    return loud


def reached(coordinates: NDArray[np.floating], edge_limit_km: float) -> NDArray[np.bool_]:
    """[station, other] True where the messages of one come to the other, over `MESSAGE_HOPS` edges at most."""
    places = np.ascontiguousarray(coordinates, np.float64)
    return _reached(places.tobytes(), edge_limit_km)


@functools.lru_cache(maxsize=64)
def _reached(places: bytes, edge_limit_km: float) -> NDArray[np.bool_]:
    """`reached` of coordinates as bytes: neighbouring windows have the same."""
    xy = np.frombuffer(places).reshape(-1, 2)
    apart = np.hypot(*np.moveaxis(xy[:, None] - xy[None], -1, 0))
    near = (apart <= edge_limit_km / KM_PER_UNIT).astype(np.float32)
    within = np.eye(len(xy), dtype=np.bool_)
    for _ in range(MESSAGE_HOPS):
        further = within.astype(np.float32) @ near > 0
        if (further == within).all():
            break
        within = further
    within.flags.writeable = False
    return within


def is_quiet(curves: NDArray[np.floating], coordinates: NDArray[np.floating]) -> bool:
    """True where the operator would find no pick in a window.

    curves: the stem's probabilities [station, 2 (P, S), sample] at the network's rate. coordinates: [station, 2] in the
    network's units.
    """
    size = round(BIN_S * Preprocessing().network_rate_hz)
    n, phases, samples = curves.shape
    padded = np.pad(curves, ((0, 0), (0, 0), (0, -samples % size)))
    level = padded.reshape(n, phases, -1, size).max(-1)
    if not level.max() < ALONE:  # NaN is not quiet either
        return False
    before, after = np.pad(level, ((0, 0), (0, 0), (1, 0)))[..., :-1], np.pad(level, ((0, 0), (0, 0), (0, 1)))[..., 1:]
    station, phase, place = np.nonzero((level >= LOWEST_PEAK) & (level >= before) & (level > after))
    if len(station) > MOST_PEAKS:
        return False
    time_s, height = place * BIN_S, level[station, phase, place]
    later_s = time_s[None] - time_s[:, None]  # [one, other]: by which the other is later
    same_station = station[None] == station[:, None]
    between = coordinates[station][None] - coordinates[station][:, None]
    travel_s = KM_PER_UNIT * np.hypot(between[..., 0], between[..., 1]) / np.asarray(SLOWEST_KM_S)[phase] + SLACK_S
    p_then_s = same_station & (phase[:, None] == 0) & (phase[None] == 1)
    p_then_s &= (later_s >= S_MINUS_P_S[0] - BIN_S / 2) & (later_s <= S_MINUS_P_S[1] + BIN_S / 2)
    one_wave = ~same_station & (phase[None] == phase[:, None]) & (np.abs(later_s) <= travel_s + BIN_S / 2)
    return not bool((np.outer(height, height)[p_then_s | one_wave] >= TOGETHER).any())
