"""HYPOINVERSE archives and VELEST's CNV: columns, weights, and what a broken line costs."""

from __future__ import annotations

import io
import warnings

import pytest
from obspy import Catalog, UTCDateTime
from obspy.core.event import Event, Magnitude, Origin, WaveformStreamID
from obspy.core.event import Pick as ObspyPick

from phaseno_peft.campaign import read_catalogue
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0


def archive_line(station: str, network: str, channel: str, p: str = "", s: str = "", location: str = "") -> str:
    """One station line in the columns of USGS Open-File Report 02-171; `p` and `s` are (remark, code, seconds)."""
    line = [" "] * 120

    def put(column: int, text: str) -> None:
        line[column - 1 : column - 1 + len(text)] = text

    put(1, station), put(6, network), put(10, channel), put(18, "202001010000"), put(112, location)
    if p:
        put(14, p[:4]), put(30, p[4:])  # remark, first motion, weight code; seconds
    if s:
        put(42, s)
    return "".join(line)


SUMMARY = "2020010100000150" + "43 3000" + "170 3000" + "  500" + " " * 100 + "      4711"


def archive(*lines: str) -> str:
    return "\n".join([SUMMARY, *(f"{line}\n$" for line in lines), " " * 62 + "      4711", ""])


def test_a_hypoinverse_archive_gives_onsets_weights_codes_and_hypocentre(tmp_path) -> None:
    lines = [
        archive_line("ABCD", "NZ", "HHZ", p="IPU0  650", location="10"),
        archive_line("ABCD", "NZ", "HHE", s=" 98  ES 2", location="10"),
        archive_line("E", "NZ", "HHZ", p=" P 4 7.25"),
        archive_line("F", "NZ", "HHE"),  # amplitudes only
    ]
    (tmp_path / "a.arc").write_text(archive(*lines))
    (event,) = read_catalogue(tmp_path / "a.arc").events
    assert event.event_id == "smi:local/hypoinverse/4711"
    assert (event.origin_time, event.latitude_deg, event.longitude_deg, event.depth_m) == (T0 + 1.5, 43.5, -170.5, 5000)
    assert [(p.station_id, p.phase, p.time - T0, p.usable, p.weight) for p in event.picks] == [
        ("NZ.ABCD.10", "P", 6.5, True, 1.0),
        ("NZ.E.", "P", 7.25, False, 0.0),
        ("NZ.ABCD.10", "S", 98.0, True, 0.5),  # blanks behind 98 are Fortran's zeros
    ]


def test_a_broken_line_of_an_archive_is_named(tmp_path) -> None:
    good = archive_line("ABCD", "NZ", "HHZ", p="IPU0  650")
    for bad in (good.replace("202001010000", "202013010000"), good.replace(" 650", " 6x0"), "ABCD NZ what is this"):
        (tmp_path / "a.arc").write_text(archive(good, bad))
        with pytest.raises(CampaignError, match=r"a\.arc: line 4: .*HYPOINVERSE archive's columns"):
            read_catalogue(tmp_path / "a.arc")


def velest(n_stations: int = 8) -> Catalog:
    events = Catalog()
    for i in range(2):
        origin = Origin(time=T0 + 1.25 + 600 * i, latitude=-43.5, longitude=170.25, depth=5100.0)
        picks = [
            ObspyPick(
                time=origin.time + 1.5 + k + delay,
                phase_hint=phase,
                waveform_id=WaveformStreamID("", f"S{k}", None, "HHZ"),
                time_errors={"uncertainty": 0.01 if k else 10.0},
            )
            for k in range(n_stations)
            for phase, delay in (("P", 0.0), ("S", 0.75))
        ]
        events += Event(picks=picks, origins=[origin], magnitudes=[Magnitude(mag=1.0)])
    return events


def test_velest_phases_are_read_as_obspy_writes_them(tmp_path) -> None:
    events, file = velest(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events.write(file, format="CNV", weight_mapping=[0.1, 0.2, 0.3, 0.4])
    (tmp_path / "a.cnv").write_bytes(file.getvalue())
    catalogue = read_catalogue(tmp_path / "a.cnv")
    assert [len(e.picks) for e in catalogue.events] == [16, 16]
    first = catalogue.events[0]
    assert (first.origin_time, first.latitude_deg, first.longitude_deg) == (T0 + 1.25, -43.5, 170.25)
    assert first.depth_m == pytest.approx(5100)
    wanted = {(f".S{k}.", ph, 2.75 + k + d, k > 0) for k in range(8) for ph, d in (("P", 0), ("S", 0.75))}
    assert {(p.station_id, p.phase, p.time - T0, p.usable) for p in first.picks} == wanted


def test_velest_stations_of_six_characters_and_years_of_the_last_century(tmp_path) -> None:
    (tmp_path / "a.cnv").write_text(
        "870102 0304  5.60 46.1000N   7.2000E  10.00   1.20\nSTAT01P0  1.50STAT02S3 12.25STA   P1100.00\n\n 9999\n"
    )
    picks = read_catalogue(tmp_path / "a.cnv").picks
    origin = UTCDateTime(1987, 1, 2, 3, 4, 5, 600000)
    assert [(p.station_id, p.phase, p.weight, round(p.time - origin, 6)) for p in picks] == [
        (".STAT01.", "P", 1.0, 1.5),
        (".STAT02.", "S", 0.25, 12.25),
        (".STA.", "P", 0.75, 100.0),
    ]


def test_a_broken_line_of_velest_is_named(tmp_path) -> None:
    for bad in ("S1  P0  1.5", "S1  X0  1.50", "S1  P0  1.50S2  P0"):
        (tmp_path / "a.cnv").write_text(f"200101 0000  5.60 46.1000N   7.2000E  10.00   1.20\n{bad}\n")
        with pytest.raises(CampaignError, match=r"a\.cnv: line 2: .*VELEST's CNV"):
            read_catalogue(tmp_path / "a.cnv")
