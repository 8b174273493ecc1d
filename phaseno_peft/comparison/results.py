"""What the runs of a comparison came to, and their summary over seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phaseno_peft.evaluation import Scores


@dataclass(frozen=True)
class Run:
    """One recipe with one seed and one number of labels."""

    recipe: str
    trains: str
    seed: int
    n_events: int
    """Training events whose labels were used; 0 for the frozen backbone."""
    n_trainable: int
    epoch_kept: int
    epochs: int
    seconds: float
    validation: Scores
    test: Scores
    without_offset: Scores
    """On test, the median residual of validation taken off."""
    home: Scores
    """On simulated windows, the embedded backbone's own kind."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types: everything, so that every number can be derived again."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: v.to_json() if isinstance(v, Scores) else v for k, v in plain.items()}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Run:
        """Inverse of `to_json`; summaries are computed anew."""
        scores = {name: Scores.from_json(raw[name]) for name in ("validation", "test", "without_offset", "home")}
        return cls(**{**raw, **scores})


def _f1_of_phase(scores: Scores, phase: str) -> float:
    return scores.phase(phase, 0.5).f1 if scores.n_labels(phase) else math.nan


MEASURES: dict[str, Callable[[Run], float]] = {
    "validation F1": lambda run: run.validation.mean_f1(0.5),
    "test F1": lambda run: run.test.mean_f1(0.5),
    "test P F1": lambda run: _f1_of_phase(run.test, "P"),
    "test S F1": lambda run: _f1_of_phase(run.test, "S"),
    "test F1 at 0.1 s": lambda run: run.test.mean_f1(0.1),
    "offset removed, F1": lambda run: run.without_offset.mean_f1(0.5),
    "offset removed, F1 at 0.1 s": lambda run: run.without_offset.mean_f1(0.1),
    "own-kind F1": lambda run: run.home.mean_f1(0.5),
    "minutes": lambda run: run.seconds / 60,
}
"""What is reported of a run. F1 without a phase is the mean of P and S, without a tolerance at 0.5 s; NaN of a phase
without labels."""


@dataclass(frozen=True)
class Row:
    """One recipe with one number of labels, over seeds."""

    recipe: str
    trains: str
    n_events: int
    n_trainable: int
    seeds: tuple[int, ...]
    mean: dict[str, float]
    deviation: dict[str, float]
    """Sample standard deviation over seeds; NaN for one seed."""


@dataclass
class Comparison:
    """All runs so far."""

    name: str
    split: str
    backbone: str
    fingerprint: str
    runs: list[Run]

    def groups(self) -> dict[tuple[str, int], list[Run]]:
        """(recipe, labelled events) -> runs, in the order of the first runs."""
        found: dict[tuple[str, int], list[Run]] = {}
        for run in self.runs:
            found.setdefault((run.recipe, run.n_events), []).append(run)
        return found

    def rows(self) -> list[Row]:
        """One row a recipe and number of labels."""
        return [_row(group) for group in self.groups().values()]

    def reference(self) -> str:
        """The recipe that the others are set against: the first CR-LoRA, else the first that is trained, or any."""
        names = list(dict.fromkeys(run.recipe for run in self.runs))
        trained = {run.recipe for run in self.runs if run.n_trainable}
        return min(names, key=lambda name: (not name.startswith("cr-lora"), name not in trained, names.index(name)))

    def most_events(self, recipe: str) -> int:
        """Labelled events of the recipe's largest training."""
        return max(run.n_events for run in self.runs if run.recipe == recipe)

    def most_labels(self) -> list[Row]:
        """The rows with all the labels there were, and the frozen backbone: the paper's figure 4."""
        most = max(run.n_events for run in self.runs)
        return [row for row in self.rows() if row.n_events in (most, 0)]


def _row(runs: Sequence[Run]) -> Row:
    values = {name: np.array([measure(run) for run in runs]) for name, measure in MEASURES.items()}
    return Row(
        recipe=runs[0].recipe,
        trains=runs[0].trains,
        n_events=runs[0].n_events,
        n_trainable=runs[0].n_trainable,
        seeds=tuple(run.seed for run in runs),
        mean={name: float(found.mean()) for name, found in values.items()},
        deviation={name: float(found.std(ddof=1)) if len(found) > 1 else math.nan for name, found in values.items()},
    )
