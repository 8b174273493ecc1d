"""PyOcto (Münchmeyer 2024, doi:10.26443/seismica.v3i1.1130), an optional extra: picks to located events."""

from __future__ import annotations

import bisect
import math
import struct
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign import StationTable
from phaseno_peft.campaign.station_checks import KM_PER_DEGREE, believable_m
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.events.location import locate_again, travel_times
from phaseno_peft.events.velocity import HalfSpace, Layers, Velocity
from phaseno_peft.picks import Pick, PickList

INSTALL = "pip install 'phaseno-peft[associate]'"
LOCATION_NODE_KM = (0.05, 0.5)
"""Limits of the size at which PyOcto stops to halve space in location; association stops where the tolerance decides,
location at a tenth of that. Finer association costs much and finds nothing more."""
SAME_S = 0.5
"""Picks of one station and phase this near are one."""
SLICE_S = 600.0
"""Stray picks are counted in slices of this length."""
SHORTEST_OVERLAP_S = 20.0
"""PyOcto works on slices of time that overlap by the longest travel time, at least by this."""


@dataclass(frozen=True)
class AssociationRule:
    """What makes picks an event."""

    fewest_picks: int = 6
    fewest_p: int = 3
    fewest_s: int = 2
    fewest_p_and_s: int = 2
    """Stations that have both."""
    tolerance_s: float | None = None
    """How far a pick may lie from its prediction; None: what the velocity model is worth."""
    reach_km: float = 30.0
    """Events may lie this far outside the network."""
    deepest_km: float = 30.0

    def __post_init__(self) -> None:
        counts = (self.fewest_picks, self.fewest_p, self.fewest_s, self.fewest_p_and_s)
        widths = (self.reach_km, self.deepest_km, 1.0 if self.tolerance_s is None else self.tolerance_s)
        if min(counts) < 0 or self.fewest_picks < 3 or not all(0 < x < 1000 for x in widths):
            raise PhasenoPeftError(
                f"{self}: cannot be a rule. Give at least 3 picks, no negative counts, and tolerance, reach and depth "
                "above 0 and below 1000."
            )


