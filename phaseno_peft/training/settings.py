"""How a training runs: optimiser, schedule, windows, limits."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from phaseno_peft.errors import CampaignError

LEAST_WINDOWS = 32
"""Of an epoch by default: fewer are a handful of steps, and the same event is another window at every shift."""
FULL_RATE_EVENTS = 16
"""From so many training events on the full learning rate; measured at 3, 5, 10 and 24 (docs/results.md, few labels)."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a model is trained; stored with it. Times in seconds, one epoch is `windows_per_epoch` windows.

    The optimiser is AdamW. The defaults are this library's for two cores; `recipes` lists where they leave the paper.
    """

    epochs: int = 15
    windows_per_epoch: int | None = None
    """By default two for each training event, its own at a random shift and one of noise, and `LEAST_WINDOWS`."""
    most_windows: int | None = None
    """At most so many windows an epoch, however many events there are."""
    learning_rate: float = 2e-3
    full_rate_events: int = FULL_RATE_EVENTS
    """With fewer events to train on every learning rate is lowered in proportion, since few are soon learnt by heart.
    0: never."""
    rate_factor: float = 1.0
    """On every learning rate; `for_events` sets it."""
    stem_rate: float = 0.1
    """Learning rate of what an adapter changes of the stem, as part of the operator's (`stem_first` comes before)."""
    weight_decay: float = 1e-3
    schedule: Literal["cosine", "plateau"] = "cosine"
    """cosine: a linear rise, then half a cosine to zero. plateau: halved whenever the validation loss stalls."""
    warmup_share: float = 0.05
    """cosine: part of all steps over which the learning rate rises, before it falls to zero."""
    plateau_epochs: int = 3
    """plateau: epochs without a lower validation loss before the learning rate is halved."""
    stations_per_window: int = 7
    """Windows of larger networks are thinned to this many stations in each step, those with labels first."""
    batch_stations: int = 14
    """Windows are put into one step up to this many stations together; 1 gives every window a step of its own."""
    positive_weight: float = 5.0
    """Weight of label samples against noise samples, upstream's."""
    clip_norm: float = 1.0
    patience: int = 10
    """Epochs without a better validation F1 before training stops."""
    max_minutes: float | None = None
    """Stop after the epoch that passes this; the schedule is shortened to fit once the first epoch is timed."""
    judged_windows: int | None = None
    """Judge each epoch on at most this many of the validation windows, spread evenly; by default on all."""
    replay: float = 0.0
    """Simulated windows of the backbone's own kind that are added to an epoch, 0 to 1 times as many as the campaign's,
    against forgetting."""
    keep_epoch: int | None = None
    """End after this epoch and keep it, whatever validation says: the folds of a cross-fitting chose it."""
    shifts_labels: bool = True
    """Take the constant shift of the labels from the frozen network's picks off before training (`pick_shift`)."""
    keeps_polarity: bool = False
    """Augment without reversing a station (`Augmentation.keeps_polarity`), for labels on peaks or troughs."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.schedule not in ("cosine", "plateau"):
            raise CampaignError(f"`schedule` should be 'cosine' or 'plateau' but is {self.schedule!r}.")
        for name, least in (
            ("epochs", 0),
            ("stem_rate", 0),
            ("full_rate_events", 0),
            ("rate_factor", 0),
            ("replay", 0),
            ("stations_per_window", 1),
            ("batch_stations", 1),
            ("plateau_epochs", 1),
        ):
            if not getattr(self, name) >= least:  # NaN, too
                raise CampaignError(f"`{name}` should be at least {least} but is {getattr(self, name)}.")
        if self.replay > 1:
            raise CampaignError(f"`replay` should be 0 to 1 but is {self.replay}: the campaign is what is learnt.")

    def windows(self, n_events: int) -> int:
        """Windows of one epoch of a campaign with so many training events."""
        wanted = self.windows_per_epoch or max(2 * n_events, LEAST_WINDOWS)
        return wanted if self.most_windows is None else min(wanted, self.most_windows)

    def for_events(self, n_events: float) -> TrainingSettings:
        """These settings with the windows of an epoch and the learning rates that so many events get."""
        factor = min(1.0, n_events / self.full_rate_events) if self.full_rate_events else 1.0
        return dataclasses.replace(
            self,
            windows_per_epoch=self.windows(round(n_events)),
            rate_factor=self.rate_factor * factor,
            full_rate_events=0,
        )

    def changed(self, **values: object) -> TrainingSettings:
        """These settings with those of `values` that are not None."""
        given = {name: value for name, value in values.items() if value is not None}
        return dataclasses.replace(self, **given)  # type: ignore[arg-type]  # checked above


QUICK = TrainingSettings(
    epochs=10, most_windows=80, stations_per_window=5, judged_windows=40, max_minutes=3.5, patience=4
)
"""`--quick`: three and a half minutes of training, so that reading, judging and drawing fit into five on two cores."""
QUICK_GAVE_UP = (
    "Trained with --quick: ten passes in three and a half minutes at most, 80 windows a pass, five stations a window "
    "(those with labels first), 40 validation windows to choose the pass. Train without --quick for the adapter you "
    "keep."
)


def cosine(progress: float, warmup: float) -> float:
    """Factor on the learning rate at `progress` [0, 1]: linear rise, then half a cosine down to zero."""
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def plateau(losses: list[float], patience: int) -> float:
    """Factor on the learning rate after these validation losses: halved after each `patience` epochs without a lower
    one (ReduceLROnPlateau; the paper gives neither factor nor patience)."""
    factor, lowest, stalled = 1.0, math.inf, 0
    for loss in losses:
        if loss < lowest:
            lowest, stalled = loss, 0
            continue
        stalled += 1
        if stalled >= patience:
            factor, stalled = factor / 2, 0
    return factor
