"""Training in folds: every labelled event is predicted by a model that never saw it.

The events are parted into folds, and a model for each is trained on the others by the same recipe. The predictions of
the events they never saw choose the number of epochs and the part of the update that is kept, and give the scores, each
fold's at the thresholds of the others (Stone 1974, cross-validatory choice). `cross_fit` makes an adapter of it, the
comparison of recipes a row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phaseno_peft.campaign import Folds, Window, with_moved_labels
from phaseno_peft.campaign.windows import recorded_hours
from phaseno_peft.contract import PHASES, BackboneDefaults
from phaseno_peft.cr_lora.blend import shrunk
from phaseno_peft.errors import AdapterError
from phaseno_peft.evaluation import Predictions, Scores, calibrated, choose_thresholds, joined_scores, score
from phaseno_peft.evaluation.calibration import Stated, stated_for
from phaseno_peft.evaluation.judge import JudgedNoise
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import Fitted, ModelScores, TrainingCallbacks
from phaseno_peft.training.history import Epoch, best_epoch
from phaseno_peft.training.loop import judged, windows_to_judge
from phaseno_peft.training.outcome import Task
from phaseno_peft.training.provenance import score_without_offset
from phaseno_peft.training.recipes import Recipe
from phaseno_peft.training.settings import TrainingSettings
from phaseno_peft.training.side_by_side import side_by_side

MIN_DISTANCE_S = BackboneDefaults().min_distance_s
FACTORS = (0.25, 0.5, 0.75)
"""Parts of the update that are tried beside none and all of it."""


@dataclass(frozen=True)
class Choice:
    """One way to ship the update, and what the folds' models came to that way on the events they never saw."""

    factor: float
    """Of the update; 0 is the model before training, its picks moved by the constant shift."""
    score: float
    loss: float


@dataclass(frozen=True)
class OutOfFold:
    """The models of the folds at every epoch, and what their predictions of unseen events chose."""

    recipe: Recipe
    fits: Sequence[Fitted]
    datasets: Sequence[CampaignDataset]
    """Of the folds: validation has the windows of the events that fold's model never saw."""
    history: list[Epoch]
    """Of the folds together."""
    kept: int
    """The epoch; 0 where no training is better than the constant shift alone."""
    factor: float
    """Part of the update that is kept, 0 to 1."""
    choices: tuple[Choice, ...]

    @property
    def shifts_s(self) -> list[Mapping[str, float]]:
        """To be put back on the picks of each fold's model."""
        return [one.pick_shift_s for one in self.fits]

    @property
    def seconds(self) -> float:
        """Of all trainings."""
        return sum(one.seconds for one in self.fits)

    def nothing_kept(self) -> OutOfFold:
        """The same without the update: the models before training, their picks moved by the constant shift."""
        for one in self.fits:
            _keep(self.recipe, one, 0, 0.0)
        return dataclasses.replace(self, kept=0, factor=0.0)

    def probabilities(self) -> list[list[NDArray[np.float32]]]:
        """[fold][window] of each fold's validation windows, by its model as chosen."""
        found = []
        for one, own in zip(self.fits, self.datasets, strict=True):
            _keep(self.recipe, one, self.kept, self.factor)
            found.append(window_probabilities(one.model, own.validation, own.edge_limit_km))
        return found

    def probabilities_of(self, windows: Sequence[Sequence[Window]]) -> list[list[NDArray[np.float32]]]:
        """Of windows [fold][window], each fold's by its model as chosen."""
        found = []
        for one, dataset, own in zip(self.fits, self.datasets, windows, strict=True):
            _keep(self.recipe, one, self.kept, self.factor)
            found.append(window_probabilities(one.model, own, dataset.edge_limit_km))
        return found


