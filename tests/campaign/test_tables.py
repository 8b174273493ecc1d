"""Tables of picks and stations as people export them: encodings, delimiters, decimal commas, dates, workbooks."""

from __future__ import annotations

import json
import sys
import zipfile
from datetime import datetime
from pathlib import Path

import pytest

from phaseno_peft.campaign import read_catalogue, read_stations
from phaseno_peft.campaign.catalog import LabelledPick
from phaseno_peft.campaign.table_headings import Headings
from phaseno_peft.campaign.table_numbers import degrees, number
from phaseno_peft.campaign.table_times import time_of
from phaseno_peft.errors import CampaignError

P_S = (1580474096.78, 1580474098.12)
"""2020-01-31T12:34:56.78 and 12:34:58.12."""
ONE_PICK_A_ROW = "network,station,phase,time\nNZ,ABC,P,2020-01-31T12:34:56.780\nNZ,ABC,S,2020-01-31T12:34:58.120\n"
STATIONS = "network,station,latitude,longitude,elevation\nNZ,ABC,-41.25,174.5,120\nNZ,DEF,-41.35,174.6,80\n"


def picks_of(content: str | bytes, folder: Path) -> tuple[LabelledPick, ...]:
    path = folder / "picks.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_catalogue(path).picks


def places(content: str | bytes, folder: Path) -> list[tuple[str, float, float, float]]:
    path = folder / "stations.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [
        (s.station_id, round(s.latitude_deg, 6), round(s.longitude_deg, 6), round(s.elevation_m, 1))
        for s in read_stations(path)
    ]


def with_times(p: str, s: str) -> str:
    return f"network;station;phase;time\nNZ;ABC;P;{p}\nNZ;ABC;S;{s}\n"


