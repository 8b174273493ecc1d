"""From picks to a file, corrected there, and back: every format that `PickList.write` writes."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from obspy import UTCDateTime, read_events
from obspy.io.nordic.core import read_nordic

from phaseno_peft.campaign import Station, StationTable, read_catalogue
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picks import Pick, PickList
from phaseno_peft.picks.event_files import EVENT_FORMATS, write_events
from phaseno_peft.picks.pick_list import FORMATS, format_of
from phaseno_peft.picks.quakeml import catalog_of_bursts

T0 = UTCDateTime("2013-09-05T02:08:59.123456Z")
STATIONS = StationTable(
    [Station(i, -43.0 + k / 10, 170.0, 100.0) for k, i in enumerate(("NZ.GCSZ.", "9F.SAMBA.10", "9F.B-1_c.00"))]
)
PICKS = PickList(
    [
        Pick(station.station_id, phase, T0 + start + late + delay, 0.8126, 0.052)
        for start in (0.0, 3600.25)
        for late, station in zip((0.0, 0.7, 0.8765), STATIONS, strict=True)
        for phase, delay in (("P", 0.0), ("S", 2.0))
    ],
    creator="samba-nz",
)
RESOLUTION_S = {"nordic": 1e-3, "nlloc": 1e-4, "hypodd": 1e-4}
"""Half of it can be lost; all others have microseconds."""


def read_back(path: Path) -> list[tuple[str, str, UTCDateTime]]:
    """(station of the table, phase, time) of every pick; some formats have a station's own code only."""
    found = []
    for pick in read_catalogue(path).picks:
        station = STATIONS.find(pick.station_id, pick.time)
        assert station is not None, pick.station_id
        found.append((station.station_id, pick.phase, pick.time))
    return sorted(found, key=lambda p: (p[0], p[2].ns))


def written(folder: Path, name: str, picks: PickList = PICKS) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # obspy of magnitudes that are not there
        return picks.write(folder / "picks.out", format=name, stations=STATIONS)


def test_every_format_is_tried() -> None:
    assert set(FORMATS) == {"csv", "phasenet", "gamma", "pyocto", *EVENT_FORMATS}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_picks_come_back_from_every_format_with_stations_times_and_ids(tmp_path, name: str) -> None:
    given = sorted(((p.trace_id, p.phase, p.time) for p in PICKS), key=lambda p: (p[0], p[2].ns))
    path = written(tmp_path, name)
    back = read_back(path)
    assert [p[:2] for p in back] == [p[:2] for p in given]
    most = RESOLUTION_S.get(name, 1e-6) / 2 + 1e-6
    assert all(abs(a[2] - b[2]) <= most for a, b in zip(back, given, strict=True))
    events = read_catalogue(path).events
    assert [len(e.picks) for e in events] == [6, 6]
    again = read_catalogue(path).events
    assert [(e.event_id, [p.pick_id for p in e.picks]) for e in events] == [
        (e.event_id, [p.pick_id for p in e.picks]) for e in again
    ]
    assert len({p.pick_id for e in events for p in e.picks}) == len(PICKS)


def moved(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old} stands {text.count(old)} times"
    return text.replace(old, new)


# The first P at 9F.SAMBA, 02:08:59.823456, moved to 02:09:00.1 (and in HypoDD's file counted from 02:08:59).
CORRECTIONS = {
    "csv": ("9F.SAMBA.10,P,2013-09-05T02:08:59.823456Z", "9F.SAMBA.10,P,2013-09-05T02:09:00.100000Z"),
    "phasenet": (",0,2013-09-05T02:08:59.823456", ",0,2013-09-05T02:09:00.100000"),
    "gamma": ("9F.SAMBA.10,2013-09-05T02:08:59.823456", "9F.SAMBA.10,2013-09-05T02:09:00.1"),
    "pyocto": ("9F.SAMBA.10,P,1378346939.823456", "9F.SAMBA.10,P,1378346940.1"),
    "quakeml": ("<value>2013-09-05T02:08:59.823456Z</value>", "<value>2013-09-05T02:09:00.1Z</value>"),
    "scml": ("<value>2013-09-05T02:08:59.823456Z</value>", "<value>2013-09-05T02:09:00.1Z</value>"),
    "nordic": (" 2 8 59.823", " 2 9  0.100"),
    "nlloc": ("20130905 0208 59.8235", "20130905 0209  0.1000"),
    "hypodd": ("SAMBA   0.8235  1.0  P", "SAMBA   1.1000  1.0  P"),
    "snuffler": ("02:08:59.823456", "02:09:00.1"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_a_pick_corrected_in_the_file_is_the_label_that_is_read(tmp_path, name: str) -> None:
    path = written(tmp_path, name)
    before = read_back(path)
    path.write_text(moved(path.read_text(), *CORRECTIONS[name]))
    changed = [(a, b) for a, b in zip(before, read_back(path), strict=True) if a != b]
    ((old, new),) = changed
    assert old[:2] == new[:2] == ("9F.SAMBA.10", "P")
    assert abs(new[2] - UTCDateTime("2013-09-05T02:09:00.1Z")) <= 1e-6


@pytest.mark.filterwarnings("ignore")
def test_files_for_obspy_and_nordic_are_read_by_their_own_readers(tmp_path) -> None:
    catalog = read_events(str(written(tmp_path, "hypodd")), format="HYPODDPHA")
    assert [len(e.picks) for e in catalog] == [6, 6]
    assert catalog[0].origins[0].latitude == -43.0  # of the first pick's station
    (pick,) = [p for p in read_nordic(str(written(tmp_path, "nordic")))[1].picks if p.phase_hint == "S"][:1]
    assert (pick.waveform_id.network_code, pick.waveform_id.station_code, pick.evaluation_mode) == (
        "NZ",
        "GCSZ",
        "automatic",
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EVENT_FORMATS)
def test_rejected_picks_stay_unusable_or_away(tmp_path, name: str) -> None:
    catalog = catalog_of_bursts(PICKS, "samba-nz", STATIONS)
    catalog[0].picks[1].evaluation_status = "rejected"
    read = read_catalogue(write_events(tmp_path / "a", catalog, name))
    assert len([p for p in read.picks if p.usable]) == len(PICKS) - 1
    assert len(read.picks) == len(PICKS) - (name == "hypodd")


def test_what_a_format_cannot_hold_is_said(tmp_path) -> None:
    long = PickList([Pick("XX.LONGER.", "P", T0, 0.5, 0.1)])
    with pytest.raises(PhasenoPeftError, match="station LONGER: Nordic holds codes of 5 characters"):
        long.write(tmp_path / "a.sfile")
    with pytest.raises(PhasenoPeftError, match="has not a hypocentre, which the format needs"):
        long.write(tmp_path / "a.pha")
    with pytest.raises(PhasenoPeftError, match=r"unknown ending '\.txt'\. Use \.csv \(csv\), .*\.markers \(snuffler\)"):
        long.write(tmp_path / "a.txt")
    with pytest.raises(PhasenoPeftError, match=r"`format` should be one of quakeml, .* but is 'excel'"):
        long.write(tmp_path / "a.csv", format="excel")
    assert list(tmp_path.iterdir()) == []
    assert format_of("A.XML") == "quakeml"


def test_the_command_line_offers_every_format() -> None:
    from typing import get_args, get_type_hints

    from phaseno_peft.cli.pick import pick

    assert get_args(get_args(get_type_hints(pick)["format_name"])[0]) == tuple(FORMATS)
