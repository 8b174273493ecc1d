"""Where the stations are: StationXML or CSV in, a `StationTable` and the network's coordinates out."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phaseno_peft.contract import Frame
from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from obspy import Inventory

KM_PER_DEGREE = math.pi * 6371.0 / 180.0
KM_PER_UNIT = 222.0
"""Upstream maps two degrees of 111 km to the unit square (golden/README.md, pre-processing)."""
SAME_PLACE_KM = 0.01
"""Epochs of one station may differ by survey corrections of this size; more is another place."""


@dataclass(frozen=True, slots=True)
class Station:
    """One sensor site. `station_id` is NET.STA.LOC, with a trailing dot where the location code is empty."""

    station_id: str
    latitude_deg: float
    longitude_deg: float
    elevation_m: float


class StationTable:
    """Stations in file order, unique by id; `table["NZ.GCSZ.10"]`, `len`, iteration over `Station`, and `in` by id."""

    def __init__(
        self,
        stations: Iterable[Station],
        orientations: Mapping[str, tuple[float, float]] | None = None,
        source: str = "the station table",
    ) -> None:
        """Raise `CampaignError` for impossible coordinates or one id at two places; `source` is named in messages."""
        self.source = source
        self._stations: dict[str, Station] = {}
        self._orientations = dict(orientations or {})
        for station in stations:
            _check_coordinates(station, source)
            known = self._stations.get(station.station_id)
            if known is not None and _distance_km(known, station) > SAME_PLACE_KM:
                raise CampaignError(
                    f"{source}: station {station.station_id} stands at two places, "
                    f"{known.latitude_deg:.5f} {known.longitude_deg:.5f} and "
                    f"{station.latitude_deg:.5f} {station.longitude_deg:.5f}. "
                    "Keep only the epoch of your recordings, or give the two sensors different location codes."
                )
            self._stations[station.station_id] = station
        self._by_place: dict[str, list[str]] = {}
        for station_id in self._stations:
            network, code, _ = station_id.split(".")
            self._by_place.setdefault(f"{network}.{code}", []).append(station_id)
            if network:
                self._by_place.setdefault(f".{code}", []).append(station_id)

    def __getitem__(self, station_id: str) -> Station:
        return self._stations[station_id]

    def __len__(self) -> int:
        return len(self._stations)

    def __iter__(self) -> Iterator[Station]:
        return iter(self._stations.values())

    def __contains__(self, station: object) -> bool:
        return (station.station_id if isinstance(station, Station) else station) in self._stations

    def __repr__(self) -> str:
        return f"<StationTable of {len(self)} stations from {self.source}>"

    @property
    def station_ids(self) -> tuple[str, ...]:
        """Ids in table order."""
        return tuple(self._stations)

    def find(self, station_id: str) -> Station | None:
        """Station of this id, or else the only one with this NET.STA (or, without a network code, this STA).

        Waveforms and picks often carry a location code that the inventory has not, or the reverse. None where no
        station or more than one fits.
        """
        station = self._stations.get(station_id)
        if station is not None:
            return station
        network, code, _ = [*station_id.split("."), "", ""][:3]
        places = [f"{network}.{code}"]
        if network in ("", "NA", "??", "--"):  # what catalogue formats without network codes leave behind
            places.append(f".{code}")
        for place in places:
            candidates = self._by_place.get(place, [])
            if len(candidates) == 1:
                return self._stations[candidates[0]]
        return None

    def orientation(self, seed_id: str) -> tuple[float, float] | None:
        """(azimuth_deg, dip_deg) of channel NET.STA.LOC.CHA where the inventory gives both; dip -90 points up."""
        exact = self._orientations.get(seed_id)
        if exact is not None:
            return exact
        network, code, _, channel = seed_id.split(".")
        prefix, suffix = f"{network}.{code}.", f".{channel}"
        matches = {v for k, v in self._orientations.items() if k.startswith(prefix) and k.endswith(suffix)}
        return matches.pop() if len(matches) == 1 else None

    def select(self, station_ids: Iterable[str]) -> StationTable:
        """Table of these stations only, in this table's order."""
        wanted = set(station_ids)
        return StationTable([s for s in self if s.station_id in wanted], self._orientations, self.source)

    def frame(self, edge_limit_km: float = 30.0) -> Frame:
        """Frame centred on the middle of the stations' box (also across the date line)."""
        if not self._stations:
            raise CampaignError(f"{self.source}: no stations, so there is no centre. Give at least one station.")
        latitudes = [s.latitude_deg for s in self]
        reference = next(iter(self)).longitude_deg
        eastings = [_wrap_deg(s.longitude_deg - reference) for s in self]
        return Frame(
            center_latitude_deg=(min(latitudes) + max(latitudes)) / 2,
            center_longitude_deg=_wrap_deg(reference + (min(eastings) + max(eastings)) / 2),
            edge_limit_km=edge_limit_km,
        )


