"""From provisional picks to corrected ones: what is kept, what is protected, what joins which event."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from phaseno_peft.campaign import read_catalogue
from phaseno_peft.campaign.campaign_folder import parts_of_campaign
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.labelling.suggested_files import RANKS, check_replaceable, storable

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
    check_replaceable(tmp_path)
    with pytest.raises(CampaignError, match=r"Correct to-correct\.markers and save it there as picks\.markers"):
        parts_of_campaign(tmp_path)
    later = (tmp_path / RANKS).stat().st_mtime + 60
    os.utime(tmp_path / "to-correct.markers", (later, later))
    with pytest.raises(PhasenoPeftError, match=r"to-correct\.markers: was changed after it was written"):
        check_replaceable(tmp_path)


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
