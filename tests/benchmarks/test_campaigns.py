"""The table of every rival beside the adapter that ships."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.campaigns import beside_shipped, evaluation_of
from phaseno_peft.comparison.results import Comparison, Run
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import read_evaluation


def of(name: str, campaign: str = "iceland-vt") -> Comparison:
    """A comparison whose only run is one of the models in the campaign's evaluation."""
    scores = read_evaluation(evaluation_of(campaign)).scores
    run = Run("frozen", "nothing", 0, 0, 0, 0, 0, 0.0, *[scores[name]] * 4)
    return Comparison("iceland-vt", "", "", "", [run])


def test_the_adapter_that_ships_stands_beside_the_others_on_the_same_events() -> None:
    lines = beside_shipped(of("frozen")).markdown().splitlines()
    shipped = read_evaluation(evaluation_of("iceland-vt")).scores["adapter"]
    assert f"**adapter** | 1 | {shipped.mean_f1(0.5):.3f} [" in lines[2]
    assert "| frozen | 1 |" in lines[3]
    assert lines[3].count("[") == 3
    itself = beside_shipped(of("adapter")).markdown().splitlines()[3]
    assert "+0.000 [+0.000, +0.000]" in itself


def test_scores_of_other_windows_are_refused() -> None:
    with pytest.raises(PhasenoPeftError, match="different windows or seeds"):
        beside_shipped(of("frozen", "samba-nz"))
    fewer = of("frozen")
    fewer.runs[0] = dataclasses.replace(fewer.runs[0], test=dataclasses.replace(fewer.runs[0].test, seed=1))
    with pytest.raises(PhasenoPeftError, match="different windows or seeds"):
        beside_shipped(fewer)
