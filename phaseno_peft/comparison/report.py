"""A comparison as table, CSV, JSON and figures."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from phaseno_peft.comparison.results import MEASURES, Comparison, Row
from phaseno_peft.evaluation import f1_gain_of_seeds, f1_of_seeds
from phaseno_peft.figures.few_shot import FewShotPoint, few_shot_figure
from phaseno_peft.figures.style import (
    FROZEN_COLOUR,
    MARKERS,
    RECIPE_COLOURS,
    legend_outside,
    new_figure,
    plain,
    save,
    style,
    untrained_styles,
)
from phaseno_peft.files import write_file
from phaseno_peft.text_tables import TextTable
from phaseno_peft.training.forgetting import FORGETTING_WINDOWS

OFFSET_OFF = ", offset removed"
COLUMNS = ("recipe", "events", "trainable", "seeds", *MEASURES)
ON_SCREEN = {
    "recipe": "recipe",
    "events": "events",
    "seeds": "seeds",
    "test F1": "test\nF1",
    "test F1 at 0.1 s": "test F1\n0.1 s",
    "offset removed, F1 at 0.1 s": "offset\noff, 0.1 s",
    "own-kind F1": "own\nkind",
    "minutes": "min",
}
"""Columns that are shown in a terminal, and their headings there."""
TOLERANCES_S = (0.5, 0.1)


def write_tables(comparison: Comparison, folder: Path) -> None:
    """Write `comparison.md`, `comparison.json` and `runs.csv` to `folder`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / "comparison.md", markdown(comparison))
    write_file(folder / "comparison.json", json.dumps(to_json(comparison), indent=1) + "\n")
    write_file(folder / "runs.csv", runs_csv(comparison))


def draw_figures(comparison: Comparison, folder: Path) -> None:
    """Draw F1 of every recipe; where some are trained also against parameters and, with several counts, labels."""
    f1_of_recipes(comparison, folder / "f1-of-recipes.png")
    if not any(run.n_trainable for run in comparison.runs):
        return
    f1_against_parameters(comparison, folder / "f1-against-parameters.png")
    if len({row.n_events for row in comparison.rows()} - {0}) > 1:
        f1_against_labels(comparison, folder / "f1-against-labels.png")


def comparison_table(comparison: Comparison) -> TextTable:
    """The rows as a table for the terminal, mean and standard deviation over seeds."""
    shown = [COLUMNS.index(column) for column in ON_SCREEN]
    rows = [[cells[k] for k in shown] for cells in map(_cells, comparison.rows())]
    return TextTable(tuple(ON_SCREEN.values()), rows, _title(comparison))


def interval_table(comparison: Comparison) -> TextTable:
    """F1 with 95 % intervals by bootstrap over events, and what the reference gains over each, on the same events.

    The reference is the first CR-LoRA recipe, else the first that is trained, with as many labelled events where there
    are as many.
    """
    groups, reference = comparison.groups(), comparison.reference()
    rows = []
    for (recipe, n_events), runs in groups.items():
        ours = groups.get((reference, n_events)) or groups[reference, comparison.most_events(reference)]
        for what, scores in (("", [run.test for run in runs]), (OFFSET_OFF, [run.without_offset for run in runs])):
            cells = [f"{recipe}{what}", str(n_events), str(len(runs))]
            cells += ["{:.3f} [{:.3f}, {:.3f}]".format(*f1_of_seeds(scores, [t])) for t in TOLERANCES_S]
            is_itself = runs is ours and not what
            gain = None if is_itself else f1_gain_of_seeds(scores, [run.test for run in ours], TOLERANCES_S)
            rows.append([*cells, "" if gain is None else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*gain)])
    headings = [f"F1 at {t:g} s [95 %]" for t in TOLERANCES_S]
    return TextTable(("recipe", "events", "seeds", *headings, f"{reference} minus it [95 %]"), rows)


def markdown(comparison: Comparison) -> str:
    """The rows as a Markdown table, with what was compared."""
    what = [f"- `{row.recipe}`: {row.trains}." for row in {row.recipe: row for row in comparison.rows()}.values()]
    return "\n".join(
        [
            f"# Recipes on {comparison.name}",
            "",
            f"{_title(comparison)}. {comparison.split} The same windows for every run; epochs and thresholds were "
            f"chosen on validation, nothing on test. Own kind: {FORGETTING_WINDOWS}.",
            "",
            TextTable(COLUMNS, [_cells(row) for row in comparison.rows()]).markdown(),
            "Test F1, mean of P and S, with 95 % intervals by bootstrap over events (of the mean over seeds); the last "
            "column is the mean of both tolerances, drawn on the same events.",
            "",
            interval_table(comparison).markdown(),
            *what,
            "",
        ]
    )


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The rows as plain JSON types; the runs themselves lie in `runs/`."""
    return {
        "campaign": comparison.name,
        "split": comparison.split,
        "backbone": comparison.backbone,
        "backbone_fingerprint": comparison.fingerprint,
        "own_kind": FORGETTING_WINDOWS,
        "rows": [
            {
                "recipe": row.recipe,
                "trains": row.trains,
                "labelled_events": row.n_events,
                "trainable_parameters": row.n_trainable,
                "seeds": list(row.seeds),
                "mean": {k: v if math.isfinite(v) else None for k, v in row.mean.items()},
                "deviation": {k: v if math.isfinite(v) else None for k, v in row.deviation.items()},
            }
            for row in comparison.rows()
        ],
    }


def runs_csv(comparison: Comparison) -> str:
    """One line a run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [name.replace(" ", "_").replace("-", "_") for name in MEASURES]
    writer.writerow(["recipe", "seed", "labelled_events", "trainable_parameters", "epoch_kept", "epochs", *names])
    for run in comparison.runs:
        values = [f"{value:.4f}" if math.isfinite(value := measure(run)) else "" for measure in MEASURES.values()]
        writer.writerow([run.recipe, run.seed, run.n_events, run.n_trainable, run.epoch_kept, run.epochs, *values])
    return text.getvalue()


