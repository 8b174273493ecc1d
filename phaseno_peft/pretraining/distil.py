"""The first stage of a pre-training with a stem: the stem alone, on single stations, after teachers and labels.

Teachers are single-station pickers with PhaseNet's layers, read into stems of their own; their curves are the target
(Hinton et al. 2015), computed anew for every batch, so that noise, mixtures and cuts never repeat. Labels are followed
besides: analysts', and the simulator's exact ones. The weights that result are ours; the teachers' are nowhere in them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phaseno_peft.backbone import PhaseNO, Stem, StemConfig, from_phasenet
from phaseno_peft.backbone.weights import read_tensors
from phaseno_peft.campaign import Window
from phaseno_peft.contract import PHASES
from phaseno_peft.errors import BackboneError, PhasenoPeftError
from phaseno_peft.pretraining.batches import Batch
from phaseno_peft.pretraining.checkpoint import Progress
from phaseno_peft.pretraining.loop import BETAS, MOST_BAD_STEPS, Trainee, judged, parameter_groups
from phaseno_peft.pretraining.settings import PretrainingSettings, StemSettings
from phaseno_peft.training.loop import masked_loss, seeded

OPEN_SKIP = 0.5
"""Factor on a new stem's logits when the operator joins in; it settles near 0.4."""
OPEN_FOCUS = 1.0
"""Part of the time that is the stem's, from the start; the loss hardly depends on it, so that it stays."""
REACH_SAMPLES = 40
"""Of a new stem: the operator's peaks lie within 0.4 s of the stem's."""
OPEN_COLUMNS = 0.3
"""Deviation of the columns of fc0 that read a new stem's curves, of the size of the others."""
ROWS_PER_JUDGEMENT = 10


@dataclass(frozen=True)
class StemTeacher:
    """A single-station picker that a stem learns from."""

    name: str
    """File and the first digits of its SHA-256, for the card."""
    stem: Stem
    window_samples: int
    """What it was trained on: 3000 or 3001, which its padding depends on."""
    phases: str = "PS"
    """Those it is asked for."""

    @classmethod
    def read(cls, text: str) -> StemTeacher:
        """From FILE or FILE=PHASES; the file is a safetensors with PhaseNet's names and its `model_args`.

        Raises `BackboneError` for a file that is none, and for phases that are not P, S or PS.
        """
        file, _, phases = text.partition("=")
        path = Path(file)
        if phases not in ("", "P", "S", "PS"):
            raise BackboneError(f"stem teacher {text!r}: should be FILE, FILE=P or FILE=S.")
        tensors = read_tensors(path)
        arguments = _metadata(path)
        stem = from_phasenet(
            tensors, str(arguments.get("phases", "")), str(arguments.get("component_order", "")), str(path)
        )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        return cls(f"{path.stem} ({digest})", stem, int(arguments.get("window_samples", 3001)), phases or "PS")

    @torch.no_grad()
    def curves(self, waveforms: Tensor) -> Tensor:
        """Probabilities [station, 2 (P, S), samples] of windows [station, 3, samples]."""
        surplus = max(0, self.window_samples - waveforms.shape[-1])
        heard = self.stem(F.pad(waveforms, (0, surplus), mode="replicate") if surplus else waveforms)
        return torch.sigmoid(heard[..., : waveforms.shape[-1]])


def _metadata(path: Path) -> dict[str, Any]:
    """What a file says of the model it is of."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        raw = file.metadata() or {}
    try:
        found = json.loads(raw.get("model_args", "{}"))
        if {"phases", "component_order"} <= set(found):
            return dict(found)
    except (ValueError, TypeError):
        pass
    raise BackboneError(
        f"{path}: its metadata has no `model_args` with `phases` and `component_order`, so nobody knows what its "
        "channels are. Give a file that says so."
    )


def with_stem(model: PhaseNO, seed: int) -> PhaseNO:
    """The same network with a fresh stem, which changes nothing yet."""
    with seeded(seed):
        made = PhaseNO(dataclasses.replace(model.phaseno_config, stem=StemConfig(reach_samples=REACH_SAMPLES)))
    state = made.state_dict()
    state |= {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state["fc0.weight"][:, 3:5] = 0
    made.load_state_dict(state)
    made.name_or_path = model.name_or_path
    return made.to(next(model.parameters()).device).eval().requires_grad_(False)


def open_stem(model: PhaseNO, seed: int) -> None:
    """Let the operator hear a stem it does not hear yet: both its columns of fc0 and its factors are zero."""
    with torch.no_grad():
        columns = model.fc0.weight[:, 3:5]
        if not bool(columns.any()) and not bool(model.skip.any()):
            drawn = torch.randn(columns.shape, generator=torch.Generator().manual_seed(seed))
            columns.copy_(OPEN_COLUMNS * drawn)
            model.skip.fill_(OPEN_SKIP)
            if model.stem is not None and model.stem.config.reach_samples:
                model.focus.fill_(OPEN_FOCUS)


class StemAlone(nn.Module):
    """A network's stem as a picker by itself, for the judge."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.stem = stem

    def forward(self, waveforms: Tensor, _: object) -> Tensor:
        """Logits of windows, whatever their graph."""
        return self.stem(waveforms)


