"""The few-shot curve: scores against labelled events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phaseno_peft.figures.style import (
    MARKERS,
    RECIPE_COLOURS,
    legend_outside,
    new_figure,
    plain,
    style,
    untrained_styles,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class FewShotPoint:
    """A score with so many labelled events, over seeds."""

    n_events: int
    mean: float
    deviation: float = 0.0
    """Standard deviation; 0 for one seed."""


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
                color=RECIPE_COLOURS[number % len(RECIPE_COLOURS)],
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
