"""Several recipes on the same split, windows and seeds: the paper's figure 4, and the few-shot curve.

Every finished run is a file of its own and is never done twice; a run that was stopped goes on at its last epoch.
Validation decides (epochs, thresholds); test is reported and decides nothing.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import EMBEDDED, PhaseNO, fingerprint, load_backbone, save_backbone
from phaseno_peft.backbone.cpu.parallel import usable_cores
from phaseno_peft.campaign import Campaign
from phaseno_peft.comparison.report import draw_figures, write_tables
from phaseno_peft.comparison.results import Comparison, Run
from phaseno_peft.errors import AdapterError, PhasenoPeftError
from phaseno_peft.files import lock, remove_folder, write_file
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training.checkpoint import FOLDER, Checkpoint
from phaseno_peft.training.dataset import Material
from phaseno_peft.training.fit import Fitted, Listeners, check_switched_off, fit, judge_model, what_is_fitted
from phaseno_peft.training.forgetting import judge_at_home
from phaseno_peft.training.history import first_difference
from phaseno_peft.training.recipes import Recipe, find_recipe
from phaseno_peft.training.settings import TrainingSettings

log = logging.getLogger(__name__)
FORMAT = "phaseno-peft-run/1"
DEFAULT_RECIPES = ("frozen", "head", "se-only", "lora", "cr-lora", "full", "scratch")


@dataclass(frozen=True)
class Job:
    """One training to do; `labels` None uses all training events."""

    recipe: Recipe
    seed: int
    labels: int | None

    @property
    def key(self) -> str:
        """File name without ending."""
        labels = "all" if self.labels is None else str(self.labels)
        return f"{self.recipe.name.replace(':', '-')}-seed-{self.seed}-labels-{labels}"


@dataclass(frozen=True)
class Bench:
    """Where all runs of a comparison take place."""

    material: Material
    folder: Path
    backbone: str | Path
    fingerprint: str
    device: str | torch.device
    witness: list[NDArray[np.float32]]
    """Frozen probabilities of the first test windows."""
    save_backbones: bool

    def what(self, job: Job, training: TrainingSettings) -> dict[str, Any]:
        """Everything the run's result depends on."""
        return what_is_fitted(job.recipe, self.material, training, job.labels, self.fingerprint, self.device)

    def checkpoint(self, job: Job) -> Path:
        """Where a running training keeps its epochs."""
        return self.folder / FOLDER / f"{job.key}.safetensors"

    def result(self, job: Job) -> Path:
        """Where a finished run is kept."""
        return self.folder / "runs" / f"{job.key}.json"

    def backbone_of(self, job: Job) -> Path:
        """Where a run that changes the backbone keeps it, if asked."""
        return self.folder / "backbones" / job.key


