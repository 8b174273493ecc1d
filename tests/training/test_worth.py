"""What a report of a training in folds is made of: each event as its own fold's adapter picks it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import Predictions, joined_scores, score
from phaseno_peft.evaluation.judge import JudgedNoise
from phaseno_peft.evaluation.metrics import phase_curves
from phaseno_peft.evaluation.scores import Scores
from phaseno_peft.judging.evidence import ADAPTER, FROZEN, Judged
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import ModelScores
from phaseno_peft.training.worth import judgement_of
from tests.evaluation.handmade_windows import probability, window

FOLDS: tuple[dict[str, Any], ...] = (
    {"thresholds": {"P": 0.3, "S": 0.3}, "shift_s": {"P": 0.4, "S": 0.0}, "picked": 262},
    {"thresholds": {"P": 0.6, "S": 0.3}, "shift_s": {"P": -0.4, "S": 0.0}, "picked": 342},
)
"""The label is picked at 300 in both; the network of the first is to pick it 0.4 s early, that of the second late."""


def test_rows_of_each_fold_lie_where_its_own_adapter_gives_picks_out_and_pass_its_own_threshold(
    dataset: CampaignDataset,
) -> None:
    events = [window({(0, "P"): [300]}, event_id=f"event {k}", name=f"event {k}") for k in range(2)]
    noise = [window(is_noise=True, name=f"noise {k}") for k in range(2)]
    loud = [probability({(0, "P"): [fold["picked"]]}, height=0.8) for fold in FOLDS]
    faint = [probability({(1, "P"): [500]}, height=0.5) for _ in FOLDS]
    moved = [
        dataclasses.replace(w, labels=(dataclasses.replace(w.labels[0], sample=300 - 100 * fold["shift_s"]["P"]),))
        for w, fold in zip(events, FOLDS, strict=True)
    ]

    def fold_by_fold(windows: list[Any], found: list[Any]) -> Scores:
        each = zip(windows, found, FOLDS, strict=True)
        return joined_scores([score([w], [p], fold["thresholds"]) for w, p, fold in each])

    of_events, of_noise = fold_by_fold(moved, loud), fold_by_fold(noise, faint)
    silent = fold_by_fold(events, [probability()] * 2)
    judgement = judgement_of(
        dataclasses.replace(dataset, test=events),
        ModelScores(silent, silent, [], [probability()] * 2),
        ModelScores(of_events, of_events, [], loud),
        pick_shifts_s=[fold["shift_s"] for fold in (*FOLDS, *FOLDS)],
        further_noise={ADAPTER: JudgedNoise(Predictions(noise, faint), of_noise)},
        folds=2,
    )
    assert of_events.window_thresholds == [fold["thresholds"] for fold in FOLDS]
    assert Scores.from_json(of_events.to_json()) == of_events
    nothing: Any = None
    rows = Judged("a", nothing, nothing, judgement, nothing, nothing, {}).picks_of(ADAPTER)
    told = [(row.window, row.outcome, row.label_sample, row.pick_sample) for row in rows]
    assert told[:2] == [(0, "found", 300.0, 302.0), (1, "found", 300.0, 302.0)]
    assert [(row.window, row.outcome, row.pick_sample) for row in rows[2:]] == [(2, "false", 540.0)]
    assert [row.outcome for row in Judged("a", nothing, nothing, judgement, nothing, nothing, {}).picks_of(FROZEN)] == [
        "missed",
        "missed",
    ]
    assert judgement.events == "2 events of its own campaign, out of fold"


def test_thresholds_of_each_window_are_as_many_as_the_windows() -> None:
    with pytest.raises(PhasenoPeftError, match="2 windows but thresholds of 1"):
        list(phase_curves([window(), window()], [probability()] * 2, [FOLDS[0]["thresholds"]], 0.5))
