"""Files of stations: StationXML and its kin by obspy, FDSN station text and tables of columns by ourselves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.foreign import foreign_kind
from phaseno_peft.campaign.seisbench_files import chunks_of, set_folder
from phaseno_peft.campaign.station import Direction, Station
from phaseno_peft.campaign.station_lines import (
    stations_of_columns,
    stations_of_nlloc,
    stations_of_seisan,
    stations_of_velest,
)
from phaseno_peft.campaign.station_tables import add_direction, checked_id, stations_of_table
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.table_files import decoded, is_wide_text, tables_of
from phaseno_peft.campaign.unpack import obspy_format, obspy_path, plain_files
from phaseno_peft.campaign.xml_files import is_xml, refuse_document_type
from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from obspy import Inventory

FORMATS = ("STATIONXML", "SCML", "INVENTORYXML", "XSEED", "SEED")
"""obspy's readers that give coordinates and take nothing but text, or SEED; RESP files have no coordinates."""
_WHAT_TO_GIVE = "Give StationXML, FDSN station text, or a .csv with the columns station,latitude,longitude."
TEXT_READERS = (stations_of_seisan, stations_of_nlloc, stations_of_velest, stations_of_columns)
"""Each gives None for what is not its format."""


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
                        add_direction(directions.setdefault(seed_id, []), direction)
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
    if (tables := tables_of(name, path, head)) is not None:
        return _of_tables(name, tables, in_folder=in_folder)
    if (foreign := foreign_kind(head)) is not None:
        if in_folder:
            return None
        raise CampaignError(f"{name}: {foreign}.")
    if is_xml(head):
        refuse_document_type(name, path, "StationXML")
    elif not head.startswith(b"000001V"):  # SEED's volume header
        if b"\0" in head and not is_wide_text(head):
            if in_folder:
                return None
            raise CampaignError(f"{name}: is no text and no inventory format. {_WHAT_TO_GIVE}")
        return _of_text(name, decoded(path.read_bytes()), in_folder=in_folder)
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
                station_id = checked_id(network.code, site.code, channel.location_code, source)
                elevation_m = _elevation_m(channel, site)
                stations.append(_station(station_id, latitude, longitude, elevation_m, epoch, source))
                if channel.azimuth is not None and channel.dip is not None:
                    direction = Direction(float(channel.azimuth), float(channel.dip), *epoch)
                    add_direction(directions.setdefault(f"{station_id}.{channel.code}", []), direction)
            if not site.channels:
                epoch = _epoch_ns(site, site)
                station_id = checked_id(network.code, site.code, "", source)
                stations.append(_station(station_id, site.latitude, site.longitude, site.elevation, epoch, source))
    if not stations:
        raise CampaignError(f"{source}: lists no station. Give an inventory at station or channel level.")
    return stations, directions


def _elevation_m(channel: Any, site: Any) -> float:
    """Of the sensor: FDSN's channel elevation is that, but many files give the ground's, which the site gives too."""
    ground_m, depth_m = float(site.elevation or 0.0), float(channel.depth or 0.0)
    elevation_m = float(channel.elevation if channel.elevation is not None else ground_m)
    return elevation_m - depth_m if depth_m > 0 and abs(elevation_m - ground_m) < depth_m / 2 else elevation_m


def _epoch_ns(channel: Any, site: Any) -> tuple[int | None, int | None]:
    start = channel.start_date or site.start_date
    end = channel.end_date or site.end_date
    return (None if start is None else int(start.ns), None if end is None else int(end.ns))


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


def _of_text(name: str, text: str, *, in_folder: bool) -> tuple[list[Station], dict[str, list[Direction]]] | None:
    for read in TEXT_READERS:
        if (found := read(name, text)) is not None:
            return found, {}
    return stations_of_table(name, text, in_folder=in_folder)


def _of_tables(
    name: str, tables: Iterable[tuple[str, str]], *, in_folder: bool
) -> tuple[list[Station], dict[str, list[Direction]]] | None:
    """Of the first sheet of a workbook that lists stations, or of another table that is no text."""
    sheets = list(tables)
    for i, (sheet, text) in enumerate(sheets):
        is_last = i == len(sheets) - 1
        where = f"{name}, sheet {sheet}" if sheet else name
        if (found := stations_of_table(where, text, in_folder=in_folder or not is_last)) is not None:
            return found
    return None
