"""`pretrain`: from sources to a backbone folder, in several calls that continue each other."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from phaseno_peft.backbone import (
    EMBEDDED,
    PhaseNO,
    PhaseNOConfig,
    backbone_info,
    fingerprint,
    load_backbone,
    save_backbone,
)
from phaseno_peft.backbone.cpu.parallel import usable_cores
from phaseno_peft.contract import WINDOW_SAMPLES
from phaseno_peft.errors import BackboneError, CampaignError, PhasenoPeftError
from phaseno_peft.files import lock, sweep
from phaseno_peft.pretraining.batches import STEM, BatchDataset, Sources, held_out_windows, iterate_batches
from phaseno_peft.pretraining.checkpoint import Progress, discard, load_checkpoint, save_checkpoint
from phaseno_peft.pretraining.continuous import ContinuousSet
from phaseno_peft.pretraining.distil import StemTeacher, finish, stem_trainee, train_stem, with_stem
from phaseno_peft.pretraining.loop import Precision, Trainee, train
from phaseno_peft.pretraining.noise import NoiseSet
from phaseno_peft.pretraining.report import Row, card, write_curve
from phaseno_peft.pretraining.seisbench_set import SeisBenchSet
from phaseno_peft.pretraining.settings import PretrainingSettings
from phaseno_peft.pretraining.teachers import ModelTeacher, PicksFile, PublishedProbabilities, RecordingTeacher
from phaseno_peft.training.history import first_difference
from phaseno_peft.training.loop import seeded
from phaseno_peft.training.provenance import versions

log = logging.getLogger(__name__)

SCRATCH = "from-scratch"
"""Name of random initial weights."""
RESULT = "backbone"


@dataclass(frozen=True)
class Pretrained:
    """What a call of `pretrain` has come to."""

    run: Path
    backbone: Path
    """For `load_backbone`."""
    progress: Progress


def pretrain(
    run: str | Path,
    *,
    labelled: Sequence[str | Path] = (),
    archives: Sequence[str | Path] = (),
    noise: Sequence[str | Path] = (),
    teacher: str | None = None,
    phasenet_weights: str | None = None,
    stem_teachers: Sequence[str] = (),
    init: str = EMBEDDED,
    settings: PretrainingSettings | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    cooldown: bool = False,
    device: str = "cpu",
    precision: Precision | None = None,
    workers: int | None = None,
    restart: bool = False,
    on_stage: Callable[[str], None] = lambda _: None,
    on_row: Callable[[Row], None] = lambda _: None,
    keep_every_s: float = 240.0,
) -> Pretrained:
    """Pre-train a backbone in the folder `run`, or go on where it stands; the result is `run`/backbone.

    ``labelled``: folders in SeisBench's format. ``archives``: folders of continuous records, each perhaps followed by
    "=" and a file of a teacher's probabilities (.npz) or picks (QuakeML, CSV); without a file the folder's own
    `*probabilities.npz` is taken, or else ``teacher``: a backbone, phasenet, stalta or a
    SeisBench model (`labelling.load_teacher`). ``noise``: folders of event-free records. With `settings.stem` the
    backbone has a stem, which learns from ``stem_teachers`` first (`distil.StemTeacher`). ``minutes`` is the length of
    this call, ``steps`` the number of steps of the whole run; one of them is needed. Raises `CampaignError` for
    unusable data, `BackboneError` for a teacher or initial weights that do not fit, `PhasenoPeftError` for a run that
    cannot be continued or written.
    """
    run, settings = Path(run), settings or PretrainingSettings()
    if (minutes is None) == (steps is None):
        raise PhasenoPeftError(
            "a call needs an end: give either `minutes` (of this call) or `steps` (of the whole run)."
        )
    precision = _set_up(device, precision)
    _make_folder(run)
    with lock(run, "pre-training"), tempfile.TemporaryDirectory(prefix="phaseno-peft-") as scratch:
        sweep(run)
        if restart:
            discard(run)
        on_stage("reading the sources")
        asked = None if teacher is None else ModelTeacher(teacher, phasenet_weights, device, run / "pseudo-labels")
        sources = read_sources(labelled, archives, asked, Path(scratch), settings.seed, noise)
        stem_stage = settings.stem is not None and settings.stem.steps > 0
        if stem_stage != bool(stem_teachers):
            raise PhasenoPeftError(
                "the stem's stage needs both its length and teachers: give `stem.steps` and "
                "`stem_teachers`, or neither."
            )
        teachers = [StemTeacher.read(text) for text in stem_teachers]
        found = [f for seisbench_set in sources.seisbench_sets for f in seisbench_set.findings]
        for finding in (*found, *(f for continuous_set in sources.continuous_sets for f in continuous_set.findings)):
            log.warning("%s", finding)
        model, initial = initial_weights(init, settings.seed, with_new_stem=settings.stem is not None)
        what = {"settings": settings.to_json(), "sources": describe(sources), "initial": initial}
        if teachers:
            what["stem_teachers"] = [f"{t.name} for {' and '.join(t.phases)}" for t in teachers]
        is_new = init == SCRATCH or (settings.stem is not None and settings.stem.steps > 0)
        began_with = None if is_new else {key: t.detach().clone() for key, t in model.state_dict().items()}
        progress, trainee = _resume_or_begin(run, what, model.to(device), settings, on_stage)
        if progress.finished:
            raise PhasenoPeftError(
                f"{run}: the run has ended with its cooldown after step {progress.step}; its backbone is "
                f"{run / RESULT}. Begin another run with --init {run / RESULT}, or this one anew with --restart."
            )
        held_out = held_out_windows(sources, settings)
        on_stage(
            f"step {progress.step}; judged on "
            + ", ".join(f"{len(windows)} windows of {name}" for name, windows in held_out.items())
        )

        def keep() -> None:
            save_checkpoint(run, progress, trainee.tensors())
            write_curve(run, progress.curve, progress.best_step)

        minutes_left = minutes
        workers = max(1, usable_cores() - (0 if device.startswith("cuda") else 1)) if workers is None else workers
        if settings.stem is not None and progress.stem_step < settings.stem.steps:
            on_stage(f"the stem alone, from step {progress.stem_step} of {settings.stem.steps}")
            used = progress.stem_seconds
            of_stem = dataclasses.replace(
                settings, batch_stations=settings.stem.batch_stations, most_stations=min(settings.most_stations, 4)
            )
            with iterate_batches(BatchDataset(sources, of_stem, STEM), progress.stem_step, workers) as batches:
                try:
                    train_stem(
                        trainee, [dataclasses.replace(t, stem=t.stem.to(device)) for t in teachers], batches, held_out,
                        progress, settings, minutes=minutes, keep=keep, keep_every_s=keep_every_s, on_row=on_row,
                    )  # fmt: skip
                except KeyboardInterrupt:
                    keep()
                    raise
            if progress.stem_step < settings.stem.steps:
                return Pretrained(run, write_backbone(run, progress, trainee), progress)
            trainee = Trainee.of(finish(trainee, settings.seed), trainee.average, settings)
            if minutes is not None:
                minutes_left = max(0.0, minutes - (progress.stem_seconds - used) / 60)
        with iterate_batches(BatchDataset(sources, settings), progress.step, workers) as batches:
            try:
                train(
                    trainee, batches, held_out, progress, settings,
                    minutes=minutes_left, steps=steps, cooldown=cooldown, precision=precision,
                    keep=keep, keep_every_s=keep_every_s, on_row=on_row, began_with=began_with,
                )  # fmt: skip
            except KeyboardInterrupt:
                keep()
                raise
        folder = write_backbone(run, progress, trainee)
    return Pretrained(run, folder, progress)


def read_sources(
    labelled: Sequence[str | Path],
    archives: Sequence[str | Path],
    model: ModelTeacher | None,
    scratch: Path,
    seed: int,
    noise: Sequence[str | Path] = (),
) -> Sources:
    """All sources, prepared; the model labels archives without a file. Raises as `pretrain`."""
    sets = tuple(SeisBenchSet.read(folder) for folder in labelled)
    made = []
    for text in archives:
        folder, _, file = str(text).partition("=")
        made.append(ContinuousSet.read(folder, _teacher(Path(folder), file, model), scratch))
    noise_sets = tuple(NoiseSet.read(folder) for folder in noise)
    names = [*(s.name for s in sets), *(a.name for a in made), *(n.name for n in noise_sets)]
    if len(set(names)) < len(names) or "simulated" in names:
        raise CampaignError(
            f"sources should have different names (their folders'), but these are {', '.join(names)}. Rename one; "
            "'simulated' is the simulator's."
        )
    return Sources.of(sets, tuple(made), seed, noise_sets)


def _teacher(folder: Path, file: str, model: ModelTeacher | None) -> RecordingTeacher:
    """Who labels an archive: the file that is named, the probabilities beside the waveforms, or the model."""
    path = Path(file) if file else None
    if path is None:
        beside = sorted(folder.glob("*probabilities.npz"))
        if len(beside) == 1:
            path = beside[0]
    if path is not None:
        if not path.is_file():
            raise CampaignError(f"{path}: no such file of probabilities or picks. Write the archive as FOLDER=FILE.")
        return PublishedProbabilities(path) if path.suffix == ".npz" else PicksFile(path)
    if model is not None:
        keep_in = model.keep_in / folder.resolve().name if model.keep_in else None
        return dataclasses.replace(model, keep_in=keep_in)
    raise CampaignError(
        f"{folder}: its records have no labels. Name a file of picks or probabilities (FOLDER=FILE), or a model as "
        "--teacher."
    )


def describe(sources: Sources) -> list[dict[str, Any]]:
    """All sources in plain JSON types."""
    described = [*(s.describe() for s in sources.seisbench_sets), *(c.describe() for c in sources.continuous_sets)]
    return [*described, *(n.describe() for n in sources.noise_sets), sources.simulator.describe()]


def initial_weights(init: str, seed: int, *, with_new_stem: bool = False) -> tuple[PhaseNO, str]:
    """A network to train and where its weights are from; with a new stem, if that is asked for and it has none.

    Raises `BackboneError` for another window length.
    """
    model, origin = _initial_weights(init, seed)
    if with_new_stem and model.stem is None:
        return with_stem(model, seed), f"{origin}, with a new stem"
    return model, origin


def _initial_weights(init: str, seed: int) -> tuple[PhaseNO, str]:
    if init == SCRATCH:
        with seeded(seed):
            model = PhaseNO(PhaseNOConfig())
            with torch.no_grad():
                model.fc2.bias.fill_(-4.0)  # arrivals are rare
        return model, f"random weights, seed {seed}"
    name = backbone_info(init)
    if name.config.window_samples != WINDOW_SAMPLES:
        raise BackboneError(
            f"backbone {init!r} has windows of {name.config.window_samples} samples, pre-training makes "
            f"{WINDOW_SAMPLES}. Give a backbone with 30 s at 100 Hz as --init."
        )
    return load_backbone(init), f"{name.name} ({name.fingerprint[:12]})"


def write_backbone(run: Path, progress: Progress, trainee: Trainee) -> Path:
    """Replace `run`/backbone by the best average so far, with card and curve."""
    model = PhaseNO(trainee.model.phaseno_config)
    model.load_state_dict(trainee.best or trainee.average.state_dict())
    folder, name = run / RESULT, run.resolve().name
    try:
        save_backbone(
            model,
            folder,
            name,
            progress.thresholds or {"P": 0.3, "S": 0.3},
            card(name, progress, versions()),
            overwrite=True,
            also=lambda part: write_curve(part, progress.curve, progress.best_step),
        )
    except PhasenoPeftError as error:
        raise PhasenoPeftError(
            f"{folder}: the backbone cannot be written ({error}); the checkpoint holds everything. Make room for some "
            "30 MB and run the same command again."
        ) from error
    log.info("%s: fingerprint %s", folder, fingerprint(model))
    return folder


def _resume_or_begin(
    run: Path,
    what: dict[str, Any],
    model: PhaseNO,
    settings: PretrainingSettings,
    on_stage: Callable[[str], None],
) -> tuple[Progress, Trainee]:
    average = PhaseNO(model.phaseno_config).to(next(model.parameters()).device)
    found = load_checkpoint(run)
    stands_at = 0 if found is None else found[0].stem_step
    in_stem_stage = settings.stem is not None and stands_at < settings.stem.steps
    trainee = (stem_trainee if in_stem_stage else Trainee.of)(model, average, settings)
    if found is None:
        return Progress(what), trainee
    progress, tensors = found
    if progress.what["initial"] != what["initial"]:  # only the first step depends on it
        log.warning("%s: began with %s, which --init does not name now", run, progress.what["initial"])
    before, now = (
        {
            "settings": what["settings"] | x["settings"],  # older runs do not know of newer settings
            "sources": {s["name"]: s for s in x["sources"]},
            "stem_teachers": x.get("stem_teachers", []),
        }
        for x in (progress.what, what)
    )
    if difference := first_difference(before, now):
        raise PhasenoPeftError(
            f"{run}: a run that stands at step {progress.step} lies here, but {difference}. Give the earlier sources "
            "and settings to continue it, another folder for another run, or --restart to begin anew."
        )
    trainee.restore(tensors, progress.stem_step if in_stem_stage else progress.updates)
    if not in_stem_stage and stands_at and not progress.step and settings.stem is not None:  # between the stages
        trainee = Trainee.of(finish(trainee, settings.seed), average, settings)
    on_stage(f"continuing at step {progress.step}")
    return progress, trainee


def _set_up(device: str, precision: Precision | None) -> Precision:
    """Check device and precision, and switch TF32 on where it is wanted."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise PhasenoPeftError(f"device {device!r}: torch sees no CUDA GPU here. Leave --device out, or repair CUDA.")
    chosen = precision or ("bf16" if device.startswith("cuda") else "float32")
    if chosen != "float32" and not device.startswith("cuda"):
        raise PhasenoPeftError(f"precision {chosen!r} is for CUDA; on {device!r} training is in float32.")
    if chosen in ("tf32", "bf16"):
        torch.backends.cuda.matmul.allow_tf32 = True
    return chosen


def _make_folder(run: Path) -> None:
    if run.is_file():
        raise PhasenoPeftError(f"{run}: is a file. Give a folder for the run.")
    run.mkdir(parents=True, exist_ok=True)
