"""Cross-fitted training: every labelled event trains, and every one is predicted by an adapter that never saw it.

Where labels are few, events set aside are missed in training, and too few of them are left to judge on. So the events
are parted into folds; an adapter for each is trained on the others by the same recipe. Their predictions of the events
they never saw choose the number of epochs, how much of the update is kept, and the thresholds, and give the scores. The
adapter that ships is trained on all events for as many steps. (Stone 1974, cross-validatory choice; the shipped model
is one that the scores are an estimate for, not the one they were measured on.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phaseno_peft.backbone import load_backbone
from phaseno_peft.campaign import Folds, with_moved_labels
from phaseno_peft.contract import NO_SHIFT_S, PHASES, BackboneDefaults
from phaseno_peft.cr_lora.blend import shrunk
from phaseno_peft.errors import AdapterError
from phaseno_peft.evaluation import (
    Predictions,
    Scores,
    calibrate_uncertainty,
    choose_thresholds,
    joined_scores,
    score,
)
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import Fitted, ModelScores, TrainingCallbacks
from phaseno_peft.training.history import Epoch, best_epoch
from phaseno_peft.training.loop import judged
from phaseno_peft.training.outcome import Outcome, Task
from phaseno_peft.training.provenance import score_without_offset
from phaseno_peft.training.recipes import find_recipe
from phaseno_peft.training.settings import TrainingSettings
from phaseno_peft.training.side_by_side import side_by_side

MIN_DISTANCE_S = BackboneDefaults().min_distance_s
FACTORS = (0.25, 0.5, 0.75)
"""Parts of the update that are tried beside none and all of it."""


@dataclass(frozen=True)
class Choice:
    """One way to ship the adapter, and what the folds' adapters came to that way on the events they never saw."""

    factor: float
    """Of the update; 0 is the frozen backbone with its picks moved by the constant shift."""
    score: float
    loss: float


def cross_fit(task: Task, folds: Folds, dataset: CampaignDataset, at_once: int = 1) -> Outcome:
    """Train an adapter for each fold, choose by their out-of-fold predictions, train the one that ships on all events.

    `dataset` has all events for training and no window to judge on. Each training is kept after every epoch, and
    `at_once` folds are trained side by side. Events that cannot be parted train nothing: the adapter is then the frozen
    backbone with its picks moved by the constant shift, and its thresholds and scores are of the events they were
    chosen on. Raises `AdapterError` for settings that folds cannot have, or where another training is kept.
    """
    training, say, k = task.training, task.callbacks.on_stage, len(folds.parts)
    check_settings(training)
    of_folds = training.changed(patience=training.epochs + 1) if k > 1 else training.changed(epochs=0)
    datasets = [dataset.of_fold(folds, i) for i in range(k)]
    names = [f"fold-{i + 1}-of-{k}" for i in range(k)]
    if at_once > 1 and k > 1:
        where = (task.backbone, task.device, task.folder, task.restart)
        jobs = [(task.recipe.name, *where, d, of_folds, name) for d, name in zip(datasets, names, strict=True)]
        with side_by_side(_fit_apart, jobs, at_once) as finished:
            for i, seconds in enumerate(finished):
                say(f"fold {i + 1} of {k} is trained ({seconds / 60:.1f} minutes)")
        task = dataclasses.replace(task, restart=False)  # what follows reads what they left
    fits = []
    for i, (of_fold, name) in enumerate(zip(datasets, names, strict=True)):
        say(f"fold {i + 1} of {k}: {of_fold.n_events} events train, the others are predicted")
        fits.append(task.fit(of_fold, of_folds, name, keeps_all=True))

    history = pooled([one.history for one in fits], [_n_labels(d) for d in datasets])
    one_pick = 1 / max(1, sum(_n_labels(d) for d in datasets))
    kept = best_epoch(history, one_pick)
    factor, choices = _choose_factor(fits, datasets, history, kept, training, one_pick)
    kept = kept if factor else 0
    say(
        f"out of fold, epoch {kept} with {factor:g} of the update is best"
        if factor
        else "out of fold, no adaptation is better than moving the frozen network's picks by the constant shift"
    )

    windows = round(float(np.mean([of_folds.windows(d.n_events) for d in datasets])))
    everything = dataclasses.replace(
        dataset,
        validation=[window for d in datasets for window in d.validation],
        test=[window for d in datasets for window in d.test],
    )
    say(f"training on all {everything.n_events} events for as many steps")
    shipped = task.fit(
        dataset,
        training.changed(windows_per_epoch=windows, keep_epoch=kept, epochs=training.epochs if kept else 0),
        "all-events",
    )
    _set(shipped.model, shrunk(_trainable(shipped.model), factor))
    fitted = dataclasses.replace(
        shipped, history=history, kept=kept, seconds=shipped.seconds + sum(one.seconds for one in fits)
    )

    frozen_model = load_backbone(task.backbone, task.device)
    of_frozen = [window_probabilities(frozen_model, d.validation, d.edge_limit_km) for d in datasets]
    of_adapters = []
    for one, own in zip(fits, datasets, strict=True):
        _set(one.model, shrunk(one.snapshots[kept], factor))
        of_adapters.append(window_probabilities(one.model, own.validation, own.edge_limit_km))
    frozen, without_offset = _judged(datasets, of_frozen, [NO_SHIFT_S] * k)
    adapter, _ = _judged(datasets, of_adapters, [one.pick_shift_s for one in fits])
    found = _together(datasets, of_adapters, [one.pick_shift_s for one in fits])
    thresholds = choose_thresholds(*found, min_distance_s=MIN_DISTANCE_S)
    sentences = [_how(k, everything.n_events, kept, factor)]
    sentences += [
        f"No {phase} label: the {phase} threshold is the backbone's default, and {phase} picks are not judged."
        for phase in PHASES
        if not adapter.test.n_labels(phase)
    ]
    about = {
        "folds": {
            "folds": k,
            "events": [len({e for s in d.split.validation for e in s.event_ids}) for d in datasets],
            "epoch": kept,
            "factor": factor,
            "choices": [dataclasses.asdict(choice) for choice in choices],
        }
    }
    return Outcome(
        fitted,
        everything,
        frozen,
        without_offset,
        adapter,
        thresholds,
        calibrate_uncertainty(*found, thresholds, min_distance_s=MIN_DISTANCE_S),
        [fitted],
        about,
        sentences,
    )


