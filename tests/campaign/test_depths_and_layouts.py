"""Stations in other layouts than StationXML and our CSV, local metres, and depth in the network's two coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy.core.inventory import Channel, Inventory, Network
from obspy.core.inventory import Station as Site

from phaseno_peft.backbone import StationGraph
from phaseno_peft.campaign import Station, StationTable, read_stations, scaled_coordinates
from phaseno_peft.campaign.coordinates import local_km
from phaseno_peft.campaign.depths import depth_shifts_m
from phaseno_peft.campaign.local_places import LOCAL_ORIGIN_DEG
from phaseno_peft.errors import CampaignError

SEISAN = "RESET TEST(02)=500.0\n\n  FOO 6135.94N  502.88E  20\n ABCDE4717583S  725610W-150\n\n 6.200   0.000\n"
NLLOC = (
    "CONTROL 1 54321\n"
    "GTSRCE FOO LATLON 46.5 -7.25 0.0 1.5\n"
    "GTSRCE BAR LATLONDM 46 30.0 N 7 15.0 W 0.3 1.5\n"
    "GTSRCE BAZ LATLONDS 46 30 0.0 S 7 15 0.0 E 0.0 0.0\n"
    "GTSRCE LOC XYZ 1.0 2.0 0.5 0.0\n"
)


def test_seisan_station_lines_have_degrees_minutes_and_metres(tmp_path) -> None:
    (tmp_path / "STATION0.HYP").write_text(SEISAN)
    foo, other = read_stations(tmp_path / "STATION0.HYP")
    assert (foo.station_id, foo.elevation_m) == (".FOO.", 20.0)
    assert (foo.latitude_deg, foo.longitude_deg) == pytest.approx((61.599, 5.048), abs=1e-6)
    # Minutes without a point have three decimals: 17.583 and 25.610.
    assert (other.station_id, other.elevation_m) == (".ABCDE.", -150.0)
    assert (other.latitude_deg, other.longitude_deg) == pytest.approx((-47.29305, -7.42683), abs=1e-4)
    (tmp_path / "STATION0.HYP").write_text(SEISAN.replace(" ABCDE4717583S", " ABCDE47x7583S"))
    with pytest.raises(CampaignError, match=r"STATION0\.HYP: line 4: .*is not a station of STATION0\.HYP"):
        read_stations(tmp_path / "STATION0.HYP")


def test_nonlinloc_station_lines_in_all_their_angles(tmp_path) -> None:
    (tmp_path / "run.in").write_text(NLLOC.replace("GTSRCE LOC", "# GTSRCE LOC"))
    table = read_stations(tmp_path / "run.in")
    assert [(s.station_id, s.latitude_deg, s.longitude_deg, s.elevation_m) for s in table] == [
        (".FOO.", 46.5, -7.25, 1500.0),
        (".BAR.", 46.5, -7.25, 1200.0),
        (".BAZ.", -46.5, 7.25, 0.0),
    ]
    (tmp_path / "run.in").write_text("GTSRCE FOO LATLON 46.5 north 0.0 1.5\n")
    with pytest.raises(CampaignError, match=r"run\.in: line 1: .*is not a GTSRCE of NonLinLoc"):
        read_stations(tmp_path / "run.in")


@pytest.mark.parametrize(
    "text",
    [
        "station,east_m,north_m,up_m\nA,0,0,-500\nB,300,-400,-500\n",
        "station\teasting\tnorthing\tdepth_m\nA\t0\t0\t500\nB\t300\t-400\t500\n",
        "# metres\nGTSRCE A XYZ 0 0 0.5 0\nGTSRCE B XYZ 0.3 -0.4 0.5 0\n",
        "station,east_m,north_m,elevation_m,depth_m\nA,451000,5232000,100,600\nB,451300,5231600,0,500\n",
    ],
    ids=["up", "depth", "nonlinloc", "projected"],
)
def test_local_metres_keep_their_distances(tmp_path, text: str) -> None:
    (tmp_path / "stations.csv").write_text(text)
    a, b = read_stations(tmp_path / "stations.csv")
    assert (a.elevation_m, b.elevation_m) == (-500.0, -500.0)
    assert a.latitude_deg == pytest.approx(LOCAL_ORIGIN_DEG[0], abs=0.1)
    units = scaled_coordinates([a, b], StationTable([a, b]).frame(), 1.0)
    assert np.diff(local_km(units), axis=0)[0] == pytest.approx([0.3, -0.4], abs=1e-4)


def test_columns_that_do_not_say_what_they_are_and_far_ones_are_refused(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("station,x,y,z\nA,0,0,500\n")
    with pytest.raises(CampaignError, match=r"a\.csv: has columns x and y, which do not say what they are"):
        read_stations(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("station,east_m,north_m\nA,0,0\nB,300000,0\n")
    with pytest.raises(CampaignError, match=r"b\.csv: line 3, station \.B\.: .*more than 100 km from local zero"):
        read_stations(tmp_path / "b.csv")
    for value in ("inf", "nan", "-1e400"):
        (tmp_path / "b.csv").write_text(f"station,east_m,north_m\nA,0,{value}\n")
        with pytest.raises(CampaignError, match=r"b\.csv: line 2, station \.A\.: "):
            read_stations(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_bytes(b"PAR1\x15\x04")
    with pytest.raises(
        CampaignError, match=r"c\.csv: (is a Parquet table, which needs|damaged or not readable as Parquet)"
    ):
        read_stations(tmp_path / "c.csv")


def test_station_tables_of_other_programs(tmp_path) -> None:
    (tmp_path / "gamma.csv").write_text("station\tlongitude\tlatitude\televation(m)\nCI.CCC..BH\t-117.3\t35.5\t670.0\n")
    (tmp_path / "octo.csv").write_text("id,latitude,longitude,elevation\nCX.PB01.10,-21.0,-69.4,900\n")
    (tmp_path / "eqt.csv").write_text("network,station,station_lat,station_lon,p_arrival_time\nYM,01  ,24.3,122.0,\n")
    found = [next(iter(read_stations(tmp_path / name))) for name in ("gamma.csv", "octo.csv", "eqt.csv")]
    assert [(s.station_id, s.latitude_deg, s.longitude_deg) for s in found] == [
        ("CI.CCC.", 35.5, -117.3),
        ("CX.PB01.10", -21.0, -69.4),
        ("YM.01.", 24.3, 122.0),
    ]


@pytest.mark.parametrize(("channel_m", "expected"), [(100.0, -100.0), (-100.0, -100.0)], ids=["ground", "sensor"])
def test_a_borehole_channel_stands_at_its_depth_whichever_elevation_its_file_gives(channel_m, expected) -> None:
    site = Site("FRAN", latitude=-43.0, longitude=170.0, elevation=100.0)
    site.channels.append(Channel("HHZ", "", latitude=-43.0, longitude=170.0, elevation=channel_m, depth=200.0))
    table = read_stations(Inventory(networks=[Network("NZ", stations=[site])], source="test"))
    assert table["NZ.FRAN."].elevation_m == expected


def string(n: int = 8, spacing_m: float = 30.0, east_deg: float = 0.0) -> list[Station]:
    """A borehole string: one latitude and longitude, ever deeper."""
    return [Station(f"XX.B{k}{east_deg:g}.", 46.0, 7.0 + east_deg, 500.0 - spacing_m * k) for k in range(n)]


def plane_km(stations: list[Station]) -> np.ndarray:
    table = StationTable(stations)
    return local_km(scaled_coordinates(list(table), table.frame(), 1.0))


def distances(places: np.ndarray) -> np.ndarray:
    return np.linalg.norm(places[:, None] - places[None], axis=-1)


def test_the_graph_sees_the_sensors_of_a_borehole_string_apart() -> None:
    depth_m = np.array([[s.elevation_m] for s in string()])
    # float32 units of 222 km: half a unit in the last place is 7 mm.
    np.testing.assert_allclose(1000 * distances(plane_km(string())), distances(depth_m), atol=0.1)
    table = StationTable(string(spacing_m=6000.0, n=3))
    units = torch.from_numpy(scaled_coordinates(list(table), table.frame(), 1.0))
    graph = StationGraph.from_coordinates(units, 10.0)
    heard = set(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
    assert heard == {(i, j) for i in range(3) for j in range(3) if abs(i - j) < 2}  # 6 km are near, 12 km are not
    level = [Station(s.station_id, s.latitude_deg, s.longitude_deg, 0.0) for s in table]
    assert len(StationGraph.from_coordinates(torch.from_numpy(plane_units(level)), 10.0).source) == 9  # one point


def plane_units(stations: list[Station]) -> np.ndarray:
    table = StationTable(stations)
    return scaled_coordinates(list(table), table.frame(), 1.0)


def test_two_strings_keep_all_their_distances_and_time_scale_stretches_them() -> None:
    both = [*string(), *string(east_deg=0.005)]
    places = np.array([(0.0, s.elevation_m) for s in both])
    places[8:, 0] = 1000 * 0.005 * 111.195 * np.cos(np.radians(46.0))
    np.testing.assert_allclose(1000 * distances(plane_km(both)), distances(places), atol=1.0)
    table = StationTable(both)
    stretched = local_km(scaled_coordinates(list(table), table.frame(), 20.0))
    np.testing.assert_allclose(distances(stretched), 20 * distances(plane_km(both)), atol=1e-3)


def test_a_mine_array_of_300_m_has_no_two_sensors_in_one_point() -> None:
    # Six shafts, sensors at three levels: east and north alone make six points of eighteen sensors.
    places = np.array([(100.0 * a, 150.0 * b, -100.0 * c) for a in range(3) for b in range(2) for c in range(3)])
    plane = places[:, :2] + depth_shifts_m(places)
    pairs = np.triu_indices(len(places), 1)
    in_space, flat, laid = (distances(p)[pairs] for p in (places, places[:, :2], plane))
    assert flat.min() == 0
    assert laid.min() > 20
    assert np.median(laid / in_space) == pytest.approx(1, abs=0.05)
    # A volume cannot be flat: distances are wrong by 17 % on average, instead of 26 %.
    assert np.abs(laid / in_space - 1).mean() < 0.7 * np.abs(flat / in_space - 1).mean()


def test_stations_that_lie_below_no_other_stay_to_the_bit() -> None:
    surface = [Station(f"XX.S{k}.", 46.1 + 0.02 * k, 7.0 + 0.01 * k * k, 300.0 * k) for k in range(5)]
    bare = scaled_coordinates(surface, StationTable(surface).frame(), 1.0)
    np.testing.assert_array_equal(plane_units(surface), bare)
    table = StationTable([*surface, *string()])
    assert [s.depth_shift_m for s in table][:6] == [(0.0, 0.0)] * 6  # and the top of the string
    assert all(np.hypot(*s.depth_shift_m) > 10 for s in list(table)[6:])


def test_a_part_of_a_table_keeps_the_places_of_the_whole() -> None:
    table = StationTable([*string(), *string(east_deg=0.005)])
    part = table.select(table.station_ids[5:9])
    assert [s.depth_shift_m for s in part] == [s.depth_shift_m for s in list(table)[5:9]]
    assert [s.depth_shift_m for s in StationTable(list(part))] == [s.depth_shift_m for s in part]


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(-300, 300)] * 3), min_size=2, max_size=8, unique=True), st.randoms())
def test_the_order_of_stations_does_not_matter_and_nothing_but_numbers_comes_out(places, random) -> None:
    forth = np.array(places, float)
    order = list(range(len(places)))
    random.shuffle(order)
    shifts = depth_shifts_m(forth)
    assert np.isfinite(shifts).all()
    np.testing.assert_allclose(depth_shifts_m(forth[order]), shifts[order], atol=1e-6)
