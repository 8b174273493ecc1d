"""`phaseno-peft pick`: continuous or triggered records to picks, of an archive of months into a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from phaseno_peft.cli.adapters import complete_adapter
from phaseno_peft.cli.associate import VelocityOption, events_json, events_line
from phaseno_peft.cli.console import Terminal, findings_json
from phaseno_peft.cli.options import (
    BackboneOption,
    ChannelsOption,
    FrozenOption,
    GateOption,
    JsonOption,
    OverwriteOption,
    PThresholdOption,
    QuietOption,
    SkipUnreadableOption,
    StationsOption,
    SThresholdOption,
    check_output,
    time_of,
)

if TYPE_CHECKING:
    from phaseno_peft.archive.run_archive import ArchiveSummary
    from phaseno_peft.campaign import Finding, StationTable
    from phaseno_peft.picking import Picker
    from phaseno_peft.picks import PickList

PROGRESS_S = 30.0
"""Between two lines that say how far an archive is."""


def pick(
    waveforms: Annotated[Path, typer.Argument(help="Folder or file of waveforms.")],
    stations: StationsOption,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="File to write: .csv, .xml (QuakeML), .scml (SeisComP), .sfile (Nordic), .obs (NLLOC_OBS), "
            ".pha (HypoDD) or .markers (Snuffler). Without an ending: a folder of Parquet files by day, for archives; "
            "the same command goes on where it stopped.",
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
    frozen: FrozenOption = False,
    p_threshold: PThresholdOption = None,
    s_threshold: SThresholdOption = None,
    stride_s: Annotated[
        float | None, typer.Option("--stride", min=0.1, help="Seconds between windows. Default: half a window.")
    ] = None,
    merge: Annotated[
        Literal["mean", "median", "max"], typer.Option("--merge", help="How overlapping windows are combined.")
    ] = "mean",
    gate: GateOption = "auto",
    format_name: Annotated[
        Literal["csv", "quakeml", "scml", "nordic", "nlloc", "hypodd", "snuffler", "phasenet", "gamma", "pyocto"]
        | None,
        typer.Option("--format", help="How to write; phasenet, gamma and pyocto are CSV. Default: by the ending."),
    ] = None,
    starttime: Annotated[str | None, typer.Option("--from", help="Picks from this time on, 2026-03-01T12:00.")] = None,
    endtime: Annotated[str | None, typer.Option("--to", help="Picks up to this time.")] = None,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", help="For a folder: local, local:4, or tcp://host:8786 of a dask scheduler."),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="For a folder: do again what failed, and what lacks an unreadable file.")
    ] = False,
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", help="For a folder: a file of all its picks in the end, as --out. May be repeated."),
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
    Months of an archive: phaseno-peft pick /archive --stations stations.xml --adapter samba-nz --from 2026-03-01
    --to 2026-06-01 --cluster local --out picks --also picks.xml
    """
    from phaseno_peft.archive.run_archive import read_picks
    from phaseno_peft.backbone import EMBEDDED
    from phaseno_peft.campaign import read_stations
    from phaseno_peft.errors import PhasenoPeftError
    from phaseno_peft.events import associate, read_velocity
    from phaseno_peft.events.engine import check_associator
    from phaseno_peft.events.files import events_folder
    from phaseno_peft.picking import Picker, load_adapter
    from phaseno_peft.picks.pick_list import format_of

    terminal = Terminal(quiet=quiet)
    if (adapter is None) == (not frozen):
        raise PhasenoPeftError("say which picks you want: --adapter NAME, or --frozen for the backbone alone.")
    if ensemble and frozen:
        raise PhasenoPeftError("--ensemble is of an adapter's folds. Give --adapter NAME, or leave it out.")
    begin, end = (time_of(text, option) for text, option in ((starttime, "--from"), (endtime, "--to")))
    is_folder = not out.suffix and format_name is None
    if not is_folder and (cluster or retry or also):
        raise PhasenoPeftError(
            f"--out {out}: --cluster, --retry and --also are for a folder of picks. Give --out without an ending."
        )
    as_format = "" if is_folder else format_name or format_of(out)
    if is_folder:
        for file in also or ():
            format_of(file)
            check_output(file, None, "", overwrite=True)  # the same command goes on, so it may be there
    else:
        check_output(out, None, "", overwrite=overwrite)
    if events is not None:
        check_associator()
        events_folder(events, overwrite=overwrite)
    elif velocity is not None:
        raise PhasenoPeftError("--velocity is for events. Say where they go with --events FOLDER, or leave it out.")
    model = None if velocity is None else read_velocity(velocity)
    table = read_stations(stations)
    if adapter is None:
        picker = Picker.load(backbone or EMBEDDED)
    else:
        picker = load_adapter(adapter, backbone=backbone, ensemble=ensemble)
    options: dict[str, Any] = {
        "P_threshold": p_threshold,
        "S_threshold": s_threshold,
        "stride_s": stride_s,
        "merge": merge,
        "gate": gate,
        "channels": channels,
        "starttime": begin,
        "endtime": end,
    }
    found: PickList | None = None
    if is_folder:
        summary = _pick_into_folder(terminal, waveforms, table, out, picker, cluster, retry, options)
        told, line = {**summary.to_json(), "also": [str(file) for file in also or ()]}, _summary_line(summary, out)
        if also or events is not None:
            found = read_picks(out)
    else:
        with terminal.bar("picking") as update:
            found = picker.classify(
                waveforms, table, skip_unreadable=skip_unreadable, progress=update, on_findings=terminal.tell, **options
            )
        found.write(out, as_format, table)
        counts = {phase: len(found.select(phase=phase)) for phase in ("P", "S")}
        told = {"picks": counts, "creator": found.creator, "out": str(out), **findings_json(found.findings)}
        line = f"{counts['P']} P and {counts['S']} S picks by {found.creator}: {out}"
    for file in also or ():
        if found is not None:
            found.write(file, None, table)
    if found is not None and events is not None:
        made = associate(found, table, velocity=model, folder=events, overwrite=overwrite, on_stage=terminal.say)
        terminal.tell(made.findings)
        told, line = {**told, "events": events_json(made)}, f"{line}\n{events_line(made, events)}"
    if as_json:
        terminal.show_json(told)
    else:
        terminal.show(line)


