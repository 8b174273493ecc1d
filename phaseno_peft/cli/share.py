"""`phaseno-peft push` and `pull`: adapters between your library and the Hugging Face Hub."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import typer

from phaseno_peft.cli.adapters import AdapterArgument
from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import JsonOption

RepositoryOption = Annotated[str, typer.Option("--repo", help="Repository on the Hub, as organisation/name.")]
ShareOption = Annotated[
    Literal["minimal", "scores", "all"],
    typer.Option("--share", help="What picks; also scores, without waveforms, times and stations; or all there is."),
]
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
    share: ShareOption = "minimal",
    public: PublicOption = False,
    folds: Annotated[
        bool, typer.Option("--with-folds", help="Also the adapters of the folds, where they were kept.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be visible to whom.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also an adapter that was never evaluated.")] = False,
    overwrite: NextVersionOption = False,
    as_json: JsonOption = False,
) -> None:
    """Push an adapter to the Hub, in one commit; first it lists what will be visible to whom.

    By default the repository is private and holds what picks, without stations, events, times, waveforms, exact place
    and scores. Needs a token with write access: `hf auth login`, or HF_TOKEN. A push that broke off is finished by the
    same push.

    Example: phaseno-peft push samba-nz --repo my-lab/phaseno-samba-nz --share scores --tag v1
    """
    from phaseno_peft.library import push_adapter, what_push_reveals

    terminal = Terminal()
    told = what_push_reveals(name, repository, share=share, public=public, folds=folds, force=force)
    for line in (
        f"visible to {told.visible_to} in {told.repository} (--share {told.share}):",
        *(f"  {file}, {n_bytes:,} bytes" for file, n_bytes in told.files.items()),
        "they tell:",
        *(f"  {each}" for each in told.reveals),
    ):
        terminal.say(line)
    if dry_run:
        if as_json:
            terminal.show_json(dataclasses.asdict(told))
        return
    made = push_adapter(
        name, repository, share=share, public=public, tag=tag, folds=folds, force=force, overwrite=overwrite
    )
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
