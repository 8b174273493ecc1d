"""Several models on the same records: the adapter in force, the frozen network, and the folds' adapters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from phaseno_peft.campaign.runs import Runs
from phaseno_peft.contract import PHASES
from phaseno_peft.cr_lora import CRLoraSettings, ResidentAdapter
from phaseno_peft.picking.annotations import Annotation, PickMaker, Progress, annotate_runs
from phaseno_peft.picking.picker import Picker
from phaseno_peft.picks import PickList

FROZEN = "frozen"


@dataclass(frozen=True)
class Committee:
    """Models that see records prepared alike, each window in one mixed batch; the first is the one in force."""

    picker: Picker
    together: ResidentAdapter
    """Its members are the models."""
    names: tuple[str, ...]
    thresholds: dict[str, float]
    """Phase -> that of the model in force."""

    @classmethod
    def of(cls, picker: Picker) -> Committee:
        """The adapter in force, the frozen network with its picks moved by the same constant shift, the folds' adapters
        where the picker has them; the frozen network alone where that is in force."""
        adapter = picker.in_force
        if adapter is None:
            frozen = ResidentAdapter(FROZEN, CRLoraSettings(), None, {})
            alone = replace(frozen, members=(frozen,))
            return cls(picker, alone, (f"frozen {picker.backbone_name}",), dict(picker.backbone_thresholds))
        own = replace(adapter, members=())
        members = (own, replace(own, name=FROZEN, parts={}), *adapter.members)
        names = (adapter.name, FROZEN, *(f"fold {i}" for i in range(1, len(adapter.members) + 1)))
        thresholds = picker.backbone_thresholds if adapter.contract is None else adapter.contract.thresholds
        return cls(picker, replace(adapter, members=members), names, dict(thresholds))

    def annotations(self, runs: Runs, progress: Progress | None = None) -> Iterator[Annotation]:
        """Blocks of all runs with the curves of every model as their `members`."""
        return annotate_runs(
            runs,
            self.picker.backbone,
            self.together,
            creator=self.names[0],
            backbone_thresholds=self.picker.backbone_thresholds,
            progress=progress,
        )

    def picks(self, weakest: float) -> CommitteePicks:
        """Collects the picks of every model, from `weakest` times the thresholds on."""
        return CommitteePicks(self, weakest)


class CommitteePicks:
    """Picks of every model from blocks that come one after the other, in memory that grows with the picks alone."""

    def __init__(self, committee: Committee, weakest: float) -> None:
        levels = {phase: weakest * committee.thresholds[phase] for phase in PHASES}
        self._makers = [PickMaker(levels["P"], levels["S"]) for _ in committee.names]
        self.of = [PickList(creator=name) for name in committee.names]
        """[model]"""

    def push(self, annotation: Annotation) -> None:
        """Take in a block."""
        for number, maker in enumerate(self._makers):
            list.extend(self.of[number], maker.push(annotation.of_member(number)))

    def close(self) -> list[PickList]:
        """The picks [model] of everything, in time order."""
        for number, maker in enumerate(self._makers):
            list.extend(self.of[number], maker.last())
        return [picks.sorted() for picks in self.of]
