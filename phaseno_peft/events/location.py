"""Where an event's picks put it: least absolute deviations around PyOcto's place, which is one of coarse steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.campaign import StationTable
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.station_checks import KM_PER_DEGREE, believable_m
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.events.velocity import HalfSpace, Velocity

Array = NDArray[np.float64]
TravelTimes = Callable[[Array, Array, Array, NDArray[np.bool_]], Array]
"""(horizontal distance [node, pick], depth [node, 1], station's height in km [pick], is S [pick]) -> s [node, pick]."""
NODES = 9
"""Of the grid along each axis."""
ZOOMS, ZOOM = 9, 0.55
"""The grid narrows so often by so much around its best node: from some km to some ten metres."""
HALF_KM = (3.0, 6.0)
"""The first grid reaches this far from PyOcto's place, horizontally and in depth; where the best node lies at its edge
the next grid is centred there, so that farther places are reached too."""


def travel_times(velocity: Velocity, farthest_km: float, deepest_km: float) -> TravelTimes:
    """What predicts arrivals: straight rays, or a table of the layers with a correction for the station's height."""
    if isinstance(velocity, HalfSpace):
        slowness = np.array([1.0 / velocity.vp_km_s, 1.0 / velocity.vs_km_s])

        def straight(distance_km: Array, depth_km: Array, height_km: Array, is_s: NDArray[np.bool_]) -> Array:
            return np.asarray(np.hypot(distance_km, depth_km + height_km) * slowness[is_s.astype(int)])

        return straight
    from scipy.interpolate import RegularGridInterpolator

    step_km, times = velocity.table(farthest_km, deepest_km)
    axes = tuple(step_km * np.arange(n) for n in times["P"].shape)
    tables = [RegularGridInterpolator(axes, times[phase], bounds_error=False, fill_value=None) for phase in ("P", "S")]
    surface = np.array([1.0 / velocity.vp_km_s[0], 1.0 / velocity.vs_km_s[0]])

    def layered(distance_km: Array, depth_km: Array, height_km: Array, is_s: NDArray[np.bool_]) -> Array:
        made = np.empty_like(distance_km)
        depths = np.broadcast_to(np.maximum(depth_km, 0.0), distance_km.shape)
        for k, table in enumerate(tables):
            own = is_s == bool(k)
            made[:, own] = table(np.stack([distance_km[:, own], depths[:, own]], axis=-1))
        return np.asarray(made + height_km * surface[is_s.astype(int)])

    return layered


def locate_again(
    event: AssociatedEvent, stations: StationTable, times: TravelTimes, shallowest_km: float, deepest_km: float
) -> AssociatedEvent:
    """The event at the place and origin time with the smallest mean absolute residual near the one it has."""
    own = [stations[pick.trace_id] for pick in event.picks]
    east, north = _around(event.latitude_deg, event.longitude_deg, own)
    height = np.array([believable_m(s.elevation_m) for s in own]) / 1000.0
    is_s = np.array([pick.phase == "S" for pick in event.picks])
    observed = np.array([pick.time - event.origin_time for pick in event.picks])
    weights = np.where(is_s, 0.6, 1.0)  # S is picked and predicted worse, about by Vp/Vs

    def delays(nodes: Array) -> Array:
        distance = np.hypot(nodes[:, :1] - east, nodes[:, 1:2] - north)
        return observed - times(distance, nodes[:, 2:3], height, is_s)

    def origins(delay: Array) -> Array:
        """[node, 1] weighted medians."""
        rank = np.argsort(delay, axis=1)
        sums = np.cumsum(weights[rank], axis=1)
        middle = np.argmax(sums >= 0.5 * weights.sum(), axis=1)[:, None]
        return np.take_along_axis(delay, np.take_along_axis(rank, middle, axis=1), axis=1)

    best = np.array([0.0, 0.0, min(max((event.depth_m or 0.0) / 1000.0, shallowest_km), deepest_km)])
    half = np.array([HALF_KM[0], HALF_KM[0], HALF_KM[1]])
    cost = np.inf
    for _ in range(ZOOMS):
        axes = [np.linspace(c - h, c + h, NODES) for c, h in zip(best, half, strict=True)]
        axes[2] = np.clip(axes[2], shallowest_km, deepest_km)
        nodes = np.vstack([best, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)])
        delay = delays(nodes)
        misfit = (np.abs(delay - origins(delay)) * weights).sum(axis=1) / weights.sum()
        k = int(np.argmin(misfit))
        if misfit[k] < cost:
            best, cost = nodes[k], float(misfit[k])
        half = half * ZOOM
    delay = delays(best[None])
    origin = float(origins(delay)[0, 0])
    latitude_deg, longitude_deg = _moved(event.latitude_deg, event.longitude_deg, float(best[0]), float(best[1]))
    return replace(
        event,
        origin_time=event.origin_time + origin,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        depth_m=1000.0 * float(best[2]),
        residuals_s=tuple((delay[0] - origin).tolist()),
    )


def _around(latitude_deg: float, longitude_deg: float, stations: Sequence[Station]) -> tuple[Array, Array]:
    """Stations [pick] on a plane around a place, km to east and north: distances and directions from it are true."""
    from obspy.geodetics import gps2dist_azimuth

    seen = [gps2dist_azimuth(latitude_deg, longitude_deg, s.latitude_deg, s.longitude_deg)[:2] for s in stations]
    distance_km = np.array([metres for metres, _ in seen]) / 1000.0
    azimuth = np.radians([azimuth_deg for _, azimuth_deg in seen])
    return distance_km * np.sin(azimuth), distance_km * np.cos(azimuth)


def _moved(latitude_deg: float, longitude_deg: float, east_km: float, north_km: float) -> tuple[float, float]:
    """The place so far away, on a sphere."""
    far = math.radians(math.hypot(east_km, north_km) / KM_PER_DEGREE)
    azimuth, latitude = math.atan2(east_km, north_km), math.radians(latitude_deg)
    found = math.asin(math.sin(latitude) * math.cos(far) + math.cos(latitude) * math.sin(far) * math.cos(azimuth))
    turn = math.atan2(
        math.sin(azimuth) * math.sin(far) * math.cos(latitude), math.cos(far) - math.sin(latitude) * math.sin(found)
    )
    return math.degrees(found), (longitude_deg + math.degrees(turn) + 180.0) % 360.0 - 180.0
