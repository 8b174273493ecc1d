"""Stations in tables of columns: CSV in common layouts, FDSN station text, local metres."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from obspy import UTCDateTime

from phaseno_peft.campaign.local_places import local_degrees, projection_zero_m
from phaseno_peft.campaign.station import Direction, Station
from phaseno_peft.campaign.table_headings import Headings, find_headings
from phaseno_peft.campaign.table_numbers import METRES, degrees, factor, is_missing, number, refuse_group
from phaseno_peft.campaign.table_times import DayOrder, day_order, time_of
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_id_of

COLUMNS = {
    "network": ("network", "net", "network_code", "station_network_code", "net_code", "knetwk"),
    "station": (
        *("station", "sta", "station_code", "sta_code", "code", "stat", "stn", "kstnm", "station_id", "station_name"),
        *("receiver", "geophone", "sensor_id", "id", "site_code", "name", "site"),
    ),
    "location": ("location", "loc", "location_code", "station_location_code", "loc_code"),
    "channel": ("channel", "cha", "channel_code"),
    "latitude": ("latitude", "lat", "station_latitude", "station_lat", "stla"),
    "longitude": ("longitude", "lon", "long", "lng", "station_longitude", "station_lon", "stlo"),
    "elevation_m": (
        *("elevation_m", "elevation", "elev", "station_elevation_m", "station_elevation", "up", "z_up", "altitude"),
        *("alt", "stel", "height"),
    ),
    "depth_m": (
        *("depth_m", "depth", "sensor_depth", "burial_depth", "down", "z_down", "stdp", "tvd", "true_vertical_depth"),
        *("depth_below_surface", "depth_below_ground", "depth_bgl"),
    ),
    "subsea_m": ("tvdss", "subsea_depth", "depth_below_sea_level", "depth_bsl", "z_bsl", "tvd_ss", "depth_subsea"),
    "east_m": ("east_m", "east", "easting", "x_east", "utm_x", "utm_e", "utm_east", "utm_easting"),
    "north_m": ("north_m", "north", "northing", "y_north", "utm_y", "utm_n", "utm_north", "utm_northing"),
    "azimuth": ("azimuth", "az"),
    "dip": ("dip",),
    "start": ("start", "starttime", "start_time", "start_date", "on_date"),
    "end": ("end", "endtime", "end_time", "end_date", "off_date"),
}
"""Our names of columns, and what others call them; units may stand behind them, in brackets or not."""
_FDSN_STATION = ("network", "station", "latitude", "longitude", "elevation_m", "site", "start", "end")
_FDSN_CHANNEL = (
    *("network", "station", "location", "channel", "latitude", "longitude", "elevation_m", "depth_m", "azimuth", "dip"),
    *("sensor", "scale", "scale_hz", "units", "rate_hz", "start", "end"),
)
"""Columns of the FDSN station web service's text format, at station and channel level."""
_LATITUDE, _LONGITUDE = (
    ("lat", "latitude", "stla", "stationlat"),
    ("lon", "long", "lng", "longitude", "stlo", "stationlon"),
)
_AGAINST = {"latitude": ("s", "south"), "longitude": ("w", "west")}
"""Words of a heading whose positive numbers count the other way."""
_NEEDED = ("station", "latitude", "longitude")
_NEEDED_LOCALLY = ("station", "east_m", "north_m")
_STILL_OPEN = ("present", "now", "open", "ongoing", "active", "today")
Read = tuple[list[Station], dict[str, list[Direction]]]


def stations_of_table(name: str, text: str, *, in_folder: bool = False) -> Read | None:
    """Stations and directions of a table; None where a file of a folder is about something else.

    Comma, semicolon, tab, bar or blanks part the cells, and the header may stand below a title. Coordinates are
    decimal degrees (with a sign or a side), degrees, minutes and seconds, or metres, kilometres or feet to east and
    north. Raises `CampaignError` naming the line of what cannot be read.
    """
    headings, columns, is_fdsn = _headings(name, text)
    is_local = "latitude" not in columns and "east_m" in columns
    needed = _NEEDED_LOCALLY if is_local else _NEEDED
    missing = [column for column in needed if column not in columns]
    if missing:
        if in_folder and len(missing) >= len(needed) - ("station" in columns):
            return None
        if {"x", "y"} <= set(headings.raw):
            raise CampaignError(
                f"{name}: has columns x and y, which do not say what they are. For local metres name them east_m and "
                "north_m, and the third up_m or down_m; for degrees longitude and latitude."
            )
        header = (headings.delimiter or " ").join(headings.raw)
        if any(re.fullmatch(r"[+-]?\d+[.,]\d+", cell) for cell in headings.raw):
            raise CampaignError(
                f"{name}: line {headings.first_line} is no header ({header[:120]!r}). Write one above it, for example "
                "network,station,latitude,longitude,elevation."
            )
        raise CampaignError(
            f"{name}: column {missing[0]!r} is missing; the header is {header[:120]!r}. "
            "It must name station,latitude,longitude or station,east_m,north_m and may name network,location,"
            "elevation_m,depth_m,start,end."
        )
    return _of_rows(headings, columns, is_local=is_local, is_fdsn=is_fdsn)


