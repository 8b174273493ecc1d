"""One sensor site, and where its channels point."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Station:
    """One sensor site. `station_id` is NET.STA.LOC, with a trailing dot where the location code is empty."""

    station_id: str
    latitude_deg: float
    longitude_deg: float
    elevation_m: float
    start_ns: int | None = None
    """Since when it stands there, in nanoseconds since 1970; None where the table does not say."""
    end_ns: int | None = None
    depth_shift_m: tuple[float, float] = (0.0, 0.0)
    """(east, north) by which its depth moves it in the network's plane, see `depths`; zero for most."""


@dataclass(frozen=True, slots=True)
class Direction:
    """Where a channel points in one epoch; dip -90 points up."""

    azimuth_deg: float
    dip_deg: float
    start_ns: int | None = None
    end_ns: int | None = None
