"""Figures of scores: training curves, bars, residuals, F1 against tolerance. Waveforms are drawn in `sections`.

Every function writes one PNG (whole or not at all) and returns its path.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phaseno_peft.contract import PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.figures.style import (
    ADAPTER_COLOUR,
    DASHES,
    FROZEN_COLOUR,
    OTHER_COLOURS,
    PHASE_COLOURS,
    legend_outside,
    new_figure,
    plain,
    save,
    style,
    themed,
    themed_figure,
)
from phaseno_peft.report import FAINT, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from phaseno_peft.evaluation.scores import Scores


def training_curves(history: Sequence[Mapping[str, Any]], path: str | Path, *, kept: int | None = None) -> Path:
    """Draw validation F1 of P and S above the losses, per epoch; the epoch that was kept is marked.

    `history` has one mapping per epoch with keys epoch, train_loss, validation_loss, validation_f1_P, validation_f1_S
    and validation_f1_close; a key that is absent or None leaves a hole. Raises `PhasenoPeftError` for an empty history.
    """
    if not history:
        raise PhasenoPeftError("`history` has no epoch to draw. Train at least one epoch.")
    epochs = _column(history, "epoch")
    f1 = {phase: _column(history, f"validation_f1_{phase}") for phase in PHASES}
    with style():
        figure = new_figure(6.4, 4.8)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for phase in PHASES:
            colour = PHASE_COLOURS[phase]
            top.plot(epochs, f1[phase], color=colour, marker="o", markersize=2.5, label=f"{phase} at 0.5 s")
        close = _column(history, "validation_f1_close")
        top.plot(epochs, close, color="0.45", linestyle="--", linewidth=1.0, label="mean of P and S at 0.1 s")
        if kept is not None:
            for axes in (top, bottom):
                axes.axvline(kept, color="0.75", linewidth=1.0, zorder=0)
            top.set_title(f"epoch {kept} was kept", loc="right", color="0.35")
        top.set_ylabel("validation F1")
        top.set_ylim(0.0, 1.02)
        bottom.plot(epochs, _column(history, "train_loss"), color="0.2", marker="o", markersize=2.5, label="training")
        validation_loss = _column(history, "validation_loss")
        bottom.plot(epochs, validation_loss, color="0.55", marker="s", markersize=2.5, label="validation")
        bottom.set_ylabel("loss")
        bottom.set_ylim(bottom=0.0)
        bottom.legend(frameon=False, fontsize=8)
        bottom.set_xlabel("epoch")
        bottom.xaxis.get_major_locator().set_params(integer=True)
        for axes in (top, bottom):
            plain(axes, grid=True)
        legend_outside(figure, *top.get_legend_handles_labels())
        return save(figure, path)


def residual_histograms(
    before: Scores,
    after: Scores,
    path: str | Path,
    *,
    tolerance_s: float = 0.5,
    names: tuple[str, str] = ("frozen", "adapter"),
) -> Path:
    """Write `residuals` as PNG and return its path."""
    return save(residuals(before, after, tolerance_s=tolerance_s, names=names), path)


def residuals(
    before: Scores,
    after: Scores,
    *,
    tolerance_s: float = 0.5,
    names: tuple[str, str] = ("frozen", "adapter"),
) -> Figure:
    """Draw the residuals (pick - label, real milliseconds) of the true positives of two models, P and S side by side.

    The text gives their number, median and 1.4826 * MAD. `tolerance_s` is in the network's time.
    """
    with style():
        figure = themed_figure(8.2, 3.6)
        panels = figure.subplots(1, len(PHASES), sharex=True, squeeze=False)[0]
        limit_ms = 1000.0 * tolerance_s / after.time_scale
        bins = np.linspace(-limit_ms, limit_ms, 51)
        for axes, phase in zip(panels, PHASES, strict=True):
            axes.axvline(0.0, color=FAINT, linewidth=1.0, zorder=0)
            for k, scores in enumerate((before, after)):
                found = scores.phase(phase, tolerance_s)
                values = 1000.0 * np.array(found.residuals_s)
                colour = (FROZEN_COLOUR, ADAPTER_COLOUR)[k]
                kind = "stepfilled" if k == 0 else "step"
                alpha, width = (0.55, 0.0) if k == 0 else (1.0, 1.6)
                axes.hist(values, bins, histtype=kind, color=colour, alpha=alpha, linewidth=width, label=names[k])
                if found.tp:
                    median, mad = round(1000.0 * found.residual_median_s), 1000.0 * found.residual_mad_s
                    signed = f"{median:+d}".replace("-", "\N{MINUS SIGN}") if median else "0"
                    text = f"{names[k]}  n = {found.tp}\nmedian {signed} ms\n1.48 MAD {mad:.0f} ms"
                else:
                    text = f"{names[k]}  n = 0"
                axes.text(
                    *((0.02, 0.97) if k == 0 else (0.98, 0.97)),
                    text,
                    transform=axes.transAxes,
                    ha="left" if k == 0 else "right",
                    va="top",
                    color=MUTED if k == 0 else colour,
                    fontsize=8.0,
                    linespacing=1.35,
                )
            axes.set_title(phase, loc="center", color=PHASE_COLOURS[phase], fontweight="bold")
            axes.set_xlim(-limit_ms, limit_ms)
            axes.set_ylim(0.0, max(axes.get_ylim()[1], 1.0) * 1.35)  # room for the text above the bars
            axes.set_xlabel("pick $-$ label (ms)")
            themed(axes)
        panels[0].set_ylabel("picks")
        for panel in panels:
            panel.yaxis.get_major_locator().set_params(integer=True)
        legend_outside(figure, *panels[0].get_legend_handles_labels())
        return figure


def score_bars(scores: Mapping[str, Scores], path: str | Path, *, tolerances_s: Sequence[float] = (0.5, 0.1)) -> Path:
    """Write `bars` as PNG and return its path."""
    return save(bars(scores, tolerances_s=tolerances_s), path)


def bars(scores: Mapping[str, Scores], *, tolerances_s: Sequence[float] = (0.5, 0.1)) -> Figure:
    """Draw precision, recall and F1 of models as bars, a row per phase and a column per tolerance (network's time).

    F1 carries its 95 % bootstrap interval. A ratio that is undefined has no bar.
    """
    measures = ("precision", "recall", "F1")
    width = 0.76 / max(len(scores), 2)
    with style():
        figure = themed_figure(max(3.6, 1.5 * len(scores)) * len(tolerances_s) + 0.4, 4.8)
        grid = figure.subplots(len(PHASES), len(tolerances_s), sharex=True, sharey=True, squeeze=False)
        for row, phase in enumerate(PHASES):
            for column, tolerance_s in enumerate(tolerances_s):
                axes = grid[row, column]
                for k, ((name, model), colour) in enumerate(zip(scores.items(), model_colours(scores), strict=True)):
                    found = model.phase(phase, tolerance_s)
                    at = np.arange(3) + (k - (len(scores) - 1) / 2) * width
                    f1, (low, high) = (found.f1, found.f1_95) if found.n_labels else (math.nan, (0.0, 0.0))
                    values = np.array([found.precision, found.recall, f1])
                    shown = np.nan_to_num(values)
                    axes.bar(at, shown, 0.95 * width, color=colour, label=name)
                    axes.errorbar(
                        at[2],
                        f1,
                        yerr=[[max(f1 - low, 0.0)], [max(high - f1, 0.0)]],
                        color=INK,
                        capsize=2.5,
                        linewidth=1.0,
                    )
                    for x, value, above in zip(at, values, (*shown[:2], max(high, shown[2])), strict=True):
                        label = f"{value:.2f}" if math.isfinite(value) else "none"
                        axes.text(x, above + 0.02, label, ha="center", va="bottom", fontsize=7.5, color=INK)
                axes.set_xticks(range(3), measures)
                axes.tick_params(axis="x", length=0)
                axes.set_ylim(0.0, 1.14)
                axes.set_yticks(np.arange(0.0, 1.01, 0.25))
                if row == 0:
                    axes.set_title(f"within {tolerance_s:g} s", loc="center")
                if column == 0:
                    axes.set_ylabel(phase, color=PHASE_COLOURS[phase], fontweight="bold", rotation=0, labelpad=10)
                themed(axes)
        legend_outside(figure, *grid[0, 0].get_legend_handles_labels())
        return figure


def f1_against_tolerance(
    scores: Mapping[str, Scores], path: str | Path, *, tolerances_s: Sequence[float] | None = None
) -> Path:
    """Draw F1 of each named model against the tolerance, 0.05 to 1 s of the network's time by default; P beside S."""
    if not scores:
        raise PhasenoPeftError("`scores` has no model to draw. Give at least one, such as {'frozen': scores}.")
    grid = np.linspace(0.05, 1.0, 96) if tolerances_s is None else np.asarray(tolerances_s, dtype=np.float64)
    with style():
        figure = new_figure(8.2, 3.4)
        panels = figure.subplots(1, len(PHASES), sharex=True, sharey=True, squeeze=False)[0]
        for axes, phase in zip(panels, PHASES, strict=True):
            for k, ((name, found), colour) in enumerate(zip(scores.items(), model_colours(scores), strict=True)):
                curve = found.f1_curve(phase, grid.tolist()) if found.n_labels(phase) else np.full(len(grid), math.nan)
                axes.plot(grid, curve, color=colour, linestyle=DASHES[k % len(DASHES)], linewidth=1.8, label=name)
            axes.set_title(phase, loc="center", color=PHASE_COLOURS[phase], fontweight="bold")
            axes.set_xlabel("tolerance (s, network time)")
            axes.set_xlim(0.0, float(grid.max()))
            axes.set_ylim(0.0, 1.02)
            plain(axes, grid=True)
        panels[0].set_ylabel("F1")
        handles, labels = panels[0].get_legend_handles_labels()
        legend_outside(figure, handles, labels, columns=min(len(scores), 3), handle_length=3.2)
        return save(figure, path)


def model_colours(names: Iterable[str]) -> list[str]:
    """Grey for "frozen", green for "adapter", the others in turn: the same model has one colour in all figures."""
    others = itertools.cycle(OTHER_COLOURS)
    fixed = {"frozen": FROZEN_COLOUR, "adapter": ADAPTER_COLOUR}
    return [fixed.get(name) or next(others) for name in names]


def _column(history: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    return np.array([math.nan if epoch.get(key) is None else float(epoch[key]) for epoch in history])