PICKS: dict[str, str | bytes] = {
    "UTF-8 with a mark": "\ufeff" + ONE_PICK_A_ROW,
    "Excel's Unicode text": ONE_PICK_A_ROW.replace(",", "\t").encode("utf-16"),
    "UTF-16 without a mark": ONE_PICK_A_ROW.encode("utf-16-be"),
    "Windows-1252": ONE_PICK_A_ROW.replace("network,", "network,analyst,").replace("NZ,", "NZ,Jörg,").encode("cp1252"),
    "blanks": "network  station phase time\nNZ  ABC P 2020-01-31 12:34:56.780\nNZ  ABC S 2020-01-31 12:34:58.120\n",
    "bars": ONE_PICK_A_ROW.replace(",", "|"),
    "carriage returns": ONE_PICK_A_ROW.replace("\n", "\r"),
    "a title": "Picks of campaign X,,,\n,,,\n" + ONE_PICK_A_ROW,
    "comments": "# picks\n# of 2021\n" + ONE_PICK_A_ROW.replace("NZ,ABC,S", "# S\nNZ,ABC,S"),
    "pandas' index": ONE_PICK_A_ROW.replace("network", ",network").replace("NZ", "7,NZ"),
    "row numbers called id": ONE_PICK_A_ROW.replace("network", "id").replace("NZ", "7"),
    "decimal commas": with_times("31.01.2020 12:34:56,780", "31.01.2020 12:34:58,120"),
    "zones": with_times("2020-01-31T12:34:56.780Z", "2020-01-31 14:34:58.120000+02:00"),
    "slashes": with_times("2020/01/31 12:34:56.780", "2020/1/31T12:34:58.12"),
    "compact": with_times("20200131T123456.780", "20200131123458.12"),
    "day of the year without signs": with_times("2020031123456.78", "2020031123458.12"),
    "an offset of its own": ONE_PICK_A_ROW.replace("time", "time,utc_offset")
    .replace("T12", " 05")
    .replace("80\n", "80,-7\n")
    .replace("20\n", "20,-07:00\n"),
    "milliseconds of their own": ONE_PICK_A_ROW.replace("time", "time,msec")
    .replace(".780", ",780")
    .replace(".120", ",120"),
    "microseconds in parts": "station,phase,year,month,day,hour,minute,second,microsecond\n"
    "ABC,P,2020,1,31,12,34,56,780000\nABC,S,2020,1,31,12,34,58,120000\n",
    "fractions": ONE_PICK_A_ROW.replace("time", "time,fraction").replace(".780", ",0.78").replace(".120", ",0.12"),
    "a magnitude called Ms": ONE_PICK_A_ROW.replace("time", "time,Ms")
    .replace("80\n", "80,2\n")
    .replace("20\n", "20,2\n"),
    "day of the year": with_times("2020-031T12:34:56.780", "2020031 12:34:58.12"),
    "month first": with_times("1/31/2020 12:34:56.780 PM", "1/31/2020 12:34:58.120"),
    "month's name": with_times("31-Jan-2020 12:34:56.780", "Jan 31, 2020 12:34:58.12"),
    "Unix seconds and milliseconds": with_times("1580474096.78", "1580474098120"),
    "Unix micro- and nanoseconds": with_times("1580474096780000", "1580474098120000000"),
    "date and clock apart": (
        "net,sta,phase,date,time\nNZ,ABC,P,2020-01-31,12:34:56.780\nNZ,ABC,S,2020-01-31 00:00:00,123458.12\n"
    ),
    "a time in parts": (
        "net,sta,phase,year,month,day,hour,minute,second\n"
        "NZ,ABC,P,2020,1,31,12,34,56.78\nNZ,ABC,S,2020,1,31,12,34,58.12\n"
    ),
    "a column for each phase": (
        "Event ID,Station,P Pick Time,S Pick Time\n1,ABC,2020-01-31T12:34:56.780,2020-01-31T12:34:58.120\n2,DEF,-,\n"
    ),
    "parts of both times": (
        "source_id,station_code,year,month,day,hour_p,minute_p,p_arr_sec,p_onset,hour_s,minute_s,s_arr_sec\n"
        "1,ABC,2020,01,31,12,34,56.78,I,12,34,58.12\n"
    ),
    "P and S as columns": "evid,net,sta,P,S\n1,NZ,ABC,2020-01-31 12:34:56.780,2020-01-31 12:34:58.120\n",
    "headings with units": (
        "Network;Station Code;Phase Type;Arrival Time (UTC)\n"
        "NZ;ABC;iP;2020-01-31T12:34:56.780\nNZ;ABC;ES 2;2020-01-31T12:34:58.120\n"
    ),
    "paths of Windows": (
        "station_id,phase_time,phase_type,file_name\n"
        "NZ.ABC.10.HH,2020-01-31T12:34:56.780,P,C:\\new\\x.mseed\nNZ.ABC.10.HH,2020-01-31T12:34:58.120,S,C:\\x.mseed\n"
    ),
    "JSON records": json.dumps(
        [
            {"id": "NZ.ABC..HH", "timestamp": "2020-01-31T12:34:56.780", "prob": 0.9, "type": "p"},
            {"id": "NZ.ABC..HH", "timestamp": "2020-01-31T12:34:58.120", "prob": 0.8, "type": "s"},
        ]
    ),
    "rows without a time": ONE_PICK_A_ROW + "NZ,DEF,P,\nNZ,DEF,S,NaT\n,,,\n",
}


