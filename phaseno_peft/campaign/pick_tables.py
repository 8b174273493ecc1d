"""Picks as text: our own CSV, those of other pickers and associators, and NonLinLoc's observations (NLLOC_OBS)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import (
    UNASSOCIATED_ID,
    CatalogueEvent,
    LabelledPick,
    content_id,
    one_per_station_and_phase,
    phase_of,
)
from phaseno_peft.campaign.obspy_events import Tally, unassociated_events
from phaseno_peft.campaign.table_rows import table_rows
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_fields, station_id_of

COLUMNS = {
    "id": ("trace_id", "station_id", "id", "seed_id"),
    "network": ("network", "net"),
    "station": ("station", "sta", "station_code"),
    "location": ("location", "loc"),
    "phase": ("phase", "phase_type", "type", "phase_hint"),
    "time": ("time", "phase_time", "timestamp", "picktime", "pick_time"),
    "probability": ("probability", "prob", "phase_score", "score"),
    "uncertainty_s": ("uncertainty_s", "uncertainty", "pickerror"),
    "event": ("event_index", "event_idx", "event_id", "event"),
}
"""Our names of columns, and those of SeisBench, PhaseNet, GaMMA, PyOcto and QuakeMigrate."""
NO_EVENT = ("", "-1", "nan", "none")
UNUSED_ERROR_S = 9999.0
"""NonLinLoc writes errors from here on for readings that are not to be used."""
_OBSERVATION = re.compile(r"(\S+\s+){6}\d{8}\s+\d{1,4}\s+-?[\d.]+\s+\S+\s+[-+\d.eE]+(\s|$)")


_LONGEST_HEADER = 10_000
"""Characters; a longer first line is no table's."""


