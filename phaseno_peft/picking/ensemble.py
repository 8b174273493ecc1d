"""The folds' adapters as one: their mean curve makes the picks, and how far theirs lie apart is told of each.

Averaging what was trained on parts of the data lowers the variance of a prediction (bagging, Breiman 1996); the spread
of the members is a second uncertainty, beside the width of the peak (deep ensembles, Lakshminarayanan et al. 2017).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from phaseno_peft.contract import PHASES
from phaseno_peft.cr_lora import ResidentAdapter
from phaseno_peft.picks import Pick

WEAKEST_MEMBER = 0.3
"""A member's peak counts from this part of the threshold on."""
MATCH_S = 0.5
"""Network's time: a member's pick this close to the ensemble's is the same arrival."""


def as_ensemble(adapter: ResidentAdapter, members: Sequence[ResidentAdapter]) -> ResidentAdapter:
    """The adapter with members whose mean takes its place. Its picks are moved by the mean of their shifts."""
    contract = adapter.contract
    if contract is not None:
        own = [one.contract.pick_shift_s for one in members if one.contract is not None]
        shift_s = {phase: float(np.mean([each[phase] for each in own])) for phase in PHASES}
        contract = replace(contract, pick_shift_s=shift_s)
    return replace(adapter, contract=contract, members=tuple(members))


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
