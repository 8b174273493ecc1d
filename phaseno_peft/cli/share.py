"""`phaseno-peft push` and `pull`: adapters between your library and the Hugging Face Hub."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from phaseno_peft.cli.adapters import AdapterArgument
from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import JsonOption

RepositoryOption = Annotated[str, typer.Option("--repo", help="Repository on the Hub, as organisation/name.")]
TagOption = Annotated[str | None, typer.Option("--tag", help="Name this version, for example v1.")]
PublicOption = Annotated[
    bool, typer.Option("--public", help="For everybody to see. Without it a new repository is private.")
]
NextVersionOption = Annotated[
    bool, typer.Option("--overwrite", help="Make this the next version of a repository that has another one.")
]


def push(
    name: AdapterArgument,
    repository: RepositoryOption,
    tag: TagOption = None,
    public: PublicOption = False,
    force: Annotated[bool, typer.Option("--force", help="Also an adapter that was never evaluated.")] = False,
    overwrite: NextVersionOption = False,
    as_json: JsonOption = False,
) -> None:
    """Push an adapter with its contract, card, scores and figures to the Hub, in one commit.

    Needs a token with write access: `hf auth login`, or HF_TOKEN. A push that broke off is finished by the same push.

    Example: phaseno-peft push samba-nz --repo my-lab/phaseno-samba-nz --tag v1
    """
    from phaseno_peft.library import push_adapter

    made = push_adapter(name, repository, tag=tag, public=public, force=force, overwrite=overwrite)
    terminal = Terminal()
    if as_json:
        terminal.show_json(dataclasses.asdict(made))
        return
    terminal.show(f"{'pushed' if made.is_new_commit else 'the Hub has this already'}: {made.url}")
    terminal.show(f'others load it with load_adapter("{repository}@{tag or made.commit}")')


def pull(
    name: Annotated[str, typer.Argument(help="org/repo, or org/repo@tag, or org/repo@commit.")],
    as_name: Annotated[str | None, typer.Option("--name", help="Call it so. Default: its own name.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an adapter of this name; take a tag that has moved.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch an adapter from the Hub into your library, verified; it works offline from then on.

    Example: phaseno-peft pull my-lab/phaseno-samba-nz@v1
    """
    from phaseno_peft.library import pull_adapter
    from phaseno_peft.library.store import read_origin

    folder = pull_adapter(name, as_name=as_name, overwrite=overwrite)
    terminal, origin = Terminal(), read_origin(folder)
    if as_json:
        facts = dataclasses.asdict(origin) if origin is not None else {}
        terminal.show_json({"name": folder.name, "folder": str(folder), **facts})
        return
    terminal.show(f"{folder.name}: {folder}")
    if origin is not None:
        terminal.show(f'pinned by load_adapter("{origin.repository}@{origin.commit}")')