def events_of_table(name: str, text: str, tally: Tally) -> list[CatalogueEvent] | None:
    """Events of a text of picks, judged by its content; None where it is none.

    Picks without an event column are grouped by pauses. Raises `CampaignError` naming the line of a value that cannot
    be read.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    first = next((line for line in lines if not line.startswith(("PUBLIC_ID", "#"))), "")
    if _OBSERVATION.match(first):
        return _of_observations(name, text, tally)
    header = lines[0].strip()
    if len(header) > _LONGEST_HEADER:
        return None
    delimiter = max(",;\t", key=header.count)
    _, cells = next(table_rows(name, [header], delimiter), (1, []))
    names = [cell.strip().lower() for cell in cells]
    columns = {ours: names.index(theirs) for ours, all_ in COLUMNS.items() for theirs in all_ if theirs in names}
    if not {"phase", "time"} <= set(columns) or not {"id", "station"} & set(columns):
        return None
    return _of_rows(name, text, delimiter, columns, tally)


def _of_rows(name: str, text: str, delimiter: str, columns: dict[str, int], tally: Tally) -> list[CatalogueEvent]:
    groups: dict[str, list[LabelledPick]] = {}
    rows = table_rows(name, text.splitlines(), delimiter)
    next(rows)
    for line, row in rows:
        cell = {column: row[i].strip() if i < len(row) else "" for column, i in columns.items()}
        if not any(cell.values()) or cell["time"] == "-1":  # QuakeMigrate's word for a phase that was not picked
            continue
        tally.n_picks += 1
        phase = phase_of(cell["phase"])
        if phase is None:
            tally.ignored[cell["phase"]] += 1
            continue
        where = f"{name}: line {line}"
        try:
            pick = LabelledPick(
                pick_id="",
                event_id="",
                station_id=_station_id(cell),
                phase=phase,
                time=_time(cell["time"]),
                uncertainty_s=_uncertainty_s(cell.get("uncertainty_s", "")),
                usable=True,
                number=tally.n_picks,
                is_automatic="probability" in columns,
                phase_name=cell["phase"],
                weight=_probability(cell.get("probability", "")),
            )
        except (ValueError, CampaignError) as error:
            raise CampaignError(f"{where}: {error}") from error
        event = cell.get("event", "")
        groups.setdefault("" if event.lower() in NO_EVENT else event, []).append(pick)
    loose = groups.pop("", [])
    if groups and loose:
        tally.counts["belong to no event of the table; nothing is learnt within 1 s of them"] += len(loose)
        loose = [replace(pick, usable=False) for pick in loose]
    return [*(_event(picks, tally) for picks in groups.values()), *unassociated_events(loose, tally)]


def _of_observations(name: str, text: str, tally: Tally) -> list[CatalogueEvent]:
    """Events of NLLOC_OBS: blocks between blank lines (NonLinLoc manual, "Phase file format")."""
    made: list[CatalogueEvent] = []
    for public_id, block in _blocks(text):
        picks = []
        for number, line in block:
            tally.n_picks += 1
            fields = line.split()
            phase = phase_of(fields[4]) if len(fields) > 4 else None
            if len(fields) > 4 and phase is None:
                tally.ignored[fields[4]] += 1
                continue
            try:
                if not _OBSERVATION.match(line):
                    raise ValueError(f"{line.strip()[:80]!r} is no observation of NonLinLoc")
                pick = _observation(fields, str(phase), tally.n_picks)
            except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
                raise CampaignError(f"{name}: line {number}: {error}. Correct it, or leave the line out.") from error
            picks.append(pick)
        if public_id == UNASSOCIATED_ID:
            made += unassociated_events(picks, tally)
        elif picks:
            made.append(_event(picks, tally, public_id))
    return made


def _blocks(text: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """(public id or "", numbered lines) of every event."""
    public_id, block = "", list[tuple[int, str]]()
    for number, line in enumerate(text.splitlines(), start=1):
        starts = line.startswith("PUBLIC_ID")
        if (starts or not line.strip()) and block:
            yield public_id, block
            public_id, block = "", []
        if starts:
            public_id = line.removeprefix("PUBLIC_ID").strip()
        elif line.strip() and not line.startswith("#"):
            block.append((number, line))
    if block:
        yield public_id, block


def _observation(fields: Sequence[str], phase: str, number: int) -> LabelledPick:
    day, clock = fields[6], fields[7].zfill(4)
    minute = UTCDateTime(int(day[:4]), int(day[4:6]), int(day[6:])) + 3600 * int(clock[:2]) + 60 * int(clock[2:])
    error_s = float(fields[10])
    prior = float(fields[14]) if len(fields) > 14 else 1.0
    is_used = 0 <= error_s < UNUSED_ERROR_S
    return LabelledPick(
        pick_id="",
        event_id="",
        station_id=station_id_of("", fields[0], ""),
        phase=phase,
        time=UTCDateTime(ns=minute.ns + round(float(fields[8]) * 1e6) * 1000),
        uncertainty_s=error_s if is_used else None,
        usable=is_used and prior > 0,
        number=number,
        phase_name=fields[4],
        weight=prior,
    )


def _event(picks: Sequence[LabelledPick], tally: Tally, event_id: str = "") -> CatalogueEvent:
    event_id = event_id or content_id([(p.station_id, p.phase, p.time) for p in picks])
    named = [replace(p, event_id=event_id, pick_id=f"{event_id}/{p.station_id}/{p.phase}/{p.time.ns}") for p in picks]
    kept = one_per_station_and_phase(named)
    said = "repeat a phase of the same event and station; the heavier or earlier is kept"
    tally.counts[said] += len(picks) - len(kept)
    return CatalogueEvent(event_id, None, None, None, None, kept)


def _station_id(cell: dict[str, str]) -> str:
    """NET.STA.LOC of a row: from its fields, or from an id that may lack a location or carry a band code."""
    if "network" in cell and "station" in cell:
        return station_id_of(cell["network"], cell["station"], cell.get("location"))
    text = cell.get("id") or cell.get("station", "")
    if not text:
        raise ValueError("names no station. Fill the column 'station' or 'trace_id'.")
    fields = text.split(".")
    if len(fields) <= 2:
        return station_id_of(fields[0] if len(fields) == 2 else "", fields[-1], "")
    if len(fields) == 4 and len(fields[2]) <= 2 and re.fullmatch(r"[A-Z][A-Z]{0,2}\w?", fields[3]):
        text = text.rpartition(".")[0]  # PhaseNet and GaMMA write NET.STA.LOC.BAND
    return station_id_of(*station_fields(text))


def _time(text: str) -> UTCDateTime:
    try:
        if re.match(r"\d{4}-\d{2}-\d{2}[T ]", text):
            return UTCDateTime(text)
        seconds = float(text)
        if 1e8 <= seconds < 1e10:  # Unix seconds, as PyOcto has them
            return UTCDateTime(seconds)
    except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
        raise ValueError(f"time should be like 2013-09-05T02:08:14.120000Z but is {text!r}.") from error
    raise ValueError(f"time should be like 2013-09-05T02:08:14.120000Z but is {text!r}.")


def _uncertainty_s(text: str) -> float | None:
    value = float(text) if text else math.nan
    return value if math.isfinite(value) and value >= 0 else None


def _probability(text: str) -> float:
    value = float(text) if text else 1.0
    if not 0 <= value <= 1:
        raise ValueError(f"probability should be a number between 0 and 1 but is {text!r}.")
    return value