def _pick_into_folder(
    terminal: Terminal,
    archive: Path,
    table: StationTable,
    folder: Path,
    picker: Picker,
    cluster: str | None,
    retry: bool,
    options: dict[str, Any],
) -> ArchiveSummary:
    """An archive into a folder of picks, with progress."""
    from phaseno_peft.archive.run_archive import Progress, pick_archive

    told_at = terminal.started
    told: set[str] = set()

    def tell(findings: Sequence[Finding]) -> None:
        told.update(finding.text for finding in findings)
        terminal.tell(findings)

    with terminal.bar("headers, then tasks") as update:

        def progress(done: Progress) -> None:
            nonlocal told_at
            update(done.tasks, done.all_tasks)
            if time.monotonic() - told_at >= PROGRESS_S or done.tasks == done.all_tasks:
                told_at = time.monotonic()
                left = "" if done.left_s is None else f", {done.left_s / 60:.0f} min left"
                rate = f"{done.station_days_an_hour:.1f} station-days an hour"
                terminal.say(f"{done.tasks} of {done.all_tasks} tasks, {rate}{left}")

        summary = pick_archive(
            archive,
            table,
            folder,
            picker,
            cluster=cluster,
            retry=retry,
            indexing=update,
            progress=progress,
            on_findings=tell,
            **options,
        )
    for why in summary.failures:
        if f"left out: {why}" not in told:
            terminal.warn(why)
    return summary


def _summary_line(summary: ArchiveSummary, folder: Path) -> str:
    """What was picked, and what failed."""
    counts = summary.picks
    failures = f"{len(summary.failures)} failures (--retry does them again)" if summary.failures else "no failures"
    return (
        f"{summary.station_hours:.1f} station-hours of {summary.stations} stations in {summary.tasks} tasks "
        f"({summary.picked_now} now), {summary.gaps} gaps, {failures}\n"
        f"{counts['P']} P and {counts['S']} S picks by {summary.creator}: {folder}"
    )
