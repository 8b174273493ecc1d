"""Checks of station coordinates: placeholders, exchanged columns, kilometres for degrees, isolated stations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.contract import EDGE_LIMIT_KM
from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from phaseno_peft.campaign.station import Station

EARTH_KM = 6371.0
KM_PER_DEGREE = math.pi * EARTH_KM / 180.0
FAR_KM = 1000.0
"""A station this far from all others, and many times their own spread, is not of their network."""
FAR_SPREADS = 20.0
"""So many times the network's median distance from its centre, so that a continental network stays whole."""
HIGHEST_M, DEEPEST_M = 9000.0, -12000.0
"""The highest mountain and the deepest trench, rounded up."""
NO_VALUE_M = (-9999.0, -9999.25, -999.25, 9999.0)
"""What tables and logs write where there is no value."""
ZERO_DEG = 1e-3
"""Nearer than this to latitude 0, longitude 0 (in the Gulf of Guinea) is a placeholder for unknown coordinates."""
LANDLESS_DEG = 4.0
"""Around latitude 0, longitude 0 there is only sea: the nearest land, Cape Three Points, lies at 4.7 N 2.1 W."""
DEGREES_ADVICE = (
    "If these are local kilometres or metres, or the two columns are exchanged, give latitude and longitude in degrees."
)


@dataclass(frozen=True)
class StationCheck:
    """What is wrong with the coordinates of a table."""

    left_out: dict[str, str]
    """Station id -> why it cannot be used, as the end of a sentence."""
    findings: tuple[Finding, ...]


def believable_m(elevation_m: float) -> float:
    """An elevation, or 0 for one that no place on Earth has (NaN among them), which a check tells."""
    return elevation_m if DEEPEST_M <= elevation_m <= HIGHEST_M and elevation_m not in NO_VALUE_M else 0.0


def check_degrees(station: Station, source: str) -> None:
    """Raise `CampaignError` where latitude and longitude are not on the globe."""
    latitude, longitude = station.latitude_deg, station.longitude_deg
    if math.isfinite(latitude) and math.isfinite(longitude) and abs(latitude) <= 90 and abs(longitude) <= 360:
        return
    if math.isfinite(latitude) and 90 < abs(latitude) <= 360 and abs(longitude) <= 90:
        next_step = "The two look exchanged: latitude lies between -90 and 90. Exchange the columns."
    else:
        next_step = "Give both in degrees (projected metres must be converted first)."
    raise CampaignError(
        f"{source}: station {station.station_id} has latitude {latitude} and longitude {longitude}. {next_step}"
    )


def check_stations(stations: Sequence[Station], source: str) -> StationCheck:
    """Which stations to leave out, placeholders and slips of sign or order, and findings about the others."""
    left_out: dict[str, str] = {}
    findings: list[Finding] = []
    at_zero = [s for s in stations if max(abs(s.latitude_deg), abs(s.longitude_deg)) < ZERO_DEG]
    others = [s for s in stations if s not in at_zero]
    if at_zero and others:
        centre, spread_km = _middle(others)
        if _distances_km(centre, _unit_vectors(at_zero)).min() > max(300.0, 10 * spread_km):
            for station in at_zero:
                left_out[station.station_id] = "stands at latitude 0, longitude 0, far from all others: a placeholder"
    elif len(at_zero) > 1:
        findings.append(
            Finding(
                "warning",
                f"{source}: all {len(at_zero)} stations stand at latitude 0, longitude 0. Give their coordinates.",
            )
        )
    kept = [s for s in stations if s.station_id not in left_out]
    for station, why, is_explained in _outlying(kept):
        if is_explained:
            left_out[station.station_id] = why
        else:
            findings.append(
                Finding(
                    "warning",
                    f"{source}: station {station.station_id} {why}. The network's centre lies between: correct the "
                    "coordinates, or leave the station out.",
                )
            )
    findings += [
        Finding(
            "warning",
            f"{source}: station {station_id} {why}. It is left out. Correct its coordinates.",
        )
        for station_id, why in left_out.items()
    ]
    kept = [s for s in stations if s.station_id not in left_out]
    findings += [*isolated_stations(kept, source), *_around_zero(kept, source), *_elevations(kept, source)]
    return StationCheck(left_out, tuple(findings))


