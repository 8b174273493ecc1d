"""From provisional picks to corrected ones: what is kept, what is protected, what joins which event."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from obspy import UTCDateTime
from typer.testing import CliRunner

from phaseno_peft.campaign import Station, StationTable, read_catalogue
from phaseno_peft.campaign.campaign_folder import parts_of_campaign
from phaseno_peft.cli.app import app
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.events.catalogue import to_catalog
from phaseno_peft.labelling.coincidence import Coincidence
from phaseno_peft.labelling.doubt import Reading
from phaseno_peft.labelling.suggested_files import RANKS, check_replaceable, storable
from phaseno_peft.labelling.suggested_labels import SuggestedLabels, Suggestion
from phaseno_peft.picks import Pick, PickList
from phaseno_peft.picks.event_files import write_events

MARKERS = """# Snuffler Markers File Version 0.2
event: 2020-01-01 00:00:10.000000 0 one 40.0 -81.0 None None None None None
phase: 2020-01-01 00:00:11.000000 0 XX.A..* one 2020-01-01 00:00:10.000000 P None True
phase: 2020-01-01 00:00:12.500000 0 XX.A..* one 2020-01-01 00:00:10.000000 S None True
"""
ADDED = "phase: 2020-01-01 00:00:{at} 0 {station} None None None {phase} None False\n"


@pytest.mark.parametrize(
    ("at", "station", "phase", "events"),
    [
        ("11.300000", "XX.B..*", "P", 1),
        ("14.400000", "XX.B..*", "S", 1),
        ("11.300000", "XX.A..*", "P", 2),  # that event has this pick
        ("40.000000", "XX.B..*", "P", 2),
    ],
)
def test_a_pick_added_without_an_event_belongs_to_the_one_around_it(
    tmp_path: Path, at: str, station: str, phase: str, events: int
) -> None:
    file = tmp_path / "picks.markers"
    file.write_text(MARKERS + ADDED.format(at=at, station=station, phase=phase))
    found = read_catalogue(file)
    assert len(found.events) == events
    assert len(found.picks) == 3


def test_a_list_of_no_picks_is_one_where_that_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "picks.markers"
    file.write_text("# Snuffler Markers File Version 0.2\n")
    with pytest.raises(CampaignError, match="no picks"):
        read_catalogue(file)
    assert read_catalogue(file, may_be_empty=True).events == ()


def test_changed_provisional_picks_are_not_replaced_and_a_folder_without_corrections_says_so(tmp_path: Path) -> None:
    (tmp_path / "waveforms").mkdir()
    (tmp_path / "stations.csv").write_text("")
    (tmp_path / "to-correct.markers").write_text(MARKERS)
    (tmp_path / RANKS).write_text("")
    check_replaceable(tmp_path, overwrite=True)
    with pytest.raises(CampaignError, match=r"Correct to-correct\.markers and save it there as picks\.markers"):
        parts_of_campaign(tmp_path)
    later = (tmp_path / RANKS).stat().st_mtime + 60
    os.utime(tmp_path / "to-correct.markers", (later, later))
    with pytest.raises(PhasenoPeftError, match=r"to-correct\.markers: was changed after it was written"):
        check_replaceable(tmp_path, overwrite=True)


def test_a_file_is_never_replaced_by_suggestions(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    given = ["suggest-labels", "--unlabelled", str(tmp_path), "--stations", str(tmp_path / "none"), "--overwrite"]
    done = CliRunner().invoke(app, [*given, "--out", str(thesis)])
    assert "thesis.txt: is no folder, so it is not replaced. Choose another name." in str(done.exception)
    with pytest.raises(PhasenoPeftError, match=r"thesis\.txt: is no folder"):
        check_replaceable(thesis, overwrite=True)
    assert thesis.read_text() == "years of work"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (np.array([1, -2], np.int64), np.int32),
        (np.array([1, 200], np.uint8), np.int32),
        (np.array([2**40, 0], np.int64), np.float64),
        (np.array([-(2**31), 0], np.int64), np.float64),
        (np.array([0.5], np.float32), np.float32),
    ],
)
def test_samples_are_stored_in_a_type_that_miniseed_has(given: np.ndarray, stored: type) -> None:
    made = storable(given)
    assert made.dtype == stored
    assert np.array_equal(made.astype(np.float64), given.astype(np.float64))


DOUBTFUL = "phase: 2020-01-01 00:00:11.300000 3 XX.B..* one 2020-01-01 00:00:10.000000 P None True\n"


@pytest.mark.parametrize(
    ("line", "usable"),
    [
        (DOUBTFUL, [False]),
        (DOUBTFUL.replace(" 3 XX", " 0 XX"), [True]),  # the analyst made it a pick
        (DOUBTFUL.replace("None True", "None False"), [True]),  # somebody's own marker of that kind
        (DOUBTFUL + ADDED.format(at="11.340000", station="XX.B..*", phase="P"), [True]),  # or set one beside it
        (DOUBTFUL.replace("11.3", "40.3") + ADDED.format(at="12.100000", station="XX.B..*", phase="P"), [True]),
    ],
)
def test_a_doubtful_marker_is_no_label_until_somebody_says_so(tmp_path: Path, line: str, usable: list[bool]) -> None:
    file = tmp_path / "picks.markers"
    file.write_text(MARKERS + line)
    found = read_catalogue(file)
    assert len(found.events) == 1
    assert [pick.usable for pick in found.picks if pick.station_id == "XX.B."] == usable


def test_arrivals_in_doubt_stand_beside_the_picks_and_teach_nothing_uncorrected(tmp_path: Path) -> None:
    table = StationTable([Station(f"XX.{code}.", 40.0 + 0.01 * i, -81.0, 0.0) for i, code in enumerate("ABCDE")])
    start = UTCDateTime(2020, 1, 1)

    def reading(station: str, phase: str, at_s: float, *, is_pick: bool, undecided: float) -> Reading:
        pick = Pick(f"XX.{station}.", phase, start + at_s, 0.9 if is_pick else 0.3, 0.05)
        return Reading(pick, is_pick, undecided, 0.0)

    event = [reading(code, "P", 30.0 + 0.2 * i, is_pick=True, undecided=0.1) for i, code in enumerate("ABC")]
    event += [reading(code, "S", 31.5 + 0.4 * i, is_pick=True, undecided=0.1) for i, code in enumerate("ABC")]
    asked, sure_of_none = (reading(code, "P", 30.7, is_pick=False, undecided=u) for code, u in (("D", 0.9), ("E", 0.2)))
    alone = reading("B", "P", 130.0, is_pick=True, undecided=0.8)
    far = [reading("A", "P", 75.0, is_pick=False, undecided=0.9), reading("D", "P", 76.0, is_pick=False, undecided=0.9)]
    found = SuggestedLabels(
        tuple(
            Suggestion(start + at_s, start + at_s + 90, tuple(own), is_event, 0.0, 1.0)
            for at_s, own, is_event in (
                (0, [*event, asked, sure_of_none], True),
                (100, [alone], False),
                (31, far, False),
            )
        ),
        PickList([r.pick for r in (*event, alone)], creator="made-up"),
        ("made-up",), 2, 0.1, table, Coincidence(fewest_stations=3), Preprocessing(),
    )  # fmt: skip
    made = found.events()
    assert [(len(e.picks), [p.trace_id for p in e.ambiguous]) for e in made] == [
        (6, ["XX.D."]),
        (0, ["XX.A.", "XX.D."]),  # in the event's record and not of the event
        (0, ["XX.B."]),
    ]
    catalog = to_catalog(made, "made-up", "coincidence")
    for ending, name in ((".markers", "snuffler"), (".xml", "quakeml")):
        write_events(tmp_path / f"to-correct{ending}", catalog, name)
        shutil.copy(tmp_path / f"to-correct{ending}", tmp_path / f"picks{ending}")
        read = read_catalogue(tmp_path / f"picks{ending}")
        assert sorted(p.station_id for p in read.picks if not p.usable) == ["XX.A.", "XX.B.", "XX.D.", "XX.D."]
        assert sum(p.usable for p in read.picks) == 6
        assert [len(e.picks) for e in read.events] == [7, 2, 1]
