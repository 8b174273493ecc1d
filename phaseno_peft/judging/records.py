"""Record sections of what was judged: which windows are shown, in which order, and how they are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phaseno_peft.judging.evidence import ADAPTER, FROZEN, Judged
from phaseno_peft.judging.judged_picks import JudgedPick

if TYPE_CHECKING:
    from phaseno_peft.figures.lanes import Lanes, Mark

MOST_WHOLE = 60
"""So many windows are drawn with all stations; of others only the stations with a false or missed pick."""
MOST_STATIONS = 30
"""In one record section; those with labels and picks first."""
KINDS = {"found": "pick", "missed": "missed", "false": "false", "not judged": "not judged"}


@dataclass(frozen=True)
class Record:
    """One window that is shown."""

    window: int
    anchor: str
    title: str
    counts: Counter[str]
    """Outcome -> number, both phases, of the adapter."""
    is_whole: bool
    """All stations are drawn, up to `MOST_STATIONS`."""


def choose_records(judged: Judged, rows: Sequence[JudgedPick]) -> list[Record]:
    """Return the windows to show: events from the worst to the best F1, then noise with false picks, the worst first.

    `rows` are the adapter's. Beyond `MOST_WHOLE` windows those without a false or missed pick are left out.
    """
    windows = judged.shown[ADAPTER].windows
    counts: dict[int, Counter[str]] = {i: Counter() for i in range(len(windows))}
    spread: dict[int, list[float]] = {i: [] for i in range(len(windows))}
    for row in rows:
        counts[row.window][row.outcome] += 1
        if row.outcome == "found":
            spread[row.window].append(abs(row.residual_samples))
    events = [i for i, window in enumerate(windows) if not window.is_noise and counts[i]]
    events.sort(key=lambda i: (_f1(counts[i]), -float(np.median(spread[i])) if spread[i] else 0.0))
    noise = sorted(
        (i for i, window in enumerate(windows) if window.is_noise and counts[i]["false"]),
        key=lambda i: -counts[i]["false"],
    )
    always = {events[0], events[len(events) // 2], events[-1]} if events else set()
    records: list[Record] = []
    whole = len(always)
    for i in [*events, *noise]:
        is_whole = i in always or whole < MOST_WHOLE
        whole += is_whole and i not in always
        if not is_whole and not counts[i]["false"] + counts[i]["missed"]:
            continue
        records.append(Record(i, f"record-{len(records) + 1}", _title(judged, i, counts[i]), counts[i], is_whole))
    return records


def standing_out(judged: Judged, records: Sequence[Record]) -> dict[str, Record]:
    """Return the records of the worst, the median and the best event by name; fewer where there are fewer."""
    windows = judged.shown[ADAPTER].windows
    events = [record for record in records if not windows[record.window].is_noise]
    if not events:
        return {}
    ranked = sorted(events, key=lambda record: _f1(record.counts))  # stable: keeps the order among equals
    chosen = {"worst event": ranked[0], "median event": ranked[len(ranked) // 2], "best event": ranked[-1]}
    return dict(list(chosen.items())[: len(ranked)])


def lanes(judged: Judged, record: Record, rows: Sequence[JudgedPick], frozen_rows: Sequence[JudgedPick]) -> Lanes:
    """Return the record section of one window; `rows` and `frozen_rows` are those of this window."""
    from phaseno_peft.figures.lanes import Lanes

    predictions = judged.shown
    window = predictions[FROZEN].windows[record.window]  # labels as the catalogue has them
    shift_s = judged.judgement.shifts_s(ADAPTER)[record.window]
    return Lanes(
        window=window,
        marks=[*_marks(rows, frozen_rows)],
        stations=_stations(judged, record, rows),
        names={row: _name(judged, record, row, rows) for row in range(len(window.station_ids))},
        probability=predictions[ADAPTER].probabilities[record.window],
        other_probability=predictions[FROZEN].probabilities[record.window],
        shift_samples={phase: s * window.rate_hz for phase, s in shift_s.items()},
    )


def _marks(rows: Sequence[JudgedPick], frozen_rows: Sequence[JudgedPick]) -> Iterator[Mark]:
    from phaseno_peft.figures.lanes import Mark

    for row in frozen_rows:
        if row.outcome != "missed":
            yield Mark(row.station, row.phase, "other pick", row.pick_sample)
    for row in rows:
        if row.outcome == "found":
            yield Mark(row.station, row.phase, "label", row.label_sample)
        at = row.label_sample if row.outcome == "missed" else row.pick_sample
        yield Mark(row.station, row.phase, KINDS[row.outcome], at)  # type: ignore[arg-type]  # one of its kinds


def _stations(judged: Judged, record: Record, rows: Sequence[JudgedPick]) -> list[int]:
    """By epicentral distance, without one by first arrival."""
    window = judged.shown[ADAPTER].windows[record.window]
    first = dict.fromkeys(range(len(window.station_ids)), np.inf)
    for row in rows:
        first[row.station] = min(first[row.station], row.sample)
    event_ids = {row.event_id for row in rows if row.event_id}
    distance = {
        row: min((judged.distances_km.get((e, window.station_ids[row]), np.inf) for e in event_ids), default=np.inf)
        for row in first
    }
    shown = [
        row
        for row in first
        if record.is_whole or any(r.station == row and r.outcome in ("false", "missed") for r in rows)
    ]
    wrong = {r.station for r in rows if r.outcome in ("false", "missed")}
    shown = sorted(shown, key=lambda row: (row not in wrong, first[row], row))[:MOST_STATIONS]
    return sorted(shown, key=lambda row: (distance[row], first[row], row))


def _name(judged: Judged, record: Record, row: int, rows: Sequence[JudgedPick]) -> str:
    station_id = judged.shown[ADAPTER].windows[record.window].station_ids[row]
    event_ids = {r.event_id for r in rows if r.event_id}
    known = [judged.distances_km[e, station_id] for e in event_ids if (e, station_id) in judged.distances_km]
    return f"{station_id.rstrip('.')}\n{min(known):.1f} km" if known else station_id.rstrip(".")


def _title(judged: Judged, i: int, counts: Counter[str]) -> str:
    window = judged.shown[ADAPTER].windows[i]
    start = window.start.strftime("%Y-%m-%d %H:%M:%S")
    if window.is_noise:
        return f"noise from {start}, {counts['false']} false"
    more = f", {counts['not judged']} where the catalogue is silent" if counts["not judged"] else ""
    return f"event of {start}: {counts['found']} found, {counts['missed']} missed, {counts['false']} false{more}"


def _f1(counts: Counter[str]) -> float:
    return 2 * counts["found"] / max(2 * counts["found"] + counts["missed"] + counts["false"], 1)
