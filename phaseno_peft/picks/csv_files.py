"""Picks as CSV: one header line, one pick a line, times in ISO 8601 UTC to the microsecond."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from obspy import UTCDateTime

from phaseno_peft.contract import PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.files import write_file
from phaseno_peft.picks.pick import Pick, rounded

HEADER = ("station", "phase", "time", "probability", "uncertainty_s")
"""The station column holds NET.STA.LOC, as in SeisBench's tables and in those for PyOcto."""
SPREAD = "spread_s"
"""A last column where an ensemble picked."""
EARLIER_NAMES = {"trace_id": "station"}
"""Columns as files before this version call them."""


def write_csv(path: str | Path, picks: Iterable[Pick]) -> Path:
    """Write picks with a header line and return the path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    picks = list(picks)
    has_spread = any(math.isfinite(pick.spread_s) for pick in picks)
    writer.writerow([*HEADER, SPREAD] if has_spread else HEADER)
    for pick in picks:
        time = str(rounded(pick.time, 6))
        cells = [pick.trace_id, pick.phase, time, f"{pick.probability:.6f}", _seconds(pick.uncertainty_s)]
        writer.writerow([*cells, _seconds(pick.spread_s)] if has_spread else cells)
    return write_file(path, text.getvalue())


def _seconds(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else ""


def _phasenet(pick: Pick) -> tuple[object, ...]:
    time = rounded(pick.time, 6).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return pick.trace_id, time, 0, time, f"{pick.probability:.6f}", pick.phase


def _gamma(pick: Pick) -> tuple[object, ...]:
    time = rounded(pick.time, 6).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return pick.trace_id, time, f"{pick.probability:.6f}", pick.phase.lower()


def _pyocto(pick: Pick) -> tuple[object, ...]:
    seconds, ns = divmod(rounded(pick.time, 6).ns, 1_000_000_000)
    return pick.trace_id, pick.phase, f"{seconds}.{ns // 1000:06d}", f"{pick.probability:.6f}"


LAYOUTS: dict[str, tuple[tuple[str, ...], Callable[[Pick], tuple[object, ...]]]] = {
    "phasenet": (("station_id", "begin_time", "phase_index", "phase_time", "phase_score", "phase_type"), _phasenet),
    "gamma": (("id", "timestamp", "prob", "type"), _gamma),
    "pyocto": (("station", "phase", "time", "probability"), _pyocto),
}
"""Tables of other programs: header, and the cells of a pick. PhaseNet's index counts from begin_time."""


def write_layout(path: str | Path, picks: Iterable[Pick], name: str) -> Path:
    """Write picks as the table of another program, one of `LAYOUTS`, and return the path."""
    header, cells = LAYOUTS[name]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(cells(pick) for pick in picks)
    return write_file(path, text.getvalue())


def read_csv(path: str | Path) -> list[Pick]:
    """Read what `write_csv` wrote; further columns are ignored, an empty uncertainty or spread is NaN.

    Raises `PhasenoPeftError` naming file and line for a missing column or a value that cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PhasenoPeftError(f"{path}: cannot be read as a CSV of picks: {error}.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        names = list(reader.fieldnames or ())
        if "station" not in names:
            reader.fieldnames = names = [EARLIER_NAMES.get(name, name) for name in names]
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:  # an unclosed quote before 131,072 characters
        raise PhasenoPeftError(f"{path}: line {reader.line_num}: not a table ({error}).") from error
    missing = [name for name in HEADER if name not in names]
    if missing:
        raise PhasenoPeftError(
            f"{path}: line 1 lacks the column {missing[0]!r}. The header of a picks file is {','.join(HEADER)}."
        )
    picks = []
    for line, row in rows:
        try:
            picks.append(_pick_of(row))
        except ValueError as error:
            raise PhasenoPeftError(f"{path}: line {line}: {error}") from error
    return picks


def _pick_of(row: dict[str, str | None]) -> Pick:
    """One line of a CSV as a pick; raises `ValueError` with a sentence about the first wrong value."""
    trace_id, phase, time, probability, uncertainty = ((row[name] or "").strip() for name in HEADER)
    spread = (row.get(SPREAD) or "").strip()
    if trace_id.count(".") < 2 or "\n" in trace_id:  # a station code may hold dots itself
        raise ValueError(
            f"station should be NET.STA.LOC (ending with a dot where the location is empty) but is {trace_id!r}."
        )
    if phase not in PHASES:
        raise ValueError(f"phase should be {' or '.join(PHASES)} but is {phase!r}.")
    try:
        if not re.match(r"\d{4}-\d{2}-\d{2}[T ]", time):  # UTCDateTime reads a bare number as seconds since 1970
            raise ValueError
        when = UTCDateTime(time)
    except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
        raise ValueError(f"time should be like 2013-09-05T02:08:14.120000Z but is {time!r}.") from error
    return Pick(
        trace_id=trace_id,
        phase=phase,
        time=when,
        probability=_number("probability", probability, 1.0),
        uncertainty_s=_number("uncertainty_s", uncertainty, math.inf) if uncertainty else math.nan,
        spread_s=_number(SPREAD, spread, math.inf) if spread else math.nan,
    )


def _number(name: str, text: str, largest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and 0.0 <= value <= largest):
        limits = "between 0 and 1" if largest == 1.0 else "not below 0"
        raise ValueError(f"{name} should be a number {limits} but is {text!r}.")
    return value
