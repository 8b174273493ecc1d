"""`phaseno-peft compare`: several recipes on one campaign, with the same split, windows and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phaseno_peft.cli.console import Terminal, findings_json
from phaseno_peft.cli.options import (
    BackboneOption,
    CampaignStationsOption,
    ChannelsOption,
    CompleteOption,
    DeviceOption,
    EdgeLimitOption,
    EpochsOption,
    JsonOption,
    MaxMinutesOption,
    PhasenetWeightsOption,
    PicksOnOption,
    PicksOption,
    QuietOption,
    ReplayOption,
    SeedOption,
    SkipUnknownOption,
    TimeScaleOption,
    TrainingNoiseOption,
    WaveformsOption,
)
from phaseno_peft.cli.reading import read_campaign


def compare(
    name: Annotated[str, typer.Argument(help="Name of the campaign: lower-case letters, digits, hyphens.")],
    waveforms: WaveformsOption,
    stations: CampaignStationsOption = None,
    picks: PicksOption = None,
    recipes: Annotated[
        str,
        typer.Option(
            "--recipes",
            help="Comma-separated: frozen, rescaled, head, se-only, lora, lora-head, cr-lora, "
            "cr-lora+stem, cr-lora+stem-last, cr-lora+stem-full, "
            "bottleneck, full, scratch, "
            "cr-lora:<k>, unfreeze:<k>, peft:<method>, rival:<picker> (stalta, baer, ar-aic, phasenet, "
            "CLASS:WEIGHTS of SeisBench), "
            "rival:stalta-tuned, rival:phasenet-finetuned, rival:CLASS-finetuned:WEIGHTS.",
        ),
    ] = "frozen,head,se-only,lora,cr-lora,full,scratch",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of each recipe, with as many seeds.")] = 1,
    labels: Annotated[
        str | None,
        typer.Option("--labels", help="Numbers of labelled training events, such as 0,10,25: the few-shot curve."),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            "--folds",
            min=0,
            help="Part the events into so many folds; each is predicted by what was trained on the others. 0: three "
            "sides.",
        ),
    ] = 0,
    phasenet_weights: PhasenetWeightsOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write. Default: <name>-comparison.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget earlier runs and do all anew.")] = False,
    save_backbones: Annotated[
        bool, typer.Option("--save-backbones", help="Keep the backbones that full, scratch and unfreeze:<k> make.")
    ] = False,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, help="Trainings side by side, each with its share of the cores.")
    ] = 1,
    epochs: EpochsOption = None,
    max_minutes: MaxMinutesOption = None,
    replay: ReplayOption = None,
    edge_limit_km: EdgeLimitOption = 30.0,
    time_scale: TimeScaleOption = 1.0,
    backbone: BackboneOption = None,
    device: DeviceOption = "cpu",
    seed: SeedOption = 0,
    skip_unknown: SkipUnknownOption = False,
    channels: ChannelsOption = None,
    picks_on: PicksOnOption = None,
    complete: CompleteOption = "no",
    noise: TrainingNoiseOption = "between",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train several recipes on one campaign and compare them: F1 against trainable parameters, or against labels.

    All see the same split and windows. Epochs and thresholds are chosen on validation; test is only reported. Finished
    runs are kept: the same command again goes on where it was stopped.

    Example: phaseno-peft compare samba-nz --waveforms waveforms --stations stations.xml --picks picks.xml --seeds 5
    """
    from phaseno_peft.backbone import EMBEDDED
    from phaseno_peft.cli.train import epoch_line
    from phaseno_peft.comparison.compare import compare as run
    from phaseno_peft.comparison.recipes import find_recipe
    from phaseno_peft.comparison.report import comparison_table, to_json
    from phaseno_peft.library import check_name
    from phaseno_peft.training.fit import TrainingCallbacks

    terminal = Terminal(quiet=quiet)
    folder = (out or Path(f"{check_name(name)}-comparison")).expanduser()
    chosen = [word.strip() for word in recipes.split(",") if word.strip()]
    for recipe in chosen:
        find_recipe(recipe, phasenet_weights)
    counts = None if labels is None else _counts(labels)
    campaign = read_campaign(
        terminal,
        name,
        waveforms,
        stations,
        picks,
        time_scale=time_scale,
        edge_limit_km=edge_limit_km,
        skip_unknown=skip_unknown,
        channels=channels,
        picks_on=picks_on,
        complete=complete,
        noise="between" if noise == "quiet" else noise,
    )
    with terminal.bar("training") as update:
        comparison = run(
            name,
            campaign,
            chosen,
            folder=folder,
            seeds=seeds,
            labels=counts,
            folds=folds,
            phasenet_weights=phasenet_weights,
            epochs=epochs,
            max_minutes=max_minutes,
            replay=replay,
            backbone=backbone or EMBEDDED,
            seed=seed,
            device=device,
            save_backbones=save_backbones,
            quiet_noise=noise == "quiet",
            restart=restart,
            at_once=at_once,
            callbacks=TrainingCallbacks(terminal.say, lambda epoch: terminal.say(epoch_line(epoch)), update),
        )
    if as_json:
        terminal.show_json({"folder": str(folder), **to_json(comparison), **findings_json(campaign.findings)})
        return
    terminal.show(comparison_table(comparison))
    terminal.show(f"tables, figures and every run: {folder}")


def _counts(labels: str) -> list[int]:
    from phaseno_peft.errors import PhasenoPeftError

    try:
        return [int(word) for word in labels.split(",")]
    except ValueError:
        raise PhasenoPeftError(
            f"--labels {labels!r} should be comma-separated numbers of events, such as 0,10,25,50."
        ) from None
