"""From a campaign to an adapter: split, judge the frozen backbone, train, judge the adapter, write everything down."""

from __future__ import annotations

import dataclasses
import logging
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import EMBEDDED, fingerprint, load_backbone
from phaseno_peft.campaign import (
    Campaign,
    Split,
    Stretch,
    Window,
    WindowSampler,
    fixed_windows,
    measure_label_offset,
    split_campaign,
    suggest_convention,
)
from phaseno_peft.contract import PHASES, BackboneDefaults, Contract, LabelConvention, LabelOffset, Provenance
from phaseno_peft.cr_lora import CRLoraSettings
from phaseno_peft.errors import AdapterError
from phaseno_peft.evaluation import (
    Evaluation,
    Scores,
    calibrate_uncertainty,
    choose_thresholds,
    comparison_markdown,
    f1_gain,
    pick_window,
    score,
    write_evaluation,
)
from phaseno_peft.evaluation.figures import f1_against_tolerance, residual_histograms, score_bars, training_curves
from phaseno_peft.evaluation.judge import validation_windows
from phaseno_peft.evaluation.sections import record_section
from phaseno_peft.library import check_name, library_folder, write_adapter
from phaseno_peft.library.card import write_card
from phaseno_peft.library.store import EVALUATION, refuse_existing
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training.loop import Epoch, TrainingSettings, train

log = logging.getLogger(__name__)
LabelSource = Literal["analyst", "automatic", "simulated", "unknown"]
Probabilities = list[NDArray[np.float32]]


@dataclass(frozen=True)
class TrainedAdapter:
    """What `train_adapter` made and how it fares on events it never saw."""

    name: str
    folder: Path
    contract: Contract
    scores: dict[str, Scores]
    """"frozen", "frozen, offset removed" and "adapter", on the same held-out windows."""
    history: list[Epoch]
    n_trainable: int
    seconds: float
    peak_memory_bytes: int
    section_window: str
    """Name of the held-out window drawn in `figures/record_section.png`."""