def _around_zero(stations: Sequence[Station], source: str) -> list[Finding]:
    """A warning where a network stands where local coordinates, taken for degrees, put it: in the Gulf of Guinea."""
    farthest = max((max(abs(s.latitude_deg), abs(s.longitude_deg)) for s in stations), default=0.0)
    if len(stations) < 2 or not ZERO_DEG < farthest < LANDLESS_DEG:
        return []
    text = f"all {len(stations)} stations stand within {LANDLESS_DEG:g} degrees of 0, 0, where there is only sea"
    return [Finding("warning", f"{source}: {text}. {DEGREES_ADVICE}")]


def isolated_stations(stations: Sequence[Station], source: str, edge_limit_km: float = EDGE_LIMIT_KM) -> list[Finding]:
    """A warning where most stations have no other within `edge_limit_km`, so that the network picks them alone."""
    degrees = sorted({(round(s.latitude_deg, 4), round(s.longitude_deg, 4)) for s in stations})
    if len(degrees) < 2:
        return []
    from scipy.spatial import cKDTree

    places = _unit_vectors_of(np.array(degrees))
    nearest_km = 2 * EARTH_KM * np.arcsin(np.clip(cKDTree(places).query(places, k=2)[0][:, 1] / 2, 0, 1))
    alone = int((nearest_km > edge_limit_km).sum())
    if 2 * alone <= len(degrees):
        return []
    if alone == len(degrees):
        text = (
            f"no station lies within {edge_limit_km:g} km of another ({len(degrees)} places, the nearest two "
            f"{nearest_km.min():.0f} km apart), so none has another to exchange messages with"
        )
    else:
        text = f"{alone} of {len(degrees)} places have no other station within {edge_limit_km:g} km, so these are alone"
    local = np.array(degrees)
    around_zero = bool((local.min(axis=0) <= 0).all() and (local.max(axis=0) >= 0).all())
    if around_zero:
        text += "; the coordinates surround 0, 0, as local kilometres or metres do"
    return [Finding("warning", f"{source}: {text}. {DEGREES_ADVICE}")]


def far_from_events(stations: Sequence[Station], epicentres: np.ndarray, source: str) -> list[Finding]:
    """A warning where the events [event, (latitude_deg, longitude_deg)] lie on another part of the globe.

    Exchanged columns keep a network together and near nothing: only the epicentres tell.
    """
    if not len(stations) or not len(epicentres):
        return []
    events = _unit_vectors_of(epicentres)
    own_km = float(np.median(_distances_km(_middle(stations)[0], events)))
    if own_km <= FAR_KM:
        return []
    exchanged = np.array([(s.longitude_deg, s.latitude_deg) for s in stations])
    exchanged_km = math.inf
    if np.abs(exchanged[:, 0]).max() <= 90:
        exchanged_km = float(np.median(_distances_km(_unit_mean(_unit_vectors_of(exchanged)), events)))
    text = f"{source}: the catalogue's epicentres lie {own_km:.0f} km from the stations (median)"
    if exchanged_km < own_km / 5:
        text += f", and {exchanged_km:.0f} km with latitude and longitude exchanged. Exchange the two columns."
    else:
        text += ". Compare the coordinates of both files."
    return [Finding("warning", text)]


