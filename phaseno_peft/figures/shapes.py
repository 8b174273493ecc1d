"""Drawings of lines, marks and texts that are written as a small SVG element for a page, or as a PNG file.

matplotlib's SVG gives a point of a line 24 characters; here it takes about five, so that a page holds hundreds of
record sections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np

from phaseno_peft.figures.style import new_figure, save, style
from phaseno_peft.report import INK, PAPER, paint

Anchor = Literal["start", "middle", "end"]
SCALE = 5
"""SVG units of a pixel: points are whole units."""
PIXELS_PER_INCH = 100.0
MARKS = {
    "up": [(0, -1), (0.95, 0.75), (-0.95, 0.75)],
    "down": [(0, 1), (0.95, -0.75), (-0.95, -0.75)],
    "diamond": [(0, -1.1), (0.85, 0), (0, 1.1), (-0.85, 0)],
}
"""Kind -> corners in units of the mark's radius, y down. A "ring" and a "cross" are drawn as such."""


@dataclass
class Drawing:
    """Shapes in pixels, y down; colours are the page's inks (`phaseno_peft.report`) or stay as they are."""

    width: float
    height: float
    lines: list[tuple[np.ndarray, str, float, str]] = field(default_factory=list)
    """(points [point, 2] or NaN where the line is broken, colour, width, dashes such as "6 4")."""
    marks: list[tuple[str, float, float, float, str, bool]] = field(default_factory=list)
    """(kind, x, y, radius, colour, is filled)."""
    texts: list[tuple[float, float, str, float, str, Anchor]] = field(default_factory=list)
    """(x, y of the middle, text, size, colour, anchor)."""

    def line(
        self,
        points: Sequence[tuple[float, float]] | np.ndarray,
        colour: str = INK,
        width: float = 1.0,
        dashes: str = "",
    ) -> None:
        """Add a line through points; NaN breaks it."""
        self.lines.append((np.asarray(points, np.float64), colour, width, dashes))

    def mark(self, kind: str, x: float, y: float, radius: float, colour: str = INK, *, is_filled: bool = True) -> None:
        """Add a mark of `MARKS`, a "ring" or a "cross"."""
        self.marks.append((kind, x, y, radius, colour, is_filled))

    def text(
        self, x: float, y: float, text: str, size: float = 12.0, colour: str = INK, anchor: Anchor = "start"
    ) -> None:
        """Add a text, its middle line at y."""
        self.texts.append((x, y, text, size, colour, anchor))

    def svg(self, description: str, *, is_file: bool = False) -> str:
        """Return the drawing as an SVG element in the page's colours, or as a file that stands alone, on white."""
        w, h = round(self.width * SCALE), round(self.height * SCALE)
        inner, label = self._shapes, f'role="img" aria-label="{escape(description)}"'
        if is_file:
            size = f'width="{self.width:.0f}" height="{self.height:.0f}" xmlns="http://www.w3.org/2000/svg"'
            ground = f'<rect width="{w}" height="{h}" fill="#ffffff"/>'
            return f'<svg viewBox="0 0 {w} {h}" {size} font-family="sans-serif" {label}>{ground}{inner}</svg>\n'
        return f'<svg viewBox="0 0 {w} {h}" {label}>{paint(inner)}</svg>'

    @cached_property
    def _shapes(self) -> str:
        """All shapes as SVG elements; nothing is added once they were asked for."""
        parts = [
            f'<path d="{_path(points)}" fill="none" stroke="{colour}" stroke-width="{width * SCALE:g}"'
            + (f' stroke-dasharray="{" ".join(f"{float(d) * SCALE:g}" for d in dashes.split())}"' if dashes else "")
            + "/>"
            for points, colour, width, dashes in self.lines
        ]
        parts += [_mark(*mark) for mark in self.marks]
        parts += [
            f'<text x="{x * SCALE:.0f}" y="{(y + 0.35 * size) * SCALE:.0f}" font-size="{size * SCALE:g}" '
            f'text-anchor="{anchor}" style="fill:{colour}">{escape(text)}</text>'
            for x, y, text, size, colour, anchor in self.texts
        ]
        return "".join(parts)

    def png(self, path: str | Path) -> Path:
        """Write the drawing as PNG, whole or not at all, and return its path."""
        from matplotlib.collections import LineCollection, PolyCollection

        point = 72.0 / PIXELS_PER_INCH
        with style():
            figure = new_figure(self.width / PIXELS_PER_INCH, self.height / PIXELS_PER_INCH)
            figure.set_layout_engine("none")
            axes = figure.add_axes((0, 0, 1, 1), xlim=(0, self.width), ylim=(self.height, 0))
            axes.set_axis_off()
            kinds: dict[tuple[str, float, str], list[np.ndarray]] = {}
            for points, colour, width, dashes in self.lines:
                kinds.setdefault((colour, width, dashes), []).append(points)
            for (colour, width, dashes), paths in kinds.items():
                line = (0, tuple(float(d) / width for d in dashes.split())) if dashes else "-"
                axes.add_collection(LineCollection(paths, colors=colour, linewidths=width * point, linestyles=[line]))
            for kind, x, y, radius, colour, is_filled in self.marks:
                corners = np.array([x, y]) + radius * _corners(kind)
                face = "none" if kind == "ring" else colour if is_filled else PAPER
                if kind == "cross":
                    axes.add_collection(LineCollection([corners[:2], corners[2:]], colors=colour, linewidths=2 * point))
                else:
                    axes.add_collection(
                        PolyCollection([corners], facecolors=face, edgecolors=colour, linewidths=1.4 * point, zorder=3)
                    )
            for x, y, text, size, colour, anchor in self.texts:
                align = {"start": "left", "middle": "center", "end": "right"}[anchor]
                axes.text(x, y, text, fontsize=size * point, color=colour, ha=align, va="center", parse_math=False)
            figure.set_dpi(PIXELS_PER_INCH)
            return save(figure, path, compress_level=1)


