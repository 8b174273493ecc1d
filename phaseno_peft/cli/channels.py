"""`phaseno-peft channels`: a first channel map of a waveform file, to be edited."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import OverwriteOption


def channels(
    waveforms: Annotated[Path, typer.Argument(help="One waveform file, such as a SEG-Y, SU or SEG-2 record.")],
    out: Annotated[Path, typer.Option("--out", help="YAML file to write.")] = Path("channels.yaml"),
    overwrite: OverwriteOption = False,
) -> None:
    """Write a first channel map of a file whose traces say little: fill it in and give it back with --channels.

    Example: phaseno-peft channels shot-0001.sgy --out channels.yaml
    """
    from phaseno_peft.campaign import write_channel_map

    Terminal(quiet=False).show(f"to be filled in: {write_channel_map(waveforms, out, overwrite=overwrite)}")
