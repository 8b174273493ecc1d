"""What was lost on the way from files to picks is reported: in the list, in the log, on standard error and in JSON."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from pathlib import Path

import obspy
import pytest

from phaseno_peft.campaign import Finding, read_stations
from phaseno_peft.picking import PickList, load_adapter
from phaseno_peft.picking.upstream import annotate_as_upstream
from phaseno_peft.picks import Pick
from tests.cli.test_commands import run

NOTE, WARNING = Finding("note", "resampled"), Finding("warning", "left out")


@pytest.fixture
def records(campaign_folder: Path) -> obspy.Stream:
    """45 s of the network, and the same of a station that nobody lists."""
    whole = obspy.read(str(next((campaign_folder / "continuous").glob("*.mseed"))))
    whole.trim(whole[0].stats.starttime, whole[0].stats.starttime + 45)
    unlisted = whole[0].copy()
    unlisted.stats.station = "NOBDY"
    return whole + unlisted


def test_findings_go_along_with_a_list_of_picks(tmp_path: Path) -> None:
    pick = Pick("XX.A.", "P", obspy.UTCDateTime(0), 0.5, 0.1)
    picks = PickList([pick, pick], creator="me", findings=[WARNING])
    others = PickList([pick], findings=[NOTE, WARNING])
    for made in (
        picks[:1], picks.sorted(), picks.select(phase="P"), picks.copy(), copy.copy(picks), copy.deepcopy(picks),
        pickle.loads(pickle.dumps(picks)),
    ):  # fmt: skip
        assert (made.findings, made.creator) == ((WARNING,), "me")
    both = picks + others
    assert (len(both), both.findings) == (3, (WARNING, NOTE))
    assert picks.findings == (WARNING,)
    picks += others
    picks.extend([pick])
    assert (len(picks), picks.findings) == (4, (WARNING, NOTE))
    assert "1 warnings in .findings" in repr(picks)
    bare = PickList(picks, creator="me")
    assert picks.to_csv(tmp_path / "a.csv").read_bytes() == bare.to_csv(tmp_path / "b.csv").read_bytes()


def test_a_station_that_is_not_listed_is_named_in_python(
    home: Path, campaign_folder: Path, small_backbone: Path, records: obspy.Stream, caplog: pytest.LogCaptureFixture
) -> None:
    picker = load_adapter("tiny-ohio", backbone=small_backbone)
    stations = campaign_folder / "stations.xml"
    with caplog.at_level(logging.WARNING, logger="phaseno_peft"):
        picks = picker.classify(records, stations)
    assert [f.severity for f in picks.findings if "NOBDY" in f.text] == ["warning"]
    assert sum("NOBDY" in message for message in caplog.messages) == 1
    told: list[Finding] = []
    with picker.frozen():
        found = picker.classify({"a": records}, read_stations(stations), on_findings=told.extend)
        as_upstream = picker.picks(annotate_as_upstream(picker, records.copy().resample(100.0), stations))
    assert any("NOBDY" in f.text for f in found.findings)
    assert any("NOBDY" in f.text for f in as_upstream.findings)
    assert set(told) == set(found.findings)


def test_losses_are_said_on_standard_error_and_in_json(
    campaign_folder: Path, small_backbone: Path, records: obspy.Stream, tmp_path: Path
) -> None:
    records.write(str(tmp_path / "a.mseed"), "MSEED")
    late = records.select(station="NOBDY").copy()
    late[0].stats.starttime += 86400
    late.write(str(tmp_path / "late.mseed"), "MSEED")
    files = [tmp_path / "a.mseed", tmp_path / "late.mseed"]
    folder = tmp_path / "records"
    folder.mkdir()
    for file in files:
        file.rename(folder / file.name)
    done = run(
        "pick", folder, "--stations", campaign_folder / "stations.xml", "--frozen", "--backbone", small_backbone,
        "--out", tmp_path / "x.csv", "--json", "--quiet", home=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected_text = [f["text"] for f in json.loads(done.stdout)["findings"] if f["severity"] == "warning"]
    assert any("left out: late" in text for text in expected_text)
    assert "warning: left out: late" in done.stderr
    assert "NOBDY" in done.stderr
