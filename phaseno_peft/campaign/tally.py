"""What is counted while catalogues are read, and picks made into events: those of one event, and those of none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import (
    CatalogueEvent,
    LabelledPick,
    content_id,
    groups_between_pauses,
    one_per_station_and_phase,
)
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.years import FIRST_YEAR, LAST_YEAR, is_believable

Hypocentre = tuple[UTCDateTime | None, float | None, float | None, float | None]
"""(origin time, latitude_deg, longitude_deg, depth_m), None where a file does not say."""
NOWHERE: Hypocentre = (None, None, None, None)


@dataclass
class Tally:
    """What is counted while events are read, to be reported at the end."""

    keeps_repeats: bool = False
    """A picker's list, whose events are no events: several picks of a phase at one station are all kept."""
    n_picks: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    """Phase name -> picks that are neither P nor S."""
    incomplete: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    """Sentence about picks -> picks it holds for."""
    doubts: Counter[str] = field(default_factory=Counter)
    """As `counts`, of what should be looked at."""
    remarks: list[str] = field(default_factory=list)
    """Whole sentences."""
    loose: list[LabelledPick] = field(default_factory=list)
    """Picks of all files that belong to no event."""
    by_event: dict[str, tuple[Hypocentre, list[LabelledPick]]] = field(default_factory=dict)
    """Picks of events that are spread over files (SAC, one file a trace; chunks of a set), by what they say of it."""
    _n_known: int = 0
    _known: set[tuple[str, str, int]] = field(default_factory=set)

    def findings(self, source: str) -> list[Finding]:
        """One finding for each thing counted."""
        return [
            *(
                Finding("note", f"{source}: {n} picks of phase {name!r} are neither P nor S and are left out.")
                for name, n in sorted(self.ignored.items())
            ),
            *(
                Finding("warning", f"{source}: {n} picks have {what} and are left out.")
                for what, n in sorted(self.incomplete.items())
                if n
            ),
            *(Finding("warning", f"{source}: {n} picks {text}.") for text, n in sorted(self.doubts.items()) if n),
            *(Finding("warning", text) for text in dict.fromkeys(self.remarks)),
            *(Finding("note", f"{source}: {n} picks {text}.") for text, n in sorted(self.counts.items()) if n),
        ]

    def end_of_file(self) -> None:
        """Leave out the loose picks of the file just read that an earlier file holds as well: a copy of the file."""
        new = self.loose[self._n_known :]
        kept = [p for p in new if (p.station_id, p.phase, p.time.ns) not in self._known]
        if len(kept) < len(new):
            self.counts["are given in several files; each is kept once"] += len(new) - len(kept)
        self.loose[self._n_known :] = kept
        self._n_known = len(self.loose)
        self._known.update((p.station_id, p.phase, p.time.ns) for p in kept)

    def gathered(self) -> list[CatalogueEvent]:
        """Events of all files together: those spread over files, and groups of picks that belong to none."""
        events = [event_of_picks(picks, self, hypocentre=at) for at, picks in self.by_event.values()]
        events += unassociated_events(self.loose, self)
        self.by_event, self.loose = {}, []
        return events


def event_of_picks(
    picks: Sequence[LabelledPick], tally: Tally, event_id: str = "", hypocentre: Hypocentre = NOWHERE
) -> CatalogueEvent:
    """One event of its picks, one a station and phase; without an id of its own it gets one of the content.

    Picks and origins at times that nobody can believe are left out, picks counted.
    """
    sound = [pick for pick in picks if is_believable(pick.time.ns)]
    tally.incomplete[f"a time outside the years {FIRST_YEAR} to {LAST_YEAR}"] += len(picks) - len(sound)
    picks = sound
    if hypocentre[0] is not None and not is_believable(hypocentre[0].ns):
        hypocentre = (None, *hypocentre[1:])
    if not event_id:
        place = " ".join("" if x is None else f"{x:.3f}" for x in hypocentre[1:3])
        event_id = content_id([(p.station_id, p.phase, p.time) for p in picks], hypocentre[0], place)
    own = [with_event(pick, event_id) for pick in picks]
    kept = tuple(own) if tally.keeps_repeats else one_per_station_and_phase(own)
    tally.counts[
        "repeat a phase of the same event and station; kept is that of the preferred origin, else the manual, "
        "the reviewed, the heavier or the earlier one"
    ] += len(picks) - len(kept)
    return CatalogueEvent(event_id, *hypocentre, kept)


def unassociated_events(picks: Sequence[LabelledPick], tally: Tally) -> list[CatalogueEvent]:
    """Events that stand for picks without any: groups between pauses. Told, because the split goes by events."""
    made = []
    for group in groups_between_pauses(picks):
        made.append(event_of_picks(group, tally))
        tally.counts["belong to no event and are grouped by pauses; each group counts as an event"] += len(group)
    return made


def with_event(pick: LabelledPick, event_id: str) -> LabelledPick:
    """The pick in its event; without an id of its own it gets one of the content."""
    pick_id = pick.pick_id or f"{event_id}/{pick.station_id}/{pick.phase}/{pick.time.ns}"
    return replace(pick, event_id=event_id, pick_id=pick_id)