@pytest.mark.parametrize("kind", PICKS)
def test_tables_of_picks_are_read_as_people_export_them(kind: str, tmp_path: Path) -> None:
    picks = picks_of(PICKS[kind], tmp_path)
    assert [(p.phase, round(p.time.timestamp, 4)) for p in picks] == [("P", P_S[0]), ("S", P_S[1])]
    assert {p.station_id.split(".")[1] for p in picks} == {"ABC"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_times("3/4/2020 12:34:56.7", "3/4/2020 12:34:58.1"), "line 2: '3/4/2020 12:34:56.7' may be day/month or"),
        (with_times("31.01.2020 12:34", "31.01.2020 12:34"), "line 2: .* has no seconds. Excel leaves them out"),
        (with_times("43861.5242683", "43861.5242838"), "days since a date that is not said"),
        (with_times("12:34:56.780", "12:34:58.120"), "has no date. Add a column 'date'"),
        (with_times("2020-01-31", "2020-01-31"), "has no time of day"),
        (with_times("2020-02-31 12:34:56.7", "2020-02-31 12:34:58.7"), "is no day"),
        (with_times("6.78", "8.12"), "no absolute time"),
        ("sta,phase,year,month,day,hour,minute,second\nA,P,2020,1,1e999,12,34,56.7\n", "'1e999' is no whole number"),
        ("phase,time\nP,2020-01-31T12:34:56.780\n", "column 'station' is missing; the header is 'phase,time'"),
        ("station,time\nABC,2020-01-31T12:34:56.780\n", "column 'phase' is missing"),
        (ONE_PICK_A_ROW.replace("time", "time (MST)"), r"the column 'time \(mst\)' says that times are 'mst', not UTC"),
        (ONE_PICK_A_ROW.replace("time", "Arrival [local]"), "says that times are 'local', not UTC"),
        ("# all times are local (UTC-7)\n" + ONE_PICK_A_ROW, "the title '# all times are local .UTC-7.' says"),
        (
            ONE_PICK_A_ROW.replace("time", "time,tz").replace("80\n", "80,America/Edmonton\n"),
            "is not an offset from UTC",
        ),
        (with_times("200131123456.78", "200131123458.12"), "line 2: '200131123456.78' may be a date and a clock"),
        (with_times("2001311234", "2001311235"), "may be a date and a clock as well as seconds"),
        (ONE_PICK_A_ROW.replace(".780", ",780"), "line 2 has 5 cells, the header 4"),
        (
            "station,phase,time,phase,time\nABC,P,2020-01-31T12:34:56.7,S,2020-01-31T12:34:58.1\n",
            "'phase' stands 2 times",
        ),
        ("station,p_time,s_minus_p\nABC,2020-01-31T12:34:56.78,1.34\n", "gives S only as S-P"),
        ("ABC,P,2020-01-31T12:34:56.78\n", "is a table without a header that names station, phase and time; it begins"),
        ("", "is empty"),
        (ONE_PICK_A_ROW.replace("time", "time,error (h)").replace(".780", ".780,1"), "unit of column 'error \\(h\\)'"),
    ],
)
def test_what_no_table_says_is_refused_with_the_next_step(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=message):
        picks_of(content, tmp_path)


def test_an_event_number_that_begins_again_each_day_is_told_and_parted(tmp_path: Path) -> None:
    day = "event,station,phase,time\n1,ABC,P,2020-01-31T12:34:56.78\n1,ABC,S,2020-01-31T12:34:58.12\n"
    (tmp_path / "picks.csv").write_text(day + "".join(day.replace("-31T", "-30T").splitlines(keepends=True)[1:]))
    read = read_catalogue(tmp_path / "picks.csv")
    assert [len(event.picks) for event in read.events] == [2, 2]
    assert any("an event number that is given again more than 10 minutes later" in f.text for f in read.findings)


def test_rejected_picks_are_no_labels_and_other_columns_of_quality_are_told(tmp_path: Path) -> None:
    table = ONE_PICK_A_ROW.replace("time", "time,status,weight").replace("80\n", "80,manual,0\n")
    picks = picks_of(table.replace("20\n", "20,Rejected,4\n"), tmp_path)
    assert [p.usable for p in picks] == [True, False]
    assert any("column 'weight' is not read" in f.text for f in read_catalogue(tmp_path / "picks.csv").findings)


