"""Tables of picks: our own CSV, those of other pickers and associators, by their columns."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick, phase_of
from phaseno_peft.campaign.pick_columns import (
    ARRIVAL_SAMPLE,
    COLUMNS,
    DATE_AND_CLOCK,
    PARTS_OF_A_SECOND,
    PARTS_OF_A_TIME,
    S_MINUS_P,
    ZONE,
    has_times,
    is_header_of_picks,
    is_seisbench,
    names_a_station,
    phase_columns,
)
from phaseno_peft.campaign.seisbench_files import finite_number
from phaseno_peft.campaign.table_headings import Headings, find_headings
from phaseno_peft.campaign.table_numbers import SECONDS, factor, is_missing, number
from phaseno_peft.campaign.table_rows import table_rows
from phaseno_peft.campaign.table_times import (
    DayOrder,
    are_compact,
    day_order,
    has_zone,
    is_of_either_order,
    joined,
    offset_of,
    time_of,
    zone_told,
    zone_told_above,
)
from phaseno_peft.campaign.tally import Hypocentre, Tally, event_of_picks
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_fields, station_id_of

NO_EVENT = ("", "-1", "nan", "none")
_REAL_ROW = re.compile(r"\d{4},\d\d?,\d\d?,\w*,\w+,\d+,[\d.]+,[\d.]+(e-\d+)?,[-+\d.e]+")
_COLUMN_MAP = "# columns:"
_HYPO71_PHASE = re.compile(r"[IEQieq]?(?P<phase>[PSps])[ UDCRudcr+.-]?(?P<weight>[0-4])")
"""As IPU0 or ES 2: quality, phase, first motion, weight from 0 (full) to 4 (none), HYPO71's."""
_FEWEST_WHOLE = 5
"""Picks that all lie on whole seconds, from which on that is no chance."""
_LONGEST_EVENT_S = 600.0
"""Picks of one event of a table do not lie so long after each other: its number is given again."""
_HALF_A_DAY_S = 43200.0
_LONGEST_RECORD_S = 1e9
"""Of a record with an arrival: thirty years."""
_DIGITS = {"millisecond": 3, "microsecond": 6}
"""Of a whole number of them."""
_UNREAD = ("weight", "wt", "quality", "qual", "class", "pick_quality")
"""Columns that may say which picks are bad, in scales that differ from file to file."""

_BAD = ("reject", "bad", "delete", "false", "discard", "invalid")
"""How the status of a pick begins that is none."""

Cells = dict[str, str]
"""What stands under our names of the columns."""


def events_of_table(name: str, text: str, tally: Tally, *, blanks: bool = False) -> list[CatalogueEvent] | None:
    """Events of a table of picks, judged by its header; None where it is none.

    The header may stand below a title or comments; comma, semicolon, tab or bar part the cells, blanks only with
    `blanks` (bulletins look like such tables). One row is a pick, or a station with a column for each phase. A first
    line "# columns: time=Arrival,phase=Wave,station=Geophone" says what other names mean. Picks without an event
    column are left to the tally. Raises `CampaignError` naming the line of a value that cannot be read.
    """
    given, text, first_line = _column_map(name, text)

    def is_header(headings: Headings) -> bool:
        if given:
            return True
        return (blanks or bool(headings.delimiter)) and is_header_of_picks(headings)

    headings = find_headings(name, text, is_header, first_line)
    if headings is None:
        if not blanks:
            _refuse_incomplete(name, text)
        return None
    columns = headings.columns(COLUMNS)
    for ours, theirs in given.items():
        if theirs not in headings.raw:
            header = headings.delimiter.join(headings.raw)
            raise CampaignError(
                f"{name}: line 1 names a column {theirs!r}, which is not in the header {header[:120]!r}."
            )
        columns[ours] = headings.raw.index(theirs)
    return _of_rows(headings, columns, _layout(headings, columns), tally)


