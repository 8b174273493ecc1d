"""Catalogues of obspy as files that analysts' tools read: QuakeML, SCML, Nordic, NLLOC_OBS, HypoDD phases, Snuffler.

What a format cannot hold is left out or written by its own rule: rejected picks have weight 4 in Nordic and an error of
`UNUSED_ERROR_S` in NLLOC_OBS, are automatic markers of kind 3 in Snuffler's, and not in HypoDD's files.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.files import write_file
from phaseno_peft.picks.pick import rounded

if TYPE_CHECKING:
    from obspy import UTCDateTime
    from obspy.core.event import Catalog, Event

FALLBACK_UNCERTAINTY_S = 0.1
"""Written to NLLOC_OBS, which demands an uncertainty above zero, for a pick whose own is not a positive number."""
UNUSED_ERROR_S = 99999.9
"""NonLinLoc's word for a reading that is not to be used."""
LONGEST_NORDIC_STATION = 5
"""Characters of a station code in Nordic's format of 2021 (SEISAN 12)."""
_NORDIC_UNUSED = "4"


def write_events(path: str | Path, catalog: Catalog, format_name: str) -> Path:
    """Write a catalogue in one of `EVENT_FORMATS`, whole or not at all, and return the path.

    Raises `PhasenoPeftError` for an unknown format, for events without what a format needs (Nordic: an origin time,
    HypoDD: a hypocentre), and for station codes that do not fit.
    """
    if format_name not in EVENT_FORMATS:
        raise PhasenoPeftError(f"`format` should be one of {', '.join(EVENT_FORMATS)} but is {format_name!r}.")
    return write_file(path, EVENT_FORMATS[format_name](catalog))


def _by_obspy(format_name: str) -> Callable[[Catalog], bytes]:
    def write(catalog: Catalog) -> bytes:
        file = io.BytesIO()
        catalog.write(file, format=format_name)
        return file.getvalue()

    return write


def _nlloc(catalog: Catalog) -> bytes:
    """Events one after the other, a blank line between; obspy writes one. Seconds to 0.1 ms."""
    from obspy.core.event import Catalog

    blocks = []
    for event in _copies(catalog, decimals=4):  # obspy prints seconds as %7.4f: 59.99996 would become 60.0000
        for pick in event.picks:
            if pick.evaluation_status == "rejected":
                pick.time_errors.uncertainty = UNUSED_ERROR_S
            elif not (pick.time_errors.uncertainty or 0.0) > 0.0:
                pick.time_errors.uncertainty = FALLBACK_UNCERTAINTY_S
        if event.picks:
            blocks.append(_by_obspy("NLLOC_OBS")(Catalog([event])).strip(b"\n") + b"\n")
    return b"\n".join(blocks)


def _nordic(catalog: Catalog) -> bytes:
    """Nordic's format of 2021, which has network and location codes. Seconds to 1 ms."""
    from obspy.io.nordic.core import write_select

    events = _copies(catalog, decimals=3)
    for event in events:
        _demand(event, "an origin time", lambda origin: origin.time is not None)
        event.preferred_origin().time = rounded(event.preferred_origin().time, 3)
        for pick in event.picks:
            code = pick.waveform_id.station_code
            if len(code) > LONGEST_NORDIC_STATION:
                raise PhasenoPeftError(
                    f"station {code}: Nordic holds codes of {LONGEST_NORDIC_STATION} characters. Write QuakeML or SCML."
                )
            if pick.evaluation_status == "rejected":
                pick.extra = {"nordic_pick_weight": {"value": _NORDIC_UNUSED, "namespace": "https://seis.geus.net"}}
    with tempfile.TemporaryDirectory(prefix="phaseno-peft-") as folder:
        write_select(events, f"{folder}/select.out", userid="PNPF", nordic_format="NEW")
        return (Path(folder) / "select.out").read_bytes()


def _hypodd(catalog: Catalog) -> bytes:
    from obspy.core.event import ResourceIdentifier

    events, text = _copies(catalog, decimals=6), io.StringIO()
    for event in events:
        _demand(event, "a hypocentre", lambda origin: None not in (origin.time, origin.latitude, origin.depth))
        event.picks = [pick for pick in event.picks if pick.evaluation_status != "rejected"]
        # A number of the content, so that files of several runs can lie in one folder; obspy takes it as it is.
        event.resource_id = ResourceIdentifier(f"smi:local/{_number(str(event.resource_id.id))}")
    _quietly(lambda: events.write(text, format="HYPODDPHA"))
    return text.getvalue().encode()


def _markers(catalog: Catalog) -> bytes:
    """Snuffler's markers; a pick stands on all channels of its sensor, a rejected one is automatic and of kind 3."""
    lines = ["# Snuffler Markers File Version 0.2"]
    for event in catalog:
        origin = event.preferred_origin()
        of_event = "None None None"
        if origin is not None:
            where = " ".join(_word(x) for x in (origin.latitude, origin.longitude, origin.depth))
            name = str(event.resource_id.id)
            lines.append(f"event: {_clock(origin.time)} 0 {name} {where} None None None None")
            of_event = f"{name} {_clock(origin.time)}"
        for pick in event.picks:
            stream = pick.waveform_id
            codes = (stream.network_code, stream.station_code, stream.location_code, "*")
            trace = ".".join(code or "" for code in codes)
            is_rejected = pick.evaluation_status == "rejected"
            kind, automatic = 3 if is_rejected else 0, is_rejected or pick.evaluation_mode == "automatic"
            lines.append(f"phase: {_clock(pick.time)} {kind} {trace} {of_event} {pick.phase_hint} None {automatic}")
    return ("\n".join(lines) + "\n").encode()


EVENT_FORMATS: dict[str, Callable[[Catalog], bytes]] = {
    "quakeml": _by_obspy("QUAKEML"),
    "scml": _by_obspy("SCML"),
    "nordic": _nordic,
    "nlloc": _nlloc,
    "hypodd": _hypodd,
    "snuffler": _markers,
}


def _copies(catalog: Catalog, decimals: int) -> Catalog:
    """The events with their first origin preferred where none is, and the times of their picks rounded."""
    copied = catalog.copy()
    for event in copied:
        if event.preferred_origin() is None and event.origins:
            event.preferred_origin_id = event.origins[0].resource_id
        for pick in event.picks:
            pick.time = rounded(pick.time, decimals)
    return copied


def _demand(event: Event, what: str, holds: Callable[[Any], bool]) -> None:
    origin = event.preferred_origin()
    if origin is None or not holds(origin):
        raise PhasenoPeftError(f"event {event.resource_id.id} has not {what}, which the format needs. Write QuakeML.")


def _quietly(write: Callable[[], object]) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of magnitudes, which we have none of
        write()


def _number(text: str) -> int:
    """A whole number of nine digits at most, made of a text: HypoDD's kind of id."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 899_999_999 + 100_000_000


def _clock(time: UTCDateTime) -> str:
    return str(rounded(time, 6).strftime("%Y-%m-%d %H:%M:%S.%f"))


def _word(value: float | None) -> str:
    return "None" if value is None else f"{value:.6g}"