def test_s_after_midnight_is_of_the_next_day_and_told(tmp_path: Path) -> None:
    picks = picks_of("station,date,P,S\nABC,2020-01-31,23:59:58.10,00:00:01.30\n", tmp_path)
    assert [str(p.time)[:19] for p in picks] == ["2020-01-31T23:59:58", "2020-02-01T00:00:01"]
    assert any("taken for the day after" in f.text for f in read_catalogue(tmp_path / "picks.csv").findings)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("station,lat_deg,lat_min,lon_deg,lon_min\nA,41,15.3,-81,12.1\n", (41.255, -81.201667, 0.0)),
        ("station,Lat (deg),Lat (min),Lon (deg),Lon (min)\nA,41,15.3,-81,12.1\n", (41.255, -81.201667, 0.0)),
        (
            "station,Lat Deg,Lat Min,Lat Sec,NS,Lon Deg,Lon Min,Lon Sec,EW\nA,41,15,18,N,81,12,6,W\n",
            (41.255, -81.201667, 0.0),
        ),
        ("station,Latitude (S),Longitude (W)\nA,41.5,81.25\n", (-41.5, -81.25, 0.0)),
        ("station,latitude,longitude,TVD (ft)\nA,41.5,81.25,1000\n", (41.5, 81.25, -304.8)),
        ("station,latitude,longitude,elevation,tvdss\nA,41.5,81.25,300,1000\n", (41.5, 81.25, -1000.0)),
    ],
)
def test_coordinates_in_several_columns_and_depths_below_the_sea(
    rows: str, expected: tuple[float, float, float], tmp_path: Path
) -> None:
    assert places(rows, tmp_path)[0][1:] == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('station,lat,lon,elev\nA,41.5,81.25,"1,120"\n', "line 2, station .A.: '1,120' may be 1120 or 1.120"),
        ("station,easting,northing,z\nA,1,2,-700\n", "column 'z' does not say whether it is up or down"),
        ("station,lat,lon,elev\nA,41,5,81,25,300\n", "line 2 has 6 cells, the header 4"),
        ("station,lat,lon,lat\nA,41.5,81.25,41.6\n", "'lat' stands 2 times"),
    ],
)
def test_what_may_be_two_places_is_refused(rows: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=message):
        places(rows, tmp_path)


def test_values_that_stand_for_none_and_one_place_for_all_are_told(tmp_path: Path) -> None:
    rows = "station,lat,lon,elev\nA,41.1,-81.2,-9999\nB,41.11,-81.21,300\nC,41.12,-81.3,310\n"
    places(rows, tmp_path)
    table = read_stations(tmp_path / "stations.csv")
    assert any("-9999 m, which no place on Earth has, or which stands for no value" in f.text for f in table.findings)
    places("station,lat,lon,elev\nA,41.1,-81.2,3\nB,41.1,-81.2,3\n", tmp_path)
    assert any("all 2 stations stand at one place" in f.text for f in read_stations(tmp_path / "stations.csv").findings)


def test_days_before_months_are_told_by_any_row_of_the_table(tmp_path: Path) -> None:
    picks = picks_of(with_times("3/4/2020 12:34:56.7", "13/4/2020 12:34:56.7"), tmp_path)
    assert [p.time.strftime("%Y-%m-%d") for p in picks] == ["2020-04-03", "2020-04-13"]


def test_uncertainties_and_probabilities_are_read_in_their_unit(tmp_path: Path) -> None:
    table = "station;phase;time;uncertainty_ms;prob (%)\nABC;P;2020-01-31T12:34:56,78;20,5;95\n"
    (pick,) = picks_of(table, tmp_path)
    assert (pick.uncertainty_s, pick.weight) == (pytest.approx(0.0205), pytest.approx(0.95))


def test_weight_4_of_hypo71_is_no_label_and_whole_seconds_are_told(tmp_path: Path) -> None:
    rows = "".join(f"A{i},IPU{4 if i == 3 else 1},2020-01-31T12:34:{10 + i}\n" for i in range(6))
    (tmp_path / "picks.csv").write_text("station,phase,time\n" + rows)
    catalogue = read_catalogue(tmp_path / "picks.csv")
    assert [p.usable for p in catalogue.picks] == [True, True, True, False, True, True]
    assert any("whole seconds" in finding.text for finding in catalogue.findings)


