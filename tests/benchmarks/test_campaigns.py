"""The table of every rival beside the adapter that ships."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.campaigns import beside_shipped, evaluation_of
from phaseno_peft.comparison.results import Comparison, Run
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import read_evaluation


def of(name: str, campaign: str = "iceland-vt", **changed: object) -> Comparison:
    """A comparison whose only run is one of the models in the campaign's evaluation."""
    scores = read_evaluation(evaluation_of(campaign)).scores
    run = Run("frozen", "nothing", 0, 0, 0, 0, 0, 0.0, *[scores[name]] * 4)
    return Comparison("iceland-vt", "", "", "", [dataclasses.replace(run, **changed)])  # type: ignore[arg-type]


def test_the_adapter_that_ships_stands_beside_the_others_on_the_same_events() -> None:
    lines = beside_shipped(of("frozen")).markdown().splitlines()
    shipped = read_evaluation(evaluation_of("iceland-vt")).scores["adapter"]
    f1 = " | ".join(f"{shipped.phase(phase, t).f1:.3f}" for phase in ("P", "S") for t in (0.5, 0.1))
    assert f"**adapter** | 1 | {f1} | {shipped.mean_f1(0.5):.3f} [" in lines[2]
    assert "| frozen | 1 |" in lines[3]
    assert lines[3].count("[") == 3
    itself = beside_shipped(of("adapter")).markdown().splitlines()[3]
    assert "+0.000 [+0.000, +0.000]" in itself


def test_other_seeds_of_its_recipe_count_with_the_adapter_and_few_labels_do_not() -> None:
    about = read_evaluation(evaluation_of("iceland-vt")).about
    own = {"recipe": about["recipe"], "n_events": sum(about["folds"]["events"][1:])}
    lines = beside_shipped(of("frozen", seed=1, **own)).markdown().splitlines()
    scores = read_evaluation(evaluation_of("iceland-vt")).scores
    mean = (scores["adapter"].mean_f1(0.5) + scores["frozen"].mean_f1(0.5)) / 2
    assert "**adapter** | 2 |" in lines[2]
    assert f"| {mean:.3f} [" in lines[2]
    assert len(lines) == 3
    assert "**adapter** | 1 |" in beside_shipped(of("frozen", **own)).markdown().splitlines()[2]  # seed 0, once
    few = beside_shipped(of("frozen", seed=1, **{**own, "n_events": 5})).markdown().splitlines()
    assert "**adapter** | 1 |" in few[2]
    assert f"{about['recipe']}, 5 events" in few[3]


def test_scores_of_other_windows_are_refused() -> None:
    with pytest.raises(PhasenoPeftError, match="different windows or seeds"):
        beside_shipped(of("frozen", "samba-nz"))
    fewer = of("frozen")
    fewer.runs[0] = dataclasses.replace(fewer.runs[0], test=dataclasses.replace(fewer.runs[0].test, seed=1))
    with pytest.raises(PhasenoPeftError, match="different windows or seeds"):
        beside_shipped(fewer)
