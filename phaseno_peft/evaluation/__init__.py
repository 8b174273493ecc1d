"""Judging picks: matching with labels, scores, thresholds, reports. What needs torch comes when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phaseno_peft.evaluation.calibration import calibrate_uncertainty, calibrated
from phaseno_peft.evaluation.held_out import Predictions, cross_fitted_scores, joined_scores, score_at_thresholds_of
from phaseno_peft.evaluation.matching import Matching, match
from phaseno_peft.evaluation.metrics import (
    WindowPick,
    choose_thresholds,
    cross_entropy,
    pick_window,
    score,
)
from phaseno_peft.evaluation.report import (
    Evaluation,
    comparison_markdown,
    comparison_table,
    read_evaluation,
    write_evaluation,
)
from phaseno_peft.evaluation.scores import (
    PhaseScore,
    PhaseTally,
    Scores,
    f1_gain,
    f1_gain_of_seeds,
    f1_of_seeds,
    mean_f1_gain,
)
from phaseno_peft.lazy_names import lazy_names

if TYPE_CHECKING:
    from phaseno_peft.evaluation.suggest import suggest_adapters
else:
    __getattr__, __dir__, _ = lazy_names(__name__)

__all__ = [
    "Evaluation",
    "Matching",
    "PhaseScore",
    "PhaseTally",
    "Predictions",
    "Scores",
    "WindowPick",
    "calibrate_uncertainty",
    "calibrated",
    "choose_thresholds",
    "comparison_markdown",
    "comparison_table",
    "cross_entropy",
    "cross_fitted_scores",
    "f1_gain",
    "f1_gain_of_seeds",
    "f1_of_seeds",
    "joined_scores",
    "match",
    "mean_f1_gain",
    "pick_window",
    "read_evaluation",
    "score",
    "score_at_thresholds_of",
    "suggest_adapters",
    "write_evaluation",
]
