"""Local coordinates in metres, made into degrees around a place of their own, where a degree is as long both ways."""

from __future__ import annotations

import math

from phaseno_peft.campaign.station_checks import KM_PER_DEGREE

LOCAL_ORIGIN_DEG = (0.0, -30.0)
"""Latitude and longitude that local zero gets: on the equator, in the Atlantic, where no network is."""
FARTHEST_M = 100_000.0
"""Local coordinates beyond are those of a projection (UTM, a national grid) with its zero far away."""
GRID_M = 10_000.0
"""Projected places count from the nearest line of such a grid, so that files of one network agree."""


def local_degrees(east_m: float, north_m: float) -> tuple[float, float]:
    """(latitude_deg, longitude_deg) of a place in metres from local zero. Raises `ValueError` beyond `FARTHEST_M`."""
    if not (abs(east_m) <= FARTHEST_M and abs(north_m) <= FARTHEST_M):  # also for NaN
        raise ValueError(
            f"east {east_m:g} m, north {north_m:g} m is more than {FARTHEST_M / 1000:g} km from local zero"
        )
    return LOCAL_ORIGIN_DEG[0] + north_m / 1000 / KM_PER_DEGREE, LOCAL_ORIGIN_DEG[1] + east_m / 1000 / KM_PER_DEGREE


def projection_zero_m(first_east_m: float, first_north_m: float) -> tuple[float, float]:
    """What to take off coordinates of a projection: (0, 0) for local ones, judged by the first station."""
    if max(abs(first_east_m), abs(first_north_m)) <= FARTHEST_M or not math.isfinite(first_east_m + first_north_m):
        return 0.0, 0.0
    return round(first_east_m / GRID_M) * GRID_M, round(first_north_m / GRID_M) * GRID_M