def _how(k: int, n_events: int, kept: int, factor: float) -> str:
    """How the scores were made, for the card."""
    if k == 1:
        return (
            "No event could be held out: this adapter is the frozen backbone with its picks moved by the constant "
            "shift, and its thresholds and scores are of the very events they were chosen on. The scores flatter."
        )
    made = (
        f"The scores are those of {k} adapters, each on the events it was not trained on, at thresholds of the other "
        f"folds. Number of epochs and part of the update were chosen on the same predictions. "
    )
    if not factor:
        return made + (
            "No adaptation was better there than moving the frozen network's picks by the constant shift: this adapter "
            "is that shift with its thresholds and calibration, and its update is zero."
        )
    return made + (
        f"The adapter here was trained on all {n_events} events for as many steps, {kept} epochs"
        + (f", and keeps {factor:g} of its update." if factor < 1 else ".")
    )


def check_settings(training: TrainingSettings) -> None:
    """Raise `AdapterError` for settings that need a validation of every single training."""
    for is_wrong, words in (
        (training.max_minutes is not None, "a limit of minutes shortens each training differently: give --epochs"),
        (training.schedule != "cosine", "the shipped adapter has no validation loss for the plateau schedule"),
    ):
        if is_wrong:
            raise AdapterError(f"cross-fitting in folds does not go with this: {words}, or --folds 0.")


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
    recipe: str,
    backbone: str | Path,
    device: str | torch.device,
    folder: Path,
    restart: bool,
    dataset: CampaignDataset,
    training: TrainingSettings,
    name: str,
) -> float:
    """Train a fold in a process of its own, where a recipe arrives by name, and leave it in its checkpoint; seconds."""
    task = Task(find_recipe(recipe), training, backbone, device, folder, restart, TrainingCallbacks())
    return task.fit(dataset, training, name, keeps_all=True).seconds


def _choose_factor(
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
            _set(one.model, shrunk(one.snapshots[kept], factor))
            windows = with_moved_labels(dataset.validation, one.pick_shift_s)
            verdict = judged(one.model, windows, dataset.edge_limit_km, training)
            rows.append([Epoch(0, None, *verdict, 0.0, 0.0)])
        tried[factor] = pooled(rows, [_n_labels(d) for d in datasets])[0]
    factors = sorted(tried) if kept else [0.0]
    rows_ = [dataclasses.replace(tried[factor], epoch=i) for i, factor in enumerate(factors)]
    choices = tuple(
        Choice(factor, row.validation_score, row.validation_loss) for factor, row in zip(factors, rows_, strict=True)
    )
    return factors[best_epoch(rows_, one_pick)], choices


def _judged(
    datasets: Sequence[CampaignDataset],
    probabilities: Sequence[Sequence[np.ndarray]],
    shifts_s: Sequence[Mapping[str, float]],
) -> tuple[ModelScores, Scores]:
    """Scores of each fold's events at the thresholds of the others; and the same without the others' median offset."""
    test, without = [], []
    for i, dataset in enumerate(datasets):
        others = [j for j in range(len(datasets)) if j != i] or [i]
        chosen_on, own = (
            _together([datasets[j] for j in rows], [probabilities[j] for j in rows], [shifts_s[j] for j in rows])
            for rows in (others, [i])
        )
        own = own.rows(slice(len(dataset.test)))
        thresholds = choose_thresholds(*chosen_on, min_distance_s=MIN_DISTANCE_S)
        of_others = score(*chosen_on, thresholds, min_distance_s=MIN_DISTANCE_S)
        of_own = score(*own, thresholds, min_distance_s=MIN_DISTANCE_S)
        test.append(of_own)
        here = dataclasses.replace(dataset, validation=list(chosen_on.windows), test=list(own.windows))
        without.append(score_without_offset(here, ModelScores(of_others, of_own, [], list(own.probabilities))))
    all_of_them = _together(datasets, probabilities, shifts_s)
    on_test = joined_scores(test)
    on_validation = score(*all_of_them, on_test.thresholds, min_distance_s=MIN_DISTANCE_S)
    first = [p for d, own in zip(datasets, probabilities, strict=True) for p in own[: len(d.test)]]
    return ModelScores(on_validation, on_test, list(all_of_them.probabilities), first), joined_scores(without)


def _together(
    datasets: Sequence[CampaignDataset],
    probabilities: Sequence[Sequence[np.ndarray]],
    shifts_s: Sequence[Mapping[str, float]],
) -> Predictions:
    """Windows of several folds with labels where their models pick, and what those say of them."""
    windows = [
        w for d, shift_s in zip(datasets, shifts_s, strict=True) for w in with_moved_labels(d.validation, shift_s)
    ]
    return Predictions(windows, [found for own in probabilities for found in own])


def _n_labels(dataset: CampaignDataset) -> int:
    return sum(len(window.labels) for window in dataset.validation)


def _trainable(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _set(model: torch.nn.Module, parameters: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in _trainable(model).items():
            parameter.copy_(parameters[name])
