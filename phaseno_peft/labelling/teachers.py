"""Who picks a campaign that nobody has picked: a PhaseNO backbone, an adapter on it, or a rival."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from phaseno_peft.backbone import EMBEDDED
from phaseno_peft.baselines import Rival, load_rivals
from phaseno_peft.campaign import StationTable
from phaseno_peft.campaign.run import Run
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picking.annotations import Annotation, Progress, annotate_run, with_progress
from phaseno_peft.picking.picker import Picker, load_adapter


class Teacher(Protocol):
    """Anything that gives probabilities of prepared records."""

    @property
    def name(self) -> str:
        """Goes into the method id of every pick."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How records are prepared for it."""

    def annotations(self, runs: Runs | Sequence[Run], progress: Progress | None = None) -> Iterator[Annotation]:
        """Blocks of probabilities, with the thresholds that make them picks."""


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
        return self.picker.preprocessing

    def annotations(self, runs: Runs | Sequence[Run], progress: Progress | None = None) -> Iterator[Annotation]:
        """See `Teacher`."""
        for annotation in self.picker.annotations(runs, progress=progress):
            yield replace(annotation, thresholds={**annotation.thresholds, **self.thresholds})


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

    def annotations(self, runs: Runs | Sequence[Run], progress: Progress | None = None) -> Iterator[Annotation]:
        """See `Teacher`."""
        thresholds = {**self.rival.thresholds, **self.thresholds}
        for run, report in with_progress(runs, progress):
            parts = [(list(range(len(run.stations))), StationTable(run.stations).frame())]
            blocks = annotate_run(
                run, parts, self.rival.probabilities, self.preprocessing, batch_stations=1, progress=report
            )
            for recording, found in blocks:
                yield Annotation(recording, found, self.name, None, thresholds)


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
