"""Several recipes compared on one campaign: what is run, what is kept, what is reported."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import json
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phaseno_peft.backbone import load_backbone
from phaseno_peft.campaign import Campaign
from phaseno_peft.comparison.compare import compare, plan
from phaseno_peft.comparison.recipes import find_recipe
from phaseno_peft.comparison.report import interval_table
from phaseno_peft.comparison.results import Comparison, Run
from phaseno_peft.comparison.runs import PlannedRun
from phaseno_peft.errors import AdapterError, PhasenoPeftError
from phaseno_peft.evaluation import f1_gain_of_seeds, f1_of_seeds, mean_f1_gain
from phaseno_peft.training import Epoch, TrainingSettings, forgetting
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import TrainingCallbacks

module = importlib.import_module("phaseno_peft.comparison.compare")  # the package's name `compare` is the function

RECIPES = ["frozen", "head", "unfreeze:1"]


def names(planned_runs: list[PlannedRun]) -> list[tuple[str, int, int | None]]:
    return [(planned.recipe.name, planned.seed, planned.labels) for planned in planned_runs]


def test_the_frozen_backbone_is_judged_once_and_seeds_take_turns() -> None:
    recipes = [find_recipe(name) for name in ("frozen", "head", "lora")]
    assert names(plan(recipes, range(2), None, 19)) == [
        ("frozen", 0, None),
        ("head", 0, None),
        ("lora", 0, None),
        ("head", 1, None),
        ("lora", 1, None),
    ]


def test_intervals_and_what_the_first_trained_recipe_gains_over_each_are_drawn_on_the_same_events(
    done: tuple[Path, Comparison],
) -> None:
    folder, comparison = done
    assert comparison.reference() == "head"
    groups = comparison.groups()
    table = interval_table(comparison)
    rows = {(row[0], row[1]): row for row in table.rows}
    assert set(rows) == {(f"{r}{what}", str(n)) for r, n in groups for what in ("", ", offset removed")}
    gains = [
        mean_f1_gain(other.test, own.test)
        for other, own in zip(groups["unfreeze:1", 3], groups["head", 3], strict=True)
    ]
    assert str(rows["unfreeze:1", "3"][-1]).startswith(f"{np.mean([gain[0] for gain in gains]):+.3f} [")
    assert rows["head", "3"][-1] == rows["head", "7"][-1] == ""
    value, low, high = f1_of_seeds([run.test for run in groups["head", 7]], [0.1])
    assert rows["head", "7"][4] == f"{value:.3f} [{low:.3f}, {high:.3f}]"
    assert low <= value <= high
    text = (folder / "comparison.md").read_text()
    assert "| head minus it [95 %] |" in text
    assert f"| unfreeze:1 | 3 | 2 | {rows['unfreeze:1', '3'][3]} |" in text


def test_the_gain_of_one_seed_over_another_is_that_of_their_scores(done: tuple[Path, Comparison]) -> None:
    one, other = (run.test for run in done[1].groups()["head", 3])
    assert f1_gain_of_seeds([one], [other]) == mean_f1_gain(one, other)
    both, of_one, of_other = (f1_of_seeds(each, [0.5]) for each in ([one, other], [one], [other]))
    assert both[0] == pytest.approx((of_one[0] + of_other[0]) / 2)
    elsewhere = dataclasses.replace(other, noise_windows=(True,) * other.n_windows)
    with pytest.raises(PhasenoPeftError, match="come from different windows or seeds"):
        f1_gain_of_seeds([one], [elsewhere])


def test_more_labels_than_there_are_become_one_point_with_all() -> None:
    messages: list[str] = []
    planned_runs = plan([find_recipe("lora")], range(5, 6), [0, 10, 25, 100], 19, messages.append)
    assert names(planned_runs) == [("frozen", 5, None), ("lora", 5, 10), ("lora", 5, None)]
    assert messages == ["the training side has 19 events: 25, 100 labels become all of them"]


def test_a_plan_without_anything_is_refused() -> None:
    with pytest.raises(AdapterError, match="nothing to compare"):
        plan([], range(3), None, 19)
    with pytest.raises(AdapterError, match="0 or more"):
        plan([find_recipe("lora")], range(1), [-1], 19)


@pytest.fixture(scope="module", autouse=True)
def lean(dataset: CampaignDataset) -> Iterator[None]:
    """Three windows on each side, two a training epoch."""

    def training(planned: PlannedRun, epochs: int | None, _: float | None, replay: float | None) -> TrainingSettings:
        return planned.recipe.training.changed(
            epochs=epochs, windows_per_epoch=2, learning_rate=0.01, seed=planned.seed, replay=replay
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_training", training)
        patch.setattr(CampaignDataset, "of", lambda *_: dataset)
        few = forgetting.forgetting_windows()[:4]
        patch.setattr(forgetting, "forgetting_windows", lambda: few)
        yield


@pytest.fixture(scope="module")
def run(campaign: Campaign, small_backbone: Path) -> Callable[..., Comparison]:
    def call(folder: Path, recipes: Sequence[str] = RECIPES, **options: Any) -> Comparison:
        options = {"seeds": 2, "epochs": 1, **options}
        return compare("ohio", campaign, recipes, folder=folder, backbone=small_backbone, **options)

    return call


@pytest.fixture(scope="module")
def done(run: Callable[..., Comparison], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    folder = tmp_path_factory.mktemp("comparison") / "ohio"
    return folder, run(folder, labels=[0, 3, 50])


def same(a: Run, b: Run) -> bool:
    return {**a.to_json(), "seconds": 0} == {**b.to_json(), "seconds": 0}


def test_a_comparison_reports_means_and_deviations_over_seeds(done: tuple[Path, Comparison]) -> None:
    folder, comparison = done
    found = [(r.recipe, r.seed, r.n_events) for r in comparison.runs]
    assert found == [("frozen", 0, 0)] + [(r, s, n) for s in (0, 1) for n in (3, 7) for r in ("head", "unfreeze:1")]
    rows = {(row.recipe, row.n_events): row for row in comparison.rows()}
    head = [run for run in comparison.runs if run.recipe == "head" and run.n_events == 7]
    values = [run.test.mean_f1(0.5) for run in head]
    assert rows["head", 7].mean["test F1"] == pytest.approx(np.mean(values))
    assert rows["head", 7].deviation["test F1"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert rows["head", 7].seeds == (0, 1)
    assert math.isnan(rows["frozen", 0].deviation["test F1"])
    assert [row.n_events for row in comparison.most_labels()] == [0, 7, 7]
    with (folder / "runs.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["test_F1"]) for line in lines] == [
        pytest.approx(run.test.mean_f1(0.5), abs=1e-4) for run in comparison.runs
    ]
    text = (folder / "comparison.md").read_text()
    assert "| frozen | 0 | 0 | 1 |" in text
    rows_in_json = json.loads((folder / "comparison.json").read_text())["rows"]
    assert [row["deviation"]["test F1"] for row in rows_in_json if row["recipe"] == "frozen"] == [None]
    for figure in ("f1-of-recipes.png", "f1-against-parameters.png", "f1-against-labels.png"):
        assert (folder / figure).stat().st_size > 10_000
    assert not (folder / ".training").exists()


def test_all_runs_are_judged_on_the_same_windows_and_labels(done: tuple[Path, Comparison]) -> None:
    first, *others = done[1].runs
    for run in others:
        assert run.test.noise_windows == first.test.noise_windows
        for phase in ("P", "S"):
            assert run.test.tallies[phase].labels == first.test.tallies[phase].labels
            assert run.validation.tallies[phase].labels == first.validation.tallies[phase].labels


def test_finished_runs_are_never_done_again(
    done: tuple[Path, Comparison], run: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, comparison = done

    def no_training(*_: object, **__: object) -> None:
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(module, "train_and_judge", no_training)
    again = run(folder, labels=[0, 3, 50])
    assert again.runs == comparison.runs
    fewer = run(folder, ["head"], seeds=1)
    assert fewer.runs == [r for r in comparison.runs if (r.recipe, r.seed, r.n_events) == ("head", 0, 7)]


def test_a_stopped_comparison_goes_on_and_ends_with_the_same_numbers(
    done: tuple[Path, Comparison], run: Callable[..., Comparison], tmp_path: Path
) -> None:
    epochs: list[Epoch] = []

    def stop(epoch: Epoch) -> None:
        epochs.append(epoch)
        if len(epochs) == 4:  # two epochs of the first run, and two of the second
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, RECIPES, callbacks=TrainingCallbacks(on_epoch=stop))
    assert sorted(path.stem for path in (tmp_path / "runs").iterdir()) == [
        "frozen-seed-0-labels-all",
        "head-seed-0-labels-all",
    ]
    assert [path.stem for path in (tmp_path / ".training").iterdir()] == ["unfreeze-1-seed-0-labels-all"]
    messages: list[str] = []
    comparison = run(tmp_path, RECIPES, callbacks=TrainingCallbacks(messages.append))
    assert messages.count("finished earlier") == 2
    assert "continuing a training that was stopped after epoch 1" in messages
    whole = [r for r in done[1].runs if r.n_events in (0, 7)]
    assert all(same(a, b) for a, b in zip(comparison.runs, whole, strict=True))


def test_runs_side_by_side_give_the_same_numbers(
    done: tuple[Path, Comparison], run: Callable[..., Comparison], tmp_path: Path
) -> None:
    messages: list[str] = []
    recipes = ["frozen", "unfreeze:1"]
    comparison = run(tmp_path, recipes, at_once=2, callbacks=TrainingCallbacks(messages.append))
    whole = [r for r in done[1].runs if r.n_events in (0, 7) and r.recipe in recipes]
    for a, b in zip(comparison.runs, whole, strict=True):
        assert same(dataclasses.replace(a, home=b.home), b)  # a process of its own is judged on all windows of home
    assert messages.count("finished earlier") == 0
    again = run(tmp_path, recipes, at_once=2, callbacks=TrainingCallbacks(messages.append))
    assert again.runs == comparison.runs
    assert messages.count("finished earlier") == len(whole)


def test_a_training_process_that_dies_ends_the_comparison_and_keeps_what_was_finished(
    run: Callable[..., Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, ["frozen"])
    finished = (tmp_path / "runs" / "frozen-seed-0-labels-all.json").read_bytes()
    monkeypatch.setattr(module, "_run_apart", die)
    before = set(multiprocessing.active_children())
    with pytest.raises(PhasenoPeftError, match="one of the training processes died"):
        run(tmp_path, at_once=2)
    assert set(multiprocessing.active_children()) <= before
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["frozen-seed-0-labels-all.json"]
    assert (tmp_path / "runs" / "frozen-seed-0-labels-all.json").read_bytes() == finished
    monkeypatch.undo()
    assert len(run(tmp_path, ["frozen", "head"], seeds=1).runs) == 2


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_other_settings_in_the_same_folder_are_refused(
    done: tuple[Path, Comparison], run: Callable[..., Comparison]
) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in done[0].rglob("*"))
    with pytest.raises(AdapterError, match=r"labels-all.json: this run was done, but `training.epochs` is 2 now"):
        run(done[0], epochs=2)
    assert sorted((path, path.stat().st_mtime_ns) for path in done[0].rglob("*")) == before


def test_a_folder_of_something_else_and_a_damaged_run_are_refused(
    done: tuple[Path, Comparison], run: Callable[..., Comparison], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(AdapterError, match="exists and holds no comparison"):
        run(tmp_path, restart=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    other = tmp_path / "other"
    (other / "runs").mkdir(parents=True)
    damaged = (done[0] / "runs" / "head-seed-0-labels-all.json").read_text()[:-200]
    (other / "runs" / "head-seed-0-labels-all.json").write_text(damaged)
    with pytest.raises(AdapterError, match="not a run that can be read"):
        run(other, ["head"])


def test_restart_discards_earlier_runs_and_backbones_are_kept_if_asked(
    run: Callable[..., Comparison], tmp_path: Path
) -> None:
    run(tmp_path, ["unfreeze:1"], seeds=1, epochs=0)
    assert not (tmp_path / "backbones").exists()
    comparison = run(tmp_path, ["unfreeze:1"], seeds=1, epochs=1, restart=True, save_backbones=True)
    assert comparison.runs[0].epochs == 1
    kept = load_backbone(tmp_path / "backbones" / "unfreeze-1-seed-0-labels-all")
    assert sum(p.numel() for p in kept.parameters()) > 0


def test_what_folds_cannot_train_is_refused_before_anything_is(run: Callable[..., Comparison], tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"recipe 'full' does not go with folds: .*plateau"):
        run(tmp_path / "new", ["se-only", "full"], folds=2)
    with pytest.raises(AdapterError, match="not of folds"):
        run(tmp_path / "new", ["scratch"], folds=2, save_backbones=True)
    assert not (tmp_path / "new").exists()


def test_in_folds_every_event_is_judged_and_pickers_are_fine_tuned_alike(
    campaign: Campaign, small_backbone: Path, phasenet_file: Path, tmp_path: Path
) -> None:
    four = dataclasses.replace(campaign, recordings=campaign.recordings[:4])
    said: list[str] = []

    def run(recipes: list[str]) -> Comparison:
        return compare(
            "ohio",
            four,
            recipes,
            folder=tmp_path,
            backbone=small_backbone,
            folds=2,
            epochs=1,
            quiet_noise=True,
            phasenet_weights=phasenet_file,
            callbacks=TrainingCallbacks(said.append),
        )

    found = run(
        ["frozen", "se-only", "rival:stalta", "rival:stalta-tuned", "rival:phasenet", "rival:phasenet-finetuned"]
    )
    frozen, stalta, best_stalta, phasenet, adapter, tuned = found.runs  # what trains nothing first
    assert best_stalta.test.n_windows == stalta.test.n_windows
    assert "into 2 folds" in found.split
    assert any("quiet stretches: the frozen backbone sees nothing in" in line for line in said)
    for each in found.runs:
        assert each.test.tallies["P"].labels == frozen.test.tallies["P"].labels
    n_labels = sum(pick.usable and pick.phase == "P" for stretch in four.stretches() for pick in stretch.picks)
    assert n_labels - 2 <= frozen.test.n_labels("P") <= n_labels  # an event longer than a window is cut
    assert (stalta.n_trainable, phasenet.n_trainable, tuned.n_trainable) == (
        0,
        0,
        268_443 - 8,
    )  # inc.bias goes into a norm
    assert adapter.n_events == tuned.n_events == 2
    assert tuned.validation.mean_f1(0.5) >= phasenet.validation.mean_f1(0.5)  # epoch 0 is among the epochs
    assert not (tmp_path / ".training").exists()
    said.clear()
    assert run(["frozen", "rival:phasenet-finetuned"]).runs == [frozen, tuned]
    assert said.count("finished earlier") == 2
