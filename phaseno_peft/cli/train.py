"""`phaseno-peft train-adapter`: from a campaign's files to an adapter with its card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
    PicksOnOption,
    PicksOption,
    QuietOption,
    ReplayOption,
    SeedOption,
    SkipUnknownOption,
    TimeScaleOrAutoOption,
    TrainingNoiseOption,
    WaveformsOption,
    time_scale_of,
)
from phaseno_peft.cli.reading import read_campaign

if TYPE_CHECKING:
    from phaseno_peft.campaign import Finding
    from phaseno_peft.training import Epoch, TrainedAdapter


def train_adapter(
    name: Annotated[str, typer.Argument(help="Name of the new adapter: lower-case letters, digits, hyphens.")],
    waveforms: WaveformsOption,
    stations: CampaignStationsOption = None,
    picks: PicksOption = None,
    more: Annotated[
        list[Path] | None,
        typer.Option(
            "--more",
            help="A campaign's folder of the same network whose records and picks are added, such as one that "
            "suggest-labels wrote and an analyst corrected. May be given several times.",
        ),
    ] = None,
    label_source: Annotated[
        Literal["analyst", "automatic", "simulated", "unknown"],
        typer.Option("--label-source", help="Who made the picks; goes onto the card."),
    ] = "unknown",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to put the adapter's folder in. Default: your library.")
    ] = None,
    confidential: Annotated[
        bool,
        typer.Option(
            "--confidential", help="Keep stations, times, exact place and waveforms out of its folder and report."
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Folder for index.html with the evidence, as of `evaluate`: events that were held out; in folds all "
            "of them, each as the adapter that was not trained on it picks it.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an adapter of this name, and a report.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget a stopped training of this name and begin anew.")
    ] = False,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            help="What is trained: cr-lora, lora, lora-head, se-only, head, cr-lora+stem, cr-lora+stem-last or "
            "cr-lora+stem-full.",
        ),
    ] = "cr-lora",
    quick: Annotated[
        bool, typer.Option("--quick", help="A usable adapter within five minutes on two cores; says what it gave up.")
    ] = False,
    epochs: EpochsOption = None,
    max_minutes: MaxMinutesOption = None,
    replay: ReplayOption = None,
    labels: Annotated[
        int | None, typer.Option("--labels", min=1, help="Use so many of the training events, drawn at random.")
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Train so many times and keep the best on validation.")
    ] = 1,
    folds: Annotated[
        str,
        typer.Option(
            "--folds",
            help="Part the events into so many folds, so that all train and all judge. 0: set events aside. auto: 4 "
            "folds below 60 labelled events.",
        ),
    ] = "auto",
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, help="Folds trained side by side, each with its share of the cores.")
    ] = 1,
    keep_folds: Annotated[
        bool, typer.Option("--keep-folds", help="Store the folds' adapters too, to be used as an ensemble.")
    ] = False,
    edge_limit_km: EdgeLimitOption = 30.0,
    time_scale: TimeScaleOrAutoOption = "1",
    picks_on: PicksOnOption = None,
    complete: CompleteOption = "no",
    noise: TrainingNoiseOption = "between",
    validate_on: Annotated[
        Path | None,
        typer.Option(
            "--validate-on",
            help="Choose epoch and thresholds on another network: a folder with waveforms/, stations.* and picks.*, or "
            "a set in SeisBench's format.",
        ),
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option("--unlabelled", help="Records that nobody picked: what the trained adapters agree on trains too."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", min=1, max=2, help="Times that --unlabelled is labelled and trained on. [default: 1]"),
    ] = None,
    associator: Annotated[
        Literal["coincidence", "pyocto"] | None,
        typer.Option(
            "--associator",
            help="What makes events of --unlabelled; pyocto is an optional extra. [default: coincidence]",
        ),
    ] = None,
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", help="Leave out files of --unlabelled that cannot be read, and name them."),
    ] = False,
    backbone: BackboneOption = None,
    device: DeviceOption = "cpu",
    seed: SeedOption = 0,
    skip_unknown: SkipUnknownOption = False,
    channels: ChannelsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train an adapter on a campaign: its waveforms, stations and picks.

    From 60 labelled events on they are split into training, validation and test; the test events judge the adapter
    beside the frozen backbone. Fewer events are parted into folds: an adapter for each fold predicts it unseen, and the
    one that is written is trained on all of them. The adapter, its card, its scores and figures appear together when
    everything is done. Each epoch is kept: after a stop the same command goes on, and ends with the same adapter.

    Example: phaseno-peft train-adapter samba-nz --waveforms waveforms --stations stations.xml --picks picks.xml
    """
    from phaseno_peft.backbone import EMBEDDED
    from phaseno_peft.campaign.campaign_folder import parts_of_campaign
    from phaseno_peft.errors import AdapterError
    from phaseno_peft.judging.page import PAGE
    from phaseno_peft.library import check_name, library_folder
    from phaseno_peft.library.store import refuse_existing
    from phaseno_peft.training import QUICK, Unlabelled, find_recipe
    from phaseno_peft.training import train_adapter as train
    from phaseno_peft.training.adapter import check_report
    from phaseno_peft.training.whole_training import was_stopped_after_writing

    terminal = Terminal(quiet=quiet)
    target = Path(out or library_folder()).expanduser() / check_name(name)
    refuse_existing(target, overwrite=overwrite or (not restart and was_stopped_after_writing(target)))
    if report is not None:
        check_report(report, target, overwrite=overwrite)
    of_archive = {"--rounds": rounds, "--associator": associator, "--skip-unreadable": skip_unreadable or None}
    if unlabelled is None and (given := [option for option, value in of_archive.items() if value is not None]):
        raise AdapterError(
            f"{given[0]} says how --unlabelled is used, which is not given. Give --unlabelled FOLDER, or leave it out."
        )
    chosen = find_recipe(recipe)
    settings = (QUICK if quick else chosen.training).changed(epochs=epochs, max_minutes=max_minutes, replay=replay)
    campaign = read_campaign(
        terminal,
        name,
        waveforms,
        stations,
        picks,
        time_scale=time_scale_of(time_scale),
        edge_limit_km=edge_limit_km,
        skip_unknown=skip_unknown,
        channels=channels,
        picks_on=picks_on,
        more=more or (),
        complete=complete,
        noise="between" if noise == "quiet" else noise,
        auto={"backbone": backbone or EMBEDDED, "seed": seed, "device": device},
    )
    other = None
    if validate_on is not None:
        other = read_campaign(
            terminal,
            validate_on.name,
            *parts_of_campaign(validate_on),
            time_scale=campaign.preprocessing.time_scale,
            edge_limit_km=edge_limit_km,
            skip_unknown=skip_unknown,
            channels=None,
            complete=complete,
        )
    with terminal.bar("training") as update:
        trained = train(
            name,
            campaign,
            folder=out,
            backbone=backbone or EMBEDDED,
            recipe=chosen,
            training=settings,
            quick=quick,
            labels=labels,
            seeds=seeds,
            folds=folds,
            at_once=at_once,
            keep_folds=keep_folds,
            label_source=label_source,
            validate_on=other,
            quiet_noise=noise == "quiet",
            unlabelled=None
            if unlabelled is None
            else Unlabelled(unlabelled, channels, rounds or 1, associator or "coincidence", skip_unreadable),
            seed=seed,
            device=device,
            confidential=confidential,
            report=report,
            overwrite=overwrite,
            restart=restart,
            on_stage=terminal.say,
            on_epoch=lambda epoch: terminal.say(epoch_line(epoch)),
            on_step=update,
        )
    page = None if report is None else report / PAGE
    show_trained(terminal, trained, campaign.findings, page, as_json=as_json)


