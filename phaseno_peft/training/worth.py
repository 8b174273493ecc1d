"""What a training says of the adapter it made: the verdict by the same rules as `evaluate`, coverage, and a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from phaseno_peft.campaign import with_moved_labels
from phaseno_peft.contract import PHASES, Contract
from phaseno_peft.evaluation import Predictions
from phaseno_peft.evaluation.calibration import Stated
from phaseno_peft.evaluation.judge import JudgedNoise, Judgement
from phaseno_peft.judging.evidence import ADAPTER, FROZEN, Judged, gather_evidence, weigh
from phaseno_peft.judging.tables import decided_row
from phaseno_peft.judging.uncertainty import coverage
from phaseno_peft.judging.verdict import decide
from phaseno_peft.library.training_notes import notes_on_training
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import ModelScores
from phaseno_peft.training.outcome import Outcome


def worth(
    dataset: CampaignDataset,
    judgement: Judgement,
    stated: Stated,
    contract: Contract,
    forgotten: Mapping[str, float] | None,
) -> dict[str, Any]:
    """Return "verdict" and "coverage" for `evaluation.json`, plain JSON types; no verdict where nothing is labelled.

    `stated`: intervals of the right picks of the adapter; `forgotten`: phase -> F1 within 0.5 s lost away from the
    campaign.
    """
    scores = judgement.scores[ADAPTER]
    found: dict[str, Any] = {"coverage": [each.row() for each in coverage(scores, stated)]}
    if not any(scores.n_labels(phase) for phase in PHASES):
        return found
    evidence = gather_evidence(contract, dataset.campaign, judgement, forgotten)
    return found | {"verdict": decided_row(decide(evidence), evidence)}


def judgement_of(
    dataset: CampaignDataset,
    frozen: ModelScores,
    adapter: ModelScores,
    *,
    pick_shifts_s: Sequence[Mapping[str, float]],
    further_noise: Mapping[str, JudgedNoise],
    folds: int = 0,
) -> Judgement:
    """What `worth` and a report are made of, on the dataset's test windows.

    `pick_shifts_s` [test window, then further noise] is what the adapter's picks are moved by; `folds`: so many
    adapters predicted the windows, each what it was not trained on (1: what it was trained on; 0: events were set
    aside).
    """
    which = "out of fold" if folds > 1 else "which it was trained on" if folds else "held out of training"
    n_events = len({label.event_id for window in dataset.test for label in window.labels})
    moved = [
        one
        for window, shift_s in zip(dataset.test, pick_shifts_s, strict=False)
        for one in with_moved_labels([window], shift_s)
    ]
    return Judgement(
        {FROZEN: frozen.test, ADAPTER: adapter.test},
        f"{n_events} event{'s' * (n_events != 1)} of its own campaign, {which}",
        {
            FROZEN: Predictions(dataset.test, frozen.test_probabilities),
            ADAPTER: Predictions(moved, adapter.test_probabilities),
        },
        n_events,
        is_own=True,
        may_flatter=False,
        trained_on_all=folds == 1,
        further_noise=dict(further_noise),
        pick_shifts_s={ADAPTER: pick_shifts_s},
    )


def judgement_of_outcome(outcome: Outcome) -> Judgement:
    """`judgement_of` what a training came to."""
    noise = outcome.further_noise.get(ADAPTER)
    n_windows = len(outcome.dataset.test) + (len(noise.predictions.windows) if noise else 0)
    return judgement_of(
        outcome.dataset,
        outcome.frozen,
        outcome.adapter,
        pick_shifts_s=outcome.pick_shifts_s or [outcome.fitted.pick_shift_s] * n_windows,
        further_noise=outcome.further_noise,
        folds=outcome.n_folds,
    )


def judged_of_outcome(name: str, outcome: Outcome, contract: Contract, forgotten: Mapping[str, float] | None) -> Judged:
    """What a report of the new adapter is made of."""
    judged = weigh(name, contract, outcome.dataset.campaign, judgement_of_outcome(outcome), forgotten)
    training = {"training": dataclasses.asdict(outcome.fitted.training)}
    stated = outcome.stated if outcome.n_folds > 1 else None
    return dataclasses.replace(judged, stated=stated, notes=notes_on_training({**outcome.about, **training}))
