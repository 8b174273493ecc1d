"""Do the picks of each event lie on one move-out? A robust half-space, fitted to the picks alone.

The catalogue's origins are not used: each event's place and origin time, one velocity of P and one Vp/Vs of the
campaign, and a constant term of each station and phase are found from the picks by least absolute deviations (grid
search, then refined), so that a few bad picks do not pull the fit. What then lies far off is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.checking.clocks import Clock, shifted_clocks
from phaseno_peft.checking.event_fit import (
    FAR_PART,
    Located,
    TimedPick,
    are_enough,
    event_problem,
    locate,
    located_event,
    usable_picks,
)

SPEEDS_KM_S = np.array([1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 8.0])
USUAL_RATIO = 1.75
RATIO_RANGE = (1.4, 2.6)
"""Vp/Vs from dry gas sands to soft wet sediments."""
MOST_EVENTS_FOR_SPEED = 25
FAR_SIGMAS = 6.0
FAR_S = 0.3
"""A pick is off only where it is more than this, `FAR_SIGMAS` robust standard deviations (of all residuals, and of its
station's own) and `FAR_PART` of its travel time off."""


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


def fit_moveout(events: Sequence[CatalogueEvent], places: Mapping[str, np.ndarray]) -> MoveOut:
    """Fit all events with six usable picks on four of the stations in `places` (km east, north, down)."""
    fitted = [(e, picks) for e in events if are_enough(picks := usable_picks(e, places))]
    if not fitted:
        return MoveOut()
    ratio = _speed_ratio([picks for _, picks in fitted])
    reach_km = _reach(places)
    speed = _speed([picks for _, picks in fitted], places, ratio, reach_km, set())
    located, terms = _with_terms(fitted, places, speed, ratio, reach_km, set())
    sigma = _sigma(located)
    clocks = tuple(shifted_clocks(located, sigma, terms))
    if clocks:  # again without them, so that they pull at nothing and their shift is seen whole
        doubted = {c.station_id for c in clocks}
        speed = _speed([picks for _, picks in fitted], places, ratio, reach_km, doubted)
        located, terms = _with_terms(fitted, places, speed, ratio, reach_km, doubted)
        sigma = _sigma(located)
        clocks = tuple(c for c in shifted_clocks(located, sigma, terms) if c.station_id in doubted)
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
        problems = [event_problem(picks, places, speed, ratio).without(picks, doubted) for picks in sample]
        costs.append(float(np.median([locate(problem, reach_km, zooms=3)[1] for problem in problems])))
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
        located = [located_event(e, picks, places, speed_km_s, ratio, reach_km, terms, doubted) for e, picks in fitted]
        used, terms = terms, _station_terms(located)
    return located, used


def _sigma(located: Sequence[Located]) -> dict[str, float]:
    return {
        phase: float(1.4826 * np.median(np.abs(r)))
        for phase in ("P", "S")
        if (r := [t.residual_s for e in located for t in e.picks if t.pick.phase == phase])
    }


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


def _short(event_id: str) -> str:
    return event_id.rsplit("/", 1)[-1]
