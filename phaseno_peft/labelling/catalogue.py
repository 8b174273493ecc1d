"""Labelled events as events of obspy: automatic picks that name their teacher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from phaseno_peft.labelling.coincidence import LabelledEvent
from phaseno_peft.picks import PickList
from phaseno_peft.picks.event_files import write_events
from phaseno_peft.picks.pick_list import format_of
from phaseno_peft.picks.quakeml import ID_PREFIX

if TYPE_CHECKING:
    from obspy.core.event import Catalog, Event


def to_catalog(events: Sequence[LabelledEvent], teacher: str, associator: str) -> Catalog:
    """Return an obspy catalogue with one event each, its origin, picks and arrivals.

    Everything is evaluation mode automatic; a pick's `method_id` names the teacher. Ambiguous picks are in the event
    with evaluation status rejected and without arrival, so that training learns nothing within a second of them.
    Identifiers are made of the content: equal events give equal files.
    """
    from obspy.core.event import Catalog, CreationInfo, ResourceIdentifier

    return Catalog(
        events=[_event(event, teacher, associator) for event in events],
        resource_id=ResourceIdentifier(f"{ID_PREFIX}/pseudo-labels"),
        creation_info=CreationInfo(author="phaseno-peft"),
    )


def write_catalog(path: str | Path, catalog: Catalog) -> Path:
    """Write the format that the ending stands for, whole or not at all, and return the path."""
    return write_events(path, catalog, format_of(path))


def _event(labelled: LabelledEvent, teacher: str, associator: str) -> Event:
    from obspy.core.event import Arrival, Comment, CreationInfo, Event, Origin, OriginQuality, ResourceIdentifier

    picks = PickList(labelled.picks, creator=teacher).to_catalog()[0].picks
    doubtful = PickList(labelled.ambiguous, creator=teacher).to_catalog()[0].picks
    for pick in doubtful:
        pick.evaluation_status = "rejected"
    # Of two events that begin at one time the station and the phase tell them apart.
    name = str(picks[0].resource_id.id).removeprefix(f"{ID_PREFIX}/")
    event_id = f"{ID_PREFIX}/event/{name}"
    where = (
        f"located by {associator}" if labelled.is_located else "not located: placed at the station of the first pick"
    )
    origin = Origin(
        resource_id=ResourceIdentifier(f"{event_id}/origin"),
        time=labelled.origin_time,
        latitude=labelled.latitude_deg,
        longitude=labelled.longitude_deg,
        depth=labelled.depth_m,
        epicenter_fixed=not labelled.is_located,
        method_id=ResourceIdentifier(f"{ID_PREFIX}/associator/{associator}"),
        evaluation_mode="automatic",
        evaluation_status="preliminary",
        quality=OriginQuality(used_phase_count=len(picks), used_station_count=len(labelled.station_ids)),
        arrivals=[
            Arrival(
                resource_id=ResourceIdentifier(f"{event_id}/arrival/{number}"),
                pick_id=pick.resource_id,
                phase=pick.phase_hint,
            )
            for number, pick in enumerate(picks, start=1)
        ],
    )
    return Event(
        resource_id=ResourceIdentifier(event_id),
        event_type="earthquake",
        event_type_certainty="suspected",
        comments=[
            Comment(
                text=f"Pseudo-labels of {teacher}, associated by {associator}; {where}.",
                resource_id=ResourceIdentifier(f"{event_id}/comment"),
            )
        ],
        picks=[*picks, *doubtful],
        origins=[origin],
        preferred_origin_id=origin.resource_id,
        creation_info=CreationInfo(author="phaseno-peft"),
    )
