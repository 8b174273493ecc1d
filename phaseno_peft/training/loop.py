"""The training loop, readable from top to bottom in one place.

Follows arXiv 2512.13197: AdamW, one network window (or a few small ones) a step, cosine or plateau schedule, binary
cross-entropy of two independent sigmoids, selection of the epoch and early stopping by F1 of P and S on the validation
windows.

Ours: unknown stretches are masked out of the loss, and the selection also looks at 0.1 s and at the loss. A campaign
has some five validation events, where F1 at 0.5 s alone says little (`best_epoch`). A phase that nobody labelled is
held to what the frozen network says of it: noise alone would teach that there is none.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from phaseno_peft.backbone import StationGraph
from phaseno_peft.campaign import Window, WindowSampler, with_moved_labels
from phaseno_peft.campaign.augment import Augmentation, compose, limit_stations
from phaseno_peft.contract import NO_SHIFT_S, PHASES
from phaseno_peft.cr_lora import CRLoraLayer, selected_adapter
from phaseno_peft.cr_lora.settings import STEM
from phaseno_peft.errors import CampaignError
from phaseno_peft.evaluation import Predictions, cross_entropy, score_at_thresholds_of
from phaseno_peft.picking.inference import batches, network_input, window_probabilities
from phaseno_peft.training.forgetting import EDGE_LIMIT_KM
from phaseno_peft.training.history import Epoch, TrainingState, best_epoch
from phaseno_peft.training.replay import replay_windows
from phaseno_peft.training.settings import TrainingSettings, cosine, plateau

log = logging.getLogger(__name__)


def train(
    model: torch.nn.Module,
    sampler: WindowSampler,
    validation: Sequence[Window],
    edge_limit_km: float,
    settings: TrainingSettings,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    *,
    pick_shift_s: Mapping[str, float] = NO_SHIFT_S,
    state: TrainingState | None = None,
    keep: Callable[[TrainingState], None] | None = None,
    before_first: Callable[[], None] | None = None,
) -> tuple[list[Epoch], int]:
    """Train the parameters of `model` that require gradients, in place, and leave it at its best epoch.

    Returns the history and the epoch that was kept. Epoch 0 is the untrained model, so that a campaign that cannot be
    learned keeps the backbone. `before_first` is called between it and the first epoch, and may change the parameters.
    Labels are moved by minus `pick_shift_s`, those of validation too. `keep` is given the
    state after each epoch; a training that is given such a `state` goes on from there, and ends as if it had never
    stopped.
    Raises `CampaignError` if there is no event to train on.
    """
    if sampler.n_events == 0:
        raise CampaignError("there is no labelled event to train on. Check that picks and waveforms overlap in time.")
    trainable, optimizer = _optimizer(model, settings)
    device = next(model.parameters()).device
    n_windows = settings.windows(sampler.n_events)
    augmentation = Augmentation(keeps_polarity=settings.keeps_polarity)
    quiet = (window for window in sampler.windows(4 * n_windows, number=10**6) if window.is_noise)
    noise = list(itertools.islice(quiet, n_windows))
    untaught = [i for i, phase in enumerate(PHASES) if phase not in sampler.phases]
    validation = windows_to_judge(validation, settings, sampler.phases, pick_shift_s)
    positive_weight = torch.full((len(PHASES), 1), settings.positive_weight, device=device)
    positive_weight[untaught] = 1.0  # the frozen network's probabilities are matched, not outdone
    one_pick = 1 / max(1, sum(len(window.labels) for window in validation))
    state = state or TrainingState(settings.epochs)
    if not state.history:
        started = time.monotonic()
        verdict = judged(model, validation, edge_limit_km, settings)
        state.add(Epoch(0, None, *verdict, 0.0, time.monotonic() - started), trainable)
        if on_epoch:
            on_epoch(state.history[-1])
    else:
        _resume(state, trainable, optimizer)

    while not _is_over(state, settings, one_pick):
        number, begun, losses = state.number + 1, time.monotonic(), []
        if state.number == 0 and before_first:
            before_first()
        started = time.monotonic()
        rng = np.random.default_rng([settings.seed, 1, number])
        windows = [
            compose(rng, limit_stations(rng, window, settings.stations_per_window), noise, augmentation)
            for whole in sampler.windows(n_windows, number=number)
            for window in with_moved_labels([whole], pick_shift_s)
        ]
        steps = [(batch, edge_limit_km) for batch in batches(windows, settings.batch_stations)]
        if replayed := replay_windows(round(settings.replay * n_windows), settings.seed, number):
            steps += [(batch, EDGE_LIMIT_KM) for batch in batches(replayed, settings.batch_stations)]
            steps = [steps[i] for i in rng.permutation(len(steps))]
        model.train()
        with seeded(settings.seed, number, device=device):
            for step, (batch, reach_km) in enumerate(steps):
                progress = (number - 1 + step / len(steps)) / state.last_epoch
                rate = settings.learning_rate * settings.rate_factor * _learning_rate_factor(state, progress, settings)
                for group in optimizer.param_groups:
                    group["lr"] = rate * group["share"]
                waveforms, graph = network_input(batch, reach_km)
                waveforms, graph = waveforms.to(device), graph.to(device)
                logits = model(waveforms, graph)
                targets, known = _labels(batch, device)
                if untaught:
                    targets, known = _held_to_frozen(model, waveforms, graph, targets, known, untaught)
                loss = masked_loss(logits, targets, known, positive_weight)
                if not bool(torch.isfinite(loss)):
                    log.warning("the loss became %s in epoch %d; training stops there", float(loss.detach()), number)
                    return state.history, _restore(trainable, state, one_pick, model, settings.keep_epoch)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]  # torch's stub
                torch.nn.utils.clip_grad_norm_(trainable.values(), settings.clip_norm)
                optimizer.step()
                losses.append(float(loss.detach()))
                if on_step:
                    on_step(step + 1, len(steps))

        verdict = judged(model, validation, edge_limit_km, settings)
        seconds = time.monotonic() - begun
        state.add(Epoch(number, float(np.mean(losses)), *verdict, rate, seconds), trainable)
        if settings.max_minutes is not None:  # the rest of the schedule is squeezed into the epochs that fit
            left_s = settings.max_minutes * 60 - sum(epoch.seconds for epoch in state.history)
            state.last_epoch = max(number, min(state.last_epoch, number + int(left_s / (time.monotonic() - started))))
        if keep:
            state.parameters = {name: p.detach() for name, p in trainable.items()}
            state.moments = {name: optimizer.state[p] for name, p in trainable.items() if p in optimizer.state}
            keep(state)
        if on_epoch:
            on_epoch(state.history[-1])
    return state.history, _restore(trainable, state, one_pick, model, settings.keep_epoch)


def _optimizer(
    model: torch.nn.Module, settings: TrainingSettings
) -> tuple[dict[str, torch.nn.Parameter], torch.optim.AdamW]:
    """Name -> parameter to train, and what trains them: an adapted stem beside an operator at a rate of its own."""
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    of_stem = {name: p for name, p in trainable.items() if STEM in name}
    others = {name: p for name, p in trainable.items() if name not in of_stem}
    groups = [
        {"params": list(own.values()), "share": share}
        for own, share in ((others, 1.0), (of_stem, settings.stem_rate if others else 1.0))
        if own
    ]
    return others | of_stem, torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def _is_over(state: TrainingState, settings: TrainingSettings, one_pick: float) -> bool:
    if settings.keep_epoch is not None:
        return state.number >= min(settings.keep_epoch, state.last_epoch)
    waited = state.number - best_epoch(state.history, one_pick)
    return state.number >= state.last_epoch or waited >= settings.patience


def _learning_rate_factor(state: TrainingState, progress: float, settings: TrainingSettings) -> float:
    if settings.schedule == "cosine":
        return cosine(progress, settings.warmup_share)
    return plateau([epoch.validation_loss for epoch in state.history], settings.plateau_epochs)


def _resume(
    state: TrainingState, trainable: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Put parameters and the optimiser's moments back to where the state stands."""
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(state.parameters[name])
    optimizer_state = optimizer.state_dict()
    optimizer_state["state"] = {i: state.moments[name] for i, name in enumerate(trainable) if name in state.moments}
    optimizer.load_state_dict(optimizer_state)


