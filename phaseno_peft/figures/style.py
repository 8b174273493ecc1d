"""What all figures share: colours, fonts, frames, legends, and how a PNG is written.

matplotlib is imported when a figure is drawn, and only its object interface is used: no pyplot, no window, no global
state. Colours are of the Okabe-Ito set, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phaseno_peft.files import write_file
from phaseno_peft.report import FAINT, INK, MUTED, P_INK, S_INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PHASE_COLOURS = {"P": P_INK, "S": S_INK}
FROZEN_COLOUR, ADAPTER_COLOUR = "#9A9A9A", "#009E73"
OTHER_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", INK)
RECIPE_COLOURS = (ADAPTER_COLOUR, "#0072B2", "#D55E00", *OTHER_COLOURS)
UNTRAINED_COLOUR = "#6B6B6B"
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), "-.", (0, (1, 1.5)), (0, (8, 2, 1, 2, 1, 2)))
"""Of models in order, beside their colours, so that none is told by its colour alone."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Of models and recipes in order, likewise."""
DPI = 140
FONT = {"font.family": "sans-serif", "font.size": 9.0, "axes.titlesize": 10.0, "axes.labelsize": 9.0}


def style() -> Any:
    """Return a context in which the figures' fonts hold."""
    import matplotlib

    return matplotlib.rc_context(FONT)


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure that lays itself out."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(wspace=0.06)
    return Figure(figsize=(width_in, height_in), dpi=DPI, layout=layout, facecolor="white")


def untrained_styles(recipes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Recipe -> style of its line across a figure: grey, told apart by dashes, so that colours are of what is trained.

    The first four look different from each other.
    """
    dashes = DASHES[1:]
    return {
        recipe: {"color": UNTRAINED_COLOUR, "linestyle": dashes[k % len(dashes)]}
        for k, recipe in enumerate(dict.fromkeys(recipes))
    }


def themed_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure without background: the page has one."""
    figure = new_figure(width_in, height_in)
    figure.patch.set_alpha(0.0)
    return figure


def themed(axes: Axes, *, grid: bool = False) -> None:
    """Lines and texts in the page's ink."""
    axes.patch.set_alpha(0.0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, which="both")
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    if grid:
        axes.grid(color=FAINT, linewidth=0.8)
        axes.set_axisbelow(True)


def short(station_id: str) -> str:
    """NET.STA.LOC without an empty location's dot."""
    return station_id.rstrip(".")


def plain(axes: Axes, *, grid: bool = False) -> None:
    """Take away the frame's upper and right line; a faint grid where values are to be read off."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.5")
    axes.tick_params(color="0.5")
    if grid:
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)


def legend_outside(
    figure: Figure,
    handles: Sequence[Any],
    labels: Sequence[str],
    columns: int | None = None,
    handle_length: float = 1.6,
) -> None:
    """Put one legend below all panels. `handle_length`: of its lines, in letters; longer where dashes matter."""
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns or len(labels),
        frameon=False,
        handlelength=handle_length,
        labelcolor=INK,
    )


def save(figure: Figure, path: str | Path, *, compress_level: int = 6) -> Path:
    """Write the figure as PNG, whole or not at all, and return its path. 1 compresses fast, 9 best."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    file, kwargs = io.BytesIO(), {"compress_level": compress_level}
    figure.savefig(file, format="png", facecolor="white", metadata={"Software": None}, pil_kwargs=kwargs)
    return write_file(path, file.getvalue())
