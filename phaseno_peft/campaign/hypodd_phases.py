"""HypoDD's phase files, in the columns of ph2dt's input (Waldhauser, USGS Open-File Report 01-113, section A.1.1).

obspy reads them too, at 0.6 ms a pick; real ones hold a hundred thousand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick, phase_of
from phaseno_peft.campaign.tally import NOWHERE, Hypocentre, Tally, event_of_picks
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_id_of

_N_FIELDS = 15
"""Of an event: #, year, month, day, hour, minute, second, latitude, longitude, depth (km), magnitude, two errors, RMS
and id. A pick has station, travel time (s), weight, phase."""


def events_of_hypodd(name: str, text: str, tally: Tally) -> list[CatalogueEvent] | None:
    """Events of a HypoDD phase file; None where the text is none.

    A pick of weight 0 is not used; a negative weight marks one that must be kept, and counts by its size. Raises
    `CampaignError` naming a line that cannot be read.
    """
    if not text.startswith("#") or not _is_event(text.partition("\n")[0].split()):
        return None
    made: list[CatalogueEvent] = []
    event_id, hypocentre, picks = "", NOWHERE, list[LabelledPick]()
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            if fields[0].startswith("#"):
                if number > 1:
                    made.append(event_of_picks(picks, tally, event_id, hypocentre))
                event_id, hypocentre = _event(fields)
                picks = []
            elif (pick := _pick(fields, hypocentre[0], tally)) is not None:
                picks.append(pick)
        except (ValueError, OverflowError, CampaignError) as error:
            raise CampaignError(
                f"{name}: line {number}: {line.strip()[:60]!r} is not in the columns of a HypoDD phase file ({error}). "
                "Correct it, or leave the line out."
            ) from error
    made.append(event_of_picks(picks, tally, event_id, hypocentre))
    return made


def _is_event(fields: Sequence[str]) -> bool:
    try:
        _event(fields)
    except (ValueError, OverflowError):
        return False
    return True


def _event(fields: Sequence[str]) -> tuple[str, Hypocentre]:
    """(id, hypocentre) of an event's line. Raises `ValueError`."""
    if fields[0] != "#" and fields[0].startswith("#"):  # "#2020" for "# 2020"
        fields = ["#", fields[0][1:], *fields[1:]]
    if len(fields) != _N_FIELDS:
        raise ValueError(f"an event has {_N_FIELDS} fields, this line {len(fields)}")
    year, month, day, hour, minute = (int(field) for field in fields[1:6])
    second, latitude, longitude, depth_km = (_number(field) for field in fields[6:10])
    time = UTCDateTime(year, month, day) + 3600 * hour + 60 * minute + second
    return f"smi:local/event/{fields[14]}", (time, latitude, longitude, 1000 * depth_km)


def _pick(fields: Sequence[str], origin_time: UTCDateTime | None, tally: Tally) -> LabelledPick | None:
    """The pick of a line; None for a phase that is neither P nor S. Raises `ValueError`."""
    if len(fields) != 4 or origin_time is None:
        raise ValueError("a pick has four fields: station, travel time, weight, phase")
    station, travel_time, weight, phase_name = fields
    tally.n_picks += 1
    phase = phase_of(phase_name)
    if phase is None:
        tally.ignored[phase_name] += 1
        return None
    used = abs(_number(weight))
    return LabelledPick(
        pick_id="",
        event_id="",
        station_id=station_id_of("", station, ""),
        phase=phase,
        time=origin_time + _number(travel_time),
        uncertainty_s=None,
        usable=used > 0,
        number=tally.n_picks,
        phase_name=phase_name,
        weight=used,
    )


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no number")
    return value
