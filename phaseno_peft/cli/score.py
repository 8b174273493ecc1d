"""`phaseno-peft score`: any program's picks against a catalogue, on continuous records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import ChannelsOption, JsonOption, QuietOption, SkipUnreadableOption, WaveformsOption


def score(
    picks: Annotated[Path, typer.Argument(help="Picks of any program: our CSV, PhaseNet's, SeisBench's, QuakeML, ...")],
    catalogue: Annotated[Path, typer.Argument(help="The catalogue to compare with, as for training.")],
    waveforms: WaveformsOption,
    tolerance: Annotated[
        list[float] | None,
        typer.Option(
            "--tolerance", min=0, help="Seconds within which a pick is that of a label; give several at will."
        ),
    ] = None,
    every_arrival: Annotated[
        bool, typer.Option("--every-arrival", help="The catalogue lists every arrival: every other pick is false.")
    ] = False,
    channels: ChannelsOption = None,
    skip_unreadable: SkipUnreadableOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score picks of any program against a catalogue, and say what of both the records could have shown.

    Labels that no record holds are told and not counted. A pick without a label is false where its station has the
    phase of the event; elsewhere it is not judged, unless the catalogue lists --every-arrival.

    Example: phaseno-peft score new-picks.csv picks.xml --waveforms continuous
    """
    from phaseno_peft.judging import score_picks
    from phaseno_peft.judging.continuous import score_table

    terminal = Terminal(quiet=quiet)
    made = score_picks(
        picks,
        catalogue,
        waveforms,
        tolerance=tolerance or (0.5, 0.1),
        every_arrival=every_arrival,
        channels=channels,
        skip_unreadable=skip_unreadable,
    )
    terminal.tell(made.findings)
    if as_json:
        terminal.show_json(made.to_json() | {"picks": list(made.rows)})
        return
    terminal.show(score_table(made))
    terminal.show(str(made.completeness))
