"""The state of a training: what each epoch came to, and everything that the next one depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


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


@dataclass
class TrainingState:
    """Where a training stands between two epochs.

    Random numbers are no part of it: each epoch draws from generators made of the seed and the epoch's number.
    """

    last_epoch: int
    """Where training ends; earlier than planned under a time limit."""
    history: list[Epoch] = field(default_factory=list)
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    """Epoch -> parameters by name, of the epochs that may still be the one to keep."""
    parameters: dict[str, Tensor] = field(default_factory=dict)
    """As they are now."""
    moments: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """Parameter -> AdamW's state by name; parameters that never had a gradient have none."""
    keeps_all: bool = False
    """Keep a snapshot of every epoch, for others to choose among."""

    @property
    def number(self) -> int:
        """Epochs done."""
        return self.history[-1].epoch

    def add(self, epoch: Epoch, parameters: Mapping[str, Tensor]) -> None:
        """Append an epoch and keep its parameters as long as it may be the best one."""
        self.history.append(epoch)
        candidates = [e for e in self.history if e.epoch in self.snapshots or e is epoch]
        front = (
            {e.epoch for e in candidates}
            if self.keeps_all
            else {e.epoch for e in candidates if not any(_is_always_better(other, e) for other in candidates)}
        )
        self.snapshots = {number: kept for number, kept in self.snapshots.items() if number in front}
        if epoch.epoch in front:
            self.snapshots[epoch.epoch] = {name: p.detach().clone() for name, p in parameters.items()}


def best_epoch(history: Sequence[Epoch], one_pick: float) -> int:
    """The epoch to keep: the best validation score, where scores closer than one pick are told apart by the loss."""
    sound = [epoch for epoch in history if math.isfinite(epoch.validation_loss)]
    highest = max(epoch.validation_score for epoch in sound)
    good = [epoch for epoch in sound if epoch.validation_score >= highest - one_pick]
    return min(good, key=lambda epoch: epoch.validation_loss).epoch


def _is_always_better(a: Epoch, b: Epoch) -> bool:
    """True if `best_epoch` can never prefer b while there is a, whatever other epochs come to."""
    if a is b or not math.isfinite(a.validation_loss):
        return False
    if not math.isfinite(b.validation_loss):
        return True
    earlier = a.validation_loss == b.validation_loss and a.epoch < b.epoch
    return a.validation_score >= b.validation_score and (a.validation_loss < b.validation_loss or earlier)


def first_difference(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> str | None:
    """What differs first between two nested mappings of plain JSON types, as "path is 1, was 2"; None if nothing."""
    for key in [*now, *(k for k in before if k not in now)]:
        a, b, here = before.get(key), now.get(key), f"{path}{key}"
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if found := first_difference(a, b, f"{here}."):
                return found
        elif a != b:
            return f"`{here}` is {_short(b)} now and was {_short(a)}"
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:18]}...{text[-19:]}"  # paths often differ at their end