def associate_picks(
    picks: Sequence[Pick], stations: StationTable, velocity: Velocity, rule: AssociationRule
) -> list[AssociatedEvent]:
    """Events in time order, located, each pick with its residual; a pick is in one event at most.

    Every pick's `trace_id` is in the table. Raises `PhasenoPeftError` where PyOcto is not installed.
    """
    pyocto, pandas = check_associator()
    picks = _best_of_near(picks)
    table = stations.select({pick.trace_id for pick in picks})
    if not len(table):
        return []
    latitudes, longitudes = [s.latitude_deg for s in table], _unwrapped([s.longitude_deg for s in table])
    along = math.cos(math.radians(sum(latitudes) / len(latitudes)))
    reach_deg = rule.reach_km / KM_PER_DEGREE
    height_km = max(believable_m(s.elevation_m) for s in table) / 1000.0
    aperture_km = KM_PER_DEGREE * math.hypot(
        max(latitudes) - min(latitudes), along * (max(longitudes) - min(longitudes))
    )
    farthest_km = aperture_km + 2.0 * rule.reach_km
    tolerance_s = velocity.tolerance_s if rule.tolerance_s is None else rule.tolerance_s
    fastest_km_s = velocity.vp_km_s if isinstance(velocity, HalfSpace) else max(velocity.vp_km_s)
    node_km = tolerance_s * fastest_km_s
    slowest_km_s = velocity.vs_km_s if isinstance(velocity, HalfSpace) else min(velocity.vs_km_s)
    with _model(pyocto, velocity, tolerance_s, farthest_km, rule.deepest_km) as model:
        is_layered = isinstance(velocity, Layers)
        associator = pyocto.OctoAssociator.from_area(
            lat=(min(latitudes) - reach_deg, max(latitudes) + reach_deg),
            lon=(min(longitudes) - reach_deg / along, max(longitudes) + reach_deg / along),
            zlim=(0.0 if is_layered else -height_km, rule.deepest_km),
            velocity_model=model,
            time_before=max(SHORTEST_OVERLAP_S, 1.2 * math.hypot(farthest_km, rule.deepest_km) / slowest_km_s),
            pick_match_tolerance=tolerance_s,
            n_picks=max(rule.fewest_picks, rule.fewest_p + rule.fewest_s, 2 * rule.fewest_p_and_s),
            n_p_picks=max(rule.fewest_p, rule.fewest_p_and_s),
            n_s_picks=max(rule.fewest_s, rule.fewest_p_and_s),
            n_p_and_s_picks=rule.fewest_p_and_s,
            min_node_size=node_km,
            min_node_size_location=min(max(0.1 * node_km, LOCATION_NODE_KM[0]), LOCATION_NODE_KM[1]),
            n_threads=1,  # the same events in the same order, and other work has the other cores
        )
        places = associator.transform_stations(
            pandas.DataFrame(
                {
                    "id": [s.station_id for s in table],
                    "latitude": latitudes,
                    "longitude": longitudes,
                    "elevation": [believable_m(s.elevation_m) for s in table],
                }
            )
        )
        events, assignments = associator.associate(PickList(picks).to_pyocto(), places)
    if not len(events):
        return []
    associator.transform_events(events)
    made = []
    for number, event in events.iterrows():
        rows = assignments[assignments["event_idx"] == event.get("idx", number)]
        own = sorted(
            ((picks[int(i)], float(r)) for i, r in zip(rows["pick_idx"], rows["residual"], strict=True)),
            key=lambda pair: (pair[0].time.ns, pair[0].trace_id, pair[0].phase),
        )
        if own:
            made.append(
                AssociatedEvent(
                    picks=tuple(pick for pick, _ in own),
                    ambiguous=(),
                    origin_time=UTCDateTime(float(event["time"])),
                    latitude_deg=float(event["latitude"]),
                    longitude_deg=(float(event["longitude"]) + 180.0) % 360.0 - 180.0,
                    depth_m=1000.0 * float(event["z"]),
                    is_located=True,
                    residuals_s=tuple(residual for _, residual in own),
                )
            )
    times = travel_times(velocity, 1.1 * farthest_km, rule.deepest_km)
    return [
        locate_again(event, table, times, 0.0 if isinstance(velocity, Layers) else -height_km, rule.deepest_km)
        for event in _each_pick_once(sorted(made, key=lambda event: event.picks[0].time.ns))
        if _fits(event, rule)
    ]


