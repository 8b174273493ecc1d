"""Which of a teacher's picks may be taught: those that others support; the rest spoil the windows they are in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TAUGHT, AMBIGUOUS = 0.3, 0.1
"""Picks from the first probability on can be labels; between the second and the first they are always ambiguous."""
SP_S = (0.1, 20.0)
"""S after P on one station, for the two to support each other."""
SLOWEST_KM_S = (2.0, 1.1)
"""Slowest apparent velocity of P and S between two stations."""
SLACK_S = 0.5
FEWEST_STATIONS = 3


def supported(
    station: NDArray[np.intp],
    phase: NDArray[np.intp],
    time_s: NDArray[np.float64],
    probability: NDArray[np.float64],
    coordinates_km: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Which picks [pick] are labels: sure enough, and P and S agree on a station or at least three stations agree.

    P and S agree where the S is the first S within 20 s after the P and no other P lies between them. Stations agree
    where picks of one phase are within the travel time between the two places (at 2.0 km/s for P, 1.1 km/s for S, plus
    half a second). ``coordinates_km`` [station, 2].
    """
    sure = probability >= TAUGHT
    good = np.zeros(len(time_s), bool)
    for one in np.unique(station[sure]):
        p = np.flatnonzero(sure & (station == one) & (phase == 0))
        s = np.flatnonzero(sure & (station == one) & (phase == 1))
        p, s = p[np.argsort(time_s[p])], s[np.argsort(time_s[s])]
        for k, i in enumerate(p):
            until = time_s[p[k + 1]] if k + 1 < len(p) else np.inf
            after = s[(time_s[s] - time_s[i] >= SP_S[0]) & (time_s[s] - time_s[i] <= SP_S[1]) & (time_s[s] < until)]
            if len(after):
                good[[i, after[0]]] = True
    for j, slowest in enumerate(SLOWEST_KM_S):
        rows = np.flatnonzero(sure & (phase == j))
        rows = rows[np.argsort(time_s[rows])]
        if not len(rows):
            continue
        longest = float(np.ptp(coordinates_km, axis=0).max()) * 1.5 / slowest + SLACK_S
        first = np.searchsorted(time_s[rows], time_s[rows] - longest)
        last = np.searchsorted(time_s[rows], time_s[rows] + longest, side="right")
        for k, i in enumerate(rows):
            near = rows[first[k] : last[k]]
            apart_km = np.hypot(*(coordinates_km[station[near]] - coordinates_km[station[i]]).T)
            agrees = np.abs(time_s[near] - time_s[i]) <= apart_km / slowest + SLACK_S
            if len(np.unique(station[near[agrees]])) >= FEWEST_STATIONS:
                good[i] = True
    return good


def quiet_intervals(
    picks: Sequence[float], n_samples: int, before: float, after: float, shortest: int
) -> list[tuple[int, int]]:
    """Half-open intervals of samples that keep their distance from all picks (in samples), at least `shortest` long."""
    free, begin = [], 0
    for at in sorted(picks):
        if (end := int(min(n_samples, at - before))) - begin >= shortest:
            free.append((begin, end))
        begin = max(begin, int(np.ceil(at + after)))
    if n_samples - begin >= shortest:
        free.append((begin, n_samples))
    return free
