"""The training loop, readable from top to bottom in one place.

Follows arXiv 2512.13197: AdamW, one network window (or a few small ones) a step, cosine schedule, binary cross-entropy
of two independent sigmoids, selection of the epoch and early stopping by F1 of P and S on the validation windows.

Ours: unknown stretches are masked out of the loss, and the selection also looks at 0.1 s and at the loss. A campaign
has some five validation events, where F1 at 0.5 s alone says little (`best_epoch`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phaseno_peft.campaign import Window, WindowSampler
from phaseno_peft.campaign.augment import compose, limit_stations
from phaseno_peft.errors import CampaignError
from phaseno_peft.evaluation.metrics import choose_thresholds, score
from phaseno_peft.picking.inference import batches, network_input, window_probabilities

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How an adapter is trained; stored with it. Times in seconds, one epoch is `windows_per_epoch` windows."""

    epochs: int = 15
    windows_per_epoch: int | None = None
    """By default two for each training event: its own at a random shift, and one of noise."""
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    warmup_share: float = 0.05
    """Part of all steps over which the learning rate rises, before the cosine falls to zero."""
    stations_per_window: int = 7
    """Windows of larger networks are thinned to this many stations in each step, those with labels first."""
    batch_stations: int = 14
    """Windows are put into one step up to this many stations together."""
    positive_weight: float = 5.0
    """Weight of label samples against noise samples, upstream's."""
    clip_norm: float = 1.0
    patience: int = 10
    """Epochs without a better validation F1 before training stops."""
    max_minutes: float | None = None
    """Stop after the epoch that passes this; the schedule is shortened to fit once the first epoch is timed."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch came to."""

    epoch: int
    train_loss: float | None
    """None for epoch 0, the untrained model."""
    validation_loss: float
    validation_f1_P: float  # noqa: N815  # P and S are the names of the phases
    validation_f1_S: float  # noqa: N815
    """F1 at 0.5 s."""
    validation_f1_close: float
    """Mean F1 of P and S at 0.1 s."""
    learning_rate: float
    seconds: float

    @property
    def validation_score(self) -> float:
        """Mean F1 of P and S at 0.5 s and at 0.1 s."""
        return ((self.validation_f1_P + self.validation_f1_S) / 2 + self.validation_f1_close) / 2


