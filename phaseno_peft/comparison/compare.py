"""Several recipes on the same split, windows and seeds: the paper's figure 4, and the few-shot curve.

Every finished run is a file of its own and is never done twice; a run that was stopped goes on at its last epoch.
Validation decides (epochs, thresholds); test is reported and decides nothing.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from phaseno_peft.backbone import EMBEDDED, PhaseNO, backbone_info, fingerprint, load_backbone, save_backbone
from phaseno_peft.campaign import Campaign, fold_campaign
from phaseno_peft.comparison.recipes import find_recipe
from phaseno_peft.comparison.report import draw_figures, write_tables
from phaseno_peft.comparison.results import Comparison, Run
from phaseno_peft.comparison.runs import ComparisonSetup, PlannedRun, train_and_judge
from phaseno_peft.errors import AdapterError, CampaignError, PhasenoPeftError
from phaseno_peft.files import lock, remove_folder, write_file
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training.checkpoint import FOLDER, Checkpoint
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import Fitted, TrainingCallbacks
from phaseno_peft.training.history import first_difference
from phaseno_peft.training.out_of_fold import check_settings
from phaseno_peft.training.provenance import on_extrema
from phaseno_peft.training.recipes import Recipe
from phaseno_peft.training.settings import TrainingSettings
from phaseno_peft.training.side_by_side import side_by_side

log = logging.getLogger(__name__)
FORMAT = "phaseno-peft-run/3"
DEFAULT_RECIPES = ("frozen", "head", "se-only", "lora", "cr-lora", "full", "scratch")


def compare(
    name: str,
    campaign: Campaign,
    recipes: Sequence[str] = DEFAULT_RECIPES,
    *,
    folder: str | Path,
    seeds: int = 1,
    labels: Sequence[int] | None = None,
    folds: int = 0,
    phasenet_weights: str | Path | None = None,
    epochs: int | None = None,
    max_minutes: float | None = None,
    replay: float | None = None,
    backbone: str | Path = EMBEDDED,
    seed: int = 0,
    device: str | torch.device = "cpu",
    save_backbones: bool = False,
    quiet_noise: bool = False,
    restart: bool = False,
    at_once: int = 1,
    callbacks: TrainingCallbacks | None = None,
) -> Comparison:
    """Train every recipe with every seed, and write tables (after each run) and figures (at the end) to `folder`.

    The split and all windows that are judged come from `seed`; the trainings have the seeds `seed`, `seed` + 1, ...
    `labels`: numbers of labelled training events to train with, 0 being the frozen backbone; by default all events.
    With `folds` the events are parted into so many, and each is predicted by models trained on the others: all events
    are test events, and epochs are chosen on all out-of-fold predictions, thresholds on those of the other folds.
    `phasenet_weights`: a file, for the recipes `rival:phasenet` and `rival:phasenet-finetuned`.
    `quiet_noise` takes the trainings' noise from where the frozen backbone sees nothing.
    `epochs` and `max_minutes` hold for every recipe, `replay` for those of adapters; else each has its own. `at_once`
    trainings run side by side, each in a process with its share of the cores, and only their results are heard of.
    Called again with the same arguments, or more recipes, seeds or labels, it goes on where it was.

    Raises `AdapterError` for an unknown recipe, or where a run in `folder` was of other data or settings, unless
    `restart`; `CampaignError` for data that cannot be trained on. Nothing is written then.
    """
    callbacks = callbacks or TrainingCallbacks()
    say = callbacks.on_stage
    if folds and save_backbones:
        raise AdapterError(
            "a backbone is kept of a training on all events, not of folds. Leave --save-backbones or --folds out."
        )
    chosen = [find_recipe(recipe, phasenet_weights) for recipe in dict.fromkeys(recipes)]
    if twice := [name for name, n in Counter(recipe.name for recipe in chosen).items() if n > 1]:
        raise AdapterError(
            f"`recipes` name {twice[0]!r} twice, from different files. Give the files different names, so that their "
            "rows can be told apart."
        )
    folder = Path(folder).expanduser()
    parted = fold_campaign(campaign, folds, seed) if folds else None
    dataset = CampaignDataset(campaign, parted.whole, [], [], seed) if parted else CampaignDataset.of(campaign, seed)
    shown = [dataset.of_fold(parted, i) for i in range(len(parted.parts))] if parted else [dataset]
    if not any(window.labels for each in shown for window in each.test):
        raise CampaignError(
            f"{campaign.catalogue.source}: none of its usable picks lies in a record of the test events, so that "
            "nothing could be compared. Give picks for these records, or records for these picks."
        )
    planned_runs = plan(chosen, range(seed, seed + seeds), labels, min(each.n_events for each in shown), say)
    say(dataset.split.how)
    keeps_polarity = on_extrema(campaign, dataset.train())
    frozen = load_backbone(backbone, device)
    if quiet_noise:
        dataset = dataset.with_quiet_noise(frozen, backbone_info(backbone).thresholds, say)
    for recipe in chosen:
        recipe.check_fits(frozen)
    frozen_probabilities = window_probabilities(frozen, shown[0].test[:2], dataset.edge_limit_km)
    setup = ComparisonSetup(
        dataset,
        folder,
        backbone,
        fingerprint(frozen),
        device,
        frozen_probabilities,
        save_backbones,
        parted,
        phasenet_weights,
    )
    settings = [
        dataclasses.replace(_training(planned, epochs, max_minutes, replay), keeps_polarity=keeps_polarity)
        for planned in planned_runs
    ]
    for planned, training in zip(planned_runs, settings, strict=True):
        if parted and planned.recipe.is_trained:
            check_settings(training, f"recipe {planned.recipe.name!r}")
    with lock(folder, "comparing in"):
        _check_folder(setup, restart=restart)
        finished = [_read(setup, planned, training) for planned, training in zip(planned_runs, settings, strict=True)]
        comparison = Comparison(name, dataset.split.how, str(frozen.name_or_path), setup.fingerprint, [])
        missing = [
            (planned, training)
            for planned, training, run in zip(planned_runs, settings, finished, strict=True)
            if run is None
        ]
        with _running(setup, missing, at_once, callbacks) as made:
            for number, (planned, run) in enumerate(zip(planned_runs, finished, strict=True), 1):
                events = "all" if planned.labels is None else planned.labels
                which = f"{planned.recipe.name}, seed {planned.seed}, {events} labelled events"
                say(f"run {number} of {len(planned_runs)}: {which}")
                say("finished earlier" if run else f"training {planned.recipe.trains}")
                run = run or next(made)
                say(f"validation F1 {run.validation.mean_f1(0.5):.3f}, test F1 {run.test.mean_f1(0.5):.3f}")
                comparison.runs.append(run)
                write_tables(comparison, folder)
        draw_figures(comparison, folder)
    return comparison


def plan(
    recipes: Sequence[Recipe], seeds: Sequence[int], labels: Sequence[int] | None, n_events: int, say: Any = log.info
) -> list[PlannedRun]:
    """The runs in the order they are done: every recipe with the first seed, then with the second, and so on.

    The frozen backbone and pickers that are taken as they come have no seed and no labels: they are judged once. Label
    counts beyond the training side become one point with all of its events. Raises `AdapterError` where nothing is left
    to do.
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
    planned_runs = [PlannedRun(find_recipe("frozen"), seeds[0], None)] if seeds and 0 in (labels or ()) else []
    untrained = [recipe for recipe in recipes if not recipe.is_trained]
    planned_runs += [
        PlannedRun(recipe, seeds[0], None)
        for recipe in untrained
        if seeds and not (recipe.name == "frozen" and planned_runs)
    ]
    planned_runs += [PlannedRun(r, seed, n) for seed in seeds for n in counts for r in recipes if r not in untrained]
    if not planned_runs:
        raise AdapterError("there is nothing to compare. Give at least one recipe and one seed.")
    return planned_runs


