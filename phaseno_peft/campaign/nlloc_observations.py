"""NonLinLoc's observations (NLLOC_OBS): events between blank lines (NonLinLoc manual, "Phase file format")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import UNASSOCIATED_ID, CatalogueEvent, LabelledPick, phase_of
from phaseno_peft.campaign.tally import Tally, event_of_picks
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_id_of

UNUSED_ERROR_S = 9999.0
"""NonLinLoc writes errors from here on for readings that are not to be used."""
_OBSERVATION = re.compile(r"(\S+\s+){6}\d{8}\s+\d{1,4}\s+-?[\d.]+\s+\S+\s+[-+\d.eE]+(\s|$)")


def events_of_observations(name: str, text: str, tally: Tally) -> list[CatalogueEvent] | None:
    """Events of NLLOC_OBS; None where the text is none. Raises `CampaignError` naming a line that cannot be read."""
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith(("PUBLIC_ID", "#")))
    if not _OBSERVATION.match(next(lines, "")):
        return None
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
            tally.loose += picks
        elif picks:
            made.append(event_of_picks(picks, tally, public_id))
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