def train_adapter(
    name: str,
    campaign: Campaign,
    *,
    folder: str | Path | None = None,
    backbone: str | Path = EMBEDDED,
    settings: CRLoraSettings | None = None,
    training: TrainingSettings | None = None,
    label_source: LabelSource = "unknown",
    label_convention: LabelConvention | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    overwrite: bool = False,
    on_stage: Callable[[str], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> TrainedAdapter:
    """Train an adapter for a campaign and write it to `folder`/`name`, by default in the user's library.

    The events are split into training, validation and test without sharing an event or a sample. Thresholds, the best
    epoch and the calibration of uncertainties come from validation; the scores from the test events, where the frozen
    backbone stands beside the adapter with thresholds of its own from the same validation.

    Raises `AdapterError` for a bad or taken name and `CampaignError` for data that cannot be trained on, before
    anything is written.
    """
    started = time.monotonic()
    say = on_stage or log.info
    target = Path(folder or library_folder()).expanduser() / check_name(name)
    refuse_existing(target, overwrite=overwrite)
    settings = settings or CRLoraSettings()
    training = dataclasses.replace(training or TrainingSettings(), seed=seed)

    split = split_campaign(campaign, seed)
    say(split.how)
    offset = measure_label_offset(split.train)
    for phase, found in offset.items():
        if found.median_s is not None:
            say(
                f"catalogue {phase}: picks lie {abs(found.median_s):.3f} s {_side(found.median_s)} the AIC onset "
                f"(n = {found.n})"
            )
    frame, preprocessing = campaign.frame, campaign.preprocessing
    sampler = WindowSampler(split.train, frame, preprocessing, seed)
    validation = validation_windows(split, frame, preprocessing, seed)
    test = fixed_windows(split.test, frame, preprocessing, seed)
    say(
        f"windows: {2 * sampler.n_events} an epoch for training, {len(validation)} for validation, {len(test)} for "
        f"testing ({sum(w.is_noise for w in test)} of them noise)"
    )

    model = load_backbone(backbone, device)
    backbone_fingerprint, backbone_name = fingerprint(model), str(model.name_or_path)
    min_distance_s = BackboneDefaults().min_distance_s
    frozen = _probabilities(model, validation, test, frame.edge_limit_km)
    witness = window_probabilities(model, test[:2], frame.edge_limit_km)  # batched as it will be compared below
    frozen_thresholds = choose_thresholds(validation, frozen[0], min_distance_s=min_distance_s)
    scores = {
        "frozen": score(test, frozen[1], frozen_thresholds, min_distance_s=min_distance_s),
        "frozen, offset removed": _score_without_offset(validation, test, frozen, frozen_thresholds, min_distance_s),
    }
    say(f"frozen backbone on the test windows: mean F1 {scores['frozen'].mean_f1(0.5):.3f} at 0.5 s")

    say("training: the first steps load PEFT, which takes some seconds")
    adapted = _adapt(model, settings)
    history, kept = train(adapted, sampler, validation, frame.edge_limit_km, training, on_epoch, on_step)
    say(f"epoch {kept} is kept")
    adapter = _probabilities(adapted, validation, test, frame.edge_limit_km)
    thresholds = choose_thresholds(validation, adapter[0], min_distance_s=min_distance_s)
    scores["adapter"] = score(test, adapter[1], thresholds, min_distance_s=min_distance_s)
    _check_backbone_untouched(adapted, backbone_fingerprint, test[:2], witness, frame.edge_limit_km)

    n_trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    contract = Contract(
        backbone_name=backbone_name,
        backbone_fingerprint=backbone_fingerprint,
        preprocessing=preprocessing,
        frame=frame,
        label_convention=label_convention or _convention(offset),
        label_offset=offset,
        thresholds=thresholds,
        min_distance_s=min_distance_s,
        uncertainty_factor=calibrate_uncertainty(validation, adapter[0], thresholds, min_distance_s=min_distance_s),
        provenance=_provenance(campaign, split, sampler, label_source, seed),
        versions=_versions(),
    )
    seconds = time.monotonic() - started
    section = _window_to_show(test)
    with tempfile.TemporaryDirectory() as scratch:
        files = _figures(
            Path(scratch), history, kept, scores, section, test, frozen[1], adapter[1], frozen_thresholds, thresholds
        )
        about = {
            "adapter": name,
            "campaign": campaign.name,
            "side": "test",
            "seed": seed,
            "backbone_fingerprint": backbone_fingerprint,
            "epoch_kept": kept,
            "history": [dataclasses.asdict(epoch) for epoch in history],
            "training": dataclasses.asdict(training),
            "n_trainable": n_trainable,
            "seconds": round(seconds, 1),
            "findings": [f"{finding.severity}: {finding.text}" for finding in campaign.findings],
        }
        write_evaluation(Path(scratch) / EVALUATION, Evaluation(scores, about))
        captions = {
            "A held-out event: catalogue, frozen backbone and adapter": "figures/record_section.png",
            "Scores on the held-out windows": "figures/scores.png",
            "Residuals on the held-out windows": "figures/residuals.png",
            "Training": "figures/training.png",
        }
        card = write_card(
            name,
            settings,
            contract,
            {"Scores on held-out events": comparison_markdown(scores)},
            captions,
            _notes(campaign, scores, kept),
        )
        files[EVALUATION] = Path(scratch) / EVALUATION
        write_adapter(target, settings, contract, _tensors(adapted), card, files, overwrite=overwrite)
    return TrainedAdapter(
        name, target, contract, scores, history, n_trainable, seconds, peak_memory_bytes(), section.name
    )


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes


def _adapt(model: torch.nn.Module, settings: CRLoraSettings) -> torch.nn.Module:
    from peft import get_peft_model

    from phaseno_peft.cr_lora import CRLoraConfig

    adapted: torch.nn.Module = get_peft_model(model, CRLoraConfig(**dataclasses.asdict(settings)))
    return adapted


def _tensors(adapted: torch.nn.Module) -> dict[str, torch.Tensor]:
    from peft import get_peft_model_state_dict

    tensors: dict[str, torch.Tensor] = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    return tensors


def _probabilities(
    model: torch.nn.Module, validation: Sequence[Window], test: Sequence[Window], edge_limit_km: float
) -> tuple[Probabilities, Probabilities]:
    return window_probabilities(model, validation, edge_limit_km), window_probabilities(model, test, edge_limit_km)


def _score_without_offset(
    validation: Sequence[Window],
    test: Sequence[Window],
    frozen: tuple[Probabilities, Probabilities],
    thresholds: Mapping[str, float],
    min_distance_s: float,
) -> Scores:
    """The frozen backbone with its median residual of the validation events taken off: the cheapest rival there is."""
    before = score(validation, frozen[0], thresholds, min_distance_s=min_distance_s)
    shift_samples = []
    for phase in PHASES:
        median_s = before.phase(phase, 0.5).residual_median_s
        shift_samples.append(median_s * validation[0].rate_hz if np.isfinite(median_s) else 0.0)
    moved = [
        dataclasses.replace(
            window,
            labels=tuple(dataclasses.replace(x, sample=x.sample + shift_samples[x.phase]) for x in window.labels),
        )
        for window in test
    ]
    return score(moved, frozen[1], thresholds, min_distance_s=min_distance_s)


def _check_backbone_untouched(
    adapted: torch.nn.Module,
    wanted: str,
    windows: Sequence[Window],
    frozen: Probabilities,
    edge_limit_km: float,
) -> None:
    """With the adapter off the backbone must be what it was, bit for bit."""
    off = adapted.disable_adapter()  # type: ignore[operator]  # peft's context manager
    with off:
        now = window_probabilities(adapted, windows, edge_limit_km)
    same = all(np.array_equal(a, b) for a, b in zip(now, frozen, strict=True))
    if not same or fingerprint(adapted.get_base_model()) != wanted:  # type: ignore[operator]
        raise AdapterError("training changed the frozen backbone; nothing was written. Please report this as a bug.")


def _convention(offset: Mapping[str, LabelOffset]) -> LabelConvention:
    found = {suggest_convention(o) for o in offset.values() if o.median_s is not None}
    return found.pop() if len(found) == 1 else "unknown"


def _side(offset_s: float) -> str:
    return "before" if offset_s > 0 else "after"


def _provenance(
    campaign: Campaign, split: Split, sampler: WindowSampler, label_source: LabelSource, seed: int
) -> Provenance:
    def events(stretches: Sequence[Stretch]) -> int:
        return len({event for stretch in stretches for event in stretch.event_ids})

    picks = {
        phase: sum(pick.phase == phase and pick.usable for stretch in split.train for pick in stretch.picks)
        for phase in PHASES
    }
    return Provenance(
        campaign=campaign.name,
        label_source=label_source,
        seed=seed,
        train_events=events(split.train),
        validation_events=events(split.validation),
        test_events=events(split.test),
        train_windows=2 * sampler.n_events,
        train_noise_windows=sampler.n_events if sampler.noise_s else 0,
        train_picks=picks,
        split=split.how,
        split_sha256=split.sha256(),
        stations=sorted({station for r in campaign.recordings for station in r.station_ids}),
    )


def _versions() -> dict[str, str]:
    names = ("phaseno-peft", "torch", "peft", "safetensors", "numpy", "scipy", "obspy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _window_to_show(test: Sequence[Window]) -> Window:
    """The held-out window with most labels."""
    return max(test, key=lambda window: len(window.labels))


def _figures(
    folder: Path,
    history: Sequence[Epoch],
    kept: int,
    scores: Mapping[str, Scores],
    section: Window,
    test: Sequence[Window],
    frozen: Probabilities,
    adapter: Probabilities,
    frozen_thresholds: Mapping[str, float],
    thresholds: Mapping[str, float],
) -> dict[str, Path]:
    """Name in the adapter's folder -> file."""
    i = [window.name for window in test].index(section.name)
    paths = {
        "figures/record_section.png": record_section(
            section,
            folder / "record_section.png",
            frozen=pick_window(section, frozen[i], frozen_thresholds),
            adapter=pick_window(section, adapter[i], thresholds),
            frozen_probability=frozen[i],
            adapter_probability=adapter[i],
        ),
        "figures/scores.png": score_bars(scores["frozen"], scores["adapter"], folder / "scores.png"),
        "figures/residuals.png": residual_histograms(scores["frozen"], scores["adapter"], folder / "residuals.png"),
        "figures/tolerance.png": f1_against_tolerance(scores, folder / "tolerance.png"),
    }
    if len(history) > 1:
        curves = [dataclasses.asdict(epoch) for epoch in history]
        paths["figures/training.png"] = training_curves(curves, folder / "training.png", kept=kept)
    return paths


def _notes(campaign: Campaign, scores: Mapping[str, Scores], kept: int) -> list[str]:
    notes = []
    for phase in PHASES:
        gain, low, high = f1_gain(scores["frozen"], scores["adapter"], phase)
        notes.append(
            f"{phase}: F1 at 0.5 s changes by {gain:+.3f} (95 % {low:+.3f} to {high:+.3f}, bootstrap over windows)."
        )
    if kept == 0:
        notes.append("Training never beat the frozen backbone on validation: this adapter is the frozen backbone.")
    events = {e for r in campaign.stretches() for e in r.event_ids}
    if len(events) < 50:
        notes.append(
            f"Only {len(events)} events in all: the intervals above are wide, and one event more can move the scores."
        )
    return notes
