"""The same picks of a record, however it is stored, cut into blocks, and whoever asks: Python or the command line."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from obspy import Stream

from phaseno_peft.campaign import long_run, runs, sources
from phaseno_peft.campaign.sources import Source
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.labelling.teachers import PickerTeacher, load_teacher
from phaseno_peft.picking import Picker, PickList, picks_of
from tests.campaign.synthetic_network import T0, record, table
from tests.cli.test_commands import run

LENGTH_S = 300.0
LEVELS = {"P_threshold": 0.5, "S_threshold": 0.5}


@pytest.fixture
def picker(small_backbone: Path) -> Picker:
    return Picker.load(small_backbone)


@pytest.fixture
def stream() -> Stream:
    """Five minutes of three stations with a gap at one of them."""
    whole = record(np.random.default_rng(0), list(np.arange(20.0, LENGTH_S, 30.0)), LENGTH_S, T0, n_stations=3)
    for trace in whole:
        trace.data = np.round(100 * trace.data).astype(np.int32)
    gap = [t.slice(*cut) for t in whole.select(station="S1") for cut in ((None, T0 + 110), (T0 + 121, None))]
    return Stream([*whole.select(station="S0"), *gap, *whole.select(station="S2")])


@pytest.fixture
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is too long to be held."""
    for module in (long_run, runs):
        monkeypatch.setattr(module, "INSPECTED_S", 70.0)
    monkeypatch.setattr(sources, "PART_BYTES", 100_000)


def fragments(stream: Stream, n: int) -> list[Stream]:
    edges = [T0 + LENGTH_S * i / n for i in range(n)] + [T0 + LENGTH_S + 1]
    cut = [stream.slice(a, b - 0.001) for a, b in itertools.pairwise(edges)]  # overlaps by one sample
    return [piece for piece in cut if piece]


def written(folder: Path, pieces: Sequence[Stream]) -> Path:
    folder.mkdir()
    names = [f"{i:04d}.mseed" for i in range(len(pieces))]
    random.Random(1).shuffle(names)
    for name, piece in zip(names, pieces, strict=True):
        piece.write(str(folder / name), "MSEED")
    return folder


def assert_same(found: PickList, expected: PickList) -> None:
    assert [(p.trace_id, p.phase) for p in found] == [(p.trace_id, p.phase) for p in expected]
    for a, b in zip(found, expected, strict=True):
        assert abs(a.time - b.time) < 1e-6
        assert a.probability == pytest.approx(b.probability, abs=1e-6)
        assert a.uncertainty_s == pytest.approx(b.uncertainty_s, abs=1e-6)


def test_picks_do_not_depend_on_files_chunks_or_blocks(picker: Picker, stream: Stream, tmp_path: Path) -> None:
    whole = picker.classify(stream, table(), block_s=None, **LEVELS)
    assert len(whole) > 100
    assert {p.trace_id for p in whole} == {"XX.S0.", "XX.S1.", "XX.S2."}
    check_sources(picker, stream, whole, tmp_path)


