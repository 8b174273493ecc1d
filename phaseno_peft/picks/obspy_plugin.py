"""PhaseNet's table of picks as an event format of obspy, PHASENET_CSV, registered by the package's entry points.

    catalog = obspy.read_events("picks.csv", format="PHASENET_CSV")
    catalog.write("picks.csv", format="PHASENET_CSV")

The table (Zhu & Beroza 2019, https://github.com/AI4EPS/PhaseNet) has a row a pick: station_id (NET.STA.LOC, with or
without the channel's first letters), begin_time, phase_index, phase_time, phase_score, phase_type. A column
event_index, where there is one, parts the picks into events; without it one event holds them all.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from phaseno_peft.contract import PHASES
from phaseno_peft.errors import PhasenoPeftError

if TYPE_CHECKING:
    from obspy import UTCDateTime
    from obspy.core.event import Catalog, Event
    from obspy.core.event import Pick as ObspyPick

    from phaseno_peft.picks.pick import Pick

NEEDED = ("station_id", "phase_time", "phase_type")
EVENT_COLUMN = "event_index"
NO_EVENT = ("", "-1")
"""What PhaseNet and GaMMA write for a pick that belongs to no event."""
LONGEST_HEADER_BYTES = 2000
_PROBABILITY = re.compile(r"probability=([\d.]+(?:e-?\d+)?)")
Source = str | Path | IO[Any]


def is_phasenet_csv(source: Source) -> bool:
    """True where the first line names the columns of PhaseNet's table; obspy asks while it guesses a format."""
    try:
        header = _first_line(source)
    except (OSError, ValueError):
        return False
    return set(NEEDED) <= {name.strip() for name in header.split(",")}


def read_phasenet_csv(source: Source, **_: object) -> Catalog:
    """Picks as an obspy catalogue of automatic picks; the score stands in a comment, `probability=0.93`.

    Raises `PhasenoPeftError` naming the line of a value that cannot be read.
    """
    from obspy.core.event import Catalog, ResourceIdentifier

    from phaseno_peft.picks.quakeml import ID_PREFIX, catalog_of

    name = str(source) if isinstance(source, str | Path) else getattr(source, "name", "the table")
    picks_of_event: dict[str, list[Pick]] = {}
    for index, pick in _rows(name, _text(source)):
        picks_of_event.setdefault(index, []).append(pick)
    events: list[Event] = []
    for index, picks in picks_of_event.items():
        event = catalog_of(picks, "PhaseNet")[0]
        if index:
            event.comments = []
            event.resource_id = ResourceIdentifier(f"{ID_PREFIX}/PhaseNet/event/{index}")
        events.append(event)
    return Catalog(events=events, resource_id=ResourceIdentifier(f"{ID_PREFIX}/picks"))


def write_phasenet_csv(catalog: Catalog, filename: str | Path | IO[Any], **_: object) -> None:
    """Write the P and S picks of a catalogue as PhaseNet's table, with the number of their event as event_index.

    phase_index is 0 and begin_time the pick's own time, since a catalogue knows of no windows. phase_score is the
    probability that a comment of the pick tells, 1 for a manual pick, else empty. Picks of other phases have no place
    in the table; raises `PhasenoPeftError` where no pick is left, and for a pick without a station.
    """
    from phaseno_peft.files import write_file
    from phaseno_peft.picks.csv_files import LAYOUTS

    header, _cells = LAYOUTS["phasenet"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*header, EVENT_COLUMN))
    rows = sorted(_cells_of(catalog), key=lambda row: (row[1], row[0]))
    if not rows:
        raise PhasenoPeftError(
            f"the catalogue has {len(catalog)} events and no P or S pick. There is nothing to write."
        )
    writer.writerows(rows)
    if isinstance(filename, str | Path):
        write_file(Path(filename), text.getvalue())
    else:
        filename.write(text.getvalue().encode() if "b" in getattr(filename, "mode", "b") else text.getvalue())


def _cells_of(catalog: Iterable[Event]) -> Iterator[tuple[Any, ...]]:
    for number, event in enumerate(catalog):
        phases = {arrival.pick_id: arrival.phase for origin in event.origins for arrival in origin.arrivals}
        for pick in event.picks:
            phase = str(phases.get(pick.resource_id) or pick.phase_hint or "")[:1].upper()
            if phase not in PHASES or pick.time is None or pick.evaluation_status == "rejected":
                continue
            where = pick.waveform_id
            if where is None or not where.station_code:
                raise PhasenoPeftError(f"pick {pick.resource_id} has no station. Give it one, or leave it out.")
            station = f"{where.network_code or ''}.{where.station_code}.{where.location_code or ''}"
            time = _microseconds(pick.time)
            yield station, time, 0, time, _score(pick), phase, number


def _microseconds(time: UTCDateTime) -> str:
    from phaseno_peft.picks.pick import rounded

    return str(rounded(time, 6).strftime("%Y-%m-%dT%H:%M:%S.%f"))


def _score(pick: ObspyPick) -> str:
    for comment in pick.comments:
        if found := _PROBABILITY.search(comment.text or ""):
            return f"{float(found[1]):.6f}"
    return "1.000000" if pick.evaluation_mode == "manual" else ""


def _rows(name: str, text: str) -> Iterator[tuple[str, Pick]]:
    """(event index or "", pick) of each row."""
    from phaseno_peft.campaign.pick_tables import station_of_row
    from phaseno_peft.campaign.table_times import time_of
    from phaseno_peft.picks.pick import Pick

    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    missing = [column for column in NEEDED if column not in (reader.fieldnames or ())]
    if missing:
        raise PhasenoPeftError(f"{name}: line 1 lacks the column {missing[0]!r} of PhaseNet's tables.")
    for row in reader:
        phase, score = (row["phase_type"] or "").strip().upper(), (row.get("phase_score") or "").strip()
        try:
            if phase not in PHASES:
                raise ValueError(f"phase_type should be P or S but is {phase!r}.")
            time = time_of((row["phase_time"] or "").strip())
            probability = float(score) if score else math.nan
            station = station_of_row({"id": (row["station_id"] or "").strip()})
        except (ValueError, PhasenoPeftError) as error:
            raise PhasenoPeftError(f"{name}: line {reader.line_num}: {error} Correct the line.") from error
        index = (row.get(EVENT_COLUMN) or "").strip()
        yield "" if index in NO_EVENT else index, Pick(station, phase, time, probability, math.nan)


def _first_line(source: Source) -> str:
    if isinstance(source, str | Path):
        with open(source, "rb") as file:
            return file.readline(LONGEST_HEADER_BYTES).decode("utf-8-sig")
    line = source.readline(LONGEST_HEADER_BYTES)
    return line.decode("utf-8-sig") if isinstance(line, bytes) else str(line)


def _text(source: Source) -> str:
    content = Path(source).read_bytes() if isinstance(source, str | Path) else source.read()
    return content.decode("utf-8-sig") if isinstance(content, bytes) else str(content)
