"""How much an analyst's word on an arrival would teach: where several models differ, and where one is undecided.

Query by committee (Seung et al. 1992) and uncertainty sampling (Lewis and Gale 1994), on picks in place of classes. The
committee is what there is: the adapter, the frozen network, and the adapters of the folds where they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from obspy import UTCDateTime

from phaseno_peft.picks import Pick, PickList

MATCH_S, FAR_S = 0.5, 0.2
"""Network's time: picks of several models this close are one arrival; times this far apart are full disagreement."""
WEAKEST = 0.3
"""What a model sees from this part of its threshold on is looked at: no pick, and no noise either."""
RECORD_WINDOWS = 3
"""Length of an event's record in windows of the network: the event in the middle one, noise and coda around it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One arrival as several models see it; the first of them is the one whose picks an analyst corrects."""

    pick: Pick
    """The first model's; of the one that is surest where that has none."""
    is_pick: bool
    """The first model picks it at its own threshold."""
    undecided: float
    """1 where the first model is at its threshold, 0 where it is sure of a pick or of none."""
    differing: float
    """1 where one model is sure of a pick and another of none, or their times lie `FAR_S` apart; 0 where all agree."""

    votes: int = 1
    """Models that pick it at the threshold."""
    range_s: float = 0.0
    """Latest minus earliest time of their picks, real seconds."""
    middle: UTCDateTime | None = None
    """Median time of their picks; None without any."""

    @property
    def doubt(self) -> float:
        """Undecided or differing, as probabilities that add to one another."""
        return 1.0 - (1.0 - self.undecided) * (1.0 - self.differing)


def readings(picks: Sequence[PickList], thresholds: Mapping[str, float], time_scale: float = 1.0) -> list[Reading]:
    """Arrivals of all models' picks, in time order; picks [model], made at thresholds well below `thresholds`.

    Picks of one station and phase follow each other into one arrival while less than `MATCH_S` lies between them.
    """
    of: dict[tuple[str, str], list[tuple[Pick, int]]] = {}
    for model, own in enumerate(picks):
        for pick in own:
            of.setdefault((pick.trace_id, pick.phase), []).append((pick, model))
    found: list[Reading] = []
    for (_, phase), members in of.items():
        members.sort(key=lambda member: member[0].time.ns)
        group: list[tuple[Pick, int]] = []
        for member in members:
            if group and member[0].time - group[-1][0].time > MATCH_S / time_scale:
                found.append(_reading(group, len(picks), thresholds[phase], time_scale))
                group = []
            group.append(member)
        found.append(_reading(group, len(picks), thresholds[phase], time_scale))
    return sorted(found, key=lambda reading: (reading.pick.time.ns, reading.pick.trace_id, reading.pick.phase))


def certainty(height: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Probabilities of picks on a scale where the threshold lies at 0.5, a certain pick at 1 and no peak at 0."""
    low, high = max(threshold, 1e-6), max(1.0 - threshold, 1e-6)
    return np.where(height < low, 0.5 * height / low, 0.5 + 0.5 * (height - low) / high)


def _reading(group: Sequence[tuple[Pick, int]], n_models: int, threshold: float, time_scale: float) -> Reading:
    best: dict[int, Pick] = {}
    for pick, model in group:
        if model not in best or pick.probability > best[model].probability:
            best[model] = pick
    heights = np.zeros(n_models)
    for model, pick in best.items():
        heights[model] = pick.probability
    sure = certainty(heights, threshold)
    seconds = np.array([pick.time - group[0][0].time for pick in best.values()]) * time_scale
    apart = min(1.0, float(np.ptp(seconds)) / FAR_S) * float(sure.max())
    shown = best.get(0) or max(best.values(), key=lambda pick: pick.probability)
    voting = [pick for model, pick in best.items() if heights[model] >= threshold]
    times_s = [pick.time - shown.time for pick in voting]
    return Reading(
        pick=shown,
        is_pick=bool(0 in best and best[0].probability >= threshold),
        undecided=float(4.0 * sure[0] * (1.0 - sure[0])),
        differing=max(float(np.ptp(sure)), apart),
        votes=len(voting),
        range_s=float(np.ptp(times_s)) if times_s else 0.0,
        middle=shown.time + float(np.median(times_s)) if times_s else None,
    )
