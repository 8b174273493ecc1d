"""Streams in, picks out; adapters in and out of force."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import obspy
import pytest

from phaseno_peft.backbone import save_backbone
from phaseno_peft.campaign import Station, read_stations
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.errors import AdapterError, CampaignError, PhasenoPeftError
from phaseno_peft.picking import Picker, load_adapter
from phaseno_peft.picking.annotations import Merge
from phaseno_peft.picking.inference import JudgedWindow, merge_windows
from phaseno_peft.picking.upstream import annotate_as_upstream


@pytest.fixture
def picker(home: Path, small_backbone: Path) -> Picker:
    return load_adapter("tiny-ohio", backbone=small_backbone)


@pytest.fixture
def stream(campaign_folder: Path) -> obspy.Stream:
    return obspy.read(str(next((campaign_folder / "continuous").glob("*.mseed"))))


@pytest.fixture
def stations(campaign_folder: Path) -> Path:
    return campaign_folder / "stations.xml"


def test_annotate_gives_a_trace_for_every_station_and_phase(
    picker: Picker, stream: obspy.Stream, stations: Path
) -> None:
    before = stream.copy()
    annotated = picker.annotate(stream, stations)
    assert sorted((t.stats.station, t.stats.channel) for t in annotated) == sorted(
        (s, phase) for s in {t.stats.station for t in stream} for phase in "PS"
    )
    assert all(abs(t.stats.starttime - stream[0].stats.starttime) < 0.01 for t in annotated)
    assert all(t.stats.sampling_rate == 100 and 0 <= t.data.min() <= t.data.max() <= 1 for t in annotated)
    assert stream == before


def test_classify_gives_what_annotate_shows(picker: Picker, stream: obspy.Stream, stations: Path) -> None:
    annotated = picker.annotate(stream, stations)
    picks = picker.classify(stream, stations, P_threshold=0.02, S_threshold=0.02)
    assert len(picks) > 0
    for pick in picks:
        network, station, _ = pick.trace_id.split(".")
        (trace,) = annotated.select(network=network, station=station, channel=pick.phase)
        index = round((pick.time - trace.stats.starttime) * 100)
        assert trace.data[index] == pytest.approx(pick.probability, abs=2e-3)
    assert [p.time for p in picks] == sorted(p.time for p in picks)
    assert picks.creator == "tiny-ohio"


def test_the_frozen_backbone_stays_bit_identical_beside_an_adapter(
    picker: Picker, stream: obspy.Stream, stations: Path, small_backbone: Path
) -> None:
    plain = Picker.load(small_backbone).annotate(stream, stations)
    adapted = picker.annotate(stream, stations)
    with picker.frozen():
        assert picker.active_adapter is None
        frozen = picker.annotate(stream, stations)
    assert picker.active_adapter == "tiny-ohio"
    assert all(np.array_equal(a.data, b.data) for a, b in zip(plain, frozen, strict=True))
    assert any(not np.array_equal(a.data, b.data) for a, b in zip(adapted, frozen, strict=True))


def test_two_threads_with_and_without_adapter_never_mix(picker: Picker, stream: obspy.Stream, stations: Path) -> None:
    short = stream.copy().trim(stream[0].stats.starttime, stream[0].stats.starttime + 40)

    def annotate(name: str | None) -> obspy.Stream:
        with picker.using(name):
            return picker.annotate(short, stations)

    expected = {name: annotate(name) for name in ("tiny-ohio", None)}
    names = ["tiny-ohio", None] * 8
    with ThreadPoolExecutor(2) as pool:
        for name, found in zip(names, pool.map(annotate, names), strict=True):
            assert all(np.array_equal(a.data, b.data) for a, b in zip(found, expected[name], strict=True))


def test_an_adapter_of_another_backbone_is_refused_and_nothing_is_resident(home: Path, tmp_path: Path) -> None:
    import torch

    from phaseno_peft.backbone import PhaseNO, PhaseNOConfig

    torch.manual_seed(1)
    other = save_backbone(PhaseNO(PhaseNOConfig(width=8, modes=6)), tmp_path / "other", "other", {"P": 0.3, "S": 0.3})
    with pytest.raises(AdapterError, match="was trained on backbone 'small-backbone'"):
        load_adapter("tiny-ohio", backbone=other)
    picker = Picker.load(other)
    with pytest.raises(AdapterError):
        picker.load_adapter("tiny-ohio")
    assert picker.adapters == []
    assert not [name for name in picker.backbone.state_dict() if "crlora" in name]


def test_an_adapter_that_is_not_resident_is_named(picker: Picker) -> None:
    with pytest.raises(AdapterError, match=r"'bc-frac' is not resident \(resident: tiny-ohio\)"):
        picker.set_adapter("bc-frac")


def test_a_stream_of_other_stations_is_refused(picker: Picker, stream: obspy.Stream, tmp_path: Path) -> None:
    table = tmp_path / "stations.csv"
    table.write_text("network,station,latitude,longitude\nXX,NONE,40.0,-80.0\n")
    with pytest.raises(CampaignError, match="XX"):
        picker.classify(stream, table)


@pytest.mark.parametrize("stride_s", [0, -1, 31])
def test_a_stride_outside_the_window_is_refused(
    stride_s: float, picker: Picker, stream: obspy.Stream, stations: Path
) -> None:
    with pytest.raises(PhasenoPeftError, match="stride_s"):
        picker.classify(stream, stations, stride_s=stride_s)


def test_a_record_shorter_than_a_window_is_padded(picker: Picker, stream: obspy.Stream, stations: Path) -> None:
    short = stream.copy().trim(stream[0].stats.starttime, stream[0].stats.starttime + 12)
    annotated = picker.annotate(short, stations)
    assert all(abs(t.stats.npts - 1200) <= 1 for t in annotated)


def test_one_dead_station_does_not_blank_the_others(picker: Picker, stream: obspy.Stream, stations: Path) -> None:
    code = stream[0].stats.station
    dead = stream.copy()
    for trace in dead.select(station=code):
        trace.data[:] = 0
    annotated = picker.annotate(dead, stations)
    for trace in annotated:
        values = np.ma.filled(np.ma.asarray(trace.data, float), np.nan)
        assert np.isnan(values).all() == (trace.stats.station == code)


def test_files_that_follow_each_other_are_picked_as_one_record(
    picker: Picker, stream: obspy.Stream, stations: Path
) -> None:
    table = read_stations(stations)
    middle = stream[0].stats.starttime + 61.236
    halves = {"a": stream.slice(endtime=middle), "b": stream.slice(starttime=middle + 0.001)}
    whole = picker.classify({"all": stream}, table, P_threshold=0.02, S_threshold=0.02)
    parts = picker.classify(halves, table, P_threshold=0.02, S_threshold=0.02)
    assert [(p.trace_id, p.phase, p.time) for p in whole] == [(p.trace_id, p.phase, p.time) for p in parts]


def test_merging_weighs_middles_over_ends_and_skips_gaps() -> None:
    n = 4500
    station = Station("XX.A.", 40.0, -80.0, 0.0)
    recorded = np.ones((1, 3, n), bool)
    recorded[..., 4000:4100] = False
    samples = np.where(recorded, np.random.default_rng(0).normal(size=(1, 3, n)), 0).astype(np.float32)
    recording = Recording("r", obspy.UTCDateTime(0), 100.0, (station,), samples, recorded, ("ENZ",))
    shown = [(0, 0.2), (1500, 0.8)]
    windows = [
        JudgedWindow(start, ("XX.A.",), 3000, np.full((1, 2, 3000), value, np.float32)) for start, value in shown
    ]
    mean = merge_windows(recording, windows, "mean", 200)
    assert mean[0, 0, 100] == pytest.approx(0.2)
    assert mean[0, 0, 4400] == pytest.approx(0.8)
    assert mean[0, 0, 2250] == pytest.approx(0.5)
    assert mean[0, 0, 1510] < 0.25  # the second window's first samples hardly count
    assert np.isnan(mean[0, 0, 4000:4100]).all()
    assert merge_windows(recording, windows, "max", 200)[0, 1, 1510] == pytest.approx(0.8)
    assert merge_windows(recording, windows, "median", 200)[0, 1, 1510] == pytest.approx(0.5)
    quiet = [windows[0], JudgedWindow(1500, ("XX.A.",), 3000, None)]  # one that was not picked
    merges: tuple[Merge, ...] = ("mean", "median", "max")
    for merge in merges:
        merged = merge_windows(recording, quiet, merge, 200)[0, 0]
        assert merged[2250] == pytest.approx(0.2)  # only the picked window counts
        assert (merged[3000:4000] == 0).all()
        assert np.isnan(merged[4000:4100]).all()
    with pytest.raises(PhasenoPeftError, match="merge"):
        merge_windows(recording, windows, "mode", 200)  # type: ignore[arg-type]


def test_upstreams_preprocessing_is_for_the_frozen_backbone(
    picker: Picker, stream: obspy.Stream, stations: Path
) -> None:
    slow = stream.copy().resample(100.0)
    with pytest.raises(AdapterError, match="needs preprocessing 'campaign-v1'"):
        annotate_as_upstream(picker, slow, stations)
    seen: list[tuple[int, int]] = []
    with picker.frozen():
        annotation = annotate_as_upstream(picker, slow, stations, progress=lambda *done: seen.append(done))
        picks = picker.picks(annotation, P_threshold=0.02, S_threshold=0.02)
    assert annotation.probabilities.shape[-1] == annotation.recording.n_samples
    assert np.isfinite(annotation.probabilities).all()
    assert seen[-1][0] == seen[-1][1]
    assert len(picks) > 0
