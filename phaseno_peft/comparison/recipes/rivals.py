"""Other pickers as recipes: as they come, tuned, or with all their weights fine-tuned on the same labels.

A fine-tuned PhaseNet, or another picker of SeisBench, sees the windows, labels, augmentation, loss, schedule and choice
of the epoch that an adapter sees; the constant shift of the labels from its own picks is taken off first, as it is from
the frozen backbone's.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from phaseno_peft.backbone import PhaseNO, Stem
from phaseno_peft.backbone.graph import StationGraph
from phaseno_peft.baselines import load_rival
from phaseno_peft.baselines.phasenet import read_phasenet, weights_digest
from phaseno_peft.baselines.seisbench_models import SeisBenchModel
from phaseno_peft.comparison.recipes.seisbench_logits import SeisBenchLogits
from phaseno_peft.comparison.recipes.tuned_sta_lta import TRIED, tuned_sta_lta
from phaseno_peft.errors import AdapterError
from phaseno_peft.training.recipes import Recipe
from phaseno_peft.training.settings import TrainingSettings

PREFIX = "rival:"
SUFFIX = "-finetuned"
FINE_TUNED = f"phasenet{SUFFIX}"
TUNED = "stalta-tuned"
FINE_TUNING = TrainingSettings(learning_rate=1e-3, full_rate_events=0)
"""As an adapter's but for the rate. Of 3e-4, 1e-3 and 3e-3 none is the best on both campaigns of recordings
(`benchmarks/recipes/stem-first.md`), and with five events a lower one made it worse."""


class SingleStationNetwork(nn.Module):
    """A picker of single stations in PhaseNO's place: it is called alike, and the graph is nothing to it."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.stem = stem

    def forward(self, waveforms: Tensor, graph: StationGraph) -> Tensor:  # noqa: ARG002
        """[station, 3 (E, N, Z), sample] -> logits [station, 2 (P, S), sample]."""
        return self.stem(waveforms)


def rival_recipe(name: str, phasenet_weights: str | Path | None) -> Recipe:
    """The recipe of another picker: as it comes (`baselines.load_rival`), `rival:stalta-tuned`, or fine-tuned.

    Fine-tuned are `rival:phasenet-finetuned` and `rival:CLASS-finetuned:WEIGHTS` of SeisBench.

    Raises `AdapterError` where the first has no file of weights to start from, and `PhasenoPeftError` for pickers that
    are not there.
    """
    which = name.removeprefix(PREFIX)
    kind, _, of_seisbench = which.partition(":")
    if kind.endswith(SUFFIX) and of_seisbench:
        return _fine_tuned_of_seisbench(name, kind.removesuffix(SUFFIX), of_seisbench)
    if which == TUNED:
        nothing = f"nothing; the best of {len(TRIED)} settings on the training windows"
        return Recipe(
            name,
            nothing,
            "",
            _no_model,
            makes="picker",
            is_trained=False,
            tune=lambda w: tuned_sta_lta(w).probabilities,
        )
    if which != FINE_TUNED:
        rival = load_rival(which, phasenet_weights if which == "phasenet" else None)
        nothing = f"nothing; {rival.name} as it comes, thresholds are chosen on validation"
        return Recipe(
            _without_folder(kind, of_seisbench),
            nothing,
            "",
            _no_model,
            makes="picker",
            asked_as=name,
            origin=_origin(of_seisbench or (str(phasenet_weights or "") if which == "phasenet" else "")),
            is_trained=False,
            probabilities=rival.probabilities,
        )
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


def _fine_tuned_of_seisbench(name: str, kind: str, weights: str) -> Recipe:
    """Any picker of SeisBench with all its weights; a file's digest is part of what a run depends on."""
    SeisBenchLogits(SeisBenchModel.load(kind, weights, name).model, name)  # refuses what cannot be trained, now

    def build(backbone: PhaseNO) -> nn.Module:
        model = SeisBenchModel.load(kind, weights, name).model
        return SeisBenchLogits(model, name).requires_grad_(True).to(next(backbone.parameters()).device)

    return Recipe(
        _without_folder(f"{kind}{SUFFIX}", weights),
        f"every weight of {kind} ({Path(weights).name})",
        "SeisBench's, fine-tuned alike",
        build,
        FINE_TUNING,
        makes="picker",
        asked_as=name,
        origin=_origin(weights),
    )


def _without_folder(kind: str, weights: str) -> str:
    """A recipe's name that tells a file but no folder of this machine."""
    return f"{PREFIX}{kind}:{Path(weights).name}" if weights else f"{PREFIX}{kind}"


def _origin(weights: str) -> str:
    """A file's digest, or the name of weights that SeisBench has."""
    return weights_digest(Path(weights)) if Path(weights).is_file() else weights


def _no_model(_: PhaseNO) -> nn.Module:
    raise AdapterError("a picker that is taken as it comes has no model. Please report this as a bug.")


def _weights(name: str, phasenet_weights: str | Path | None) -> Path:
    if phasenet_weights is None or not Path(phasenet_weights).is_file():
        given = "" if phasenet_weights is None else f" ({str(phasenet_weights)!r} is no file)"
        raise AdapterError(
            f"recipe {name!r} starts from a file of PhaseNet's weights{given}. Give one with --phasenet-weights."
        )
    return Path(phasenet_weights)
