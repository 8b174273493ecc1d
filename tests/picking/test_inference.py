"""Where the network's coordinates come from: stations that recorded, and nothing else that a table lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import obspy
import pytest

from phaseno_peft.campaign import Station, StationTable, prepare, read_stations
from phaseno_peft.campaign.run import Run
from phaseno_peft.contract import Frame, Preprocessing
from phaseno_peft.labelling.teachers import PickerTeacher, RivalTeacher, load_teacher
from phaseno_peft.picking import Picker, load_adapter, picks_of
from phaseno_peft.picking.inference import networks
from phaseno_peft.picking.upstream import annotate_as_upstream

FAR = Station("ZZ.FAR.", -45.0, 170.0, 0.0)
FARTHER = Station("ZZ.POLE.", 89.0, 10.0, 0.0)
THRESHOLDS = {"P_threshold": 0.02, "S_threshold": 0.02}


@pytest.fixture
def picker(home: Path, small_backbone: Path) -> Picker:
    return load_adapter("tiny-ohio", backbone=small_backbone)


@pytest.fixture
def stream(campaign_folder: Path) -> obspy.Stream:
    whole = obspy.read(str(next((campaign_folder / "continuous").glob("*.mseed"))))
    return whole.trim(whole[0].stats.starttime, whole[0].stats.starttime + 45)


@pytest.fixture
def table(campaign_folder: Path) -> StationTable:
    return read_stations(campaign_folder / "stations.xml")


def same(a: obspy.Stream, b: obspy.Stream) -> bool:
    return [t.id for t in a] == [t.id for t in b] and all(
        np.array_equal(s.data, t.data) for s, t in zip(a, b, strict=True)
    )


def records_of(station: Station, like: obspy.Stream, values: float) -> obspy.Stream:
    """Three channels of a station, of the record's noise times `values`."""
    made = obspy.Stream([t.copy() for t in like.select(station=like[0].stats.station)])
    for trace in made:
        trace.stats.network, trace.stats.station, trace.stats.location = station.station_id.split(".")
        trace.data = (trace.data * values).astype(trace.data.dtype)
    return made


@pytest.mark.parametrize("adapter", ["tiny-ohio", None])
@pytest.mark.parametrize("extra", [[FAR], [FARTHER, FAR], [Station("ZZ.NEAR.", 41.0, -80.0, 0.0)]])
def test_a_listed_station_without_record_changes_nothing(
    adapter: str | None, extra: list[Station], picker: Picker, stream: obspy.Stream, table: StationTable
) -> None:
    wide = StationTable([*extra, *table])
    picker.set_adapter(adapter)
    assert same(picker.annotate(stream, table), picker.annotate(stream, wide))
    own = picker.classify({"a": stream}, table, **THRESHOLDS)
    assert list(picker.classify({"a": stream}, wide, **THRESHOLDS)) == list(own) != []


@pytest.mark.parametrize("adapter", ["tiny-ohio", None])
def test_a_far_station_that_is_dead_changes_nothing(
    adapter: str | None, picker: Picker, stream: obspy.Stream, table: StationTable
) -> None:
    picker.set_adapter(adapter)
    dead = stream + records_of(FAR, stream, 0.0)
    assert same(picker.annotate(stream, table), picker.annotate(dead, StationTable([*table, FAR])))


@pytest.mark.parametrize("adapter", ["tiny-ohio", None])
def test_a_far_station_that_records_is_picked_and_leaves_the_others_as_they_are(
    adapter: str | None, picker: Picker, stream: obspy.Stream, table: StationTable
) -> None:
    picker.set_adapter(adapter)
    both = picker.annotate(stream + records_of(FAR, stream, 1.0), StationTable([*table, FAR]))
    alone = picker.annotate(stream, table)
    for trace in alone:
        (beside,) = both.select(id=trace.id)
        np.testing.assert_allclose(beside.data, trace.data, atol=1e-6)
    for trace in both.select(station="FAR"):
        assert np.isfinite(trace.data).all()


def test_an_adapter_on_another_network_is_said_and_centred_there(
    picker: Picker, stream: obspy.Stream, table: StationTable
) -> None:
    moved = StationTable(
        [Station(s.station_id, s.latitude_deg - 60.0, s.longitude_deg, s.elevation_m) for s in table], source="moved"
    )
    annotation = picker.annotation(stream, moved)
    (message,) = [f for f in annotation.recording.findings if "another network" in f.text]
    assert message.severity == "warning"
    assert "2 degrees" in message.text
    here = picker.annotation(stream, table)
    assert not [f for f in here.recording.findings if "another network" in f.text]
    assert np.nanmax(np.abs(annotation.probabilities - here.probabilities)) < 0.05  # a small step, not another world


def test_stations_too_wide_apart_are_networks_of_their_own(stream: obspy.Stream, table: StationTable) -> None:
    pair = [FAR, Station("ZZ.FAR2.", FAR.latitude_deg + 0.1, FAR.longitude_deg, 0.0)]
    recording = prepare(
        stream + records_of(pair[0], stream, 1.0) + records_of(pair[1], stream, 2.0), StationTable([*pair, *table])
    )
    trained = StationTable(list(table)).frame()
    parts, findings = networks(recording.stations, trained, Preprocessing())
    assert [tuple(recording.station_ids[row] for row in rows) for rows, _ in parts] == [
        ("ZZ.FAR.", "ZZ.FAR2."),
        table.station_ids,
    ]
    assert [frame is trained for _, frame in parts] == [False, True]
    assert parts[0][1] == Frame(pytest.approx(-44.95), pytest.approx(170.0))  # type: ignore[arg-type]
    assert len(findings) == 1
    assert "ZZ.FAR." in findings[0].text
    one, findings = networks(prepare(stream, table).stations, None, Preprocessing())
    assert (len(one), findings) == (1, [])
    assert one[0][1] == table.frame()


def test_a_teacher_sees_what_the_picker_sees(picker: Picker, stream: obspy.Stream, table: StationTable) -> None:
    recordings = [prepare(stream, t, Preprocessing()) for t in (table, StationTable([*table, FAR]))]
    for teacher in (PickerTeacher(picker, {"P": 0.02, "S": 0.02}), load_teacher("stalta")):
        assert isinstance(teacher, PickerTeacher | RivalTeacher)
        narrow, wide = (list(picks_of(teacher.annotations([Run.of(recording)]))) for recording in recordings)
        assert narrow == wide != []


def test_upstreams_preprocessing_is_centred_on_the_stations_that_recorded(
    picker: Picker, stream: obspy.Stream, table: StationTable
) -> None:
    slow = stream.copy().resample(100.0)
    with picker.frozen():
        narrow, wide = (annotate_as_upstream(picker, slow, t) for t in (table, StationTable([*table, FAR])))
    assert np.array_equal(narrow.probabilities, wide.probabilities)