def compare(
    name: str,
    campaign: Campaign,
    recipes: Sequence[str] = DEFAULT_RECIPES,
    *,
    folder: str | Path,
    seeds: int = 1,
    labels: Sequence[int] | None = None,
    epochs: int | None = None,
    max_minutes: float | None = None,
    backbone: str | Path = EMBEDDED,
    seed: int = 0,
    device: str | torch.device = "cpu",
    save_backbones: bool = False,
    restart: bool = False,
    at_once: int = 1,
    listeners: Listeners | None = None,
) -> Comparison:
    """Train every recipe with every seed, and write tables (after each run) and figures (at the end) to `folder`.

    The split and all windows that are judged come from `seed`; the trainings have the seeds `seed`, `seed` + 1, ...
    `labels`: numbers of labelled training events to train with, 0 being the frozen backbone; by default all events.
    `epochs` and `max_minutes` hold for every recipe, else each has its own. `at_once` trainings run side by side, each
    in a process with its share of the cores, and only their results are heard of. Called again with the same arguments,
    or more recipes, seeds or labels, it goes on where it was.

    Raises `AdapterError` for an unknown recipe, or where a run in `folder` was of other data or settings, unless
    `restart`; `CampaignError` for data that cannot be trained on. Nothing is written then.
    """
    listeners = listeners or Listeners()
    say = listeners.on_stage
    chosen = [find_recipe(recipe) for recipe in dict.fromkeys(recipes)]
    folder = Path(folder).expanduser()
    material = Material.of(campaign, seed)
    jobs = plan(chosen, range(seed, seed + seeds), labels, material.n_events, say)
    say(material.split.how)
    frozen = load_backbone(backbone, device)
    witness = window_probabilities(frozen, material.test[:2], material.edge_limit_km)
    bench = Bench(material, folder, backbone, fingerprint(frozen), device, witness, save_backbones)
    with lock(folder, "comparing in"):
        settings = [_training(job, epochs, max_minutes) for job in jobs]
        _check_folder(bench, restart=restart)
        finished = [_read(bench, job, training) for job, training in zip(jobs, settings, strict=True)]
        comparison = Comparison(name, material.split.how, str(frozen.name_or_path), bench.fingerprint, [])
        missing = [(job, training) for job, training, run in zip(jobs, settings, finished, strict=True) if run is None]
        with _running(bench, missing, at_once, listeners) as made:
            for number, (job, run) in enumerate(zip(jobs, finished, strict=True), 1):
                events = "all" if job.labels is None else job.labels
                say(f"run {number} of {len(jobs)}: {job.recipe.name}, seed {job.seed}, {events} labelled events")
                say("finished earlier" if run else f"training {job.recipe.trains}")
                run = run or next(made)
                say(f"validation F1 {run.validation.mean_f1(0.5):.3f}, test F1 {run.test.mean_f1(0.5):.3f}")
                comparison.runs.append(run)
                write_tables(comparison, folder)
        draw_figures(comparison, folder)
    return comparison


def plan(
    recipes: Sequence[Recipe], seeds: Sequence[int], labels: Sequence[int] | None, n_events: int, say: Any = log.info
) -> list[Job]:
    """The runs in the order they are done: every recipe with the first seed, then with the second, and so on.

    The frozen backbone has no seed and no labels: it is judged once. Label counts beyond the training side become one
    point with all of its events. Raises `AdapterError` where nothing is left to do.
    """
    counts: list[int | None] = [None]
    if labels is not None:
        if any(n < 0 for n in labels):
            raise AdapterError(f"`labels` should be counts of events, 0 or more, but are {list(labels)}.")
        too_many = sorted(n for n in set(labels) if n >= n_events)
        counts = [n for n in sorted(set(labels)) if 0 < n < n_events]
        if too_many:
            counts.append(None)
            say(f"the training side has {n_events} events: {', '.join(map(str, too_many))} labels become all of them")
    jobs = [Job(find_recipe("frozen"), seeds[0], None)] if seeds and 0 in (labels or ()) else []
    jobs += [Job(recipe, seeds[0], None) for recipe in recipes if recipe.name == "frozen" and not jobs and seeds]
    jobs += [Job(r, seed, n) for seed in seeds for n in counts for r in recipes if r.name != "frozen"]
    if not jobs:
        raise AdapterError("there is nothing to compare. Give at least one recipe and one seed.")
    return jobs


def _training(job: Job, epochs: int | None, max_minutes: float | None) -> TrainingSettings:
    return job.recipe.training.changed(epochs=epochs, max_minutes=max_minutes, seed=job.seed)


