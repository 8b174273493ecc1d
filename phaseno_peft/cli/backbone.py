"""`phaseno-peft backbone`: the frozen networks that are there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import JsonOption
from phaseno_peft.cli.share import NextVersionOption, PublicOption, RepositoryOption, TagOption

app = typer.Typer(help="Frozen backbones: list, inspect, fetch, convert, push.", no_args_is_help=True)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the backbones shipped with the package and those you have fetched.

    Example: phaseno-peft backbone list
    """
    from phaseno_peft.backbone import list_backbones

    terminal = Terminal()
    if as_json:
        terminal.show_json(list_backbones())
        return
    for name in list_backbones():
        terminal.show(name)


@app.command("info")
def info(
    name: Annotated[
        str | None, typer.Argument(help="Name, folder, or org/repo@revision. Default: the embedded one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a backbone's size, architecture and fingerprint.

    Example: phaseno-peft backbone info
    """
    from phaseno_peft.backbone import EMBEDDED, backbone_info

    terminal = Terminal()
    card = backbone_info(name or EMBEDDED)
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


@app.command("push")
def push(
    name: Annotated[str, typer.Argument(help="Name or folder.")],
    repository: RepositoryOption,
    tag: TagOption = None,
    public: PublicOption = False,
    overwrite: NextVersionOption = False,
    as_json: JsonOption = False,
) -> None:
    """Push a backbone to the Hub in one commit; `--backbone org/repo` uses it from there.

    Example: phaseno-peft backbone push my-backbone --repo my-lab/phaseno-backbone --tag v1
    """
    from phaseno_peft.backbone import push_backbone

    made = push_backbone(name, repository, tag=tag, public=public, overwrite=overwrite)
    terminal = Terminal()
    if as_json:
        terminal.show_json(dataclasses.asdict(made))
        return
    terminal.show(f"{'pushed' if made.is_new_commit else 'the Hub has this already'}: {made.url}")
    terminal.show(f'others load it with load_backbone("{repository}@{tag or made.commit}")')
