"""Any picker of SeisBench, by its own `annotate`.

SeisBench is GPL-3.0 and an optional extra: nothing here imports it before a rival that needs it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.baselines.rival import Probabilities, living_components, longer
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES
from phaseno_peft.errors import PhasenoPeftError

if TYPE_CHECKING:
    from phaseno_peft.campaign.windows import InputWindow

INSTALL = "pip install 'phaseno-peft[rivals]'"


@dataclass(frozen=True)
class SeisBenchModel:
    """A pretrained picker of SeisBench, used by its own `annotate` on each window."""

    model: Any
    name: str
    thresholds: Mapping[str, float] = field(default_factory=lambda: {"P": 0.3, "S": 0.3})

    @classmethod
    def load(cls, model: str, weights: str, name: str) -> SeisBenchModel:
        """Raise `PhasenoPeftError` for a model or weights that SeisBench does not have or cannot fetch."""
        models = seisbench_models(f"the rival {name}")
        kind = getattr(models, model, None)
        if kind is None or not hasattr(kind, "from_pretrained"):
            raise PhasenoPeftError(
                f"SeisBench has no model {model!r} (rival {name!r}). Give one such as PhaseNet or EQTransformer."
            )
        try:
            loaded = (
                _from_file(kind, Path(weights)) if weights.endswith(".safetensors") else kind.from_pretrained(weights)
            )
        except Exception as error:  # whatever its download, its files and torch raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise PhasenoPeftError(
                f"SeisBench's {model} with weights {weights!r} cannot be loaded ({reason}). Check the name, and that "
                "SeisBench can reach its repository or has the weights in its cache."
            ) from error
        return cls(loaded.eval(), name)

    def probabilities(self, windows: Sequence[InputWindow]) -> Probabilities:
        """See `Rival`. Windows shorter than the model's are made `longer` on both sides."""
        return [self._window(window) for window in windows]

    def _window(self, window: InputWindow) -> NDArray[np.float32]:
        from obspy import Stream, Trace, UTCDateTime

        n_stations, _, n = window.waveforms.shape
        wanted = int(np.ceil(self.model.in_samples * NETWORK_RATE_HZ / self.model.sampling_rate)) + 1
        before = max(0, -(-(wanted - n) // 2))
        rows = longer(n, before, before)
        start = UTCDateTime(0)
        stream = Stream()
        for i, waveforms in enumerate(window.waveforms):
            for component in living_components(waveforms):
                header = {"network": "XX", "station": f"{i:05d}", "channel": f"HH{'ENZ'[component]}"}
                padded = waveforms[component].astype(np.float64)[rows]
                stream += Trace(padded, {**header, "sampling_rate": NETWORK_RATE_HZ, "starttime": start})
        curves = np.zeros((n_stations, len(PHASES), n), np.float32)
        times = (before + np.arange(n)) / NETWORK_RATE_HZ
        for trace in self.model.annotate(stream):
            phase = trace.stats.channel.rsplit("_", 1)[-1]
            if phase in PHASES:
                lead = trace.stats.starttime - start
                own = lead + np.arange(trace.stats.npts) * trace.stats.delta
                values = np.nan_to_num(np.ma.filled(trace.data.astype(np.float64), 0.0))
                row = curves[int(trace.stats.station), PHASES.index(phase)]
                row[:] = np.clip(np.interp(times, own, values, left=0.0, right=0.0), 0.0, 1.0)
        return curves


def _from_file(kind: Any, path: Path) -> Any:
    """A model of this class with the weights of a safetensors file, whose `model_args` say how it was built."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(str(path), "pt") as opened:
        arguments = json.loads((opened.metadata() or {}).get("model_args", "{}"))
    if "original_compatible" in arguments:  # weights of EQTransformer's authors, who order components so
        arguments.setdefault("component_order", "ENZ")
    model = kind(**arguments)
    model.load_state_dict(load_file(str(path)))
    return model


def seisbench_models(what: str) -> Any:
    """`seisbench.models`, imported only now: GPL-3.0, and no part of the core."""
    try:
        import seisbench.models
    except ImportError as error:
        raise PhasenoPeftError(f"{what} needs SeisBench, which is not installed. Install it: {INSTALL}") from error
    return seisbench.models
