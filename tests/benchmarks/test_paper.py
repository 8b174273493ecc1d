"""The paper's protocol in small: who is on which side, what is kept, and what is written."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.paper import __main__ as command
from benchmarks.paper import runs as runs_module
from benchmarks.paper.data import PaperData, Sizes, read_data
from benchmarks.paper.published import PUBLISHED
from benchmarks.paper.runs import PaperRun, run_recipe
from benchmarks.paper.tables import report, table_1

SMALL = Sizes(train=2, validation=1, tests=(2, 1, 1))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("paper")


@pytest.fixture(scope="module")
def data(work: Path) -> PaperData:
    return read_data(work / "data", SMALL)


def test_sides_have_the_paper_s_shapes_and_share_no_record(data: PaperData) -> None:
    split = data.dataset.split
    sides = [{stretch.recording.start.ns for stretch in side} for side in (split.train, split.validation, split.test)]
    assert [len(side) for side in sides] == [4, 1, 4]
    assert len(set.union(*sides)) == 9
    tests = {number: [window.is_noise for window in windows] for number, windows in data.tests.items()}
    assert tests == {1: [False, False, True, True], 2: [False, True], 3: [False, True]}
    assert [window.is_noise for window in data.dataset.validation] == [False, True]
    stations = {number: {len(w.station_ids) for w in windows} for number, windows in data.tests.items()}
    assert stations == {1: {9}, 2: {5}, 3: {11}}
    assert {len(w.station_ids) for w in data.dataset.validation} == {5}
    chosen = {label.event_id for window in data.dataset.validation for label in window.labels}
    assert not chosen & {label.event_id for windows in data.tests.values() for w in windows for label in w.labels}


def test_a_run_is_kept_and_tables_stand_beside_the_paper_s(
    data: PaperData, work: Path, small_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def run(name: str) -> PaperRun:
        return run_recipe(name, 0, data, work, epochs=1, backbone=small_backbone, say=said.append)

    runs = {name: [run(name)] for name in ("frozen", "se-only")}
    assert runs["se-only"][0].n_trainable > 0
    assert set(runs["frozen"][0].tests) == {1, 2, 3}
    monkeypatch.setattr(runs_module, "fit", None)  # what is kept is not made again
    assert run("se-only").to_json() == runs["se-only"][0].to_json()
    text = report({"frozen": runs["frozen"], "cr-lora": runs["se-only"]}, SMALL, tmp_path)
    assert "**simulated**" in text
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "runs.csv",
        "figure-4.png",
        *(f"figure-{number}-{test}.png" for number in (8, 9, 10) for test in (1, 2, 3)),
    }
    cells = table_1({"frozen": runs["frozen"]}).rows[0]
    assert cells[2] == "-"  # nothing is drawn: no seed
    assert cells[3].endswith(f"({PUBLISHED[1, 'frozen'][0][0]:.2f})")
    with (tmp_path / "runs.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 2 * 3 * 2
    found = runs["frozen"][0].tests[3].phase("S", 0.5)
    assert (int(rows[5]["tp"]), int(rows[5]["fp"]), int(rows[5]["tn"])) == (found.tp, found.fp, found.tn)


def test_recipes_of_figure_4_can_have_fewer_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def run(name: str, seed: int, *_: object, **__: object) -> SimpleNamespace:
        asked.append((name, seed))
        return SimpleNamespace(n_trainable=0 if name == "frozen" else 1)

    monkeypatch.setattr(command, "read_data", lambda *_: None)
    monkeypatch.setattr(command, "run_recipe", run)
    monkeypatch.setattr(command, "report", lambda *_: "")
    folders = ["--work", str(tmp_path), "--out", str(tmp_path)]
    command.main([*folders, "--seeds", "3", "--figure-seeds", "1", "--recipes", "frozen,cr-lora,full"])
    assert asked == [("frozen", 0), ("cr-lora", 0), ("full", 0), ("cr-lora", 1), ("cr-lora", 2)]