def read_stations(source: Inventory | StationTable | str | Path) -> StationTable:
    """Stations of an inventory: an obspy `Inventory`, any file obspy reads, a folder of such files, or a CSV.

    The CSV header is network,station,latitude,longitude and optionally location, elevation_m. Epochs and channels of
    one NET.STA.LOC become one station. Raises `CampaignError` for a missing or unreadable file, missing coordinates,
    and one station at two places.
    """
    if isinstance(source, StationTable):
        return source
    if not isinstance(source, str | Path):
        return _from_inventory(source, "the inventory")
    path = Path(source)
    if not path.exists():
        raise CampaignError(f"{path}: no such station file. Give a StationXML file or a CSV of stations.")
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        if not files:
            raise CampaignError(
                f"{path}: the folder holds no station file. Give a StationXML file or a CSV of stations."
            )
        tables = [read_stations(p) for p in files]
        orientations = {k: v for table in tables for k, v in table._orientations.items()}
        return StationTable([s for table in tables for s in table], orientations, path.name)
    if path.suffix.lower() in (".csv", ".txt", ".tsv"):
        return _from_csv(path)
    return _from_inventory(_read_inventory(path), path.name)


def scaled_coordinates(stations: Sequence[Station], frame: Frame, time_scale: float) -> np.ndarray:
    """Network coordinates [station, 2] float32: 0.5 + time_scale * (east_km, north_km) / 222 from the frame's centre.

    A local plane replaces upstream's degrees, so that a kilometre is a kilometre at every latitude.
    """
    latitudes = np.array([s.latitude_deg for s in stations], float)
    longitudes = np.array([s.longitude_deg for s in stations], float)
    east_deg = (longitudes - frame.center_longitude_deg + 180.0) % 360.0 - 180.0
    east_km = east_deg * KM_PER_DEGREE * math.cos(math.radians(frame.center_latitude_deg))
    north_km = (latitudes - frame.center_latitude_deg) * KM_PER_DEGREE
    scaled = 0.5 + time_scale * np.stack([east_km, north_km], axis=-1) / KM_PER_UNIT
    return np.asarray(scaled, np.float32).reshape(len(stations), 2)


def edges(coordinates: np.ndarray, edge_limit_km: float) -> np.ndarray:
    """Edges [2, edge] int64 (row 0 source, row 1 target) of every ordered pair within the limit, self included.

    `coordinates` [station, 2] are scaled ones; the order is upstream's, the source in the outer loop.
    """
    xy = np.asarray(coordinates, np.float64)
    distance = np.hypot(*np.moveaxis(xy[:, None] - xy[None], -1, 0))
    source, target = np.nonzero(distance <= edge_limit_km / KM_PER_UNIT)
    return np.stack([source, target]).astype(np.int64)


def _wrap_deg(angle: float) -> float:
    return (angle + 180.0) % 360.0 - 180.0


def _distance_km(a: Station, b: Station) -> float:
    north = (a.latitude_deg - b.latitude_deg) * KM_PER_DEGREE
    east = _wrap_deg(a.longitude_deg - b.longitude_deg) * KM_PER_DEGREE * math.cos(math.radians(a.latitude_deg))
    return math.hypot(north, east)


