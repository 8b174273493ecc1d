"""Do the picks of each event lie on one move-out? A robust half-space, fitted to the picks alone.

The catalogue's origins are not used: each event's place and origin time, one velocity of P and one Vp/Vs of the
campaign, and a constant term of each station and phase are found from the picks by least absolute deviations (grid
search, then refined), so that a few bad picks do not pull the fit. What then lies far off is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick
from phaseno_peft.campaign.findings import Finding

FEWEST_PICKS, FEWEST_STATIONS = 6, 4
"""Place, time and one spare pick: with fewer, every pick can be explained."""
SPEEDS_KM_S = np.array([1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 8.0])
USUAL_RATIO = 1.75
RATIO_RANGE = (1.4, 2.6)
"""Vp/Vs from dry gas sands to soft wet sediments."""
MOST_EVENTS_FOR_SPEED = 25
FAR_SIGMAS = 6.0
FAR_S = 0.3
"""A pick is off only where it is more than this, `FAR_SIGMAS` robust standard deviations (of all residuals, and of its
station's own) and"""
FAR_PART = 0.1
"""this part of its travel time off: a half-space is no better model of the ground than that."""
MIXED_PART = 0.3
"""Where so many of an event's picks are off, the event is at fault and not each pick."""
CLOCK_S = 0.3
"""Smaller common shifts of P and S are what the ground below a station does."""
CLOCK_EVENTS = 4
CLOCK_AGREE = 0.25
"""A clock shifts P and S alike; slow ground shifts S by nearly twice as much."""
CLOCK_P_ALONE = 3.0
"""Where S is hardly picked, P must be off by so many times the largest shift of any other station."""
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


@dataclass(frozen=True)
class MoveOut:
    """The fit of all events that have picks enough."""

    speed_km_s: float = np.nan
    ratio: float = USUAL_RATIO
    sigma_s: Mapping[str, float] = field(default_factory=dict)
    """Robust standard deviation of the residuals of P and S."""
    events: tuple[Located, ...] = ()
    clocks: tuple[Clock, ...] = ()

    @property
    def outliers(self) -> tuple[TimedPick, ...]:
        """Picks off the move-out that no clock explains."""
        return tuple(t for e in self.events if not e.is_mixed for t in e.picks if t.is_outlier)


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


def fit_moveout(events: Sequence[CatalogueEvent], places: Mapping[str, np.ndarray]) -> MoveOut:
    """Fit all events with six usable picks on four of the stations in `places` (km east, north, down)."""
    fitted = [(e, picks) for e in events if _enough(picks := _usable(e, places))]
    if not fitted:
        return MoveOut()
    ratio = _speed_ratio([picks for _, picks in fitted])
    reach_km = _reach(places)
    speed = _speed([picks for _, picks in fitted], places, ratio, reach_km, set())
    located, terms = _with_terms(fitted, places, speed, ratio, reach_km, set())
    sigma = _sigma(located)
    clocks = tuple(_clocks(located, sigma, terms))
    if clocks:  # again without them, so that they pull at nothing and their shift is seen whole
        doubted = {c.station_id for c in clocks}
        speed = _speed([picks for _, picks in fitted], places, ratio, reach_km, doubted)
        located, terms = _with_terms(fitted, places, speed, ratio, reach_km, doubted)
        sigma = _sigma(located)
        clocks = tuple(c for c in _clocks(located, sigma, terms) if c.station_id in doubted)
    shifted = {(c.station_id, event_id) for c in clocks for event_id in c.event_ids}
    own: dict[tuple[str, str], list[float]] = {}
    for t in (t for e in located for t in e.picks):
        own.setdefault((t.pick.station_id, t.pick.phase), []).append(abs(t.residual_s))
    spread = {key: 1.4826 * float(np.median(r)) for key, r in own.items() if len(r) >= 4}
    marked = []
    for e in located:
        timed = []
        for t in e.picks:
            sigmas = max(sigma[t.pick.phase], spread.get((t.pick.station_id, t.pick.phase), 0.0))
            is_off = abs(t.residual_s) > max(FAR_S, FAR_SIGMAS * sigmas, FAR_PART * t.travel_s)
            timed.append(replace(t, is_outlier=is_off and (t.pick.station_id, e.event_id) not in shifted))
        marked.append(replace(e, picks=tuple(timed)))
    return MoveOut(speed, ratio, sigma, tuple(marked), clocks)


def moveout_findings(fit: MoveOut, source: str) -> list[Finding]:
    """Clocks that are off, and single picks that are."""
    findings = []
    for c in fit.clocks:
        late = f"{abs(c.offset_s):.2f} s {'late' if c.offset_s > 0 else 'early'}"
        said = f"P and S are {late} alike" if c.by_s else f"P is {late} (S, which would confirm it, is not picked)"
        findings.append(
            Finding(
                "warning",
                f"{c.station_id}: {said} in {len(c.event_ids)} of {c.of_events} events, as with a clock that is off"
                f"{'' if c.by_s else ' or wrong coordinates'}.",
                "clock offset",
                source,
                c.station_id,
                f"{c.offset_s:+.2f} s",
                f"Look into the station's timing log from event {_short(c.event_ids[0])} on and correct the start "
                "times of its traces and its picks together, or leave the station out.",
            )
        )
    for e in fit.events:
        if e.is_mixed:
            off = [t for t in e.picks if t.is_outlier]
            findings.append(
                Finding(
                    "warning",
                    f"{len(off)} of the {len(e.picks)} picks of event {_short(e.event_id)} lie on no common move-out.",
                    "off the move-out",
                    source,
                    f"event {_short(e.event_id)}",
                    f"{len(off)} picks",
                    "It may hold picks of two events, or triggers on noise: look at its records.",
                )
            )
    for t in sorted(fit.outliers, key=lambda t: -abs(t.residual_s)):
        findings.append(
            Finding(
                "warning",
                f"{t.pick.phase} of event {_short(t.pick.event_id)} on {t.pick.station_id} lies "
                f"{abs(t.residual_s):.2f} s {'after' if t.residual_s > 0 else 'before'} the move-out of its event.",
                "off the move-out",
                source,
                f"pick {t.pick.number}, {t.pick.station_id} {t.pick.time}",
                f"{t.residual_s:+.2f} s",
                "Look at the record and move or delete the pick.",
            )
        )
    return findings


def _speed(
    events: Sequence[list[LabelledPick]],
    places: Mapping[str, np.ndarray],
    ratio: float,
    reach_km: float,
    doubted: set[str],
) -> float:
    """The P velocity with the smallest median misfit over some of the events."""
    sample = [events[i] for i in np.unique(np.linspace(0, len(events) - 1, MOST_EVENTS_FOR_SPEED).astype(int))]
    costs = []
    for speed in SPEEDS_KM_S:
        problems = [_problem(picks, places, speed, ratio).without(picks, doubted) for picks in sample]
        costs.append(float(np.median([_locate(problem, reach_km, zooms=3)[1] for problem in problems])))
    return float(SPEEDS_KM_S[int(np.argmin(costs))])


def _with_terms(
    fitted: Sequence[tuple[CatalogueEvent, list[LabelledPick]]],
    places: Mapping[str, np.ndarray],
    speed_km_s: float,
    ratio: float,
    reach_km: float,
    doubted: set[str],
) -> tuple[list[Located], dict[tuple[str, str], float]]:
    """Places, then station terms, then places that know the terms. Picks of `doubted` stations have no say in them."""
    terms: dict[tuple[str, str], float] = {}
    for _ in range(3):
        located = [_timed(e, picks, places, speed_km_s, ratio, reach_km, terms, doubted) for e, picks in fitted]
        used, terms = terms, _station_terms(located)
    return located, used


def _sigma(located: Sequence[Located]) -> dict[str, float]:
    return {
        phase: float(1.4826 * np.median(np.abs(r)))
        for phase in ("P", "S")
        if (r := [t.residual_s for e in located for t in e.picks if t.pick.phase == phase])
    }


def _usable(event: CatalogueEvent, places: Mapping[str, np.ndarray]) -> list[LabelledPick]:
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


def _enough(picks: Sequence[LabelledPick]) -> bool:
    return len(picks) >= FEWEST_PICKS and len({p.station_id for p in picks}) >= FEWEST_STATIONS


def _reach(places: Mapping[str, np.ndarray]) -> float:
    points = np.stack(list(places.values()))
    return max(1.0, float(np.linalg.norm(points[:, :2] - np.median(points[:, :2], axis=0), axis=1).max()))


def _speed_ratio(events: Sequence[Sequence[LabelledPick]]) -> float:
    """Vp/Vs: the median of (S_i - S_j) / (P_i - P_j) over station pairs of each event, far pairs only."""
    slopes: list[float] = []
    for picks in events:
        arrivals: dict[str, dict[str, float]] = {}
        for p in picks:
            arrivals.setdefault(p.station_id, {})[p.phase] = p.time - picks[0].time
        both = np.array([[a["P"], a["S"]] for a in arrivals.values() if len(a) == 2])
        if len(both) < 3:
            continue
        i, j = np.triu_indices(len(both), 1)
        dp, ds = both[i, 0] - both[j, 0], both[i, 1] - both[j, 1]
        far = np.abs(dp) > 0.3 * np.abs(dp).max()
        slopes += (ds[far] / dp[far]).tolist()
    return float(np.clip(np.median(slopes), *RATIO_RANGE)) if len(slopes) >= 10 else USUAL_RATIO


@dataclass(frozen=True)
class _Problem:
    """One event's picks as arrays [pick]."""

    places_km: np.ndarray  # [pick, 3]
    slowness_s_km: np.ndarray
    times_s: np.ndarray
    weights: np.ndarray
    sp_places_km: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    sp_times_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Of stations whose clock is doubted only S - P counts."""

    def without(self, picks: Sequence[LabelledPick], doubted: set[str]) -> _Problem:
        """The problem with only S - P of the doubted stations; all of it where too little would be left."""
        trusted = np.array([p.station_id not in doubted for p in picks])
        if trusted.all() or trusted.sum() < FEWEST_STATIONS:
            return self
        index = {(p.station_id, p.phase): k for k, p in enumerate(picks)}
        pairs = [
            (k, index[i, "S"]) for (i, phase), k in index.items() if phase == "P" and i in doubted and (i, "S") in index
        ]
        return _Problem(
            self.places_km[trusted],
            self.slowness_s_km[trusted],
            self.times_s[trusted],
            self.weights[trusted],
            np.array([self.places_km[p] for p, _ in pairs]).reshape(-1, 3),
            np.array([self.times_s[s] - self.times_s[p] for p, s in pairs]),
        )


def _problem(
    picks: Sequence[LabelledPick],
    places: Mapping[str, np.ndarray],
    speed_km_s: float,
    ratio: float,
    terms: Mapping[tuple[str, str], float] | None = None,
) -> _Problem:
    is_s = np.array([p.phase == "S" for p in picks])
    shift = np.array([(terms or {}).get((p.station_id, p.phase), 0.0) for p in picks])
    return _Problem(
        np.stack([places[p.station_id] for p in picks]),
        np.where(is_s, ratio, 1.0) / speed_km_s,
        np.array([p.time - picks[0].time for p in picks]) - shift,
        np.where(is_s, 1.0 / ratio, 1.0),
    )


def _locate(problem: _Problem, reach_km: float, zooms: int = _ZOOMS) -> tuple[np.ndarray, float]:
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


def _timed(
    event: CatalogueEvent,
    picks: Sequence[LabelledPick],
    places: Mapping[str, np.ndarray],
    speed_km_s: float,
    ratio: float,
    reach_km: float,
    terms: Mapping[tuple[str, str], float],
    doubted: set[str],
) -> Located:
    problem = _problem(picks, places, speed_km_s, ratio, terms)
    reduced = problem.without(picks, doubted)
    place, _ = _locate(reduced, reach_km)
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


def _station_terms(events: Sequence[Located]) -> dict[tuple[str, str], float]:
    """Median raw residual of each station and phase in three or more events; their median is zero for each phase."""
    residuals: dict[tuple[str, str], list[float]] = {}
    for event in events:
        for t in event.picks:
            residuals.setdefault((t.pick.station_id, t.pick.phase), []).append(t.raw_residual_s)
    terms = {key: float(np.median(r)) for key, r in residuals.items() if len(r) >= 3}
    for phase in ("P", "S"):
        own = [key for key in terms if key[1] == phase]
        middle = float(np.median([terms[key] for key in own])) if own else 0.0
        for key in own:
            terms[key] -= middle
    return terms


def _clocks(
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


def _short(event_id: str) -> str:
    return event_id.rsplit("/", 1)[-1]
