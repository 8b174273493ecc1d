"""What a training says of the adapter it made: the verdict by the same rules as `evaluate`, and its coverage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phaseno_peft.contract import PHASES, Contract
from phaseno_peft.evaluation import Predictions, Scores
from phaseno_peft.evaluation.judge import JudgedNoise, Judgement
from phaseno_peft.judging.evidence import ADAPTER, FROZEN, gather_evidence
from phaseno_peft.judging.tables import decided_row
from phaseno_peft.judging.uncertainty import Stated, coverage
from phaseno_peft.judging.verdict import decide
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import ModelScores


def worth(
    dataset: CampaignDataset,
    frozen: Scores,
    adapter: ModelScores,
    stated: Stated,
    contract: Contract,
    forgotten: Mapping[str, float] | None,
    *,
    further_noise: Mapping[str, JudgedNoise] | None = None,
    trained_on_all: bool = False,
) -> dict[str, Any]:
    """Return "verdict" and "coverage" for `evaluation.json`, plain JSON types; no verdict where nothing is labelled.

    Scores are of the dataset's test windows; `stated`: intervals of the right picks there; `forgotten`: phase -> F1
    within 0.5 s lost away from the campaign; `further_noise`: see `Judgement`.
    """
    found: dict[str, Any] = {"coverage": [each.row() for each in coverage(adapter.test, stated)]}
    if not any(adapter.test.n_labels(phase) for phase in PHASES):
        return found
    judgement = Judgement(
        {FROZEN: frozen, ADAPTER: adapter.test},
        "held-out events",
        {ADAPTER: Predictions(dataset.test, adapter.test_probabilities)},
        len({label.event_id for window in dataset.test for label in window.labels}),
        is_own=True,
        may_flatter=False,
        trained_on_all=trained_on_all,
        further_noise=dict(further_noise or {}),
    )
    evidence = gather_evidence(contract, dataset.campaign, judgement, forgotten)
    return found | {"verdict": decided_row(decide(evidence), evidence)}
