"""`phaseno-peft evaluate`: an adapter beside the frozen backbone, and rivals, on labelled records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.adapters import AdapterArgument
from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import (
    BackboneOption,
    CampaignStationsOption,
    ChannelsOption,
    CompleteOption,
    JsonOption,
    NoiseOption,
    OverwriteOption,
    PhasenetWeightsOption,
    PicksOnOption,
    PicksOption,
    QuietOption,
    SkipUnknownOption,
    WaveformsOption,
)


def evaluate(
    name: AdapterArgument,
    waveforms: WaveformsOption,
    stations: CampaignStationsOption = None,
    picks: PicksOption = None,
    backbone: BackboneOption = None,
    rivals: Annotated[
        str | None,
        typer.Option(
            "--rivals",
            help="Other pickers to score, with commas: stalta, baer, ar-aic, phasenet, or a SeisBench model as "
            "CLASS:WEIGHTS.",
        ),
    ] = None,
    phasenet_weights: PhasenetWeightsOption = None,
    skip_unknown: SkipUnknownOption = False,
    channels: ChannelsOption = None,
    picks_on: PicksOnOption = None,
    complete: CompleteOption = "no",
    noise: NoiseOption = "between",
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Folder for index.html, one page whole in itself, with its tables and figures."),
    ] = None,
    confidential: Annotated[
        bool,
        typer.Option("--confidential", help="Leave stations, times, exact place and records out of the report."),
    ] = False,
    few_shot: Annotated[
        Path | None,
        typer.Option(
            "--few-shot",
            help="Folder that `compare --labels` wrote for the same campaign: its curve goes into the report.",
        ),
    ] = None,
    noise_hours: Annotated[
        float,
        typer.Option(
            "--noise-hours",
            help="False picks are counted in so many hours of record without events, where there are as many. F1 has a "
            "window of noise for each one of an event.",
        ),
    ] = 0.5,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score an adapter on labelled records, beside the frozen backbone.

    On the campaign it was trained on, only the held-out test events are used; on another one, all events. The verdict
    is by written rules: deploy, deploy with care, do not deploy, or not enough evidence.

    Example: phaseno-peft evaluate samba-nz --waveforms waveforms --stations stations.xml --picks picks.xml
    --report judged
    """
    from phaseno_peft.evaluation import comparison_table
    from phaseno_peft.judging import evaluate as score

    terminal = Terminal(quiet=quiet)
    with terminal.bar("reading") as update:
        made = score(
            name,
            waveforms,
            stations,
            picks,
            backbone=backbone,
            rivals=rivals,
            phasenet_weights=phasenet_weights,
            skip_unknown=skip_unknown,
            channels=channels,
            picks_on=picks_on,
            complete=complete,
            noise=noise,
            report=report,
            overwrite=overwrite,
            confidential=confidential,
            few_shot=few_shot,
            noise_hours=noise_hours,
            on_stage=terminal.say,
            on_findings=terminal.tell,
            progress=update,
        )
    if as_json:
        summary = {model: scores.to_json()["summary"] for model, scores in made.scores.items()}
        terminal.show_json({**made.about, "scores": summary})
        return
    terminal.show(comparison_table(made.scores))
    terminal.show(made.about["events"])
    decided = made.about["verdict"]
    terminal.show(f"{decided['verdict']}: {decided['reason']}")
    for text in decided["also"]:
        terminal.show(f"  {text}")
    if made.about["report"]:
        terminal.show(f"{made.about['report']}: open it in a browser.")
