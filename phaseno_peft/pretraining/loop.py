"""The pre-training loop, readable from top to bottom in one place.

AdamW on batches of some station-windows, binary cross-entropy of two independent sigmoids (Sun et al. 2023), a moving
average of the weights that is what is judged and kept, and a learning rate that can go on for ever: warmed up, then the
inverse square root of the windows seen, until a cooldown takes it linearly to zero, which is what sharpens the timing.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from phaseno_peft.backbone import PhaseNO
from phaseno_peft.campaign import Window
from phaseno_peft.contract import PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import Predictions, choose_thresholds, cross_entropy, score_at_thresholds_of
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.pretraining.batches import Batch
from phaseno_peft.pretraining.checkpoint import Progress
from phaseno_peft.pretraining.settings import PretrainingSettings, StemSettings
from phaseno_peft.training.loop import masked_loss

log = logging.getLogger(__name__)

Precision = Literal["float32", "tf32", "bf16"]
ROWS_PER_JUDGEMENT = 10
"""Rows of the learning curve between two validations."""
MOST_BAD_STEPS = 20
"""Steps in a row with a non-finite gradient, after which the run has diverged."""
BETAS = (0.9, 0.98)
DEFAULT_STEM_RATE = StemSettings().rate
BETWEEN = (0.25, 0.5, 0.75)
"""Parts of the way from a run's first weights to its last that are judged at its end."""


@dataclass
class Trainee:
    """The network, its moving average, the best average so far, and the optimiser of what is being trained."""

    model: PhaseNO
    average: PhaseNO
    optimizer: torch.optim.AdamW
    best: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, model: PhaseNO, average: PhaseNO, settings: PretrainingSettings) -> Trainee:
        """Both networks with the same weights, all of them trained, a stem at its part of the learning rate."""
        average.load_state_dict(model.state_dict())
        model.train().requires_grad_(True)
        average.eval().requires_grad_(False)
        groups = parameter_groups(list(model.operator_parameters()), settings.weight_decay)
        if model.stem is not None:
            rate = DEFAULT_STEM_RATE if settings.stem is None else settings.stem.rate
            model.stem.requires_grad_(rate > 0)
            groups += parameter_groups([p for p in model.stem.parameters() if p.requires_grad], 0.0, rate)
        return cls(model, average, torch.optim.AdamW(groups, lr=settings.learning_rate, betas=BETAS))

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """What a checkpoint holds."""
        named = dict(self.model.named_parameters())
        moments = {key: self.optimizer.state[p] for key, p in named.items() if p in self.optimizer.state}
        return {
            "weights": self.model.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best,
            "moment1": {key: state["exp_avg"] for key, state in moments.items()},
            "moment2": {key: state["exp_avg_sq"] for key, state in moments.items()},
        }

    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]], updates: int) -> None:
        """Go back to a checkpoint. Raises `PhasenoPeftError` where its tensors are another network's."""
        try:
            self.model.load_state_dict(dict(tensors["weights"]))
            self.average.load_state_dict(dict(tensors["average"]))
        except RuntimeError as error:
            raise PhasenoPeftError(
                f"the checkpoint holds another network's weights ({str(error).splitlines()[0]}). Give the --init the "
                "run began with, or --restart."
            ) from error
        self.best = dict(tensors.get("best", {}))
        first, second = tensors.get("moment1", {}), tensors.get("moment2", {})
        state = self.optimizer.state_dict()
        names = {id(p): name for name, p in self.model.named_parameters()}
        order = [names[id(p)] for group in self.optimizer.param_groups for p in group["params"]]
        state["state"] = {
            i: {"step": torch.tensor(float(updates)), "exp_avg": first[name], "exp_avg_sq": second[name]}
            for i, name in enumerate(order)
            if name in first
        }
        self.optimizer.load_state_dict(state)


def parameter_groups(
    parameters: Sequence[torch.nn.Parameter], weight_decay: float, part_of_rate: float = 1.0
) -> list[dict[str, Any]]:
    """Groups for AdamW: matrices decay, vectors do not; none is empty."""
    groups: list[dict[str, Any]] = []
    for is_matrix in (True, False):
        chosen = [p for p in parameters if (p.ndim > 1) == is_matrix]
        decay = weight_decay if is_matrix else 0.0
        if chosen:
            groups.append({"params": chosen, "weight_decay": decay, "part_of_rate": part_of_rate})
    return groups


