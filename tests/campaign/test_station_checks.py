"""Places that cannot be: placeholders, wrong signs, exchanged columns, kilometres for degrees."""

from __future__ import annotations

import math

import numpy as np
import pytest
from obspy import Stream

from phaseno_peft.campaign import Station, StationTable, prepare
from phaseno_peft.campaign.station_checks import far_from_events, isolated_stations
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import table, trace


def network(*extra: Station, latitude: float = 46.0, longitude: float = 8.0, step_deg: float = 0.05) -> list[Station]:
    """Six stations 5 km apart around a place, and others."""
    return [
        Station(f"CH.S{i}.", latitude + step_deg * (i % 3), longitude + step_deg * (i // 3), 500.0) for i in range(6)
    ] + list(extra)


def texts(stations: StationTable) -> str:
    return "\n".join(f.text for f in stations.findings if f.severity == "warning")


def test_a_network_as_it_should_be_gets_no_finding() -> None:
    for latitude, longitude in ((46.0, 8.0), (-18.0, 179.95), (0.0, 9.0), (89.9, 0.0)):
        assert StationTable(network(latitude=latitude, longitude=longitude)).findings == ()


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ((0.0, 0.0), "latitude 0, longitude 0"),
        ((-46.0, 8.0), "the sign of its latitude"),
        ((46.0, -8.05), None),  # 1,200 km away, which a network of 10 km has not either
        ((8.0, 46.0), "the order of its latitude and longitude"),
    ],
)
def test_one_lost_station_is_named_and_does_not_move_the_centre(place: tuple[float, float], why: str | None) -> None:
    stations = StationTable(network(Station("CH.BAD.", *place, 500.0)), source="stations.csv")
    assert "CH.BAD." in texts(stations)
    assert why is None or why in texts(stations)
    assert "CH.BAD." not in stations
    assert stations.frame() == StationTable(network()).frame()
    assert "stations.csv" in stations.why_not("CH.BAD.")


def test_a_lost_station_that_no_slip_explains_is_kept_and_warned_of() -> None:
    stations = StationTable(network(Station("CH.FAR.", 10.0, 100.0, 500.0)))
    assert "CH.FAR." in stations
    assert "CH.FAR. stands" in texts(stations)


@pytest.mark.parametrize("unit_per_km", [1.0, 8.0], ids=["kilometres", "metres of a pad"])
def test_local_coordinates_as_degrees_are_warned_of_by_table_and_record(unit_per_km: float) -> None:
    local = StationTable([Station(f"XX.S{i}.", unit_per_km * i - 5, unit_per_km * (i % 3), 0.0) for i in range(4)])
    assert "no station lies within 30 km of another" in texts(local)
    rng = np.random.default_rng(0)
    stream = Stream([trace(f"S{i}", "HHZ", rng.standard_normal(3000)) for i in range(4)])
    found = [f.text for f in prepare(stream, local).findings if f.severity == "warning"]
    assert len(found) == 1
    assert "give latitude and longitude in degrees" in found[0]
    assert not any("no station lies" in f.text for f in prepare(stream, table()).findings)


def test_kilometres_of_a_small_array_taken_for_degrees_are_told_by_where_they_lie() -> None:
    """Some hundred metres become some tens of kilometres, near enough to hear each other."""
    small = [Station(f"XX.S{i}.", 0.1 * i - 0.2, 0.1 * (i % 3), 0.0) for i in range(5)]
    assert "all 5 stations stand within 4 degrees of 0, 0, where there is only sea" in texts(StationTable(small))


def test_a_sparse_part_of_a_network_is_told_with_numbers() -> None:
    stations = [Station(f"XX.S{i}.", i * 1.0, 10.0, 0.0) for i in range(5)] + [Station("XX.N.", 0.01, 10.0, 0.0)]
    (finding,) = isolated_stations(stations, "stations.csv")
    assert "4 of 6 places have no other station within 30 km" in finding.text
    assert isolated_stations(stations[:1], "stations.csv") == []


def test_exchanged_columns_out_of_range_are_refused_with_the_way_out() -> None:
    with pytest.raises(CampaignError, match=r"CH\.A\. has latitude 170\.4.*look exchanged"):
        StationTable([Station("CH.A.", 170.4, -43.3, 0.0)])
    for latitude in (math.nan, math.inf, 4812345.0):
        with pytest.raises(CampaignError, match=r"CH\.A\. has latitude .*in degrees"):
            StationTable([Station("CH.A.", latitude, 8.0, 0.0)])


def test_exchanged_columns_within_range_are_told_by_the_epicentres() -> None:
    exchanged = [Station(s.station_id, s.longitude_deg, s.latitude_deg, 0.0) for s in network()]
    epicentres = np.array([(46.02, 8.01), (46.05, 8.04)])
    (finding,) = far_from_events(exchanged, epicentres, "stations.csv")
    assert "Exchange the two columns" in finding.text
    assert far_from_events(network(), epicentres, "stations.csv") == []


@pytest.mark.parametrize("elevation_m", [1_234_000.0, -20_000.0, math.nan, math.inf])
def test_elevations_no_place_on_earth_has_are_named(elevation_m: float) -> None:
    assert "CH.HIGH. has an elevation" in texts(StationTable(network(Station("CH.HIGH.", 46.01, 8.01, elevation_m))))


def test_elevations_that_look_like_kilometres_are_noted() -> None:
    stations = StationTable([Station(f"CH.S{i}.", 46 + 0.1 * i, 8, h) for i, h in enumerate((1.23, 2.41, 0.98))])
    assert any("If these are kilometres" in f.text for f in stations.findings)
    assert not StationTable([Station(f"CH.S{i}.", 46 + 0.1 * i, 8, 0.0) for i in range(3)]).findings