def _headings(name: str, text: str) -> tuple[Headings, dict[str, int], bool]:
    """(header, our columns, whether it is FDSN station text, which may have no header).

    Where no line names what is needed, the header is the first one.
    """
    lines = text.splitlines()
    piped = [line if line.count("|") >= len(_FDSN_STATION) - 1 else "" for line in lines]
    if is_fdsn := any(piped):
        text = "\n".join(piped)

    def is_header(headings: Headings) -> bool:
        found = headings.columns(COLUMNS)
        return all(c in found for c in _NEEDED) or all(c in found for c in _NEEDED_LOCALLY)

    if (headings := find_headings(name, text, is_header)) is not None:
        return headings, headings.columns(COLUMNS), is_fdsn
    first = find_headings(name, text, lambda _: True) or Headings(name, 1, ",", (), ())
    if is_fdsn:
        layout = {len(layout): layout for layout in (_FDSN_STATION, _FDSN_CHANNEL)}.get(len(first.raw), ())
        rows = Headings(name, first.first_line - 1, "|", first.raw, piped[first.first_line - 1 :])
        return rows, {column: position for position, column in enumerate(layout)}, True
    return first, first.columns(COLUMNS), False


def _of_rows(headings: Headings, columns: dict[str, int], *, is_local: bool, is_fdsn: bool) -> Read:
    name = headings.name
    place_columns = ("north_m", "east_m") if is_local else ("latitude", "longitude")
    lengths = ("elevation_m", "depth_m", "subsea_m", "east_m", "north_m")
    if not is_fdsn:  # whose first row may be no header
        if not {"elevation_m", "depth_m", "subsea_m"} & set(columns):
            _refuse_z(headings)
        headings.refuse_doubles(
            columns[c] for c in (*place_columns, "station", "elevation_m", "depth_m") if c in columns
        )
    angles = {} if is_local or is_fdsn else _angles(headings, columns)
    try:
        metres = {c: factor(*headings.units.get(c, ("", c)), METRES) for c in lengths if c in columns}
    except ValueError as error:
        raise CampaignError(f"{name}: {error}") from error
    epochs = [columns[c] for c in ("start", "end") if c in columns]
    order = day_order(row[i] for _, row in headings.rows() for i in epochs if i < len(row))
    stations: list[Station] = []
    directions: dict[str, list[Direction]] = {}
    zero_m: tuple[float, float] | None = None
    for line, row in headings.rows():
        cell = {column: row[i].strip() if i < len(row) else "" for column, i in columns.items()}
        if not any(cell.values()) or (row and row[0].lstrip().startswith("#")):
            continue
        if not cell["station"]:
            raise CampaignError(f"{name}: line {line} names no station. Fill the column 'station'.")
        station_id = _id_of_row(cell, f"{name}: line {line}")
        for column in place_columns:
            if is_missing(cell[column]):
                raise CampaignError(
                    f"{name}: line {line}, station {station_id}: no {column} is given. Fill it, or delete the line."
                )
        try:
            for column in (*place_columns, *lengths):
                refuse_group(cell.get(column, ""), headings.delimiter)
            if is_local:
                north_m, east_m = (number(cell[c]) * metres[c] for c in place_columns)
                zero_m = zero_m or projection_zero_m(east_m, north_m)
                place = local_degrees(east_m - zero_m[0], north_m - zero_m[1])
            else:
                place = (_degrees("latitude", cell, row, angles), _degrees("longitude", cell, row, angles))
            up_m, down_m = (_metres(cell, column, metres) for column in ("elevation_m", "depth_m"))
            elevation_m = up_m if is_fdsn else up_m - down_m  # FDSN's elevations are of the sensor
            if not is_missing(cell.get("subsea_m", "")):
                elevation_m = -_metres(cell, "subsea_m", metres)
            turns = [math.nan if is_missing(cell.get(c, "")) else number(cell[c]) for c in ("azimuth", "dip")]
            epoch = (_time_ns(cell.get("start", ""), order), _time_ns(cell.get("end", ""), order))
        except ValueError as error:
            raise CampaignError(
                f"{name}: line {line}, station {station_id}: {error}. Give degrees and metres as numbers."
            ) from error
        stations.append(Station(station_id, *place, elevation_m, *epoch))
        if cell.get("channel") and all(map(math.isfinite, turns)):
            direction = Direction(turns[0], turns[1], *epoch)
            add_direction(directions.setdefault(f"{station_id}.{cell['channel']}", []), direction)
    if not stations:
        raise CampaignError(f"{name}: lists no station below its header. Add one line a station.")
    return stations, directions


