"""`phaseno-peft pseudo-label`: a catalogue for records that nobody has picked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from phaseno_peft.cli.adapters import complete_adapter
from phaseno_peft.cli.console import Terminal, findings_json
from phaseno_peft.cli.options import (
    ChannelsOption,
    JsonOption,
    OverwriteOption,
    PhasenetWeightsOption,
    QuietOption,
    SkipUnreadableOption,
    StationsOption,
    SThresholdOption,
    check_output,
)


def pseudo_label(
    waveforms: Annotated[Path, typer.Argument(help="Folder or file of waveforms.")],
    stations: StationsOption,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="File to write: .xml (QuakeML), .scml, .sfile (Nordic), .obs (NLLOC_OBS), .pha (HypoDD) or .markers.",
        ),
    ],
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            help="Who picks: a backbone's name or folder, stalta, phasenet, or a SeisBench model as CLASS:WEIGHTS. "
            "Default: the embedded backbone.",
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option("--adapter", help="An adapter on the backbone that picks.", autocompletion=complete_adapter),
    ] = None,
    associator: Annotated[
        Literal["coincidence", "pyocto"],
        typer.Option("--associator", help="What makes events of picks; pyocto is an optional extra."),
    ] = "coincidence",
    p_threshold: Annotated[
        float | None, typer.Option("--p-threshold", min=0, max=1, help="Default: the teacher's own.")
    ] = None,
    s_threshold: SThresholdOption = None,
    phasenet_weights: PhasenetWeightsOption = None,
    channels: ChannelsOption = None,
    skip_unreadable: SkipUnreadableOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make a catalogue of automatic labels for records that nobody has picked.

    A teacher picks; what P and S of a station, or three stations, agree on is kept, ambiguous picks are rejected. Train
    an adapter on the catalogue, and label again with --adapter: its errors are the teacher's, so look at some.

    Example: phaseno-peft pseudo-label waveforms --stations stations.xml --out picks.xml
    """
    from phaseno_peft.campaign import read_stations
    from phaseno_peft.events.catalogue import write_catalog
    from phaseno_peft.labelling import load_teacher
    from phaseno_peft.labelling import pseudo_label as label
    from phaseno_peft.picks.event_files import EVENT_FORMATS
    from phaseno_peft.picks.pick_list import FORMATS

    terminal = Terminal(quiet=quiet)
    endings = [ending for name in EVENT_FORMATS for ending in FORMATS[name]]
    check_output(out, endings, f"A catalogue has events: use {', '.join(endings)}.", overwrite=overwrite)
    table = read_stations(stations)
    asked = load_teacher(
        teacher,
        adapter=adapter,
        phasenet_weights=phasenet_weights,
        P_threshold=p_threshold,
        S_threshold=s_threshold,
    )
    with terminal.bar("picking") as update:
        found = label(
            waveforms,
            table,
            asked,
            channels=channels,
            skip_unreadable=skip_unreadable,
            associator=associator,
            on_stage=terminal.say,
            progress=update,
            on_findings=terminal.tell,
        )
    write_catalog(out, found.to_catalog())
    if as_json:
        terminal.show_json(
            {
                "events": len(found.events),
                "labels": found.labels,
                "picks": found.counts,
                "hours": round(found.hours, 3),
                "teacher": found.teacher,
                "associator": found.associator,
                "out": str(out),
                **findings_json(found.findings),
            }
        )
        return
    counts = found.counts
    terminal.show(
        f"{len(found.events)} events with {found.labels['P']} P and {found.labels['S']} S labels by {found.teacher} in "
        f"{found.hours:.2f} h; {counts['ambiguous']} ambiguous picks are rejected, {counts['alone']} belong to no "
        f"event: {out}"
    )