STATION_TABLES: dict[str, str | bytes] = {
    "Excel's Unicode text": STATIONS.replace(",", "\t").encode("utf-16"),
    "Windows-1252": STATIONS.replace("work,", "work,name,").replace("NZ,", "NZ,Hütte,").encode("cp1252"),
    "decimal commas": STATIONS.replace(",", ";").replace(".", ","),
    "blanks": STATIONS.replace(",", "   "),
    "a title": "Stations of campaign X,,,,\n\n" + STATIONS,
    "headings with units": STATIONS.replace("latitude,longitude,elevation", "Lat (deg),Lon (deg),Elev (m a.s.l.)"),
    "kilometres": STATIONS.replace("elevation", "elevation_km").replace("120", "0.12").replace("80", "0.08"),
    "feet": STATIONS.replace("elevation", "Elevation [ft]").replace("120", "393.7008").replace("80", "262.4672"),
    "SAC's names": STATIONS.replace("network,station,latitude,longitude,elevation", "KNETWK,KSTNM,STLA,STLO,STEL"),
    "sides": STATIONS.replace("-41.25", "41.25S").replace("-41.35", "S 41.35").replace("174.5", "174.5 E"),
    "degrees, minutes, seconds": (
        'net;sta;lat;lon;elev\nNZ;ABC;"41° 15\' 00,0"" S";174:30:00;120\nNZ;DEF;-41 21 0;174°36.0\'E;80\n'
    ),
    "HypoDD": "NZABC -41.25 174.5 120\nDEF -41.35 174.6 80\n".replace("NZABC", "ABC"),
    "REAL": "174.5 -41.25 NZ ABC HHZ 0.12\n174.6 -41.35 NZ DEF HHZ 0.08\n",
    "VELEST": "(a4,f7.4,a1,1x,f8.4,a1,1x,i4)\nABC 41.2500S 174.5000E  120\nDEF 41.3500S 174.6000E   80\n\n",
    "EQTransformer": json.dumps(
        {
            "ABC": {"network": "NZ", "channels": ["HHZ"], "coords": [-41.25, 174.5, 120]},
            "DEF": {"network": "NZ", "channels": ["HHZ"], "coords": [-41.35, 174.6, 80]},
        }
    ),
    "days of epochs": STATIONS.replace("elevation", "elevation,start,end").replace("120", "120,13.05.2019,present"),
}


@pytest.mark.parametrize("kind", STATION_TABLES)
def test_tables_of_stations_are_read_as_people_export_them(kind: str, tmp_path: Path) -> None:
    found = [(i.split(".")[1], *place) for i, *place in places(STATION_TABLES[kind], tmp_path)]
    assert found == [("ABC", -41.25, 174.5, 120.0), ("DEF", -41.35, 174.6, 80.0)]


@pytest.mark.parametrize(("unit", "size"), [("m", 1.0), ("km", 0.001), ("ft", 1 / 0.3048)])
def test_local_places_are_read_in_their_unit(unit: str, size: float, tmp_path: Path) -> None:
    rows = f"A,{100 * size},{200 * size},{300 * size}\nB,{150 * size},{260 * size},{310 * size}\n"
    in_unit = places(f"station,east_{unit},north_{unit},depth_{unit}\n{rows}", tmp_path)
    in_metres = places("station,east_m,north_m,down_m\nA,100,200,300\nB,150,260,310\n", tmp_path)
    assert in_unit == in_metres


def test_a_table_of_stations_without_a_header_or_a_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"line 1 is no header .* Write one above it"):
        places("NZ,ABC,-41.25,174.5,120\n", tmp_path)
    with pytest.raises(CampaignError, match=r"line 3, station NZ\.DEF\.: no latitude is given. Fill it"):
        places("net,sta,lat,lon\nNZ,ABC,-41.25,174.5\nNZ,DEF,,174.6\n", tmp_path)
    with pytest.raises(CampaignError, match="'41:75:00' is no coordinate"):
        places("net,sta,lat,lon\nNZ,ABC,41:75:00,174.5\n", tmp_path)