def train(
    trainee: Trainee,
    batches: Iterator[Batch],
    held_out: Mapping[str, Sequence[Window]],
    progress: Progress,
    settings: PretrainingSettings,
    *,
    minutes: float | None,
    steps: int | None,
    cooldown: bool,
    precision: Precision = "float32",
    keep: Callable[[], None] = lambda: None,
    keep_every_s: float = 240.0,
    on_row: Callable[[dict[str, float | int | None]], None] = lambda _: None,
    began_with: Mapping[str, Tensor] | None = None,
) -> None:
    """Train for so many minutes, or until the run has taken so many steps in all; `progress` goes along.

    With ``cooldown`` the learning rate falls linearly to zero over the minutes, or over the steps that are left, and
    the run is finished at the end; a cooldown that was stopped goes on where it was. Then weights between those it
    ``began_with``, if they were trained ones, and the last average are judged too. ``keep`` is called every
    ``keep_every_s`` and at the end. Raises `PhasenoPeftError` if the run diverges.
    """
    model, device = trainee.model, next(trainee.model.parameters()).device
    parameters = list(model.parameters())
    began, used_before = time.monotonic(), progress.seconds
    kept, bad = began, 0
    by_minutes = minutes is not None
    if cooldown and progress.cooldown_total is None:
        progress.cooldown_total = minutes if minutes is not None else float((steps or 0) - progress.step)
        progress.cooldown_unit = "minutes" if by_minutes else "steps"
    elif progress.cooldown_total is not None and (progress.cooldown_unit == "minutes") != by_minutes:
        raise PhasenoPeftError(
            f"the run is in a cooldown of {progress.cooldown_total:g} {progress.cooldown_unit}. Give "
            f"--{progress.cooldown_unit} to end it."
        )
    cooled_before = progress.cooldown_used
    judge_now = progress.best_step is None
    for batch in batches:
        elapsed = (time.monotonic() - began) / 60
        cooling = progress.cooldown_total is not None
        if progress.cooldown_total is not None:
            progress.cooldown_used = cooled_before + elapsed if by_minutes else progress.cooldown_used
            if progress.cooldown_used >= progress.cooldown_total:
                break
        elif (minutes is not None and elapsed >= minutes) or (steps is not None and progress.step >= steps):
            break
        if judge_now:
            _judge(trainee, held_out, progress, settings, on_row)
            judge_now = False
        rate = settings.rate(progress.step, progress.seen)
        if progress.cooldown_total is not None:
            rate *= 1 - progress.cooldown_used / progress.cooldown_total
        for group in trainee.optimizer.param_groups:
            group["lr"] = rate * group["part_of_rate"]
        loss, is_finite = step(trainee, batch, settings, precision, device, parameters)
        progress.step += 1
        progress.seen += len(batch.waveforms)
        progress.counts += batch.counts
        progress.seconds = used_before + time.monotonic() - began
        if cooling and not by_minutes:
            progress.cooldown_used += 1
        bad = 0 if is_finite else bad + 1
        if bad >= MOST_BAD_STEPS:
            raise PhasenoPeftError(
                f"step {progress.step}: {bad} steps in a row gave no finite gradient; the run has diverged. Go on from "
                "the last checkpoint with --restart and --init, and a lower --learning-rate."
            )
        if is_finite:
            progress.updates += 1
            progress.recent.append(loss)
        average(trainee, settings.decay(progress.updates))
        if progress.step % settings.judge_every == 0:
            _judge(trainee, held_out, progress, settings, on_row, rate)
        elif progress.step % max(1, settings.judge_every // ROWS_PER_JUDGEMENT) == 0:
            _row(progress, on_row, rate)
        if time.monotonic() - kept > keep_every_s:
            keep()
            kept = time.monotonic()
    progress.seconds = used_before + time.monotonic() - began
    if not any(row["step"] == progress.step and "score" in row for row in progress.curve[-1:]):
        _judge(trainee, held_out, progress, settings, on_row)
    progress.finished = progress.cooldown_total is not None and progress.cooldown_used >= progress.cooldown_total
    if progress.finished and began_with is not None:
        judge_between(trainee, began_with, held_out, progress, settings)
    keep()


def step(
    trainee: Trainee,
    batch: Batch,
    settings: PretrainingSettings,
    precision: Precision,
    device: torch.device,
    parameters: list[torch.nn.Parameter],
) -> tuple[float, bool]:
    """One step of the optimiser; the loss, and whether its gradient was finite (if not, nothing has changed)."""
    waveforms, targets, known = batch.tensors(device)
    graph = batch.graph().to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = trainee.model(waveforms, graph)
    loss = masked_loss(logits.float(), targets, known, settings.positive_weight)
    trainee.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's stub
    norm = torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
    is_finite = bool(torch.isfinite(norm))
    if is_finite:
        trainee.optimizer.step()
    return float(loss.detach()), is_finite


@torch.no_grad()
def average(trainee: Trainee, decay: float) -> None:
    """Move the average towards the weights."""
    for mean, now in zip(trainee.average.parameters(), trainee.model.parameters(), strict=True):
        mean.mul_(decay).add_(now, alpha=1 - decay)


def judged(
    model: torch.nn.Module, held_out: Mapping[str, Sequence[Window]], settings: PretrainingSettings
) -> tuple[dict[str, float], dict[str, float]]:
    """Validation score, loss and F1 of each source, and the thresholds chosen on all of them together.

    The score is the mean over the sources of the mean F1 of P and S at 0.5 and at 0.1 s, each source with the best
    thresholds on its own windows and of the phases that it has labels of.
    """
    found = {
        name: Predictions(windows, window_probabilities(model, windows, settings.edge_limit_km, may_diverge=True))
        for name, windows in held_out.items()
    }
    row: dict[str, float] = {}
    of_sources, losses = [], []
    for name, own in found.items():
        scores = score_at_thresholds_of(own, own, spare_picks=0)
        labelled = [phase for phase in PHASES if scores.n_labels(phase)]
        row |= {f"{name} {phase} {t:g} s": scores.phase(phase, t).f1 for t in (0.5, 0.1) for phase in labelled}
        of_sources.append((scores.mean_f1(0.5) + scores.mean_f1(0.1)) / 2)
        losses.append(cross_entropy(*own, settings.positive_weight))
    thresholds = choose_thresholds(
        [window for own in found.values() for window in own.windows],
        [probabilities for own in found.values() for probabilities in own.probabilities],
    )
    return {"score": float(np.mean(of_sources)), "validation_loss": float(np.mean(losses)), **row}, thresholds


def _judge(
    trainee: Trainee,
    held_out: Mapping[str, Sequence[Window]],
    progress: Progress,
    settings: PretrainingSettings,
    on_row: Callable[[dict[str, float | int | None]], None],
    rate: float | None = None,
) -> None:
    """Judge the moving average and keep it where it is the best so far."""
    _row(progress, on_row, rate, _keep_if_best(trainee, trainee.average, 1.0, held_out, progress, settings))


@torch.no_grad()
def judge_between(
    trainee: Trainee,
    began_with: Mapping[str, Tensor],
    held_out: Mapping[str, Sequence[Window]],
    progress: Progress,
    settings: PretrainingSettings,
) -> None:
    """Judge weights on the way from those a run began with to its last average, and keep them where they are best.

    Weights that were trained further stay in one valley with those they came from, and what lies between is often
    better than both (Wortsman et al. 2022, arXiv 2109.01903).
    """
    last = trainee.average.state_dict()
    between = copy.deepcopy(trainee.average)
    for part in BETWEEN:
        between.load_state_dict({key: t.to(last[key]).lerp(last[key], part) for key, t in began_with.items()})
        _keep_if_best(trainee, between, part, held_out, progress, settings)


def _keep_if_best(
    trainee: Trainee,
    model: PhaseNO,
    part: float,
    held_out: Mapping[str, Sequence[Window]],
    progress: Progress,
    settings: PretrainingSettings,
) -> dict[str, float]:
    """Judge a network; the best so far is kept, with the part of the way from the first weights at which it lies."""
    verdict, thresholds = judged(model, held_out, settings)
    better = (verdict["score"], -verdict["validation_loss"]) > (progress.best_score, -progress.best_loss)
    if better and math.isfinite(verdict["validation_loss"]):
        progress.best_score, progress.best_loss = verdict["score"], verdict["validation_loss"]
        progress.best_step, progress.best_part, progress.thresholds = progress.step, part, dict(thresholds)
        trainee.best = {key: t.detach().cpu().clone() for key, t in model.state_dict().items()}
    return verdict


def _row(
    progress: Progress,
    on_row: Callable[[dict[str, float | int | None]], None],
    rate: float | None,
    verdict: Mapping[str, float] | None = None,
) -> None:
    row: dict[str, float | int | None] = {
        "step": progress.step,
        "seen": progress.seen,
        "minutes": round(progress.seconds / 60, 3),
        "loss": float(np.mean(progress.recent)) if progress.recent else None,
        "learning_rate": rate,
        **(verdict or {}),
    }
    progress.recent = []
    progress.curve.append(row)
    on_row(row)
