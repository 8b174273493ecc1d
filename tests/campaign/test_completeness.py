"""What a missing pick means: for all events and stations, or for those that are listed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from phaseno_peft.campaign import CompleteList, cut_window
from phaseno_peft.campaign.completeness import complete_of
from phaseno_peft.errors import CampaignError
from tests.campaign.test_windows import FRAME, ONE, PREPROCESSING

STATIONS = ("NZ.ABC.", "NZ.DEF.10", "AU.DEF.")
EVENTS = ("smi:local/a/1", "smi:local/b/1", "smi:local/a/2")


def test_stations_and_events_are_listed_in_words_or_in_a_file(tmp_path: Path) -> None:
    assert complete_of("event", STATIONS, EVENTS) == "event"
    assert complete_of("station=ABC,NZ.DEF", STATIONS, EVENTS) == CompleteList(("NZ.ABC.", "NZ.DEF.10"))
    assert complete_of("event=2", STATIONS, EVENTS) == CompleteList(events=("smi:local/a/2",))
    (tmp_path / "complete.csv").write_text("kind,id\n# both of that code\nstation,DEF\n\nevent,smi:local/a/1\n")
    listed = complete_of(tmp_path / "complete.csv", STATIONS, EVENTS)
    assert listed == CompleteList(("AU.DEF.", "NZ.DEF.10"), ("smi:local/a/1",))
    assert complete_of(listed, STATIONS, EVENTS) == listed


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("all", r"`complete` should be one of no, station, event, station=ID,ID, .* but is 'all'"),
        ("station=XYZ", r"station=\.\.\.: 'XYZ' is no station that recorded \(there are 'NZ\.ABC\.'"),
        ("event=1", r"'1' may be 'smi:local/a/1' or 'smi:local/b/1'. Write the whole id"),
        ("event=9", r"'9' is no event of the catalogue"),
        ("FILE:network,NZ\n", r"line 1: 'network,NZ' is neither station,ID nor event,ID"),
        ("FILE:\n", r"lists nothing"),
    ],
)
def test_ids_that_are_not_there_are_refused(source: str, message: str, tmp_path: Path) -> None:
    if source.startswith("FILE:"):
        (tmp_path / "complete.csv").write_text(source.removeprefix("FILE:"))
        source = str(tmp_path / "complete.csv")
    with pytest.raises(CampaignError, match=message):
        complete_of(source, STATIONS, EVENTS)


def test_what_is_missing_is_absent_at_listed_stations_and_for_listed_events_only() -> None:
    picks = tuple(p for p in ONE.picks if p.phase == "P")
    (event_id,) = {p.event_id for p in picks}
    a_station = picks[0].station_id

    def known(complete: CompleteList) -> list[bool]:
        window = cut_window(dataclasses.replace(ONE, picks=picks, complete=complete), 9000, FRAME, PREPROCESSING)
        return [bool(window.known[i, 1].all()) for i in range(len(window.station_ids))]

    assert not any(known(CompleteList()))
    everywhere = known(CompleteList(events=(event_id,)))
    assert all(everywhere)
    at_one = known(CompleteList(stations=(a_station,)))
    assert at_one == [i == ONE.recording.station_ids.index(a_station) for i in range(len(at_one))]
