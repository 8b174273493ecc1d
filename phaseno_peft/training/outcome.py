"""What is to be trained, and what it came to, however the events were parted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from phaseno_peft.contract import PickUncertainty
from phaseno_peft.evaluation import Scores
from phaseno_peft.evaluation.calibration import Stated
from phaseno_peft.evaluation.judge import JudgedNoise
from phaseno_peft.library.folds import FoldAdapter
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import Fitted, ModelScores, TrainingCallbacks, fit
from phaseno_peft.training.recipes import Recipe
from phaseno_peft.training.settings import TrainingSettings


@dataclass(frozen=True)
class Task:
    """One recipe with its settings, and where its epochs are kept."""

    recipe: Recipe
    training: TrainingSettings
    backbone: str | Path
    device: str | torch.device
    folder: Path
    """Of the checkpoints."""
    callbacks: TrainingCallbacks

    def fit(
        self,
        dataset: CampaignDataset,
        training: TrainingSettings,
        name: str,
        *,
        labels: int | None = None,
        keeps_all: bool = False,
    ) -> Fitted:
        """`fit` with the settings of one training and the name of its checkpoint."""
        return fit(
            self.recipe,
            dataset,
            training,
            labels=labels,
            backbone=self.backbone,
            device=self.device,
            checkpoint=self.folder / f"{name}.safetensors",
            keeps_all=keeps_all,
            callbacks=self.callbacks,
        )


@dataclass(frozen=True)
class Outcome:
    """An adapter with its thresholds, and scores on events that what was scored had not seen."""

    fitted: Fitted
    dataset: CampaignDataset
    """Its test windows are those that are scored."""
    frozen: ModelScores
    without_offset: Scores
    """Of the frozen backbone with its median residual taken off."""
    adapter: ModelScores
    thresholds: Mapping[str, float]
    uncertainty: PickUncertainty
    stated: Stated
    """Intervals of the right picks among those that are scored, by a calibration that did not see their events."""
    fits: Sequence[Fitted]
    """One for each seed of which `fitted` is the best."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """For `evaluation.json`, plain JSON types."""
    sentences: Sequence[str] = ()
    """For the card."""
    further_noise: Mapping[str, JudgedNoise] = field(default_factory=dict)
    """"frozen" and "adapter" on noise beside that of the test windows, in which false picks are counted, too."""
    pick_shifts_s: Sequence[Mapping[str, float]] = ()
    """[test window, then further noise] what its own adapter's picks are moved by; empty: all by `fitted`'s."""
    folds: Sequence[FoldAdapter] = ()
    """What the scores are of, where they are of several."""

    @property
    def n_folds(self) -> int:
        """Folds whose events were predicted; 1 where they could not be parted, 0 where events were set aside."""
        return int(self.about.get("folds", {}).get("folds", 0))

    @property
    def held_out(self) -> Scores:
        """The adapter's scores that may decide: out of fold those of the card, else those of validation."""
        return self.adapter.test if self.n_folds else self.adapter.validation

    @property
    def has_ensemble(self) -> bool:
        """Whether the folds' adapters differ in more than the shift of their picks."""
        return bool(self.folds) and bool(self.about["folds"]["factor"])