def _restore(
    trainable: Mapping[str, torch.nn.Parameter],
    state: TrainingState,
    one_pick: float,
    model: torch.nn.Module,
    keep_epoch: int | None,
) -> int:
    """Put the model back to the epoch that is kept, and return that epoch."""
    kept = best_epoch(state.history, one_pick) if keep_epoch is None else min(keep_epoch, state.number)
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(state.snapshots[kept][name])
    model.eval()
    return kept


@contextmanager
def seeded(*seeds: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Within, torch's random numbers come from these seeds; outside, nothing has changed."""
    device = torch.device(device)
    seed = int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> np.uint64(1))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def masked_loss(logits: Tensor, targets: Tensor, known: Tensor, positive_weight: float | Tensor) -> Tensor:
    """Binary cross-entropy [station, 2, sample] averaged over known samples; zero if nothing is known.

    `positive_weight`: of label samples, one number or [2, 1] of each phase.
    """
    positive_weight = torch.as_tensor(positive_weight, device=logits.device)
    loss = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=positive_weight, reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


def _labels(batch: Sequence[Window], device: torch.device) -> tuple[Tensor, Tensor]:
    targets = torch.from_numpy(np.concatenate([window.targets for window in batch]))
    known = torch.from_numpy(np.concatenate([window.known for window in batch]))
    return targets.to(device), known.to(device)


