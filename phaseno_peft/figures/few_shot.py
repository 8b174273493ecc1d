"""The few-shot curve: scores against labelled events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phaseno_peft.figures.style import DASHES, OTHER_COLOURS, legend_outside, new_figure, plain, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNTRAINED_COLOUR = "#6B6B6B"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Of recipes in order, beside their colours, so that none is told by its colour alone."""
COLOURS = ("#009E73", "#0072B2", "#D55E00", *OTHER_COLOURS)


@dataclass(frozen=True, slots=True)
class FewShotPoint:
    """A score with so many labelled events, over seeds."""

    n_events: int
    mean: float
    deviation: float = 0.0
    """Standard deviation; 0 for one seed."""


def untrained_styles(recipes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Recipe -> style of its line across a figure: grey, told apart by dashes, so that colours are of what is trained.

    The first four look different from each other.
    """
    dashes = DASHES[1:]
    return {
        recipe: {"color": UNTRAINED_COLOUR, "linestyle": dashes[k % len(dashes)]}
        for k, recipe in enumerate(dict.fromkeys(recipes))
    }


def few_shot_figure(lines: Mapping[str, Sequence[FewShotPoint]], score: str) -> Figure:
    """Draw a score against the labelled events of a training, a line a recipe; dashed is what was not trained."""
    with style():
        figure = new_figure(6.4, 4.0)
        axes = figure.subplots()
        untrained = untrained_styles(recipe for recipe, points in lines.items() if points[0].n_events == 0)
        for number, (recipe, points) in enumerate(lines.items()):
            own = sorted(points, key=lambda point: point.n_events)
            if own[0].n_events == 0:
                axes.axhline(own[0].mean, linewidth=1.2, label=recipe, **untrained[recipe])
                continue
            axes.errorbar(
                [point.n_events for point in own],
                [point.mean for point in own],
                yerr=[point.deviation for point in own],
                marker=MARKERS[number % len(MARKERS)],
                color=COLOURS[number % len(COLOURS)],
                capsize=3,
                label=recipe,
            )
        axes.set_xlim(left=0)
        axes.set_ylim(0.0, 1.02)
        axes.set_xlabel("labelled training events")
        axes.set_ylabel(score)
        plain(axes, grid=True)
        handles, labels = axes.get_legend_handles_labels()
        legend_outside(figure, handles, labels, columns=3, handle_length=2.6)
        return figure
