"""What to label next: pieces of an unlabelled archive, ranked by what an analyst's word on them would teach.

Candidates are the events that the models' weak picks agree on, and groups of picks that belong to none. The use of one
is the doubt in its arrivals (`doubt`). They are taken greedily, each discounted by its likeness to those already taken
in time, in place (the pattern of its arrival times, so that a family of doublets is asked about once) and in noise
(maximal marginal relevance, Carbonell and Goldstein 1998).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from obspy import UTCDateTime

from phaseno_peft.campaign import Catalogue, Finding, StationTable, read_stations
from phaseno_peft.campaign.run import OnFindings
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.campaign.sources import Source
from phaseno_peft.campaign.waveform_files import ChannelMap
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.labelling.coincidence import Coincidence, coincide
from phaseno_peft.labelling.doubt import RECORD_WINDOWS, WEAKEST, Reading, readings
from phaseno_peft.picking.annotations import Progress
from phaseno_peft.picking.committee import Committee
from phaseno_peft.picking.picker import Picker
from phaseno_peft.picks import Pick, PickList

if TYPE_CHECKING:
    from obspy import Inventory

ALONE = 0.3
"""A doubt in a pick that belongs to no event counts this much: most such picks are noise, and archives full of it."""
ASKED = 0.5
"""Arrivals in at least such doubt are shown to the analyst, as ambiguous ones, beside the picks."""
AROUND_S = 2.0
"""Network's time: an arrival in doubt belongs to the event whose picks lie within so much of it."""
MOST_RANKED = 2000
"""Only so many of the most useful candidates are compared with each other."""
PLACE_S, NOISE_DECADES = 1.0, 0.3
"""Arrival patterns this far apart (network's time), and noise that differs by this in log10, are little alike."""
Span = tuple[UTCDateTime, UTCDateTime]


@dataclass(frozen=True)
class Suggestion:
    """One piece of record to label."""

    start: UTCDateTime
    end: UTCDateTime
    readings: tuple[Reading, ...]
    """Of the event, or of picks that belong to none."""
    is_event: bool
    noise: float
    """Logarithm (base 10) of the median amplitude of the prepared record there."""
    use: float
    """Sum of the doubts; of picks that belong to no event a part."""
    gain: float = 0.0
    """What of the use is left beside the suggestions before it."""

    @property
    def name(self) -> str:
        """Of its file: when it starts, to the microsecond, since records at high time scales are shorter than 1 s."""
        return str(self.start.strftime("%Y%m%dT%H%M%S.%f"))

    @property
    def middle(self) -> UTCDateTime:
        """Time halfway between its first and its last arrival."""
        first, last = self.readings[0].pick.time, self.readings[-1].pick.time
        return first + (last - first) / 2

    @property
    def why(self) -> str:
        """The main reason in a few words."""
        differing = sum(reading.differing for reading in self.readings)
        undecided = sum(reading.undecided for reading in self.readings)
        what = "the models differ" if differing > undecided else "near the threshold"
        return what if self.is_event else f"{what}, on picks that belong to no event"


@dataclass(frozen=True)
class SuggestedLabels:
    """Pieces of an archive to label, the most useful first."""

    suggestions: tuple[Suggestion, ...]
    picks: PickList
    """Of the model in force, of the whole archive, at its thresholds."""
    models: tuple[str, ...]
    """Whose disagreement counted; the first made the picks."""
    n_candidates: int
    """From which the suggestions were taken."""
    hours: float
    stations: StationTable
    rule: Coincidence
    preprocessing: Preprocessing
    findings: tuple[Finding, ...] = field(default=(), repr=False)

    def events(self) -> list[AssociatedEvent]:
        """Provisional events in the suggested records, of the picks at the model's thresholds.

        Arrivals that are asked about and are no such pick, or belong to no event, are ambiguous: of the event around
        them, or of one by themselves.
        """
        inside = [p for p in self.picks if any(s.start <= p.time <= s.end for s in self.suggestions)]
        events = coincide(inside, self.stations, self.rule)
        known = {(p.trace_id, p.phase, p.time.ns) for event in events for p in (*event.picks, *event.ambiguous)}
        asked = [
            r.pick
            for suggestion in self.suggestions
            for r in suggestion.readings
            if (r.is_pick or r.doubt >= ASKED) and (r.pick.trace_id, r.pick.phase, r.pick.time.ns) not in known
        ]
        alone: list[Pick] = []
        around_s = AROUND_S / self.preprocessing.time_scale
        for pick in sorted(asked, key=lambda p: (p.time.ns, p.trace_id, p.phase)):
            own = [k for k, event in enumerate(events) if _may_belong(pick, event, around_s)]
            if len(own) == 1:
                events[own[0]] = replace(events[own[0]], ambiguous=(*events[own[0]].ambiguous, pick))
            else:
                alone.append(pick)
        events += [_of_ambiguous(group, self.stations) for group in _close_together(alone, around_s)]
        return sorted(events, key=lambda event: [*event.picks, *event.ambiguous][0].time.ns)