def _held_to_frozen(
    model: torch.nn.Module,
    waveforms: Tensor,
    graph: StationGraph,
    targets: Tensor,
    known: Tensor,
    phases: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Targets [station, 2, sample] and where they are known, with `phases` as the frozen network has them.

    Of a model without CR-LoRA's layers nothing is known of them.
    """
    targets, known = targets.clone(), known.clone()
    has_frozen = any(isinstance(module, CRLoraLayer) for module in model.modules())
    known[:, phases] = has_frozen
    if has_frozen:
        with torch.no_grad(), selected_adapter(None):
            targets[:, phases] = model(waveforms, graph)[:, phases].sigmoid()
    return targets, known


def windows_to_judge(
    validation: Sequence[Window],
    settings: TrainingSettings,
    labelled: frozenset[str],
    pick_shift_s: Mapping[str, float],
) -> list[Window]:
    """Those of the validation windows that epochs are judged on (`TrainingSettings.judged_windows`).

    Their labels lie where the model is to pick, and nothing is known of phases other than the labelled ones.
    """
    every = -(-len(validation) // (settings.judged_windows or len(validation) or 1)) or 1
    windows = with_moved_labels(validation[::every], pick_shift_s)
    if labelled.issuperset(PHASES):
        return windows
    unlabelled = [i for i, phase in enumerate(PHASES) if phase not in labelled]
    return [replace(window, known=_without(unlabelled, window.known)) for window in windows]


def _without(phases: Sequence[int], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    known = known.copy()
    known[:, phases] = False
    return known


def judged(
    model: torch.nn.Module, windows: Sequence[Window], edge_limit_km: float, settings: TrainingSettings
) -> tuple[float, float, float, float]:
    """Loss, F1 of P and of S at 0.5 s, and mean F1 at 0.1 s, with the best thresholds on these windows.

    Without windows the loss is NaN: the epochs cannot be told apart.
    """
    if not windows:
        return math.nan, 0.0, 0.0, 0.0
    probabilities = window_probabilities(model, windows, edge_limit_km, may_diverge=True)
    found = Predictions(windows, probabilities)
    scores = score_at_thresholds_of(found, found, spare_picks=0)
    loss = cross_entropy(windows, probabilities, settings.positive_weight)
    return loss, scores.phase("P", 0.5).f1, scores.phase("S", 0.5).f1, scores.mean_f1(0.1)