def stem_trainee(model: PhaseNO, average: PhaseNO, settings: PretrainingSettings) -> Trainee:
    """A trainee of which only the stem learns."""
    average.load_state_dict(model.state_dict())
    average.eval().requires_grad_(False)
    model.train().requires_grad_(False)
    stem = _stem_of(model)
    stem.requires_grad_(True)
    groups = parameter_groups(list(stem.parameters()), settings.weight_decay)
    return Trainee(model, average, torch.optim.AdamW(groups, lr=_settings(settings).learning_rate, betas=BETAS))


def train_stem(
    trainee: Trainee,
    teachers: Sequence[StemTeacher],
    batches: Iterator[Batch],
    held_out: Mapping[str, Sequence[Window]],
    progress: Progress,
    settings: PretrainingSettings,
    *,
    minutes: float | None,
    keep: Callable[[], None] = lambda: None,
    keep_every_s: float = 240.0,
    on_row: Callable[[dict[str, float | int | None]], None] = lambda _: None,
) -> None:
    """Train until the stage's last step, or for so many minutes; `progress` goes along.

    Raises `PhasenoPeftError` if it diverges.
    """
    own, stem = _settings(settings), _stem_of(trainee.model)
    device = next(stem.parameters()).device
    parameters = list(stem.parameters())
    began, used_before = time.monotonic(), progress.stem_seconds
    kept, bad, recent = began, 0, list[float]()
    while progress.stem_step < own.steps:
        if minutes is not None and time.monotonic() - began >= 60 * minutes:
            break
        batch = next(batches)
        rate = stem_rate(own, settings.warmup_steps, progress.stem_step)
        for group in trainee.optimizer.param_groups:
            group["lr"] = rate
        waveforms, targets, known = batch.tensors(device)
        logits = stem(waveforms, learns_statistics=True)
        loss = distillation_loss(logits, taught(teachers, waveforms), own.heard_weight)
        loss = loss + own.label_part * masked_loss(logits, targets, known, settings.positive_weight)
        trainee.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stub
        is_finite = bool(torch.isfinite(torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)))
        bad = 0 if is_finite else bad + 1
        if bad >= MOST_BAD_STEPS:
            raise PhasenoPeftError(
                f"stem, step {progress.stem_step}: {bad} steps in a row gave no finite gradient. Begin anew with "
                "--restart and a lower learning rate of the stem."
            )
        if is_finite:
            trainee.optimizer.step()
            recent.append(float(loss.detach()))
        progress.stem_step += 1
        progress.stem_seen += len(waveforms)
        progress.counts += batch.counts
        progress.stem_seconds = used_before + time.monotonic() - began
        follow(trainee, settings.decay(progress.stem_step))
        is_last = progress.stem_step == own.steps
        if progress.stem_step % max(1, settings.judge_every // ROWS_PER_JUDGEMENT) == 0 or is_last:
            row: dict[str, float | int | None] = {
                "step": progress.stem_step,
                "seen": progress.stem_seen,
                "minutes": round(progress.stem_seconds / 60, 3),
                "loss": sum(recent) / len(recent) if recent else None,
                "learning_rate": rate,
            }
            if progress.stem_step % settings.judge_every == 0 or is_last:
                row |= judged(StemAlone(_stem_of(trainee.average)), held_out, settings)[0]
            recent = []
            progress.stem_curve.append(row)
            on_row(row)
        if time.monotonic() - kept > keep_every_s:
            keep()
            kept = time.monotonic()
    keep()


def stem_rate(own: StemSettings, warmup_steps: int, step: int) -> float:
    """Learning rate of a step (from 0) of the stage: a rise, then a cosine to zero."""
    rise = min(1.0, (step + 1) / warmup_steps)
    return own.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / own.steps))


def taught(teachers: Sequence[StemTeacher], waveforms: Tensor) -> Tensor:
    """Mean curves [station, 2 (P, S), samples] of those teachers that are asked for a phase."""
    total = torch.zeros(len(waveforms), len(PHASES), waveforms.shape[-1], device=waveforms.device)
    for teacher in teachers:
        curves = teacher.curves(waveforms)
        for row, phase in enumerate(PHASES):
            if phase in teacher.phases:
                total[:, row] += curves[:, row] / sum(phase in other.phases for other in teachers)
    return total


def distillation_loss(logits: Tensor, curves: Tensor, heard_weight: float) -> Tensor:
    """Divergence of sigmoid(logits) from curves [station, 2, samples], windows weighted by how high a curve rises."""
    weight = 1 + heard_weight * curves.amax(2, keepdim=True)
    entropy = -(torch.xlogy(curves, curves) + torch.xlogy(1 - curves, 1 - curves))
    return ((F.binary_cross_entropy_with_logits(logits, curves, reduction="none") - entropy) * weight).mean()


@torch.no_grad()
def follow(trainee: Trainee, decay: float) -> None:
    """Move the average stem, its statistics included, towards the stem."""
    average = _stem_of(trainee.average).state_dict()
    for key, now in _stem_of(trainee.model).state_dict().items():
        average[key].mul_(decay).add_(now, alpha=1 - decay)


def finish(trainee: Trainee, seed: int) -> PhaseNO:
    """The network with the averaged stem, opened for the second stage."""
    _stem_of(trainee.model).load_state_dict(_stem_of(trainee.average).state_dict())
    open_stem(trainee.model, seed)
    return trainee.model


def _stem_of(model: PhaseNO) -> Stem:
    if model.stem is None:
        raise PhasenoPeftError("this backbone has no stem. Begin with --stem-steps.")
    return model.stem


def _settings(settings: PretrainingSettings) -> StemSettings:
    return settings.stem or StemSettings()