def distance_km(a: Station, b: Station) -> float:
    """Between two places at the Earth's surface, on a sphere."""
    one, other = (math.radians(s.latitude_deg) for s in (a, b))
    turn = math.radians((a.longitude_deg - b.longitude_deg + 180.0) % 360.0 - 180.0)
    half = math.sin((one - other) / 2) ** 2 + math.cos(one) * math.cos(other) * math.sin(turn / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def _outlying(stations: Sequence[Station]) -> list[tuple[Station, str, bool]]:
    """(station, what is wrong, whether a slip of sign or order explains it) of those far from all others."""
    if len(stations) < 4:
        return []
    places = _unit_vectors(stations)
    middle = _unit_mean(np.median(places, axis=0)[None])
    distances = _distances_km(middle, places)
    spread_km = float(np.median(distances))
    limit_km = max(FAR_KM, FAR_SPREADS * spread_km)
    far = []
    for station, away_km in zip(stations, distances, strict=True):
        if away_km <= limit_km:
            continue
        latitude, longitude = station.latitude_deg, station.longitude_deg
        why, is_explained = f"stands {away_km:.0f} km from the middle of the others", False
        for slip, place in (
            ("the sign of its latitude", (-latitude, longitude)),
            ("the sign of its longitude", (latitude, -longitude)),
            ("both signs", (-latitude, -longitude)),
            ("the order of its latitude and longitude", (longitude, latitude)),
        ):
            near = abs(place[0]) <= 90 and _distances_km(middle, _unit_vectors_of(np.array([place])))[0] <= max(
                100.0, 5 * spread_km
            )
            if near:
                why, is_explained = f"{why}, and among them with {slip} changed", True
                break
        far.append((station, why, is_explained))
    return far


def _elevations(stations: Sequence[Station], source: str) -> list[Finding]:
    absurd = [s for s in stations if believable_m(s.elevation_m) != s.elevation_m]  # NaN among them
    findings = []
    if absurd:
        first = absurd[0]
        more = f" (and {len(absurd) - 1} more)" if len(absurd) > 1 else ""
        findings.append(
            Finding(
                "warning",
                f"{source}: station {first.station_id}{more} has an elevation of {first.elevation_m:g} m, which no "
                "place on Earth has, or which stands for no value. It is not used. Give metres above sea level.",
            )
        )
    if len(stations) > 1 and len({(s.latitude_deg, s.longitude_deg, s.elevation_m) for s in stations}) == 1:
        findings.append(
            Finding("warning", f"{source}: all {len(stations)} stations stand at one place. Compare its columns.")
        )
    heights = [s.elevation_m for s in stations]
    if len(heights) > 2 and max(map(abs, heights)) <= HIGHEST_M / 1000 and sum(h % 1 != 0 for h in heights) > 1:
        findings.append(
            Finding(
                "note",
                f"{source}: all elevations lie between {min(heights):g} and {max(heights):g} m. If these are "
                "kilometres, give metres.",
            )
        )
    return findings


def _middle(stations: Sequence[Station]) -> tuple[np.ndarray, float]:
    """Unit vector to the middle of the stations, and their median distance from it in km."""
    places = _unit_vectors(stations)
    middle = _unit_mean(places)
    return middle, float(np.median(_distances_km(middle, places)))


def _unit_mean(vectors: np.ndarray) -> np.ndarray:
    mean = np.asarray(vectors.mean(axis=0))
    length = float(np.linalg.norm(mean))
    return mean / length if length > 1e-9 else np.asarray(vectors[0])


def _unit_vectors(stations: Sequence[Station]) -> np.ndarray:
    return _unit_vectors_of(np.array([(s.latitude_deg, s.longitude_deg) for s in stations]))


def _unit_vectors_of(degrees: np.ndarray) -> np.ndarray:
    """Unit vectors [place, 3] of (latitude_deg, longitude_deg) [place, 2]."""
    latitude, longitude = np.moveaxis(np.radians(degrees.astype(np.float64)), -1, 0)
    return np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1
    )


def _distances_km(place: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Great-circle distances from one unit vector to several."""
    return np.asarray(6371.0 * np.arccos(np.clip(places @ place, -1.0, 1.0)))