def train(
    model: torch.nn.Module,
    sampler: WindowSampler,
    validation: Sequence[Window],
    edge_limit_km: float,
    settings: TrainingSettings,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> tuple[list[Epoch], int]:
    """Train the parameters of `model` that require gradients, in place, and leave it at its best epoch.

    Returns the history and the epoch that was kept. Epoch 0 is the untrained model, so that a
    campaign that cannot be learned keeps the backbone.
    Raises `CampaignError` if there is no event to train on.
    """
    if sampler.n_events == 0:
        raise CampaignError("there is no labelled event to train on. Check that picks and waveforms overlap in time.")
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trainable.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    device = next(model.parameters()).device
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng([settings.seed, 1])
    n_windows = settings.windows_per_epoch or 2 * sampler.n_events
    noise = [window for window in sampler.epoch(4 * n_windows, number=10**6) if window.is_noise][:n_windows]
    started = time.monotonic()
    one_pick = 1 / max(1, sum(len(window.labels) for window in validation))
    verdict = judged(model, validation, edge_limit_km, settings)
    history = [Epoch(0, None, *verdict, 0.0, time.monotonic() - started)]
    snapshots = [{name: p.detach().clone() for name, p in trainable.items()}]
    if on_epoch:
        on_epoch(history[-1])

    last_epoch = settings.epochs
    progress = 0.0  # part of the schedule that is done
    for number in range(1, settings.epochs + 1):
        epoch_started = time.monotonic()
        windows = [
            compose(rng, limit_stations(rng, window, settings.stations_per_window), noise)
            for window in sampler.epoch(n_windows, number=number)
        ]
        steps = list(batches(windows, settings.batch_stations))
        losses = []
        model.train()
        for step, batch in enumerate(steps):
            rate = settings.learning_rate * _schedule(progress, settings.warmup_share)
            for group in optimizer.param_groups:
                group["lr"] = rate
            waveforms, graph = network_input(batch, edge_limit_km)
            logits = model(waveforms.to(device), graph.to(device))
            loss = masked_loss(logits, *_labels(batch, device), settings.positive_weight)
            if not bool(torch.isfinite(loss)):
                log.warning("the loss became %s in epoch %d; training stops there", float(loss.detach()), number)
                return history, _restore(trainable, snapshots, best_epoch(history, one_pick), model)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's stub
            torch.nn.utils.clip_grad_norm_(trainable.values(), settings.clip_norm)
            optimizer.step()
            losses.append(float(loss.detach()))
            progress = min(1.0, progress + 1 / (len(steps) * last_epoch))
            if on_step:
                on_step(step + 1, len(steps))

        verdict = judged(model, validation, edge_limit_km, settings)
        seconds = time.monotonic() - epoch_started
        history.append(Epoch(number, float(np.mean(losses)), *verdict, rate, seconds))
        snapshots.append({name: p.detach().clone() for name, p in trainable.items()})
        if on_epoch:
            on_epoch(history[-1])
        if settings.max_minutes is not None:
            left = settings.max_minutes * 60 - (time.monotonic() - started)
            fits = number + int(left / seconds)
            if fits < last_epoch:  # the rest of the schedule is squeezed into the epochs that fit
                last_epoch = max(number, fits)
                progress = min(1.0, number / last_epoch)
        if number >= last_epoch or number - best_epoch(history, one_pick) >= settings.patience:
            break

    return history, _restore(trainable, snapshots, best_epoch(history, one_pick), model)


def best_epoch(history: Sequence[Epoch], one_pick: float) -> int:
    """The epoch to keep: the best validation score, where scores closer than one pick are told apart by the loss."""
    sound = [epoch for epoch in history if math.isfinite(epoch.validation_loss)]
    highest = max(epoch.validation_score for epoch in sound)
    good = [epoch for epoch in sound if epoch.validation_score >= highest - one_pick]
    return min(good, key=lambda epoch: epoch.validation_loss).epoch


def _restore(
    trainable: dict[str, torch.nn.Parameter], snapshots: list[dict[str, Tensor]], kept: int, model: torch.nn.Module
) -> int:
    """Put the model back to the epoch that is kept, and return that epoch."""
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(snapshots[kept][name])
    model.eval()
    return kept


def masked_loss(logits: Tensor, targets: Tensor, known: Tensor, positive_weight: float) -> Tensor:
    """Binary cross-entropy [station, 2, sample] averaged over known samples; zero if nothing is known."""
    weight = torch.tensor(positive_weight, device=logits.device)
    loss = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


def _labels(batch: Sequence[Window], device: torch.device) -> tuple[Tensor, Tensor]:
    targets = torch.from_numpy(np.concatenate([window.targets for window in batch]))
    known = torch.from_numpy(np.concatenate([window.known for window in batch]))
    return targets.to(device), known.to(device)


def judged(
    model: torch.nn.Module, windows: Sequence[Window], edge_limit_km: float, settings: TrainingSettings
) -> tuple[float, float, float, float]:
    """Loss, F1 of P and of S at 0.5 s, and mean F1 at 0.1 s, with the best thresholds on these windows."""
    probabilities = window_probabilities(model, windows, edge_limit_km)
    scores = score(windows, probabilities, choose_thresholds(windows, probabilities))
    total = samples = 0.0
    for window, found in zip(windows, probabilities, strict=True):
        logits = torch.from_numpy(found).clamp(1e-6, 1 - 1e-6).logit()
        known = torch.from_numpy(window.known)
        count = float(known.sum())
        total += count * float(masked_loss(logits, torch.from_numpy(window.targets), known, settings.positive_weight))
        samples += count
    return total / max(samples, 1.0), scores.phase("P", 0.5).f1, scores.phase("S", 0.5).f1, scores.mean_f1(0.1)


def _schedule(progress: float, warmup: float) -> float:
    """Linear rise, then half a cosine down to zero."""
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
