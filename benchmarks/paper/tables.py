"""Table 1 and figures 4, 8, 9 and 10 of the paper, from simulated sets, beside what was published."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.paper.data import TEST_NAMES, Sizes
from benchmarks.paper.published import PUBLISHED, VALIDATION_F1
from benchmarks.paper.runs import PaperRun
from phaseno_peft.contract import PHASES
from phaseno_peft.evaluation import PhaseScore, Scores
from phaseno_peft.figures.scores import f1_against_tolerance, model_colours, residual_histograms
from phaseno_peft.figures.style import MARKERS, legend_outside, new_figure, plain, save, style, untrained_styles
from phaseno_peft.files import write_file
from phaseno_peft.text_tables import TextTable

NAMES = {
    "frozen": "PhaseNO, frozen",
    "cr-lora": "PhaseNO, CR-LoRA",
    "rival:stalta": "conventional (STA/LTA, AIC)",
    "rival:phasenet": "PhaseNet",
    "rival:phasenet-finetuned": "PhaseNet, fine-tuned",
    "full": "PhaseNO, every weight",
    "scratch": "PhaseNO, random weights",
}
MEASURES = ("precision", "recall", "f1", "accuracy")
COLUMNS = ("test", "model", "seeds", *(f"{phase} {measure}" for phase in PHASES for measure in MEASURES))
TOLERANCES_S = tuple(np.round(np.arange(0.1, 1.01, 0.05), 2).tolist())
"""Of the paper's figure 10."""

Runs = Mapping[str, Sequence[PaperRun]]
"""Recipe -> its runs, one a seed."""


def report(runs: Runs, sizes: Sizes, folder: Path) -> str:
    """Write tables and figures into `folder` and return the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = sorted({run.seed for each in runs.values() for run in each})
    lines = [
        "# The protocol of arXiv 2512.13197, simulated",
        "",
        "The paper's data sets are proprietary. D1, D2 and D3 here are **simulated** in their geometries, rates, "
        "depths and counts: the two numbers of a cell are of different records, not to be compared digit by digit.",
        "",
        f"{sizes.train} events and {sizes.train} noise windows of D1 train, {sizes.validation} events of D2 and as "
        "many noise windows of D1 on five stations choose epoch and thresholds, for every model; tests of "
        f"{sizes.tests[0]}, {sizes.tests[1]} and {sizes.tests[2]} events and as many noise windows or false triggers. "
        "The paper has 100, 50 and 500, 50, 10. "
        f"Seeds: {', '.join(map(str, seeds))} (the column says of how many). A pick within 0.5 s counts as right.",
        "",
        "## Table 1",
        "",
        table_1(runs).markdown(),
        "",
        "Mean over seeds, ± their standard deviation (-: nothing is drawn); in brackets what the paper has (for "
        "CR-LoRA its fine-tuned network).",
        "",
        "## Figure 4",
        "",
        figure_4_table(runs).markdown(),
        "",
    ]
    _write_csv(runs, folder / "runs.csv")
    if all(each[0].n_trainable == 0 for each in runs.values()):
        return _written(lines, folder)
    _figure_4(runs, folder / "figure-4.png")
    lines += ["![Validation F1 against trainable parameters](figure-4.png)", ""]
    if {"frozen", "cr-lora"} <= set(runs):
        before, after = runs["frozen"][0], runs["cr-lora"][0]
        for number in TEST_NAMES:
            names = ("frozen", "CR-LoRA")
            residual_histograms(
                before.tests[number], after.tests[number], folder / f"figure-8-{number}.png", names=names
            )
            _widths(before.tests[number], after.tests[number], folder / f"figure-9-{number}.png")
            scores = {NAMES.get(name, name): each[0].tests[number] for name, each in runs.items()}
            f1_against_tolerance(scores, folder / f"figure-10-{number}.png", tolerances_s=TOLERANCES_S)
        lines += ["## Figures 8, 9 and 10", "", "Of the first seed.", ""]
        for number, name in TEST_NAMES.items():
            lines += [
                f"Test {number}: {name}.",
                "",
                f"![Residuals](figure-8-{number}.png)",
                f"![Widths of the probability peaks](figure-9-{number}.png)",
                f"![F1 against tolerance](figure-10-{number}.png)",
                "",
            ]
    return _written(lines, folder)


def table_1(runs: Runs) -> TextTable:
    """Precision, recall, F1 and accuracy of every model on every test, the paper's in brackets."""
    rows = []
    for number in TEST_NAMES:
        for name, each in runs.items():
            cells = [str(number), NAMES.get(name, name), str(len(each)) if each[0].n_trainable else "-"]
            published = PUBLISHED.get((number, name))
            for p, phase in enumerate(PHASES):
                found = [run.tests[number].phase(phase, 0.5) for run in each]
                for k, measure in enumerate(MEASURES):
                    theirs = f" ({published[p][k]:.2f})" if published else ""
                    cells.append(_mean([_value(one, measure) for one in found]) + theirs)
            rows.append(cells)
    return TextTable(COLUMNS, rows, n_left=2)


