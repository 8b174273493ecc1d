"""`phaseno-peft pick`: continuous or triggered records to picks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from phaseno_peft.cli.adapters import complete_adapter
from phaseno_peft.cli.associate import VelocityOption, events_json, events_line
from phaseno_peft.cli.console import Terminal, findings_json
from phaseno_peft.cli.options import (
    BackboneOption,
    ChannelsOption,
    JsonOption,
    OverwriteOption,
    QuietOption,
    SkipUnreadableOption,
    StationsOption,
    check_output,
)


def pick(
    waveforms: Annotated[Path, typer.Argument(help="Folder or file of waveforms.")],
    stations: StationsOption,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="File to write: .csv, .xml (QuakeML), .scml (SeisComP), .sfile (Nordic), .obs (NLLOC_OBS), "
            ".pha (HypoDD) or .markers (Snuffler).",
        ),
    ],
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter",
            help="A name in your library or of a shipped adapter, a folder, or org/repo@revision.",
            autocompletion=complete_adapter,
        ),
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Pick with the mean of its folds' adapters, if kept; tells their spread.")
    ] = False,
    frozen: Annotated[bool, typer.Option("--frozen", help="Use the frozen backbone without an adapter.")] = False,
    p_threshold: Annotated[
        float | None, typer.Option("--p-threshold", min=0, max=1, help="Default: chosen when the adapter was trained.")
    ] = None,
    s_threshold: Annotated[float | None, typer.Option("--s-threshold", min=0, max=1, help="As for P.")] = None,
    stride_s: Annotated[
        float | None, typer.Option("--stride", min=0.1, help="Seconds between windows. Default: half a window.")
    ] = None,
    merge: Annotated[
        Literal["mean", "median", "max"], typer.Option("--merge", help="How overlapping windows are combined.")
    ] = "mean",
    gate: Annotated[
        Literal["auto", "off"],
        typer.Option("--gate", help="auto: leave out windows in which the backbone's stem hears nothing. off: none."),
    ] = "auto",
    format_name: Annotated[
        Literal["csv", "quakeml", "scml", "nordic", "nlloc", "hypodd", "snuffler", "phasenet", "gamma", "pyocto"]
        | None,
        typer.Option("--format", help="How to write; phasenet, gamma and pyocto are CSV. Default: by the ending."),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option("--events", help="Folder for the events that the picks make, as `associate` writes it."),
    ] = None,
    velocity: VelocityOption = None,
    backbone: BackboneOption = None,
    channels: ChannelsOption = None,
    skip_unreadable: SkipUnreadableOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Pick P and S arrivals in records.

    Example: phaseno-peft pick continuous --stations stations.xml --adapter samba-nz --out picks.csv
    """
    from phaseno_peft.backbone import EMBEDDED
    from phaseno_peft.campaign import read_stations
    from phaseno_peft.errors import PhasenoPeftError
    from phaseno_peft.events import associate, read_velocity
    from phaseno_peft.events.files import events_folder
    from phaseno_peft.picking import Picker, load_adapter
    from phaseno_peft.picks.pick_list import format_of

    terminal = Terminal(quiet=quiet)
    if (adapter is None) == (not frozen):
        raise PhasenoPeftError("say which picks you want: --adapter NAME, or --frozen for the backbone alone.")
    as_format = format_name or format_of(out)
    check_output(out, None, "", overwrite=overwrite)
    if events is not None:
        events_folder(events, overwrite=overwrite)
    elif velocity is not None:
        raise PhasenoPeftError("--velocity is for events. Say where they go with --events FOLDER, or leave it out.")
    model = None if velocity is None else read_velocity(velocity)
    table = read_stations(stations)
    if adapter is None:
        picker = Picker.load(backbone or EMBEDDED)
    else:
        picker = load_adapter(adapter, backbone=backbone, ensemble=ensemble)
    with terminal.bar("picking") as update:
        found = picker.classify(
            waveforms,
            table,
            P_threshold=p_threshold,
            S_threshold=s_threshold,
            stride_s=stride_s,
            merge=merge,
            gate=gate,
            channels=channels,
            skip_unreadable=skip_unreadable,
            progress=update,
            on_findings=terminal.tell,
        )
    found.write(out, as_format, table)
    made = None
    if events is not None:
        made = associate(found, table, velocity=model, folder=events, overwrite=overwrite, on_stage=terminal.say)
        terminal.tell(made.findings)
    counts = {phase: len(found.select(phase=phase)) for phase in ("P", "S")}
    if as_json:
        told = {"picks": counts, "creator": found.creator, "out": str(out), **findings_json(found.findings)}
        terminal.show_json(told | ({} if made is None else {"events": events_json(made)}))
        return
    terminal.show(f"{counts['P']} P and {counts['S']} S picks by {found.creator}: {out}")
    if made is not None and events is not None:
        terminal.show(events_line(made, events))
