"""Tables of picks: our own CSV, those of other pickers and associators, by their columns."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick, phase_of
from phaseno_peft.campaign.seisbench_files import finite_number
from phaseno_peft.campaign.table_rows import table_rows
from phaseno_peft.campaign.tally import Hypocentre, Tally, event_of_picks
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_fields, station_id_of

COLUMNS = {
    "id": ("trace_id", "station_id", "id", "seed_id"),
    "network": ("network", "net", "network_code", "station_network_code"),
    "station": ("station", "sta", "station_code"),
    "location": ("location", "loc", "location_code", "station_location_code"),
    "phase": ("phase", "phase_type", "type", "phase_hint", "phase_name"),
    "time": ("time", "phase_time", "timestamp", "picktime", "pick_time", "peak_time", "arrival_time"),
    "probability": ("probability", "prob", "phase_score", "score"),
    "uncertainty_s": ("uncertainty_s", "uncertainty", "pickerror"),
    "event": ("event_index", "event_idx", "event_id", "event"),
}
"""Our names of columns, and those of SeisBench, PhaseNet, GaMMA, PyOcto and QuakeMigrate."""
NO_EVENT = ("", "-1", "nan", "none")
PHASE_TIMES = {
    "P": {"time": "p_arrival_time", "probability": "p_probability"},
    "S": {"time": "s_arrival_time", "probability": "s_probability"},
}
"""Columns of EQTransformer's X_prediction_results.csv, one row a detection at a station. Its uncertainties are of the
probabilities, not of the times."""
_ARRIVAL_SAMPLE = re.compile(r"trace_(\w+)_arrival_sample")
"""Columns of SeisBench's metadata, one row a trace: samples since trace_start_time."""
_REAL_ROW = re.compile(r"\d{4},\d\d?,\d\d?,\w*,\w+,\d+,[\d.]+,[\d.]+(e-\d+)?,[-+\d.e]+")
_COLUMN_MAP = "# columns:"
_LONGEST_HEADER = 10_000
"""Characters; a longer first line is no table's."""

Cells = dict[str, str]
"""What stands under our names of the columns."""


def events_of_table(name: str, text: str, tally: Tally) -> list[CatalogueEvent] | None:
    """Events of a table of picks, judged by its header; None where it is none.

    A first line "# columns: time=Arrival,phase=Wave,station=Geophone" says what other names mean. Picks without an
    event column are left to the tally. Raises `CampaignError` naming the line of a value that cannot be read.
    """
    given, text, first_line = _column_map(name, text)
    lines = [line for line in text.splitlines() if line.strip()]
    header = lines[0].strip() if lines else ""
    if not header or len(header) > _LONGEST_HEADER:
        return None
    delimiter = max(",;\t|", key=header.count)
    _, cells = next(table_rows(name, [header], delimiter), (1, []))
    names = [cell.strip().lower() for cell in cells]
    columns = {
        ours: names.index(theirs) for ours, all_ in COLUMNS.items() for theirs in reversed(all_) if theirs in names
    }  # the first of several names wins
    for ours, theirs in given.items():
        if theirs not in names:
            raise CampaignError(
                f"{name}: line 1 names a column {theirs!r}, which is not in the header {header[:120]!r}."
            )
        columns[ours] = names.index(theirs)
    if not {"id", "station"} & set(columns):
        return None
    picks_of_row: Callable[[Cells, Cells], Iterator[Cells]]
    if {"phase", "time"} <= set(columns):
        picks_of_row = _one_pick
    elif {columns_of["time"] for columns_of in PHASE_TIMES.values()} <= set(names):
        picks_of_row = _detected
    elif any(_ARRIVAL_SAMPLE.fullmatch(column) for column in names) or "trace_start_time" in names:
        if "trace_start_time" not in names:
            raise CampaignError(
                f"{name}: is SeisBench metadata without trace_start_time: its arrivals are samples of records without "
                "a time. Add the column, or use the set with `phaseno-peft pretrain`, which needs no times."
            )
        if not any(_ARRIVAL_SAMPLE.fullmatch(column) for column in names):
            raise CampaignError(
                f"{name}: is SeisBench metadata without arrivals (no column trace_P_arrival_sample or the like). "
                "Give metadata of a set with picks."
            )
        picks_of_row = _of_samples
    else:
        return None
    return _of_rows(name, text, delimiter, names, columns, picks_of_row, tally, first_line)


def _column_map(name: str, text: str) -> tuple[dict[str, str], str, int]:
    """(our column -> theirs in lower case, the text behind the map, number of its first line)."""
    first, _, rest = text.partition("\n")
    if not first.lower().startswith(_COLUMN_MAP):
        return {}, text, 1
    given: dict[str, str] = {}
    for pair in first[len(_COLUMN_MAP) :].split(","):
        ours, equals, theirs = (part.strip().lower() for part in pair.partition("="))
        if not equals or ours not in COLUMNS:
            raise CampaignError(
                f"{name}: line 1: {pair.strip()[:60]!r} is not OURS=THEIRS. Ours are {', '.join(COLUMNS)}."
            )
        given[ours] = theirs
    return given, rest, 2