def _training(
    planned: PlannedRun, epochs: int | None, max_minutes: float | None, replay: float | None
) -> TrainingSettings:
    is_adapter = planned.recipe.makes == "adapter"  # what changes every weight is not kept near the backbone so
    changes = {"epochs": epochs, "max_minutes": max_minutes, "replay": replay if is_adapter else None}
    return planned.recipe.training.changed(**changes, seed=planned.seed)


@contextmanager
def _running(
    setup: ComparisonSetup,
    missing: Sequence[tuple[PlannedRun, TrainingSettings]],
    at_once: int,
    callbacks: TrainingCallbacks,
) -> Iterator[Iterator[Run]]:
    """The missing runs in order, each done when it is asked for, or several ahead in processes of their own.

    Processes that still work when an error or the user ends this are stopped; their checkpoints stay.
    """
    processes = min(at_once, len(missing))
    if processes <= 1:
        yield (_run(setup, planned, training, callbacks) for planned, training in missing)
        return
    jobs = [(setup, planned.recipe.request, planned.seed, planned.labels, training) for planned, training in missing]
    with side_by_side(_run_apart, jobs, processes) as made:
        yield made


def _run_apart(setup: ComparisonSetup, recipe: str, seed: int, labels: int | None, training: TrainingSettings) -> Run:
    """Where a recipe's name arrives, since its functions cannot travel."""
    found = find_recipe(recipe, setup.phasenet_weights)
    return _run(setup, PlannedRun(found, seed, labels), training, TrainingCallbacks())


