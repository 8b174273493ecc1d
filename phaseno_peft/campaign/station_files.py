"""Files of stations: StationXML and its kin by obspy, FDSN station text and tables of columns by ourselves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obspy import UTCDateTime

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.foreign import foreign_kind
from phaseno_peft.campaign.local_places import local_degrees, projection_zero_m
from phaseno_peft.campaign.seisbench_files import chunks_of, set_folder
from phaseno_peft.campaign.station import Direction, Station
from phaseno_peft.campaign.station_lines import stations_of_nlloc, stations_of_seisan
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.table_rows import table_rows
from phaseno_peft.campaign.unpack import obspy_format, obspy_path, plain_files
from phaseno_peft.campaign.xml_files import is_xml, refuse_document_type
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_id_of

if TYPE_CHECKING:
    from obspy import Inventory

FORMATS = ("STATIONXML", "SCML", "INVENTORYXML", "XSEED", "SEED")
"""obspy's readers that give coordinates and take nothing but text, or SEED; RESP files have no coordinates."""
COLUMNS = {
    "network": ("network", "net", "network_code", "station_network_code"),
    "station": ("station", "sta", "station_code", "code", "id", "station_id"),
    "location": ("location", "loc", "location_code", "station_location_code"),
    "channel": ("channel", "cha", "channel_code"),
    "latitude": ("latitude", "lat", "latitude_deg", "station_latitude_deg", "station_lat"),
    "longitude": ("longitude", "lon", "long", "longitude_deg", "station_longitude_deg", "station_lon"),
    "elevation_m": ("elevation_m", "elevation", "elev", "elevation(m)", "station_elevation_m", "up_m", "z_up_m"),
    "depth_m": ("depth_m", "depth", "sensor_depth_m", "burial_depth_m", "down_m", "z_down_m"),
    "east_m": ("east_m", "easting_m", "easting", "x_east_m"),
    "north_m": ("north_m", "northing_m", "northing", "y_north_m"),
    "azimuth": ("azimuth", "azimuth_deg"),
    "dip": ("dip", "dip_deg"),
    "start": ("start", "starttime", "start_time", "start_date"),
    "end": ("end", "endtime", "end_time", "end_date"),
}
"""Our names of columns, and what others call them."""
_FDSN_STATION = ("network", "station", "latitude", "longitude", "elevation_m", "site", "start", "end")
_FDSN_CHANNEL = (
    *("network", "station", "location", "channel", "latitude", "longitude", "elevation_m", "depth_m", "azimuth", "dip"),
    *("sensor", "scale", "scale_hz", "units", "rate_hz", "start", "end"),
)
"""Columns of the FDSN station web service's text format, at station and channel level."""
_NEEDED = ("station", "latitude", "longitude")
_NEEDED_LOCALLY = ("station", "east_m", "north_m")
_WHAT_TO_GIVE = "Give StationXML, FDSN station text, or a .csv with the columns station,latitude,longitude."


def read_stations(source: Inventory | StationTable | str | Path) -> StationTable:
    """Stations of an obspy `Inventory`, or of a file or folder of StationXML (SCML, SEED), FDSN station text, or CSV.

    The content decides, not the ending; archives are opened. STATION0.HYP and NonLinLoc's GTSRCE lines are read too,
    and the metadata of a set in SeisBench's format. A CSV's header names station,latitude,longitude, or
    station,east_m,north_m for local metres (also of a projection), and may name network, location, elevation_m (or
    up_m), depth_m (or down_m), start and end. Epochs and channels of one NET.STA.LOC become one station, which may have
    had several places. Raises `CampaignError` for a missing or unreadable file, missing coordinates, and one station at
    two places at once.
    """
    if isinstance(source, StationTable):
        return source
    if not isinstance(source, str | Path):
        return StationTable(*_of_inventory(source, "the inventory"), source="the inventory")
    path = Path(source)
    if not path.exists():
        raise CampaignError(f"{path}: no such station file. Give a StationXML file or a CSV of stations.")
    in_folder = path.is_dir() and set_folder(path) is None
    files = [path]
    if in_folder:
        files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    elif path.is_dir():  # a set in SeisBench's format
        files = [chunk.metadata for chunk in chunks_of(path)]
    if not files:
        raise CampaignError(f"{path}: the folder holds no station file. Give a StationXML file or a CSV of stations.")
    stations: list[Station] = []
    directions: dict[str, list[Direction]] = {}
    passed_over: list[str] = []
    for file in files:
        with plain_files(file) as members:
            for name, member in members:
                read = _read_file(name, member, in_folder=in_folder or member != file)
                if read is None:
                    passed_over.append(name)
                    continue
                stations += read[0]
                for seed_id, listed in read[1].items():
                    for direction in listed:
                        _add(directions.setdefault(seed_id, []), direction)
    if not stations:
        raise CampaignError(f"{path}: holds no file of stations. {_WHAT_TO_GIVE}")
    table = StationTable(stations, directions, path.name)
    if passed_over:
        more = f" and {len(passed_over) - 3} more" if len(passed_over) > 3 else ""
        text = f"{path.name}: {', '.join(passed_over[:3])}{more} passed over: no files of stations."
        table.findings = (*table.findings, Finding("note", text))
    return table