def epoch_line(epoch: Epoch) -> str:
    """One line of progress."""
    loss = "" if epoch.train_loss is None else f"loss {epoch.train_loss:.4f}, "
    if epoch.validation_loss != epoch.validation_loss:  # no event is left to judge on: all of them train
        return f"epoch {epoch.epoch:3d}: {loss}{epoch.seconds:.1f} s"
    return (
        f"epoch {epoch.epoch:3d}: {loss}validation loss {epoch.validation_loss:.4f}, F1 P {epoch.validation_f1_P:.3f} "
        f"S {epoch.validation_f1_S:.3f} (0.1 s: {epoch.validation_f1_close:.3f}), {epoch.seconds:.1f} s"
    )


def show_trained(
    terminal: Terminal, trained: TrainedAdapter, findings: Sequence[Finding], page: Path | None, *, as_json: bool
) -> None:
    """Scores and costs of a new adapter; `page` is its report."""
    from phaseno_peft.evaluation import comparison_table

    made = trained.contract.provenance
    size = (trained.folder / "adapter_model.safetensors").stat().st_size
    if as_json:
        terminal.show_json(
            {
                "adapter": trained.name,
                "folder": str(trained.folder),
                "train_events": made.train_events,
                "test_events": made.test_events,
                "trainable_parameters": trained.n_trainable,
                "seconds": round(trained.seconds, 1),
                "peak_memory_bytes": trained.peak_memory_bytes,
                "adapter_bytes": size,
                "scores": {name: scores.to_json()["summary"] for name, scores in trained.scores.items()},
                "forgetting": {name: scores.to_json()["summary"] for name, scores in trained.forgetting.items()},
                "seeds": trained.seeds,
                "quick": trained.quick,
                "notes": list(trained.notes),
                "report": None if page is None else str(page),
                **findings_json(findings),
            }
        )
        return
    terminal.show(comparison_table(trained.scores))
    for note in trained.notes:
        terminal.show(note)
    before, after = (trained.forgetting[model].mean_f1(0.5) for model in ("frozen", "adapter"))
    aside = f", {made.validation_events} validation, {made.test_events} test events" if made.test_events else ""
    terminal.show(
        f"{made.train_events} training events ({made.train_windows} windows an epoch, {made.train_noise_windows} of "
        f"noise){aside}. {made.split}\n"
        f"on simulated networks, the embedded backbone's own kind, mean F1 is {after:.3f} and was {before:.3f}; "
        "switched off, the network is the frozen one, bit for bit\n"
        f"{trained.n_trainable:,} trainable parameters; {trained.seconds / 60:.1f} minutes, peak memory "
        f"{trained.peak_memory_bytes / 1e9:.2f} GB; adapter file {size:,} bytes"
    )
    terminal.show(f"adapter, card and figures: {trained.folder}")
    if page is not None:
        terminal.show(f"{page}: open it in a browser.")