def fit_folds(
    task: Task, folds: Folds, dataset: CampaignDataset, at_once: int = 1, *, labels: int | None = None, name: str = ""
) -> OutOfFold:
    """Train a model for each fold on the others, and choose epoch and part of the update by what they say unseen.

    `dataset` has all events for training. Each training is kept after every epoch under `name` and the fold's number,
    and `at_once` folds are trained side by side. A single fold trains nothing. `labels` uses so many events of each
    training side. Raises `AdapterError` for settings that folds cannot have, a recipe that cannot be sent to the
    processes side by side, or where another training is kept.
    """
    training, say, k = task.training, task.callbacks.on_stage, len(folds.parts)
    check_settings(training)
    of_folds = training.changed(patience=training.epochs + 1) if k > 1 else training.changed(epochs=0)
    datasets = [dataset.of_fold(folds, i) for i in range(k)]
    names = [f"{name}fold-{i + 1}-of-{k}" for i in range(k)]
    if at_once > 1 and k > 1:
        task.recipe.check_travels()
        apart = dataclasses.replace(task, callbacks=TrainingCallbacks())
        jobs = [(apart, of_fold, of_folds, each, labels) for of_fold, each in zip(datasets, names, strict=True)]
        with side_by_side(_fit_apart, jobs, at_once) as finished:
            for i, seconds in enumerate(finished):
                say(f"fold {i + 1} of {k} is trained ({seconds / 60:.1f} minutes)")
    fits = []
    for i, (of_fold, each) in enumerate(zip(datasets, names, strict=True)):
        say(
            f"fold {i + 1} of {k}: {labels or of_fold.n_events} events train, the others are predicted"
            if k > 1
            else "the events cannot be parted, so that nothing is trained"
        )
        fits.append(task.fit(of_fold, of_folds, each, labels=labels, keeps_all=True))
    if not all(one.history for one in fits):  # nothing is trained
        return OutOfFold(task.recipe, fits, datasets, [], 0, 0.0, ())
    history = pooled([one.history for one in fits], [_n_labels(d) for d in datasets])
    one_pick = 1 / max(1, sum(_n_labels(d) for d in datasets))
    kept = best_epoch(history, one_pick)
    factor, choices = _choose_factor(task.recipe, fits, datasets, history, kept, training, one_pick)
    return OutOfFold(task.recipe, fits, datasets, history, kept if factor else 0, factor, choices)


def judge_folds(
    datasets: Sequence[CampaignDataset],
    probabilities: Sequence[Sequence[NDArray[np.float32]]],
    shifts_s: Sequence[Mapping[str, float]],
) -> tuple[ModelScores, Scores, Stated]:
    """Scores of each fold's events at the thresholds of the others; the same without the others' median offset; and the
    intervals of their right picks by the others' calibration."""
    test, without, stated = [], [], []
    for i, dataset in enumerate(datasets):
        chosen_on, own = (
            _of_others(i, datasets, probabilities, shifts_s),
            together([dataset], [probabilities[i]], [shifts_s[i]]),
        )
        own = own.rows(slice(len(dataset.test)))
        thresholds = choose_thresholds(*chosen_on, min_distance_s=MIN_DISTANCE_S)
        of_others = score(*chosen_on, thresholds, min_distance_s=MIN_DISTANCE_S)
        of_own = score(*own, thresholds, min_distance_s=MIN_DISTANCE_S)
        test.append(of_own)
        stated.append(stated_for(of_own, calibrated(of_others)))
        here = dataclasses.replace(dataset, validation=list(chosen_on.windows), test=list(own.windows))
        without.append(score_without_offset(here, ModelScores(of_others, of_own, [], list(own.probabilities))))
    all_of_them = together(datasets, probabilities, shifts_s)
    on_test = joined_scores(test)
    on_validation = score(*all_of_them, on_test.thresholds, min_distance_s=MIN_DISTANCE_S)
    first = [p for d, own in zip(datasets, probabilities, strict=True) for p in own[: len(d.test)]]
    models = ModelScores(on_validation, on_test, list(all_of_them.probabilities), first)
    intervals = {phase: np.concatenate([own[phase] for own in stated], axis=1) for phase in PHASES}
    return models, joined_scores(without), intervals


