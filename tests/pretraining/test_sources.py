"""SeisBench sets, continuous sets with their teachers, and the batches made of them."""

from __future__ import annotations

import dataclasses
import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from obspy import read

from phaseno_peft.campaign.windows import free_intervals
from phaseno_peft.contract import WINDOW_SAMPLES
from phaseno_peft.errors import BackboneError, CampaignError, PhasenoPeftError
from phaseno_peft.picking import PickList
from phaseno_peft.pretraining import BatchDataset, ContinuousSet, PretrainingSettings, SeisBenchSet, Sources
from phaseno_peft.pretraining.batches import held_out_windows, iterate_batches
from phaseno_peft.pretraining.continuous import ContinuousRecord
from phaseno_peft.pretraining.run import read_sources
from phaseno_peft.pretraining.teachers import ModelTeacher, PicksFile, PublishedProbabilities
from phaseno_peft.simulation import simulate_network_windows
from tests.pretraining.conftest import RECORD_SAMPLES, write_labelled


def test_only_the_train_split_is_read_and_some_of_it_is_held_out(labelled_folder: Path) -> None:
    made = SeisBenchSet.read(labelled_folder)
    assert made.left_out == {"other splits": 2}
    assert len(made.side(held_out=True)) + len(made.side(held_out=False)) == 18
    names = {r.name for r in made.records}
    assert not names & {"record-18", "record-19"}


def test_a_record_is_cut_with_its_labels_at_its_onsets(labelled_folder: Path) -> None:
    made = SeisBenchSet.read(labelled_folder)
    rng = np.random.default_rng(0)
    record = made.records[0]
    for _ in range(5):
        raw = made.cut(rng, record, WINDOW_SAMPLES, anywhere=False)
        p, s = raw.arrivals
        assert s.sample - p.sample == pytest.approx(record.arrivals[1] - record.arrivals[0])  # type: ignore[operator]
        assert 0 <= p.sample < WINDOW_SAMPLES


def test_records_of_one_event_are_held_out_together(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "set", 12, source_id=["one"] * 6 + ["two"] * 6)
    made = SeisBenchSet.read(folder)
    assert len({r.held_out for r in made.records[:6]}) == 1