def _path(points: np.ndarray) -> str:
    """Moves and lines in whole units, each relative to the point before; broken where a point is NaN."""
    is_known = np.isfinite(points).all(axis=1)
    runs = np.flatnonzero(np.diff(np.concatenate([[False], is_known, [False]])))
    pieces = []
    for first, last in zip(runs[::2], runs[1::2], strict=True):
        units = np.rint(points[first:last] * SCALE).astype(int)
        steps = " ".join(map(str, np.diff(units, axis=0).ravel().tolist())).replace(" -", "-")
        pieces.append(f"M{units[0, 0]} {units[0, 1]}{f'l{steps}' if steps else ''}")
    return "".join(pieces)


def _corners(kind: str) -> np.ndarray:
    if kind == "ring":
        turn = np.linspace(0, 2 * np.pi, 33)
        return np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if kind == "cross":
        return np.array([(-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8), (0.8, -0.8)])
    return np.array(MARKS[kind], np.float64)


def _mark(kind: str, x: float, y: float, radius: float, colour: str, is_filled: bool) -> str:
    stroke = f'stroke="{colour}" stroke-width="{(2.0 if kind == "cross" else 1.4) * SCALE:g}"'
    if kind == "ring":
        return f'<circle cx="{x * SCALE:.0f}" cy="{y * SCALE:.0f}" r="{radius * SCALE:.0f}" fill="none" {stroke}/>'
    corners = (np.array([x, y]) + radius * _corners(kind)) * SCALE
    if kind == "cross":
        a, b, c, d = (f"{px:.0f} {py:.0f}" for px, py in corners)
        return f'<path d="M{a}L{b}M{c}L{d}" fill="none" {stroke}/>'
    face = colour if is_filled else PAPER
    return f'<path d="M{"L".join(f"{px:.0f} {py:.0f}" for px, py in corners)}z" fill="{face}" {stroke}/>'
