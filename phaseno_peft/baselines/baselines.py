"""Other pickers on the very windows the backbone sees, as probabilities that the same scoring takes.

- `StaLta`: what observatories have run for decades. P triggers of a recursive STA/LTA on the vertical (Withers et al.
  1998, doi:10.1785/BSSA0880010095), S triggers on the horizontals after a P, both moved to the minimum of Akaike's
  criterion (Maeda 1985). obspy's functions.
- `PhaseNetOriginal`: the weights of Zhu & Beroza (2019, doi:10.1093/gji/ggy423), in SeisBench's class.
- `SeisBenchModel`: any other picker of SeisBench, by `annotate`.

SeisBench is GPL-3.0 and an optional extra: nothing here imports it before a rival that needs it is asked for.

All of them get the windows as the backbone gets them: 100 Hz (network time), high-passed, each trace normalised. A
station with one living component carries it in all three slots; here it is taken for what it is, a vertical alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.campaign.labels import triangles
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES
from phaseno_peft.errors import PhasenoPeftError

if TYPE_CHECKING:
    from phaseno_peft.campaign.windows import Window

Probabilities = list[NDArray[np.float32]]
E, N, Z = range(3)
INSTALL = "pip install 'phaseno-peft[rivals]'"
BATCH_STATIONS = 64
SAME_ARRIVAL_S = 0.5
"""A trigger on the vertical this near to an S is that S."""


class Rival(Protocol):
    """A picker that gives the scoring what the backbone gives it."""

    @property
    def name(self) -> str:
        """Its row in a table."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Phase -> probability of a pick, where no validation windows say better."""

    def probabilities(self, windows: Sequence[Window]) -> Probabilities:
        """[window][station, 2 (P, S), sample] between 0 and 1."""


def load_rivals(names: Sequence[str] | str, phasenet_weights: str | Path | None = None) -> list[Rival]:
    """Return the rivals of these names (or of one text with commas), in order.

    "stalta"; "phasenet"; or "CLASS:WEIGHTS", a SeisBench model and its pretrained weights, such as
    "EQTransformer:instance". `phasenet_weights`: the file of the original PhaseNet's weights (safetensors), or the name
    of pretrained PhaseNet weights that SeisBench knows; "original" where None. Raises `PhasenoPeftError` for an unknown
    or repeated name, SeisBench not installed, and weights that are not there or do not fit.
    """
    listed = names.split(",") if isinstance(names, str) else list(names)
    cleaned = [name.strip() for name in listed if name.strip()]
    if not cleaned:
        raise PhasenoPeftError(f"no rival is named in {names!r}. Give stalta, phasenet or CLASS:WEIGHTS of SeisBench.")
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
    if name == "stalta":
        return StaLta()
    if name == "phasenet":
        weights = "original" if phasenet_weights is None else str(phasenet_weights)
        if Path(weights).suffix or "/" in weights:
            return PhaseNetOriginal.load(weights)
        return SeisBenchModel.load("PhaseNet", weights, "phasenet")
    model, colon, weights = name.partition(":")
    if not colon or not model or not weights:
        raise PhasenoPeftError(
            f"no rival is called {name!r}. Give stalta, phasenet, or a SeisBench model with its weights, "
            "such as EQTransformer:instance."
        )
    return SeisBenchModel.load(model, weights, name)