@dataclass(frozen=True)
class _Angle:
    """Where the parts of a coordinate stand, and whether its heading turns it round."""

    parts: dict[str, int]
    is_turned: bool


def _angles(headings: Headings, columns: dict[str, int]) -> dict[str, _Angle]:
    found = {}
    for column, names, sides in (
        ("latitude", _LATITUDE, ("ns", "sn", "nors")),
        ("longitude", _LONGITUDE, ("ew", "we", "eorw")),
    ):
        parts = headings.of_angle(names, sides)
        words = re.split(r"[\W_]+", headings.raw[columns[column]])
        turned = any(word in _AGAINST[column] for word in words)
        found[column] = _Angle({k: i for k, i in parts.items() if i != columns[column]}, turned)
    return found


def _degrees(column: str, cell: dict[str, str], row: list[str], angles: dict[str, _Angle]) -> float:
    """A coordinate, of one cell or of several. Raises `ValueError`."""
    if (angle := angles.get(column)) is None:
        return degrees(cell[column])
    texts = [cell[column].strip()]
    for part in ("minute", "second", "side"):
        text = row[angle.parts[part]].strip() if part in angle.parts and angle.parts[part] < len(row) else ""
        if not is_missing(text):
            texts.append(text)
    whole = degrees(" ".join(texts))
    return -abs(whole) if angle.is_turned else whole


def _refuse_z(headings: Headings) -> None:
    """Raise `CampaignError` for a z of which nobody knows if it is up or down."""
    for heading in headings.raw:
        if re.fullmatch(r"z([\W_]+(m|km|ft|feet|metres|meters))?[\W_]*", heading):
            raise CampaignError(
                f"{headings.name}: column {heading!r} does not say whether it is up or down. Name it up_m, down_m, "
                "elevation_m (above sea level) or depth_m (below the surface)."
            )


def _metres(cell: dict[str, str], column: str, metres: dict[str, float]) -> float:
    text = cell.get(column, "")
    return 0.0 if is_missing(text) else number(text) * metres[column]


def add_direction(listed: list[Direction], direction: Direction) -> None:
    """Add a channel's direction; one is kept for all time where a channel never turned."""
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


def checked_id(network: Any, code: Any, location: Any, source: str) -> str:
    """NET.STA.LOC; `CampaignError` names the source."""
    try:
        return station_id_of(network, str(code or ""), location)
    except CampaignError as error:
        raise CampaignError(f"{source}: {error} Correct the codes.") from None


def _id_of_row(cell: dict[str, str], where: str) -> str:
    """NET.STA.LOC of a row; without a network column the station may be an id, with a band behind it (GaMMA)."""
    fields = cell["station"].split(".")
    if "network" in cell and len(fields) > 1 and fields[0] == cell["network"]:
        fields = fields[1:]
        return checked_id(cell["network"], fields[0], fields[1] if len(fields) > 1 else cell.get("location"), where)
    if "network" in cell or len(fields) == 1:
        return checked_id(cell.get("network"), cell["station"], cell.get("location"), where)
    return checked_id(fields[0], fields[1], fields[2] if len(fields) > 2 else cell.get("location"), where)


def _time_ns(text: str, order: DayOrder | None) -> int | None:
    """Of an epoch's begin or end, which may be a day; None where it is open."""
    if is_missing(text) or text.lower() in _STILL_OPEN:
        return None
    for written in (text, f"{text} 00:00:00"):
        try:
            return int(time_of(written, order).ns)
        except ValueError:
            continue
    try:
        return int(UTCDateTime(text).ns)
    except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
        raise ValueError(f"time {text!r} is not like 2024-01-31T00:00:00") from error