def events_of_real_table(name: str, text: str, tally: Tally) -> list[CatalogueEvent] | None:
    """The table that REAL's scripts split into files of picks: year,month,day,NET,STA,1,seconds of the day,probability,
    amplitude, without a header. Only the file's ending, .p or .s, says the phase. None where the text is none.
    """
    rows = text.splitlines()
    if not rows or not _REAL_ROW.fullmatch(rows[0].strip()):
        return None
    phase = name.rpartition(".")[2].upper()
    if phase not in ("P", "S"):
        raise CampaignError(
            f"{name}: holds REAL's picks, whose phase only the file's ending tells. Name the file .p or .s."
        )
    for line, row in table_rows(name, rows, ","):
        if not row:
            continue
        try:
            if not _REAL_ROW.fullmatch(",".join(row)):
                raise ValueError("is not year,month,day,NET,STA,1,seconds,probability,amplitude.")
            year, month, day = (int(cell) for cell in row[:3])
            time = UTCDateTime(year, month, day) + float(row[6])
            cell = {"network": row[3], "station": row[4], "phase": phase, "time": str(time), "probability": row[7]}
            tally.n_picks += 1
            if (pick := _pick(cell, tally, is_automatic=True)) is not None:
                tally.loose.append(pick)
        except (ValueError, OverflowError, CampaignError) as error:
            raise CampaignError(f"{name}: line {line}: {error}") from error
    return []


def _one_pick(_: Cells, cell: Cells) -> Iterator[Cells]:
    if any(cell.values()) and cell["time"] != "-1":  # QuakeMigrate's word for a phase that was not picked
        yield cell


def _detected(row: Cells, cell: Cells) -> Iterator[Cells]:
    for phase, columns in PHASE_TIMES.items():
        if row.get(columns["time"]):
            yield {**cell, "phase": phase, **{ours: row.get(theirs, "") for ours, theirs in columns.items()}}


def _of_samples(row: Cells, cell: Cells) -> Iterator[Cells]:
    for column, sample in row.items():
        if not sample or sample.lower() == "nan" or not (match := _ARRIVAL_SAMPLE.fullmatch(column)):
            continue
        rate = row.get("trace_sampling_rate_hz") or "nan"
        if rate == "nan" and (period_s := finite_number(row.get("trace_dt_s"))):
            rate = str(1 / period_s)
        rate_hz, offset = float(rate), float(sample)
        if not 0 < rate_hz < math.inf or not math.isfinite(offset):
            raise ValueError(
                f"{column} is {sample} at a sampling rate of {rate!r} Hz. Fill the column trace_sampling_rate_hz."
            )
        start = re.sub(r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3", row.get("trace_start_time", ""))
        status = row.get(f"trace_{match[1]}_status", "")
        yield {
            **cell,
            "phase": match[1],
            "time": str(time_of_text(start) + offset / rate_hz),
            "uncertainty_s": row.get(f"trace_{match[1]}_uncertainty_s", ""),
            "probability": "",
            "status": status,
            "event": row.get("source_id", ""),
        }


def _of_rows(
    name: str,
    text: str,
    delimiter: str,
    names: Sequence[str],
    columns: dict[str, int],
    picks_of_row: Callable[[Cells, Cells], Iterator[Cells]],
    tally: Tally,
    first_line: int,
) -> list[CatalogueEvent]:
    groups: dict[str, list[LabelledPick]] = {}
    hypocentres: dict[str, Hypocentre] = {}
    rows = table_rows(name, text.splitlines(), delimiter, first_line)
    next(rows)
    for line, row in rows:
        full = dict(zip(names, (cell.strip() for cell in row), strict=False))
        cell = {column: row[i].strip() if i < len(row) else "" for column, i in columns.items()}
        try:
            for found in picks_of_row(full, cell):
                tally.n_picks += 1
                pick = _pick(found, tally, is_automatic="probability" in columns or picks_of_row is _detected)
                if pick is not None:
                    event = found.get("event", "")
                    groups.setdefault("" if event.lower() in NO_EVENT else event, []).append(pick)
                    if picks_of_row is _of_samples and event not in hypocentres:
                        hypocentres[event] = _hypocentre(full)
        except (ValueError, CampaignError) as error:
            raise CampaignError(f"{name}: line {line}: {error}") from error
    loose = groups.pop("", [])
    if groups and loose:
        tally.counts["belong to no event of the table; nothing is learnt within 1 s of them"] += len(loose)
        loose = [replace(pick, usable=False) for pick in loose]
    tally.loose += loose
    if picks_of_row is _of_samples:  # an event's records may lie in several chunks of a set
        for event, picks in groups.items():
            at = hypocentres[event]
            tally.by_event.setdefault(f"source_id {event}", (at, []))[1].extend(picks)
        return []
    return [event_of_picks(picks, tally) for picks in groups.values()]


def _hypocentre(row: Cells) -> Hypocentre:
    """What SeisBench's metadata say of a record's event; a value that is no number or time counts as not given."""
    latitude_deg, longitude_deg, depth_km = (
        finite_number(row.get(f"source_{column}")) for column in ("latitude_deg", "longitude_deg", "depth_km")
    )
    try:
        time = time_of_text(re.sub(r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3", row.get("source_origin_time", "")))
    except ValueError:
        time = None
    return time, latitude_deg, longitude_deg, None if depth_km is None else 1000 * depth_km


def _pick(cell: Cells, tally: Tally, *, is_automatic: bool) -> LabelledPick | None:
    """A row's pick; None for a phase that is neither P nor S. Raises `ValueError` or `CampaignError`."""
    phase = phase_of(cell["phase"])
    if phase is None:
        tally.ignored[cell["phase"]] += 1
        return None
    return LabelledPick(
        pick_id="",
        event_id="",
        station_id=station_of_row(cell),
        phase=phase,
        time=time_of_text(cell["time"]),
        uncertainty_s=_uncertainty_s(cell.get("uncertainty_s", "")),
        usable=True,
        number=tally.n_picks,
        is_automatic=is_automatic or cell.get("status", "") == "automatic",
        phase_name=cell["phase"],
        weight=_probability(cell.get("probability", "")),
    )


def station_of_row(cell: dict[str, str]) -> str:
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


def time_of_text(text: str) -> UTCDateTime:
    """A time in ISO 8601 or Unix seconds. Raises `ValueError` with a sentence."""
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