def test_picks_of_a_record_that_is_not_held_are_the_same(
    picker: Picker, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = picker.classify(stream, table(), block_s=None, **LEVELS)
    for module in (long_run, runs):
        monkeypatch.setattr(module, "INSPECTED_S", 70.0)
    check_sources(picker, stream, whole, tmp_path)


def check_sources(picker: Picker, stream: Stream, whole: PickList, tmp_path: Path) -> None:
    given: list[tuple[Source, float | None]] = [
        (written(tmp_path / "one", [stream]), 40.0),
        (written(tmp_path / "many", fragments(stream, 60)), 600.0),
        (sorted(written(tmp_path / "some", fragments(stream, 5)).iterdir(), reverse=True), 77.7),
        (iter(fragments(stream, 7)[::-1]), 31.0),
        ({"a": stream}, None),
    ]
    for source, block_s in given:
        assert_same(picker.classify(source, table(), block_s=block_s, **LEVELS), whole)


@pytest.mark.parametrize("merge", ["median", "max"])
def test_every_way_of_merging_is_the_same_in_blocks(
    merge: str, picker: Picker, stream: Stream, short_spans: None
) -> None:
    whole = picker.annotation(stream, table(), merge=merge, stride_s=7.0)  # type: ignore[arg-type]
    blocks = list(picker.iter_annotations(stream, table(), merge=merge, stride_s=7.0, block_s=50.0))  # type: ignore[arg-type]
    assert [b.recording.first_sample for b in blocks] == list(range(0, 30_000, 5_000))
    assert all(b.recording.samples.base is None for b in blocks)  # a block holds nothing else in memory
    joined = np.concatenate([b.probabilities for b in blocks], axis=-1)
    np.testing.assert_allclose(joined, whole.probabilities, atol=1e-6)
    assert np.isnan(joined[1, :, 11_005:12_095]).all()
    assert blocks[3].recording.start == T0 + 150
    del short_spans


def test_the_command_line_picks_what_python_picks(
    picker: Picker, stream: Stream, small_backbone: Path, tmp_path: Path
) -> None:
    folder = written(tmp_path / "records", fragments(stream, 24))
    stations = tmp_path / "stations.csv"
    rows = [f"XX,S{i},{0.1 * i},10.0" for i in range(3)]
    stations.write_text("\n".join(["network,station,latitude,longitude", *rows]))
    done = run(
        "pick", folder, "--stations", stations, "--frozen", "--backbone", small_backbone, "--p-threshold", "0.5",
        "--s-threshold", "0.5", "--out", tmp_path / "picks.csv", "--quiet", home=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    own = picker.classify(stream, stations, **LEVELS).to_csv(tmp_path / "own.csv")
    assert (tmp_path / "picks.csv").read_text() == own.read_text()


def test_records_days_apart_are_picked_as_one_list(picker: Picker, stream: Stream) -> None:
    later = stream.copy()
    for trace in later:
        trace.stats.starttime += 3 * 86400
    one, both = picker.classify(stream, table(), **LEVELS), picker.classify(stream + later, table(), **LEVELS)
    assert len(both) == 2 * len(one)
    assert [p.time for p in both[len(one) :]] == [p.time + 3 * 86400 for p in one]
    assert len(picker.annotate(stream + later, table())) == 12
    with pytest.raises(CampaignError, match="several runs, one from 2020-01-01"):
        picker.annotation(stream + later, table())


def test_a_teacher_gives_the_picks_of_its_picker(picker: Picker, stream: Stream, short_spans: None) -> None:
    found = runs.Runs(stream, table(), picker.preprocessing)
    teacher = PickerTeacher(picker, {"P": 0.5, "S": 0.5})
    assert_same(picks_of(teacher.annotations(found)), picker.classify(stream, table(), **LEVELS))
    rival = load_teacher("stalta")
    long, held = (picks_of(rival.annotations(runs.Runs(s, table(), rival.preprocessing))) for s in (stream, stream))
    assert_same(long, held)
    assert len(held) > 10
    del short_spans


def test_the_adapter_of_the_beginning_is_kept_to_the_end(home: Path, small_backbone: Path, stream: Stream) -> None:
    from phaseno_peft.picking import load_adapter

    picker = load_adapter("tiny-ohio", backbone=small_backbone)
    whole = picker.classify(stream, table())
    blocks = picker.iter_annotations(stream, table(), block_s=60.0)
    found = [next(blocks)]
    picker.set_adapter(None)
    found += blocks
    assert {b.creator for b in found} == {"tiny-ohio"}
    assert_same(picks_of(found), whole)
    assert picks_of(found).creator == "tiny-ohio"
    del home


def test_progress_ends_with_everything(picker: Picker, stream: Stream) -> None:
    seen: list[tuple[int, int]] = []
    picker.classify(stream, table(), progress=lambda *done: seen.append(done))
    assert seen[-1] == (300, 300)
    assert seen == sorted(seen)


@pytest.mark.parametrize("wrong", [{"merge": "mode"}, {"block_s": 0.0}, {"stride_s": 0.0}])
def test_impossible_ways_are_refused_with_their_value(wrong: dict[str, object], picker: Picker, stream: Stream) -> None:
    (name,) = wrong
    with pytest.raises(PhasenoPeftError, match=name):
        next(picker.iter_annotations(stream, table(), **wrong))  # type: ignore[arg-type]
