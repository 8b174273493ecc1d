"""The folds' adapters as one: their mean curve makes the picks, and how far theirs lie apart is told of each.

Adapters whose picks are moved by different constant shifts have their curves apart by as much; before the mean each is
put where the shift of the adapter they stand for finds it.

Averaging what was trained on parts of the data lowers the variance of a prediction (bagging, Breiman 1996); the spread
of the members is a second uncertainty, beside the width of the peak (deep ensembles, Lakshminarayanan et al. 2017).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.contract import NO_SHIFT_S, PHASES
from phaseno_peft.cr_lora import ResidentAdapter
from phaseno_peft.picks import Pick

WEAKEST_MEMBER = 0.3
"""A member's peak counts from this part of the threshold on."""
MATCH_S = 0.5
"""Network's time: a member's pick this close to the ensemble's is the same arrival."""


def shift_s(adapter: ResidentAdapter) -> Mapping[str, float]:
    """Phase -> pick given out minus place on the adapter's curve, real seconds."""
    return NO_SHIFT_S if adapter.contract is None else adapter.contract.pick_shift_s


def moved_curves(probabilities: NDArray[np.float32], by_s: Mapping[str, float], rate_hz: float) -> NDArray[np.float32]:
    """Curves [station, 2 (P, S), sample] so much later, by phase, in real seconds; the ends go on level."""
    if not any(by_s.values()):
        return probabilities
    moved = probabilities.copy()
    samples = np.arange(probabilities.shape[-1], dtype=float)
    for row, phase in enumerate(PHASES):
        for station, curve in enumerate(probabilities[:, row]):
            moved[station, row] = np.interp(samples - by_s[phase] * rate_hz, samples, curve)
    return moved


def with_spread(picks: Iterable[Pick], of_members: Sequence[Sequence[Pick]], within_s: float) -> list[Pick]:
    """Picks with the standard deviation of the members' times; NaN where fewer than two have the arrival."""
    times: list[dict[tuple[str, str], list[int]]] = []
    for own in of_members:
        ns: dict[tuple[str, str], list[int]] = {}
        for pick in sorted(own, key=lambda pick: pick.time.ns):
            ns.setdefault((pick.trace_id, pick.phase), []).append(pick.time.ns)
        times.append(ns)
    reach_ns = round(within_s * 1e9)
    found = []
    for pick in picks:
        apart_s = []
        for ns in times:
            there = ns.get((pick.trace_id, pick.phase), [])
            near = there[bisect_left(there, pick.time.ns - reach_ns) : bisect_right(there, pick.time.ns + reach_ns)]
            if near:
                apart_s.append(min((t - pick.time.ns for t in near), key=abs) * 1e-9)
        found.append(replace(pick, spread_s=float(np.std(apart_s, ddof=1)) if len(apart_s) > 1 else float("nan")))
    return found
