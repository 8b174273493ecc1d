"""`phaseno-peft watch`: a live stream picked as it comes."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.adapters import complete_adapter
from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import (
    BackboneOption,
    FrozenOption,
    GateOption,
    PThresholdOption,
    QuietOption,
    StationsOption,
    SThresholdOption,
)


def watch(
    url: Annotated[str, typer.Argument(help="SeedLink server: seedlink://host:port.")],
    stations: StationsOption,
    adapter: Annotated[
        str | None,
        typer.Option("--adapter", help="A name, a folder, or org/repo@revision.", autocompletion=complete_adapter),
    ] = None,
    frozen: FrozenOption = False,
    p_threshold: PThresholdOption = None,
    s_threshold: SThresholdOption = None,
    every_s: Annotated[
        float, typer.Option("--every", min=0.1, help="Seconds of record between passes over the newest window.")
    ] = 2.0,
    gate: GateOption = "auto",
    selector: Annotated[str, typer.Option("--selector", help="SeedLink's selector of channels, HH? for example.")] = (
        "???"
    ),
    out: Annotated[
        Path | None, typer.Option("--out", help="Append to: .jsonl, .csv, or .parquet (a folder of parts, by pyarrow).")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option("--webhook", help="http(s) address that gets new picks as POST of a JSON list.")
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Stop after this time.")] = None,
    backbone: BackboneOption = None,
    quiet: QuietOption = False,
) -> None:
    """Pick a live SeedLink stream: a JSON line for each pick on standard output, as soon as it is seen.

    A pick is told as preliminary first, under a new id when it changes (`replaces` names the old one), as withdrawn
    where it vanishes, and as final one window later. Stop with Ctrl-C.

    Example: phaseno-peft watch seedlink://localhost:18000 --stations stations.xml --adapter samba-nz
    """
    from phaseno_peft.errors import PhasenoPeftError
    from phaseno_peft.live import watch as follow
    from phaseno_peft.live.outputs import JsonLines

    terminal = Terminal(quiet=quiet)
    if (adapter is None) == (not frozen):
        raise PhasenoPeftError("say which picks you want: --adapter NAME, or --frozen for the backbone alone.")
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:  # SIGTERM ends as Ctrl-C does: what is held is written
        done = follow(
            url,
            stations,
            adapter,
            backbone=backbone,
            p_threshold=p_threshold,
            s_threshold=s_threshold,
            every_s=every_s,
            gate=gate,
            selector=selector,
            out=out,
            webhook=webhook,
            minutes=minutes,
            outputs=[JsonLines(sys.stdout)],
            warn=terminal.warn,
            say=terminal.say,
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    told = ", ".join(f"{n} {status}" for status, n in sorted(done.reports.items())) or "no picks"
    terminal.say(f"{done.n_packets} packets, {done.n_passes} passes; {told}; {done.lost_s:.0f} s of record lost")
