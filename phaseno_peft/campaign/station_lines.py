"""Stations in lines of their own, without a header: SEISAN's STATION0.HYP, NonLinLoc's GTSRCE statements, VELEST's,
HypoDD's and REAL's station files."""

from __future__ import annotations

import re

from phaseno_peft.campaign.local_places import local_degrees
from phaseno_peft.campaign.station import Station
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_id_of

_SEISAN = re.compile(r" (.{5})([ \d]{2})([ \d.]{5})([NS])([ \d]{3})([ \d.]{5})([EW])([ \-\d]{1,5})")
_VELEST = re.compile(r"(.{4,6}?)\s*(\d{1,2}\.\d{4})([NS])\s+(\d{1,3}\.\d{4})([EW])\s*(-?\d{1,5})(?:\s.*)?")
_NUMBER = r"[+-]?\d+(?:\.\d*)?"
_CODE = r"[A-Za-z][\w-]*|\d+[A-Za-z][\w-]*"
_HYPODD = re.compile(rf"\s*({_CODE})\s+({_NUMBER})\s+({_NUMBER})(?:\s+({_NUMBER}))?\s*")
_REAL = re.compile(rf"\s*({_NUMBER})\s+({_NUMBER})\s+(\w+)\s+(\w+)\s+(\w{{3}})\s+({_NUMBER})\s*")
_NLLOC_ANGLES = {"LATLON": 1, "LATLONDM": 2, "LATLONDS": 3}
"""Kind of a GTSRCE line -> numbers of each angle; with minutes a letter (N, S, E, W) follows."""


def stations_of_seisan(name: str, text: str) -> list[Station] | None:
    """Stations of a STATION0.HYP (SEISAN manual, "The HYPOCENTER station file"); None where the text is none.

    They stand between the resets and a blank line: code, degrees and minutes, metres. Minutes without a point have
    three decimals. Raises `CampaignError` naming a line between them that is none.
    """
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if _SEISAN.match(line)), None)
    if first is None or any(line.strip() and not line.startswith("RESET TEST") for line in lines[:first]):
        return None
    stations = []
    for number, line in enumerate(lines[first:], start=first + 1):
        if not line.strip():
            break
        try:
            match = _SEISAN.match(line)
            if match is None:
                raise ValueError("code, latitude, longitude and elevation do not stand in their columns")
            code, south, west = match[1], match[4] == "S", match[7] == "W"
            latitude = (int(match[2]) + _minutes(match[3]) / 60) * (-1 if south else 1)
            longitude = (int(match[5] or 0) + _minutes(match[6]) / 60) * (-1 if west else 1)
            stations.append(Station(station_id_of("", code, ""), latitude, longitude, float(match[8] or 0)))
        except ValueError as error:
            raise _wrong(name, number, line, "a station of STATION0.HYP", error) from error
    return stations


def _minutes(text: str) -> float:
    return float(text) if "." in text else int(text.replace(" ", "0")) / 1000


def stations_of_nlloc(name: str, text: str) -> list[Station] | None:
    """Stations of NonLinLoc's GTSRCE lines, also among other statements; None where the text has none.

    Angles are LATLON, LATLONDM or LATLONDS; XYZ are kilometres east, north and down. Depth and elevation, the last two
    numbers, are kilometres. Raises `CampaignError` naming a line that cannot be read.
    """
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.split()[:1] == ["GTSRCE"]]
    if not lines:
        return None
    stations = []
    for number, line in lines:
        try:
            stations.append(_nlloc_station(line.split()[1:]))
        except (ValueError, IndexError) as error:
            raise _wrong(name, number, line, "a GTSRCE of NonLinLoc", error) from error
    return stations


def _nlloc_station(fields: list[str]) -> Station:
    label, kind, *rest = fields
    if kind == "XYZ":
        east_km, north_km, down_km, elevation_km = (float(word) for word in rest[:4])
        latitude, longitude = local_degrees(1000 * east_km, 1000 * north_km)
    elif kind in _NLLOC_ANGLES:
        n = _NLLOC_ANGLES[kind]
        step = n + (n > 1)
        latitude, longitude = (_angle(rest[at : at + step], n) for at in (0, step))
        down_km, elevation_km = (float(word) for word in rest[2 * step : 2 * step + 2])
    else:
        raise ValueError(f"{kind} is none of XYZ, {', '.join(_NLLOC_ANGLES)}")
    return Station(station_id_of("", label, ""), latitude, longitude, 1000 * (elevation_km - down_km))


def _angle(fields: list[str], n: int) -> float:
    value = sum(float(word) / (1.0, 60.0, 3600.0)[i] for i, word in enumerate(fields[:n]))
    letter = fields[n].upper() if n > 1 else ""
    if n > 1 and letter not in ("N", "S", "E", "W"):
        raise ValueError(f"{letter!r} is none of N, S, E, W")
    return -value if letter in ("S", "W") else value


def stations_of_velest(name: str, text: str) -> list[Station] | None:
    """Stations of VELEST's file (VELEST user's guide, "station file"): a line with their Fortran format, then code,
    degrees with their side, metres; None where the text is none. Raises `CampaignError` naming a line that is none.
    """
    lines = text.splitlines()
    if not lines or not re.match(r"\s*\(a[4-6]\s*,", lines[0], re.IGNORECASE):
        return None
    stations = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            break
        match = _VELEST.fullmatch(line.rstrip())
        if match is None:
            raise _wrong(name, number, line, "a station of VELEST", ValueError("code, degrees with side, metres"))
        latitude = float(match[2]) * (-1 if match[3] == "S" else 1)
        longitude = float(match[4]) * (-1 if match[5] == "W" else 1)
        stations.append(Station(station_id_of("", match[1], ""), latitude, longitude, float(match[6])))
    return stations


def stations_of_columns(_: str, text: str) -> list[Station] | None:
    """Stations of columns without a header, all lines alike; None where the text is none.

    HypoDD and GrowClust: code, latitude, longitude, elevation in metres. REAL: longitude, latitude, network, code,
    component, elevation in kilometres.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and all(match := [_HYPODD.fullmatch(line) for line in lines]):
        return [Station(station_id_of("", m[1], ""), float(m[2]), float(m[3]), float(m[4] or 0)) for m in match if m]
    if lines and all(match := [_REAL.fullmatch(line) for line in lines]):
        return [
            Station(station_id_of(m[3], m[4], ""), float(m[2]), float(m[1]), 1000 * float(m[6])) for m in match if m
        ]
    return None


def _wrong(name: str, number: int, line: str, what: str, error: Exception) -> CampaignError:
    return CampaignError(
        f"{name}: line {number}: {line.strip()[:80]!r} is not {what} ({error}). Correct it, or leave the line out."
    )