def test_buckets_and_chunks_are_read(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    folder = tmp_path / "set"
    folder.mkdir()
    x = np.random.default_rng(0).standard_normal((2, 3, 4000)).astype(np.float32)
    with h5py.File(folder / "waveforms_a.hdf5", "w") as file:
        file["data/bucket0"] = x
        file["data_format/component_order"] = "ENZ"
    (folder / "metadata_a.csv").write_text(
        "trace_name,trace_sampling_rate_hz,trace_Pg_arrival_sample,trace_Sg_arrival_sample\n"
        '"bucket0$1,:3,:4000",100,1500,\n'
    )
    made = SeisBenchSet.read(folder)
    raw = made.cut(np.random.default_rng(0), made.records[0], WINDOW_SAMPLES, anywhere=False)
    assert [a.phase for a in raw.arrivals] == [0]
    p = int(raw.arrivals[0].sample)
    assert raw.known[0, 0].all()
    assert not raw.known[0, 1, p:].any()  # an S nobody picked is not an absent S
    assert raw.known[0, 1, : max(0, p - 100)].all()


def test_labels_outside_their_record_are_counted_and_left_out(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "set", 8, trace_p_arrival_sample=[RECORD_SAMPLES + 7, -3])
    made = SeisBenchSet.read(folder)
    assert made.left_out["labels outside their record"] == 2
    assert "labels outside their record" in made.findings[0]


def test_a_set_without_a_usable_label_is_refused(tmp_path: Path) -> None:
    outside: list[object] = [9 * RECORD_SAMPLES] * 4
    folder = write_labelled(tmp_path / "set", 4, trace_p_arrival_sample=outside, trace_s_arrival_sample=outside)
    with pytest.raises(CampaignError, match="no record of the train split has a P or S label inside"):
        SeisBenchSet.read(folder)
    with pytest.raises(CampaignError, match=r"holds no metadata\.csv"):
        SeisBenchSet.read(tmp_path)


def test_without_h5py_the_extra_is_named(labelled_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def fake(name: str, *args: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", fake)
    with pytest.raises(PhasenoPeftError, match=r"phaseno-peft\[datasets\]"):
        SeisBenchSet.read(labelled_folder)


def test_picks_are_labels_where_others_support_them(archive_folder: Path, tmp_path: Path) -> None:
    csv = tmp_path / "picks.csv"
    picks = PickList.from_csv(archive_folder / "picks.csv")
    unsupported = dataclasses.replace(picks[0], time=picks[0].time + 13.0, phase="P")
    PickList([*picks, unsupported], creator="test").to_csv(csv)
    (record,) = ContinuousSet.read(archive_folder, PicksFile(csv), tmp_path / "scratch").records
    start = read(str(next((archive_folder / "waveforms").iterdir())))[0].stats.starttime
    at = (unsupported.time - start) * 100
    is_unsupported = np.abs(record.sample - at) < 1
    assert record.is_label[is_unsupported].tolist() == [False]
    assert record.is_label.sum() > len(picks) / 2
    assert 0 in record.ambiguous_rows(int(at) - 10, 20)
    assert 0 not in record.ambiguous_rows(int(at) + 10, 20)


def test_a_catalogue_is_taken_as_it_is(archive_folder: Path, tmp_path: Path) -> None:
    xml = PickList.from_csv(archive_folder / "picks.csv")[:3].to_quakeml(tmp_path / "picks.xml")
    (record,) = ContinuousSet.read(archive_folder, PicksFile(xml), tmp_path / "scratch").records
    assert record.is_label.tolist() == [True] * 3


def test_picks_of_another_network_are_refused(archive_folder: Path, tmp_path: Path) -> None:
    picks = [dataclasses.replace(p, trace_id="NO.WHERE.") for p in PickList.from_csv(archive_folder / "picks.csv")]
    path = PickList(picks, creator="test").to_csv(tmp_path / "picks.csv")
    with pytest.raises(CampaignError, match=r"none of its \d+ picks is for a station of the archive, the first"):
        ContinuousSet.read(archive_folder, PicksFile(path), tmp_path / "scratch")


def test_noise_is_taken_far_from_every_pick(tmp_path: Path) -> None:
    """5 s before and 20 s after what was is_label anywhere, and what was picked, sure or not, on the station itself."""
    row, phase, sample = np.array([0, 1]), np.array([0, 1]), np.array([3000.0, 7500.0])
    is_label = np.array([True, False])
    record = ContinuousRecord(
        "x", tmp_path, np.zeros((2, 2)), 12_000, 14_000, row, phase, sample, is_label, is_soft=False
    )
    assert record.noise_intervals(0) == [(0, 2500), (5000, 12_000)]
    assert record.noise_intervals(1) == [(0, 2500), (5000, 7000), (9500, 12_000)]
    assert free_intervals([(300.0, 900.0), (500.2, 3000.1)], 5000, 100) == [(0, 300), (3001, 5000)]
    assert free_intervals([], 50, 100) == []


def test_noise_is_long_enough_for_the_simulator(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).standard_normal((1, 3, 8000)).astype(np.float32)
    np.save(tmp_path / "samples.npy", samples)
    np.save(tmp_path / "recorded.npy", np.ones(samples.shape, bool))
    row, sample = np.zeros(2, int), np.array([1690.0, 4800.0])  # free: 1190, 610 and 1200 samples
    record = ContinuousRecord("x", tmp_path, np.zeros((1, 2)), 8000, 8000, row, row, sample, row == 0, is_soft=False)
    pool = ContinuousSet("short", (record,), "test", ()).noise(np.random.default_rng(0))
    assert [record.shape for record in pool] == [(3, 1200)]
    simulate_network_windows(np.random.default_rng(0), None, 1, stations=2, own_noise=pool)


def test_archives_are_drawn_by_the_root_of_their_length(archive_folder: Path, tmp_path: Path) -> None:
    long = ContinuousSet.read(archive_folder, PicksFile(archive_folder / "picks.csv"), tmp_path)
    (record,) = long.records
    short = dataclasses.replace(long, name="short", records=(dataclasses.replace(record, first_held_out=3200),))
    settings = PretrainingSettings(batch_stations=4, most_stations=1, labelled=0.0, archives=1.0)
    dataset = BatchDataset(Sources(continuous_sets=(long, short)), settings)
    counts = sum((dataset[k].counts for k in range(60)), Counter())
    part = counts["short/windows"] / (counts["short/windows"] + counts[f"{long.name}/windows"])
    expected = 1 / (1 + np.sqrt(record.first_held_out / 3200))
    assert part == pytest.approx(expected, abs=0.09)
    assert expected < 0.4


def test_an_archive_holds_back_its_last_part(archive_folder: Path, tmp_path: Path) -> None:
    made = ContinuousSet.read(archive_folder, PicksFile(archive_folder / "picks.csv"), tmp_path)
    (record,) = made.records
    assert record.first_held_out == int(0.85 * record.n_samples)
    assert record.is_label.any()
    rng = np.random.default_rng(0)
    for _ in range(20):
        raw = made.draw(rng, 3, WINDOW_SAMPLES)
        assert raw is not None
        assert raw.n_stations <= 3
        for row in range(raw.n_stations):  # found in the training part, and nowhere after it
            key = raw.samples[row, 2, 1000:1010]
            station = next(i for i in range(len(record.samples)) if _position(record.samples[i, 2], key) is not None)
            first = _position(record.samples[station, 2], key)
            assert first is not None
            assert first + 2000 <= record.first_held_out
    assert made.describe()["picks"]["S"] > 0


def _position(x: np.ndarray, key: np.ndarray) -> int | None:
    for i in np.flatnonzero(x == key[0]):
        if np.array_equal(x[i : i + len(key)], key):
            return int(i)
    return None


def test_an_archive_without_a_usable_stretch_is_refused(archive_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    (folder / "waveforms").mkdir(parents=True)
    (folder / "stations.xml").write_bytes((archive_folder / "stations.xml").read_bytes())
    stream = read(str(next((archive_folder / "waveforms").iterdir())))
    stream.trim(stream[0].stats.starttime, stream[0].stats.starttime + 20)
    stream.write(str(folder / "waveforms" / "a.mseed"), format="MSEED")
    with pytest.raises(CampaignError, match="no usable stretch of 30 s"):
        ContinuousSet.read(folder, PicksFile(archive_folder / "picks.csv"), tmp_path / "scratch")


def write_probabilities(path: Path, archive: Path, rate_hz: float = 100.0, **changed: Any) -> Path:
    """Of station OF01 from the archive's first sample on: a P at sample 3020, an S at 8979."""
    curve = np.zeros(12_000, np.uint8)
    curve[3000:3041] = np.concatenate([np.arange(0, 252, 12), np.arange(240, 0, -12)])
    start = read(str(next((archive / "waveforms").iterdir())))[0].stats.starttime
    arrays: dict[str, Any] = {"OF01_P": curve, "OF01_S": curve[::-1]}
    arrays |= {"start_time": np.array([str(start)]), "sampling_rate": np.array([rate_hz]), "scale": 255}
    np.savez(path, **{k: v for k, v in (arrays | changed).items() if v is not None})
    return path


def test_published_probabilities_are_the_targets(archive_folder: Path, tmp_path: Path) -> None:
    path = write_probabilities(tmp_path / "p.npz", archive_folder)
    made = ContinuousSet.read(archive_folder, PublishedProbabilities(path), tmp_path / "scratch")
    (record,) = made.records
    assert record.soft is not None
    peak = int(np.argmax(record.soft[0, 0]))
    assert peak == 3020
    assert made.describe()["picks"] == {"P": 1, "S": 1}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rate_hz": 50.0}, "sampled at 50 Hz, the network works at 100 Hz"),
        ({"OF01_S": None}, "has no OF01_S; a teacher must give both P and S"),
        ({"OF01_P": None, "OF01_S": None, "ELSE_P": np.zeros(9)}, r"none of its stations \(ELSE\) is in the archive"),
        ({"start_time": np.array(["yesterday"])}, "start_time or sampling_rate is missing or wrong"),
    ],
)
def test_a_teacher_that_does_not_match_is_refused(
    archive_folder: Path, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    path = write_probabilities(tmp_path / "p.npz", archive_folder, **changed)
    with pytest.raises(CampaignError, match=message):
        ContinuousSet.read(archive_folder, PublishedProbabilities(path), tmp_path / "scratch")


def test_a_models_pseudo_labels_are_kept_for_the_next_call(
    archive_folder: Path, small_backbone: Path, tmp_path: Path
) -> None:
    first = ContinuousSet.read(
        archive_folder, ModelTeacher(str(small_backbone), keep_in=tmp_path / "kept"), tmp_path / "a"
    )
    again = ContinuousSet.read(archive_folder, ModelTeacher("no such", keep_in=tmp_path / "kept"), tmp_path / "b")
    assert len(first.records[0].sample)
    np.testing.assert_array_equal(first.records[0].sample, again.records[0].sample)
    np.testing.assert_array_equal(first.records[0].is_label, again.records[0].is_label)
    assert first.describe() == again.describe() | {"teacher": first.describe()["teacher"]}


def test_a_teacher_of_another_window_is_refused(archive_folder: Path, tmp_path: Path) -> None:
    from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, save_backbone

    config = PhaseNOConfig(width=4, modes=6, window_samples=1500, middle_samples=300, coarse_samples=100)
    folder = save_backbone(PhaseNO(config), tmp_path / "other", "other", {"P": 0.3, "S": 0.3})
    with pytest.raises(BackboneError, match="windows of 1500 samples"):
        ContinuousSet.read(archive_folder, ModelTeacher(str(folder)), tmp_path / "scratch")


def test_continuous_records_without_labels_are_refused(archive_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="its records have no labels"):
        read_sources([], [archive_folder], None, tmp_path, 0)
    with pytest.raises(CampaignError, match="no such file of probabilities or picks"):
        read_sources([], [f"{archive_folder}={tmp_path / 'none.csv'}"], None, tmp_path, 0)


@pytest.fixture(scope="module")
def sources(labelled_folder: Path, archive_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    scratch = tmp_path_factory.mktemp("scratch")
    continuous_set = ContinuousSet.read(archive_folder, PicksFile(archive_folder / "picks.csv"), scratch)
    return Sources.of((SeisBenchSet.read(labelled_folder),), (continuous_set,), 0)


def test_batches_are_full_of_all_sources_and_reproducible(sources: Sources, lean: PretrainingSettings) -> None:
    dataset, again = BatchDataset(sources, lean), BatchDataset(sources, lean)
    kinds: set[str] = set()
    for k in range(12):
        batch, same = dataset[k], again[k]
        np.testing.assert_array_equal(batch.waveforms, same.waveforms)
        np.testing.assert_array_equal(batch.targets, same.targets)
        assert len(batch.waveforms) == sum(batch.sizes) <= lean.batch_stations
        assert np.isfinite(batch.waveforms).all()
        assert batch.graph().sizes == batch.sizes
        kinds |= {key.split("/")[0] for key in batch.counts}
    assert kinds == {"records", "ohio-continuous", "simulated"}


def test_worker_processes_give_the_same_batches_in_the_same_order(sources: Sources, lean: PretrainingSettings) -> None:
    dataset = BatchDataset(sources, lean)
    with iterate_batches(dataset, 3, 2) as batches:
        for k in (3, 4, 5, 6):
            np.testing.assert_array_equal(next(batches).waveforms, dataset[k].waveforms)


def test_a_workers_error_is_one_sentence(labelled_folder: Path, lean: PretrainingSettings) -> None:
    good = SeisBenchSet.read(labelled_folder)
    broken = SeisBenchSet("broken", tuple(dataclasses.replace(r, name=f"no-{r.name}") for r in good.records), {})
    only = dataclasses.replace(lean, labelled=1.0, archives=0.0)
    with (
        iterate_batches(BatchDataset(Sources((broken,)), only), 0, 1) as batches,
        pytest.raises(
            CampaignError, match=r"^\S+waveforms\.hdf5: no waveform 'no-record-\d+', but metadata\.csv lists it"
        ),
    ):
        next(batches)


def test_held_out_windows_are_the_same_every_time(sources: Sources, lean: PretrainingSettings) -> None:
    first, again = held_out_windows(sources, lean), held_out_windows(sources, lean)
    assert "simulated" in first
    for name, windows in first.items():
        for a, b in zip(windows, again[name], strict=True):
            np.testing.assert_array_equal(a.waveforms, b.waveforms)


def test_the_real_sources_can_be_read(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    made = SeisBenchSet.read(shared / "data" / "singlestation" / "ncedc")
    assert len(made.records) == 99  # its README
    assert made.left_out == {"other splits": 25}
    folder = shared / "data" / "continuous" / "ridgecrest-2019"
    continuous_set = ContinuousSet.read(
        folder, PublishedProbabilities(folder / "published_probabilities.npz"), tmp_path
    )
    assert continuous_set.describe()["train_minutes"] == 51.0
    assert continuous_set.describe()["labels"] == "soft"
