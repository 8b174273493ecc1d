"""`phaseno-peft simulate`: a campaign's files with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import QuietOption


def simulate(
    preset: Annotated[str, typer.Argument(help="ohio-frac, bc-frac or us-industrial.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; new or empty.")],
    events: Annotated[int, typer.Option("--events", min=1, help="Triggered events.")] = 40,
    continuous_minutes: Annotated[
        float, typer.Option("--continuous-minutes", min=0, help="Also a continuous record of this length.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same samples.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier simulated campaign in the folder.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Simulate a campaign as a company would deliver it: MiniSEED, StationXML, QuakeML; the truth lies beside.

    Example: phaseno-peft simulate ohio-frac --out ohio --events 60
    """
    from phaseno_peft.simulation import simulate_campaign

    terminal = Terminal(quiet=quiet)
    with terminal.bar("simulating") as update:
        made = simulate_campaign(
            preset,
            out,
            seed=seed,
            events=events,
            continuous_minutes=continuous_minutes,
            force=force,
            progress=update,
        )
    terminal.show(
        f"{len(made.events)} events, {made.p_picks} P and {made.s_picks} S picks by a simulated analyst: {made.folder}"
    )