def test_workbooks_are_read_sheet_by_sheet(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Campaign X"])
    sheet = book.create_sheet("picks")
    sheet.append(["Network", "Station", "Phase", "Time"])
    sheet.append(["NZ", "ABC", "P", datetime(2020, 1, 31, 12, 34, 56, 780000)])
    sheet.append(["NZ", "ABC", "S", "2020-01-31T12:34:58.120"])
    places_of = book.create_sheet("stations")
    places_of.append(["Network", "Station", "Latitude", "Longitude"])
    places_of.append(["NZ", "ABC", -41.25, 174.5])
    book.save(tmp_path / "all.xlsx")
    picks = read_catalogue(tmp_path / "all.xlsx").picks
    assert [round(p.time.timestamp, 3) for p in picks] == list(P_S)
    assert [s.station_id for s in read_stations(tmp_path / "all.xlsx")] == ["NZ.ABC."]
    whole = (tmp_path / "all.xlsx").read_bytes()
    (tmp_path / "half.xlsx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CampaignError, match=r"half\.xlsx"):
        read_catalogue(tmp_path / "half.xlsx")


def test_parquet_tables_are_read(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = pa.array([int(1e9 * t) for t in P_S], pa.timestamp("ns"))
    columns = {"station_id": ["NZ.ABC.", "NZ.ABC."], "phase": ["P", "S"], "time": times, "waveform": [[1.0], [2.0]]}
    parquet.write_table(pa.table(columns), tmp_path / "picks.parquet")
    picks = read_catalogue(tmp_path / "picks.parquet").picks
    assert [round(p.time.timestamp, 3) for p in picks] == list(P_S)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1" + 40 * b"\1" + b"PAR1")
    with pytest.raises(CampaignError, match=r"broken\.parquet: damaged or not readable as Parquet"):
        read_catalogue(tmp_path / "broken.parquet")


def test_numbers_and_times_that_are_none_are_refused() -> None:
    assert number("4,512,345.6") == 4512345.6
    assert degrees("12°30′W") == -12.5
    for text in ("", "4,5,6", "north"):
        with pytest.raises(ValueError, match="is no number"):
            number(text)
    for text in ("-12 30 W", "N 12 N", "12 61"):
        with pytest.raises(ValueError, match=r"no coordinate|sign and a side"):
            degrees(text)
    for text in ("2020-13-01T00:00:00", "2020-366T25:00:00", "13:00:00 PM", "31-Foo-2020 12:00:00", "0.5", "1e400"):
        with pytest.raises(ValueError, match="time should be like"):
            time_of(text)


def test_a_broken_line_of_velest_and_a_cut_off_json_are_refused(tmp_path: Path) -> None:
    velest = str(STATION_TABLES["VELEST"])
    with pytest.raises(CampaignError, match=r"stations\.csv: line 3: 'DEF 41\.3500X .*' is not a station of VELEST"):
        places(velest.replace("41.3500S", "41.3500X"), tmp_path)
    with pytest.raises(CampaignError, match=r"picks\.csv: not readable as QuakeML or another event format"):
        picks_of(str(PICKS["JSON records"])[:-20], tmp_path)
    with pytest.raises(CampaignError, match=r"stations\.csv: "):
        places(str(STATION_TABLES["EQTransformer"])[:-20], tmp_path)


@pytest.mark.parametrize(("package", "content"), [("openpyxl", None), ("pyarrow", b"PAR1" + bytes(20) + b"PAR1")])
def test_a_package_that_is_not_installed_is_named(
    package: str, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picks.table"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("[Content_Types].xml", "<?xml version='1.0'?><Types/>")
            archive.writestr("xl/workbook.xml", "<?xml version='1.0'?><workbook/>")
    else:
        path.write_bytes(content)
    monkeypatch.setitem(sys.modules, package, None)  # importing it fails, as where it is not installed
    with pytest.raises(CampaignError, match=rf"needs {package}\. Install it \(pip install 'phaseno-peft\[tables\]'\)"):
        read_catalogue(path)


def test_a_heading_of_open_brackets_is_looked_at_once() -> None:
    """Each once for every alias, and from every bracket to the end, this took eight seconds."""
    headings = Headings("a", 1, ",", ("[" * 9000, "elev [m]", "depth (ft)"), ())
    assert headings.columns({"elevation_m": ("elev",), "depth_m": ("depth",)}) == {"elevation_m": 1, "depth_m": 2}
    assert headings.units == {"elevation_m": ("m", "elev [m]"), "depth_m": ("ft", "depth (ft)")}
