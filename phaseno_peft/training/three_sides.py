"""Training where there are events enough to set some aside: one side trains, one chooses, one judges."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from phaseno_peft.backbone import load_backbone
from phaseno_peft.campaign import with_moved_labels
from phaseno_peft.contract import BackboneDefaults
from phaseno_peft.evaluation import calibrate_uncertainty
from phaseno_peft.evaluation.calibration import stated_for
from phaseno_peft.evaluation.judge import JudgedNoise
from phaseno_peft.judging.verdict import FEWEST_NOISE_HOURS
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import Fitted, judge_model
from phaseno_peft.training.history import best_epoch
from phaseno_peft.training.outcome import Outcome, Task
from phaseno_peft.training.provenance import score_without_offset

HURRY_MINUTES = 10.0
"""A training with less time than this counts false picks in the test windows only, and its verdict says so."""


def train_on_three_sides(task: Task, dataset: CampaignDataset, *, labels: int | None, seeds: Sequence[int]) -> Outcome:
    """Train with each seed and keep the best on validation, which also chooses epoch and thresholds; score on test."""
    say, training = task.callbacks.on_stage, task.training
    validation, test = dataset.validation, dataset.test
    say(
        f"windows: {training.windows(dataset.n_events)} an epoch for training, {len(validation)} for validation, "
        f"{len(test)} for testing ({sum(w.is_noise for w in test)} of them noise)"
    )
    frozen_model = load_backbone(task.backbone, task.device)
    frozen = judge_model(frozen_model, dataset)
    say(f"frozen backbone on the test windows: mean F1 {frozen.test.mean_f1(0.5):.3f} at 0.5 s")
    fits = []
    for number, seed in enumerate(seeds, 1):
        if len(seeds) > 1:
            say(f"seed {seed} ({number} of {len(seeds)})")
        fits.append(task.fit(dataset, dataclasses.replace(training, seed=seed), f"seed-{seed}", labels=labels))
    fitted = _best(fits, dataset)
    say(f"epoch {fitted.kept} is kept" + (f", of seed {fitted.training.seed}" if len(seeds) > 1 else ""))
    adapter = judge_model(fitted.model, dataset, fitted.pick_shift_s)
    uncertainty = calibrate_uncertainty(
        with_moved_labels(validation, fitted.pick_shift_s),
        adapter.validation_probabilities,
        adapter.thresholds,
        min_distance_s=BackboneDefaults().min_distance_s,
    )
    without_offset = score_without_offset(dataset, frozen)
    noise = [] if (training.max_minutes or HURRY_MINUTES) < HURRY_MINUTES else dataset.further_noise(FEWEST_NOISE_HOURS)
    if noise:
        say(f"counting false picks in {len(noise)} more windows of noise")
    further_noise = {
        name: JudgedNoise.of(
            noise,
            window_probabilities(model, noise, dataset.edge_limit_km),
            own.thresholds,
            BackboneDefaults().min_distance_s,
        )
        for name, model, own in (("frozen", frozen_model, frozen), ("adapter", fitted.model, adapter))
    }
    sentences = [f"The best of {len(seeds)} seeds on validation."] if len(seeds) > 1 else []
    return Outcome(
        fitted,
        dataset,
        frozen,
        without_offset,
        adapter,
        adapter.thresholds,
        uncertainty,
        stated_for(adapter.test, uncertainty),
        fits,
        sentences=sentences,
        further_noise=further_noise,
    )


def _best(fits: Sequence[Fitted], dataset: CampaignDataset) -> Fitted:
    """The training that is best on validation, by the rule that chooses the epoch."""
    one_pick = 1 / max(1, sum(len(window.labels) for window in dataset.validation))
    kept = [dataclasses.replace(one.history[one.kept], epoch=i) for i, one in enumerate(fits)]
    return fits[best_epoch(kept, one_pick)]