def figure_4_table(runs: Runs) -> TextTable:
    """Validation F1 against trainable parameters."""
    rows = [
        [
            NAMES.get(name, name),
            str(len(each)) if each[0].n_trainable else "-",
            f"{each[0].n_trainable:,}",
            _mean([run.validation.mean_f1(0.5) for run in each], digits=3),
            VALIDATION_F1.get(name, ""),
            ", ".join(str(run.epoch_kept) for run in each),
            f"{sum(run.seconds for run in each) / 60 / len(each):.1f}",
        ]
        for name, each in runs.items()
    ]
    heads = ("model", "seeds", "trainable", "validation F1", "paper", "epochs kept", "minutes")
    return TextTable(heads, rows, n_left=1)


def _value(found: PhaseScore, measure: str) -> float:
    value: float = getattr(found, measure)
    return value


def _mean(values: Sequence[float], digits: int = 2) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 and np.std(values) > 0 else mean


def _write_csv(runs: Runs, path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        (
            "recipe",
            "seed",
            "trainable",
            "epoch_kept",
            "validation_f1",
            "test",
            "phase",
            *MEASURES,
            "tp",
            "fp",
            "fn",
            "tn",
        )
    )
    for name, each in runs.items():
        for run in each:
            for number, scores in run.tests.items():
                for phase in PHASES:
                    found = scores.phase(phase, 0.5)
                    values = [f"{_value(found, measure):.4f}" for measure in MEASURES]
                    validation = f"{run.validation.mean_f1(0.5):.4f}"
                    head = (name, run.seed, run.n_trainable, run.epoch_kept, validation, number, phase)
                    writer.writerow([*head, *values, found.tp, found.fp, found.fn, found.tn])
    write_file(path, text.getvalue())


def _figure_4(runs: Runs, path: Path) -> None:
    shown = {name: each for name, each in runs.items() if each[0].n_trainable}
    untrained = untrained_styles(name for name in runs if name not in shown)
    with style():
        figure = new_figure(6.4, 3.8)
        axes = figure.subplots()
        for k, ((name, each), colour) in enumerate(zip(shown.items(), model_colours(shown), strict=True)):
            values = [run.validation.mean_f1(0.5) for run in each]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            label = f"{NAMES.get(name, name)} ({each[0].n_trainable:,})"
            look = {"fmt": MARKERS[k % len(MARKERS)], "color": colour, "capsize": 3}
            axes.errorbar(each[0].n_trainable, np.mean(values), yerr=spread, label=label, **look)
        for name, look in untrained.items():
            value = runs[name][0].validation.mean_f1(0.5)
            axes.axhline(value, linewidth=1.2, label=NAMES.get(name, name), **look)
        axes.set_xscale("log")
        axes.set_ylim(0.0, 1.02)
        axes.set_xlabel("trainable parameters")
        axes.set_ylabel("validation F1 at 0.5 s, simulated")
        plain(axes, grid=True)
        legend_outside(figure, *axes.get_legend_handles_labels(), columns=2, handle_length=2.6)
        save(figure, path)


def _widths(before: Scores, after: Scores, path: Path) -> None:
    """Half widths of the probability peaks of right picks, the paper's figure 9."""
    with style():
        figure = new_figure(8.2, 3.2)
        panels = figure.subplots(1, len(PHASES), sharey=True)
        for axes, phase in zip(panels, PHASES, strict=True):
            for scores, name, colour in zip(
                (before, after), ("frozen", "CR-LoRA"), model_colours(("frozen", "adapter")), strict=True
            ):
                widths_ms = 1000 * np.array(scores.phase(phase, 0.5).half_widths_s)
                label = f"{name}, median {np.median(widths_ms):.0f} ms" if len(widths_ms) else name
                axes.hist(widths_ms, np.linspace(0, 400, 41), histtype="step", color=colour, linewidth=1.6, label=label)
            axes.set_title(phase, loc="center")
            axes.set_xlabel("half width at half height (ms)")
            axes.legend(frameon=False, fontsize=8)
            plain(axes)
        panels[0].set_ylabel("right picks")
        save(figure, path)


def _written(lines: Sequence[str], folder: Path) -> str:
    text = "\n".join(lines).rstrip() + "\n"
    write_file(folder / "README.md", text)
    return text
