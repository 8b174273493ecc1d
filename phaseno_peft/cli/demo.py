"""`phaseno-peft demo`: the whole library on a simulated campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import QuietOption, SeedOption


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("phaseno-peft-demo"),
    seed: SeedOption = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Simulate a campaign, train an adapter on it, judge it, and pick ten minutes of record. Takes a few minutes.

    Example: phaseno-peft demo --out my-first-demo
    """
    from phaseno_peft.cli.train import epoch_line
    from phaseno_peft.demo import continuous_table, run_demo
    from phaseno_peft.evaluation import comparison_table

    terminal = Terminal(quiet=quiet)
    made = run_demo(
        out,
        seed=seed,
        overwrite=overwrite,
        on_stage=terminal.say,
        on_epoch=lambda epoch: terminal.say(epoch_line(epoch)),
    )
    terminal.show(comparison_table(made.trained.scores))
    terminal.show(continuous_table(made.continuous))
    terminal.show(f"Look at {out / 'report.md'}, {out / 'continuous.png'} and {out / 'adapters' / made.trained.name}")
    terminal.say("done")