def judge_and_choose(
    found: OutOfFold, before: list[list[NDArray[np.float32]]] | None = None
) -> tuple[OutOfFold, list[list[NDArray[np.float32]]], tuple[ModelScores, Scores, Stated]]:
    """`judge_folds` of what was trained, its probabilities, and what is kept of it.

    Epoch and part of the update were the best at each fold's own thresholds. Where at those of the other folds, by
    which it is scored, the models before training are better, with their picks moved by the constant shift, nothing of
    the update is kept. `before`: what these say, where that is known.
    """
    if found.factor and before is None:
        before = dataclasses.replace(found, kept=0, factor=0.0).probabilities()
    said = found.probabilities()
    scores = judge_folds(found.datasets, said, found.shifts_s)
    if not found.factor or before is None:
        return found, said, scores
    only_moved = judge_folds(found.datasets, before, found.shifts_s)
    if mean_score(scores[0].test) >= mean_score(only_moved[0].test):
        return found, said, scores
    return found.nothing_kept(), before, only_moved


def judge_noise(
    datasets: Sequence[CampaignDataset],
    probabilities: Sequence[Sequence[NDArray[np.float32]]],
    shifts_s: Sequence[Mapping[str, float]],
    noise: Sequence[Sequence[Window]],
    of_noise: Sequence[Sequence[NDArray[np.float32]]],
) -> JudgedNoise:
    """Further noise [fold][window], each fold's at the thresholds of the others, as `judge_folds` has its events."""
    scores = []
    for i, own in enumerate(noise):
        thresholds = choose_thresholds(*_of_others(i, datasets, probabilities, shifts_s), min_distance_s=MIN_DISTANCE_S)
        scores.append(score(own, of_noise[i], thresholds, min_distance_s=MIN_DISTANCE_S))
    found = Predictions([w for own in noise for w in own], [p for own in of_noise for p in own])
    return JudgedNoise(found, joined_scores(scores))


def further_noise(datasets: Sequence[CampaignDataset], hours: float) -> list[list[Window]]:
    """Noise [fold][window] beside that of the folds' test windows, so that all hold `hours` where there are as many.

    What a fold lacks the next ones make up for.
    """
    found = []
    for i, dataset in enumerate(datasets):
        found.append(dataset.further_noise(hours / (len(datasets) - i)))
        hours -= sum(recorded_hours(w) for w in (*dataset.test, *found[-1]) if w.is_noise)
        hours = max(hours, 0.0)
    return found


def _of_others(
    i: int,
    datasets: Sequence[CampaignDataset],
    probabilities: Sequence[Sequence[NDArray[np.float32]]],
    shifts_s: Sequence[Mapping[str, float]],
) -> Predictions:
    """What the models of the other folds say of their events; of a single fold its own."""
    rows = [j for j in range(len(datasets)) if j != i] or [i]
    return together([datasets[j] for j in rows], [probabilities[j] for j in rows], [shifts_s[j] for j in rows])


def mean_score(scores: Scores) -> float:
    """Mean F1 of P and S at 0.5 s and at 0.1 s, what a training is kept for."""
    return 0.5 * (scores.mean_f1(0.5) + scores.mean_f1(0.1))


def together(
    datasets: Sequence[CampaignDataset],
    probabilities: Sequence[Sequence[NDArray[np.float32]]],
    shifts_s: Sequence[Mapping[str, float]],
) -> Predictions:
    """Windows of several folds with labels where their models pick, and what those say of them."""
    windows = [
        w for d, shift_s in zip(datasets, shifts_s, strict=True) for w in with_moved_labels(d.validation, shift_s)
    ]
    return Predictions(windows, [found for own in probabilities for found in own])