def _may_belong(pick: Pick, event: AssociatedEvent, around_s: float) -> bool:
    """Whether an event has no such pick, and some within so many seconds before or after."""
    own = [*event.picks, *event.ambiguous]
    if any((p.trace_id, p.phase) == (pick.trace_id, pick.phase) for p in own):
        return False
    times = [p.time for p in event.picks]
    return bool(min(times) - around_s <= pick.time <= max(times) + around_s)


def _close_together(picks: Sequence[Pick], around_s: float) -> list[list[Pick]]:
    """Picks in time order in groups without longer pauses, each phase of a station once."""
    groups: list[list[Pick]] = []
    for pick in picks:
        seen = {(p.trace_id, p.phase) for p in groups[-1]} if groups else set()
        if not groups or pick.time - groups[-1][-1].time > around_s or (pick.trace_id, pick.phase) in seen:
            groups.append([])
        groups[-1].append(pick)
    return groups


def _of_ambiguous(picks: Sequence[Pick], stations: StationTable) -> AssociatedEvent:
    """An event without a pick that is sure, placed at the station of the first."""
    station = stations[picks[0].trace_id]
    return AssociatedEvent((), tuple(picks), picks[0].time, station.latitude_deg, station.longitude_deg)


def suggest_labels(
    source: Source,
    stations: Inventory | StationTable | str | Path,
    picker: Picker,
    *,
    n: int = 20,
    labelled: Catalogue | None = None,
    channels: ChannelMap | str | Path | None = None,
    skip_unreadable: bool = False,
    rule: Coincidence | None = None,
    progress: Progress | None = None,
    on_findings: OnFindings | None = None,
) -> SuggestedLabels:
    """Rank pieces of an archive by what labelling them would teach the adapter in force, and return the best `n`.

    Models are those of `Committee.of(picker)`. What `labelled` has a pick of is left out. Memory grows with the picks,
    not with the record. Raises `CampaignError` for records and stations that do not fit, and `PhasenoPeftError` where
    nothing is found to ask about.
    """
    if n < 1:
        raise PhasenoPeftError(f"`n` should be at least 1 but is {n}.")
    table, committee, preprocessing = read_stations(stations), Committee.of(picker), picker.preprocessing
    k = preprocessing.time_scale
    rule = rule or Coincidence().for_time_scale(k)
    runs = Runs(
        source, table, preprocessing, channels=channels, skip_unreadable=skip_unreadable, on_findings=on_findings
    )
    collected, noise = committee.picks(WEAKEST), _NoiseLevels()
    for annotation in committee.annotations(runs, progress):
        collected.push(annotation)
        noise.push(annotation.recording.start, annotation.recording.samples)
    weak = collected.close()
    spans = [(run.start, run.start + run.duration_s) for run in runs.prepared]
    found = readings(weak, committee.thresholds, k)
    candidates = _candidates(found, table, rule, preprocessing, spans, noise)
    if labelled is not None:
        known_ns = np.array([pick.time.ns for pick in labelled.picks])
        candidates = [c for c in candidates if not ((c.start.ns <= known_ns) & (known_ns <= c.end.ns)).any()]
    if not candidates:
        raise PhasenoPeftError(
            f"{committee.names[0]} has no pick above {WEAKEST:g} of its thresholds in these records"
            + (", or none outside what is labelled" if labelled is not None else "")
            + ": there is nothing to ask about. Give other records, or another adapter."
        )
    hours = sum(run.duration_s for run in runs.prepared) / 3600.0
    picks = PickList(
        (p for p in weak[0] if p.probability >= committee.thresholds[p.phase]),
        creator=committee.names[0],
        findings=runs.findings,
    )
    return SuggestedLabels(
        tuple(take(candidates, n, k)),
        picks,
        committee.names,
        len(candidates),
        hours,
        table,
        rule,
        preprocessing,
        runs.findings,
    )


