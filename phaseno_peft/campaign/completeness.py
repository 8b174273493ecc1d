"""What a missing pick of a catalogued event means: unknown, or absent; for all, or for listed stations and events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from phaseno_peft.campaign.table_files import decoded
from phaseno_peft.campaign.table_rows import table_rows
from phaseno_peft.errors import CampaignError

Everywhere = Literal["no", "station", "event"]
KINDS = ("station", "event")


@dataclass(frozen=True, slots=True)
class CompleteList:
    """Stations and events that were picked completely: what is not picked there is absent; elsewhere it is unknown."""

    stations: tuple[str, ...] = ()
    """NET.STA.LOC, sorted: every listed event was looked for on every trace of these."""
    events: tuple[str, ...] = ()
    """Event ids, sorted: every trace that recorded one of these was looked at."""


Complete: TypeAlias = Everywhere | CompleteList
"""What a missing pick of a catalogued event means. "no": the arrival is unknown (analysts pick what they need).
"station": at a station with a pick of the event, the other phase is absent. "event": at every station that recorded the
event, what is not picked is absent (simulations; every trace was looked at). A `CompleteList`: that for some."""


def answered_events(
    complete: Complete, station_id: str, labelled: Set[str], heard: Set[str], listed: Mapping[str, Any]
) -> set[str]:
    """Ids of the events in the window that are known at a station and phase, picked there or absent.

    `labelled`: with a pick of this phase there; `heard`: with a pick of either phase there; `listed`: all.
    """
    if complete == "no":
        return set(labelled)
    if complete == "station":
        return set(heard)
    if complete == "event" or station_id in complete.stations:
        return set(listed)
    return set(labelled) | set(listed).intersection(complete.events)


def complete_of(source: Any, station_ids: Iterable[str], event_ids: Iterable[str]) -> Complete:
    """What `complete` says, checked against the stations and events there are.

    `source` is "no", "station", "event", a `CompleteList`, "station=NZ.ABC,NZ.DEF" or "event=ID,ID", or a file with
    lines `station,ID` and `event,ID`. A station may be named by its code, an event by the end of its id behind a slash.
    Raises `CampaignError` for other words, for a file that cannot be read, and for ids that are not there.
    """
    if isinstance(source, str) and source in get_args(Everywhere):
        return source  # type: ignore[return-value]  # one of them
    if isinstance(source, CompleteList):
        named = [("the list", "station", i) for i in source.stations] + [
            ("the list", "event", i) for i in source.events
        ]
    elif isinstance(source, str | Path):
        named = _named(str(source))
    else:
        raise _wrong(source)
    stations, events = tuple(station_ids), tuple(event_ids)
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for where, kind, name in named:
        same = [i for i in (stations if kind == "station" else events) if _is_named(i, name, kind)]
        if not same:
            what = "station that recorded" if kind == "station" else "event of the catalogue"
            some = ", ".join(repr(i) for i in (stations if kind == "station" else events)[:3])
            raise CampaignError(f"`complete`: {where}: {name!r} is no {what} (there are {some}, ...). Correct it.")
        if kind == "event" and len(same) > 1:
            raise CampaignError(f"`complete`: {where}: {name!r} may be {same[0]!r} or {same[1]!r}. Write the whole id.")
        found[kind].update(same)
    return CompleteList(tuple(sorted(found["station"])), tuple(sorted(found["event"])))


def _named(source: str) -> list[tuple[str, str, str]]:
    """(where, kind, name) of all that a text or a file lists."""
    kind, equals, names = source.partition("=")
    if equals and kind in KINDS:
        return [(f"{kind}=...", kind, name.strip()) for name in names.split(",") if name.strip()]
    path = Path(source)
    if not path.is_file():
        raise _wrong(source)
    named = []
    for line, row in table_rows(path.name, decoded(path.read_bytes()).splitlines(), ","):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#") or cells == ["kind", "id"]:
            continue
        if len(cells) != 2 or cells[0].lower() not in KINDS:
            raise CampaignError(
                f"{path.name}: line {line}: {','.join(cells)[:80]!r} is neither station,ID nor event,ID."
            )
        named.append((f"{path.name}: line {line}", cells[0].lower(), cells[1]))
    if not named:
        raise CampaignError(f"{path.name}: lists nothing. Write station,ID or event,ID, one a line.")
    return named


def _is_named(own_id: str, name: str, kind: str) -> bool:
    if kind == "event":
        return own_id == name or own_id.endswith(f"/{name}")
    network, _, rest = own_id.partition(".")
    code, _, location = rest.rpartition(".")
    return name in (own_id, code, f"{network}.{code}", f"{network}.{code}." if not location else own_id)


def _wrong(source: Any) -> CampaignError:
    return CampaignError(
        f"`complete` should be one of {', '.join(get_args(Everywhere))}, station=ID,ID, event=ID,ID or a file of lines "
        f"station,ID and event,ID, but is {source!r}."
    )
