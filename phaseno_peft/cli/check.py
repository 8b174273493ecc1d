"""`phaseno-peft check`: what is wrong with a delivery, before a minute is spent on training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import (
    ChannelsOption,
    EdgeLimitOption,
    JsonOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    TimeScaleOption,
)

if TYPE_CHECKING:
    from phaseno_peft.checking import CheckResult

MARKS = {"error": "✕ error", "warning": "! warning", "note": "i note"}


def check(
    waveforms: Annotated[
        Path | None, typer.Option("--waveforms", help="Folder or file of waveforms, MiniSEED or anything obspy reads.")
    ] = None,
    stations: Annotated[
        Path | None, typer.Option("--stations", help="StationXML, or CSV with network,station,latitude,longitude.")
    ] = None,
    picks: Annotated[
        Path | None, typer.Option("--picks", help="P and S picks: QuakeML, another catalogue, CSV, NLLOC_OBS.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for index.html: one page with figures, whole in itself.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The campaign's name on the page.")] = "campaign",
    edge_limit_km: EdgeLimitOption = 30.0,
    time_scale: TimeScaleOption = 1.0,
    seed: SeedOption = 0,
    channels: ChannelsOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what is wrong with waveforms, stations and picks, and where: each of the three where you have it.

    Exit code 0: nothing speaks against training. 1: warnings. 2: this cannot be trained on.

    Example: phaseno-peft check --waveforms waveforms --stations stations.xml --picks picks.xml --report checked
    """
    from phaseno_peft.checking import check as look
    from phaseno_peft.errors import PhasenoPeftError

    if waveforms is None and stations is None and picks is None:
        raise PhasenoPeftError("nothing to check. Give --waveforms, --stations or --picks, best all three.")
    terminal = Terminal(quiet=quiet)
    with terminal.bar("reading") as update:
        result = look(
            waveforms,
            stations,
            picks,
            name=name,
            channels=channels,
            time_scale=time_scale,
            edge_limit_km=edge_limit_km,
            seed=seed,
            report=report,
            overwrite=overwrite,
            progress=update,
        )
    if as_json:
        terminal.show_json(result.to_json())
    else:
        _show(terminal, result)
    raise typer.Exit(result.exit_code)


def _show(terminal: Terminal, result: CheckResult) -> None:
    """Findings as a table, then what training would use."""
    if result.findings:
        names = ("", "what", "value", "file", "where", "finding and next step")
        rows = [(MARKS[f.severity], f.kind, f.value, f.file, f.place, f.sentence) for f in result.findings]
        terminal.show_rows([dict(zip(names, row, strict=True)) for row in rows])
    if result.sides.uses:
        terminal.show_rows(
            [
                {"side": u.side, "events": u.events, "P": u.p_picks, "S": u.s_picks, "stations": u.stations}
                for u in result.sides.uses
            ],
            title="what training would use",
        )
    counts = ", ".join(f"{result.count(severity)} {severity}s" for severity in MARKS)
    terminal.show(counts + (f"; page: {result.report}" if result.report else ""))
