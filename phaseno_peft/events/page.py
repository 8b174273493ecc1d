"""The HTML page of an association, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from phaseno_peft.campaign.coordinates import local_km, scaled_coordinates
from phaseno_peft.campaign.station import Station
from phaseno_peft.contract import PHASES
from phaseno_peft.events.association import ASSOCIATOR, Association
from phaseno_peft.events.tables import EVENT_COLUMNS, event_rows
from phaseno_peft.figures.events import DrawnEvents, events_figure
from phaseno_peft.report import Page, Picture, Section, Table, Tile, inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE_GAP_DEG = 180.0
"""With a wider azimuthal gap the network sees an event from one side, and its place is doubtful."""
GLOSSARY = (
    ("residual", "Pick minus arrival that place, origin time and velocity model predict."),
    ("rms", "Root mean square of an event's residuals: small for few picks too, which any place explains."),
    ("azimuthal gap", "Widest angle around the epicentre without a station that picked the event; above 180 degrees "
     "the event lies outside the network and its place is doubtful."),
)  # fmt: skip


def make_page(made: Association, names: Sequence[str], svg: str) -> Page:
    """The page's content. svg: `draw` as `figure_svg`."""
    n, counts = len(made.events), made.counts
    rms = [event.rms_s for event in made.events]
    rows = event_rows(made, names)
    outside = sum(float(str(row[EVENT_COLUMNS.index("azimuthal_gap_deg")])) > WIDE_GAP_DEG for row in rows)
    warned = any(finding.severity == "warning" for finding in made.findings)
    tiles = [
        Tile(str(n), "events"),
        Tile(" / ".join(str(sum(e.count(phase) for e in made.events)) for phase in PHASES), "P / S picks in events"),
        Tile(str(counts["alone"]), "picks in no event"),
        Tile(f"{np.median(rms):.2f} s" if rms else "–", "median rms of residuals"),
        Tile(str(outside), "events outside the network (gap above 180°)"),
    ]
    return Page(
        title="Events",
        lead=f"{len(made.picks)} picks by {made.picks.creator} on {len(made.stations)} stations, associated by "
        f"{ASSOCIATOR}. {made.velocity}.",
        verdict=f"{n} events. Automatic places: relocate before you interpret them."
        if n
        else "No event: no picks of enough stations agree on one. Lower the counts of the rule, or the picker's "
        "thresholds.",
        severity="warning" if warned or not n else "note",
        tiles=tiles,
        findings=made.findings,
        sections=_sections(made, rows, svg),
        footer=f"phaseno-peft {version('phaseno-peft')}. The page is whole in itself: it loads and sends nothing. "
        "It names stations, places and times; mind whom you give it to.",
        glossary=GLOSSARY,
    )


def _sections(made: Association, rows: Sequence[Sequence[object]], svg: str) -> list[Section]:
    if not made.events:
        return []
    picture = Picture(
        inline_svg(svg, "events", f"Map, depth sections and timeline of {len(made.events)} events"),
        "Stations (triangles) and events (circles, larger with more picks) on a map and in two sections; below, events "
        "in equal parts of the time and their running sum.",
        is_wide=True,
    )
    columns = ("event", "origin time", "latitude", "longitude", "km deep", "P", "S", "stations", "rms s", "gap °", "km")
    table = Table(
        columns,
        [(row[0], *row[1:]) for row in rows],
        "Depth is below sea level; the last column is the distance of the nearest station.",
        range(2, len(columns)),
        is_long=True,
    )
    return [
        Section("Where and when", (), [picture]),
        Section("Residuals", (), (), [_residual_table(made)]),
        Section("List of events", (), (), [table]),
    ]


def _residual_table(made: Association) -> Table:
    """Residuals of each station and phase: what stands out is a clock, a wrong place, or the velocity model."""
    found: dict[tuple[str, str], list[float]] = {}
    for event in made.events:
        for pick, residual in zip(event.picks, event.residuals_s, strict=True):
            found.setdefault((pick.trace_id, pick.phase), []).append(residual)
    rows = []
    for station in made.stations:
        cells: list[object] = [station.station_id.rstrip(".")]
        for phase in PHASES:
            own = np.array(found.get((station.station_id, phase), []))
            cells += [len(own)] + (
                [f"{np.median(own):+.3f}", f"{1.4826 * np.median(np.abs(own - np.median(own))):.3f}"]
                if len(own)
                else ["", ""]
            )
        rows.append(cells)
    columns = ("station", "P", "median s", "MAD s", "S", "median s", "MAD s")
    caption = (
        "A median far from 0 at one station in P and S alike is a clock or a wrong place; on all "
        "stations of one side, the velocity model."
    )
    return Table(columns, rows, caption, range(1, len(columns)))


def draw(made: Association) -> Figure:
    """Map, depth sections and timeline."""
    frame = made.stations.frame()
    stations = list(made.stations)
    epicentres = [Station("", e.latitude_deg, e.longitude_deg, -(e.depth_m or 0.0)) for e in made.events]

    def places_km(listed: Sequence[Station]) -> np.ndarray:
        flat = local_km(scaled_coordinates(listed, frame, 1.0)).reshape(len(listed), 2)
        down = -np.array([s.elevation_m for s in listed]).reshape(len(listed), 1) / 1000.0
        return np.hstack([flat, down])

    times = [pick.time for pick in made.picks]
    begin, end = (min(times), max(times)) if times else (None, None)
    return events_figure(
        DrawnEvents(
            places_km=places_km(epicentres),
            n_picks=np.array([len(e.picks) for e in made.events], np.int64),
            hours=np.array([(e.origin_time - begin) / 3600.0 for e in made.events]),
            stations_km={s.station_id: p for s, p in zip(stations, places_km(stations), strict=True)},
            begin="" if begin is None else begin.strftime("%Y-%m-%d %H:%M:%S"),
            length_hours=0.0 if begin is None or end is None else (end - begin) / 3600.0,
        )
    )
