"""Who picks a campaign that nobody has picked: a PhaseNO backbone, an adapter on it, or a rival."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from phaseno_peft.backbone import EMBEDDED
from phaseno_peft.baselines import Rival, load_rivals
from phaseno_peft.campaign import Recording, StationTable
from phaseno_peft.contract import BackboneDefaults, Preprocessing
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picking.inference import merge_windows, sliding_windows
from phaseno_peft.picking.picker import TAPER_S, Annotation, Picker, load_adapter, picks_of
from phaseno_peft.picks import PickList

Progress = Callable[[int, int], None]


class Teacher(Protocol):
    """Anything that picks a prepared record."""

    @property
    def name(self) -> str:
        """Goes into the method id of every pick."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How records are prepared for it."""

    def picks(self, recording: Recording, progress: Progress | None = None) -> PickList:
        """Picks of one record, in time order."""


@dataclass(frozen=True)
class PickerTeacher:
    """A backbone, frozen or with its active adapter, on the whole network."""

    picker: Picker
    thresholds: dict[str, float]
    """Phase -> threshold that replaces the picker's own."""

    @property
    def name(self) -> str:
        """As `phaseno-peft pick` calls it."""
        return self.picker.active_adapter or f"frozen {self.picker.backbone_name}"

    @property
    def preprocessing(self) -> Preprocessing:
        """The adapter's, or the default."""
        contract = self.picker.contract()
        return contract.preprocessing if contract else Preprocessing()

    def picks(self, recording: Recording, progress: Progress | None = None) -> PickList:
        """See `Teacher`."""
        annotation = self.picker.annotate_recording(recording, progress=progress)
        given = {f"{phase}_threshold": value for phase, value in self.thresholds.items()}
        return self.picker.picks(annotation, **given)


@dataclass(frozen=True)
class RivalTeacher:
    """A rival on the windows the backbone would get."""

    rival: Rival
    thresholds: dict[str, float]

    @property
    def name(self) -> str:
        """The rival's row in a table."""
        return self.rival.name

    @property
    def preprocessing(self) -> Preprocessing:
        """The default."""
        return Preprocessing()

    def picks(self, recording: Recording, progress: Progress | None = None) -> PickList:
        """See `Teacher`."""
        preprocessing, defaults = self.preprocessing, BackboneDefaults()
        pairs = sliding_windows(recording, StationTable(recording.stations).frame(), preprocessing)
        found = []
        for done, (_, window) in enumerate(pairs, start=1):
            found += self.rival.probabilities([window])
            if progress is not None:
                progress(done, len(pairs))
        taper = round(TAPER_S * preprocessing.network_rate_hz)
        annotation = Annotation(recording, merge_windows(recording, pairs, found, "mean", taper))
        distance = round(defaults.min_distance_s * preprocessing.network_rate_hz)
        thresholds = {**self.rival.thresholds, **self.thresholds}
        return picks_of(annotation, thresholds, distance, defaults.uncertainty_factor, self.name)


def load_teacher(
    name: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    phasenet_weights: str | Path | None = None,
    P_threshold: float | None = None,
    S_threshold: float | None = None,
) -> Teacher:
    """Return the teacher of this name: a rival (stalta, phasenet, CLASS:WEIGHTS of SeisBench), else a backbone.

    Without a name the embedded backbone. `adapter` goes onto a backbone. Thresholds replace the teacher's own. Raises
    `PhasenoPeftError` (a child of it) for names that are not there or do not go together.
    """
    thresholds = {k: v for k, v in (("P", P_threshold), ("S", S_threshold)) if v is not None}
    is_rival = isinstance(name, str) and (name in ("stalta", "phasenet") or (":" in name and not Path(name).exists()))
    if is_rival and adapter is not None:
        raise PhasenoPeftError(
            f"adapter {str(adapter)!r} goes onto a PhaseNO backbone, not onto {name}. Leave one of the two out."
        )
    if is_rival:
        return RivalTeacher(load_rivals([str(name)], phasenet_weights)[0], thresholds)
    if phasenet_weights is not None:
        raise PhasenoPeftError(
            f"PhaseNet weights {str(phasenet_weights)!r} are given, but the teacher is {str(name or EMBEDDED)!r}. "
            "Give the teacher phasenet, or leave the weights out."
        )
    picker = Picker.load(name or EMBEDDED) if adapter is None else load_adapter(adapter, backbone=name)
    return PickerTeacher(picker, thresholds)
