"""`phaseno-peft export-dataset`: a campaign as a data set in SeisBench's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.console import Terminal, findings_json
from phaseno_peft.cli.options import (
    CampaignStationsOption,
    ChannelsOption,
    JsonOption,
    OverwriteOption,
    PicksOption,
    QuietOption,
    SeedOption,
    SkipUnknownOption,
    WaveformsOption,
)


def export_dataset(
    out: Annotated[Path, typer.Argument(help="Folder to write; new or empty.")],
    waveforms: WaveformsOption,
    stations: CampaignStationsOption = None,
    picks: PicksOption = None,
    before_s: Annotated[float, typer.Option("--before-s", min=0, help="Seconds before an event's first pick.")] = 30.0,
    after_s: Annotated[float, typer.Option("--after-s", min=0, help="Seconds after an event's last pick.")] = 60.0,
    seed: SeedOption = 0,
    skip_unknown: SkipUnknownOption = False,
    channels: ChannelsOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a campaign as a data set that SeisBench reads: metadata.csv and waveforms.hdf5 (extra `datasets`).

    A record is what one station recorded around one event it has a pick of, raw. The column split is that of
    train-adapter with the same --seed. Stations without a pick of an event have no record of it.

    Example: phaseno-peft export-dataset my-set --waveforms waveforms --stations stations.xml --picks picks.xml
    """
    from phaseno_peft.campaign import export_dataset as export

    terminal = Terminal(quiet=quiet)
    with terminal.bar("reading") as update:
        made = export(
            out,
            waveforms,
            stations,
            picks,
            before_s=before_s,
            after_s=after_s,
            seed=seed,
            skip_unknown=skip_unknown,
            channels=channels,
            overwrite=overwrite,
            progress=update,
        )
    terminal.tell(made.findings)
    if as_json:
        counts = {"records": made.records, "events": made.events, "picks": dict(made.picks)}
        terminal.show_json({"folder": str(made.folder), **counts, **findings_json(made.findings)})
        return
    counted = " and ".join(f"{n} {phase}" for phase, n in made.picks.items())
    terminal.show(f"{made.records} records of {made.events} events with {counted} arrivals: {made.folder}")