def _layout(headings: Headings, columns: dict[str, int]) -> Callable[[Cells, Cells], Iterator[Cells]]:
    """What makes picks of a row. Raises `CampaignError` where the columns do not suffice."""
    name = headings.name
    if "phase" in columns and (has_times(headings) or "time" in columns):
        return _one_pick
    if by_phase := phase_columns(headings):
        return partial(_by_phase, headings.raw, by_phase)
    if is_seisbench(headings):
        if "trace_start_time" not in headings.raw:
            raise CampaignError(
                f"{name}: is SeisBench metadata without trace_start_time: its arrivals are samples of records without "
                "a time. Add the column, or use the set with `phaseno-peft pretrain`, which needs no times."
            )
        if not any(ARRIVAL_SAMPLE.fullmatch(column) for column in headings.raw):
            raise CampaignError(
                f"{name}: is SeisBench metadata without arrivals (no column trace_P_arrival_sample or the like). "
                "Give metadata of a set with picks."
            )
        return _of_samples
    raise CampaignError(
        f"{name}: the columns {', '.join(headings.raw)[:120]!r} give no phase with a time. Name them in the map: "
        "# columns: station=...,phase=...,time=..."
    )


def _refuse_incomplete(name: str, text: str) -> None:
    """Raise `CampaignError` where the first line is nearly the header of a table of picks."""
    headings = find_headings(name, text, lambda _: True)
    if headings is None or not headings.delimiter:
        return
    columns = headings.columns(COLUMNS)
    has = {"station": names_a_station(headings), "phase": "phase" in columns, "time": has_times(headings)}
    missing = [column for column, there in has.items() if not there]
    if len(missing) == 1 and missing != ["time"]:
        header = headings.delimiter.join(headings.raw)
        raise CampaignError(
            f"{name}: column {missing[0]!r} is missing; the header is {header[:120]!r}. Add it, or say what it is "
            f"called in a first line: # columns: {missing[0]}=..."
        )


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
    read = _PickReader(Headings(name, 0, ",", (), ()), {}, tally, is_automatic=True)
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
            if (pick := read.pick(cell)) is not None:
                tally.loose.append(pick)
        except (ValueError, OverflowError, CampaignError) as error:
            raise CampaignError(f"{name}: line {line}: {error}") from error
    return []


def _one_pick(_: Cells, cell: Cells) -> Iterator[Cells]:
    if any(cell.values()) and cell["time"] != "-1":  # QuakeMigrate's word for a phase that was not picked
        yield cell


def _by_phase(raw: Sequence[str], by_phase: dict[str, dict[str, int]], row: Cells, cell: Cells) -> Iterator[Cells]:
    found: dict[str, Cells] = {}
    for phase, columns in by_phase.items():
        values = {ours: row.get(raw[at], "") for ours, at in columns.items()}
        if "time" not in values:
            values["time"] = _of_parts({**cell, **values})
        if not is_missing(values["time"]) and values["time"] != "-1":
            values["time"] = joined(cell.get("date", ""), values["time"])
            found[phase] = {**cell, "phase": phase, "probability": "", **values}
    if cell.get("date") and {"P", "S"} <= set(found):
        try:
            p, s = (time_of(found[phase]["time"]) for phase in ("P", "S"))
        except ValueError:  # told when the pick is read, with the order of days and months
            p = s = UTCDateTime(0)
        if p - s > _HALF_A_DAY_S:
            found["S"] |= {"time": str(s + 2 * _HALF_A_DAY_S), "next_day": "yes"}
    yield from found.values()


