"""Picks to located events: what belongs together is found, what cannot be associated is refused in a sentence."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from obspy import Stream, Trace, read_events
from typer.testing import CliRunner

from phaseno_peft.campaign import Station, StationTable, read_catalogue
from phaseno_peft.cli.app import app
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.events import AssociationRule, HalfSpace, Layers, associate, engine, from_picks
from phaseno_peft.events.engine import chance_picks
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.events.location import _moved, locate_again, travel_times
from phaseno_peft.picks import Pick, PickList
from tests.cli.test_commands import run
from tests.events.arrivals import CODES, KM, PLACES, T0, VP, VS, events, pick, table

pytest.importorskip("pyocto", reason="needs PyOcto: pip install 'phaseno-peft[associate]'")
STRAY = [pick("A", "P", 47.0), pick("C", "P", 149.0), pick("F", "S", 252.0)]
TRUE = HalfSpace(VP, VS, 0.3)


def names(picks: Iterable[Pick]) -> list[tuple[str, str, int]]:
    return sorted((p.trace_id, p.phase, p.time.ns) for p in picks)


def stations_file(path: Path) -> Path:
    lines = [f"XX,{c},{north / KM},{east / KM},0" for c, (east, north) in PLACES.items()]
    path.write_text("\n".join(["network,station,latitude,longitude,elevation_m", *lines]))
    return path


def all_picks(n: int = 8) -> PickList:
    return PickList([*(p for event in events(n) for p in event.picks), *STRAY], creator="by hand").sorted()


@pytest.mark.parametrize(
    "velocity", [None, TRUE, Layers((0.0, 2.0), (VP, VP + 1e-4), (VS, VS + 1e-4))], ids=["own", "true", "layers"]
)
def test_events_are_found_where_they_were_and_stray_picks_are_left(velocity: HalfSpace | Layers | None) -> None:
    made = associate(all_picks(), table(), velocity=velocity)
    assert len(made.events) == 8
    assert made.counts == {"in events": 8 * 16, "alone": len(STRAY)}
    off_km = []
    for found, true in zip(made.events, events(8), strict=True):
        assert names(found.picks) == names(true.picks)
        assert abs(found.origin_time - true.origin_time) < 0.3
        east, north = (found.longitude_deg - true.longitude_deg) * KM, (found.latitude_deg - true.latitude_deg) * KM
        off_km.append(math.hypot(east, north))
        assert found.depth_m is not None
        assert abs(found.depth_m - (true.depth_m or 0.0)) < 1500.0
        assert found.rms_s < 0.15
    assert sorted(off_km)[4] < 0.5
    assert max(off_km) < 1.5
    at_sea, *others = made.findings  # what the table itself is warned of comes first
    assert "where there is only sea" in at_sea.text
    assert bool(others) == (velocity is None)


def test_the_order_of_picks_and_stations_does_not_matter() -> None:
    picks, stations = all_picks(4), list(table())
    made = associate(picks, StationTable(stations, source="table"), velocity=TRUE)
    turned = associate(
        PickList(reversed(picks), creator="by hand"), StationTable(stations[::-1], source="table"), velocity=TRUE
    )
    assert [names(e.picks) for e in turned.events] == [names(e.picks) for e in made.events]


def test_no_picks_and_picks_of_no_event_give_an_empty_catalogue(tmp_path: Path) -> None:
    for picks in (PickList(), PickList(STRAY)):
        made = associate(picks, table(), folder=tmp_path / str(len(picks)))
        assert made.events == ()
        assert "No event" in (tmp_path / str(len(picks)) / "index.html").read_text()
        assert len(read_events(str(tmp_path / str(len(picks)) / "events.xml"))) == 0


def test_an_event_below_the_rule_is_not_made() -> None:
    few = PickList([p for p in events(1)[0].picks if p.trace_id in ("XX.A.", "XX.B.", "XX.C.")])
    assert len(associate(few, table(), velocity=TRUE).events) == 1
    assert associate(few, table(), velocity=TRUE, rule=AssociationRule(fewest_picks=7)).events == ()
    with pytest.raises(PhasenoPeftError, match="cannot be a rule"):
        AssociationRule(fewest_picks=1)


def test_picks_that_stand_twice_make_the_same_events_in_no_more_time() -> None:
    once = all_picks(3)
    twice = PickList([*once, *(replace(p, time=p.time + 0.2, probability=0.5) for p in once)], creator="two runs")
    made, expected = associate(twice, table(), velocity=TRUE), associate(once, table(), velocity=TRUE)
    assert [names(e.picks) for e in made.events] == [names(e.picks) for e in expected.events]
    assert made.counts["alone"] == expected.counts["alone"] + len(once)


def test_a_station_that_moved_is_told_and_stands_where_it_stood_at_the_time() -> None:
    a, *others = table()
    june = T0 + 30 * 86400
    moved = [replace(a, end_ns=june.ns), replace(a, latitude_deg=a.latitude_deg + 0.07, start_ns=june.ns), *others]
    made = associate(all_picks(2), StationTable(moved, source="table"), velocity=TRUE)
    assert [len(event.picks) for event in made.events] == [16, 16]
    across = PickList([*all_picks(2), pick("A", "P", 40 * 86400.0)], creator="by hand")
    told = associate(across, StationTable(moved, source="table"), velocity=TRUE).findings
    assert any("XX.A." in f.text for f in told)


def test_an_elevation_that_is_nowhere_is_told_and_not_used() -> None:
    first, *others = table()
    for wrong in (99999.0, float("nan")):
        made = associate(
            all_picks(2), StationTable([replace(first, elevation_m=wrong), *others], source="table"), velocity=TRUE
        )
        assert [len(event.picks) for event in made.events] == [16, 16]
        assert all((event.depth_m or 0.0) > 1000 for event in made.events)
        assert any("which no place on Earth has" in f.text for f in made.findings)


def test_stray_picks_that_make_events_by_chance_are_told() -> None:
    rng = np.random.default_rng(0)
    stray = [pick(c, p, float(t)) for c in CODES for p in "PS" for t in rng.uniform(0, 600, 30)]
    assert chance_picks(stray, 0.3)[0] == pytest.approx(16 * 0.03, rel=0.2)
    assert chance_picks([pick("A", "P", 0.2 * k) for k in range(3000)], 0.5)[0] <= 1.0  # one station counts once
    told = from_picks._chance(stray, replace(TRUE, tolerance_s=1.0), AssociationRule())
    assert "1.5 picks by chance within 1 s" in told[0].text
    assert from_picks._chance(all_picks(2), TRUE, AssociationRule()) == []


def test_an_event_that_lost_picks_to_another_still_has_what_the_rule_asks() -> None:
    event, rule = events(1)[0], AssociationRule()
    assert engine._fits(event, rule)
    assert not engine._fits(replace(event, picks=event.picks[:4]), rule)
    only_p = tuple(p for p in event.picks if p.phase == "P")
    assert not engine._fits(replace(event, picks=only_p), rule)


def test_picks_with_another_location_code_are_the_stations_and_unknown_ones_are_refused() -> None:
    picks = all_picks(2)
    renamed = PickList([replace(p, trace_id=f"{p.trace_id}00") for p in picks])
    made = associate(renamed, table(), velocity=TRUE)
    assert {p.trace_id for e in made.events for p in e.picks} == set(table().station_ids)
    with pytest.raises(CampaignError, match=r"4 picks of XX.H have no place: table does not list.*--skip-unknown"):
        associate(picks, table(CODES.replace("H", "")), velocity=TRUE)
    made = associate(picks, table(CODES.replace("H", "")), velocity=TRUE, skip_unknown=True)
    assert len(made.events) == 2
    assert "They are left out." in made.findings[1].text


def test_a_table_without_stations_and_two_models_are_refused() -> None:
    with pytest.raises(CampaignError, match="nobody: holds no station with coordinates"):
        associate(all_picks(1), StationTable([], source="nobody"), velocity=TRUE)
    with pytest.raises(PhasenoPeftError, match="both a velocity model and a catalogue"):
        associate(all_picks(1), table(), velocity=TRUE, catalogue="picks.xml")


def test_without_pyocto_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyocto", None)
    with pytest.raises(PhasenoPeftError, match=r"needs PyOcto.*pip install 'phaseno-peft\[associate\]'"):
        associate(all_picks(1), table(), velocity=TRUE)


def test_the_folder_holds_the_same_events_in_every_format(tmp_path: Path) -> None:
    made = associate(all_picks(3), table(), velocity=TRUE, folder=tmp_path / "a")
    folder = tmp_path / "a"
    names = {"events.xml", "events.scml", "events.csv", "picks.csv", "events.png", "events.svg", "index.html"}
    assert {p.name for p in folder.iterdir()} == names
    catalog = read_events(str(folder / "events.xml"))
    with (folder / "events.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(catalog) == 3
    for row, event, found in zip(rows, catalog, made.events, strict=True):
        origin = event.preferred_origin()
        assert str(event.resource_id.id).endswith(row["event"])
        assert abs(origin.latitude - float(row["latitude_deg"])) < 1e-5
        assert len(origin.arrivals) == int(row["p_picks"]) + int(row["s_picks"]) == len(found.picks)
        assert [a.time_residual for a in origin.arrivals] == pytest.approx(found.residuals_s, abs=1e-4)
        assert origin.quality.standard_error == pytest.approx(float(row["rms_s"]), abs=1e-3)
        assert 0 < origin.quality.azimuthal_gap <= 360
    again = read_catalogue(folder / "events.scml")
    assert [len(e.picks) for e in again.events] == [len(e.picks) for e in made.events]
    picks = PickList.from_csv(folder / "picks.csv")
    assert len(picks) == len(made.picks)
    with (folder / "picks.csv").open() as file:
        assert sum(row["event"] == "" for row in csv.DictReader(file)) == len(STRAY)
    page = (folder / "index.html").read_text()
    assert "3 events" in page
    assert "<svg" in page
    associate(all_picks(3), table(), velocity=TRUE, folder=tmp_path / "b")
    for name in sorted(names - {"events.png"}):
        assert (tmp_path / "b" / name).read_bytes() == (folder / name).read_bytes(), name


def test_a_folder_that_stands_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for overwrite, words in ((False, "exists already"), (True, "holds no events, so it is not replaced")):
        with pytest.raises(PhasenoPeftError, match=words):
            associate(all_picks(1), table(), velocity=TRUE, folder=tmp_path / "mine", overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"


def test_the_command_associates_a_csv_and_its_own_quakeml_alike(tmp_path: Path) -> None:
    stations = stations_file(tmp_path / "stations.csv")
    layers = tmp_path / "layers.csv"
    layers.write_text(f"depth_km,vp_km_s,vs_km_s\n0,{VP},{VS}\n")
    picks = all_picks(3)
    picks.to_csv(tmp_path / "picks.csv")
    picks.to_quakeml(tmp_path / "picks.xml")
    results = []
    for name in ("picks.csv", "picks.xml"):
        words = ("associate", name, "--stations", stations, "--velocity", layers, "--out", f"{name}-events", "--json")
        done = run(*words, home=tmp_path, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        results.append((told["events"], told["picks"]))
        assert read_events(str(tmp_path / f"{name}-events" / "events.xml"))[0].origins[0].time - T0 < 0.3
    assert results == [(3, {"in events": 48, "alone": 3})] * 2
    layers.write_text(f"depth_km,vp_km_s,vs_km_s\n0,{VS},{VP}\n")
    done = run(*words[:-2], "other", "--json", home=tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "S would come before P" in done.stderr
    assert not (tmp_path / "other").exists()


def test_pick_makes_events_of_its_picks(tmp_path: Path, small_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(1).normal(0, 1000, (3, 3, 4000)).astype(np.int32)
    header = {"network": "XX", "sampling_rate": 100.0, "starttime": T0}
    names = [(station, channel) for station in "ABC" for channel in ("HHE", "HHN", "HHZ")]
    traces = [
        Trace(x, {**header, "station": station, "channel": channel})
        for x, (station, channel) in zip(noise.reshape(9, -1), names, strict=True)
    ]
    Stream(traces).write("noise.mseed", format="MSEED")
    stations_file(Path("stations.csv"))
    words = ["pick", "noise.mseed", "--stations", "stations.csv", "--frozen", "--backbone", str(small_backbone)]
    words += ["--out", "picks.csv", "--p-threshold", "0.6", "--s-threshold", "0.9"]
    refused = CliRunner().invoke(app, [*words, "--velocity", "layers.csv"])
    assert "Say where they go with --events FOLDER" in str(refused.exception)
    assert not Path("picks.csv").exists()
    done = CliRunner().invoke(app, [*words, "--events", "events", "--json", "--quiet"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert sum(told["events"]["picks"].values()) == sum(told["picks"].values()) > 0
    assert Path("events/index.html").is_file()


def test_copies_are_left_out_around_the_best_and_do_not_chain() -> None:
    chain = [replace(pick("A", "P", 10.0 + 0.4 * k), probability=0.3 + 0.01 * k) for k in range(60)]
    kept = engine._best_of_near(chain)
    assert kept[-1] is chain[-1]
    assert len(kept) == 30  # every second one: 0.8 s apart
    assert all(b.time - a.time > engine.SAME_S for a, b in pairwise(kept))


@pytest.mark.parametrize("latitude_deg", [45.0, 65.0, 85.0, -89.5])
def test_distances_in_a_wide_network_are_those_on_the_globe(latitude_deg: float) -> None:
    """Picks of an event in the middle of 200 km, without noise: nothing is left over."""
    from obspy.geodetics import gps2dist_azimuth

    event = AssociatedEvent((), (), T0, latitude_deg, 10.0, 8000.0)
    stations, picks = [], []
    for k in range(12):
        place = _moved(latitude_deg, 10.0, 100.0 * math.sin(k), 100.0 * math.cos(k) * (0.3 + 0.05 * k))
        stations.append(Station(f"XX.S{k:02d}.", *place, 0.0))
        far_km = gps2dist_azimuth(latitude_deg, 10.0, *place)[0] / 1000
        for phase, v in (("P", VP), ("S", VS)):
            picks.append(Pick(f"XX.S{k:02d}.", phase, T0 + math.hypot(far_km, 8.0) / v, 0.9, 0.05))
    start = _moved(latitude_deg, 10.0, 1.0, -1.5)
    begun = replace(event, picks=tuple(picks), latitude_deg=start[0], longitude_deg=start[1])
    found = locate_again(begun, StationTable(stations), travel_times(TRUE, 300.0, 30.0), 0.0, 30.0)
    assert max(map(abs, found.residuals_s)) < 0.06
    assert gps2dist_azimuth(latitude_deg, 10.0, found.latitude_deg, found.longitude_deg)[0] < 300.0
