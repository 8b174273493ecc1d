"""`phaseno-peft simulate`: a campaign's files with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
    continuous_events: Annotated[
        int | None, typer.Option("--continuous-events", min=0, help="Events in it. Default: 12, or as many as fit.")
    ] = None,
    false_triggers: Annotated[
        int | None,
        typer.Option("--false-triggers", min=0, help="Records without an earthquake. Default: the preset's share."),
    ] = None,
    picked_on: Annotated[
        Literal["onset", "peak", "trough"] | None,
        typer.Option("--picked-on", help="Where the analyst puts picks. Default: the preset's habit."),
    ] = None,
    noise: Annotated[
        Path | None,
        typer.Option(
            "--noise", help="Your own noise instead of simulated noise: event-free recordings, file or folder."
        ),
    ] = None,
    orientation_error_deg: Annotated[
        float | None,
        typer.Option(
            "--orientation-error",
            min=0,
            max=180,
            help="Undeclared error of the horizontals' azimuth, standard deviation in degrees. Default: the preset's.",
        ),
    ] = None,
    reversed_verticals: Annotated[
        int | None,
        typer.Option("--reversed-verticals", min=0, help="Stations wired upside down. Default: the preset's."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same samples.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier simulated campaign in the folder.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Simulate a campaign as a company would deliver it: MiniSEED, StationXML, QuakeML; the truth lies beside.

    Example: phaseno-peft simulate ohio-frac --out ohio --events 60
    """
    from phaseno_peft.simulation import find_preset, read_own_noise, simulate_campaign

    terminal = Terminal(quiet=quiet)
    own_noise = None if noise is None else read_own_noise(noise, find_preset(preset).rate_hz)
    with terminal.bar("simulating") as update:
        made = simulate_campaign(
            preset,
            out,
            seed=seed,
            events=events,
            continuous_minutes=continuous_minutes,
            continuous_events=continuous_events,
            false_triggers=false_triggers,
            label_convention=picked_on,
            orientation_error_deg=orientation_error_deg,
            reversed_verticals=reversed_verticals,
            own_noise=own_noise,
            force=force,
            progress=update,
        )
    terminal.show(
        f"{len(made.events)} events, {made.p_picks} P and {made.s_picks} S picks by a simulated analyst: {made.folder}"
    )
