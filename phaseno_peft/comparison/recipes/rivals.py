"""Other pickers as recipes: as they come, and PhaseNet with all its weights fine-tuned on the same labels.

A fine-tuned PhaseNet sees the windows, labels, augmentation, loss, schedule and choice of the epoch that an adapter
sees; the constant shift of the labels from its own picks is taken off first, as it is from the frozen backbone's.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from phaseno_peft.backbone import PhaseNO, Stem
from phaseno_peft.backbone.graph import StationGraph
from phaseno_peft.baselines import load_rival
from phaseno_peft.baselines.phasenet import read_phasenet, weights_digest
from phaseno_peft.errors import AdapterError
from phaseno_peft.training.recipes import Recipe
from phaseno_peft.training.settings import TrainingSettings

PREFIX = "rival:"
FINE_TUNED = "phasenet-finetuned"
FINE_TUNING = TrainingSettings(learning_rate=1e-3)
"""As an adapter's but for the rate. Of 3e-4, 1e-3 and 3e-3 none is the best on both campaigns of recordings
(`benchmarks/recipes/stem-first.md`)."""


class SingleStationNetwork(nn.Module):
    """A picker of single stations in PhaseNO's place: it is called alike, and the graph is nothing to it."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.stem = stem

    def forward(self, waveforms: Tensor, graph: StationGraph) -> Tensor:  # noqa: ARG002
        """[station, 3 (E, N, Z), sample] -> logits [station, 2 (P, S), sample]."""
        return self.stem(waveforms)


def rival_recipe(name: str, phasenet_weights: str | Path | None) -> Recipe:
    """The recipe of `rival:phasenet-finetuned`, or of any other picker as it comes (`baselines.load_rival`).

    Raises `AdapterError` where the first has no file of weights to start from, and `PhasenoPeftError` for pickers that
    are not there.
    """
    which = name.removeprefix(PREFIX)
    if which != FINE_TUNED:
        rival = load_rival(which, phasenet_weights if which == "phasenet" else None)
        nothing = f"nothing; {rival.name} as it comes, thresholds are chosen on validation"
        return Recipe(name, nothing, "", _no_model, makes="picker", is_trained=False, probabilities=rival.probabilities)
    weights = _weights(name, phasenet_weights)

    def build(backbone: PhaseNO) -> nn.Module:
        device = next(backbone.parameters()).device
        return SingleStationNetwork(read_phasenet(weights)).requires_grad_(True).to(device)

    return Recipe(
        name,
        f"every weight of PhaseNet ({weights.name})",
        "Zhu & Beroza 2019, fine-tuned alike",
        build,
        FINE_TUNING,
        makes="picker",
        origin=weights_digest(weights),
    )


def _no_model(_: PhaseNO) -> nn.Module:
    raise AdapterError("a picker that is taken as it comes has no model. Please report this as a bug.")


def _weights(name: str, phasenet_weights: str | Path | None) -> Path:
    if phasenet_weights is None or not Path(phasenet_weights).is_file():
        given = "" if phasenet_weights is None else f" ({str(phasenet_weights)!r} is no file)"
        raise AdapterError(
            f"recipe {name!r} starts from a file of PhaseNet's weights{given}. Give one with --phasenet-weights."
        )
    return Path(phasenet_weights)