def _of_samples(row: Cells, cell: Cells) -> Iterator[Cells]:
    for column, sample in row.items():
        if not sample or sample.lower() == "nan" or not (match := ARRIVAL_SAMPLE.fullmatch(column)):
            continue
        rate = row.get("trace_sampling_rate_hz") or "nan"
        if rate == "nan" and (period_s := finite_number(row.get("trace_dt_s"))):
            rate = str(1 / period_s)
        rate_hz, offset = float(rate), float(sample)
        if not 0 < rate_hz < math.inf or not abs(offset) / rate_hz < _LONGEST_RECORD_S:
            raise ValueError(
                f"{column} is {sample} at a sampling rate of {rate!r} Hz. Fill the column trace_sampling_rate_hz."
            )
        start = re.sub(r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3", row.get("trace_start_time", ""))
        status = row.get(f"trace_{match[1]}_status", "")
        yield {
            **cell,
            "phase": match[1],
            "time": str(time_of(start) + offset / rate_hz),
            "uncertainty_s": row.get(f"trace_{match[1]}_uncertainty_s", ""),
            "probability": "",
            "status": status,
            "event": row.get("source_id", ""),
        }


def _of_rows(
    headings: Headings,
    columns: dict[str, int],
    picks_of_row: Callable[[Cells, Cells], Iterator[Cells]],
    tally: Tally,
) -> list[CatalogueEvent]:
    name, raw = headings.name, headings.raw
    groups: dict[str, list[LabelledPick]] = {}
    hypocentres: dict[str, Hypocentre] = {}
    parts = {} if "time" in columns else headings.columns(PARTS_OF_A_TIME)
    columns = {**columns, **parts, **headings.columns(DATE_AND_CLOCK)}
    by_phase = picks_of_row.args[1] if isinstance(picks_of_row, partial) else {}
    if picks_of_row is not _of_samples:
        columns = _checked_columns(headings, columns, by_phase, tally)
    read = _PickReader(headings, columns, tally, is_automatic=_is_automatic(columns, picks_of_row))
    for line, row in headings.rows():
        if row and row[0].lstrip().startswith("#"):
            continue
        full = dict(zip(raw, (cell.strip() for cell in row), strict=False))
        cell = {column: row[i].strip() if i < len(row) else "" for column, i in columns.items()}
        try:
            if parts and picks_of_row is _one_pick:
                cell["time"] = _of_parts(cell)
            elif picks_of_row is _one_pick:
                cell["time"] = joined(cell.get("date", ""), cell["time"])
            for found in picks_of_row(full, cell):
                if is_missing(found["time"]):
                    tally.incomplete["no time"] += 1
                    continue
                tally.n_picks += 1
                if found.get("next_day"):
                    tally.counts["of S lie after midnight, and are taken for the day after their row's date"] += 1
                pick = read.pick({**found, "time": _with_zone_and_decimals(found)})
                if pick is not None:
                    event = found.get("event", "")
                    groups.setdefault("" if event.lower() in NO_EVENT else event, []).append(pick)
                    if picks_of_row is _of_samples and event not in hypocentres:
                        hypocentres[event] = _hypocentre(full)
        except (ValueError, CampaignError) as error:
            raise CampaignError(f"{name}: line {line}: {error}") from error
    times_ns = [pick.time.ns for picks in groups.values() for pick in picks]
    if len(times_ns) >= _FEWEST_WHOLE and not any(ns % 10**9 for ns in times_ns):
        tally.doubts["lie on whole seconds, all of this table; its decimals may have been lost"] += len(times_ns)
    loose = groups.pop("", [])
    if groups and loose:
        tally.counts["belong to no event of the table; nothing is learnt within 1 s of them"] += len(loose)
        loose = [replace(pick, usable=False) for pick in loose]
    tally.loose += loose
    if picks_of_row is _of_samples:  # an event's records may lie in several chunks of a set
        for event, picks in groups.items():
            hypocentre = hypocentres[event]
            tally.by_event.setdefault(f"source_id {event}", (hypocentre, []))[1].extend(picks)
        return []
    made = []
    for picks in groups.values():
        parted = _parted(picks)
        if len(parted) > 1:
            tally.doubts[
                f"have an event number that is given again more than {_LONGEST_EVENT_S / 60:.0f} minutes later; each "
                "time it counts as an event of its own. Give each event one number"
            ] += len(picks)
        made += [event_of_picks(each, tally) for each in parted]
    return made


def _checked_columns(
    headings: Headings, columns: Mapping[str, int], by_phase: Mapping[str, Mapping[str, int]], tally: Tally
) -> dict[str, int]:
    """The columns and those of decimals and time zones. Raises `CampaignError` for headings that cannot be right."""
    raw = headings.raw
    taken = {*columns.values(), *(i for of_phase in by_phase.values() for i in of_phase.values())}
    headings.refuse_doubles(taken)
    _refuse_zones(headings, columns, by_phase)
    odd = [heading for heading in raw if S_MINUS_P.fullmatch(heading)]
    if by_phase and "S" not in by_phase and odd:
        raise CampaignError(
            f"{headings.name}: column {odd[0]!r} gives S only as S-P. Give a column with the times of S."
        )
    unread = [heading for i, heading in enumerate(raw) if heading in _UNREAD and i not in taken]
    if unread:
        tally.remarks.append(
            f"{headings.name}: column {unread[0]!r} is not read. Where it says which picks are bad, write 'rejected' "
            "into a column 'status' of these."
        )
    more = {**headings.columns(PARTS_OF_A_SECOND), **headings.columns(ZONE)}
    return {**columns, **{ours: i for ours, i in more.items() if i not in taken}}


def _parted(picks: Sequence[LabelledPick]) -> list[list[LabelledPick]]:
    """Picks of one event number, parted where the next comes too late to be of the same event."""
    parted: list[list[LabelledPick]] = []
    for pick in sorted(picks, key=lambda p: p.time.ns):
        if not parted or pick.time - parted[-1][-1].time > _LONGEST_EVENT_S:
            parted.append([])
        parted[-1].append(pick)
    return parted


def _refuse_zones(headings: Headings, columns: Mapping[str, int], by_phase: Mapping[str, Mapping[str, int]]) -> None:
    """Raise `CampaignError` where a heading of a time, or a title above, says another zone than UTC."""
    at = {columns[c] for c in ("time", "date", "hour") if c in columns}
    at |= {of_phase[c] for of_phase in by_phase.values() for c in ("time", "hour") if c in of_phase}
    told = [(f"the column {headings.raw[i]!r}", zone_told(headings.raw[i])) for i in sorted(at)]
    told += [(f"the title {line.strip()[:80]!r}", zone_told_above(line)) for line in headings.title]
    for where, zone in told:
        if zone is not None:
            raise CampaignError(
                f"{headings.name}: {where} says that times are {zone!r}, not UTC. Give them in UTC and take the word "
                "away, or write the offset behind each, as in 2013-09-05T02:08:14.12-07:00."
            )


def _with_zone_and_decimals(cell: Cells) -> str:
    """The text of a time with what columns of their own say of its zone and of parts of its second.

    Raises `ValueError`.
    """
    time = cell["time"].strip()
    decimals = re.search(r":\d\d[.,](\d+)", time)
    if decimals is None or not decimals[1].strip("0"):
        time = re.sub(r"(:\d\d)[.,]0*", r"\1", time)
        for part, n in _DIGITS.items():
            text = cell.get(part, "").strip()
            if re.fullmatch(rf"\d{{1,{n}}}(\.0*)?", text):
                time = re.sub(r"(\d:\d\d:\d\d?)", rf"\g<1>.{int(float(text)):0{n}d}", time, count=1)
                break
        else:
            if re.fullmatch(r"0?[.,]\d+", text := cell.get("fraction", "").strip()):
                time = re.sub(r"(\d:\d\d:\d\d?)", rf"\g<1>.{re.split('[.,]', text)[1]}", time, count=1)
    if (zone := cell.get("zone", "")) and not has_zone(time):
        offset = offset_of(zone)
        if offset is None:
            raise ValueError(
                f"the time zone {zone!r} is not an offset from UTC. Give times in UTC, or offsets such as -07:00."
            )
        time += offset
    return time


def _hypocentre(row: Cells) -> Hypocentre:
    """What SeisBench's metadata say of a record's event; a value that is no number or time counts as not given."""
    latitude_deg, longitude_deg, depth_km = (
        finite_number(row.get(f"source_{column}")) for column in ("latitude_deg", "longitude_deg", "depth_km")
    )
    try:
        time = time_of(re.sub(r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3", row.get("source_origin_time", "")))
    except ValueError:
        time = None
    return time, latitude_deg, longitude_deg, None if depth_km is None else 1000 * depth_km


def _is_automatic(columns: Mapping[str, int], picks_of_row: Callable[[Cells, Cells], Iterator[Cells]]) -> bool:
    """Whether a program made the picks, as far as the columns tell: people give no probabilities."""
    by_phase = isinstance(picks_of_row, partial) and any("probability" in c for c in picks_of_row.args[1].values())
    return "probability" in columns or by_phase


@dataclass(frozen=True)
class _PickReader:
    """Makes picks of cells, by what the table's headings say of all of them."""

    headings: Headings
    columns: Mapping[str, int]
    tally: Tally
    is_automatic: bool

    @cached_property
    def order(self) -> DayOrder | None:
        """Of days and months in the columns of times, if it can be told."""
        at = [
            i for i, heading in enumerate(self.headings.raw) if re.search("time|date|pick|arriv|onset|^[ps]$", heading)
        ]
        at += [self.columns[column] for column in ("time", "date") if column in self.columns]
        return day_order(row[i] for _, row in self.headings.rows() for i in at if i < len(row))

    @cached_property
    def seconds(self) -> float:
        """Seconds of one unit of the uncertainties."""
        return factor(*self.headings.units.get("uncertainty_s", ("", "uncertainty")), SECONDS)

    def pick(self, cell: Cells) -> LabelledPick | None:
        """A row's pick; None for a phase that is neither P nor S. Raises `ValueError` or `CampaignError`."""
        written, usable = cell["phase"], True
        if match := _HYPO71_PHASE.fullmatch(written):
            usable = match["weight"] != "4" or len(written) < 3
        phase = phase_of(written)
        if phase is None:
            self.tally.ignored[written] += 1
            return None
        status = cell.get("status", "").lower()
        return LabelledPick(
            pick_id="",
            event_id="",
            station_id=station_of_row(cell),
            phase=phase,
            time=self.time(cell["time"]),
            uncertainty_s=_uncertainty_s(cell.get("uncertainty_s", ""), self.seconds),
            usable=usable and not status.startswith(_BAD),
            number=self.tally.n_picks,
            is_automatic=(self.is_automatic and not status.startswith(("manual", "review")))
            or status.startswith("auto"),
            phase_name=written,
            weight=_probability(cell.get("probability", ""), self.headings.units.get("probability", ("", ""))[0]),
        )

    @cached_property
    def is_compact(self) -> bool:
        """Whether nobody can tell if the times are epochs or dates written without signs."""
        at = self.columns.get("time")
        return at is not None and are_compact(row[at] for _, row in self.headings.rows() if at < len(row))

    def time(self, text: str) -> UTCDateTime:
        """Raises `ValueError`."""
        if text.replace(".", "").isdigit() and self.is_compact:
            raise ValueError(
                f"{text!r} may be a date and a clock as well as seconds or milliseconds since 1970, as may all times "
                "of this table. Write 2013-09-05T02:08:14.12."
            )
        return time_of(text, self.order if is_of_either_order(text) else None)


def _of_parts(cell: Cells) -> str:
    """One text of year, month and day (or day of the year), hour, minute and second; empty where all are."""
    part = {name: cell.get(name, "").replace(",", ".") for name in PARTS_OF_A_TIME}
    if is_missing(part["second"]) or is_missing(part["hour"]):
        return ""
    whole = {name: _whole(part[name]) for name in ("year", "hour", "minute")}
    second, _, fraction = part["second"].partition(".")
    clock = f"{whole['hour']}:{whole['minute']:0>2}:{second or '0'}.{fraction or '0'}"
    if part["doy"] and not part["month"]:
        return f"{whole['year']}-{_whole(part['doy']):0>3}T{clock}"
    return f"{whole['year']}-{_whole(part['month'])}-{_whole(part['day'])}T{clock}"


def _whole(text: str) -> str:
    """A whole number, which tables may write as 12.0. Raises `ValueError`."""
    value = float(text)
    if not value.is_integer():  # also for infinity
        raise ValueError(f"{text!r} is no whole number of a date or a clock.")
    return str(int(value))


def station_of_row(cell: dict[str, str]) -> str:
    """NET.STA.LOC of a row: from its fields, or from an id that may lack a location or carry a band code."""
    code, trace_id = cell.get("station", ""), cell.get("id", "")
    if "." in trace_id and not ("network" in cell and code):
        code = trace_id
    code = code or trace_id  # an id beside a station may be the row's number
    if not code:
        raise ValueError("names no station. Fill the column 'station' or 'trace_id'.")
    network = cell.get("network", "")
    if "network" in cell and not (network and code.startswith(f"{network}.")):
        return station_id_of(network, code, cell.get("location"))
    fields = code.split(".")
    if len(fields) <= 2:
        return station_id_of(fields[0] if len(fields) == 2 else "", fields[-1], cell.get("location"))
    if len(fields) == 4 and len(fields[2]) <= 2 and re.fullmatch(r"[A-Z][A-Z]{0,2}\w?", fields[3]):
        code = code.rpartition(".")[0]  # PhaseNet and GaMMA write NET.STA.LOC.BAND
    return station_id_of(*station_fields(code))


def _uncertainty_s(text: str, seconds: float) -> float | None:
    value = math.nan if is_missing(text) else number(text) * seconds
    return value if math.isfinite(value) and value >= 0 else None


def _probability(text: str, unit: str) -> float:
    value = 1.0 if is_missing(text) else number(text) * (0.01 if unit == "%" else 1.0)
    if not 0 <= value <= 1:
        raise ValueError(f"probability should be a number between 0 and 1 but is {text!r}.")
    return value
