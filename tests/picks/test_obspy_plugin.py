"""PhaseNet's table as an event format of obspy, as obspy itself finds it by the package's entry points."""

from __future__ import annotations

import io
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from obspy import UTCDateTime, read_events
from obspy.core.event import Catalog, Event, Pick, WaveformStreamID

from phaseno_peft.campaign import read_catalogue
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picks import PickList
from phaseno_peft.picks.obspy_plugin import is_phasenet_csv, read_phasenet_csv, write_phasenet_csv

TABLE = """station_id,begin_time,phase_index,phase_time,phase_score,phase_type
NC.MCV..EH,2019-07-04T00:00:00.000,342,2019-07-04T00:00:03.420,0.912,P
NC.MCV..EH,2019-07-04T00:00:00.000,534,2019-07-04T00:00:05.340,0.512,S
"""
"""In the layout of PhaseNet's own example output."""


def installed() -> bool:
    return bool([e for e in entry_points(group="obspy.plugin.event") if e.name == "PHASENET_CSV"])


@pytest.mark.skipif(not installed(), reason="the package is not installed with its entry points: pip install -e .")
def test_obspy_reads_and_writes_the_format_by_name_and_by_content(tmp_path: Path) -> None:
    path = tmp_path / "picks.csv"
    path.write_text(TABLE)
    catalog = read_events(str(path), format="PHASENET_CSV")
    assert [pick.phase_hint for pick in catalog[0].picks] == ["P", "S"]
    catalog.write(str(tmp_path / "again.csv"), format="PHASENET_CSV")
    assert len(read_events(str(tmp_path / "again.csv"))[0].picks) == 2


def test_picks_keep_station_time_phase_and_score(tmp_path: Path) -> None:
    (tmp_path / "picks.csv").write_text(TABLE)
    catalog = read_phasenet_csv(tmp_path / "picks.csv")
    (event,) = catalog
    first, second = event.picks
    assert (first.waveform_id.network_code, first.waveform_id.station_code) == ("NC", "MCV")
    assert (first.time, second.time) == (UTCDateTime("2019-07-04T00:00:03.42"), UTCDateTime("2019-07-04T00:00:05.34"))
    assert [pick.comments[0].text for pick in event.picks] == ["probability=0.91", "probability=0.51"]
    assert {pick.evaluation_mode for pick in event.picks} == {"automatic"}


def test_what_is_written_is_read_again_and_is_a_catalogue_to_train_on(tmp_path: Path) -> None:
    path = tmp_path / "picks.csv"
    write_phasenet_csv(read_phasenet_csv(io.BytesIO(TABLE.encode())), path)
    assert path.read_text().splitlines()[1] == (
        "NC.MCV.,2019-07-04T00:00:03.420000,0,2019-07-04T00:00:03.420000,0.910000,P,0"
    )
    again = io.BytesIO()
    write_phasenet_csv(read_phasenet_csv(path), again)
    assert again.getvalue().decode() == path.read_text()
    assert [pick.phase for pick in read_catalogue(path).picks] == ["P", "S"]


def test_events_stay_apart(tmp_path: Path) -> None:
    lines = TABLE.splitlines()
    path = tmp_path / "picks.csv"
    path.write_text("\n".join([lines[0] + ",event_index", lines[1] + ",7", lines[2] + ",8", lines[2] + ",-1"]))
    catalog = read_phasenet_csv(path)
    assert [len(event.picks) for event in catalog] == [1, 1, 1]
    write_phasenet_csv(catalog, tmp_path / "again.csv")
    assert [len(event.picks) for event in read_phasenet_csv(tmp_path / "again.csv")] == [1, 1, 1]


def test_our_own_picks_go_through_the_format(tmp_path: Path) -> None:
    picks = PickList.from_csv(_own(tmp_path))
    write_phasenet_csv(picks.to_catalog(), tmp_path / "picks.csv")
    assert len(read_phasenet_csv(tmp_path / "picks.csv")[0].picks) == len(picks) == 2


def _own(folder: Path) -> Path:
    path = folder / "own.csv"
    path.write_text(
        "station,phase,time,probability,uncertainty_s\n"
        "XX.A.,P,2020-01-01T00:00:01.000000Z,0.9,0.01\nXX.A.00,S,2020-01-01T00:00:02.000000Z,0.8,\n"
    )
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("EH,2019-07-04T00:00:00.000,534,2019-07-04T00:00:05.340", "EH,,,yesterday"), "line 3: time should be like"),
        ((",S\n", ",Pn\n"), "line 3: phase_type should be P or S but is 'PN'"),
        (("phase_type", "kind"), "line 1 lacks the column 'phase_type'"),
        (("0.512", "high"), "line 3: could not convert string to float: 'high'"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "picks.csv"
    path.write_text(TABLE.replace(*change))
    with pytest.raises(PhasenoPeftError, match=message):
        read_phasenet_csv(path)


def test_other_files_are_not_taken_for_it(tmp_path: Path) -> None:
    for name, content in {
        "a.xml": b"<?xml",
        "b.bin": b"\xff\xfe\x00",
        "c.csv": b"station,time\n",
        "d.csv": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert not is_phasenet_csv(str(tmp_path / name))
    assert not is_phasenet_csv(tmp_path / "not-there.csv")
    assert is_phasenet_csv(io.BytesIO(TABLE.encode()))


def test_nothing_to_write_and_a_pick_without_a_station_are_refused() -> None:
    with pytest.raises(PhasenoPeftError, match="0 events and no P or S pick"):
        write_phasenet_csv(Catalog(), io.BytesIO())
    nowhere = Pick(
        time=UTCDateTime(0), phase_hint="P", waveform_id=WaveformStreamID(network_code="XX", station_code="")
    )
    with pytest.raises(PhasenoPeftError, match="has no station"):
        write_phasenet_csv(Catalog(events=[Event(picks=[nowhere])]), io.BytesIO())
