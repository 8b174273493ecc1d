"""Cross-fitted training: every labelled event trains, and every one is predicted by an adapter that never saw it.

Where labels are few, events set aside are missed in training, and too few of them are left to judge on. So the events
are parted into folds (`out_of_fold`). What the folds' adapters say of the events they never saw chooses the number of
epochs, how much of the update is kept, and the thresholds, and gives the scores. The adapter that ships is trained on
all events for as many steps: the scores are an estimate for it, not measured on it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from phaseno_peft.backbone import load_backbone
from phaseno_peft.campaign import Folds
from phaseno_peft.contract import NO_SHIFT_S, PHASES
from phaseno_peft.cr_lora.blend import shrunk
from phaseno_peft.evaluation import calibrate_uncertainty, choose_thresholds
from phaseno_peft.judging.verdict import FEWEST_NOISE_HOURS
from phaseno_peft.library.folds import FoldAdapter
from phaseno_peft.library.training_notes import how_scored
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import adapter_tensors
from phaseno_peft.training.out_of_fold import (
    MIN_DISTANCE_S,
    fit_folds,
    further_noise,
    judge_and_choose,
    judge_folds,
    judge_noise,
    set_trainable,
    together,
    trainable,
)
from phaseno_peft.training.outcome import Outcome, Task


def cross_fit(task: Task, folds: Folds, dataset: CampaignDataset, at_once: int = 1) -> Outcome:
    """Train an adapter for each fold, choose by their out-of-fold predictions, train the one that ships on all events.

    `dataset` has all events for training and no window to judge on. Each training is kept after every epoch, and
    `at_once` folds are trained side by side. Events that cannot be parted train nothing: the adapter is then the frozen
    backbone with its picks moved by the constant shift, and its thresholds and scores are of the events they were
    chosen on. Raises `AdapterError` for settings that folds cannot have, or where another training is kept.
    """
    training, say = task.training, task.callbacks.on_stage
    found = fit_folds(task, folds, dataset, at_once)
    datasets, k = found.datasets, len(found.datasets)
    frozen_model = load_backbone(task.backbone, task.device)
    of_frozen = [window_probabilities(frozen_model, d.validation, d.edge_limit_km) for d in datasets]
    frozen, without_offset, _ = judge_folds(datasets, of_frozen, [NO_SHIFT_S] * k)
    found, of_adapters, (adapter, _, stated) = judge_and_choose(found, of_frozen)
    kept, factor = found.kept, found.factor
    if k > 1:
        say(
            f"out of fold, epoch {kept} with {factor:g} of the update is best"
            if factor
            else "out of fold, no adaptation is better than moving the frozen network's picks by the constant shift"
        )

    noise = further_noise(datasets, FEWEST_NOISE_HOURS)
    if n_noise := sum(map(len, noise)):
        say(f"counting false picks in {n_noise} more windows of noise")
    frozen_on_noise = [window_probabilities(frozen_model, own, dataset.edge_limit_km) for own in noise]
    judged_noise = {
        "frozen": judge_noise(datasets, of_frozen, [NO_SHIFT_S] * k, noise, frozen_on_noise),
        "adapter": judge_noise(datasets, of_adapters, found.shifts_s, noise, found.probabilities_of(noise)),
    }
    n_sampled = [d.n_sampled for d in datasets]
    windows = round(float(np.mean([training.windows(n) for n in n_sampled])))
    as_folds = training.changed(windows_per_epoch=windows).for_events(float(np.mean(n_sampled)))
    everything = dataclasses.replace(
        dataset,
        validation=[window for d in datasets for window in d.validation],
        test=[window for d in datasets for window in d.test],
    )
    if kept:
        say(f"training on all {everything.n_events} events for as many steps")
    shipped = task.fit(
        dataset,
        as_folds.changed(keep_epoch=kept, epochs=training.epochs if kept else 0),
        "all-events",
    )
    set_trainable(shipped.model, shrunk(trainable(shipped.model), factor))
    fitted = dataclasses.replace(shipped, history=found.history, kept=kept, seconds=shipped.seconds + found.seconds)

    windows_of = ([d.test for d in datasets], noise)
    pick_shifts_s = [s for kind in windows_of for own, s in zip(kind, found.shifts_s, strict=True) for _ in own]
    predictions = together(datasets, of_adapters, found.shifts_s)
    thresholds = choose_thresholds(*predictions, min_distance_s=MIN_DISTANCE_S)
    about = {
        "folds": {
            "folds": k,
            "events": [len({e for s in d.split.validation for e in s.event_ids}) for d in datasets],
            "epoch": kept,
            "factor": factor,
            "choices": [dataclasses.asdict(choice) for choice in found.choices],
        }
    }
    sentences = [how_scored(about["folds"])]
    sentences += [
        f"No {phase} label: "
        + (
            f"training holds {phase} to what the frozen network says of it, "
            if kept and phase not in fitted.labelled
            else ""
        )
        + f"the {phase} threshold is the backbone's default, and {phase} picks are not judged."
        for phase in PHASES
        if not adapter.test.n_labels(phase)
    ]
    return Outcome(
        fitted,
        everything,
        frozen,
        without_offset,
        adapter,
        thresholds,
        calibrate_uncertainty(*predictions, thresholds, min_distance_s=MIN_DISTANCE_S),
        stated,
        [fitted],
        about,
        sentences,
        judged_noise,
        pick_shifts_s,
        [FoldAdapter(adapter_tensors(one.model), one.pick_shift_s) for one in found.fits] if k > 1 else (),
    )