@contextmanager
def _running(
    bench: Bench, missing: Sequence[tuple[Job, TrainingSettings]], at_once: int, listeners: Listeners
) -> Iterator[Iterator[Run]]:
    """The missing runs in order, each done when it is asked for, or several ahead in processes of their own.

    Processes that still work when an error or the user ends this are stopped; their checkpoints stay.
    """
    processes = min(at_once, len(missing))
    if processes <= 1:
        yield (_run(bench, job, training, listeners) for job, training in missing)
        return
    others = set(multiprocessing.active_children())
    threads = max(1, usable_cores() // processes)
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"))
    try:
        yield _results(
            [
                pool.submit(_run_apart, bench, job.recipe.name, job.seed, job.labels, training, threads)
                for job, training in missing
            ]
        )
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _results(futures: Sequence[Future[Run]]) -> Iterator[Run]:
    for future in futures:
        try:
            yield future.result()
        except BrokenProcessPool as error:
            raise PhasenoPeftError(
                "one of the training processes died; it may have run out of memory. Finished runs and epochs are kept: "
                "the same command with fewer trainings at once goes on from there."
            ) from error


def _run_apart(
    bench: Bench, recipe: str, seed: int, labels: int | None, training: TrainingSettings, threads: int
) -> Run:
    """Where a recipe's name arrives, since its functions cannot travel."""
    torch.set_num_threads(threads)
    return _run(bench, Job(find_recipe(recipe), seed, labels), training, Listeners())


def _run(bench: Bench, job: Job, training: TrainingSettings, listeners: Listeners) -> Run:
    """Train, judge, keep."""
    fitted = fit(
        job.recipe,
        bench.material,
        training,
        labels=job.labels,
        backbone=bench.backbone,
        device=bench.device,
        checkpoint=bench.checkpoint(job),
        listeners=listeners,
    )
    if fitted.n_trainable and not job.recipe.changes_backbone:
        check_switched_off(fitted.model, bench.material, bench.witness)
    verdict = judge_model(fitted.model, bench.material)
    run = Run(
        recipe=job.recipe.name,
        trains=job.recipe.trains,
        seed=job.seed,
        n_events=fitted.n_events,
        n_trainable=fitted.n_trainable,
        epoch_kept=fitted.kept,
        epochs=len(fitted.history) - 1 if fitted.history else 0,
        seconds=fitted.seconds,
        validation=verdict.validation,
        test=verdict.test,
        home=judge_at_home(fitted.model),
    )
    if bench.save_backbones and job.recipe.changes_backbone:
        _save_backbone(bench, job, fitted, verdict.thresholds)
    path = bench.result(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"format": FORMAT, "what": bench.what(job, training), "run": run.to_json()}
    write_file(path, json.dumps(about, indent=1) + "\n")
    Checkpoint(bench.checkpoint(job), {}).forget()
    return run


def _save_backbone(bench: Bench, job: Job, fitted: Fitted, thresholds: dict[str, float]) -> None:
    target = bench.backbone_of(job)
    model = fitted.model
    if not isinstance(model, PhaseNO):
        raise AdapterError(f"recipe {job.recipe.name!r} leaves no backbone to save. Please report this as a bug.")
    name = f"{bench.material.campaign.name}-{job.key}"
    # one may be there, of a run that was stopped before it was noted as finished
    save_backbone(model, target, name, thresholds, overwrite=True)


def _read(bench: Bench, job: Job, training: TrainingSettings) -> Run | None:
    """The finished run, or None. Raises `AdapterError` if it was of other data or settings."""
    path = bench.result(job)
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise ValueError(f"format is {stored['format']!r}")
        difference = first_difference(stored["what"], json.loads(json.dumps(bench.what(job, training))))
        run = Run.from_json(stored["run"])
    except (OSError, ValueError, KeyError, TypeError, PhasenoPeftError) as error:
        raise AdapterError(f"{path}: not a run that can be read ({error}). Remove it, and it is done again.") from error
    if difference:
        raise AdapterError(
            f"{path}: this run was done, but {difference}. Compare into another folder with --out, give the earlier "
            "settings and data, or do all runs anew with --restart."
        )
    if bench.save_backbones and job.recipe.changes_backbone and not bench.backbone_of(job).is_dir():
        return None
    Checkpoint(bench.checkpoint(job), {}).forget()  # of a process that was killed between the two
    return run


def _check_folder(bench: Bench, *, restart: bool) -> None:
    """Refuse a folder that holds something else; forget earlier runs if asked."""
    runs = bench.folder / "runs"
    ours = runs.is_dir() or (bench.folder / FOLDER).is_dir()
    if bench.folder.exists() and not ours and (not bench.folder.is_dir() or any(bench.folder.iterdir())):
        raise AdapterError(f"{bench.folder}: exists and holds no comparison. Choose another folder with --out.")
    if restart:
        for part in (runs, bench.folder / FOLDER, bench.folder / "backbones"):
            if part.exists():
                remove_folder(part)
