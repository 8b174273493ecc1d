"""Events of obspy converted to ours, by the catalogue's preferred origin, weights and evaluation."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from typing import Any

from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import (
    MANUAL,
    OF_PREFERRED_ORIGIN,
    REVIEWED,
    UNASSOCIATED_ID,
    CatalogueEvent,
    LabelledPick,
    phase_of,
)
from phaseno_peft.campaign.tally import Tally, event_of_picks
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_id_of

REVIEWED_STATUSES = ("confirmed", "reviewed", "final")
"""QuakeML evaluation statuses."""
NORDIC_UNUSED = "4"
"""SEISAN's pick weights run from 0 (full) to 4 (none)."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def stored_uuids(content: bytes) -> set[str]:
    """Every UUID that stands in a file: ids made of these are its own, others were made up by the reader."""
    return set(_UUID.findall(content.decode("latin-1").lower()))


def labelled_events(
    events: Iterable[Any], tally: Tally, *, format_name: str = "", stored: Collection[str] | None = None
) -> list[CatalogueEvent]:
    """Our events of obspy's.

    An id that the source does not hold (obspy makes random ones at each reading) is replaced by one of the content.
    `stored` are the UUIDs of the file; None where ids are not to be looked up (XML, and objects in Python).
    """
    catalog_id = getattr(events, "resource_id", None)
    made_up = catalog_id.id if catalog_id is not None and not catalog_id.fixed else None
    made = []
    for event in events:
        own_id = _own_id(event.resource_id, stored, made_up)
        origin = _chosen_origin(event)
        picks = _picks_of(event, origin, tally, format_name, stored, made_up)
        time = UTCDateTime(origin.time) if origin is not None and origin.time is not None else None
        place = [_number(origin, name) for name in ("latitude", "longitude", "depth")]
        if own_id == UNASSOCIATED_ID:
            tally.loose += picks
            continue
        made.append(event_of_picks(picks, tally, own_id or "", (time, place[0], place[1], place[2])))
    return made


def _own_id(resource_id: Any, stored: Collection[str] | None, made_up: str | None) -> str | None:
    """The id if the source holds it; None for one that obspy made up while reading."""
    if resource_id is None or not resource_id.id or not resource_id.fixed:
        return None
    text = str(resource_id.id)
    if made_up is not None and text.startswith(made_up):  # the IMS reader builds every id on its catalogue's
        return None
    if stored is not None and any(found not in stored for found in _UUID.findall(text.lower())):
        return None
    return text


def _chosen_origin(event: Any) -> Any:
    """The preferred origin; without one the last manual, or else the last that is not rejected."""
    if event.preferred_origin_id is not None:
        for origin in event.origins:
            if origin.resource_id is not None and origin.resource_id.id == event.preferred_origin_id.id:
                return origin
    not_rejected = [o for o in event.origins if str(o.evaluation_status or "") != "rejected"] or event.origins
    manual = [o for o in not_rejected if str(o.evaluation_mode or "") == "manual"]
    return (manual or not_rejected or [None])[-1]


def _picks_of(
    event: Any, origin: Any, tally: Tally, format_name: str, stored: Collection[str] | None, made_up: str | None
) -> list[LabelledPick]:
    """Complete P and S picks of an event, each with its rank; the event's id is filled in later."""
    chosen = {a.pick_id.id: a for a in (origin.arrivals if origin is not None else []) if a.pick_id}
    superseded = {a.pick_id.id: a for o in event.origins if o is not origin for a in o.arrivals if a.pick_id}
    # NonLinLoc rejects a location (too few readings, too wide a gap), an analyst an event.
    is_rejected_event = str(event.event_type or "") == "not existing" or (
        format_name != "NLLOC_HYP" and origin is not None and str(origin.evaluation_status or "") == "rejected"
    )
    picks = []
    for pick in event.picks:
        tally.n_picks += 1
        pick_id = pick.resource_id.id if pick.resource_id else ""
        arrival = chosen.get(pick_id) or superseded.get(pick_id)
        hint = str(pick.phase_hint or "").strip()
        name = str((arrival.phase if arrival is not None else None) or "").strip() or hint
        phase = phase_of(name)
        waveform = pick.waveform_id
        if not name:
            tally.incomplete["no phase"] += 1
            continue
        if hint and phase_of(hint) != phase:
            tally.counts["have another phase as hint than in the origin's arrivals; the arrival's counts"] += 1
        if phase is None:
            tally.ignored[name] += 1
            continue
        if pick.time is None:
            tally.incomplete["no time"] += 1
            continue
        if waveform is None or not (waveform.station_code or "").strip():
            tally.incomplete["no station"] += 1
            continue
        try:
            station_id = station_id_of(waveform.network_code, waveform.station_code, waveform.location_code)
        except CampaignError:
            tally.incomplete["a dot in its network or location code"] += 1
            continue
        status, mode = str(pick.evaluation_status or ""), str(pick.evaluation_mode or "")
        weight = _weight(arrival)
        unused = [
            ("are rejected by the catalogue; nothing is learnt within 1 s of them", status == "rejected"),
            ("are of events the catalogue rejects; nothing is learnt within 1 s of them", is_rejected_event),
            (
                "are automatic and were dropped when the event was located anew; nothing is learnt within 1 s of them",
                mode == "automatic" and status not in REVIEWED_STATUSES and bool(chosen) and pick_id in superseded
                and pick_id not in chosen,
            ),
        ]  # fmt: skip
        reason = next((text for text, holds in unused if holds), None)
        if reason is not None:
            tally.counts[reason] += 1
        time = UTCDateTime(pick.time)
        picks.append(
            LabelledPick(
                pick_id=_own_id(pick.resource_id, stored, made_up) or "",
                event_id="",
                station_id=station_id,
                phase=phase,
                time=time,
                uncertainty_s=_uncertainty_s(pick.time_errors),
                usable=reason is None and not weight <= 0 and _nordic_weight(pick) != NORDIC_UNUSED,
                number=tally.n_picks,
                is_automatic=mode == "automatic" and status not in REVIEWED_STATUSES,
                method=str(pick.method_id.id) if pick.method_id else "",
                phase_name=name,
                rank=OF_PREFERRED_ORIGIN * (pick_id in chosen)
                + MANUAL * (mode == "manual")
                + REVIEWED * (status in REVIEWED_STATUSES),
                weight=weight,
            )
        )
    return picks


def _weight(arrival: Any) -> float:
    weight = arrival.time_weight if arrival is not None else None
    return 1.0 if weight is None or math.isnan(weight) else float(weight)


def _nordic_weight(pick: Any) -> str:
    listed = (getattr(pick, "extra", None) or {}).get("nordic_pick_weight") or {}
    return str(listed.get("value", "")).strip()


def _uncertainty_s(errors: Any) -> float | None:
    if errors is None:
        return None
    sides = (
        [errors.uncertainty] if errors.uncertainty is not None else [errors.lower_uncertainty, errors.upper_uncertainty]
    )
    known_s = [float(side) for side in sides if side is not None and 0 <= side < math.inf]
    return sum(known_s) / len(known_s) if known_s else None


def _number(origin: Any, name: str) -> float | None:
    value = getattr(origin, name, None)
    return None if value is None else float(value)
