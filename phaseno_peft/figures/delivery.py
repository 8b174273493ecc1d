"""Figures of a delivery for a page: network with rays, what was recorded when, noise spectra.

They are returned, not written: a page draws them in its own colours (`phaseno_peft.report.inline_svg`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from phaseno_peft.figures.style import short, style, themed, themed_figure
from phaseno_peft.report import INK, MUTED, P_INK, PAPER, S_INK, WARN_INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_RAYS = 3000
THINNEST_GAP = 0.005
"""A gap is drawn at least this part of the whole width wide, so that it is seen."""


def network_map(
    stations_km: Mapping[str, np.ndarray],
    sources_km: Sequence[np.ndarray],
    rays: Sequence[tuple[int, str]],
    silent: Sequence[str] = (),
) -> Figure:
    """Stations (triangles), sources (circles) and a line from each source to each station that picked it.

    `stations_km` and `sources_km` hold (east, north, ...); `rays` pairs a source's number with a station; `silent`
    stations have no record and are drawn open.
    """
    from matplotlib.collections import LineCollection

    with style():
        figure = themed_figure(5.4, 5.0)
        axes = figure.subplots()
        lines = [[sources_km[k][:2], stations_km[i][:2]] for k, i in rays[:MOST_RAYS] if i in stations_km]
        alpha = float(np.clip(12.0 / max(len(lines), 1) ** 0.5, 0.15, 0.8))
        axes.add_collection(LineCollection(lines, colors=MUTED, linewidths=0.5, alpha=alpha, zorder=1))
        if len(sources_km):
            x, y = np.array(sources_km)[:, :2].T
            axes.plot(x, y, "o", color=S_INK, markersize=4, markeredgecolor=PAPER, markeredgewidth=0.4, zorder=3)
        for station_id, place in stations_km.items():
            face = PAPER if station_id in silent else P_INK
            axes.plot(*place[:2], "^", color=face, markersize=8, markeredgecolor=P_INK, markeredgewidth=1.2, zorder=4)
            axes.annotate(
                station_id.split(".")[1],
                (place[0], place[1]),
                (5, 4),
                textcoords="offset points",
                fontsize=7,
                color=INK,
                zorder=5,
            )
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.12)
        axes.set_xlabel("east of the network's middle (km)")
        axes.set_ylabel("north (km)")
        themed(axes, grid=True)
        return figure


def gap_chart(
    channels: Sequence[tuple[str, Sequence[tuple[float, float]], Sequence[tuple[float, float]]]],
    bounds_s: Sequence[float],
) -> Figure:
    """One bar a channel: recorded (solid) and gaps (crosses over an empty bar), recordings laid end to end.

    `channels` are (name, recorded runs, gaps) in seconds of record; `bounds_s` are where recordings begin and end.
    """
    with style():
        figure = themed_figure(11.0, 0.9 + 0.155 * max(len(channels), 4))
        axes = figure.subplots()
        total = bounds_s[-1]
        for row, (_, runs, gaps) in enumerate(channels):
            axes.broken_barh([(a, b - a) for a, b in runs], (row - 0.36, 0.72), facecolors=P_INK, linewidth=0)
            for a, b in gaps:
                width = max(b - a, THINNEST_GAP * total)
                axes.broken_barh([(a, width)], (row - 0.36, 0.72), facecolors=PAPER, hatch="xxxx", edgecolor=S_INK)
        if len(bounds_s) <= 200:
            axes.vlines(bounds_s, -0.6, len(channels) - 0.4, color=PAPER, linewidth=0.8)
        axes.set_yticks(range(len(channels)), [name for name, _, _ in channels], fontsize=7)
        axes.set_ylim(len(channels) - 0.4, -0.6)
        axes.set_xlim(0, total)
        axes.set_xlabel(f"seconds of record; {len(bounds_s) - 1} recordings end to end")
        themed(axes)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return figure


def noise_spectra(
    frequencies_hz: np.ndarray,
    spectra_db: Mapping[str, np.ndarray],
    median_db: np.ndarray,
    unit: str,
    named: Sequence[str],
) -> Figure:
    """Spectra [frequency] of channels before events (thin), the campaign's median (thick), and those of `named`."""
    styles = [(S_INK, "-"), (P_INK, "--"), (WARN_INK, "-."), (INK, ":")]
    with style():
        figure = themed_figure(5.4, 4.0)
        axes = figure.subplots()
        for name, spectrum in spectra_db.items():
            if name not in named:
                axes.plot(frequencies_hz, spectrum, color=MUTED, linewidth=0.5, alpha=0.5)
        axes.plot(frequencies_hz, median_db, color=INK, linewidth=2.2, label="campaign's median")
        for k, name in enumerate(named[: len(styles)]):
            colour, line = styles[k]
            axes.plot(frequencies_hz, spectra_db[name], color=colour, linestyle=line, linewidth=1.4, label=name)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("frequency (Hz)")
        axes.set_ylabel(f"dB of {unit}")
        axes.legend(frameon=False, fontsize=7.5, labelcolor=INK, loc="lower left")
        themed(axes, grid=True)
        return figure


def noise_levels(levels_db: Mapping[str, Sequence[float]], limit_db: float) -> Figure:
    """Level of each station's components (E, N, Z) against the campaign's median; limits are dashed."""
    with style():
        figure = themed_figure(5.4, 1.3 + 0.17 * len(levels_db))
        axes = figure.subplots()
        marks = (("E", "o", S_INK), ("N", "s", WARN_INK), ("Z", "^", P_INK))
        for c, (letter, mark, colour) in enumerate(marks):
            values = [levels[c] for levels in levels_db.values()]
            axes.plot(values, range(len(levels_db)), mark, color=colour, markersize=4.5, label=letter, alpha=0.9)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for side in (-limit_db, limit_db):
            axes.axvline(side, color=MUTED, linewidth=0.8, linestyle="--")
        axes.set_yticks(range(len(levels_db)), [short(i) for i in levels_db], fontsize=7)
        axes.set_ylim(len(levels_db) - 0.4, -0.6)
        axes.set_xlabel("dB above the campaign's median")
        figure.legend(loc="outside lower center", ncols=3, frameon=False, labelcolor=INK)
        themed(axes)
        return figure
