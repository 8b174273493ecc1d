"""What became of a list of picks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phaseno_peft.campaign import Finding, StationTable
from phaseno_peft.events.catalogue import to_catalog
from phaseno_peft.events.engine import AssociationRule
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.events.velocity import Velocity
from phaseno_peft.picks import PickList

if TYPE_CHECKING:
    from obspy.core.event import Catalog

ASSOCIATOR = "PyOcto"


@dataclass(frozen=True)
class Association:
    """What became of a list of picks."""

    events: tuple[AssociatedEvent, ...]
    """In time order."""
    picks: PickList
    """All, as station ids of the table; in time order."""
    stations: StationTable
    velocity: Velocity
    rule: AssociationRule
    findings: tuple[Finding, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Picks in events, and those that belong to none."""
        used = sum(len(event.picks) for event in self.events)
        return {"in events": used, "alone": len(self.picks) - used}

    def to_catalog(self) -> Catalog:
        """An obspy catalogue of the events, with origins, picks, arrivals and residuals."""
        return to_catalog(self.events, self.picks.creator, ASSOCIATOR, stations=self.stations)
