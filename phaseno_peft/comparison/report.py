"""A comparison as table, CSV, JSON and figures."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from phaseno_peft.comparison.results import MEASURES, Comparison, Row
from phaseno_peft.figures.few_shot import COLOURS, FewShotPoint, few_shot_figure
from phaseno_peft.figures.style import FROZEN_COLOUR, legend_outside, new_figure, plain, save, style
from phaseno_peft.files import write_file
from phaseno_peft.text_tables import TextTable
from phaseno_peft.training.forgetting import FORGETTING_WINDOWS

COLUMNS = ("recipe", "events", "trainable", "seeds", *MEASURES)
ON_SCREEN = tuple(column for column in COLUMNS if column not in ("test P F1", "test S F1"))


def write_tables(comparison: Comparison, folder: Path) -> None:
    """Write `comparison.md`, `comparison.json` and `runs.csv` to `folder`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / "comparison.md", markdown(comparison))
    write_file(folder / "comparison.json", json.dumps(to_json(comparison), indent=1) + "\n")
    write_file(folder / "runs.csv", runs_csv(comparison))


def draw_figures(comparison: Comparison, folder: Path) -> None:
    """Draw F1 against parameters, and against labels where there is more than one number of them."""
    if not any(run.n_trainable for run in comparison.runs):
        return
    f1_against_parameters(comparison, folder / "f1-against-parameters.png")
    if len({row.n_events for row in comparison.rows()} - {0}) > 1:
        f1_against_labels(comparison, folder / "f1-against-labels.png")


def comparison_table(comparison: Comparison) -> TextTable:
    """The rows as a table for the terminal, mean and standard deviation over seeds."""
    shown = [COLUMNS.index(column) for column in ON_SCREEN]
    rows = [[cells[k] for k in shown] for cells in map(_cells, comparison.rows())]
    return TextTable(ON_SCREEN, rows, _title(comparison))


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
                "mean": row.mean,
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
        values = [f"{measure(run):.4f}" for measure in MEASURES.values()]
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
            for colour, row, at in zip(_colours(len(rows)), rows, shown, strict=True):
                label = f"{row.recipe} ({row.n_trainable:,})"
                if not row.n_trainable:
                    axes.axhline(row.mean[side], color=FROZEN_COLOUR, linestyle="--", linewidth=1.2, label=row.recipe)
                    continue
                spread = _spread(row, side)
                axes.errorbar(at, row.mean[side], yerr=spread, fmt="o", color=colour, capsize=3, label=label)
            axes.set_xscale("log")
            axes.set_xlim(0.5 * min(filter(None, counts)), 2 * max(shown))
            axes.set_ylim(0.0, 1.02)
            axes.set_title(side, loc="center")
            axes.set_xlabel("trainable parameters")
            plain(axes, grid=True)
        panels[0].set_ylabel("F1 at 0.5 s, mean of P and S")
        handles, labels = panels[0].get_legend_handles_labels()
        legend_outside(figure, handles, labels, columns=4)
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
        deviation = row.deviation[name]
        spread = f" ± {deviation:.{digits}f}" if math.isfinite(deviation) else ""
        cells.append(f"{row.mean[name]:.{digits}f}{spread}")
    return cells


def _spread(row: Row, measure: str) -> float:
    return row.deviation[measure] if math.isfinite(row.deviation[measure]) else 0.0


def _colours(n: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(n)]
