"""`phaseno-peft backbone`: the frozen networks that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import JsonOption

app = typer.Typer(help="Frozen backbones.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List the backbones shipped with the package.

    Example: phaseno-peft backbone list
    """
    from phaseno_peft.backbone import list_backbones

    terminal = Terminal()
    for name in list_backbones():
        terminal.show(name)


@app.command("info")
def info(
    name: Annotated[str | None, typer.Argument(help="Name or folder. Default: the embedded one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a backbone's size, architecture and fingerprint.

    Example: phaseno-peft backbone info
    """
    from phaseno_peft.backbone import EMBEDDED, read_card

    terminal = Terminal()
    card = read_card(name or EMBEDDED)
    facts = {
        "name": card.name,
        "parameters": card.n_parameters,
        "fingerprint": card.fingerprint,
        "thresholds": card.thresholds,
        **card.config.to_json(),
        "folder": str(card.folder),
    }
    if as_json:
        terminal.show_json(facts)
        return
    for key, value in facts.items():
        terminal.show(f"{key}: {value}")


@app.command("convert")
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="The PhaseNO authors' Lightning checkpoint (.ckpt).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; give it to --backbone afterwards.")],
) -> None:
    """Convert the authors' checkpoint to a backbone folder, without executing anything in it.

    Example: phaseno-peft backbone convert epoch=19-step=1140000.ckpt --out phaseno-upstream
    """
    from phaseno_peft.backbone import convert_checkpoint

    Terminal().show(f"backbone: {convert_checkpoint(checkpoint, out)}")


@app.command("fetch")
def fetch() -> None:
    """Download the authors' checkpoint from its public repository, verify it and convert it.

    Example: phaseno-peft backbone fetch
    """
    from phaseno_peft.backbone import fetch_backbone

    terminal = Terminal()
    with terminal.bar("fetching") as update:
        folder = fetch_backbone(progress=update)
    terminal.show(f"backbone: {folder}")
