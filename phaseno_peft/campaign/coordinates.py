"""The network's coordinates: kilometres on a local plane, mapped to the unit square, and who is near whom in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.station_checks import KM_PER_DEGREE
from phaseno_peft.contract import KM_PER_UNIT, Frame


def unit_coordinates(east_north_km: np.ndarray, time_scale: float = 1.0) -> np.ndarray:
    """Network coordinates [station, 2] float32 of places [station, 2] in km from the centre."""
    return np.asarray(0.5 + time_scale * east_north_km / KM_PER_UNIT, np.float32)


def local_km(coordinates: np.ndarray) -> np.ndarray:
    """Kilometres [station, 2] float64 from the centre: the inverse of `unit_coordinates` with a time scale of 1."""
    return np.asarray((coordinates.astype(np.float64) - 0.5) * KM_PER_UNIT)


def scaled_coordinates(stations: Sequence[Station], frame: Frame, time_scale: float) -> np.ndarray:
    """Network coordinates [station, 2] float32: kilometres from the frame's centre.

    A local plane replaces upstream's degrees, so that a kilometre is a kilometre at every latitude. Sensors below
    others stand beside them, by their `depth_shift_m`.
    """
    latitudes = np.array([s.latitude_deg for s in stations], float)
    longitudes = np.array([s.longitude_deg for s in stations], float)
    east_deg = (longitudes - frame.center_longitude_deg + 180.0) % 360.0 - 180.0
    east_km = east_deg * KM_PER_DEGREE * math.cos(math.radians(frame.center_latitude_deg))
    north_km = (latitudes - frame.center_latitude_deg) * KM_PER_DEGREE
    shift_km = np.array([s.depth_shift_m for s in stations], float).reshape(len(stations), 2) / 1000
    return unit_coordinates(np.stack([east_km, north_km], axis=-1).reshape(len(stations), 2) + shift_km, time_scale)


def edges(coordinates: np.ndarray, edge_limit_km: float) -> np.ndarray:
    """Edges [2, edge] int64 (row 0 source, row 1 target) of every ordered pair within the limit, self included.

    `coordinates` [station, 2] are scaled ones; the order is upstream's, the source in the outer loop.
    """
    xy = np.asarray(coordinates, np.float64)
    distance = np.hypot(*np.moveaxis(xy[:, None] - xy[None], -1, 0))
    source, target = np.nonzero(distance <= edge_limit_km / KM_PER_UNIT)
    return np.stack([source, target]).astype(np.int64)
