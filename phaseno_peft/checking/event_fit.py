"""Where the picks of one event put it: least absolute deviations in a half-space, which a few bad picks do not pull."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick

FEWEST_PICKS, FEWEST_STATIONS = 6, 4
"""Place, time and one spare pick: with fewer, every pick can be explained."""
FAR_PART = 0.1
"""A half-space is no better model of the ground than this part of a travel time."""
MIXED_PART = 0.3
"""Where so many of an event's picks are off, the event is at fault and not each pick."""
_GRID = 11
_ZOOMS = 6
_ZOOM = 0.45


@dataclass(frozen=True)
class TimedPick:
    """One pick beside the fit."""

    pick: LabelledPick
    distance_km: float
    """From the fitted place, slant."""
    travel_s: float
    """As the half-space says, without the station's term."""
    observed_s: float
    """After the fitted origin time."""
    residual_s: float
    """Pick minus half-space and station term."""
    is_outlier: bool = False

    @property
    def raw_residual_s(self) -> float:
        """Pick minus half-space."""
        return self.observed_s - self.travel_s


@dataclass(frozen=True)
class Located:
    """An event where its picks put it; a rough place, good for directions and distances in the network only."""

    event_id: str
    place_km: np.ndarray
    """(east, north, down) in the frame of `places_km`."""
    picks: tuple[TimedPick, ...]

    @property
    def is_mixed(self) -> bool:
        """So many picks are off that no single place explains the event."""
        return sum(t.is_outlier for t in self.picks) > MIXED_PART * len(self.picks)


def usable_picks(event: CatalogueEvent, places: Mapping[str, np.ndarray]) -> list[LabelledPick]:
    """Picks on stations with coordinates; not those of a station where S comes before P, which is told by itself."""
    picks = [p for p in event.picks if p.usable and p.station_id in places]
    times = {(p.station_id, p.phase): p.time for p in picks}
    return [
        p
        for p in picks
        if (p.station_id, "P") not in times
        or (p.station_id, "S") not in times
        or times[p.station_id, "P"] < times[p.station_id, "S"]
    ]


def are_enough(picks: Sequence[LabelledPick]) -> bool:
    """True for picks that can contradict a place: `FEWEST_PICKS` on `FEWEST_STATIONS`."""
    return len(picks) >= FEWEST_PICKS and len({p.station_id for p in picks}) >= FEWEST_STATIONS


@dataclass(frozen=True)
class EventProblem:
    """One event's picks as arrays [pick]."""

    places_km: np.ndarray  # [pick, 3]
    slowness_s_km: np.ndarray
    times_s: np.ndarray
    weights: np.ndarray
    sp_places_km: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    sp_times_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Of stations whose clock is doubted only S - P counts."""

    def without(self, picks: Sequence[LabelledPick], doubted: set[str]) -> EventProblem:
        """The problem with only S - P of the doubted stations; all of it where too little would be left."""
        trusted = np.array([p.station_id not in doubted for p in picks])
        if trusted.all() or trusted.sum() < FEWEST_STATIONS:
            return self
        index = {(p.station_id, p.phase): k for k, p in enumerate(picks)}
        pairs = [
            (k, index[i, "S"]) for (i, phase), k in index.items() if phase == "P" and i in doubted and (i, "S") in index
        ]
        return EventProblem(
            self.places_km[trusted],
            self.slowness_s_km[trusted],
            self.times_s[trusted],
            self.weights[trusted],
            np.array([self.places_km[p] for p, _ in pairs]).reshape(-1, 3),
            np.array([self.times_s[s] - self.times_s[p] for p, s in pairs]),
        )


def event_problem(
    picks: Sequence[LabelledPick],
    places: Mapping[str, np.ndarray],
    speed_km_s: float,
    ratio: float,
    terms: Mapping[tuple[str, str], float] | None = None,
) -> EventProblem:
    """The arrays of an event's picks, with the `terms` (s) of station and phase taken off their times."""
    is_s = np.array([p.phase == "S" for p in picks])
    shift = np.array([(terms or {}).get((p.station_id, p.phase), 0.0) for p in picks])
    return EventProblem(
        np.stack([places[p.station_id] for p in picks]),
        np.where(is_s, ratio, 1.0) / speed_km_s,
        np.array([p.time - picks[0].time for p in picks]) - shift,
        np.where(is_s, 1.0 / ratio, 1.0),
    )


def locate(problem: EventProblem, reach_km: float, zooms: int = _ZOOMS) -> tuple[np.ndarray, float]:
    """(place in km, mean absolute misfit in s) of least absolute deviations, by a grid that narrows around its best."""
    is_s = problem.weights < 1.0
    spread_s = float(np.ptp(problem.times_s))
    # S - P bounds the distance, whatever the network's size
    far_km = max(1.5 * reach_km, 1.2 * spread_s / max(float(np.ptp(problem.slowness_s_km)), 0.05) if is_s.any() else 0)
    centre = np.array([*np.median(problem.places_km[:, :2], axis=0), 0.5 * far_km])
    half = np.array([far_km, far_km, 0.5 * far_km])
    best, cost = centre, np.inf
    for _ in range(zooms):
        axes = [np.linspace(c - h, c + h, _GRID) for c, h in zip(centre, half, strict=True)]
        axes[2] = axes[2][axes[2] >= 0]
        delay = problem.times_s - _distances(axes, problem.places_km) * problem.slowness_s_km
        delay -= np.median(delay, axis=1, keepdims=True)
        misfit = np.abs(delay, out=delay) @ problem.weights / problem.weights.sum()
        if len(problem.sp_times_s):
            apart = _distances(axes, problem.sp_places_km) * np.ptp(problem.slowness_s_km)
            misfit += np.abs(problem.sp_times_s - apart).sum(axis=1) / problem.weights.sum()
        k = int(np.argmin(misfit))
        if misfit[k] < cost:
            at = np.unravel_index(k, [len(axis) for axis in axes])
            best, cost = np.array([axis[i] for axis, i in zip(axes, at, strict=True)]), float(misfit[k])
        centre, half = best, half * _ZOOM
    return best, cost


def _distances(axes: Sequence[np.ndarray], places_km: np.ndarray) -> np.ndarray:
    """[node, place] from every node of a grid to every place."""
    x, y, z = (np.square(axis[:, None] - places_km[:, c]) for c, axis in enumerate(axes))
    squares = x[:, None, None] + y[None, :, None] + z[None, None, :]
    return np.asarray(np.sqrt(squares).reshape(-1, len(places_km)))


def located_event(
    event: CatalogueEvent,
    picks: Sequence[LabelledPick],
    places: Mapping[str, np.ndarray],
    speed_km_s: float,
    ratio: float,
    reach_km: float,
    terms: Mapping[tuple[str, str], float],
    doubted: set[str],
) -> Located:
    """The event where its picks put it, without the picks of `doubted` stations, and all its picks beside the fit."""
    problem = event_problem(picks, places, speed_km_s, ratio, terms)
    reduced = problem.without(picks, doubted)
    place, _ = locate(reduced, reach_km)
    distances = np.linalg.norm(place - problem.places_km, axis=1)
    travel = distances * problem.slowness_s_km
    delay = problem.times_s - travel
    trusted = reduced.times_s - np.linalg.norm(place - reduced.places_km, axis=1) * reduced.slowness_s_km
    origin = float(np.median(trusted))
    timed = [
        TimedPick(p, float(d), float(t), p.time - picks[0].time - origin, float(r))
        for p, d, t, r in zip(picks, distances, travel, delay - origin, strict=True)
    ]
    return Located(event.event_id, place, tuple(timed))