def _read_file(name: str, path: Path, *, in_folder: bool) -> tuple[list[Station], dict[str, list[Direction]]] | None:
    """Stations and directions of a plain file; None where a file of a folder is about something else."""
    with path.open("rb") as file:
        head = file.read(512)
    if (foreign := foreign_kind(head)) is not None:
        if in_folder:
            return None
        raise CampaignError(f"{name}: {foreign}.")
    if is_xml(head):
        refuse_document_type(name, path, "StationXML")
    elif not head.startswith(b"000001V"):  # SEED's volume header
        return None if in_folder and b"\0" in head else _of_text(name, path, in_folder=in_folder)
    format_name = obspy_format("inventory", path, FORMATS)
    if format_name is None:
        if in_folder:
            return None
        raise CampaignError(f"{name}: not readable as StationXML or another inventory format. {_WHAT_TO_GIVE}")
    from obspy import read_inventory

    try:
        inventory = read_inventory(obspy_path(path), format=format_name, check_compression=False)
    except Exception as error:  # obspy's readers raise whatever their parsers do
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise CampaignError(f"{name}: not readable as {format_name} ({first}). {_WHAT_TO_GIVE}") from error
    return _of_inventory(inventory, name)


def _of_inventory(inventory: Any, source: str) -> tuple[list[Station], dict[str, list[Direction]]]:
    stations: list[Station] = []
    directions: dict[str, list[Direction]] = {}
    for network in inventory:
        for site in network:
            for channel in site.channels:
                latitude, longitude = (
                    (channel.latitude, channel.longitude)
                    if channel.latitude is not None and channel.longitude is not None
                    else (site.latitude, site.longitude)
                )
                epoch = _epoch_ns(channel, site)
                station_id = _station_id(network.code, site.code, channel.location_code, source)
                elevation_m = _elevation_m(channel, site)
                stations.append(_station(station_id, latitude, longitude, elevation_m, epoch, source))
                if channel.azimuth is not None and channel.dip is not None:
                    direction = Direction(float(channel.azimuth), float(channel.dip), *epoch)
                    _add(directions.setdefault(f"{station_id}.{channel.code}", []), direction)
            if not site.channels:
                epoch = _epoch_ns(site, site)
                station_id = _station_id(network.code, site.code, "", source)
                stations.append(_station(station_id, site.latitude, site.longitude, site.elevation, epoch, source))
    if not stations:
        raise CampaignError(f"{source}: lists no station. Give an inventory at station or channel level.")
    return stations, directions


def _elevation_m(channel: Any, site: Any) -> float:
    """Of the sensor: FDSN's channel elevation is that, but many files give the ground's, which the site gives too."""
    ground_m, depth_m = float(site.elevation or 0.0), float(channel.depth or 0.0)
    elevation_m = float(channel.elevation if channel.elevation is not None else ground_m)
    return elevation_m - depth_m if depth_m > 0 and abs(elevation_m - ground_m) < depth_m / 2 else elevation_m


def _add(listed: list[Direction], direction: Direction) -> None:
    """Keep one direction for all time where a channel never turned."""
    same = [i for i, d in enumerate(listed) if (d.azimuth_deg, d.dip_deg) == (direction.azimuth_deg, direction.dip_deg)]
    if same and len(listed) == 1:
        first = listed[0]
        starts, ends = (first.start_ns, direction.start_ns), (first.end_ns, direction.end_ns)
        listed[0] = Direction(
            first.azimuth_deg,
            first.dip_deg,
            None if None in starts else min(s for s in starts if s is not None),
            None if None in ends else max(e for e in ends if e is not None),
        )
    else:
        listed.append(direction)


def _epoch_ns(channel: Any, site: Any) -> tuple[int | None, int | None]:
    start = channel.start_date or site.start_date
    end = channel.end_date or site.end_date
    return (None if start is None else int(start.ns), None if end is None else int(end.ns))


def _station_id(network: Any, code: Any, location: Any, source: str) -> str:
    try:
        return station_id_of(network, str(code or ""), location)
    except CampaignError as error:
        raise CampaignError(f"{source}: {error} Correct the codes.") from None


