"""What a user should know about a campaign before training on it: findings, each one sentence or two."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.labels import measure_label_offset, suggest_convention
from phaseno_peft.contract import PHASES

if TYPE_CHECKING:
    from phaseno_peft.campaign.catalog import Catalogue, CatalogueEvent, LabelledPick
    from phaseno_peft.campaign.recording import Recording
    from phaseno_peft.campaign.stations import StationTable
    from phaseno_peft.campaign.stretch import Stretch

FEW_EVENTS = 20
"""Below this many events scores of the three sides say little."""
DOUBLET_S = 3.0
"""Events whose first picks are this close (real time) count as one place in the record."""
OUTLYING_S = 5.0
"""A pick this far (real time) from the nearest other pick of its event is suspicious, if there are three or more."""
SP_SAMPLES = 50
"""Shorter S-P times (in the network's time) than this half second were rare in the network's training."""
OFFSET_PICKS = 5
"""Clear arrivals needed before an offset is reported."""


def check_campaign(
    stations: StationTable,
    catalogue: Catalogue,
    recordings: Sequence[Recording],
    stretches: Sequence[Stretch],
    rate_hz: float,
) -> list[Finding]:
    """Findings about a campaign as a whole: counts, S-P times, label offset, outlying picks, stations without picks.

    `stretches` are the recordings with the catalogue's picks in them; `rate_hz` is that of the recordings.
    """
    return [
        *_counts(recordings, stretches),
        *_stray_picks(catalogue, recordings, stretches),
        *_stations(stations, recordings, stretches),
        *_times(catalogue, rate_hz),
        *_offsets(stretches),
    ]


def sp_times_s(catalogue: Catalogue) -> np.ndarray:
    """Real S-P times of every event and station that has both as usable picks."""
    times = []
    for event in catalogue.events:
        arrivals = {(p.station_id, p.phase): p.time for p in event.picks if p.usable}
        times += [
            arrivals[station_id, "S"] - time
            for (station_id, phase), time in arrivals.items()
            if phase == "P" and (station_id, "S") in arrivals
        ]
    return np.array(times, float)


def _counts(recordings: Sequence[Recording], stretches: Sequence[Stretch]) -> list[Finding]:
    picks = [p for s in stretches for p in s.picks]
    events = {p.event_id for p in picks}
    usable = Counter(p.phase for p in picks if p.usable)
    stations = {i for r in recordings for i in r.station_ids}
    hours = sum(r.duration_s for r in recordings) / 3600.0
    findings = [
        Finding(
            "note",
            f"{len(events)} events with {usable['P']} P and {usable['S']} S picks on {len(stations)} recorded "
            f"stations, {len(recordings)} recordings, {hours:.2f} h.",
        )
    ]
    if len(events) < FEW_EVENTS:
        findings.append(
            Finding(
                "warning",
                f"only {len(events)} events have picks in the records: scores will be coarse. Label more if you can.",
                kind="too few events",
                value=f"{len(events)} events",
            )
        )
    for phase in PHASES:
        if not usable[phase]:
            findings.append(
                Finding("warning", f"no usable {phase} pick: the adapter cannot learn {phase}.", kind="too few events")
            )
    unusable = sum(not p.usable for p in picks)
    if unusable:
        findings.append(
            Finding("note", f"{unusable} picks have weight 0: nothing is learnt or judged within 1 s of them.")
        )
    return findings


def picks_in_record_time(picks: Sequence[LabelledPick], recordings: Sequence[Recording]) -> list[LabelledPick]:
    """Picks that lie in the time of some recording, whatever their station."""
    spans = sorted((r.start.ns, r.end.ns) for r in recordings)
    starts = [start for start, _ in spans]
    ends = list(accumulate((end for _, end in spans), max))
    return [p for p in picks if (i := bisect_right(starts, p.time.ns)) and p.time.ns < ends[i - 1]]


def _stray_picks(catalogue: Catalogue, recordings: Sequence[Recording], stretches: Sequence[Stretch]) -> list[Finding]:
    inside = {id(p) for s in stretches for p in s.picks}
    outside = [p for p in catalogue.picks if id(p) not in inside]
    silent = picks_in_record_time(outside, recordings)
    findings = []
    if silent:
        names = ", ".join(sorted({p.station_id for p in silent}))
        findings.append(
            Finding(
                "warning",
                f"{len(silent)} picks are for stations without a record at their time ({names}); they are not used.",
                kind="pick without waveforms",
                place=names,
                value=f"{len(silent)} picks",
            )
        )
    if len(outside) > len(silent):
        in_time = {id(p) for p in silent}
        first = next(p for p in outside if id(p) not in in_time)
        findings.append(
            Finding(
                "warning",
                f"{len(outside) - len(silent)} picks lie outside every waveform, the first at {first.time} on "
                f"{first.station_id}; they are not used.",
                kind="pick without waveforms",
                place=f"{first.station_id} {first.time}",
                value=f"{len(outside) - len(silent)} picks",
            )
        )
    outlying = [p for event in catalogue.events for p in _outlying(event)]
    if outlying:
        shown = ", ".join(f"{p.phase} on {p.station_id} at {p.time}" for p in outlying[:3])
        findings.append(
            Finding(
                "warning",
                f"{len(outlying)} picks are more than {OUTLYING_S:g} s from every other pick of their event: {shown}. "
                "Look at them before training.",
                kind="off the move-out",
                place=shown,
                value=f"{len(outlying)} picks",
            )
        )
    backwards = int((sp_times_s(catalogue) <= 0).sum())
    if backwards:
        findings.append(
            Finding(
                "warning",
                f"on {backwards} station records S is picked before P. Look at them before training.",
                kind="S before P",
                value=f"{backwards} records",
            )
        )
    firsts = sorted((e.picks[0].time.ns, e.event_id) for e in catalogue.events if e.picks)
    near = [(a[1], b[1]) for a, b in pairwise(firsts) if b[0] - a[0] < DOUBLET_S * 1e9]
    if near:
        findings.append(
            Finding(
                "note",
                f"{len(near)} pairs of events follow within {DOUBLET_S:g} s, the first {_last(near[0][0])} and "
                f"{_last(near[0][1])}; each pair stays on one side of the split.",
            )
        )
    return findings


def _outlying(event: CatalogueEvent) -> list[LabelledPick]:
    picks = event.picks
    if len(picks) < 3:
        return []
    t = np.array([p.time - picks[0].time for p in picks], float)  # in time order
    gap = np.diff(t)
    nearest = np.minimum(np.concatenate([[np.inf], gap]), np.concatenate([gap, [np.inf]]))
    return [p for p, d in zip(picks, nearest, strict=True) if d > OUTLYING_S]


def _last(event_id: str) -> str:
    return event_id.rsplit("/", 1)[-1]


def _stations(stations: StationTable, recordings: Sequence[Recording], stretches: Sequence[Stretch]) -> list[Finding]:
    recorded = {i for r in recordings for i in r.station_ids}
    picked = {p.station_id for s in stretches for p in s.picks}
    findings = []
    absent = [s.station_id for s in stations if s.station_id not in recorded]
    if absent:
        text = f"{len(absent)} listed stations have no waveform: {_few(absent)}."
        findings.append(Finding("note", text, kind="station without waveforms", place=", ".join(absent)))
    unpicked = sorted(recorded - picked)
    if unpicked:
        findings.append(
            Finding(
                "note",
                f"{len(unpicked)} recorded stations have no pick: {_few(unpicked)}; "
                "they still inform their neighbours.",
                kind="station without picks",
                place=", ".join(unpicked),
            )
        )
    components: dict[str, int] = {}
    for recording in recordings:
        for station_id, letters in zip(recording.station_ids, recording.components, strict=True):
            components[station_id] = max(components.get(station_id, 0), len(letters))
    for count, text in (
        (1, "one component, which stands in all three slots"),
        (2, "two components; the third is zero"),
    ):
        few = sorted(i for i, n in components.items() if n == count)
        if few:
            findings.append(Finding("note", f"{len(few)} stations have {text}: {_few(few)}."))
    return findings


def _times(catalogue: Catalogue, rate_hz: float) -> list[Finding]:
    sp = sp_times_s(catalogue)
    sp = sp[sp > 0]
    if not len(sp):
        return []
    findings = [
        Finding(
            "note", f"S-P times are {sp.min():.2f} to {sp.max():.2f} s, median {np.median(sp):.2f} s (n = {len(sp)})."
        )
    ]
    if np.median(sp) * rate_hz < SP_SAMPLES:
        findings.append(
            Finding(
                "warning",
                f"S follows P within {np.median(sp):.2f} s on half of the records, which is short for a network "
                "trained on 30 s windows at 100 Hz. Consider a larger time scale (--time-scale).",
                kind="short S-P times",
                place="all stations",
                value=f"{np.median(sp):.2f} s",
            )
        )
    return findings


def _offsets(stretches: Sequence[Stretch]) -> list[Finding]:
    findings = []
    for phase, offset in measure_label_offset(stretches).items():
        if offset.n < OFFSET_PICKS or offset.median_s is None or offset.quartiles_s is None:
            continue
        side, sign = ("early", 1) if offset.median_s > 0 else ("late", -1)
        low, high = sorted(sign * quartile for quartile in offset.quartiles_s)
        findings.append(
            Finding(
                "note" if suggest_convention(offset) == "onset" else "warning",
                f"{phase} picks are {abs(offset.median_s):.3f} s {side} of the onsets (median of {offset.n} clear "
                f"arrivals, quartiles {low:.3f} to {high:.3f} s). The adapter will pick as the catalogue does.",
                kind="label offset",
                place=phase,
                value=f"{abs(offset.median_s):.3f} s {side}",
            )
        )
    return findings


def _few(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
