"""Station tables from StationXML and CSV, and the network's coordinates."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import zipfile

import pytest
from obspy import UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network
from obspy.core.inventory import Station as Site

from phaseno_peft.campaign import Station, StationTable, read_catalogue, read_stations
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_fields


def inventory(*channels: tuple[str, str, float, float | None]) -> Inventory:
    """Channels of NZ.FRAN given as (location, code, latitude, dip)."""
    site = Site("FRAN", latitude=-43.0, longitude=170.0, elevation=100.0)
    for location, code, latitude, dip in channels:
        azimuth = None if dip is None else 0.0
        site.channels.append(
            Channel(
                code, location, latitude=latitude, longitude=170.0, elevation=90.0, depth=0.0, azimuth=azimuth, dip=dip
            )
        )
    return Inventory(networks=[Network("NZ", stations=[site])], source="test")


def test_channels_and_epochs_of_one_site_become_one_station() -> None:
    stations = read_stations(inventory(("", "HHZ", -43.0, -90), ("", "HHN", -43.0, 0), ("", "HHZ", -43.00002, -90)))
    assert stations.station_ids == ("NZ.FRAN.",)
    assert stations.orientation("NZ.FRAN..HHZ") == (0.0, -90.0)
    assert stations.orientation("NZ.FRAN.10.HHZ") == (0.0, -90.0)  # the only HHZ there is


def test_one_station_at_two_places_is_refused_with_both_places() -> None:
    with pytest.raises(CampaignError, match=r"NZ\.FRAN\. stands at two places.*-43\.00000.*-43\.10000"):
        read_stations(inventory(("", "HHZ", -43.0, -90), ("", "HHZ", -43.1, -90)))


def test_station_level_inventory_gives_stations_without_location_code() -> None:
    assert read_stations(inventory()).station_ids == ("NZ.FRAN.",)


def test_location_code_is_forgiven_where_it_is_unambiguous() -> None:
    one = StationTable([Station("NZ.FRAN.10", 0, 0, 0)])
    assert one.find("NZ.FRAN.") is one["NZ.FRAN.10"]
    assert one.find(".FRAN.") is one["NZ.FRAN.10"]  # catalogues without network codes
    assert one.find("AF.FRAN.") is None
    two = StationTable([Station("NZ.FRAN.10", 0, 0, 0), Station("NZ.FRAN.20", 0, 0.01, 0)])
    assert two.find("NZ.FRAN.") is None
    assert two.find("NZ.FRAN.20") is two["NZ.FRAN.20"]
    assert "NZ.FRAN.20" in two
    assert two["NZ.FRAN.20"] in two
    assert "NZ.FRAN." not in two


def test_csv_is_read_with_any_usual_delimiter(tmp_path) -> None:
    for delimiter in ",;\t":
        path = tmp_path / "stations.csv"
        rows = [
            "network station latitude longitude location elevation_m",
            "NZ FRAN -43.5 170.25 10 120",
            "NZ WZ02 -43 170 -- 1",
        ]
        path.write_text("\n".join(r.replace(" ", delimiter) for r in rows))
        stations = read_stations(path)
        assert stations.station_ids == ("NZ.FRAN.10", "NZ.WZ02.")
        assert stations["NZ.FRAN.10"] == Station("NZ.FRAN.10", -43.5, 170.25, 120.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network,station,latitude\nNZ,A,1\n", "'longitude' is missing"),
        ("network,station,latitude,longitude\nNZ,A,1,east\n", "line 2.*east"),
        ("network,station,latitude,longitude\nNZ,A,512345.0,170\n", "NZ.A. has latitude 512345"),
        ("network,station,latitude,longitude\nNZ,,1,2\n", "line 2 names no station"),
        ("network,station,latitude,longitude\n", "no station below its header"),
        ("", "'station' is missing"),
    ],
)
def test_csv_errors_name_line_and_value(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "stations.csv"
    path.write_text(text)
    with pytest.raises(CampaignError, match=message):
        read_stations(path)


def test_missing_and_unreadable_files_are_refused_by_name(tmp_path) -> None:
    with pytest.raises(CampaignError, match=r"absent\.xml: no such station file"):
        read_stations(tmp_path / "absent.xml")
    (tmp_path / "bad.xml").write_text("<not><an></inventory>")
    with pytest.raises(CampaignError, match=r"bad\.xml: not readable as StationXML"):
        read_stations(tmp_path / "bad.xml")


def test_frame_is_the_middle_of_the_box_also_across_the_date_line() -> None:
    frame = StationTable([Station("A.A.", 10, 179.5, 0), Station("A.B.", 12, -179.5, 0)]).frame()
    assert frame.center_latitude_deg == 11.0
    assert abs(frame.center_longitude_deg) == 180.0


def epoch(start: int, end: int | None, latitude: float, code: str = "FRAN") -> Station:
    """NZ.<code>. at a latitude from the first day of one year to that of another."""
    return Station(f"NZ.{code}.", latitude, 170.0, 0.0, year_ns(start), None if end is None else year_ns(end))


def year_ns(year: int) -> int:
    return int(UTCDateTime(year, 1, 1).ns)


def days(year: int, first: float = 100.0, n: float = 0.01) -> tuple[UTCDateTime, UTCDateTime]:
    start = UTCDateTime(year, 1, 1) + 86400 * first
    return start, start + 86400 * n


def test_a_station_that_moved_stands_where_it_stood_at_the_time() -> None:
    table = StationTable([epoch(2015, 2018, -43.0), epoch(2018, None, -43.1)])
    assert table.station_ids == ("NZ.FRAN.",)
    assert table["NZ.FRAN."].latitude_deg == -43.1  # the latest
    for year, latitude in ((2016, -43.0), (2019, -43.1)):
        then = table.at(*days(year))
        assert then["NZ.FRAN."].latitude_deg == latitude
        assert then.findings_of(["NZ.FRAN."]) == []
    before = table.at(*days(2014))
    assert before["NZ.FRAN."].latitude_deg == -43.0
    assert "none holds the record's time" in before.findings_of(["NZ.FRAN."])[0].text
    across = table.at(UTCDateTime(2018, 1, 1) - 60, UTCDateTime(2018, 1, 1) + 90)
    assert across["NZ.FRAN."].latitude_deg == -43.1
    assert "moved in the record's time" in across.findings_of(["NZ.FRAN."])[0].text


def test_a_station_that_came_back_has_three_epochs() -> None:
    table = StationTable([epoch(2015, 2016, -43.0), epoch(2016, 2017, -43.1), epoch(2017, None, -43.0)])
    assert [table.at(*days(year))["NZ.FRAN."].latitude_deg for year in (2015, 2016, 2017)] == [-43.0, -43.1, -43.0]


def test_epochs_of_one_place_need_no_dates() -> None:
    table = StationTable([epoch(2015, 2016, -43.0), epoch(2015, 2019, -43.00001), epoch(2021, None, -43.0)])
    assert table.at(*days(2014)) is table
    assert table.at(*days(2020)).find("NZ.FRAN.") is table["NZ.FRAN."]


def test_two_places_at_once_cost_only_that_station_and_name_both() -> None:
    table = StationTable([epoch(2015, None, -43.0), epoch(2018, None, -43.1), epoch(2015, None, -43.2, "WZ02")])
    assert table.at(*days(2016))["NZ.FRAN."].latitude_deg == -43.0
    late = table.at(*days(2019))
    assert late.station_ids == ("NZ.WZ02.",)
    assert late.find("NZ.FRAN.") is None
    assert "two places at once (-43.00000 170.00000 and -43.10000 170.00000)" in late.why_not("NZ.FRAN.")


def test_directions_follow_the_epochs() -> None:
    def channel(start: int, end: int, azimuth: float) -> Channel:
        times = {"start_date": UTCDateTime(start, 1, 1), "end_date": UTCDateTime(end, 1, 1)}
        return Channel("HH1", "", -43.0, 170.0, 0.0, 0.0, azimuth=azimuth, dip=0.0, **times)

    site = Site("FRAN", -43.0, 170.0, 0.0, channels=[channel(2015, 2018, 0.0), channel(2018, 2030, 90.0)])
    table = read_stations(Inventory([Network("NZ", [site])], source="test"))
    assert table.at(*days(2016)).orientation("NZ.FRAN..HH1") == (0.0, 0.0)
    assert table.at(*days(2019)).orientation("NZ.FRAN..HH1") == (90.0, 0.0)
    assert table.at(*days(2019)).orientation("NZ.FRAN.99.HH1") == (90.0, 0.0)


def test_sensors_of_one_site_stand_in_for_each_other_and_far_ones_are_called_ambiguous() -> None:
    site = StationTable([Station("NZ.FRAN.00", -43.0, 170.0, 0), Station("NZ.FRAN.10", -43.0002, 170.0, 0)])
    for wanted in ("NZ.FRAN.", "NZ.FRAN.99", ".FRAN."):
        assert site.find(wanted) is site["NZ.FRAN.00"]
    far = StationTable([Station("NZ.FRAN.00", -43.0, 170.0, 0), Station("NZ.FRAN.10", -43.01, 170.0, 0)])
    assert far.find("NZ.FRAN.") is None
    assert "several places for it (NZ.FRAN.00 at -43.00000 170.00000, NZ.FRAN.10 at -43.01000" in far.why_not(
        "NZ.FRAN."
    )
    assert far.why_not("NZ.WZ02.") == "the station table does not list the station"


def test_location_codes_that_followed_each_other_are_told_apart_by_time() -> None:
    def sensor(location: str, start: int, end: int | None, latitude: float) -> Station:
        return Station(f"NZ.FRAN.{location}", latitude, 170.0, 0, year_ns(start), end and year_ns(end))

    table = StationTable([sensor("00", 2015, 2018, -43.0), sensor("10", 2018, None, -43.1)])
    assert table.find("NZ.FRAN.") is None
    assert table.find("NZ.FRAN.", UTCDateTime(2016, 5, 1)) is table["NZ.FRAN.00"]
    assert table.at(*days(2019)).find("NZ.FRAN.") is table["NZ.FRAN.10"]


def test_dots_in_a_station_code_are_part_of_the_code(tmp_path) -> None:
    assert station_fields("Z7.DYJN.1.") == ("Z7", "DYJN.1", "")
    assert station_fields("Z7.A.B.C.10") == ("Z7", "A.B.C", "10")
    (tmp_path / "s.csv").write_text("network,station,latitude,longitude\nZ7,DYJN.1,10,10\nZ7,DYJN,10.1,10\n")
    table = read_stations(tmp_path / "s.csv")
    assert table.station_ids == ("Z7.DYJN.1.", "Z7.DYJN.")
    assert table.find("Z7.DYJN.1.00") is table["Z7.DYJN.1."]
    assert table.find("Z7.DYJN.2.") is None
    assert table.orientation("Z7.DYJN.2..HHZ") is None
    with pytest.raises(CampaignError, match=r"'Z7\.DYJN' is not NET\.STA\.LOC"):
        StationTable([Station("Z7.DYJN", 0, 0, 0)])


FDSN_STATION = "XX|AAA|10.0|20.0|5.0|A place, on a hill|2020-01-01T00:00:00|\n"
FDSN_CHANNEL = "XX|AAA|00|HHZ|10.0|20.0|5.0|0.0|0.0|-90.0|Trillium|1e9|1.0|M/S|100.0|2020-01-01T00:00:00|2021-01-01\n"


@pytest.mark.parametrize("ending", ["txt", "csv", "fdsn", "xml", "text.gz"])
@pytest.mark.parametrize(
    ("text", "station_id"),
    [
        ("#Network | Station | Latitude | Longitude | Elevation | SiteName | StartTime | EndTime\n" + FDSN_STATION, ""),
        (FDSN_STATION, ""),
        (FDSN_CHANNEL, "00"),
        ("#dataset: GeoCSV 2.0\n#delimiter: |\nNetwork|Station|Latitude|Longitude|Elevation|SiteName|StartTime|"
         "EndTime\n" + FDSN_STATION, ""),
    ],
)  # fmt: skip
def test_station_text_of_the_fdsn_service_is_read_by_its_content(tmp_path, ending: str, text: str, station_id) -> None:
    path = tmp_path / f"stations.{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    (station,) = read_stations(path)
    assert station.station_id == f"XX.AAA.{station_id}"
    assert (station.latitude_deg, station.longitude_deg, station.elevation_m) == (10.0, 20.0, 5.0)
    assert station.start_ns == year_ns(2020)
    assert read_stations(path).orientation("XX.AAA.00.HHZ") == ((0.0, -90.0) if station_id else None)


def test_a_csv_may_give_epochs(tmp_path) -> None:
    (tmp_path / "s.csv").write_text(
        "network,station,latitude,longitude,start,end\nNZ,A,1,2,2015-01-01,2018-01-01\nNZ,A,1.5,2,2018-01-01,\n"
    )
    assert read_stations(tmp_path / "s.csv").at(*days(2016))["NZ.A."].latitude_deg == 1.0


def test_a_folder_passes_over_what_is_no_station_file_and_says_so(tmp_path) -> None:
    inventory(("10", "HHZ", -43.0, -90)).write(str(tmp_path / "fran.xml"), "STATIONXML")
    (tmp_path / "README.md").write_text("Stations of the Alpine Fault, as delivered.\n")
    (tmp_path / "plan.pdf").write_bytes(b"%PDF-1.4\0\0")
    (tmp_path / "more.csv").write_text("network,station,latitude,longitude\nNZ,B,-43.1,170\n")
    table = read_stations(tmp_path)
    assert table.station_ids == ("NZ.FRAN.10", "NZ.B.")
    assert any("README.md, plan.pdf passed over" in f.text for f in table.findings)


class Executed:
    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lambda content: zipped("a.xml", content)])
@pytest.mark.parametrize("read", [read_stations, read_catalogue])
def test_a_pickle_is_never_opened_however_wrapped(tmp_path, read, pack) -> None:
    (tmp_path / "stations.xml").write_bytes(pack(b"obspy.core.stream" + pickle.dumps(Executed())))
    with pytest.raises(CampaignError):
        read(tmp_path / "stations.xml")


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def hostile_xml(root: str, secret: str) -> dict[str, bytes]:
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "x" * 99}">' for i in range(9))
    texts = {
        "bomb": f"<!DOCTYPE q [{bomb}]><{root}>&e8;</{root}>",
        "external": f'<!DOCTYPE q [<!ENTITY e SYSTEM "file://{secret}">]><{root}>&e;</{root}>',
        "declared outside": f'<!DOCTYPE q SYSTEM "file://{secret}"><{root}/>',
    }
    return {k: t.encode() for k, t in texts.items()} | {
        "UTF-16": ('<?xml version="1.0" encoding="UTF-16"?>' + texts["bomb"]).encode("utf-16")
    }


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda content: zipped("a.xml", content)])
@pytest.mark.parametrize("kind", ["bomb", "external", "declared outside", "UTF-16"])
@pytest.mark.parametrize(
    ("read", "root"), [(read_stations, "FDSNStationXML"), (read_catalogue, "quakeml")], ids=["stations", "picks"]
)
def test_xml_that_declares_entities_is_refused_also_when_packed(tmp_path, read, root: str, kind: str, pack) -> None:
    (tmp_path / "secret").write_text("XX")
    (tmp_path / "a.xml").write_bytes(pack(hostile_xml(root, str(tmp_path / "secret"))[kind]))
    with pytest.raises(CampaignError, match=r"a\.xml: (declares an XML document type|not readable as)"):
        read(tmp_path / "a.xml")


def test_an_archive_of_station_files_is_read_like_a_folder(tmp_path) -> None:
    file = io.BytesIO()
    inventory(("10", "HHZ", -43.0, -90)).write(file, "STATIONXML")
    (tmp_path / "stations.zip").write_bytes(zipped("net/fran.xml", file.getvalue()))
    assert read_stations(tmp_path / "stations.zip").station_ids == ("NZ.FRAN.10",)
