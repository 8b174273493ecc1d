"""Which pick belongs to which label: one to one, nearest pair first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.errors import PhasenoPeftError

ROUNDING_S = 1e-9
"""Added to every tolerance, so that 0.5 s apart is within 0.5 s whatever the last bit of the times says."""


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs (pick, label) of indices in order of the labels' indices, and the indices left over on either side."""

    pairs: tuple[tuple[int, int], ...]
    unmatched_picks: tuple[int, ...]
    unmatched_labels: tuple[int, ...]


def match(
    picks_s: Sequence[float] | NDArray[np.floating],
    labels_s: Sequence[float] | NDArray[np.floating],
    tolerance_s: float,
) -> Matching:
    """Return the one-to-one pairs of picks [pick] and labels [label] at most `tolerance_s` apart, in any order.

    Greedy: the pair with the smallest |pick - label| first, then the next among those still free; of equal ones the
    earlier label, then the earlier pick. Greedy rather than the assignment with the most pairs, for two reasons: a
    label is never taken from its nearest pick to save another, and the pairs at a small tolerance are exactly the close
    ones among the pairs at a large tolerance, so one matching serves every tolerance below it. Raises
    `PhasenoPeftError` for a negative tolerance.
    """
    if not tolerance_s >= 0:
        raise PhasenoPeftError(f"`tolerance_s` should be 0 or more but is {tolerance_s}.")
    picks, labels = np.asarray(picks_s, dtype=np.float64), np.asarray(labels_s, dtype=np.float64)
    order = np.argsort(picks, kind="stable")
    reach = tolerance_s + ROUNDING_S
    first = np.searchsorted(picks[order], labels - reach, side="left")
    last = np.searchsorted(picks[order], labels + reach, side="right")
    candidates = sorted(
        (abs(picks[pick] - labels[label]), labels[label], picks[pick], int(label), int(pick))
        for label in range(len(labels))
        for pick in order[first[label] : last[label]]
    )
    pick_of: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, _, label, pick in candidates:
        if label not in pick_of and pick not in taken:
            pick_of[label] = pick
            taken.add(pick)
    return Matching(
        pairs=tuple((pick_of[label], label) for label in sorted(pick_of)),
        unmatched_picks=tuple(i for i in range(len(picks)) if i not in taken),
        unmatched_labels=tuple(i for i in range(len(labels)) if i not in pick_of),
    )
