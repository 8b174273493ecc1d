"""`phaseno-peft pretrain`: make or improve a backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from phaseno_peft.cli.console import Terminal
from phaseno_peft.cli.options import DeviceOption, JsonOption, PhasenetWeightsOption, QuietOption

if TYPE_CHECKING:
    from phaseno_peft.pretraining.report import Row


def pretrain(
    run: Annotated[Path, typer.Argument(help="Folder of the run; the same folder continues it.")],
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.01, help="Train for so long now; a later call goes on.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Or: train until the run has taken so many steps in all.")
    ] = None,
    labelled: Annotated[
        list[Path] | None,
        typer.Option("--labelled", help="Folder of labelled records in SeisBench's format; repeat for more."),
    ] = None,
    archive: Annotated[
        list[str] | None,
        typer.Option(
            "--archive",
            help="Folder of continuous records with waveforms/ and stations.xml, or FOLDER=FILE with a teacher's "
            "probabilities (.npz) or picks (QuakeML, CSV); repeat for more.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            help="Who labels archives without a file: a backbone, stalta, phasenet, or a SeisBench model as "
            "CLASS:WEIGHTS.",
        ),
    ] = None,
    phasenet_weights: PhasenetWeightsOption = None,
    noise: Annotated[
        list[Path] | None,
        typer.Option("--noise", help="Folder of records without events; repeat for more."),
    ] = None,
    stem_steps: Annotated[
        int | None,
        typer.Option("--stem-steps", min=1, help="Train a stem first, for so many steps; it needs --stem-teacher."),
    ] = None,
    stem_teacher: Annotated[
        list[str] | None,
        typer.Option(
            "--stem-teacher",
            help="Whom the stem learns from: a safetensors file in PhaseNet's names, or FILE=P or FILE=S for one "
            "phase; repeat for more.",
        ),
    ] = None,
    stem_rate: Annotated[
        float | None,
        typer.Option("--stem-rate", min=0, help="Learning rate of a stem against the operator's; 0 freezes it."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", help="Backbone to start from, or from-scratch. Default: the embedded one."),
    ] = None,
    cooldown: Annotated[
        bool, typer.Option("--cooldown", help="End the run: the learning rate falls to zero within this stretch.")
    ] = False,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Highest learning rate.")] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Station-windows a step: 12 on two cores, 192 on a GPU.")
    ] = None,
    labelled_part: Annotated[
        float | None, typer.Option("--labelled-part", min=0, max=1, help="Part of labelled records.")
    ] = None,
    archive_part: Annotated[
        float | None, typer.Option("--archive-part", min=0, max=1, help="Part of archives; the rest is simulated.")
    ] = None,
    noise_part: Annotated[float | None, typer.Option("--noise-part", min=0, help="Part of noise windows.")] = None,
    most_stations: Annotated[
        int | None, typer.Option("--most-stations", min=1, help="Stations of the largest networks.")
    ] = None,
    widest_label_s: Annotated[
        float | None,
        typer.Option("--widest-label-s", min=0.4, help="Start with labels so wide; they narrow to 0.4 s."),
    ] = None,
    judge_every: Annotated[int | None, typer.Option("--judge-every", min=1, help="Steps between validations.")] = None,
    judged_windows: Annotated[
        int | None, typer.Option("--judged-windows", min=1, help="Held-out windows of each source.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, help="Processes that make windows. Default: the free cores.")
    ] = None,
    precision: Annotated[
        Literal["float32", "tf32", "bf16"] | None,
        typer.Option("--precision", help="On CUDA: bf16 (default), tf32 or float32."),
    ] = None,
    device: DeviceOption = "cpu",
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything that is drawn.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget the run in the folder and begin anew.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Pre-train a backbone on labelled records, on archives with a teacher, and on simulated networks.

    The same command goes on where the run stands, also after a kill. RUN/backbone is the best of it so far, by windows
    that are held out; give it to --backbone. --cooldown sharpens the timing and ends the run. On a GPU: --device cuda
    --batch 192, in stretches as long as you have it.

    With --stem-steps the backbone gets a stem, a small convolutional network that learns from single-station pickers
    before both are trained together.

    Example: phaseno-peft pretrain run --labelled ncedc --archive ridgecrest-2019 --minutes 120
    """
    from phaseno_peft.backbone import EMBEDDED
    from phaseno_peft.pretraining import PretrainingSettings, StemSettings
    from phaseno_peft.pretraining import pretrain as train
    from phaseno_peft.pretraining.report import volumes

    terminal = Terminal(quiet=quiet)
    given: dict[str, object] = {
        "learning_rate": learning_rate,
        "batch_stations": batch,
        "labelled": labelled_part,
        "archives": archive_part,
        "noise": noise_part,
        "most_stations": most_stations,
        "widest_label_s": widest_label_s,
        "judge_every": judge_every,
        "judged_windows": judged_windows,
        "seed": seed,
    }
    of_stem = {"steps": stem_steps, "rate": stem_rate}
    if any(value is not None for value in of_stem.values()):
        given["stem"] = StemSettings(**{k: v for k, v in of_stem.items() if v is not None})  # type: ignore[arg-type]  # checked there
    made = train(
        run,
        labelled=labelled or (),
        archives=archive or (),
        teacher=teacher,
        noise=noise or (),
        phasenet_weights=phasenet_weights,
        stem_teachers=stem_teacher or (),
        init=init or EMBEDDED,
        settings=PretrainingSettings(**{k: v for k, v in given.items() if v is not None}),  # type: ignore[arg-type]  # checked there
        minutes=minutes,
        steps=steps,
        cooldown=cooldown,
        device=device,
        precision=precision,
        workers=workers,
        restart=restart,
        on_stage=terminal.say,
        on_row=lambda row: terminal.say(row_line(row)),
    )
    progress = made.progress
    if as_json:
        terminal.show_json(
            {
                "backbone": str(made.backbone),
                "step": progress.step,
                "seen": progress.seen,
                "minutes": round(progress.seconds / 60, 2),
                "best_step": progress.best_step,
                "best_score": progress.best_score,
                "thresholds": progress.thresholds,
                "counts": dict(progress.counts),
                "finished": progress.finished,
            }
        )
        return
    rate = progress.seen / progress.seconds if progress.seconds else 0.0
    for name, windows, stations, p, s in volumes(progress.counts):
        terminal.show(f"{name}: {windows:,} windows, {stations:,} station-windows, {p:,} P, {s:,} S")
    terminal.show(
        f"step {progress.step:,}, {progress.seen:,} station-windows in {progress.seconds / 60:.1f} minutes "
        f"({rate:.1f} a second); best after step {progress.best_step} (score {progress.best_score:.3f})\n"
        f"backbone: {made.backbone}"
    )


def row_line(row: Row) -> str:
    """One line of progress."""
    loss = "" if row.get("loss") is None else f", loss {row['loss']:.5f}"
    if row.get("score") is None:
        return f"step {row['step']}, seen {row['seen']}{loss}"
    return (
        f"step {row['step']}, seen {row['seen']}{loss}, held out {row['validation_loss']:.5f}, score {row['score']:.3f}"
    )
