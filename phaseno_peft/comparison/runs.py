"""One run of a comparison: a recipe with a seed and a number of labels is trained and judged, in folds or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phaseno_peft.baselines.rival import Probabilities
from phaseno_peft.campaign import Folds, Window, fixed_windows
from phaseno_peft.contract import NO_SHIFT_S
from phaseno_peft.evaluation import Scores
from phaseno_peft.training.checkpoint import FOLDER
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import (
    Fitted,
    ModelScores,
    TrainingCallbacks,
    check_switched_off,
    fit,
    judge_model,
    judge_probabilities,
    training_identity,
)
from phaseno_peft.training.forgetting import forgetting_windows, judge_forgetting, score_forgetting
from phaseno_peft.training.out_of_fold import fit_folds, judge_and_choose, judge_folds
from phaseno_peft.training.outcome import Task
from phaseno_peft.training.provenance import score_without_offset
from phaseno_peft.training.recipes import Recipe
from phaseno_peft.training.settings import TrainingSettings


@dataclass(frozen=True)
class PlannedRun:
    """One training to do; `labels` None uses all training events."""

    recipe: Recipe
    seed: int
    labels: int | None

    @property
    def key(self) -> str:
        """File name without ending."""
        labels = "all" if self.labels is None else str(self.labels)
        return f"{re.sub('[^A-Za-z0-9.+-]+', '-', self.recipe.name)}-seed-{self.seed}-labels-{labels}"


@dataclass(frozen=True)
class ComparisonSetup:
    """Where all runs of a comparison take place."""

    dataset: CampaignDataset
    folder: Path
    backbone: str | Path
    fingerprint: str
    device: str | torch.device
    frozen_probabilities: list[NDArray[np.float32]]
    """Frozen probabilities of the first test windows."""
    save_backbones: bool
    folds: Folds | None = None
    """Parts of the events, each predicted by what was trained on the others; else the dataset has three sides."""
    phasenet_weights: str | Path | None = None

    def what(self, planned: PlannedRun, training: TrainingSettings) -> dict[str, Any]:
        """Everything the run's result depends on."""
        of_all = training_identity(
            planned.recipe, self.dataset, training, planned.labels, self.fingerprint, self.device
        )
        return of_all if self.folds is None else {**of_all, "folds": self.folds.how}

    def checkpoint(self, planned: PlannedRun) -> Path:
        """Where a running training keeps its epochs."""
        return self.folder / FOLDER / f"{planned.key}.safetensors"

    def task(self, planned: PlannedRun, training: TrainingSettings, callbacks: TrainingCallbacks) -> Task:
        """What the folds are trained by."""
        return Task(planned.recipe, training, self.backbone, self.device, self.folder / FOLDER, callbacks)

    def result(self, planned: PlannedRun) -> Path:
        """Where a finished run is kept."""
        return self.folder / "runs" / f"{planned.key}.json"

    def backbone_of(self, planned: PlannedRun) -> Path:
        """Where a run that changes the backbone keeps it, if asked."""
        return self.folder / "backbones" / planned.key


@dataclass(frozen=True)
class Judged:
    """What a run came to."""

    scores: ModelScores
    without_offset: Scores
    """On test, the median residual of validation (with folds: of the other folds) taken off."""
    home: Scores
    """On the backbone's own kind of windows; with folds, of the first one's model."""
    fitted: Fitted | None = None
    """With folds the first one's; None of a picker that is taken as it comes."""
    kept: int = 0
    epochs: int = 0
    seconds: float = 0.0


def train_and_judge(
    setup: ComparisonSetup, planned: PlannedRun, training: TrainingSettings, callbacks: TrainingCallbacks
) -> Judged:
    """Train what the recipe trains, and judge it: on the dataset's three sides, or each fold by the others' model."""
    if planned.recipe.is_picker:
        return _as_it_comes(setup, planned.recipe)
    if setup.folds is not None:
        return _in_folds(setup, setup.folds, planned, training, callbacks)
    fitted = fit(
        planned.recipe,
        setup.dataset,
        training,
        labels=planned.labels,
        backbone=setup.backbone,
        device=setup.device,
        checkpoint=setup.checkpoint(planned),
        callbacks=callbacks,
    )
    if fitted.n_trainable and planned.recipe.makes == "adapter":
        check_switched_off(fitted.model, setup.dataset, setup.frozen_probabilities)
    scores = judge_model(fitted.model, setup.dataset, fitted.pick_shift_s)
    return Judged(
        scores,
        score_without_offset(setup.dataset, scores, fitted.pick_shift_s),
        judge_forgetting(fitted.model),
        fitted,
        fitted.kept,
        len(fitted.history) - 1 if fitted.history else 0,
        fitted.seconds,
    )


def _in_folds(
    setup: ComparisonSetup,
    folds: Folds,
    planned: PlannedRun,
    training: TrainingSettings,
    callbacks: TrainingCallbacks,
) -> Judged:
    task = setup.task(planned, training, callbacks)
    found = fit_folds(task, folds, setup.dataset, labels=planned.labels, name=f"{planned.key}-")
    found, _, (scores, without_offset, _) = judge_and_choose(found)
    first = found.fits[0]
    if first.n_trainable and planned.recipe.makes == "adapter":
        check_switched_off(first.model, found.datasets[0], setup.frozen_probabilities)
    home = judge_forgetting(first.model)
    return Judged(scores, without_offset, home, first, found.kept, max(0, len(found.history) - 1), found.seconds)


def picker_of(recipe: Recipe, dataset: CampaignDataset) -> Callable[[Sequence[Window]], Probabilities]:
    """What a picker without training says of windows; where it is tuned, it is tuned on the dataset's training side."""
    if recipe.tune is None:
        assert recipe.probabilities is not None
        return recipe.probabilities
    frame, preprocessing = dataset.campaign.frame, dataset.campaign.preprocessing
    return recipe.tune(fixed_windows(dataset.split.train, frame, preprocessing, dataset.seed))


def _as_it_comes(setup: ComparisonSetup, recipe: Recipe) -> Judged:
    if setup.folds is None:
        dataset, said_of = setup.dataset, picker_of(recipe, setup.dataset)
        scores = judge_probabilities(dataset, said_of(dataset.validation), said_of(dataset.test))
        home = score_forgetting(said_of(forgetting_windows()))
        return Judged(scores, score_without_offset(dataset, scores), home)
    parts = [setup.dataset.of_fold(setup.folds, i) for i in range(len(setup.folds.parts))]
    ways = [picker_of(recipe, part) for part in parts]
    said = [said_of(part.validation) for said_of, part in zip(ways, parts, strict=True)]
    home = score_forgetting(ways[0](forgetting_windows()))
    return Judged(*judge_folds(parts, said, [NO_SHIFT_S] * len(parts))[:2], home)
