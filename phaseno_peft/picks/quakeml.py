"""Picks as events of obspy: one that only contains them, or one for each group between pauses."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picks.pick import Pick, rounded
from phaseno_peft.station_ids import station_fields

if TYPE_CHECKING:
    from obspy.core.event import Catalog
    from obspy.core.event import Pick as QuakemlPick

    from phaseno_peft.campaign.stations import StationTable

ID_PREFIX = "smi:local/phaseno-peft"


def catalog_of(picks: Iterable[Pick], creator: str) -> Catalog:
    """An obspy catalogue with one event that holds every pick, unassociated; see `PickList.to_catalog`."""
    from obspy.core.event import Catalog, Comment, CreationInfo, Event, ResourceIdentifier

    event_id = f"{ID_PREFIX}/unassociated"
    seen: Counter[str] = Counter()
    event = Event(
        resource_id=ResourceIdentifier(event_id),
        picks=[_quakeml_pick(pick, creator, seen) for pick in picks],
        comments=[
            Comment(
                text="Automatic picks that are not associated: this event is only their container.",
                resource_id=ResourceIdentifier(f"{event_id}/comment"),
            )
        ],
        creation_info=CreationInfo(author="phaseno-peft"),
    )
    return Catalog(events=[event], resource_id=ResourceIdentifier(f"{ID_PREFIX}/picks"))


def catalog_of_bursts(picks: Sequence[Pick], creator: str, stations: StationTable | None = None) -> Catalog:
    """An obspy catalogue with an event for each group of picks between pauses, for formats that hold events only.

    An event begins with its first pick, to the second, and stands where that pick's station stands, or nowhere without
    `stations`: nothing is located. Ids are of the content.
    """
    from obspy import UTCDateTime
    from obspy.core.event import Arrival, Catalog, Event, Origin, ResourceIdentifier

    from phaseno_peft.campaign.catalog import LabelledPick, groups_between_pauses

    numbered = [
        LabelledPick(str(i), "", pick.trace_id, pick.phase, pick.time, None, usable=True)
        for i, pick in enumerate(picks)
    ]
    events = []
    for group in groups_between_pauses(numbered):
        members = catalog_of([picks[int(p.pick_id)] for p in group], creator)[0].picks
        event_id = f"{members[0].resource_id.id}/event"
        place = stations.find(group[0].station_id, group[0].time) if stations is not None else None
        origin = Origin(
            resource_id=ResourceIdentifier(f"{event_id}/origin"),
            time=UTCDateTime(ns=group[0].time.ns // 1_000_000_000 * 1_000_000_000),
            latitude=None if place is None else place.latitude_deg,
            longitude=None if place is None else place.longitude_deg,
            depth=None if place is None else 0.0,
            epicenter_fixed=True,
            evaluation_mode="automatic",
            arrivals=[
                Arrival(
                    resource_id=ResourceIdentifier(f"{event_id}/arrival/{number}"),
                    pick_id=pick.resource_id,
                    phase=pick.phase_hint,
                )
                for number, pick in enumerate(members, start=1)
            ],
        )
        events.append(
            Event(
                resource_id=ResourceIdentifier(event_id),
                picks=members,
                origins=[origin],
                preferred_origin_id=origin.resource_id,
            )
        )
    return Catalog(events=events, resource_id=ResourceIdentifier(f"{ID_PREFIX}/picks"))


def _quakeml_pick(pick: Pick, creator: str, seen: Counter[str]) -> QuakemlPick:
    from obspy.core.event import Comment, QuantityError, ResourceIdentifier, WaveformStreamID
    from obspy.core.event import Pick as QuakemlPick

    try:
        parts = station_fields(pick.trace_id)
    except PhasenoPeftError as error:
        raise PhasenoPeftError(
            f"pick at {pick.time}: `trace_id` should be NET.STA.LOC (ending with a dot where the location is empty) "
            f"but is {pick.trace_id!r}."
        ) from error
    method, time = _identifier_part(creator), rounded(pick.time, 6)
    trace = _identifier_part(pick.trace_id)
    pick_id = f"{ID_PREFIX}/{method}/{trace}/{pick.phase}/{time.strftime('%Y%m%dT%H%M%S%f')}"
    seen[pick_id] += 1
    if seen[pick_id] > 1:
        pick_id = f"{pick_id}/{seen[pick_id]}"
    errors = QuantityError(uncertainty=float(pick.uncertainty_s)) if math.isfinite(pick.uncertainty_s) else None
    return QuakemlPick(
        resource_id=ResourceIdentifier(pick_id),
        time=time,
        time_errors=errors,
        # An empty location is written as such: None would mean that it is not known (megies/obspyck#49).
        waveform_id=WaveformStreamID(network_code=parts[0], station_code=parts[1], location_code=parts[2]),
        method_id=ResourceIdentifier(f"{ID_PREFIX}/{method}"),
        phase_hint=pick.phase,
        evaluation_mode="automatic",
        evaluation_status="preliminary",
        comments=[
            Comment(
                text=f"probability={pick.probability:.2f}",
                resource_id=ResourceIdentifier(f"{pick_id}/probability"),
            )
        ],
    )


def _identifier_part(text: str) -> str:
    """The text with what a QuakeML identifier does not allow replaced by hyphens; "@" of a revision becomes "#"."""
    return re.sub(r"[^\w\-.~'()*#/]", "-", text.replace("@", "#"), flags=re.ASCII) or "unknown"
