"""Tables of picks and stations as people export them, and station files of other programs, all of them good."""

from __future__ import annotations

import io
import json
from importlib.util import find_spec

from obspy import UTCDateTime

from benchmarks.attack.subject import START, Subject

Row = tuple[str, str, str, UTCDateTime]
"""Network, station, phase, time."""


def tables_of_picks(subject: Subject) -> dict[str, bytes]:
    """File name -> content of the picks of one event."""
    rows: list[Row] = [
        (*station.station_id.split(".")[:2], phase, START + onset + late * number)  # type: ignore[misc]  # two of three
        for number, station in enumerate(subject.stations)
        for phase, onset, late in (("P", 1.5, 0.2), ("S", 2.6, 0.35))
    ]
    header = ["Network", "Station", "Phase", "Time"]
    texts = [header, *([net, code, phase, str(time)] for net, code, phase, time in rows)]
    local = [f"{net};{code};{phase};{time.strftime('%d.%m.%Y %H:%M:%S,%f')}" for net, code, phase, time in rows]
    by_station: dict[str, dict[str, str]] = {}
    for _, code, phase, time in rows:
        by_station.setdefault(code, {})[phase] = str(time)
    records = [{"id": f"{net}.{code}.", "timestamp": str(t), "type": p, "prob": 0.9} for net, code, p, t in rows]
    files = {
        "picks-utf16.txt": "\n".join("\t".join(row) for row in texts).encode("utf-16"),
        "picks-local.csv": "\n".join(["Network;Station;Phase;Time", *local]).encode("cp1252"),
        "picks-blanks.txt": "\n".join("  ".join(row) for row in texts).encode(),
        "picks-wide.csv": "\n".join(
            ["evid,sta,P,S", *(f"1,{code},{times['P']},{times['S']}" for code, times in by_station.items())]
        ).encode(),
        "picks-parts.csv": "\n".join(
            ["sta,phase,year,month,day,hour,minute,second"]
            + [f"{code},{phase},{time.strftime('%Y,%m,%d,%H,%M,%S.%f')}" for _, code, phase, time in rows]
        ).encode(),
        "picks-records.json": json.dumps(records).encode(),
    }
    if find_spec("openpyxl"):
        files["picks.xlsx"] = workbook(texts)
    if find_spec("pyarrow"):
        files["picks.parquet"] = _parquet(texts)
    return files


def tables_of_stations(subject: Subject) -> dict[str, bytes]:
    """File name -> content of the subject's stations."""
    places = [(*s.station_id.split(".")[:2], s.latitude_deg, s.longitude_deg, s.elevation_m) for s in subject.stations]
    header = ["Network", "Station", "Latitude", "Longitude", "Elevation (m)"]
    texts = [header, *([str(cell) for cell in place] for place in places)]
    sided = [
        f"{code} {abs(lat):.4f}{'NS'[lat < 0]} {abs(lon):.4f}{'EW'[lon < 0]} {up:.0f}"
        for _, code, lat, lon, up in places
    ]
    minutes = [
        f"{net};{code};{int(abs(lat))}°{60 * (abs(lat) % 1):.4f}'{'NS'[lat < 0]};{lon};{up}"
        for net, code, lat, lon, up in places
    ]
    listed = {code: {"network": net, "coords": [lat, lon, up]} for net, code, lat, lon, up in places}
    files = {
        "stations-utf16.txt": "\n".join("\t".join(row) for row in texts).encode("utf-16"),
        "stations-blanks.txt": "\n".join(" ".join(row[:4]) for row in texts).encode(),
        "stations-minutes.csv": "\n".join(["net;sta;lat;lon;elev", *minutes]).encode(),
        "stations.velest": "\n".join(["(a4,f7.4,a1,1x,f8.4,a1,1x,i4)", *sided, ""]).encode(),
        "station.dat": "\n".join(f"{code} {lat} {lon} {up}" for _, code, lat, lon, up in places).encode(),
        "station.real": "\n".join(f"{lon} {lat} {net} {code} HHZ 0.1" for net, code, lat, lon, _ in places).encode(),
        "station_list.json": json.dumps(listed).encode(),
    }
    if find_spec("openpyxl"):
        files["stations.xlsx"] = workbook(texts)
    if find_spec("pyarrow"):
        files["stations.parquet"] = _parquet(texts)
    return files


def workbook(rows: list[list[str]]) -> bytes:
    """One sheet of these rows."""
    import openpyxl

    book, content = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(content)
    return content.getvalue()


def _parquet(rows: list[list[str]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    sink = pa.BufferOutputStream()
    columns = zip(*rows[1:], strict=True)
    parquet.write_table(pa.table({name: list(cells) for name, cells in zip(rows[0], columns, strict=True)}), sink)
    return bytes(sink.getvalue())