def _run(setup: ComparisonSetup, planned: PlannedRun, training: TrainingSettings, callbacks: TrainingCallbacks) -> Run:
    """Train, judge, keep."""
    trained = train_and_judge(setup, planned, training, callbacks)
    fitted = trained.fitted
    if fitted and setup.save_backbones and planned.recipe.makes == "backbone":
        _save_backbone(setup, planned, fitted, trained.scores.thresholds)
    run = Run(
        recipe=planned.recipe.name,
        trains=planned.recipe.trains,
        seed=planned.seed,
        n_events=fitted.n_events if fitted else 0,
        n_trainable=fitted.n_trainable if fitted else 0,
        epoch_kept=trained.kept,
        epochs=trained.epochs,
        seconds=trained.seconds,
        validation=trained.scores.validation,
        test=trained.scores.test,
        without_offset=trained.without_offset,
        home=trained.home,
    )
    path = setup.result(planned)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"format": FORMAT, "what": setup.what(planned, training), "run": run.to_json()}
    write_file(path, json.dumps(about, indent=1) + "\n")
    _discard_checkpoints(setup, planned)
    return run


def _discard_checkpoints(setup: ComparisonSetup, planned: PlannedRun) -> None:
    for path in (setup.checkpoint(planned), *setup.checkpoint(planned).parent.glob(f"{planned.key}-fold-*")):
        Checkpoint(path, {}).discard()


def _save_backbone(setup: ComparisonSetup, planned: PlannedRun, fitted: Fitted, thresholds: dict[str, float]) -> None:
    target = setup.backbone_of(planned)
    model = fitted.model
    if not isinstance(model, PhaseNO):
        raise AdapterError(f"recipe {planned.recipe.name!r} leaves no backbone to save. Please report this as a bug.")
    name = f"{setup.dataset.campaign.name}-{planned.key}"
    # one may be there, of a run that was stopped before it was noted as finished
    save_backbone(model, target, name, thresholds, overwrite=True)


def _read(setup: ComparisonSetup, planned: PlannedRun, training: TrainingSettings) -> Run | None:
    """The finished run, or None. Raises `AdapterError` if it was of other data or settings."""
    path = setup.result(planned)
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise ValueError(f"format is {stored['format']!r}")
        difference = first_difference(stored["what"], json.loads(json.dumps(setup.what(planned, training))))
        run = Run.from_json(stored["run"])
    except (OSError, ValueError, KeyError, TypeError, PhasenoPeftError) as error:
        raise AdapterError(f"{path}: not a run that can be read ({error}). Remove it, and it is done again.") from error
    if difference:
        raise AdapterError(
            f"{path}: this run was done, but {difference}. Compare into another folder with --out, give the earlier "
            "settings and data, or do all runs anew with --restart."
        )
    if setup.save_backbones and planned.recipe.makes == "backbone" and not setup.backbone_of(planned).is_dir():
        return None
    _discard_checkpoints(setup, planned)  # of a process that was killed between the two
    return run


def _check_folder(setup: ComparisonSetup, *, restart: bool) -> None:
    """Refuse a folder that holds something else; discard earlier runs if asked."""
    runs = setup.folder / "runs"
    ours = runs.is_dir() or (setup.folder / FOLDER).is_dir()
    if setup.folder.exists() and not ours and (not setup.folder.is_dir() or any(setup.folder.iterdir())):
        raise AdapterError(f"{setup.folder}: exists and holds no comparison. Choose another folder with --out.")
    if restart:
        for part in (runs, setup.folder / FOLDER, setup.folder / "backbones"):
            if part.exists():
                remove_folder(part)
