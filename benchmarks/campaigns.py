"""Adapters beside other pickers on campaigns of real recordings, every event once on the test side.

    python -m benchmarks.campaigns FOLDER [FOLDER ...] --phasenet-weights FILE --out FOLDER [--seeds 1] [--shipped]

Each FOLDER holds waveforms/, stations.xml and picks.xml. The events are parted into folds and each is predicted by what
was trained on the others (`phaseno-peft compare --folds`): epochs by the same rule for all, thresholds of the other
folds, median residual of the other folds taken off or not. Writes a comparison for each campaign to --out (the same
command goes on where it was stopped) and prints F1 of P and S within 0.5 and 0.1 s with 95 % intervals (bootstrap over
events), and the first CR-LoRA recipe minus each other, paired. With --shipped a second table sets beside them the
adapter that ships under the folder's name, by the out-of-fold scores in its evaluation.json: of the same folds and
windows, and one seed of its recipe, of which there may be more among the runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phaseno_peft.campaign import Campaign
from phaseno_peft.comparison import compare
from phaseno_peft.comparison.report import OFFSET_OFF, TOLERANCES_S, interval_table
from phaseno_peft.comparison.results import Comparison, Run
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import Scores, f1_gain_of_seeds, f1_of_seeds, read_evaluation
from phaseno_peft.library.store import EVALUATION
from phaseno_peft.paths import shipped_folder
from phaseno_peft.text_tables import TextTable
from phaseno_peft.training.fit import TrainingCallbacks

RECIPES = ("frozen", "rival:phasenet", "rival:stalta", "cr-lora", "rival:phasenet-finetuned")
SCORES = tuple((phase, tolerance_s) for phase in ("P", "S") for tolerance_s in (0.5, 0.1))
HEADER = ("picker", "seeds", *(f"{phase} F1 {tolerance_s:g} s" for phase, tolerance_s in SCORES), "mean F1", "epochs")


def main() -> None:
    """Compare on every campaign and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaigns", type=Path, nargs="+")
    parser.add_argument("--phasenet-weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--labels", help="numbers of labelled events in each training: the few-shot curve")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--shipped", action="store_true", help="set the adapter that ships beside them")
    asked = parser.parse_args()
    missing = [f.resolve().name for f in asked.campaigns if not evaluation_of(f.resolve().name).is_file()]
    if asked.shipped and asked.epochs is not None:
        parser.error("--shipped: the adapter was trained by its recipe. Leave --epochs out.")
    if asked.shipped and missing:
        parser.error(f"--shipped: no adapter ships under the name of {', '.join(missing)}.")
    for folder in asked.campaigns:
        name = folder.resolve().name
        campaign = Campaign.read(folder / "waveforms", folder / "stations.xml", folder / "picks.xml", name=name)
        found = compare(
            name,
            campaign,
            [recipe.strip() for recipe in asked.recipes.split(",")],
            folder=asked.out / name,
            seeds=asked.seeds,
            folds=asked.folds,
            labels=[int(n) for n in asked.labels.split(",")] if asked.labels else None,
            epochs=asked.epochs,
            phasenet_weights=asked.phasenet_weights,
            at_once=asked.at_once,
            callbacks=TrainingCallbacks(lambda text: print(text, file=sys.stderr)),
        )
        print("\n".join(tables(found)), flush=True)
        if asked.shipped:
            print(beside_shipped(found).markdown(), flush=True)


def tables(found: Comparison) -> list[str]:
    """Markdown of one campaign: scores with intervals, and the first CR-LoRA recipe minus each other."""
    groups = found.groups()
    labels = " and ".join(f"{found.runs[0].test.n_labels(phase)} {phase}" for phase in ("P", "S"))
    rows = []
    for (recipe, n_events), runs in groups.items():
        name = recipe if n_events in (0, max(n for _, n in groups)) else f"{recipe}, {n_events} events"
        rows.append(_row(name, runs, [run.test for run in runs]))
        rows.append(_row(f"{name}, offset removed", runs, [run.without_offset for run in runs]))
    lines = [f"## {found.name}", "", f"{labels} labels. {found.split}", "", TextTable(HEADER, rows).markdown()]
    return [*lines, interval_table(found).markdown(), ""]


def evaluation_of(name: str) -> Path:
    """Scores of the adapter that ships under this name."""
    return shipped_folder("adapters") / name / EVALUATION


def beside_shipped(found: Comparison) -> TextTable:
    """F1 of the adapter that ships and of each run's picker, and what it gains over them, paired.

    Runs of the adapter's own recipe with other seeds count with it. Raises `PhasenoPeftError` where it was not scored
    on the same windows.
    """
    evaluation = read_evaluation(evaluation_of(found.name))
    if "folds" not in evaluation.about:
        raise PhasenoPeftError(f"{found.name}: the adapter that ships was not scored in folds. Leave --shipped out.")
    about, groups = evaluation.about, found.groups()
    all_events = sum(about["folds"]["events"][1:])  # of the first fold's training, as a run counts them
    again = [run.test for run in groups.pop((about["recipe"], all_events), []) if run.seed != about["seed"]]
    ours = [evaluation.scores["adapter"], *again]
    rows = [["**adapter**", *_f1_cells(ours), ""]]
    for (name, n_events), runs in groups.items():
        shown = name if n_events in (0, all_events) else f"{name}, {n_events} events"
        for what, scores in (("", [run.test for run in runs]), (OFFSET_OFF, [run.without_offset for run in runs])):
            gain = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*f1_gain_of_seeds(scores, ours, TOLERANCES_S))
            rows.append([f"{shown}{what}", *_f1_cells(scores), gain])
    of_phases = [f"{phase} F1 at {tolerance_s:g} s" for phase, tolerance_s in SCORES]
    means = [f"F1 at {t:g} s [95 %]" for t in TOLERANCES_S]
    return TextTable(("picker", "seeds", *of_phases, *means, "adapter minus it [95 %]"), rows)


def _f1_cells(seeds: Sequence[Scores]) -> list[str]:
    """Number of seeds, F1 of each phase and tolerance, and the means of both phases with intervals."""
    of_phases = [f"{np.mean([one.phase(*score).f1 for one in seeds]):.3f}" for score in SCORES]
    return [str(len(seeds)), *of_phases, *(_f1(seeds, t) for t in TOLERANCES_S)]


def _f1(seeds: Sequence[Scores], tolerance_s: float) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(*f1_of_seeds(seeds, [tolerance_s]))


def _row(name: str, runs: Sequence[Run], scores: Sequence[Scores]) -> list[str]:
    """Means over seeds; the interval is the first seed's."""
    cells = [name, str(len(runs))]
    for phase, tolerance_s in SCORES:
        values = [each.phase(phase, tolerance_s) for each in scores]
        low, high = values[0].f1_95
        cells.append(f"{np.mean([value.f1 for value in values]):.3f} ({low:.2f}-{high:.2f})")
    mean = np.mean([each.phase(phase, tolerance_s).f1 for each in scores for phase, tolerance_s in SCORES])
    return [*cells, f"{mean:.3f}", ", ".join(str(run.epoch_kept) for run in runs)]


if __name__ == "__main__":
    main()
