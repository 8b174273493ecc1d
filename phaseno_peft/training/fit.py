"""One recipe, one seed, one campaign: train a model, resumably, and judge it."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import EMBEDDED, fingerprint, load_backbone
from phaseno_peft.baselines.rival import Probabilities
from phaseno_peft.campaign import Stretch, Window, with_moved_labels
from phaseno_peft.contract import NO_SHIFT_S, PHASES, BackboneDefaults
from phaseno_peft.errors import AdapterError
from phaseno_peft.evaluation import Predictions, Scores, score, score_at_thresholds_of
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training.checkpoint import Checkpoint
from phaseno_peft.training.dataset import CampaignDataset, training_events
from phaseno_peft.training.history import Epoch, TrainingState
from phaseno_peft.training.loop import train
from phaseno_peft.training.pick_shift import PickShift, measure_pick_shift, shifts_s
from phaseno_peft.training.recipes import Recipe, n_trainable
from phaseno_peft.training.settings import TrainingSettings
from phaseno_peft.training.stem_first import train_stem_alone

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelScores:
    """Scores of a model on validation and on test, both at the thresholds that validation chose."""

    validation: Scores
    test: Scores
    validation_probabilities: Probabilities
    test_probabilities: Probabilities

    @property
    def thresholds(self) -> dict[str, float]:
        """Phase -> the threshold that validation chose."""
        return self.test.thresholds


@dataclass(frozen=True)
class Fitted:
    """A trained model, its settings and the history of its training."""

    recipe: Recipe
    model: torch.nn.Module
    """At its best epoch."""
    training: TrainingSettings
    history: list[Epoch]
    kept: int
    n_trainable: int
    n_events: int
    """Training events whose labels were used."""
    seconds: float
    """Of the training, over all the processes that worked on it."""
    pick_shift: dict[str, PickShift] = field(default_factory=dict)
    """What was taken off the labels, by phase; empty where nothing was measured."""
    labelled: frozenset[str] = frozenset(PHASES)
    """Phases with a label among what it was trained on."""
    snapshots: Mapping[int, Mapping[str, torch.Tensor]] = field(default_factory=dict)
    """Epoch -> trained parameters by name; of all epochs where they were to be kept."""

    @property
    def pick_shift_s(self) -> dict[str, float]:
        """To be put back on the model's picks (`Contract.pick_shift_s`)."""
        return shifts_s(self.pick_shift)

    @property
    def best(self) -> Epoch | None:
        """The epoch that was kept; None where nothing was trained."""
        return next((epoch for epoch in self.history if epoch.epoch == self.kept), None)


@dataclass(frozen=True)
class TrainingCallbacks:
    """Functions that are called during a training, all optional."""

    on_stage: Callable[[str], None] = log.info
    on_epoch: Callable[[Epoch], None] | None = None
    on_step: Callable[[int, int], None] | None = None


def fit(
    recipe: Recipe,
    dataset: CampaignDataset,
    training: TrainingSettings,
    *,
    labels: int | None = None,
    backbone: str | Path = EMBEDDED,
    device: str | torch.device = "cpu",
    checkpoint: Path | None = None,
    keeps_all: bool = False,
    callbacks: TrainingCallbacks | None = None,
) -> Fitted:
    """Train a fresh copy of the backbone by a recipe; seeds of weights, windows and labels are `training.seed`.

    With a `checkpoint` (a file) every epoch is kept, and a training that was stopped goes on from there; `keeps_all`
    keeps the parameters of every epoch. `labels` uses so many training events only, with as many steps as all of them
    would have, at the learning rates of so many (`TrainingSettings.for_events`). The constant shift of the labels from
    the picks before training is taken off first, unless the recipe makes another backbone, whose file has no place for
    it. Raises `AdapterError` if the file holds another training.
    """
    say = (callbacks := callbacks or TrainingCallbacks()).on_stage
    started = time.monotonic()
    frozen = load_backbone(backbone, device)
    what = training_identity(recipe, dataset, training, labels, fingerprint(frozen), device)
    stretches = dataset.train(labels, training.seed)
    n_events = len(training_events(stretches))
    n_sampled = n_events + len(training_events(dataset.unlabelled))
    pick_shift = {}
    if recipe.makes == "adapter" and training.shifts_labels:
        pick_shift = _pick_shift(frozen, dataset, stretches)
    model = recipe.model(frozen, training.seed)
    trainable = n_trainable(model)
    if not trainable:
        return Fitted(recipe, model.eval(), training, [], 0, 0, 0, 0.0)
    if recipe.makes == "picker" and training.shifts_labels:
        pick_shift = _pick_shift(model.eval(), dataset, stretches)
    if labels is not None:  # as many steps as with all labels
        training = training.changed(windows_per_epoch=training.windows(dataset.n_events))
    training = training.for_events(n_sampled)
    store = None if checkpoint is None else Checkpoint(checkpoint, what)
    state = (store.load() if store else None) or TrainingState(training.epochs)
    state.keeps_all = keeps_all
    if state.history:
        say(f"continuing a training that was stopped after epoch {state.number}")
    sampler, shift_s, before_first = dataset.sampler(stretches, training.seed), shifts_s(pick_shift), None
    if recipe.method is not None and recipe.method.stem != "none":
        stem = recipe.method.stem
        before_first = partial(train_stem_alone, model, sampler, dataset.edge_limit_km, training, shift_s, stem)
    earlier_s = sum(epoch.seconds for epoch in state.history)
    history, kept = train(
        model,
        sampler,
        dataset.validation,
        dataset.edge_limit_km,
        training,
        callbacks.on_epoch,
        callbacks.on_step,
        pick_shift_s=shift_s,
        state=state,
        keep=store.save if store else None,
        before_first=before_first,
    )
    seconds = earlier_s + time.monotonic() - started
    return Fitted(
        recipe,
        model,
        training,
        history,
        kept,
        trainable,
        n_events,
        seconds,
        pick_shift,
        sampler.phases,
        state.snapshots,
    )


