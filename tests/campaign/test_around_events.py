"""Large archives: read around their events only, in pieces, with the arrays on disk; the windows are the same."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from phaseno_peft.campaign import Campaign, WindowSampler, around_events, cut_window, read_catalogue
from phaseno_peft.campaign.around_events import AFTER_S, BEFORE_S, LONGEST_PIECE_S, event_times, is_large
from tests.campaign.synthetic_network import T0, catalog, network_picks, record, table

ONSETS_S = (700.0, 1500.0, 1540.0, 3100.0)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of three stations in files of ten minutes."""
    folder = tmp_path_factory.mktemp("archive")
    stream = record(np.random.default_rng(0), list(ONSETS_S), 3600.0, T0)
    for i in range(6):
        part = stream.slice(T0 + 600 * i, T0 + 600 * (i + 1) - 0.005)
        for trace in part:
            trace.data = np.round(1000 * trace.data).astype(np.int32)
        part.write(str(folder / f"{i}.mseed"), format="MSEED")
    return folder


def read(archive: Path, **options: object) -> Campaign:
    return Campaign.read(archive, table(), catalog([network_picks(T0 + t) for t in ONSETS_S]), **options)


def test_windows_of_a_large_archive_are_those_of_a_small_one(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(archive)
    monkeypatch.setattr(around_events, "LARGE_BYTES", 0)
    monkeypatch.setattr(around_events, "SPAN_BYTES", 65536)
    pieces = read(archive)
    assert any("around the events of the catalogue only" in f.text for f in pieces.findings)
    assert len(pieces.recordings) == 3
    assert sum(r.duration_s for r in pieces.recordings) < 0.25 * sum(r.duration_s for r in whole.recordings)
    assert [len(s.picks) for s in pieces.stretches()] == [8, 16, 8]
    for stretch in pieces.stretches():
        first = round(stretch.recording.index_of(stretch.picks[0].time)) - 1000
        start = stretch.recording.start + first / stretch.recording.rate_hz
        (same,) = (s for s in whole.stretches() if s.recording.start <= start < s.recording.end)
        window = cut_window(stretch, first, pieces.frame, pieces.preprocessing)
        expected = cut_window(same, round(same.recording.index_of(start)), whole.frame, whole.preprocessing)
        np.testing.assert_allclose(window.waveforms, expected.waveforms, atol=2e-3)
        np.testing.assert_allclose(window.targets, expected.targets, atol=0.02)  # of a sample's part between two grids
        assert (window.known == expected.known).mean() > 0.999
    sampler = WindowSampler(pieces.stretches(), pieces.frame, pieces.preprocessing, 0)
    assert sampler.noise_s > 60
    assert [w.name for w in sampler.windows(4, number=1)] == [w.name for w in sampler.epoch(4, number=1)]


def test_noise_that_was_asked_for_is_read_too(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(around_events, "LARGE_BYTES", 0)
    campaign = read(archive, noise=[(T0 + 2200, T0 + 2300)])
    assert any(r.start - 0.1 < T0 + 2200 and r.end + 0.1 > T0 + 2300 for r in campaign.recordings)


def test_pieces_hold_the_events_and_a_swarm_is_cut_between_two_of_them() -> None:
    events = read_catalogue(catalog([network_picks(T0 + 80.0 * i) for i in range(60)])).events
    times = event_times(events)
    assert len(times) > 1
    for begin, end in times:
        assert (end - begin) * 1e-9 < LONGEST_PIECE_S + BEFORE_S + AFTER_S + 80
    for event in events:
        picks = [p.time.ns for p in event.picks]
        assert any(begin < min(picks) and max(picks) < end for begin, end in times)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(times))


def test_a_large_set_in_seisbenchs_format_is_prepared_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("h5py", reason="needs h5py, the extra `datasets`")
    from tests.campaign.test_seisbench_sets import write_set

    folder = write_set(tmp_path / "set", chunks=("_a", "_b"))
    whole = Campaign.read(folder)
    monkeypatch.setattr(around_events, "LARGE_BYTES", 0)
    pieces = Campaign.read(folder)
    assert any("prepared piece by piece and kept on disk" in f.text for f in pieces.findings)
    assert len(pieces.recordings) == len(whole.recordings) == 2
    for a, b in zip(pieces.recordings, whole.recordings, strict=True):
        assert (a.name, a.start, a.station_ids, a.components) == (b.name, b.start, b.station_ids, b.components)
        np.testing.assert_array_equal(a.samples, b.samples)
        np.testing.assert_array_equal(a.recorded, b.recorded)


def test_small_archives_and_streams_are_read_whole(archive: Path) -> None:
    assert not is_large(archive)
    assert not is_large({"stream": None})
