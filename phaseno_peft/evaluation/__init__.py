"""Judging picks: matching with labels, scores, thresholds, reports."""

from __future__ import annotations

from phaseno_peft.evaluation.matching import Matching, match
from phaseno_peft.evaluation.metrics import (
    WindowPick,
    calibrate_uncertainty,
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
from phaseno_peft.evaluation.scores import PhaseScore, PhaseTally, Scores, f1_gain

__all__ = [
    "Evaluation",
    "Matching",
    "PhaseScore",
    "PhaseTally",
    "Scores",
    "WindowPick",
    "calibrate_uncertainty",
    "choose_thresholds",
    "comparison_markdown",
    "comparison_table",
    "cross_entropy",
    "f1_gain",
    "match",
    "pick_window",
    "read_evaluation",
    "score",
    "write_evaluation",
]
