"""An adapter that adapts the stem begins with the stem alone.

The stem hears single stations by convolutions, a few percent of the whole network's cost: what it can learn of a
campaign by itself it learns in a minute, before the operator joins in, which is then trained on what it will hear.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from phaseno_peft.backbone.graph import StationGraph
from phaseno_peft.campaign import WindowSampler
from phaseno_peft.cr_lora.settings import STEM
from phaseno_peft.training.history import TrainingState
from phaseno_peft.training.loop import train
from phaseno_peft.training.settings import TrainingSettings

EPOCHS = 10
PART_OF_TIME = 0.3
"""Of a limit in minutes."""
LEARNING_RATE = {"lora": 3e-3, "last": 3e-3, "full": 1e-3}
"""By what of the stem is adapted."""


class StemAlone(nn.Module):
    """The stem of an adapted network in the network's place: called alike, and the graph is nothing to it."""

    def __init__(self, adapted: nn.Module) -> None:
        super().__init__()
        self.adapted = adapted

    def forward(self, waveforms: Tensor, _: StationGraph) -> Tensor:
        """[station, 3 (E, N, Z), sample] -> logits [station, 2 (P, S), sample]."""
        backbone = self.adapted.get_base_model()  # type: ignore[operator]  # peft's method
        logits: Tensor = backbone.stem(waveforms)
        return logits


def train_stem_alone(
    adapted: nn.Module,
    sampler: WindowSampler,
    edge_limit_km: float,
    settings: TrainingSettings,
    pick_shift_s: Mapping[str, float],
    stem: str,
) -> None:
    """Train what an adapter changes of the stem, on the same windows and labels, for a fixed number of epochs."""
    alone = settings.changed(
        epochs=EPOCHS,
        learning_rate=LEARNING_RATE[stem],
        keep_epoch=EPOCHS,
        max_minutes=None if settings.max_minutes is None else PART_OF_TIME * settings.max_minutes,
    )
    with only_the_stem(adapted):
        state = TrainingState(EPOCHS)
        train(StemAlone(adapted), sampler, [], edge_limit_km, alone, pick_shift_s=pick_shift_s, state=state)


@contextmanager
def only_the_stem(adapted: nn.Module) -> Iterator[None]:
    """Within, of the parameters that are trained those of the stem alone require gradients."""
    others: list[torch.nn.Parameter] = [
        p for name, p in adapted.named_parameters() if p.requires_grad and f".{STEM}" not in name
    ]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
