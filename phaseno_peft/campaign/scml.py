"""SeisComP's SCML as obspy reads it, with what it leaves behind: origins and picks that stand in no event."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phaseno_peft.campaign.catalog import UNASSOCIATED_ID

if TYPE_CHECKING:
    from lxml.etree import _Element
    from obspy.core.event import Catalog, Event


def read_scml(path: Path) -> Catalog:
    """The catalogue of an SCML file that has been found to declare no document type.

    An origin that no event refers to becomes an event of its own (scautoloc's output before scevent), and picks of no
    origin (scautopick's) are kept in the event of unassociated picks. Raises whatever obspy's reader does.
    """
    from lxml import etree
    from obspy import read_events

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    root = etree.parse(str(path), parser).getroot()
    name = root.tag.removesuffix("seiscomp")  # the namespace, in braces
    parameters = root.find(f"{name}EventParameters")
    loose: list[_Element] = []
    if parameters is None:
        raise ValueError("it holds no EventParameters")
    if len(parameters):
        known = {e.text for e in parameters.iter(f"{name}originReference", f"{name}preferredOriginID")}
        for origin in parameters.findall(f"{name}origin"):
            origin_id = origin.get("publicID")
            if origin_id and origin_id not in known:
                event = etree.SubElement(parameters, f"{name}event", publicID=f"{origin_id}/event")
                for tag in ("preferredOriginID", "originReference"):
                    etree.SubElement(event, f"{name}{tag}").text = origin_id
        used = {e.text for e in parameters.iter(f"{name}pickID")}
        loose = [pick for pick in parameters.findall(f"{name}pick") if pick.get("publicID") not in used]
    content = io.BytesIO(etree.tostring(root))
    catalog = read_events(content, format="SCML", check_compression=False)
    if loose:
        catalog.append(_container(loose, name))
    return catalog


def _container(picks: list[_Element], name: str) -> Event:
    from obspy.core.event import Event, ResourceIdentifier

    return Event(resource_id=ResourceIdentifier(UNASSOCIATED_ID), picks=[_pick(pick, name) for pick in picks])


def _pick(pick: _Element, name: str) -> Any:
    from obspy import UTCDateTime
    from obspy.core.event import Pick, QuantityError, ResourceIdentifier, WaveformStreamID

    def text(path: str) -> str | None:
        found = pick.find("/".join(f"{name}{step}" for step in path.split("/")))
        return None if found is None else str(found.text or "")

    def number(path: str) -> float | None:
        found = text(path)
        return float(found) if found else None

    stream = pick.find(f"{name}waveformID")
    time, method = text("time/value"), text("methodID")
    return Pick(
        resource_id=ResourceIdentifier(pick.get("publicID")),
        time=UTCDateTime(time) if time else None,
        time_errors=QuantityError(
            uncertainty=number("time/uncertainty"),
            lower_uncertainty=number("time/lowerUncertainty"),
            upper_uncertainty=number("time/upperUncertainty"),
        ),
        waveform_id=None
        if stream is None
        else WaveformStreamID(
            *(stream.get(f"{part}Code") for part in ("network", "station", "location", "channel")),
        ),
        phase_hint=text("phaseHint"),
        evaluation_mode=text("evaluationMode") or None,
        evaluation_status=text("evaluationStatus") or None,
        method_id=ResourceIdentifier(method) if method else None,
    )
