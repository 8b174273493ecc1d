"""`phaseno-peft adapters`: what is in your library, what the package ships, and what the Hub has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phaseno_peft.cli.console import Terminal, plain
from phaseno_peft.cli.options import JsonOption

if TYPE_CHECKING:
    from phaseno_peft.library import AdapterInfo

app = typer.Typer(help="Adapters: in your library, shipped with the package, on the Hub.", no_args_is_help=True)


def complete_adapter(incomplete: str) -> list[str]:
    """Names for the shell's completion."""
    from phaseno_peft.library import list_adapters

    return [name for name in list_adapters() if name.startswith(incomplete)]


AdapterArgument = Annotated[
    str,
    typer.Argument(
        help="A name in your library or of a shipped adapter, a folder, or org/repo@revision.",
        autocompletion=complete_adapter,
    ),
]


@app.command("list")
def list_(
    remote: Annotated[
        str | None, typer.Option("--remote", help="List the adapters of this organisation or user on the Hub instead.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the adapters in your library and those shipped with the package.

    Example: phaseno-peft adapters list
    """
    from phaseno_peft.library import library_folder, list_adapters
    from phaseno_peft.library.shelf import describe

    terminal = Terminal()
    if remote is not None:
        names = list_adapters(remote=remote)
        if as_json:
            terminal.show_json(names)
        for name in names if not as_json else []:
            terminal.show(plain(name))
        return
    found = {name: describe(name) for name in list_adapters()}
    if as_json:
        terminal.show_json([_row(name, known) for name, known in found.items()])
    elif not found:
        terminal.show(f"no adapters in {library_folder()} yet. Train one with `phaseno-peft train-adapter`.")
    else:
        _table(terminal, [_row(name, known) for name, known in found.items()])


@app.command("show")
def show(
    name: AdapterArgument,
    card: Annotated[bool, typer.Option("--card", help="Show the card, README.md, as text.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what an adapter promises about its data, and its scores.

    Example: phaseno-peft adapters show samba-nz
    """
    from rich.table import Table

    from phaseno_peft.evaluation import comparison_table, read_evaluation
    from phaseno_peft.library import adapter_info
    from phaseno_peft.library.names import CARD, EVALUATION

    terminal = Terminal()
    known = adapter_info(name)
    if card:
        path = known.folder / CARD
        terminal.show(plain(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else "no card")
        return
    if as_json:
        terminal.show_json(known.contract.to_json())
        return
    table = Table("field", "value", title=plain(f"{known.name}  ({known.folder})"))
    for field, value in known.contract.to_json().items():
        nested = value if isinstance(value, dict) else {"": value}
        for key, inner in nested.items():
            table.add_row(plain(f"{field}.{key}" if key else field), plain(str(inner)))
    terminal.show(table)
    if (known.folder / EVALUATION).is_file():
        terminal.show(comparison_table(read_evaluation(known.folder / EVALUATION).scores))


@app.command("versions")
def versions(name: AdapterArgument, as_json: JsonOption = False) -> None:
    """List the tags and branches of an adapter on the Hub; `org/repo@tag` loads one, `org/repo@commit` pins it.

    Example: phaseno-peft adapters versions my-lab/phaseno-samba-nz
    """
    from phaseno_peft.library import list_versions

    terminal = Terminal()
    rows = [
        {"version": version.name, "kind": "tag" if version.is_tag else "branch", "commit": version.commit}
        for version in list_versions(name)
    ]
    if as_json:
        terminal.show_json(rows)
    else:
        _table(terminal, rows)


@app.command("remove")
def remove(
    name: AdapterArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove an adapter from your library. What is shipped or on the Hub stays.

    Example: phaseno-peft adapters remove samba-nz --yes
    """
    from phaseno_peft.errors import AdapterError
    from phaseno_peft.library import library_folder, remove_adapter

    if not yes and (library_folder() / name).is_dir():
        if not sys.stdin.isatty():
            raise AdapterError(f"{library_folder() / name}: nothing removed. Say that you mean it with --yes.")
        typer.confirm(f"Remove {library_folder() / name}?", abort=True, err=True)
    Terminal().show(f"removed: {plain(str(remove_adapter(name)))}")


@app.command("verify")
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Default: all.", autocompletion=complete_adapter)] = None,
    as_json: JsonOption = False,
) -> None:
    """Hash every file of adapters again and compare with their manifests. Exit code 2 if anything was altered.

    Example: phaseno-peft adapters verify
    """
    from phaseno_peft.errors import AdapterError
    from phaseno_peft.library import verify_adapters

    terminal = Terminal()
    results = verify_adapters(names or None)
    bad = [result.name for result in results if result.problems]
    if as_json:
        terminal.show_json([{"name": r.name, "folder": str(r.folder), "problems": r.problems} for r in results])
    else:
        for result in results:
            terminal.show(f"{plain(result.name)}: {'whole' if not result.problems else 'did not pass'}")
            for problem in result.problems:
                terminal.show(f"  {plain(problem)}")
    if bad:
        raise AdapterError(
            f"{len(bad)} of {len(results)} adapters did not pass: {', '.join(bad)}. Fetch or train again."
        )


def _row(name: str, known: AdapterInfo | str) -> dict[str, Any]:
    if isinstance(known, str):
        return {
            "name": name,
            "where": "damaged",
            "campaign": known,
            "labels": "",
            "training events": "",
            "backbone": "",
        }
    made = known.contract.provenance
    origin = known.origin
    return {
        "name": name,
        "where": known.place if origin is None else f"{origin.repository}@{origin.revision or origin.commit[:12]}",
        "campaign": made.campaign,
        "labels": made.label_source,
        "training events": made.train_events,
        "backbone": known.contract.backbone_name,
    }


def _table(terminal: Terminal, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(*(rows[0] if rows else ("none",)))
    for row in rows:
        table.add_row(*(plain(str(value)) for value in row.values()))
    terminal.show(table)
