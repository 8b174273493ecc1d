"""A catalogue in one picture: map, two depth sections and a timeline. It is returned, not written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.figures.style import style, themed, themed_figure
from phaseno_peft.report import INK, MUTED, P_INK, PAPER, S_INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST_PT, LARGEST_PT = 3.0, 10.0
"""Diameters of the events with fewest and most picks."""
MARGIN = 1.12
"""The map's half width over that of what it shows."""
LABELLED_STATIONS = 40
"""More station codes than this hide each other."""
FEWEST_BINS, MOST_BINS = 8, 60
"""Of the timeline."""


@dataclass(frozen=True)
class DrawnEvents:
    """Events [event] and stations in km around the network's middle."""

    places_km: NDArray[np.float64]
    """[event, 3]: east, north, down from sea level."""
    n_picks: NDArray[np.int64]
    hours: NDArray[np.float64]
    """After the first pick of all."""
    stations_km: Mapping[str, NDArray[np.float64]]
    """Station id -> east, north, down."""
    begin: str
    """Time of hour 0, as text."""
    length_hours: float


def events_figure(drawn: DrawnEvents) -> Figure:
    """Map with stations (triangles) and events (circles, larger with more picks), sections, events over time."""
    size = _diameters(drawn.n_picks)
    with style():
        figure = themed_figure(9.6, 9.6)
        figure.set_layout_engine("none")  # a square of fixed size: kilometres are alike east and north
        plan = figure.add_axes((0.075, 0.385, 0.6, 0.6))
        west_east = figure.add_axes((0.075, 0.2, 0.6, 0.145), sharex=plan)
        south_north = figure.add_axes((0.735, 0.385, 0.245, 0.6), sharey=plan)
        key = figure.add_axes((0.735, 0.2, 0.245, 0.145))
        timeline = figure.add_axes((0.075, 0.05, 0.855, 0.09))
        stations = np.stack(list(drawn.stations_km.values()))
        (east, north, down), (x, y, z) = drawn.places_km.T, stations.T
        for axes, event_xy, station_xy in (
            (plan, (east, north), (x, y)),
            (west_east, (east, down), (x, z)),
            (south_north, (down, north), (z, y)),
        ):
            axes.scatter(*event_xy, s=np.square(size), c=S_INK, edgecolors=PAPER, linewidths=0.5, alpha=0.8, zorder=3)
            axes.plot(*station_xy, "^", color=P_INK, markersize=6.5, markeredgecolor=PAPER, zorder=4)
        if len(stations) <= LABELLED_STATIONS:
            for station_id, place in drawn.stations_km.items():
                code = station_id.split(".")[1]
                plan.annotate(code, (place[0], place[1]), (4, 3), textcoords="offset points", fontsize=6.5, color=INK)
        points = np.concatenate([drawn.places_km, stations])[:, :2]
        middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
        half = MARGIN * max(0.5 * float(np.ptp(points, axis=0).max()), 0.5)
        plan.set_xlim(middle[0] - half, middle[0] + half)
        plan.set_ylim(middle[1] - half, middle[1] + half)
        plan.set_ylabel("north of the network's middle (km)")
        west_east.set_xlabel("east (km)")
        west_east.set_ylabel("depth (km)")
        west_east.invert_yaxis()
        south_north.set_xlabel("depth (km)")
        _key(key, drawn.n_picks)
        _timeline(timeline, drawn)
        for axes in (plan, west_east, south_north, timeline):
            themed(axes, grid=True)
        return figure


def _diameters(n_picks: NDArray[np.int64]) -> NDArray[np.float64]:
    if not len(n_picks):
        return np.zeros(0)
    return np.asarray(np.interp(n_picks, _range(n_picks), (SMALLEST_PT, LARGEST_PT)))


def _key(axes: Axes, n_picks: NDArray[np.int64]) -> None:
    """What the sizes of the circles mean."""
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    if not len(n_picks):
        return
    shown = sorted({int(n_picks.min()), int(np.median(n_picks)), int(n_picks.max())})
    sizes = np.interp(shown, _range(n_picks), (SMALLEST_PT, LARGEST_PT))
    axes.text(0.05, 0.92, "picks of an event", fontsize=8.5, color=INK, va="top")
    for k, (n, diameter) in enumerate(zip(shown, sizes, strict=True)):
        y = 0.62 - 0.22 * k
        axes.scatter([0.12], [y], s=diameter**2, c=S_INK, edgecolors=PAPER, linewidths=0.5, alpha=0.8)
        axes.text(0.25, y, str(n), fontsize=8.5, color=INK, va="center")


def _range(n_picks: NDArray[np.int64]) -> tuple[float, float]:
    """Smallest and largest number of picks, apart."""
    low, high = float(n_picks.min()), float(n_picks.max())
    return low, max(high, low + 1.0)


def _timeline(axes: Axes, drawn: DrawnEvents) -> None:
    """Number of events in equal parts of the time (bars), and their running sum (line)."""
    from matplotlib.ticker import MaxNLocator

    length = max(drawn.length_hours, 1e-3)
    unit, per_hour = ("hours", 1.0) if length >= 2 else ("minutes", 60.0)
    if length >= 72:
        unit, per_hour = "days", 1.0 / 24.0
    n = min(max(math.ceil(2 * math.sqrt(max(len(drawn.hours), 1))), FEWEST_BINS), MOST_BINS)
    counts, edges = np.histogram(drawn.hours * per_hour, bins=n, range=(0.0, length * per_hour))
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=MUTED, alpha=0.45, linewidth=0)
    axes.set_ylabel("events")
    axes.set_xlabel(f"{unit} after {drawn.begin}")
    axes.set_xlim(0.0, length * per_hour)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    total = axes.twinx()
    times = np.sort(drawn.hours) * per_hour
    total.step([0.0, *times, length * per_hour], [*range(len(times) + 1), len(times)], where="post", color=S_INK)
    total.set_ylabel("sum", color=S_INK)
    total.set_ylim(0, max(len(times), 1) * 1.05)
    total.tick_params(colors=MUTED, labelcolor=S_INK)
    total.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    total.spines[["top", "left", "bottom"]].set_visible(False)
    total.spines["right"].set_color(MUTED)
    total.patch.set_alpha(0.0)
