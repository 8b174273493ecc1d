"""Snuffler's markers (pyrocko): phase markers are picks, event markers their events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick, phase_of
from phaseno_peft.campaign.tally import NOWHERE, Hypocentre, Tally, event_of_picks
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_id_of

HEADER = "# Snuffler Markers File Version"
NONE = "None"
"""Snuffler's word for what a marker does not have."""
DOUBTFUL_KIND = "3"
"""Of a marker that is automatic, too: nobody has said yet whether it is a pick. In Snuffler the key 0 makes it one."""
AROUND_S = 2.0
"""A pick without an event, this close to the picks of one, is one of its own that an analyst added."""


def events_of_markers(name: str, text: str, tally: Tally) -> list[CatalogueEvent] | None:
    """Events of a Snuffler markers file; None where the text is none.

    A phase marker that spans time counts at its middle, its half width is the uncertainty. Automatic ones of kind 3
    are doubtful: nothing is learnt near them. Markers of no phase are passed over, those of several traces count at
    their station, and those of no event belong to the one around them.
    Raises `CampaignError` naming a line that cannot be read.
    """
    if not text.startswith(HEADER):
        return None
    hypocentres: dict[str, Hypocentre] = {}
    picks: dict[str, list[LabelledPick]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        try:
            if fields[:1] == ["event:"]:
                hypocentres[fields[4]] = _hypocentre(fields)
            elif fields[:1] == ["phase:"] and (found := _phase_marker(fields, tally)) is not None:
                picks.setdefault(found[0], []).append(found[1])
        except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
            raise CampaignError(
                f"{name}: line {number}: {line.strip()[:80]!r} is no marker of Snuffler ({error}). "
                "Save the markers again, or leave the line out."
            ) from error
    _join_events(picks.pop(NONE, []), picks, tally)
    return [event_of_picks(found, tally, _event_id(of), hypocentres.get(of, NOWHERE)) for of, found in picks.items()]


def _join_events(loose: Sequence[LabelledPick], picks: Mapping[str, list[LabelledPick]], tally: Tally) -> None:
    """Put picks without an event into the one event around them that has no such pick: they were added to it."""
    names, around_ns = list(picks), round(AROUND_S * 1e9)
    sure = [[p for p in own if p.usable] or own for own in picks.values()]
    first = np.array([min(p.time.ns for p in own) - around_ns for own in sure])
    last = np.array([max(p.time.ns for p in own) + around_ns for own in sure])
    for pick in loose:
        around = np.flatnonzero((first <= pick.time.ns) & (pick.time.ns <= last))
        own = picks[names[around[0]]] if len(around) == 1 else None
        is_new = own is not None and not any(
            p.usable and (p.station_id, p.phase) == (pick.station_id, pick.phase) for p in own
        )
        (own if own is not None and is_new else tally.loose).append(pick)


def _event_id(marked: str) -> str:
    return marked if ":" in marked else f"smi:local/snuffler/{marked}"


def _hypocentre(fields: Sequence[str]) -> Hypocentre:
    """Of event: date time kind hash latitude longitude depth_m magnitude catalog name region."""
    latitude, longitude, depth_m = (None if word == NONE else float(word) for word in fields[5:8])
    return _time(fields[1:3]), latitude, longitude, depth_m


def _phase_marker(fields: Sequence[str], tally: Tally) -> tuple[str, LabelledPick] | None:
    """(event or "None", pick) of phase: date time [date time duration] kind traces event date time phase polarity
    automatic; None for a phase that is neither P nor S.
    """
    time, half_width_s = _time(fields[1:3]), None
    rest = list(fields[3:])
    if "-" in rest[0].lstrip("-"):  # a second date: the marker spans time
        end = _time(rest[:2])
        half_width_s = (end - time) / 2
        time, rest = time + half_width_s, rest[3:]
    kind, traces, event, _, _, phase_name, _, automatic = rest[:8]
    tally.n_picks += 1
    if phase_name == NONE:
        tally.incomplete["no phase"] += 1
        return None
    phase = phase_of(phase_name)
    if phase is None:
        tally.ignored[phase_name] += 1
        return None
    if traces == NONE:
        tally.incomplete["no station"] += 1
        return None
    is_doubtful = kind == DOUBTFUL_KIND and automatic == "True"
    if is_doubtful:
        tally.counts["are automatic and doubtful (kind 3); nothing is learnt within 1 s of them"] += 1
    return event, LabelledPick(
        pick_id="",
        event_id="",
        station_id=_station_id(traces.split(",")),
        phase=phase,
        time=time,
        uncertainty_s=half_width_s,
        usable=not is_doubtful,
        number=tally.n_picks,
        is_automatic=automatic == "True",
        phase_name=phase_name,
    )


def _station_id(traces: Iterable[str]) -> str:
    """NET.STA.LOC of NET.STA.LOC.CHA; a station code may hold dots itself."""
    ids = set()
    for trace in traces:
        network, _, rest = trace.partition(".")
        station, location, _ = rest.rsplit(".", 2)
        ids.add(station_id_of(network, station, location))
    if len(ids) != 1:
        raise ValueError(f"it stands on {len(ids)} stations; a pick has one")
    return ids.pop()


def _time(date_and_clock: Sequence[str]) -> UTCDateTime:
    date, clock = date_and_clock
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", f"{date}T{clock}"):
        raise ValueError(f"{date} {clock} is no time")
    return UTCDateTime(f"{date}T{clock}")