def check_settings(training: TrainingSettings, what: str = "cross-fitting in folds") -> None:
    """Raise `AdapterError` for settings that need a validation of every single training."""
    for is_wrong, words in (
        (training.max_minutes is not None, "a limit of minutes shortens each training differently: give --epochs"),
        (training.schedule != "cosine", "a training on all events has no validation loss for the plateau schedule"),
    ):
        if is_wrong:
            raise AdapterError(f"{what} does not go with folds: {words}. Leave it out, or give --folds 0.")


def pooled(histories: Sequence[Sequence[Epoch]], weights: Sequence[int]) -> list[Epoch]:
    """The history of the folds together: means weighted by their labels, of the epochs that all of them have."""

    def mean(values: Sequence[float | None]) -> float:
        return float(np.average([np.nan if v is None else v for v in values], weights=np.maximum(weights, 1)))

    return [
        Epoch(
            epoch=rows[0].epoch,
            train_loss=None if rows[0].train_loss is None else mean([row.train_loss for row in rows]),
            validation_loss=mean([row.validation_loss for row in rows]),
            validation_f1_P=mean([row.validation_f1_P for row in rows]),
            validation_f1_S=mean([row.validation_f1_S for row in rows]),
            validation_f1_close=mean([row.validation_f1_close for row in rows]),
            learning_rate=rows[0].learning_rate,
            seconds=sum(row.seconds for row in rows),
        )
        for rows in zip(*histories, strict=False)
    ]


def _fit_apart(
    task: Task, dataset: CampaignDataset, training: TrainingSettings, name: str, labels: int | None
) -> float:
    """Train a fold in a process of its own and leave it in its checkpoint; seconds."""
    return task.fit(dataset, training, name, labels=labels, keeps_all=True).seconds


def _choose_factor(
    recipe: Recipe,
    fits: Sequence[Fitted],
    datasets: Sequence[CampaignDataset],
    history: Sequence[Epoch],
    kept: int,
    training: TrainingSettings,
    one_pick: float,
) -> tuple[float, tuple[Choice, ...]]:
    """The part of the update that is best out of fold, by the rule that chooses the epoch; and all that were tried."""
    tried = {0.0: history[0], 1.0: history[kept]}
    for factor in FACTORS if kept else ():
        rows = []
        for one, dataset in zip(fits, datasets, strict=True):
            _keep(recipe, one, kept, factor)
            windows = windows_to_judge(dataset.validation, training, one.labelled, one.pick_shift_s)
            verdict = judged(one.model, windows, dataset.edge_limit_km, training)
            rows.append([Epoch(0, None, *verdict, 0.0, 0.0)])
        tried[factor] = pooled(rows, [_n_labels(d) for d in datasets])[0]
    factors = sorted(tried) if kept else [0.0]
    rows_ = [dataclasses.replace(tried[factor], epoch=i) for i, factor in enumerate(factors)]
    choices = tuple(
        Choice(factor, row.validation_score, row.validation_loss) for factor, row in zip(factors, rows_, strict=True)
    )
    return factors[best_epoch(rows_, one_pick)], choices


def _keep(recipe: Recipe, fitted: Fitted, epoch: int, factor: float) -> None:
    """Set a model to `factor` of what its training had changed after an epoch."""
    if not fitted.history:
        return
    after = fitted.snapshots[epoch]
    if recipe.method is not None:
        set_trainable(fitted.model, shrunk(after, factor))
        return
    start = fitted.snapshots[0]
    set_trainable(fitted.model, {name: torch.lerp(start[name], after[name], factor) for name in after})


def trainable(model: torch.nn.Module) -> dict[str, Tensor]:
    """Name -> parameter that requires gradients."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def set_trainable(model: torch.nn.Module, parameters: Mapping[str, Tensor]) -> None:
    """Copy `parameters` into those that require gradients."""
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            parameter.copy_(parameters[name])


def _n_labels(dataset: CampaignDataset) -> int:
    return sum(len(window.labels) for window in dataset.validation)