@dataclass(frozen=True)
class StaLta:
    """STA/LTA triggers with AIC onsets. All times are the network's.

    A pick is a triangle as in the training targets, as high as ratio / (ratio + 4): 0.5 is a ratio of 4.
    """

    name: str = "STA/LTA + AIC"
    thresholds: Mapping[str, float] = field(default_factory=lambda: {"P": 0.5, "S": 0.33})
    """Ratios 4 and 2. S rises out of the coda of P, so that its ratios are smaller."""
    sta_s: float = 0.3
    lta_s: Mapping[str, float] = field(default_factory=lambda: {"P": 5.0, "S": 2.0})
    on_ratio: float = 1.5
    """Lowest ratio of a trigger; lower thresholds change nothing."""
    off_ratio: float = 1.0
    aic_lead_s: float = 1.0
    """The onset is sought from this long before the ratio has reached half of its peak, to the peak."""
    s_after_p_s: float = 0.2
    longest_sp_s: float = 15.0
    half_ratio: float = 4.0

    def probabilities(self, windows: Sequence[Window]) -> Probabilities:
        """See `Rival`."""
        return [np.stack([self._station(x) for x in window.waveforms]) for window in windows]

    def _station(self, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
        """Curves [2, sample] of one station's waveforms [3, sample]."""
        components = _components(waveforms)
        vertical = _filled(waveforms[Z if Z in components else max(components, default=Z)])
        horizontals = [_filled(waveforms[c]) for c in (E, N) if c in components] or [vertical]
        level = np.sqrt(sum(np.square(x) for x in horizontals))
        ratio_s = self._ratio(level, "S")
        arrivals: dict[str, list[tuple[float, float]]] = {phase: [] for phase in PHASES}
        waiting = [(self._onset(vertical, cross, peak), ratio) for cross, peak, ratio in self._triggers(vertical)]
        while waiting:
            onset, ratio = waiting.pop(0)
            arrivals["P"].append((onset, ratio))
            # A stronger trigger is the next event's P; a weaker one may be this event's S on the vertical.
            stronger = [later for later, height in waiting if height >= ratio]
            first = round(onset + self.s_after_p_s * NETWORK_RATE_HZ)
            last = round(min(onset + self.longest_sp_s * NETWORK_RATE_HZ, *stronger, len(level) - 1.0))
            for s_onset, s_ratio in self._s_arrival(ratio_s, horizontals, first, last):
                arrivals["S"].append((s_onset, s_ratio))
                near = SAME_ARRIVAL_S * NETWORK_RATE_HZ
                waiting = [(t, height) for t, height in waiting if height >= ratio or abs(t - s_onset) > near]
        curves = np.zeros((len(PHASES), waveforms.shape[-1]), np.float32)
        for number, phase in enumerate(PHASES):
            for onset, ratio in arrivals[phase]:
                height = ratio / (ratio + self.half_ratio)
                np.maximum(curves[number], height * triangles([onset], len(curves[number])), out=curves[number])
        return curves

    def _s_arrival(
        self, ratio: NDArray[np.float64], horizontals: Sequence[NDArray[np.float64]], first: int, last: int
    ) -> list[tuple[float, float]]:
        """The highest trigger with its onset in [first, last), as (onset, ratio); none where there is no such."""
        from scipy.signal import find_peaks

        if last - first < 3:
            return []
        peaks = first + find_peaks(ratio[first:last], height=self.on_ratio)[0]
        for peak in peaks[np.argsort(-ratio[peaks], kind="stable")]:
            onset = min(self._onset(x, _rise(ratio, peak), peak) for x in horizontals)
            if onset >= first:  # else it is still P that makes the ratio high
                return [(onset, float(ratio[peak]))]
        return []

    def _ratio(self, x: NDArray[np.float64], phase: str) -> NDArray[np.float64]:
        """STA/LTA [sample]; the long average starts on the first second, mirrored until it is settled."""
        from obspy.signal.trigger import recursive_sta_lta

        lead = round(self.lta_s[phase] * NETWORK_RATE_HZ)
        second = x[: round(NETWORK_RATE_HZ)]
        quiet = np.resize(np.concatenate([second[::-1], second]), 2 * lead)[::-1]
        padded = np.concatenate([quiet, x])
        if not padded.any():
            return np.zeros(len(x))
        ratio = recursive_sta_lta(padded, round(self.sta_s * NETWORK_RATE_HZ), lead)[2 * lead :]
        return np.nan_to_num(np.asarray(ratio, np.float64), posinf=0.0)

    def _triggers(self, x: NDArray[np.float64]) -> list[tuple[int, int, float]]:
        """(sample where the ratio has risen to half its peak, sample of the peak, peak) of each P trigger, by time."""
        from obspy.signal.trigger import trigger_onset

        ratio = self._ratio(x, "P")
        found = []
        for on, off in trigger_onset(ratio, self.on_ratio, self.off_ratio):
            peak = int(on) + int(np.argmax(ratio[on : off + 1]))
            found.append((max(_rise(ratio, peak), int(on)), peak, float(ratio[peak])))
        return found

    def _onset(self, x: NDArray[np.float64], cross: int, peak: int) -> float:
        """Minimum of Akaike's criterion around a trigger, in samples; between the last of one part and the next."""
        from obspy.signal.trigger import aic_simple

        first = max(0, cross - round(self.aic_lead_s * NETWORK_RATE_HZ))
        piece = x[first : peak + 2]
        edge = 3
        if len(piece) < 4 * edge or not np.std(piece):
            return float(cross)
        with np.errstate(divide="ignore", invalid="ignore"):
            criterion = aic_simple(piece)
        inner = np.where(np.isfinite(criterion), criterion, np.inf)[edge:-edge]
        # obspy's element k divides after sample k: the change lies half a sample later.
        return first + edge + int(np.argmin(inner)) + 0.5


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
        seisbench_models = _seisbench("the rival phasenet")
        import torch
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file

        try:
            with safe_open(str(file), "pt") as opened:
                metadata = opened.metadata() or {}
            arguments = json.loads(metadata.get("model_args", '{"in_channels": 3, "classes": 3, "phases": "NPS"}'))
            model = seisbench_models.PhaseNet(**arguments)
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

    def probabilities(self, windows: Sequence[Window]) -> Probabilities:
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
    components = _components(waveforms)
    for component in components:
        trace = waveforms[component].astype(np.float64)
        std = trace.std()
        x[component] = (trace - trace.mean()) / (std if std > 0 else 1.0)
    return np.asarray(x * (3.0 / max(len(components), 1)), np.float32)


@dataclass(frozen=True)
class SeisBenchModel:
    """A pretrained picker of SeisBench, used by its own `annotate` on each window."""

    model: Any
    name: str
    thresholds: Mapping[str, float] = field(default_factory=lambda: {"P": 0.3, "S": 0.3})

    @classmethod
    def load(cls, model: str, weights: str, name: str) -> SeisBenchModel:
        """Raise `PhasenoPeftError` for a model or weights that SeisBench does not have or cannot fetch."""
        seisbench_models = _seisbench(f"the rival {name}")
        kind = getattr(seisbench_models, model, None)
        if kind is None or not hasattr(kind, "from_pretrained"):
            raise PhasenoPeftError(
                f"SeisBench has no model {model!r} (rival {name!r}). Give one such as PhaseNet or EQTransformer."
            )
        try:
            loaded = kind.from_pretrained(weights)
        except Exception as error:  # whatever its download, its files and torch raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise PhasenoPeftError(
                f"SeisBench's {model} with weights {weights!r} cannot be loaded ({reason}). Check the name, and that "
                "SeisBench can reach its repository or has the weights in its cache."
            ) from error
        return cls(loaded.eval(), name)

    def probabilities(self, windows: Sequence[Window]) -> Probabilities:
        """See `Rival`. Windows shorter than the model's are padded with zeros on both sides."""
        return [self._window(window) for window in windows]

    def _window(self, window: Window) -> NDArray[np.float32]:
        from obspy import Stream, Trace, UTCDateTime

        n_stations, _, n = window.waveforms.shape
        wanted = int(np.ceil(self.model.in_samples * NETWORK_RATE_HZ / self.model.sampling_rate)) + 1
        before = max(0, -(-(wanted - n) // 2))
        start = UTCDateTime(0)
        stream = Stream()
        for i, waveforms in enumerate(window.waveforms):
            for component in _components(waveforms):
                header = {"network": "XX", "station": f"{i:05d}", "channel": f"HH{'ENZ'[component]}"}
                padded = np.pad(waveforms[component].astype(np.float64), before)
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


def _components(waveforms: NDArray[np.floating]) -> list[int]:
    """Slots (0 E, 1 N, 2 Z) that really live; one trace in all three slots is a vertical."""
    living = [c for c in range(3) if waveforms[c].any()]
    if len(living) == 3 and all(np.array_equal(waveforms[c], waveforms[Z]) for c in (E, N)):
        return [Z]
    return living


def _filled(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """The trace with unrecorded pieces (zeros, 0.2 s and longer) filled by the mirrored second after or before them.

    Else the first sample after a gap would be a trigger.
    """
    y = np.array(x, np.float64)
    zero = np.concatenate([[0], (y == 0).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(zero))
    second = round(NETWORK_RATE_HZ)
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first < 0.2 * NETWORK_RATE_HZ or last - first == len(y):
            continue
        after, before = y[last : last + second], y[max(0, first - second) : first]
        source = after if len(after) >= len(before) else before[::-1]
        tile = np.resize(np.concatenate([source, source[::-1]]), last - first)
        y[first:last] = tile[::-1] if source is after else tile
    return y


def _rise(ratio: NDArray[np.float64], peak: int) -> int:
    """First sample of the last rise through half of the peak's height."""
    below = np.flatnonzero(ratio[: peak + 1] < 0.5 * ratio[peak])
    return int(below[-1]) + 1 if len(below) else 0


def _check_length(windows: Sequence[Window], name: str, samples: int) -> None:
    for window in windows:
        if window.waveforms.shape[-1] != samples:
            raise PhasenoPeftError(
                f"window {window.name} has {window.waveforms.shape[-1]} samples, {name} takes {samples}. "
                "Use windows of 30 s of the network's time."
            )


def _seisbench(what: str) -> Any:
    """`seisbench.models`, imported only now: GPL-3.0, and no part of the core."""
    try:
        import seisbench.models
    except ImportError as error:
        raise PhasenoPeftError(f"{what} needs SeisBench, which is not installed. Install it: {INSTALL}") from error
    return seisbench.models
