"""Station tables from StationXML and CSV, and the network's coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obspy.core.inventory import Channel, Inventory, Network
from obspy.core.inventory import Station as Site

from phaseno_peft.campaign import Station, StationTable, edges, read_stations, scaled_coordinates
from phaseno_peft.contract import Frame
from phaseno_peft.errors import CampaignError


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
    two = StationTable([Station("NZ.FRAN.10", 0, 0, 0), Station("NZ.FRAN.20", 0, 0, 0)])
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
        ("", "'network' is missing"),
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


def test_a_kilometre_is_a_kilometre_at_every_latitude() -> None:
    # 222 km to the unit square (golden/README.md); 1 degree of latitude is 6371 km * pi / 180 = 111.195 km.
    for latitude in (0.0, 45.0, -78.0):
        frame = Frame(latitude, 20.0)
        east = Station("A.E.", latitude, 20.0 + 0.1 / np.cos(np.radians(latitude)), 0)
        north = Station("A.N.", latitude + 0.1, 20.0, 0)
        xy = scaled_coordinates([east, north], frame, 3.0)
        assert xy.dtype == np.float32
        np.testing.assert_allclose(xy, [[0.5 + 3 * 11.1195 / 222, 0.5], [0.5, 0.5 + 3 * 11.1195 / 222]], atol=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9))
def test_edges_are_all_near_pairs_with_self_in_upstreams_order(points: list[tuple[float, float]]) -> None:
    xy = np.array(points)
    expected = [(i, j) for i in range(len(xy)) for j in range(len(xy)) if np.hypot(*(xy[i] - xy[j])) <= 30.0 / 222.0]
    assert [tuple(e) for e in edges(xy, 30.0).T.tolist()] == expected
    assert {(i, i) for i in range(len(xy))} <= set(expected)
