"""What a training says of the adapter it made: the verdict by the same rules as `evaluate`, and its coverage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phaseno_peft.contract import PHASES, Contract
from phaseno_peft.evaluation import Predictions, Scores
from phaseno_peft.evaluation.judge import Judgement
from phaseno_peft.judging.evidence import ADAPTER, FROZEN, gather_evidence
from phaseno_peft.judging.tables import decided_row
from phaseno_peft.judging.uncertainty import coverage
from phaseno_peft.judging.verdict import decide
from phaseno_peft.training.outcome import Outcome


def worth(outcome: Outcome, contract: Contract, forgetting: Mapping[str, Scores]) -> dict[str, Any]:
    """Return "verdict" and "coverage" for `evaluation.json`, plain JSON types; no verdict where nothing is labelled."""
    scores = {FROZEN: outcome.frozen.test, ADAPTER: outcome.adapter.test}
    found: dict[str, Any] = {"coverage": [each.row() for each in coverage(outcome.adapter.test, outcome.stated)]}
    if not any(outcome.adapter.test.n_labels(phase) for phase in PHASES):
        return found
    windows = outcome.dataset.test
    judgement = Judgement(
        scores,
        "held-out events",
        {ADAPTER: Predictions(windows, outcome.adapter.test_probabilities)},
        len({label.event_id for window in windows for label in window.labels}),
        is_own=True,
        may_flatter=False,
        trained_on_all=outcome.about.get("folds", {}).get("folds") == 1,
    )
    lost = {p: forgetting[FROZEN].phase(p, 0.5).f1 - forgetting[ADAPTER].phase(p, 0.5).f1 for p in PHASES}
    evidence = gather_evidence(contract, outcome.dataset.campaign, judgement, lost)
    return found | {"verdict": decided_row(decide(evidence), evidence)}
