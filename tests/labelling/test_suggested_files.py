"""The folder of suggested records: read as the archive is, one file a suggestion, nothing lost to it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from obspy import Stream, Trace, UTCDateTime, read

from phaseno_peft.campaign import Station, StationTable, read_waveforms
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.labelling import SuggestedLabels, Suggestion, write_suggestions
from phaseno_peft.labelling.coincidence import Coincidence
from phaseno_peft.labelling.doubt import Reading
from phaseno_peft.labelling.suggested_files import check_codes
from phaseno_peft.picks import Pick, PickList
from tests.campaign.synthetic_network import T0, trace

RATE_HZ = 100.0
STATIONS = StationTable([Station(f"XX.S{i}.", 40.0 + 0.01 * i, -81.0, 0.0) for i in range(3)])


def suggested(*spans_s: tuple[float, float]) -> SuggestedLabels:
    """A suggestion, of one pick in its middle, for each (start, end) after `T0`."""
    picks = [Pick("XX.S0.", "P", T0 + (start + end) / 2, 0.9, 0.05) for start, end in spans_s]
    suggestions = tuple(
        Suggestion(T0 + start, T0 + end, (Reading(pick, True, 0.5, 0.0),), False, 0.0, 1.0)
        for (start, end), pick in zip(spans_s, picks, strict=True)
    )
    return SuggestedLabels(
        suggestions, PickList(picks, creator="made-up"), ("made-up",), len(picks), 0.1, STATIONS, Coincidence(),
        Preprocessing(),
    )  # fmt: skip


def record(number: int) -> np.ndarray:
    """Two minutes of whole numbers, others for each trace."""
    return np.random.default_rng(number).integers(-1000, 1000, round(120 * RATE_HZ), np.int32)


def archive_of(folder: Path, codes: Sequence[str], form: str) -> Path:
    """One file a code for SAC, else one file of all; empty codes are traces without any."""
    folder.mkdir()
    traces = [
        trace("S0", code, record(i), RATE_HZ) if code else Trace(record(i), {"delta": 1 / RATE_HZ, "starttime": T0})
        for i, code in enumerate(codes)
    ]
    if form == "SEGY":
        for each in traces:
            each.data = each.data.astype(np.float32)
    for i, stream in enumerate([Stream([t]) for t in traces] if form == "SAC" else [Stream(traces)]):
        stream.write(str(folder / f"{i}.{form.lower()}"), format=form)
    return folder


def samples_of(folder: Path, channels: str, start: UTCDateTime, end: UTCDateTime) -> dict[str, tuple[int, list[float]]]:
    """SEED id -> time of the first sample in nanoseconds, samples between two times, of traces with a station code."""
    traces = [
        t.slice(start, end, nearest_sample=False)
        for stream in read_waveforms(folder, channels).values()
        for t in stream
    ]
    found = {t.id: (t.stats.starttime.ns, t.data.tolist()) for t in traces if t.stats.station}
    assert len(found) == sum(bool(t.stats.station) for t in traces)
    return found


@pytest.mark.parametrize(
    ("codes", "form", "channels", "ids"),
    [
        (["DPZ", "DPN"], "MSEED", "DPZ=-Z", ["XX.S0..DPN", "XX.S0..DPZ"]),
        (["HHZ", "HHN", "HHE"], "MSEED", "HHN=E,HHE=N", ["XX.S0..HHE", "XX.S0..HHN", "XX.S0..HHZ"]),
        (["EH0", "EH1"], "MSEED", "EH0=-Z,EH1=N", ["XX.S0..EHN", "XX.S0..EHZ"]),
        (["VERTIC", "H1"], "SAC", "VERTIC=-Z,H1=N", ["XX.S0..N", "XX.S0..Z"]),  # MiniSEED has room for 3 letters
        (["", "", ""], "SEGY", "1=-S0.Z,3=XX.S1.00.HHN", [".S0..Z", "XX.S1.00.HHN"]),  # nobody knows trace 2
    ],
)
def test_the_map_of_the_archive_reads_suggested_records_as_it_reads_the_archive(
    tmp_path: Path, codes: list[str], form: str, channels: str, ids: list[str]
) -> None:
    archive = archive_of(tmp_path / "archive", codes, form)
    found = suggested((10.003, 40.003))
    check_codes(archive, 100.0, channels=channels)
    folder = write_suggestions(tmp_path / "next", found, archive, channels=channels)
    span = found.suggestions[0].start, found.suggestions[0].end
    expected = samples_of(archive, channels, *span)
    assert sorted(expected) == ids
    assert samples_of(folder / "waveforms", channels, *span) == expected


def test_records_of_codes_are_stored_as_they_were_delivered(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "archive", ["DPZ"], "MSEED")
    folder = write_suggestions(tmp_path / "next", suggested((-1.0, 100.003)), archive, channels="DPZ=-Z")
    (stored,) = read(str(next((folder / "waveforms").iterdir())))
    assert stored.id == "XX.S0..DPZ"
    np.testing.assert_array_equal(stored.data, record(0)[:10_001])


@pytest.mark.parametrize(
    ("codes", "form", "channels", "said"),
    [
        (["", ""], "SEGY", "1=XX.S1.00.HHN,HHN=E", r"XX\.S1\.00\.HHN: .* would change it again"),
        (["VERTIC"], "SAC", "VERTIC=-Z,H1=N,Z=-Z", r"XX\.S0\.\.Z: .* would change it again"),
    ],
)
def test_a_map_that_would_change_its_own_codes_again_is_refused(
    tmp_path: Path, codes: list[str], form: str, channels: str, said: str
) -> None:
    archive = archive_of(tmp_path / "archive", codes, form)
    with pytest.raises(PhasenoPeftError, match=said):
        write_suggestions(tmp_path / "next", suggested((10.003, 40.003)), archive, channels=channels)
    with pytest.raises(PhasenoPeftError, match=said):  # and before any work is done
        check_codes(archive, 100.0, channels=channels)
    assert not (tmp_path / "next").exists()


def test_suggestions_that_start_within_a_second_have_a_file_each(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "archive", ["HHZ"], "MSEED")
    starts_s = (10.002, 10.402, 10.4021)
    folder = write_suggestions(tmp_path / "next", suggested(*((at, at + 0.3) for at in starts_s)), archive)
    with (folder / "suggestions.csv").open() as file:
        files = [row["file"] for row in csv.DictReader(file)]
    assert sorted(p.relative_to(folder).as_posix() for p in (folder / "waveforms").iterdir()) == sorted(files)
    for name, at in zip(files, starts_s, strict=True):
        (stored,) = read(str(folder / name))
        first = round(np.ceil(at * RATE_HZ))
        assert stored.stats.starttime == T0 + first / RATE_HZ
        np.testing.assert_array_equal(stored.data, record(0)[first : first + stored.stats.npts])
