"""Figures of arrivals for a page: one event's record section, move-out, S-P times, label offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phaseno_peft.figures.style import short, style, themed, themed_figure
from phaseno_peft.report import INK, MUTED, P_INK, S_INK, WARN_INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = {"P": ("o", P_INK), "S": ("s", S_INK)}
MOST_SAMPLES = 700
"""Points of one trace in a page; more only make it heavy."""


@dataclass(frozen=True)
class Trace:
    """One station's vertical in a record section."""

    name: str
    distance_km: float
    samples: np.ndarray
    """From the section's first second to its last."""
    picks_s: Mapping[str, float]
    """Phase -> seconds after the section's first sample."""


@dataclass(frozen=True)
class Arrival:
    """One pick in the move-out figure."""

    phase: str
    name: str
    """Written beside it where it is an outlier."""
    distance_km: float
    travel_s: float
    is_outlier: bool
    is_on_wrong_clock: bool = False
    """On a station whose clock is off: drawn as a cross."""


def section(traces: Sequence[Trace], rate_hz: float, title: str) -> Figure:
    """Verticals by distance, each scaled to itself, with P (solid) and S (dashed) picks."""
    ordered = sorted(traces, key=lambda t: t.distance_km)
    with style():
        figure = themed_figure(11.0, 1.2 + 0.34 * len(ordered))
        axes = figure.subplots()
        for row, trace in enumerate(ordered):
            seconds = np.arange(len(trace.samples)) / rate_hz
            x, y = _thinned(seconds, trace.samples.astype(float))
            scale = float(np.max(np.abs(y))) or 1.0
            axes.plot(x, row - 0.45 * y / scale, color=INK, linewidth=0.5)
            for phase, at in trace.picks_s.items():
                line = "-" if phase == "P" else "--"
                axes.vlines(at, row - 0.48, row + 0.48, color=MARKS[phase][1], linewidth=1.8, linestyle=line, zorder=3)
        names = [f"{short(t.name)}  {t.distance_km:.1f} km" for t in ordered]
        axes.set_yticks(range(len(ordered)), names, fontsize=7.5)
        axes.set_ylim(len(ordered) - 0.4, -0.6)
        axes.set_xlim(0, max(len(t.samples) for t in ordered) / rate_hz)
        axes.set_xlabel("seconds")
        axes.set_title(title, loc="left", color=INK)
        themed(axes)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return figure


def move_out(arrivals: Sequence[Arrival], speed_km_s: float, ratio: float) -> Figure:
    """Time after the fitted origin against distance, with the half-space's lines; outliers are ringed and named."""
    with style():
        figure = themed_figure(5.4, 4.4)
        axes = figure.subplots()
        _points(
            axes,
            [(a.phase, a.name, a.distance_km, a.travel_s, a.is_outlier) for a in arrivals if not a.is_on_wrong_clock],
        )
        if shifted := [(a.distance_km, a.travel_s) for a in arrivals if a.is_on_wrong_clock]:
            axes.plot(*np.array(shifted).T, "x", color=WARN_INK, markersize=4.5, label="on a clock that is off")
        reach = max((a.distance_km for a in arrivals), default=1.0)
        for phase, slowness in (("P", 1 / speed_km_s), ("S", ratio / speed_km_s)):
            axes.plot([0, reach], [0, reach * slowness], color=MUTED, linewidth=0.9, zorder=1)
            axes.annotate(
                phase, (reach, reach * slowness), (4, 0), textcoords="offset points", color=MUTED, va="center"
            )
        axes.set_xlabel("distance from the fitted place (km)")
        axes.set_ylabel("seconds after the fitted origin")
        _legend(axes)
        themed(axes, grid=True)
        return figure


def sp_times(records: Sequence[tuple[str, float, float, bool]], ratio: float) -> Figure:
    """S - P against P travel time (Wadati), of (name, P travel time, S - P, is an outlier), with the line of Vp/Vs."""
    with style():
        figure = themed_figure(5.4, 4.4)
        axes = figure.subplots()
        _points(axes, [("S", name, p, sp, off) for name, p, sp, off in records])
        reach = max((p for _, p, _, _ in records), default=1.0)
        axes.plot([0, reach], [0, (ratio - 1) * reach], color=MUTED, linewidth=0.9, zorder=1)
        axes.axhline(0, color=MUTED, linewidth=0.6)
        axes.set_xlabel("P: seconds after the fitted origin")
        axes.set_ylabel("S - P (s)")
        axes.set_title(f"line: Vp/Vs = {ratio:.2f}", loc="right", fontsize=8.5, color=INK)
        themed(axes, grid=True)
        return figure


def _points(axes: Axes, points: Sequence[tuple[str, str, float, float, bool]]) -> None:
    """(phase, name, x, y, is an outlier)."""
    for phase, (mark, colour) in MARKS.items():
        own = [(x, y) for p, _, x, y, _ in points if p == phase]
        if own:
            axes.plot(*np.array(own).T, mark, color=colour, markersize=3.2, alpha=0.75, label=phase, markeredgewidth=0)
    off = [(name, x, y) for _, name, x, y, is_off in points if is_off]
    if off:
        axes.plot(
            *np.array([(x, y) for _, x, y in off]).T,
            "o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor=WARN_INK,
            markeredgewidth=1.4,
            label="off the move-out",
        )
    for name, x, y in off:
        axes.annotate(name, (x, y), (5, 4), textcoords="offset points", fontsize=7, color=INK)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=7.5, labelcolor=INK, loc="upper left")


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of each block, so that no peak is lost."""
    size = 2 * len(y) // MOST_SAMPLES
    if size < 2:
        return x, y
    blocks = y[: len(y) // size * size].reshape(-1, size)
    return np.repeat(x[: len(blocks) * size : size], 2), np.stack([blocks.min(axis=1), blocks.max(axis=1)], 1).ravel()
