"""Where noise windows come from: between the events, just before them, or times that the user gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import CatalogueEvent
from phaseno_peft.campaign.stretch import Times
from phaseno_peft.campaign.table_rows import table_rows
from phaseno_peft.errors import CampaignError

BETWEEN, BEFORE = "between", "before"
BEFORE_EVENT_S = (60.0, 5.0)
"""Noise before an event begins and ends so long before its first pick (real time): recent, and free of its P."""
_HEADER = ["start", "end"]


def noise_times(source: Any, events: Iterable[CatalogueEvent]) -> Times | None:
    """The times that may serve as noise; None for everywhere between the events.

    `source` is "between", "before" (the minute before each event), a sequence of (start, end), or a CSV file with two
    times a line, for example `2019-07-06T03:00:00,2019-07-06T03:20:00`. Raises `CampaignError` for a file that cannot
    be read, naming the line, and for a piece that ends before it begins.
    """
    if source == BETWEEN:
        return None
    if source == BEFORE:
        firsts = sorted(min(p.time.ns for p in event.picks) for event in events if event.picks)
        long_s, short_s = BEFORE_EVENT_S
        return joined_times((first - round(long_s * 1e9), first - round(short_s * 1e9)) for first in firsts)
    if isinstance(source, str | Path):
        return joined_times(_of_file(Path(source)))
    return joined_times(
        _pair(start, end, f"noise piece {number}") for number, (start, end) in enumerate(source, start=1)
    )


def _of_file(path: Path) -> Iterable[tuple[int, int]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CampaignError(
            f"--noise {path}: is neither {BETWEEN!r}, {BEFORE!r} or 'quiet' nor a readable CSV of start,end."
        ) from error
    pairs = []
    for line, row in table_rows(path.name, text.splitlines(), ","):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#") or [cell.lower() for cell in cells] == _HEADER:
            continue
        if len(cells) != 2:
            raise CampaignError(f"{path.name}: line {line}: should be start,end but has {len(cells)} cells.")
        pairs.append(_pair(cells[0], cells[1], f"{path.name}: line {line}"))
    if not pairs:
        raise CampaignError(f"{path.name}: holds no piece of time. Write start,end, one piece a line.")
    return pairs


def _pair(start: Any, end: Any, where: str) -> tuple[int, int]:
    try:
        begin_ns, end_ns = (UTCDateTime(time).ns for time in (start, end))
    except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
        raise CampaignError(
            f"{where}: {start!r}, {end!r} are no two times. Write them like 2019-07-06T03:00:00."
        ) from error
    if begin_ns >= end_ns:
        raise CampaignError(f"{where}: ends at {end}, before it begins at {start}.")
    return begin_ns, end_ns


def joined_times(pairs: Iterable[tuple[int, int]]) -> Times:
    """Pieces in order, those that touch or overlap as one."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(pairs):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return tuple(joined)


def common_times(one: Times | None, other: Sequence[tuple[int, int]]) -> Times:
    """What lies in both."""
    if one is None:
        return tuple(other)
    return tuple((max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) < min(b, d))


def times_between(busy: Sequence[tuple[int, int]], begin_ns: int, end_ns: int) -> Times:
    """What lies between the pieces, from one time to another."""
    edges = [begin_ns, *(edge for piece in joined_times(busy) for edge in piece), end_ns]
    pairs = ((max(a, begin_ns), min(b, end_ns)) for a, b in zip(edges[::2], edges[1::2], strict=True))
    return tuple((a, b) for a, b in pairs if a < b)
