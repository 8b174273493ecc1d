"""Events as events of obspy: automatic picks that name what made them, origins with residuals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from phaseno_peft.campaign import StationTable
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.station_checks import KM_PER_DEGREE, distance_km
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.picks import PickList
from phaseno_peft.picks.event_files import write_events
from phaseno_peft.picks.pick_list import format_of
from phaseno_peft.picks.quakeml import ID_PREFIX

if TYPE_CHECKING:
    from obspy.core.event import Arrival, Catalog, Event, OriginQuality
    from obspy.core.event import Pick as QuakemlPick


def to_catalog(
    events: Sequence[AssociatedEvent],
    creator: str,
    associator: str,
    *,
    what: str = "Picks",
    stations: StationTable | None = None,
) -> Catalog:
    """Return an obspy catalogue with one event each, its origin, picks and arrivals.

    Everything is evaluation mode automatic; a pick's `method_id` names its `creator`. Ambiguous picks are in the event
    with evaluation status rejected and without arrival, so that training learns nothing within a second of them. With
    `stations` arrivals have distance and azimuth, and origins the azimuthal gap. `what` begins the event's comment.
    Identifiers are made of the content: equal events give equal files.
    """
    from obspy.core.event import Catalog, CreationInfo, ResourceIdentifier

    name = what.lower().replace(" ", "-")
    return Catalog(
        events=[_event(event, creator, associator, what, stations) for event in events],
        resource_id=ResourceIdentifier(f"{ID_PREFIX}/{name}"),
        creation_info=CreationInfo(author="phaseno-peft"),
    )


def write_catalog(path: str | Path, catalog: Catalog) -> Path:
    """Write the format that the ending stands for, whole or not at all, and return the path."""
    return write_events(path, catalog, format_of(path))


def event_names(events: Sequence[AssociatedEvent], creator: str) -> list[str]:
    """The last part of each event's identifier in `to_catalog`, for tables beside the catalogue."""
    return [str(event.resource_id.id).rsplit("/event/", 1)[1] for event in to_catalog(events, creator, "")]


def azimuthal_gap_deg(event: AssociatedEvent, stations: StationTable) -> float:
    """Widest angle, seen from the epicentre, without a station that picked the event."""
    azimuths = np.sort([_azimuth_deg(event, stations[i]) for i in event.station_ids])
    return float(np.diff(np.append(azimuths, azimuths[0] + 360.0)).max())


def epicentral_km(event: AssociatedEvent, station: Station) -> float:
    """From the event's epicentre to a station."""
    return distance_km(Station("", event.latitude_deg, event.longitude_deg, 0.0), station)


def _azimuth_deg(event: AssociatedEvent, station: Station) -> float:
    """From the epicentre to a station, clockwise from north."""
    from obspy.geodetics import gps2dist_azimuth

    place = event.latitude_deg, event.longitude_deg, station.latitude_deg, station.longitude_deg
    return float(gps2dist_azimuth(*place)[1]) % 360.0


def _event(event: AssociatedEvent, creator: str, associator: str, what: str, stations: StationTable | None) -> Event:
    from obspy.core.event import Comment, CreationInfo, Event, Origin, ResourceIdentifier

    picks = PickList(event.picks, creator=creator).to_catalog()[0].picks
    doubtful = PickList(event.ambiguous, creator=creator).to_catalog()[0].picks
    for pick in doubtful:
        pick.evaluation_status = "rejected"
    # Of two events that begin at one time the station and the phase tell them apart.
    name = str([*picks, *doubtful][0].resource_id.id).removeprefix(f"{ID_PREFIX}/")
    event_id = f"{ID_PREFIX}/event/{name}"
    where = f"located by {associator}" if event.is_located else "not located: placed at the station of the first pick"
    origin = Origin(
        resource_id=ResourceIdentifier(f"{event_id}/origin"),
        time=event.origin_time,
        latitude=event.latitude_deg,
        longitude=event.longitude_deg,
        depth=event.depth_m,
        epicenter_fixed=not event.is_located,
        method_id=ResourceIdentifier(f"{ID_PREFIX}/associator/{associator}"),
        evaluation_mode="automatic",
        evaluation_status="preliminary",
        quality=_quality(event, stations),
        arrivals=[_arrival(event, number, pick, f"{event_id}/arrival", stations) for number, pick in enumerate(picks)],
    )
    return Event(
        resource_id=ResourceIdentifier(event_id),
        event_type="earthquake",
        event_type_certainty="suspected",
        comments=[
            Comment(
                text=f"{what} of {creator}, associated by {associator}; {where}.",
                resource_id=ResourceIdentifier(f"{event_id}/comment"),
            )
        ],
        picks=[*picks, *doubtful],
        origins=[origin],
        preferred_origin_id=origin.resource_id,
        creation_info=CreationInfo(author="phaseno-peft"),
    )


def _quality(event: AssociatedEvent, stations: StationTable | None) -> OriginQuality:
    from obspy.core.event import OriginQuality

    quality = OriginQuality(used_phase_count=len(event.picks), used_station_count=len(event.station_ids))
    if event.residuals_s:
        quality.standard_error = round(event.rms_s, 4)
    if stations is not None and event.is_located:
        quality.azimuthal_gap = round(azimuthal_gap_deg(event, stations), 1)
        near = [epicentral_km(event, stations[i]) / KM_PER_DEGREE for i in event.station_ids]
        quality.minimum_distance, quality.maximum_distance = round(min(near), 5), round(max(near), 5)
    return quality


def _arrival(
    event: AssociatedEvent, number: int, pick: QuakemlPick, prefix: str, stations: StationTable | None
) -> Arrival:
    from obspy.core.event import Arrival, ResourceIdentifier

    arrival = Arrival(
        resource_id=ResourceIdentifier(f"{prefix}/{number + 1}"), pick_id=pick.resource_id, phase=pick.phase_hint
    )
    if event.residuals_s:
        arrival.time_residual = round(event.residuals_s[number], 4)
    if stations is not None and event.is_located:
        station = stations[event.picks[number].trace_id]
        arrival.distance = round(epicentral_km(event, station) / KM_PER_DEGREE, 5)
        arrival.azimuth = round(_azimuth_deg(event, station), 1)
    return arrival
