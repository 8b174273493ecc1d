"""`phaseno-peft adapters`: what is in your library."""

from __future__ import annotations

from typing import Annotated

import typer

from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import JsonOption

app = typer.Typer(help="Adapters in your library.", no_args_is_help=True)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the adapters in your library.

    Example: phaseno-peft adapters list
    """
    from rich.table import Table

    from phaseno_peft.library import adapter_folder, library_folder, list_adapters, read_config

    terminal = Terminal()
    rows = []
    for name in list_adapters():
        _, contract = read_config(adapter_folder(name))
        made = contract.provenance
        rows.append(
            {
                "name": name,
                "campaign": made.campaign,
                "labels": made.label_source,
                "training events": made.train_events,
                "backbone": contract.backbone_name,
            }
        )
    if as_json:
        terminal.show_json(rows)
    elif not rows:
        terminal.show(f"no adapters in {library_folder()} yet. Train one with `phaseno-peft train-adapter`.")
    else:
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        terminal.show(table)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A name in your library, or a folder.")], as_json: JsonOption = False
) -> None:
    """Show what an adapter promises about its data, and its scores.

    Example: phaseno-peft adapters show samba-nz
    """
    from rich.table import Table

    from phaseno_peft.evaluation import comparison_table, read_evaluation
    from phaseno_peft.library import adapter_folder, read_adapter
    from phaseno_peft.library.store import EVALUATION

    terminal = Terminal()
    adapter = read_adapter(adapter_folder(name))
    if as_json:
        terminal.show_json(adapter.contract.to_json())
        return
    table = Table("field", "value", title=f"{adapter.name}  ({adapter.folder})")
    for field, value in adapter.contract.to_json().items():
        nested = value if isinstance(value, dict) else {"": value}
        for key, inner in nested.items():
            table.add_row(f"{field}.{key}" if key else field, str(inner))
    terminal.show(table)
    if (adapter.folder / EVALUATION).is_file():
        terminal.show(comparison_table(read_evaluation(adapter.folder / EVALUATION).scores))
