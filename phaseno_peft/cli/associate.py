"""`phaseno-peft associate`: picks to located events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phaseno_peft.cli.console import Terminal, findings_json
from phaseno_peft.cli.options import JsonOption, OverwriteOption, QuietOption, SkipUnknownOption, StationsOption

if TYPE_CHECKING:
    from phaseno_peft.events import Association

VelocityOption = Annotated[
    Path | None,
    typer.Option(
        "--velocity",
        help="Layers: TauP .tvel or .nd, NonLinLoc LAYER lines, or CSV with depth_km,vp_km_s,vs_km_s. Default: a "
        "half-space fitted to the events themselves.",
    ),
]


def associate(
    picks: Annotated[Path, typer.Argument(help="Picks: CSV as `pick` writes it, QuakeML, or another catalogue.")],
    stations: StationsOption,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for QuakeML, SCML, tables, figure and index.html of the events.")
    ],
    velocity: VelocityOption = None,
    catalogue: Annotated[
        Path | None,
        typer.Option("--catalogue", help="Events with picks of the same place: fit the half-space to these instead."),
    ] = None,
    fewest_picks: Annotated[int, typer.Option("--fewest-picks", min=3, help="P and S picks of an event.")] = 6,
    fewest_p: Annotated[int, typer.Option("--fewest-p", min=0, help="Of these, P.")] = 3,
    fewest_s: Annotated[int, typer.Option("--fewest-s", min=0, help="Of these, S.")] = 2,
    fewest_p_and_s: Annotated[int, typer.Option("--fewest-p-and-s", min=0, help="Stations with both.")] = 2,
    tolerance_s: Annotated[
        float | None,
        typer.Option("--tolerance", help="Seconds a pick may lie from its prediction. Default: by velocity model."),
    ] = None,
    reach_km: Annotated[float, typer.Option("--reach-km", help="Events may lie this far outside the network.")] = 30.0,
    deepest_km: Annotated[float, typer.Option("--deepest-km", help="Events may lie this deep.")] = 30.0,
    skip_unknown: SkipUnknownOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Associate picks to events and locate them, by PyOcto (the extra `associate`).

    Example: phaseno-peft associate picks.csv --stations stations.xml --velocity layers.csv --out events
    """
    from phaseno_peft.events import AssociationRule
    from phaseno_peft.events import associate as run

    terminal = Terminal(quiet=quiet)
    rule = AssociationRule(fewest_picks, fewest_p, fewest_s, fewest_p_and_s, tolerance_s, reach_km, deepest_km)
    made = run(
        picks,
        stations,
        velocity=velocity,
        catalogue=catalogue,
        rule=rule,
        skip_unknown=skip_unknown,
        folder=out,
        overwrite=overwrite,
        on_stage=terminal.say,
    )
    terminal.tell(made.findings)
    if as_json:
        terminal.show_json({**events_json(made), "out": str(out), **findings_json(made.findings)})
    else:
        terminal.show(events_line(made, out))


def events_json(made: Association) -> dict[str, object]:
    """An association as `--json` shows it."""
    return {"events": len(made.events), "picks": made.counts, "velocity": str(made.velocity)}


def events_line(made: Association, folder: Path) -> str:
    """One line of result."""
    counts = made.counts
    return (
        f"{len(made.events)} events with {counts['in events']} of {len(made.picks)} picks, {counts['alone']} in none: "
        f"{folder / 'index.html'}"
    )
