"""Picks as obspy events, and the files that obspy writes of them: QuakeML and NonLinLoc's NLLOC_OBS."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.files import write_file
from phaseno_peft.picks.pick import Pick, rounded
from phaseno_peft.station_ids import station_fields

if TYPE_CHECKING:
    from obspy.core.event import Catalog
    from obspy.core.event import Pick as QuakemlPick

FALLBACK_UNCERTAINTY_S = 0.1
"""Written to NLLOC_OBS, which demands an uncertainty above zero, for a pick whose own is not a positive number."""
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


def write_quakeml(path: str | Path, picks: Iterable[Pick], creator: str) -> Path:
    """Write `catalog_of` as QuakeML 1.2 and return the path."""
    file = io.BytesIO()
    catalog_of(picks, creator).write(file, format="QUAKEML")
    return write_file(path, file.getvalue())


def write_nlloc(path: str | Path, picks: Iterable[Pick], creator: str) -> Path:
    """Write NonLinLoc phases and return the path; no picks give an empty file."""
    catalog = catalog_of(picks, creator)
    if not catalog[0].picks:
        return write_file(path, b"")
    for pick in catalog[0].picks:
        pick.time = rounded(pick.time, 4)  # obspy prints seconds as %7.4f: 59.99996 would become 60.0000
        if not (pick.time_errors.uncertainty or 0.0) > 0.0:
            pick.time_errors.uncertainty = FALLBACK_UNCERTAINTY_S
    file = io.BytesIO()
    catalog.write(file, format="NLLOC_OBS")
    return write_file(path, file.getvalue())


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
