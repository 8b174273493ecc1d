"""The protocol of arXiv 2512.13197 on simulated sets: table 1 and figures 4, 8, 9 and 10 beside the paper's.

python -m benchmarks.paper --work FOLDER --out FOLDER [--seeds 5] [--train 100] [--validation 50] [--tests 500,50,10]
                           [--epochs N] [--recipes frozen,cr-lora,...] [--phasenet-weights FILE] [--figure-seeds 1]

--work keeps simulated records, epochs and finished runs, some GB, outside the project: the same command goes on where
it was stopped. --out gets the tables and figures, anew after every run. The whole protocol takes hours on two cores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.paper.data import Sizes, read_data
from benchmarks.paper.runs import FIGURE_RECIPES, TABLE_RECIPES, PaperRun, run_recipe
from benchmarks.paper.tables import report
from phaseno_peft.errors import PhasenoPeftError


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--train", type=int, default=Sizes.train)
    parser.add_argument("--validation", type=int, default=Sizes.validation)
    parser.add_argument("--tests", default=",".join(map(str, Sizes.tests)), help="events of the three tests")
    parser.add_argument("--epochs", type=int, help="of every training; default: each recipe's own")
    parser.add_argument("--recipes", default=",".join((*TABLE_RECIPES, *FIGURE_RECIPES)))
    parser.add_argument("--phasenet-weights", type=Path, help="adds rival:phasenet and rival:phasenet-finetuned")
    parser.add_argument("--figure-seeds", type=int, help="of the recipes of figure 4 alone; default: as many")
    asked = parser.parse_args(arguments)
    first, second, third = (int(n) for n in asked.tests.split(","))
    sizes = Sizes(asked.train, asked.validation, (first, second, third))
    recipes = [name.strip() for name in asked.recipes.split(",")]
    if asked.phasenet_weights is not None:
        recipes += [name for name in ("rival:phasenet", "rival:phasenet-finetuned") if name not in recipes]

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        say("simulating D1, D2 and D3, or reading what is there")
        data = read_data(asked.work / "data", sizes)
        runs: dict[str, list[PaperRun]] = {}
        text = ""
        for seed in range(asked.seeds):
            for name in recipes:
                if runs.get(name) and not runs[name][0].n_trainable:
                    continue  # nothing is drawn: one seed is all
                if name in FIGURE_RECIPES and asked.figure_seeds is not None and seed >= asked.figure_seeds:
                    continue
                run = run_recipe(
                    name,
                    seed,
                    data,
                    asked.work,
                    epochs=asked.epochs,
                    phasenet_weights=asked.phasenet_weights,
                    say=say,
                )
                runs.setdefault(name, []).append(run)
                text = report(runs, sizes, asked.out)
        print(text)
    except PhasenoPeftError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
