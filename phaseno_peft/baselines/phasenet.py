"""PhaseNet (Zhu & Beroza 2019, doi:10.1093/gji/ggy423) from a file of its weights.

Our own stem has PhaseNet's layers and padding, so that published weights compute in it what they computed where they
were trained, without SeisBench.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phaseno_peft.baselines.rival import Probabilities
from phaseno_peft.errors import BackboneError, PhasenoPeftError

if TYPE_CHECKING:
    from phaseno_peft.backbone.stem import Stem
    from phaseno_peft.campaign.windows import InputWindow

SAMPLES = 3000
"""Of the windows that the original weights were trained on."""


@dataclass(frozen=True)
class PhaseNet:
    """PhaseNet on 3000 samples: each trace standardised, times 3/k where k components live."""

    stem: Any
    """`backbone.stem.Stem` with PhaseNet's weights."""
    name: str = "PhaseNet original"
    thresholds: Mapping[str, float] = field(default_factory=lambda: {"P": 0.3, "S": 0.3})

    @classmethod
    def load(cls, path: str | Path) -> PhaseNet:
        """Read a file of weights; see `read_phasenet`."""
        return cls(read_phasenet(path))

    def probabilities(self, windows: Sequence[InputWindow]) -> Probabilities:
        """See `Rival`."""
        import torch

        check_length(windows, self.name)
        with torch.inference_mode():
            return [
                torch.softmax(self.stem.classes(torch.from_numpy(window.waveforms)), 1)[:, 1:].numpy()  # of N, P, S
                for window in windows
            ]


def read_phasenet(path: str | Path) -> Stem:
    """A stem with the weights in a safetensors file, which has PhaseNet's published names for PyTorch.

    The `model_args` in its metadata may say `phases` (NPS where they do not) and `component_order` (ENZ). Raises
    `PhasenoPeftError` for a file that is not there or holds something else.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    from phaseno_peft.backbone.stem import from_phasenet

    file = Path(path)
    if not file.is_file():
        raise PhasenoPeftError(
            f"{file}: no such file of PhaseNet weights. Give the safetensors file of the original weights, or the "
            "name of weights SeisBench knows, such as original or instance."
        )
    try:
        with safe_open(str(file), "pt") as opened:
            metadata = opened.metadata() or {}
        arguments = json.loads(metadata.get("model_args", "{}"))
        phases, order = str(arguments.get("phases", "NPS")), str(arguments.get("component_order", "ENZ"))
        return from_phasenet(load_file(str(file)), phases, order, str(file))
    except BackboneError as error:
        raise PhasenoPeftError(
            f"{str(error).rstrip('.')}. Give the weights as safetensors with PhaseNet's names for PyTorch, or the name "
            "of weights SeisBench knows."
        ) from error
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise PhasenoPeftError(
            f"{file}: not the weights of a PhaseNet as safetensors ({reason}). Convert them first, or give the name of "
            "weights SeisBench knows."
        ) from error


def weights_digest(path: str | Path) -> str:
    """SHA-256 of a file of weights, 16 digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def check_length(windows: Sequence[InputWindow], name: str) -> None:
    """Raise `PhasenoPeftError` for windows that are not as long as those PhaseNet was trained on."""
    for window in windows:
        if window.waveforms.shape[-1] != SAMPLES:
            raise PhasenoPeftError(
                f"window {window.name} has {window.waveforms.shape[-1]} samples, {name} takes {SAMPLES}. "
                "Use windows of 30 s of the network's time."
            )
