"""A check finds what was planted, where it was planted, and nothing in a clean delivery."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from obspy import Stream, Trace, UTCDateTime
from typer.testing import CliRunner

from phaseno_peft import check
from phaseno_peft.campaign import around_events
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.checking import CheckResult
from phaseno_peft.checking.channels import _levels_differ
from phaseno_peft.checking.delivery import spread_over
from phaseno_peft.checking.raw_traces import RawTraces
from phaseno_peft.cli.app import app
from phaseno_peft.errors import PhasenoPeftError
from tests.campaign.test_time_scale import delivery as small_and_fast
from tests.checking.deliveries import Delivered, plant, simulate

OF_THE_WHOLE = {"label offset", "too few events"}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    return simulate(tmp_path_factory.mktemp("clean") / "campaign")


@pytest.fixture(scope="module")
def planted(
    clean: Delivered, tmp_path_factory: pytest.TempPathFactory
) -> tuple[CheckResult, dict[str, tuple[str, str]]]:
    delivered, faults = plant(clean)
    folder = tmp_path_factory.mktemp("report") / "checked"
    return check(delivered.waveforms, delivered.stations, delivered.picks, name="planted", report=folder), faults


def alarms(result: CheckResult) -> list[Finding]:
    return [f for f in result.findings if f.severity != "note"]


def message(finding: Finding) -> str:
    return f"{finding.file} {finding.place} {finding.text}"


def test_a_clean_delivery_raises_no_alarm(clean: Delivered) -> None:
    result = check(clean.waveforms, clean.stations, clean.picks)
    assert [f.sentence for f in alarms(result)] == []
    assert result.exit_code == 0
    assert [(u.side, u.events) for u in result.sides.uses] == [(f"fold {i}", 6) for i in (1, 2, 3, 4)]


def test_every_planted_fault_is_found_in_its_place(planted: tuple[CheckResult, dict[str, tuple[str, str]]]) -> None:
    result, faults = planted
    assert len(faults) == 16
    missed = {
        fault: (kind, name)
        for fault, (kind, name) in faults.items()
        if not any(f.kind == kind and name in message(f) for f in alarms(result))
    }
    assert missed == {}
    assert result.exit_code == 1


def test_planted_faults_make_no_other_station_suspect(planted: tuple[CheckResult, dict[str, tuple[str, str]]]) -> None:
    result, faults = planted
    expected = set(faults.values())
    others = [
        f
        for f in alarms(result)
        if f.kind not in OF_THE_WHOLE and not any(f.kind == kind and name in message(f) for kind, name in expected)
    ]
    assert others == []


def test_every_alarm_has_a_kind_a_file_a_place_and_a_next_step(
    planted: tuple[CheckResult, dict[str, tuple[str, str]]],
) -> None:
    for finding in alarms(planted[0]):
        assert all((finding.kind, finding.file, finding.place, finding.next_step)), finding


def test_the_shift_of_a_clock_is_measured_on_picks_alone(
    planted: tuple[CheckResult, dict[str, tuple[str, str]]],
) -> None:
    (clock,) = planted[0].moveout.clocks
    assert clock.offset_s == pytest.approx(0.8, abs=0.1)


def test_the_page_is_whole_in_itself_and_shows_every_kind_of_evidence(
    planted: tuple[CheckResult, dict[str, tuple[str, str]]],
) -> None:
    result, faults = planted
    assert result.report is not None
    html = result.report.read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|@import|https?://|src=", html)
    assert "default-src 'none'" in html
    for title in ("What training would use", "Network", "Coverage", "Records", "Arrivals", "Noise", "Label offsets"):
        assert f"<h2>{title}</h2>" in html
    for kind, _ in faults.values():
        assert f": {kind} (" in html
    assert html.count("<svg") == 7
    assert [p.name for p in result.report.parent.iterdir()] == ["index.html"]
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_what_few_events_allow_is_said(clean: Delivered) -> None:
    def checked(n: int) -> CheckResult:
        few = clean.copy()
        few.picks.events = few.picks.events[:n]
        stems = sorted(few.waveforms)[:n]
        return check({stem: few.waveforms[stem] for stem in stems}, few.stations, few.picks)

    three = checked(3)
    assert [(u.side, u.events) for u in three.sides.uses] == [("fold 1", 1), ("fold 2", 1), ("fold 3", 1)]
    assert three.exit_code == 1
    one = checked(1)
    assert one.exit_code == 1
    assert [(u.side, u.events) for u in one.sides.uses] == [("all", 1)]
    assert any("the frozen network with its picks moved" in f.text for f in one.findings)


def test_files_that_cannot_be_read_are_told_together_and_the_others_are_looked_at(tmp_path: Path) -> None:
    waveforms = tmp_path / "waveforms"
    waveforms.mkdir()
    for name in ("a.mseed", "b.mseed"):
        (waveforms / name).write_bytes(b"000001D AAAAA" + bytes(500))
    (waveforms / "notes.txt").write_text("nothing to see")
    (tmp_path / "stations.csv").write_text("network,station,latitude,longitude\nXX,AAA,95.0,200.0\n")
    (tmp_path / "picks.csv").write_text("trace_id,phase,time\nXX.AAA.,P,2020-01-01T00:00:00\n")
    result = check(waveforms, tmp_path / "stations.csv", tmp_path / "picks.csv")
    assert result.exit_code == 2
    files = {Path(f.file).name for f in result.findings if f.kind == "unreadable file"}
    assert files == {"a.mseed", "b.mseed", "stations.csv"}
    assert result.delivery.catalogue is not None


def test_an_archive_too_large_for_memory_is_checked_file_by_file(
    clean: Delivered,
    planted: tuple[CheckResult, dict[str, tuple[str, str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delivered, faults = plant(clean)
    archive = tmp_path / "archive"
    archive.mkdir()
    for name, stream in delivered.waveforms.items():
        stream.split().write(str(archive / f"{name}.mseed"), "MSEED")
    (archive / "broken.mseed").write_bytes(b"000001D AAAAA" + bytes(500))
    monkeypatch.setattr(around_events, "LARGE_BYTES", 0)
    result = check(archive, delivered.stations, delivered.picks)
    found = [f for f in alarms(result) if f.kind != "unreadable file"]
    missed = [f for f, (kind, name) in faults.items() if not any(a.kind == kind and name in message(a) for a in found)]
    assert missed == []
    assert sorted(f.kind for f in found) == sorted(f.kind for f in alarms(planted[0]))
    assert [Path(f.file).name for f in result.findings if f.kind == "unreadable file"] == ["broken.mseed"]
    assert len(result.delivery.arrivals) <= around_events.SOME_EVENTS
    bare = check(archive, delivered.stations)
    assert any("since no picks say where to look" in f.text for f in bare.findings)
    assert bare.noise is not None
    assert {c.station_id for c in bare.coverage.channels} == {c.station_id for c in planted[0].coverage.channels}


def test_files_of_one_name_in_many_folders_are_all_looked_at(clean: Delivered, tmp_path: Path) -> None:
    names = sorted(clean.waveforms)[:8]
    for i, name in enumerate(names):
        folder = tmp_path / "days" / f"day{i}"
        folder.mkdir(parents=True)
        clean.waveforms[name].write(str(folder / "record.mseed"), "MSEED")
    result = check(tmp_path / "days", clean.stations, clean.picks)
    assert len(result.delivery.recordings) == len(names)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_a_file_with_a_hole_of_zeros_is_told(
    large: bool, clean: Delivered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    for name in sorted(clean.waveforms)[:8]:
        clean.waveforms[name].write(str(tmp_path / f"{name}.mseed"), "MSEED", reclen=512)
    damaged = sorted(tmp_path.iterdir())[3]
    content = bytearray(damaged.read_bytes())
    content[51200:71680] = bytes(20480)
    damaged.write_bytes(content)
    if large:
        monkeypatch.setattr(around_events, "LARGE_BYTES", 0)
    result = check(tmp_path, clean.stations, clean.picks)
    told = [f for f in result.findings if f.kind == "damaged file"]
    assert [Path(f.file).name for f in told] == [damaged.name]
    assert told[0].severity == "warning"
    if not large:
        assert not [w for w in recwarn if "SEED" in str(w.message)]


def test_a_large_folder_of_files_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "waveforms").mkdir()
    (tmp_path / "waveforms" / "a.mseed").write_bytes(b"000001D AAAAA" + bytes(500))
    (tmp_path / "picks.csv").write_text("trace_id,phase,time\nXX.AAA.,P,2020-01-01T00:00:00\n")
    monkeypatch.setattr(around_events, "LARGE_BYTES", 0)
    result = check(tmp_path / "waveforms", None, tmp_path / "picks.csv")
    assert [Path(f.file).name for f in result.findings if f.kind == "unreadable file"] == ["a.mseed"]


@pytest.mark.parametrize(
    ("recorded", "n_pieces", "covered"),
    [
        (((0, 10_000),), 5, 500),  # a long record: five pieces of a hundred
        (((0, 100), (1000, 1060), (5000, 5060)), 3, 220),  # little: all of it
        (tuple((1000 * i, 1000 * i + 60) for i in range(100)), 5, 5 * 60),  # triggered files: every k-th
        ((), 0, 0),
        (((0, 1),), 1, 1),
    ],
)
def test_pieces_are_spread_over_what_was_recorded(
    recorded: tuple[tuple[int, int], ...], n_pieces: int, covered: int
) -> None:
    pieces = spread_over(recorded, 5, 100)
    assert len(pieces) == n_pieces
    assert sum(b - a for a, b in pieces) == covered
    assert all(any(a <= begin < end <= b for a, b in recorded) for begin, end in pieces)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(pieces))


def test_a_page_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(PhasenoPeftError, match="--overwrite"):
        check(stations=tmp_path / "none.xml", report=tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"


def test_the_command_says_in_json_and_by_its_exit_code_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("network,station,latitude,longitude\nXX,AAA,45.0,7.0\nXX,BBB,45.1,7.0\n")
    (tmp_path / "bad.csv").write_text("network,station,latitude,longitude\nXX,AAA,45.0,700.0\n")
    done = CliRunner().invoke(app, ["check", "--stations", str(tmp_path / "good.csv"), "--json"])
    assert done.exit_code == 0, done.output
    assert {f["kind"] for f in json.loads(done.stdout)["findings"]} == {"not given"}
    done = CliRunner().invoke(app, ["check", "--stations", str(tmp_path / "bad.csv"), "--json"])
    assert done.exit_code == 2, done.output
    (error,) = json.loads(done.stdout)["findings"]
    assert (error["severity"], error["kind"], "700" in error["text"]) == ("error", "unreadable file", True)


def test_a_mine_array_is_told_the_time_scale_that_it_asks_for() -> None:
    notes = {f.kind: f for f in check(*small_and_fast(0.1, 40.0, 1000.0, events=6)).findings}
    assert notes["time scale"].value == "7"
    assert "--time-scale auto" in notes["time scale"].next_step
    assert notes["label convention"].place in ("P", "S")


def test_files_in_another_unit_are_told_and_a_loud_night_is_not() -> None:
    from types import SimpleNamespace

    def of(*factors: float) -> list[Finding]:
        raw = RawTraces()
        for k, factor in enumerate(factors):
            samples = factor * np.random.default_rng(k).normal(0, 1000, 5000)
            header = {"network": "XX", "station": "A", "channel": "HHZ", "sampling_rate": 100.0}
            raw.add(f"{k}.mseed", Stream([Trace(samples, {**header, "starttime": UTCDateTime(2024, 1, 1) + 60 * k})]))
        return [*_levels_differ(SimpleNamespace(traces=raw))]  # type: ignore[arg-type]  # what it looks at

    assert of(1.0, 100.0, 0.05, 0.0) == []
    (found,) = of(1.0, 1e-9, 1.0)
    assert "1 channels have samples that are 1e+09 times as large in one file as in another (XX.A..HHZ" in found.text
    assert found.kind == "units differ"
