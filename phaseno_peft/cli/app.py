"""The command `phaseno-peft`. Each command parses, calls, prints; what it does lives in the library."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from phaseno_peft import __version__
from phaseno_peft.cli import (
    adapters,
    associate,
    backbone,
    channels,
    check,
    compare,
    demo,
    evaluate,
    export_dataset,
    pick,
    pretrain,
    pseudo_label,
    score,
    share,
    simulate,
    suggest_labels,
    train,
    watch,
)
from phaseno_peft.cli.console import LogFormatter, spelled_out
from phaseno_peft.errors import PhasenoPeftError

_ADAPT, _SHARE = "Train, judge, pick", "Keep and share"
app = typer.Typer(
    name="phaseno-peft",
    help="Adapt the network-wide phase picker PhaseNO to a monitoring campaign, and pick with it.\n\n"
    "Start with `phaseno-peft demo`; `phaseno-peft COMMAND --help` shows an example of each command.",
    epilog="Exit codes: 0 done, 2 a mistake that the message explains, 130 stopped (`check`: 1 warnings). "
    "Results go to standard output, messages to standard error. Folder of your adapters: $PHASENO_PEFT_HOME.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("demo", rich_help_panel=_ADAPT)(demo.demo)
app.command("check", rich_help_panel=_ADAPT)(check.check)
app.command("train-adapter", rich_help_panel=_ADAPT)(train.train_adapter)
app.command("compare", rich_help_panel=_ADAPT)(compare.compare)
app.command("evaluate", rich_help_panel=_ADAPT)(evaluate.evaluate)
app.command("score", rich_help_panel=_ADAPT)(score.score)
app.command("pick", rich_help_panel=_ADAPT)(pick.pick)
app.command("watch", rich_help_panel=_ADAPT)(watch.watch)
app.command("associate", rich_help_panel=_ADAPT)(associate.associate)
app.command("pseudo-label", rich_help_panel=_ADAPT)(pseudo_label.pseudo_label)
app.command("suggest-labels", rich_help_panel=_ADAPT)(suggest_labels.suggest_labels)
app.command("channels", rich_help_panel=_ADAPT)(channels.channels)
app.command("export-dataset", rich_help_panel=_ADAPT)(export_dataset.export_dataset)
app.command("simulate", rich_help_panel=_ADAPT)(simulate.simulate)
app.command("pretrain", rich_help_panel=_ADAPT)(pretrain.pretrain)
app.command("push", rich_help_panel=_SHARE)(share.push)
app.command("pull", rich_help_panel=_SHARE)(share.pull)
app.add_typer(adapters.app, name="adapters", rich_help_panel=_SHARE)
app.add_typer(backbone.app, name="backbone", rich_help_panel=_SHARE)


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
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])


def main() -> None:
    """Entry point: a user's mistake is one sentence on standard error and exit code 2, never a traceback."""
    try:
        app()
    except PhasenoPeftError as error:
        sys.stderr.write(f"error: {spelled_out(str(error))}\n")
        sys.exit(2)
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # no rights, no space, a folder where a file should be
        sys.stderr.write(f"error: {spelled_out(str(error))}. Check the path, its rights and the space on its disk.\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
