"""Events and their picks as rows of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from phaseno_peft.events.association import Association
from phaseno_peft.events.catalogue import azimuthal_gap_deg, epicentral_km
from phaseno_peft.picks.pick import rounded

EVENT_COLUMNS = (
    "event",
    "time",
    "latitude_deg",
    "longitude_deg",
    "depth_km",
    "p_picks",
    "s_picks",
    "stations",
    "rms_s",
    "azimuthal_gap_deg",
    "nearest_station_km",
)
PICK_COLUMNS = ("station", "phase", "time", "probability", "uncertainty_s", "event", "residual_s", "distance_km")
"""Those of `PickList.to_csv`, so that the file is read as picks, and what the event says; empty for picks of none."""


def event_rows(made: Association, names: Sequence[str]) -> list[tuple[object, ...]]:
    """A row for each event, in the order of `EVENT_COLUMNS`."""
    return [
        (
            name,
            str(rounded(event.origin_time, 3)),
            f"{event.latitude_deg:.5f}",
            f"{event.longitude_deg:.5f}",
            "" if event.depth_m is None else f"{event.depth_m / 1000:.3f}",
            event.count("P"),
            event.count("S"),
            len(event.station_ids),
            f"{event.rms_s:.3f}",
            f"{azimuthal_gap_deg(event, made.stations):.0f}",
            f"{min(epicentral_km(event, made.stations[i]) for i in event.station_ids):.2f}",
        )
        for name, event in zip(names, made.events, strict=True)
    ]


def pick_rows(made: Association, names: Sequence[str]) -> list[tuple[object, ...]]:
    """A row for each pick in time order, in the order of `PICK_COLUMNS`."""
    place = {
        id(pick): (name, event, residual)
        for name, event in zip(names, made.events, strict=True)
        for pick, residual in zip(event.picks, event.residuals_s, strict=True)
    }
    rows: list[tuple[object, ...]] = []
    for pick in made.picks:
        uncertainty = f"{pick.uncertainty_s:.6f}" if math.isfinite(pick.uncertainty_s) else ""
        own: tuple[object, ...] = ("", "", "")
        if (found := place.get(id(pick))) is not None:
            name, event, residual = found
            own = (name, f"{residual:+.3f}", f"{epicentral_km(event, made.stations[pick.trace_id]):.2f}")
        time = str(rounded(pick.time, 6))
        rows.append((pick.trace_id, pick.phase, time, f"{pick.probability:.6f}", uncertainty, *own))
    return rows
