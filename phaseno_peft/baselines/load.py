"""Other pickers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from phaseno_peft.baselines.obspy_pickers import ArAicPicker, BaerPicker
from phaseno_peft.baselines.phasenet import PhaseNet
from phaseno_peft.baselines.rival import Rival
from phaseno_peft.baselines.seisbench_models import SeisBenchModel
from phaseno_peft.baselines.sta_lta import StaLta
from phaseno_peft.errors import PhasenoPeftError

CLASSICAL: Mapping[str, Callable[[], Rival]] = {"stalta": StaLta, "baer": BaerPicker, "ar-aic": ArAicPicker}


def load_rivals(names: Sequence[str] | str, phasenet_weights: str | Path | None = None) -> list[Rival]:
    """Return the rivals of these names (or of one text with commas), in order.

    "stalta", "baer" or "ar-aic", classical pickers of obspy; "phasenet"; or "CLASS:WEIGHTS", a SeisBench model and its
    pretrained weights, such as "EQTransformer:instance", or a safetensors file of them. `phasenet_weights`: the file of
    the original PhaseNet's weights (safetensors), or the name of pretrained PhaseNet weights that SeisBench knows;
    "original" where None. Raises `PhasenoPeftError` for an unknown or repeated name, SeisBench not installed, and
    weights that are not there or do not fit.
    """
    listed = names.split(",") if isinstance(names, str) else list(names)
    cleaned = [name.strip() for name in listed if name.strip()]
    if not cleaned:
        raise PhasenoPeftError(
            f"no rival is named in {names!r}. Give stalta, baer, ar-aic, phasenet or CLASS:WEIGHTS of SeisBench."
        )
    twice = [name for i, name in enumerate(cleaned) if name in cleaned[:i]]
    if twice:
        raise PhasenoPeftError(f"rival {twice[0]!r} is named twice. Name each once.")
    if phasenet_weights is not None and "phasenet" not in cleaned:
        raise PhasenoPeftError(
            f"PhaseNet weights {str(phasenet_weights)!r} are given, but the rival phasenet is not among "
            f"{', '.join(cleaned)}. Add it, or leave the weights out."
        )
    return [load_rival(name, phasenet_weights) for name in cleaned]


def load_rival(name: str, phasenet_weights: str | Path | None = None) -> Rival:
    """Return the rival of one name; see `load_rivals`."""
    if name in CLASSICAL:
        return CLASSICAL[name]()
    if name == "phasenet":
        weights = "original" if phasenet_weights is None else str(phasenet_weights)
        if Path(weights).suffix or "/" in weights:
            return PhaseNet.load(weights)
        return SeisBenchModel.load("PhaseNet", weights, "phasenet")
    model, colon, weights = name.partition(":")
    if not colon or not model or not weights:
        raise PhasenoPeftError(
            f"no rival is called {name!r}. Give stalta, baer, ar-aic, phasenet, or a SeisBench model with its weights, "
            "such as EQTransformer:instance."
        )
    shown = f"{model}:{Path(weights).stem}" if Path(weights).suffix or "/" in weights else name  # no path on a report
    return SeisBenchModel.load(model, weights, shown)
