"""From records without labels to a catalogue: prepare, ask the teacher, keep what agrees."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from phaseno_peft.campaign import Finding, StationTable, read_stations
from phaseno_peft.campaign.run import OnFindings
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.campaign.sources import Source
from phaseno_peft.campaign.waveform_files import ChannelMap
from phaseno_peft.contract import PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.events import AssociationRule, HalfSpace
from phaseno_peft.events.catalogue import to_catalog
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.labelling.coincidence import FAR_KM, Coincidence, coincide, kept_and_left
from phaseno_peft.labelling.teachers import Teacher
from phaseno_peft.picking.annotations import Progress, picks_of
from phaseno_peft.picks import Pick, PickList

if TYPE_CHECKING:
    from obspy import Inventory
    from obspy.core.event import Catalog

log = logging.getLogger(__name__)
Associator = Literal["coincidence", "pyocto"]


@dataclass(frozen=True)
class PseudoLabels:
    """What a teacher said of a campaign, and what of it may be taught."""

    teacher: str
    associator: Associator
    events: tuple[AssociatedEvent, ...]
    picks: PickList
    """All of the teacher's."""
    hours: float
    findings: tuple[Finding, ...] = ()
    """What was left out or assumed, warnings first."""

    @property
    def counts(self) -> dict[str, int]:
        """Of the teacher's picks: labels, ambiguous ones, and those that are alone."""
        return kept_and_left(self.events, self.picks)

    @property
    def labels(self) -> dict[str, int]:
        """Phase -> labels."""
        found = Counter(pick.phase for event in self.events for pick in event.picks)
        return {phase: found[phase] for phase in PHASES}

    def to_catalog(self) -> Catalog:
        """See `phaseno_peft.events.catalogue.to_catalog`."""
        return to_catalog(self.events, self.teacher, self.associator, what="Pseudo-labels")


def pseudo_label(
    source: Source,
    stations: Inventory | StationTable | str | Path,
    teacher: Teacher,
    *,
    channels: ChannelMap | str | Path | None = None,
    skip_unreadable: bool = False,
    associator: Associator = "coincidence",
    rule: Coincidence | None = None,
    on_stage: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    on_findings: OnFindings | None = None,
) -> PseudoLabels:
    """Return the events of all records, which `Picker.iter_annotations` says how to give.

    What could not be used is left out and stands in the result's `findings`; `on_findings` gets them as soon as they
    are known. Raises `CampaignError` for records and stations that do not fit, and `PhasenoPeftError` where no event is
    left: the message says what the teacher found.
    """
    say = on_stage or log.info
    stations = read_stations(stations)
    k = teacher.preprocessing.time_scale
    rule = rule or Coincidence().for_time_scale(k)
    runs = Runs(
        source,
        stations,
        teacher.preprocessing,
        channels=channels,
        skip_unreadable=skip_unreadable,
        on_findings=on_findings,
    )
    picks = picks_of(teacher.annotations(runs, progress))
    picks.findings = runs.findings
    found = Counter(pick.phase for pick in picks)
    said = f"{found['P']} P and {found['S']} S picks"
    say(f"{teacher.name}: {said} in {len(runs.prepared)} recordings; associating by {associator}")
    events = associated(picks, stations, rule, associator)
    if not events:
        raise PhasenoPeftError(
            f"{teacher.name} made {said}, and no event of them: P and S must agree on a station, or one phase on "
            f"{rule.fewest_stations} stations. Lower the thresholds with --p-threshold and --s-threshold, or take "
            "another teacher."
        )
    hours = sum(run.duration_s for run in runs.prepared) / 3600.0
    return PseudoLabels(teacher.name, associator, tuple(events), picks, hours, picks.findings)


def associated(
    picks: Sequence[Pick], stations: StationTable, rule: Coincidence, associator: Associator
) -> list[AssociatedEvent]:
    """The events of picks, in time order. Raises `PhasenoPeftError` where PyOcto is asked for and not installed."""
    if associator == "coincidence":
        return coincide(picks, stations, rule)
    from phaseno_peft.events.engine import associate_picks

    # one pick more than the built-in rule asks for, in velocities of anywhere: more is for the adapter to learn
    needed = AssociationRule(rule.fewest_stations + 1, fewest_p=2, fewest_s=1, fewest_p_and_s=1, reach_km=FAR_KM)
    return associate_picks(picks, stations, HalfSpace(), needed)