def chance_picks(picks: Sequence[Pick], tolerance_s: float) -> tuple[float, UTCDateTime | None]:
    """(picks that a place and time matches by chance in the ten minutes with the most, begin of these).

    Of uniform picks a station and phase has one within the tolerance with the probability 1 - exp(-2 tolerance rate);
    a station that picks without end counts once for each phase. From about a sixth of the picks that make an event on,
    some events are chance; PyOcto's time grows with them.
    """
    counts: dict[int, Counter[tuple[str, str]]] = {}
    for pick in picks:
        counts.setdefault(int(pick.time.ns // (SLICE_S * 1e9)), Counter())[pick.trace_id, pick.phase] += 1
    most = {
        number: sum(-math.expm1(-2.0 * tolerance_s * n / SLICE_S) for n in own.values())
        for number, own in counts.items()
    }
    if not most:
        return 0.0, None
    worst = max(most, key=lambda number: most[number])
    return most[worst], UTCDateTime(ns=round(worst * SLICE_S * 1e9))


def _best_of_near(picks: Sequence[Pick]) -> list[Pick]:
    """In time order, without picks of a station and phase within `SAME_S` of a more probable one that is kept: they are
    copies, which cost PyOcto much and make no event."""
    kept: list[Pick] = []
    times: dict[tuple[str, str], list[int]] = {}
    for pick in sorted(picks, key=lambda p: (-p.probability, p.time.ns, p.trace_id, p.phase)):
        own = times.setdefault((pick.trace_id, pick.phase), [])
        at = bisect.bisect(own, pick.time.ns)
        if all(abs(near - pick.time.ns) > SAME_S * 1e9 for near in own[max(0, at - 1) : at + 1]):
            own.insert(at, pick.time.ns)
            kept.append(pick)
    return sorted(kept, key=lambda p: (p.time.ns, p.trace_id, p.phase))


def _fits(event: AssociatedEvent, rule: AssociationRule) -> bool:
    """Whether an event, without picks that went to another, still has what the rule asks for."""
    of_phase = {phase: {p.trace_id for p in event.picks if p.phase == phase} for phase in ("P", "S")}
    return (
        len(event.picks) >= rule.fewest_picks
        and len(of_phase["P"]) >= rule.fewest_p
        and len(of_phase["S"]) >= rule.fewest_s
        and len(of_phase["P"] & of_phase["S"]) >= rule.fewest_p_and_s
    )


def _each_pick_once(events: Sequence[AssociatedEvent]) -> list[AssociatedEvent]:
    """Events without those of which another, with more picks, holds the most: slices of time overlap."""
    owner: dict[int, int] = {}
    kept: list[int] = []
    for k in sorted(range(len(events)), key=lambda k: (-len(events[k].picks), k)):
        shared = sum(id(pick) in owner for pick in events[k].picks)
        if 2 * shared < len(events[k].picks):
            kept.append(k)
            for pick in events[k].picks:
                owner.setdefault(id(pick), k)
    return [_without_others(events[k], k, owner) for k in sorted(kept)]


def _without_others(event: AssociatedEvent, k: int, owner: dict[int, int]) -> AssociatedEvent:
    own = [(p, r) for p, r in zip(event.picks, event.residuals_s, strict=True) if owner[id(p)] == k]
    return replace(event, picks=tuple(p for p, _ in own), residuals_s=tuple(r for _, r in own))


@contextmanager
def _model(pyocto: Any, velocity: Velocity, tolerance_s: float, distance_km: float, depth_km: float) -> Iterator[Any]:
    """The velocity model as PyOcto takes it; a layered one lies in a temporary file meanwhile."""
    if isinstance(velocity, HalfSpace):
        yield pyocto.VelocityModel0D(velocity.vp_km_s, velocity.vs_km_s, tolerance_s)
        return
    with tempfile.TemporaryDirectory(prefix="phaseno-peft-") as folder:
        path = Path(folder) / "travel-times"
        _write_table(path, velocity, 1.1 * distance_km, depth_km)  # PyOcto reads it again for every call
        yield pyocto.VelocityModel1D(
            path,
            tolerance_s,
            surface_p_velocity=velocity.vp_km_s[0],
            surface_s_velocity=velocity.vs_km_s[0],
        )


def _write_table(path: Path, velocity: Layers, distance_km: float, depth_km: float) -> None:
    """Travel times as PyOcto 0.1 reads them: numbers of nodes, their distance in km, times of P and S.

    PyOcto's own writer needs pyrocko and solves an eikonal equation; rays in flat layers are exact.
    """
    step_km, times = velocity.table(distance_km, depth_km)
    n_distances, n_depths = times["P"].shape
    content = struct.pack("iid", n_distances, n_depths, step_km)
    path.write_bytes(content + b"".join(np.ascontiguousarray(times[phase]).tobytes() for phase in ("P", "S")))


def _unwrapped(longitudes_deg: Sequence[float]) -> list[float]:
    """Longitudes within 180 degrees of the first, so that a network may lie across the date line."""
    first = longitudes_deg[0]
    return [first + (x - first + 180.0) % 360.0 - 180.0 for x in longitudes_deg]


def check_associator() -> tuple[Any, Any]:
    """PyOcto and pandas. Raises `PhasenoPeftError` where they are not installed."""
    try:
        import pandas
        import pyocto
    except ImportError as error:
        raise PhasenoPeftError(
            f"the association of picks needs PyOcto and pandas ({error}). Install them: {INSTALL}"
        ) from error
    return pyocto, pandas
