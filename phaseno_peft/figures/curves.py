"""Figures of curves with intervals, P beside S, a line a model: over thresholds, tolerances, or bins of a quantity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.contract import PHASES
from phaseno_peft.figures.scores import model_colours
from phaseno_peft.figures.style import DASHES, MARKERS, PHASE_COLOURS, legend_outside, style, themed, themed_figure
from phaseno_peft.report import INK, MUTED, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Line(Protocol):
    """One model's curve of one phase, such as `judging.curves.Curve`."""

    @property
    def phase(self) -> str:
        """P or S."""

    @property
    def model(self) -> str:
        """Name in the legend."""

    @property
    def x(self) -> NDArray[np.float64]:
        """[point]"""

    @property
    def y(self) -> NDArray[np.float64]:
        """[point] NaN where it is undefined."""

    @property
    def low(self) -> NDArray[np.float64]:
        """[point] lower end of its interval."""

    @property
    def high(self) -> NDArray[np.float64]:
        """[point] upper end of its interval."""

    @property
    def recall(self) -> NDArray[np.float64] | None:
        """[point] of a precision-recall curve."""


Draw = Callable[["Axes", Line, str, int], None]
"""Draws a line in a colour; the number is its model's."""


def line_figure(lines: Sequence[Line], x_label: str, y_label: str, *, is_rate: bool = False) -> Figure:
    """Curves with their 95 % intervals as bands. `is_rate`: y is no score between 0 and 1 but a rate from 0 on."""

    def draw(axes: Axes, line: Line, colour: str, k: int) -> None:
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(line.x, line.y, color=colour, linestyle=DASHES[k % len(DASHES)], linewidth=1.8, label=line.model)

    return _panels(lines, x_label, y_label, draw, None if is_rate else (0.0, 1.02))


def binned_figure(lines: Sequence[Line], x_label: str, y_label: str, *, has_diagonal: bool = False) -> Figure:
    """Points with 95 % intervals as bars, those of models a little apart. `has_diagonal`: x and y should be equal."""
    names = list(dict.fromkeys(line.model for line in lines))

    def draw(axes: Axes, line: Line, colour: str, k: int) -> None:
        reach = float(np.ptp(line.x)) or 1.0
        at = line.x + (k - 0.5 * (len(names) - 1)) * 0.012 * reach
        bars = np.nan_to_num(np.clip(np.stack([line.y - line.low, line.high - line.y]), 0.0, None))
        axes.errorbar(
            at,
            line.y,
            yerr=bars,
            color=colour,
            marker=MARKERS[k % len(MARKERS)],
            markersize=5,
            linewidth=1.4,
            linestyle=DASHES[k % len(DASHES)],
            elinewidth=1.0,
            capsize=2.5,
            label=line.model,
        )

    figure = _panels(lines, x_label, y_label, draw, (0.0, 1.02))
    for axes in figure.axes if has_diagonal else ():
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, zorder=1)
    return figure


def precision_recall_figure(lines: Sequence[Line], chosen: Mapping[tuple[str, str], tuple[float, float]]) -> Figure:
    """Precision against recall; `chosen` (phase, model) -> (recall, precision) at the threshold in use is ringed."""

    def draw(axes: Axes, line: Line, colour: str, k: int) -> None:
        recall = line.recall if line.recall is not None else line.x
        axes.plot(recall, line.y, color=colour, linestyle=DASHES[k % len(DASHES)], linewidth=1.8, label=line.model)
        at = chosen.get((line.phase, line.model))
        if at is not None:
            axes.plot(*at, "o", markersize=8, markerfacecolor=PAPER, markeredgecolor=colour, markeredgewidth=1.8)

    figure = _panels(lines, "recall", "precision", draw, (0.0, 1.02))
    for axes in figure.axes:
        axes.set_xlim(0.0, 1.02)
    return figure


def _panels(
    lines: Sequence[Line], x_label: str, y_label: str, draw: Draw, limits: tuple[float, float] | None
) -> Figure:
    names = list(dict.fromkeys(line.model for line in lines))
    colours = dict(zip(names, model_colours(names), strict=True))
    with style():
        figure = themed_figure(8.2, 3.5)
        panels = figure.subplots(1, len(PHASES), sharey=True, squeeze=False)[0]
        for axes, phase in zip(panels, PHASES, strict=True):
            own = [line for line in lines if line.phase == phase]
            for line in own:
                draw(axes, line, colours[line.model], names.index(line.model))
            if not own:
                axes.text(0.5, 0.5, "too few labels", transform=axes.transAxes, ha="center", color=INK)
            axes.set_title(phase, loc="center", color=PHASE_COLOURS[phase], fontweight="bold")
            axes.set_xlabel(x_label)
            axes.set_ylim(*(limits or (0.0, None)))
            themed(axes, grid=True)
        panels[0].set_ylabel(y_label)
        with_lines = next((axes for axes in panels if axes.get_legend_handles_labels()[0]), panels[0])
        legend_outside(figure, *with_lines.get_legend_handles_labels())
        return figure