def _pick_shift(model: torch.nn.Module, dataset: CampaignDataset, stretches: Sequence[Stretch]) -> dict[str, PickShift]:
    frame, preprocessing = dataset.campaign.frame, dataset.campaign.preprocessing
    return measure_pick_shift(model, stretches, frame, preprocessing, dataset.seed)


def training_identity(
    recipe: Recipe,
    dataset: CampaignDataset,
    training: TrainingSettings,
    labels: int | None,
    backbone_fingerprint: str,
    device: str | torch.device,
) -> dict[str, Any]:
    """Everything a result depends on, as plain JSON types."""
    return {
        "recipe": recipe.name,
        **({"origin": recipe.origin} if recipe.origin else {}),
        "method": None if recipe.method is None else recipe.method.to_json(),
        # without `replay` where there is none: what was trained before there was that setting is the same training
        "training": {k: v for k, v in dataclasses.asdict(training).items() if v or k != "replay"},
        "labelled events": labels,
        "waveforms, stations, picks or split (SHA-256)": dataset.sha256,
        "backbone": backbone_fingerprint,
        "device": torch.device(device).type,
        "versions": {name: version(name) for name in ("phaseno-peft", "torch", "peft", "numpy")},
    }


def judge_model(
    model: torch.nn.Module, dataset: CampaignDataset, pick_shift_s: Mapping[str, float] = NO_SHIFT_S
) -> ModelScores:
    """Thresholds chosen on validation, scores on both sides; picks of the model are moved by `pick_shift_s`."""
    of_validation = window_probabilities(model, dataset.validation, dataset.edge_limit_km)
    of_test = window_probabilities(model, dataset.test, dataset.edge_limit_km)
    return judge_probabilities(dataset, of_validation, of_test, pick_shift_s)


def judge_probabilities(
    dataset: CampaignDataset,
    of_validation: Probabilities,
    of_test: Probabilities,
    pick_shift_s: Mapping[str, float] = NO_SHIFT_S,
) -> ModelScores:
    """`judge_model` of what some picker says of the windows of both sides."""
    min_distance_s = BackboneDefaults().min_distance_s
    validation = Predictions(with_moved_labels(dataset.validation, pick_shift_s), of_validation)
    test = Predictions(with_moved_labels(dataset.test, pick_shift_s), of_test)
    on_test = score_at_thresholds_of(validation, test, min_distance_s=min_distance_s)
    on_validation = score(*validation, on_test.thresholds, min_distance_s=min_distance_s)
    return ModelScores(on_validation, on_test, of_validation, of_test)


def check_switched_off(model: torch.nn.Module, dataset: CampaignDataset, frozen: Sequence[NDArray[np.float32]]) -> None:
    """With the adapter off the network must be what it was, bit for bit; `frozen` [window] of the first test windows.

    Raises `AdapterError` if it is not.
    """
    windows: list[Window] = dataset.test[: len(frozen)]
    with model.disable_adapter():  # type: ignore[operator]  # peft's context manager
        now = window_probabilities(model, windows, dataset.edge_limit_km)
    if not all(np.array_equal(a, b) for a, b in zip(now, frozen, strict=True)):
        raise AdapterError("training changed the frozen backbone; nothing was written. Please report this as a bug.")


def adapter_tensors(adapted: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What the adapter of a trained model is, by the names it has in its file."""
    from peft import get_peft_model_state_dict

    tensors: dict[str, torch.Tensor] = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    return tensors


def summary(scores: Scores) -> Mapping[str, Any]:
    """Counts and derived numbers of each phase and tolerance, as plain JSON types."""
    found: dict[str, Any] = scores.to_json()["summary"]
    return found
