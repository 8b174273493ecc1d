"""A picker with its stations, called as SeisBench's models are called: by programs that know of streams only.

The words are those of `seisbench.models.WaveformModel` (Woollam et al. 2022), so that a program that takes a SeisBench
model (`model.annotate(stream)`, `model.classify(stream).picks`) can take this instead:

    model = NetworkPicker(load_adapter("my-campaign"), "stations.xml")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from phaseno_peft.campaign import StationTable, read_stations
from phaseno_peft.contract import COMPONENTS, PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picking.annotations import Merge
from phaseno_peft.picking.picker import Picker
from phaseno_peft.picks import PickList

if TYPE_CHECKING:
    from obspy import Inventory, Stream

Stacking = Literal["avg", "max"]
_MERGE: dict[str, Merge] = {"avg": "mean", "max": "max"}
PASSED_OVER = ("batch_size", "copy", "parallelism", "strict", "blinding")
"""Options of SeisBench's calls that have no meaning here: windows are batched by stations, streams never altered."""


class NetworkPicker:
    """One network's picker with `annotate`, `classify`, `sampling_rate` and `in_samples`, for SeisBench's callers.

    The adapter in force is the picker's own: switch there, and the next call here follows.
    """

    name = "PhaseNO"
    labels = "".join(PHASES)
    component_order = COMPONENTS

    def __init__(self, picker: Picker, stations: Inventory | StationTable | str | Path) -> None:
        self.picker = picker
        self.stations = read_stations(stations)

    @property
    def sampling_rate(self) -> float:
        """Hz that records are brought to, and the rate of the annotations."""
        return self.picker.preprocessing.rate_hz

    @property
    def in_samples(self) -> int:
        """Samples of one window at `sampling_rate`."""
        return self.picker.preprocessing.window_samples

    @property
    def default_args(self) -> dict[str, Any]:
        """What the calls use unless told otherwise."""
        contract = self.picker.contract()
        thresholds = self.picker.backbone_thresholds if contract is None else contract.thresholds
        return {
            **{f"{phase}_threshold": thresholds[phase] for phase in PHASES},
            "overlap": self.in_samples // 2,
            "stacking": "avg",
        }

    def annotate(
        self, stream: Stream, *, overlap: float | None = None, stacking: Stacking = "avg", **options: Any
    ) -> Stream:
        """Probabilities as a Stream, channels `PhaseNO_P` and `PhaseNO_S`; see `Picker.annotate`.

        overlap: of windows, in samples, or below 1 as a part of the window. Raises `PhasenoPeftError` for an option
        that SeisBench's models do not have either, and `CampaignError` for records and stations that do not fit.
        """
        _check(options, PASSED_OVER)
        curves = self.picker.annotate(
            stream, self.stations, stride_s=self._stride_s(overlap), merge=self._merge(stacking)
        )
        for trace in curves:
            trace.stats.channel = f"{self.name}_{trace.stats.channel}"
        return curves

    def classify(
        self,
        stream: Stream,
        *,
        P_threshold: float | None = None,
        S_threshold: float | None = None,
        overlap: float | None = None,
        stacking: Stacking = "avg",
        **options: Any,
    ) -> PickList:
        """Picks, a list that is its own `picks`; see `Picker.classify`. Options as of `annotate`."""
        _check(options, PASSED_OVER)
        return self.picker.classify(
            stream,
            self.stations,
            P_threshold=P_threshold,
            S_threshold=S_threshold,
            stride_s=self._stride_s(overlap),
            merge=self._merge(stacking),
        )

    def eval(self) -> NetworkPicker:
        """As torch's: a picker always picks."""
        return self

    def to(self, device: Any) -> NetworkPicker:
        """As torch's, where the picker is there already. Raises `PhasenoPeftError` for another device."""
        own = next(self.picker.backbone.parameters()).device
        if str(device) not in (str(own), own.type):
            raise PhasenoPeftError(
                f"the picker is on {own}, not on {device}. Load it there: load_adapter(..., device=)."
            )
        return self

    def _stride_s(self, overlap: float | None) -> float | None:
        if overlap is None:
            return None
        samples = overlap * self.in_samples if 0 < overlap < 1 else overlap
        if not 0 <= samples < self.in_samples:
            raise PhasenoPeftError(
                f"`overlap` should be from 0 to {self.in_samples - 1} samples, or a part below 1, but is {overlap}."
            )
        return (self.in_samples - samples) / self.sampling_rate

    def _merge(self, stacking: str) -> Merge:
        if stacking not in _MERGE:
            raise PhasenoPeftError(f"`stacking` should be one of {', '.join(get_args(Stacking))} but is {stacking!r}.")
        return _MERGE[stacking]


def _check(options: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in options:
        if name not in known:
            raise PhasenoPeftError(
                f"`{name}` is no option here. There are overlap, stacking, P_threshold and S_threshold."
            )
