"""A campaign parted into events to train on and events to judge on, and lean trainings: shared by three benchmarks.

Not a script: `out_of_fold`, `suggested_labels` and `semi_supervised` say what they measure.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from phaseno_peft.backbone import EMBEDDED, backbone_info, load_backbone
from phaseno_peft.campaign import Campaign, Window, fixed_windows, fold_campaign, with_moved_labels
from phaseno_peft.contract import BackboneDefaults
from phaseno_peft.evaluation import Predictions, Scores, score
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.simulation import simulate_campaign
from phaseno_peft.simulation.presets import find_preset
from phaseno_peft.training import TrainingSettings, find_recipe
from phaseno_peft.training.cross_fit import cross_fit
from phaseno_peft.training.dataset import CampaignDataset, training_events
from phaseno_peft.training.fit import TrainingCallbacks
from phaseno_peft.training.outcome import Outcome, Task
from phaseno_peft.training.unlabelled import PseudoLabelled

MIN_DISTANCE_S = BackboneDefaults().min_distance_s
console = Console(width=150, highlight=False)


@dataclass(frozen=True)
class Lean:
    """How a benchmark trains: as the library does, on fewer windows."""

    epochs: int
    windows: int
    folds: int
    backbone: str = EMBEDDED

    def settings(self, seed: int) -> TrainingSettings:
        """For one training."""
        return TrainingSettings(
            epochs=self.epochs,
            windows_per_epoch=self.windows,
            stations_per_window=4,
            judged_windows=self.windows,
            patience=self.epochs + 1,
            seed=seed,
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that the benchmarks share."""
    parser.add_argument("--preset", default="ohio-frac")
    parser.add_argument("--convention", default=None, help="of the simulated analyst: onset, peak or trough")
    parser.add_argument("--noise", type=float, default=3.0, help="times the preset's; at 1 there is little to learn")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--windows", type=int, default=24, help="of an epoch")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--backbone", default=EMBEDDED)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--work", type=Path, default=None, help="keep the simulated campaign here, or find it here")


def simulated(options: argparse.Namespace, events: int, seed: int = 0) -> Path:
    """The folder of a simulated campaign; kept in `--work` for the next call."""
    preset = find_preset(options.preset)
    factor = options.noise
    noise = dataclasses.replace(
        preset.noise, rms_m_s=factor * preset.noise.rms_m_s, pump_rms_m_s=factor * preset.noise.pump_rms_m_s
    )
    preset = dataclasses.replace(preset, noise=noise)
    name = f"{options.preset}-{options.convention or 'as-preset'}-noise{factor:g}-{events}-{seed}"
    folder = (options.work or Path(tempfile.mkdtemp(prefix="phaseno-peft-"))) / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        simulate_campaign(
            preset, folder, seed=seed, events=events, false_triggers=0, label_convention=options.convention
        )
    return folder


def read(folder: Path) -> Campaign:
    """A campaign's folder."""
    return Campaign.read(folder / "waveforms", folder / "stations.xml", folder / "picks.xml", name=folder.name)


def part(campaign: Campaign, numbers: Sequence[int]) -> Campaign:
    """The campaign with these of its recordings, in time order, and the events that they hold: no others are known."""
    recordings = tuple(campaign.recordings[i] for i in sorted(numbers))
    events = tuple(
        event
        for event in campaign.catalogue.events
        if any(one.start <= pick.time <= one.end for one in recordings for pick in event.picks)
    )
    catalogue = dataclasses.replace(campaign.catalogue, events=events)
    return dataclasses.replace(campaign, recordings=recordings, catalogue=catalogue)


def recordings_with_labels(campaign: Campaign) -> list[int]:
    """Numbers of the recordings that hold a labelled event."""
    return [i for i, stretch in enumerate(campaign.stretches()) if training_events([stretch])]


def windows_of(campaign: Campaign) -> list[Window]:
    """One window an event and one of noise for every other."""
    return fixed_windows(campaign.stretches(), campaign.frame, campaign.preprocessing, 0, 0.5)


def train(campaign: Campaign, lean: Lean, seed: int, beside: PseudoLabelled | None = None) -> Outcome:
    """An adapter cross-fitted on all events of a campaign, and beside pseudo-labels where there are some."""
    folds = fold_campaign(campaign, lean.folds, seed)
    callbacks = TrainingCallbacks(on_stage=lambda _: None)
    with tempfile.TemporaryDirectory() as scratch:
        task = Task(find_recipe("cr-lora"), lean.settings(seed), lean.backbone, "cpu", Path(scratch), callbacks)
        dataset = CampaignDataset(campaign, folds.whole, [], [], seed)
        return cross_fit(task, folds, beside.beside(dataset) if beside else dataset)


def judged(outcome: Outcome, windows: list[Window], edge_limit_km: float) -> Scores:
    """The adapter that ships, on windows of other events, at its thresholds."""
    model = outcome.fitted.model
    labelled = with_moved_labels(windows, outcome.fitted.pick_shift_s)
    found = Predictions(labelled, window_probabilities(model, windows, edge_limit_km))
    return score(*found, outcome.thresholds, min_distance_s=MIN_DISTANCE_S)


def judged_frozen(backbone: str, windows: list[Window], edge_limit_km: float) -> Scores:
    """The frozen backbone at its own thresholds."""
    model = load_backbone(backbone)
    found = Predictions(windows, window_probabilities(model, windows, edge_limit_km))
    return score(*found, backbone_info(backbone).thresholds, min_distance_s=MIN_DISTANCE_S)


def seconds_since(started: float) -> str:
    """Processor seconds, for the record of what a run cost."""
    return f"{time.process_time() - started:.0f} CPU-s"


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    return f"{np.mean(values):+.3f} +- {np.std(values, ddof=1) if len(values) > 1 else float('nan'):.3f}"
