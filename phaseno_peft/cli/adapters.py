"""`phaseno-peft adapters`: what is in your library, what the package ships, and what the Hub has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phaseno_peft.cli.console import Terminal, findings_json
from phaseno_peft.cli.options import (
    BackboneOption,
    CampaignStationsOption,
    ChannelsOption,
    JsonOption,
    PicksOption,
    QuietOption,
    SkipUnknownOption,
    TimeScaleOption,
    WaveformsOption,
)
from phaseno_peft.cli.reading import read_campaign

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
    from phaseno_peft.library.inventory import describe

    terminal = Terminal()
    if remote is not None:
        names = list_adapters(remote=remote)
        if as_json:
            terminal.show_json(names)
        for name in names if not as_json else []:
            terminal.show(name)
        return
    found = {name: describe(name) for name in list_adapters()}
    if as_json:
        terminal.show_json([_row(name, known) for name, known in found.items()])
    elif not found:
        terminal.show(f"no adapters in {library_folder()} yet. Train one with `phaseno-peft train-adapter`.")
    else:
        terminal.show_rows([_row(name, known) for name, known in found.items()])


@app.command("show")
def show(
    name: AdapterArgument,
    card: Annotated[bool, typer.Option("--card", help="Show the card, README.md, as text.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what an adapter promises about its data, and its scores.

    Example: phaseno-peft adapters show samba-nz
    """
    from phaseno_peft.evaluation import comparison_table, read_evaluation
    from phaseno_peft.library import adapter_info
    from phaseno_peft.library.card import contract_rows
    from phaseno_peft.library.names import CARD, EVALUATION

    terminal = Terminal()
    known = adapter_info(name)
    if card:
        path = known.folder / CARD
        terminal.show(path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "no card")
        return
    if as_json:
        terminal.show_json(known.contract.to_json())
        return
    terminal.show_rows(contract_rows(known.contract), title=f"{known.name}  ({known.folder})")
    if (known.folder / EVALUATION).is_file():
        evaluation = read_evaluation(known.folder / EVALUATION)
        terminal.show(comparison_table(evaluation.scores))
        if verdict := evaluation.about.get("verdict"):
            terminal.show(f"{verdict['verdict']}: {verdict['reason']}")


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
        terminal.show_rows(rows)


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
    Terminal().show(f"removed: {remove_adapter(name)}")


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
            terminal.show(f"{result.name}: {'whole' if not result.problems else 'did not pass'}")
            for problem in result.problems:
                terminal.show(f"  {problem}")
    if bad:
        raise AdapterError(
            f"{len(bad)} of {len(results)} adapters did not pass: {', '.join(bad)}. Fetch or train again."
        )


@app.command("blend")
def blend(
    adapters: Annotated[
        list[str], typer.Argument(help="Two or more adapters of one backbone.", autocompletion=complete_adapter)
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the new adapter in your library.")],
    weights: Annotated[
        str | None, typer.Option("--weights", help="One number for each, with commas between. Default: equal shares.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an adapter of that name.")] = False,
) -> None:
    """Make a weighted sum of adapters: a soup of several campaigns, or a place between two.

    Exact for low-rank updates and head; the channel gates, which depend on the record, are averaged. Judge the result
    with `phaseno-peft evaluate` before you rely on it.

    Example: phaseno-peft adapters blend ohio-frac bc-frac --weights 0.7,0.3 --name between
    """
    from phaseno_peft.errors import AdapterError
    from phaseno_peft.library import blend_adapters

    try:
        shares = [float(each) for each in weights.split(",")] if weights else None
    except ValueError as error:
        raise AdapterError(f"--weights {weights!r} should be numbers with commas between, such as 0.7,0.3.") from error
    folder = blend_adapters(adapters, shares, name, overwrite=overwrite)
    Terminal().show(f"wrote {folder}, which has not been judged yet")


@app.command("suggest")
def suggest(
    waveforms: WaveformsOption,
    stations: CampaignStationsOption = None,
    picks: PicksOption = None,
    names: Annotated[
        list[str] | None, typer.Argument(help="Default: all you have.", autocompletion=complete_adapter)
    ] = None,
    time_scale: TimeScaleOption = 1.0,
    backbone: BackboneOption = None,
    skip_unknown: SkipUnknownOption = False,
    channels: ChannelsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Rank adapters on a handful of labels of a new campaign, beside the frozen backbone.

    Example: phaseno-peft adapters suggest --waveforms waveforms --stations stations.xml --picks picks.xml
    """
    from dataclasses import asdict

    from phaseno_peft.backbone import EMBEDDED
    from phaseno_peft.evaluation import suggest_adapters
    from phaseno_peft.library import list_adapters
    from phaseno_peft.picking import Picker

    terminal = Terminal(quiet=quiet)
    campaign = read_campaign(
        terminal,
        waveforms.name,
        waveforms,
        stations,
        picks,
        time_scale=time_scale,
        skip_unknown=skip_unknown,
        channels=channels,
    )
    picker = Picker.load(backbone or EMBEDDED)
    ranking, left_out = suggest_adapters(
        picker, campaign, names or list_adapters(), on_adapter=lambda name: terminal.say(f"trying {name}")
    )
    if as_json:
        made = {"ranking": [asdict(each) for each in ranking], "left_out": left_out}
        terminal.show_json({**made, **findings_json(campaign.findings)})
        return
    terminal.show_rows(
        [
            {
                "adapter": each.name,
                "mean F1": f"{each.score:.3f}",
                **{f"{p} F1, 0.5 s": "no labels" if f1 is None else f"{f1:.3f}" for p, f1 in each.f1.items()},
                "P median ms": f"{1000 * each.median_s['P']:+.0f}",
                "S median ms": f"{1000 * each.median_s['S']:+.0f}",
                "loss": f"{each.loss:.4f}",
            }
            for each in ranking
        ],
    )
    for name, why in left_out.items():
        terminal.warn(f"{name} was left out: {why}")


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
