"""The original PhaseNet: the weights of Zhu & Beroza (2019, doi:10.1093/gji/ggy423), in SeisBench's class."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.baselines.rival import Probabilities, living_components
from phaseno_peft.baselines.seisbench_models import seisbench_models
from phaseno_peft.errors import PhasenoPeftError

if TYPE_CHECKING:
    from phaseno_peft.campaign.windows import InputWindow

BATCH_STATIONS = 64


@dataclass(frozen=True)
class PhaseNetOriginal:
    """The original PhaseNet as it was trained: 3000 samples, E N Z, no more than 3/k for missing components."""

    model: Any
    """`seisbench.models.PhaseNet` with its first strided convolution padded as TensorFlow pads 3000 samples."""
    name: str = "PhaseNet original"
    thresholds: Mapping[str, float] = field(default_factory=lambda: {"P": 0.3, "S": 0.3})

    @classmethod
    def load(cls, path: str | Path) -> PhaseNetOriginal:
        """Read a safetensors file with SeisBench's keys. Raises `PhasenoPeftError` for a missing or other file."""
        file = Path(path)
        if not file.is_file():
            raise PhasenoPeftError(
                f"{file}: no such file of PhaseNet weights. Give the safetensors file of the original weights, or the "
                "name of weights SeisBench knows, such as original or instance."
            )
        models = seisbench_models("the rival phasenet")
        import torch
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file

        try:
            with safe_open(str(file), "pt") as opened:
                metadata = opened.metadata() or {}
            arguments = json.loads(metadata.get("model_args", '{"in_channels": 3, "classes": 3, "phases": "NPS"}'))
            model = models.PhaseNet(**arguments)
            model.load_state_dict(load_file(str(file)))
        except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise PhasenoPeftError(
                f"{file}: not the weights of SeisBench's PhaseNet as safetensors ({reason}). Convert them first, or "
                "give the name of weights SeisBench knows."
            ) from error
        if str(arguments.get("phases", "NPS")) != "NPS":
            raise PhasenoPeftError(f"{file}: its classes are {arguments['phases']!r}, not NPS. Give other weights.")
        convolution = model.down_branch[0][
            2
        ]  # TensorFlow's SAME at 3000 samples pads (1, 2); SeisBench, for 3001, (3, 3)
        convolution.padding = (0,)
        convolution.register_forward_pre_hook(lambda _, given: (torch.nn.functional.pad(given[0], (1, 2)),))
        return cls(model.eval())

    def probabilities(self, windows: Sequence[InputWindow]) -> Probabilities:
        """See `Rival`."""
        import torch

        _check_length(windows, self.name, 3000)
        found: Probabilities = []
        for window in windows:
            x = np.stack([phasenet_input(station) for station in window.waveforms])
            with torch.inference_mode():
                batches = torch.split(torch.from_numpy(x), BATCH_STATIONS)
                found.append(torch.cat([self.model(batch) for batch in batches])[:, 1:].numpy())  # of N, P, S
        return found


def phasenet_input(waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Input [3 (E, N, Z), sample] of the original PhaseNet for a station's waveforms of that shape.

    Per component (x - mean) / std (ddof 0), missing components zero, and times 3/k where k components live: what
    predict.py of the PhaseNet repository does in `normalize_long`.
    """
    x = np.zeros(waveforms.shape, np.float64)
    components = living_components(waveforms)
    for component in components:
        trace = waveforms[component].astype(np.float64)
        std = trace.std()
        x[component] = (trace - trace.mean()) / (std if std > 0 else 1.0)
    return np.asarray(x * (3.0 / max(len(components), 1)), np.float32)


def _check_length(windows: Sequence[InputWindow], name: str, samples: int) -> None:
    for window in windows:
        if window.waveforms.shape[-1] != samples:
            raise PhasenoPeftError(
                f"window {window.name} has {window.waveforms.shape[-1]} samples, {name} takes {samples}. "
                "Use windows of 30 s of the network's time."
            )
