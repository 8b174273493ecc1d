"""`phaseno-peft backbone`: the frozen networks that are there."""

from __future__ import annotations

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
