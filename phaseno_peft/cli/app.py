"""The command `phaseno-peft`. Each command parses, calls, prints; what it does lives in the library."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from phaseno_peft import __version__
from phaseno_peft.cli import adapters, backbone, compare, demo, evaluate, pick, simulate, train
from phaseno_peft.errors import PhasenoPeftError

app = typer.Typer(
    name="phaseno-peft",
    help="Adapt the network-wide phase picker PhaseNO to a monitoring campaign, and pick with it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("demo")(demo.demo)
app.command("train-adapter")(train.train_adapter)
app.command("compare")(compare.compare)
app.command("evaluate")(evaluate.evaluate)
app.command("pick")(pick.pick)
app.command("simulate")(simulate.simulate)
app.add_typer(adapters.app, name="adapters")
app.add_typer(backbone.app, name="backbone")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"phaseno-peft {__version__}")  # the result of --version
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[  # noqa: ARG001  # its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what the library does.")] = False,
) -> None:
    """Options before the command."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


def main() -> None:
    """Entry point: a user's mistake is one sentence on standard error and exit code 2, never a traceback."""
    try:
        app()
    except PhasenoPeftError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