def _check_coordinates(station: Station, source: str) -> None:
    latitude, longitude = station.latitude_deg, station.longitude_deg
    if station.station_id.count(".") != 2 or not station.station_id.split(".")[1]:
        raise CampaignError(
            f"{source}: station id {station.station_id!r} is not NET.STA.LOC. Give all three, LOC may be empty."
        )
    if not (math.isfinite(latitude) and math.isfinite(longitude) and abs(latitude) <= 90 and abs(longitude) <= 360):
        raise CampaignError(
            f"{source}: station {station.station_id} has latitude {latitude} and longitude {longitude}. "
            "Give both in degrees (projected metres must be converted first)."
        )


def _read_inventory(path: Path) -> Any:
    import glob

    from obspy import read_inventory

    try:
        return read_inventory(glob.escape(str(path)))
    except Exception as error:  # obspy's readers raise whatever their parsers do
        raise CampaignError(
            f"{path}: not readable as StationXML or another inventory format ({_first_line(error)}). "
            "Give StationXML, or a .csv with the columns network,station,latitude,longitude."
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:160] if text else type(error).__name__


def _from_inventory(inventory: Any, source: str) -> StationTable:
    stations: list[Station] = []
    orientations: dict[str, tuple[float, float]] = {}
    for network in inventory:
        for site in network:
            place = f"{network.code}.{site.code}"
            for channel in site.channels:
                location = (channel.location_code or "").strip().replace("--", "")
                lat, lon = (
                    (channel.latitude, channel.longitude)
                    if channel.latitude is not None and channel.longitude is not None
                    else (site.latitude, site.longitude)
                )
                stations.append(_station(f"{place}.{location}", lat, lon, channel.elevation, source))
                if channel.azimuth is not None and channel.dip is not None:
                    orientations[f"{place}.{location}.{channel.code}"] = (float(channel.azimuth), float(channel.dip))
            if not site.channels:
                stations.append(_station(f"{place}.", site.latitude, site.longitude, site.elevation, source))
    if not stations:
        raise CampaignError(f"{source}: lists no station. Give an inventory at station or channel level.")
    return StationTable(stations, orientations, source)


def _station(station_id: str, latitude: Any, longitude: Any, elevation: Any, source: str) -> Station:
    if latitude is None or longitude is None:
        raise CampaignError(f"{source}: station {station_id} has no coordinates. Add its latitude and longitude.")
    return Station(station_id, float(latitude), float(longitude), float(elevation or 0.0))


def _from_csv(path: Path) -> StationTable:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CampaignError(f"{path}: not readable as text ({error}). Save the table as UTF-8 CSV.") from error
    header = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=header.count)
    rows = csv.DictReader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or []}
    missing = [name for name in ("network", "station", "latitude", "longitude") if name not in columns]
    if missing:
        raise CampaignError(
            f"{path.name}: column {missing[0]!r} is missing; the header is {header.strip()[:120]!r}. "
            "It must name network,station,latitude,longitude and may name location,elevation_m."
        )
    stations = []
    for number, row in enumerate(rows, start=2):
        cell = {name: (row[column] or "").strip() for name, column in columns.items()}
        if not any(cell.values()):
            continue
        if not cell["station"]:
            raise CampaignError(f"{path.name}: line {number} names no station. Fill the column 'station'.")
        station_id = f"{cell['network']}.{cell['station']}.{cell.get('location', '').replace('--', '')}"
        try:
            latitude, longitude = float(cell["latitude"]), float(cell["longitude"])
            elevation = float(cell.get("elevation_m") or 0.0)
        except ValueError as error:
            raise CampaignError(
                f"{path.name}: line {number}, station {station_id}: {error}. Give degrees and metres as numbers."
            ) from error
        stations.append(Station(station_id, latitude, longitude, elevation))
    if not stations:
        raise CampaignError(f"{path.name}: lists no station below its header. Add one line a station.")
    return StationTable(stations, source=path.name)
