"""How a pre-training runs: batches, mixture, schedule, judging."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from phaseno_peft.campaign.labels import HALF_BASE_SAMPLES
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.pretraining.distort import Chances


@dataclass(frozen=True, slots=True)
class PretrainingSettings:
    """Everything a run keeps to from its first batch to its last. The defaults suit two cores."""

    batch_stations: int = 12
    """Station-windows a step; some 200 on a GPU."""
    labelled: float = 0.28
    archives: float = 0.12
    """Parts of the station-windows that come from labelled records and from archives, where there are any; the rest is
    simulated."""
    most_stations: int = 9
    """Networks have one to so many stations."""
    alone: float = 0.45
    """Part of the simulated windows that hold one station only; the larger, the rarer."""
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    full_rate_seen: int = 200_000
    """After so many station-windows the learning rate falls as the square root of the number seen, so that a run can
    always be continued."""
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    positive_weight: float = 5.0
    """Weight of label samples against noise samples, upstream's."""
    average_decay: float = 0.999
    """Of the exponential moving average of the weights; lower in the first steps."""
    edge_limit_km: float = 30.0
    widest_label_s: float = 0.4
    """Base of the label triangle in the first step; it shrinks to 0.4 s over `narrowing_steps`. 0.4: no change."""
    narrowing_steps: int = 10_000
    judge_every: int = 500
    """Steps between two validations."""
    judged_windows: int = 32
    """Held-out windows of each source."""
    seed: int = 0
    chances: Chances = field(default_factory=Chances)

    def __post_init__(self) -> None:
        for name, least in (
            ("batch_stations", 1),
            ("most_stations", 1),
            ("judge_every", 1),
            ("judged_windows", 1),
            ("narrowing_steps", 1),
            ("warmup_steps", 1),
        ):
            if getattr(self, name) < least:
                raise PhasenoPeftError(f"`{name}` should be at least {least} but is {getattr(self, name)}.")
        if not (self.labelled >= 0 and self.archives >= 0 and self.labelled + self.archives <= 1):
            raise PhasenoPeftError(
                f"`labelled` {self.labelled} and `archives` {self.archives} should be parts whose sum is at most 1."
            )
        if not self.learning_rate > 0 or self.widest_label_s < 0.4:
            raise PhasenoPeftError(
                f"`learning_rate` {self.learning_rate} should be above 0 and `widest_label_s` {self.widest_label_s} "
                "at least 0.4."
            )

    def rate(self, step: int, seen: int) -> float:
        """Learning rate of a step (from 0) before which so many station-windows were seen; a cooldown multiplies it."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        return self.learning_rate * rise * min(1.0, math.sqrt(self.full_rate_seen / (seen + 1)))

    def decay(self, step: int) -> float:
        """Decay of the moving average after a step (from 1)."""
        return min(self.average_decay, (1 + step) / (10 + step))

    def half_base_samples(self, step: int) -> float:
        """Half the base of the label triangles of a step, in samples; geometric from wide to 0.4 s."""
        widest = self.widest_label_s / 2 * Preprocessing().network_rate_hz
        return float(widest * (HALF_BASE_SAMPLES / widest) ** min(1.0, step / self.narrowing_steps))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types only."""
        return dataclasses.asdict(self)
