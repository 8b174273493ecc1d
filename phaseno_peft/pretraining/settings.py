"""How a pre-training runs: batches, mixture, schedule, judging."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from phaseno_peft.campaign.labels import HALF_BASE_SAMPLES
from phaseno_peft.contract import EDGE_LIMIT_KM, Preprocessing
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.pretraining.distort import DistortionChances


@dataclass(frozen=True, slots=True)
class StemSettings:
    """How a stem is trained: alone on single stations first, then with the operator."""

    steps: int = 0
    """Of the first stage; 0 leaves it out."""
    batch_stations: int = 64
    """Station-windows a step of the first stage."""
    learning_rate: float = 3e-3
    """Highest of the first stage; it rises over `warmup_steps` and falls as a cosine to zero."""
    label_part: float = 0.2
    """Weight of the labels' loss against that of the teachers' curves."""
    heard_weight: float = 8.0
    """Samples of a window in which a teacher's curve reaches 1 count so much more than those of a silent one."""
    rate: float = 0.1
    """Learning rate of the stem against the operator's in the second stage; 0 freezes it."""

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch_stations < 1 or not self.learning_rate > 0:
            raise PhasenoPeftError(
                f"stem: `steps` {self.steps} should be at least 0, `batch_stations` {self.batch_stations} at least 1, "
                f"`learning_rate` {self.learning_rate} above 0."
            )
        if min(self.label_part, self.heard_weight, self.rate) < 0:
            raise PhasenoPeftError(
                f"stem: `label_part` {self.label_part}, `heard_weight` {self.heard_weight} and `rate` {self.rate} "
                "should not be negative."
            )


@dataclass(frozen=True, slots=True)
class PretrainingSettings:
    """Everything a run keeps to from its first batch to its last. The defaults suit two cores."""

    batch_stations: int = 12
    """Station-windows a step; some 200 on a GPU."""
    labelled: float = 0.28
    archives: float = 0.12
    """Parts of the station-windows that come from labelled records and from archives, where there are any; the rest is
    simulated."""
    noise: float = 0.05
    """Part of all windows that are event-free records, where some are given."""
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
    edge_limit_km: float = EDGE_LIMIT_KM
    widest_label_s: float = 0.4
    """Base of the label triangle in the first step; it shrinks to 0.4 s over `narrowing_steps`. 0.4: no change."""
    narrowing_steps: int = 10_000
    judge_every: int = 500
    """Steps between two validations."""
    judged_windows: int = 32
    """Held-out windows of each source."""
    seed: int = 0
    chances: DistortionChances = field(default_factory=DistortionChances)
    stem: StemSettings | None = None
    """None: the backbone is trained as it is, with the stem it may have. Else it gets one where it has none."""

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
        if not 0 <= self.noise < 1:
            raise PhasenoPeftError(f"`noise` should be a part below 1 but is {self.noise}.")
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