def take(candidates: Sequence[Suggestion], n: int, time_scale: float = 1.0) -> list[Suggestion]:
    """The best `n`, one after the other, each discounted by its likeness to those before it.

    What lies in the record of one that was taken is labelled with it and is not taken again, nor is that record.
    """
    ranked = sorted(candidates, key=lambda c: (-c.use, c.start.ns))[:MOST_RANKED]
    begin, end = min(c.start for c in ranked), max(c.end for c in ranked)
    apart_s = max(float(end - begin) / n, 1.0)
    likest = np.zeros(len(ranked))
    use = np.array([c.use for c in ranked])
    taken: list[Suggestion] = []
    while len(taken) < n and (gains := use * (1.0 - likest)).max() > 0.0:
        best = int(np.argmax(gains))
        chosen = replace(ranked[best], gain=float(gains[best]))
        taken.append(chosen)
        for i, other in enumerate(ranked):
            if other.start == chosen.start or chosen.start <= other.middle <= chosen.end:
                likest[i] = 1.0
            else:
                likest[i] = max(likest[i], likeness(chosen, other, apart_s, time_scale))
    return taken


def likeness(one: Suggestion, other: Suggestion, apart_s: float, time_scale: float = 1.0) -> float:
    """From 0 to 1: how near two are in time (of `apart_s`), in arrival pattern, and in noise; the pattern counts half.

    Patterns are compared by the median difference of arrivals that both have, counted from their mean; of fewer than
    three nothing is known.
    """
    near = np.exp(-abs(float(one.start - other.start)) / apart_s)
    patterns = [{(r.pick.trace_id, r.pick.phase): r.pick.time for r in each.readings} for each in (one, other)]
    common = sorted(patterns[0].keys() & patterns[1].keys())
    alike = 0.0
    if len(common) >= 3:
        late_s = np.array([patterns[0][key] - patterns[1][key] for key in common], float)
        alike = float(np.exp(-np.median(np.abs(late_s - np.median(late_s))) * time_scale / PLACE_S))
        alike *= len(common) / max(map(len, patterns))
    loud = np.exp(-abs(one.noise - other.noise) / NOISE_DECADES)
    return float(0.25 * near + 0.5 * alike + 0.25 * loud)


class _NoiseLevels:
    """Amplitude of a record over time, one number for each 30 s or less."""

    def __init__(self) -> None:
        self._starts_ns: list[int] = []
        self._levels: list[float] = []

    def push(self, start: UTCDateTime, samples: NDArray[np.float32]) -> None:
        """Add a block [station, component, sample]."""
        living = np.abs(samples[:, :, :: max(1, samples.shape[-1] // 2000)])
        level = float(np.median(living[living > 0])) if bool((living > 0).any()) else 1.0
        self._starts_ns.append(start.ns)
        self._levels.append(float(np.log10(level)))

    def at(self, time: UTCDateTime) -> float:
        """Logarithm (base 10) of the amplitude of the block that holds a time."""
        return self._levels[max(0, bisect_right(self._starts_ns, time.ns) - 1)]


def _candidates(
    found: Sequence[Reading],
    stations: StationTable,
    rule: Coincidence,
    preprocessing: Preprocessing,
    spans: Sequence[Span],
    noise: _NoiseLevels,
) -> list[Suggestion]:
    """Events of the readings, and what belongs to none in groups as long as a window."""
    of_pick: dict[int, Reading] = {id(reading.pick): reading for reading in found}
    events = coincide([reading.pick for reading in found], stations, rule)
    groups: list[tuple[list[Reading], bool]] = []
    in_events: set[int] = set()
    for event in events:
        picks = [*event.picks, *event.ambiguous]
        in_events |= {id(pick) for pick in picks}
        groups.append(([of_pick[id(pick)] for pick in picks], True))
    window_s = preprocessing.window_s
    alone: list[Reading] = []
    for reading in found:
        if id(reading.pick) in in_events:
            continue
        if alone and reading.pick.time - alone[0].pick.time > window_s:
            groups.append((alone, False))
            alone = []
        alone.append(reading)
    if alone:
        groups.append((alone, False))
    made = []
    for members, is_event in groups:
        ordered = tuple(sorted(members, key=lambda reading: reading.pick.time.ns))
        middle = ordered[0].pick.time + (ordered[-1].pick.time - ordered[0].pick.time) / 2
        start, end = _record_around(middle, RECORD_WINDOWS * window_s, spans)
        use = sum(reading.doubt for reading in ordered) * (1.0 if is_event else ALONE)
        made.append(Suggestion(start, end, ordered, is_event, noise.at(middle), use))
    return made


def _record_around(middle: UTCDateTime, length_s: float, spans: Sequence[Span]) -> Span:
    """A piece of so long around a time, inside the run that holds it, or the nearest, where the run is that long."""
    begin, end = min(spans, key=lambda span: max(span[0] - middle, middle - span[1], 0.0), default=(middle, middle))
    start = max(begin, min(middle - length_s / 2, end - length_s))
    return start, min(end, start + length_s)