def _station(
    station_id: str,
    latitude: Any,
    longitude: Any,
    elevation: Any,
    epoch_ns: tuple[int | None, int | None],
    source: str,
) -> Station:
    if latitude is None or longitude is None:
        raise CampaignError(f"{source}: station {station_id} has no coordinates. Add its latitude and longitude.")
    return Station(station_id, float(latitude), float(longitude), float(elevation or 0.0), *epoch_ns)


def _of_text(name: str, path: Path, *, in_folder: bool) -> tuple[list[Station], dict[str, list[Direction]]] | None:
    """Stations of a table with a header (CSV, FDSN station text, GeoCSV), or of FDSN station text without one."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        if in_folder:
            return None
        raise CampaignError(f"{name}: not readable as text ({error}). Save the table as UTF-8 CSV.") from error
    for read in (stations_of_seisan, stations_of_nlloc):
        if (found := read(name, text)) is not None:
            return found, {}
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    piped = [(number, line) for number, line in lines if line.count("|") >= len(_FDSN_STATION) - 1]
    lines = piped or lines
    header = lines[0][1].lstrip("#").strip() if lines else ""
    delimiter = "|" if piped else max(",;\t", key=header.count)
    _, cells = next(table_rows(name, [header], delimiter), (1, []))
    names = [cell.strip().lower() for cell in cells]
    columns = {
        ours: names.index(theirs) for ours, all_ in COLUMNS.items() for theirs in reversed(all_) if theirs in names
    }  # the first of several names wins
    if piped and "latitude" not in columns:
        layout = {len(layout): layout for layout in (_FDSN_STATION, _FDSN_CHANNEL)}.get(len(names), ())
        columns = {column: position for position, column in enumerate(layout)}
    else:
        lines = lines[1:]
    is_local = "latitude" not in columns and "east_m" in columns
    needed = _NEEDED_LOCALLY if is_local else _NEEDED
    missing = [column for column in needed if column not in columns]
    if missing:
        if in_folder and len(missing) >= len(needed) - ("station" in columns):
            return None
        if {"x", "y"} <= set(names):
            raise CampaignError(
                f"{name}: has columns x and y, which do not say what they are. For local metres name them east_m and "
                "north_m, and the third up_m or down_m; for degrees longitude and latitude."
            )
        raise CampaignError(
            f"{name}: column {missing[0]!r} is missing; the header is {header[:120]!r}. "
            "It must name station,latitude,longitude or station,east_m,north_m and may name network,location,"
            "elevation_m,depth_m,start,end."
        )
    stations: list[Station] = []
    directions: dict[str, list[Direction]] = {}
    zero_m: tuple[float, float] | None = None
    for number, line in lines:
        _, row = next(table_rows(name, [line], delimiter, number))
        cell = {column: row[i].strip() if i < len(row) else "" for column, i in columns.items()}
        if not any(cell.values()) or line.startswith("#"):
            continue
        if not cell["station"]:
            raise CampaignError(f"{name}: line {number} names no station. Fill the column 'station'.")
        station_id = _id_of_row(cell, f"{name}: line {number}")
        try:
            places = [float(cell[column]) for column in needed[1:]]
            elevation_m = float(cell.get("elevation_m") or 0.0) - (0.0 if piped else float(cell.get("depth_m") or 0.0))
            if is_local:
                zero_m = zero_m or projection_zero_m(places[0], places[1])
                places = list(local_degrees(places[0] - zero_m[0], places[1] - zero_m[1]))
            turns = [float(cell.get(column) or "nan") for column in ("azimuth", "dip")]
            epoch = (_time_ns(cell.get("start", "")), _time_ns(cell.get("end", "")))
        except ValueError as error:
            raise CampaignError(
                f"{name}: line {number}, station {station_id}: {error}. Give degrees and metres as numbers."
            ) from error
        stations.append(Station(station_id, places[0], places[1], elevation_m, *epoch))
        if cell.get("channel") and all(map(math.isfinite, turns)):
            direction = Direction(turns[0], turns[1], *epoch)
            _add(directions.setdefault(f"{station_id}.{cell['channel']}", []), direction)
    if not stations:
        raise CampaignError(f"{name}: lists no station below its header. Add one line a station.")
    return stations, directions


def _id_of_row(cell: dict[str, str], where: str) -> str:
    """NET.STA.LOC of a row; without a network column the station may be an id, with a band behind it (GaMMA)."""
    fields = cell["station"].split(".")
    if "network" in cell or len(fields) == 1:
        return _station_id(cell.get("network"), cell["station"], cell.get("location"), where)
    return _station_id(fields[0], fields[1], fields[2] if len(fields) > 2 else cell.get("location"), where)


def _time_ns(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(UTCDateTime(text).ns)
    except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
        raise ValueError(f"time {text!r} is not like 2024-01-31T00:00:00") from error