def f1_against_parameters(comparison: Comparison, path: Path) -> Path:
    """Draw the paper's figure 4: validation and test F1 against trainable parameters, mean and deviation over seeds."""
    rows = comparison.most_labels()
    counts = [row.n_trainable for row in rows]
    shown = [count * 1.08 ** counts[:i].count(count) for i, count in enumerate(counts)]  # equal counts side by side
    sides = ("validation F1", "test F1")
    with style():
        figure = new_figure(8.6, 4.0)
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, side in zip(panels, sides, strict=True):
            untrained = untrained_styles(row.recipe for row in rows if not row.n_trainable)
            for k, (row, at) in enumerate(zip(rows, shown, strict=True)):
                label = f"{row.recipe} ({row.n_trainable:,})"
                if not row.n_trainable:
                    axes.axhline(row.mean[side], linewidth=1.2, label=row.recipe, **untrained[row.recipe])
                    continue
                spread = _spread(row, side)
                colour, marker = RECIPE_COLOURS[k % len(RECIPE_COLOURS)], MARKERS[k % len(MARKERS)]
                axes.errorbar(at, row.mean[side], yerr=spread, fmt=marker, color=colour, capsize=3, label=label)
            axes.set_xscale("log")
            axes.set_xlim(0.5 * min(filter(None, counts)), 2 * max(shown))
            axes.set_ylim(0.0, 1.02)
            axes.set_title(side, loc="center")
            axes.set_xlabel("trainable parameters")
            plain(axes, grid=True)
        panels[0].set_ylabel("F1 at 0.5 s, mean of P and S")
        handles, labels = panels[0].get_legend_handles_labels()
        legend_outside(figure, handles, labels, columns=3, handle_length=2.6)
        return save(figure, path)


def f1_of_recipes(comparison: Comparison, path: Path) -> Path:
    """Draw test F1 of every recipe with its 95 % interval, the best at the top; mean over seeds."""
    groups = {
        f"{recipe}, {n} events" if n not in (0, comparison.most_events(recipe)) else recipe: runs
        for (recipe, n), runs in comparison.groups().items()
    }
    names = sorted(groups, key=lambda name: f1_of_seeds([run.test for run in groups[name]], TOLERANCES_S)[0])
    with style():
        figure = new_figure(8.6, 1.1 + 0.3 * len(names))
        panels = figure.subplots(1, len(TOLERANCES_S), sharex=True, sharey=True)
        for axes, tolerance_s in zip(panels, TOLERANCES_S, strict=True):
            for at, name in enumerate(names):
                value, low, high = f1_of_seeds([run.test for run in groups[name]], [tolerance_s])
                is_frozen = not any(run.n_trainable for run in groups[name])
                axes.plot([low, high], [at, at], color=FROZEN_COLOUR if is_frozen else RECIPE_COLOURS[0], linewidth=1.6)
                axes.plot(value, at, "s" if is_frozen else "o", color=FROZEN_COLOUR if is_frozen else RECIPE_COLOURS[0])
            axes.set_title(f"within {tolerance_s:g} s", loc="center")
            axes.set_xlabel("test F1, mean of P and S")
            axes.set_yticks(range(len(names)), names)
            axes.set_xlim(0.0, 1.0)
            plain(axes, grid=True)
        return save(figure, path)


def f1_against_labels(comparison: Comparison, path: Path) -> Path:
    """Draw the few-shot curve: test F1 against the number of labelled events; dashed is what was not trained."""
    lines: dict[str, list[FewShotPoint]] = {}
    for row in comparison.rows():
        point = FewShotPoint(row.n_events, row.mean["test F1"], _spread(row, "test F1"))
        lines.setdefault(row.recipe, []).append(point)
    return save(few_shot_figure(lines, "test F1 at 0.5 s, mean of P and S"), path)


def _title(comparison: Comparison) -> str:
    first = comparison.runs[0]
    labels = " and ".join(f"{first.test.n_labels(phase)} {phase}" for phase in ("P", "S"))
    return f"{comparison.name}, backbone {comparison.backbone}: {first.test.n_windows} test windows, {labels} labels"


def _cells(row: Row) -> list[str]:
    cells = [row.recipe, str(row.n_events), f"{row.n_trainable:,}", str(len(row.seeds))]
    for name in MEASURES:
        digits = 1 if name == "minutes" else 3
        if not math.isfinite(row.mean[name]):
            cells.append("no labels")
            continue
        deviation = row.deviation[name]
        spread = f" ± {deviation:.{digits}f}" if math.isfinite(deviation) else ""
        cells.append(f"{row.mean[name]:.{digits}f}{spread}")
    return cells


def _spread(row: Row, measure: str) -> float:
    return row.deviation[measure] if math.isfinite(row.deviation[measure]) else 0.0
