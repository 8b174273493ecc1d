"""`phaseno-peft suggest-labels`: what of an unlabelled archive an analyst should pick next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.adapters import complete_adapter
from phaseno_peft.cli.console import Terminal, findings_json
from phaseno_peft.cli.options import (
    BackboneOption,
    ChannelsOption,
    JsonOption,
    OverwriteOption,
    QuietOption,
    SkipUnreadableOption,
    StationsOption,
)


def suggest_labels(
    unlabelled: Annotated[Path, typer.Option("--unlabelled", help="Folder or file of records that nobody picked.")],
    stations: StationsOption,
    out: Annotated[Path, typer.Option("--out", help="Folder to write: records, provisional picks, ranks.")],
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter",
            help="The adapter that the labels shall improve. Default: none, the frozen backbone.",
            autocompletion=complete_adapter,
        ),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Records to suggest.")] = 20,
    picks: Annotated[
        Path | None, typer.Option("--picks", help="What is labelled already: it is not suggested again.")
    ] = None,
    backbone: BackboneOption = None,
    channels: ChannelsOption = None,
    skip_unreadable: SkipUnreadableOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Choose the records of an archive whose labels would teach an adapter most.

    Where the adapter, the frozen network and the adapters of the folds (`train-adapter --keep-folds`) differ, and where
    the adapter is undecided; of many alike one. Doubtful arrivals are markers of kind 3 (in QuakeML rejected picks):
    left as they are, nothing is learnt near them. Correct to-correct.markers in Snuffler, or to-correct.xml in your
    tool, save it as picks.markers or picks.xml in the same folder, and train with `train-adapter --more FOLDER`, with
    the same --channels: records are written as they were delivered.

    Example: phaseno-peft suggest-labels --unlabelled archive --stations stations.xml --adapter samba-nz --out next
    """
    from phaseno_peft.backbone import EMBEDDED
    from phaseno_peft.campaign import read_catalogue, read_stations
    from phaseno_peft.labelling import suggest_labels as suggest
    from phaseno_peft.labelling.suggested_files import check_codes, check_replaceable, write_suggestions
    from phaseno_peft.library.folds import has_folds
    from phaseno_peft.picking import Picker, load_adapter

    terminal = Terminal(quiet=quiet)
    check_replaceable(out, overwrite=overwrite)
    table = read_stations(stations)
    labelled = None if picks is None else read_catalogue(picks)
    if adapter is None:
        picker = Picker.load(backbone or EMBEDDED)
    else:
        picker = load_adapter(adapter, backbone=backbone, ensemble=has_folds(adapter))
    check_codes(unlabelled, picker.preprocessing.rate_hz, channels=channels, skip_unreadable=skip_unreadable)
    with terminal.bar("looking for what to label") as update:
        found = suggest(
            unlabelled,
            table,
            picker,
            n=n,
            labelled=labelled,
            channels=channels,
            skip_unreadable=skip_unreadable,
            progress=update,
            on_findings=terminal.tell,
        )
    write_suggestions(
        out,
        found,
        unlabelled,
        stations=stations,
        channels=channels,
        skip_unreadable=skip_unreadable,
        overwrite=overwrite,
    )
    if as_json:
        terminal.show_json(
            {
                "suggestions": [
                    {"file": f"waveforms/{s.name}.mseed", "gain": round(s.gain, 3), "event": s.is_event, "why": s.why}
                    for s in found.suggestions
                ],
                "candidates": found.n_candidates,
                "models": list(found.models),
                "hours": round(found.hours, 3),
                "out": str(out),
                **findings_json(found.findings),
            }
        )
        return
    events = sum(each.is_event for each in found.suggestions)
    terminal.show(
        f"{len(found.suggestions)} of {found.n_candidates} candidates in {found.hours:.2f} h, {events} of them events; "
        f"models: {', '.join(found.models)}\n"
        f"Correct {out}/to-correct.markers or {out}/to-correct.xml, save it as picks.markers or picks.xml there, and "
        f"train with --more {out}{'' if channels is None else ' and the same --channels'}"
    )
