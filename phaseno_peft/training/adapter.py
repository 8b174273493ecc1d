"""From a campaign to an adapter: split, judge the frozen backbone, train, judge the adapter, write everything down."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import torch

from phaseno_peft.backbone import EMBEDDED, backbone_info, fingerprint, load_backbone
from phaseno_peft.campaign import Campaign, fold_campaign, measure_label_offset
from phaseno_peft.campaign.splits import FEW_EVENTS, FOLDS
from phaseno_peft.contract import PHASES, BackboneDefaults, Contract, LabelConvention, LabelOffset
from phaseno_peft.errors import AdapterError, PhasenoPeftError
from phaseno_peft.evaluation import Evaluation, Scores, comparison_markdown, write_evaluation
from phaseno_peft.files import lock
from phaseno_peft.judging.card_tables import card_tables
from phaseno_peft.judging.page import report_folder, write_report
from phaseno_peft.library import check_name, library_folder, read_contract, write_adapter
from phaseno_peft.library.card import Card
from phaseno_peft.library.folds import MOST as MOST_FOLDS
from phaseno_peft.library.folds import write_folds
from phaseno_peft.library.sharing import SCORE_FIGURES, discreet_card, discreet_contract, discreet_evaluation
from phaseno_peft.library.store import EVALUATION, refuse_existing
from phaseno_peft.library.training_notes import heading_of_scores, judged_side
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.training import provenance
from phaseno_peft.training.cross_fit import cross_fit
from phaseno_peft.training.dataset import CampaignDataset, training_events
from phaseno_peft.training.fit import (
    Fitted,
    TrainingCallbacks,
    adapter_tensors,
    check_switched_off,
    summary,
    training_identity,
)
from phaseno_peft.training.forgetting import FORGETTING_WINDOWS, judge_forgetting
from phaseno_peft.training.history import Epoch
from phaseno_peft.training.outcome import Outcome, Task
from phaseno_peft.training.pick_shift import describe
from phaseno_peft.training.provenance import LabelSource
from phaseno_peft.training.recipes import Recipe, find_recipe
from phaseno_peft.training.settings import QUICK, QUICK_GAVE_UP, TrainingSettings
from phaseno_peft.training.three_sides import train_on_three_sides
from phaseno_peft.training.unlabelled import (
    PseudoLabelled,
    Unlabelled,
    check_unlabelled,
    pseudo_labelled,
    train_in_rounds,
)
from phaseno_peft.training.whole_training import (
    WholeTraining,
    checkpoint_folder,
    identity_of_archive,
    remove_checkpoints,
    was_stopped_after_writing,
)
from phaseno_peft.training.worth import judged_of_outcome, judgement_of_outcome, worth

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedAdapter:
    """What `train_adapter` made and how it fares on events it never saw."""

    name: str
    folder: Path
    contract: Contract
    scores: dict[str, Scores]
    """"frozen", "frozen, offset removed" and "adapter", on the same held-out windows."""
    history: list[Epoch]
    n_trainable: int
    seconds: float
    peak_memory_bytes: int
    section_window: str
    """Name of the held-out window drawn in `figures/record_section.png`."""
    forgetting: dict[str, Scores] = field(default_factory=dict)
    """"frozen" and "adapter" on simulated windows like those of the backbone's pre-training: what was forgotten."""
    seeds: list[dict[str, Any]] = field(default_factory=list)
    """One for each seed: its seed, epoch kept, validation score and loss; the best one on validation was kept."""
    quick: bool = False
    notes: Sequence[str] = ()
    """How the scores were made where that is not plain: in folds, of several seeds, beside pseudo-labels."""


P = ParamSpec("P")


def _locked(train: Callable[P, TrainedAdapter]) -> Callable[P, TrainedAdapter]:
    """Lock the adapter's name: another process that trains, pulls or removes it gets a `BusyError`."""
    signature = inspect.signature(train)

    @functools.wraps(train)
    def locked(*args: P.args, **options: P.kwargs) -> TrainedAdapter:
        given = signature.bind(*args, **options).arguments
        with lock(_adapter_path(given["name"], given.get("folder")), "training"):
            return train(*args, **options)

    return locked


@_locked
def train_adapter(
    name: str,
    campaign: Campaign,
    *,
    folder: str | Path | None = None,
    backbone: str | Path = EMBEDDED,
    recipe: str | Recipe = "cr-lora",
    training: TrainingSettings | None = None,
    quick: bool = False,
    labels: int | None = None,
    seeds: int = 1,
    folds: str | int = "auto",
    at_once: int = 1,
    keep_folds: bool = False,
    label_source: LabelSource = "unknown",
    label_convention: LabelConvention | None = None,
    validate_on: Campaign | None = None,
    quiet_noise: bool = False,
    unlabelled: Unlabelled | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    confidential: bool = False,
    report: str | Path | None = None,
    overwrite: bool = False,
    restart: bool = False,
    on_stage: Callable[[str], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> TrainedAdapter:
    """Train an adapter for a campaign and write it to `folder`/`name`, by default in the user's library.

    From 60 labelled events on they are split into training, validation and test without sharing an event or a sample.
    Thresholds, the best epoch, the best of `seeds` trainings and the calibration of uncertainties come from validation;
    the scores from the test events, where the frozen backbone stands beside the adapter with thresholds from the same
    validation. Fewer events are parted into `folds` (see `cross_fit`; 0 never, a number always), `at_once` of which are
    trained side by side: all of them train, and all of them judge, out of fold. `keep_folds` stores the folds' adapters
    beside the one that ships, for `load_adapter(..., ensemble=True)`.

    `label_source` goes onto the card; where it is unknown and the catalogue marks every pick as automatic, the card
    says automatic. `labels` uses so many of the training events, drawn with the seed. `validate_on` is another
    network's campaign to choose epoch and thresholds on, see `CampaignDataset.of`; `quiet_noise` takes training's noise
    from where the frozen backbone sees nothing; `unlabelled` adds what the trained adapters agree on in records that
    nobody picked, and trains again. Each epoch is kept in `folder`/.training: called again with the same
    arguments, a training that was stopped goes on and ends with the same adapter; `restart` begins anew. `quick` gives
    a usable adapter within five minutes on two cores and notes on the card what it gave up. A `confidential` adapter's
    folder tells no station, event, time or exact place and has no figure of waveforms; its scores stay, but `evaluate`
    cannot recognise its test events again. `report` is a folder for the page that `evaluate` makes, of the held-out
    events, in folds of all of them as their own fold's adapter picks them.

    Raises `AdapterError` for a bad or taken name, a recipe that makes no adapter or another stopped training of this
    name, `CampaignError` for data that cannot be trained on and `PhasenoPeftError` for a report that could not be
    written, before anything is written.
    """
    started = time.monotonic()
    target = _adapter_path(name, folder)
    refuse_existing(target, overwrite=overwrite or (not restart and was_stopped_after_writing(target)))
    if report is not None:
        check_report(report, target, overwrite=overwrite)
    recipe = find_recipe(recipe) if isinstance(recipe, str) else recipe
    if recipe.method is None:
        raise AdapterError(
            f"recipe {recipe.name!r} makes no CR-LoRA adapter ({recipe.trains}). It is there to compare with: use "
            "`phaseno-peft compare`, or train cr-lora, lora, lora-head, se-only or head."
        )
    if seeds < 1:
        raise AdapterError(f"`seeds` should be at least 1 but is {seeds}.")
    label_source = provenance.source_of_labels(campaign, label_source)
    training = training or (QUICK if quick else recipe.training)
    callbacks = TrainingCallbacks(on_stage or log.info, on_epoch, on_step)
    say = callbacks.on_stage

    sets_aside = quick or seeds > 1 or labels is not None or validate_on is not None
    k = how_many_folds(folds, campaign, training, sets_aside=sets_aside)
    if keep_folds and not k:
        raise AdapterError(
            "`keep_folds`: this training has no folds, its events are set aside. Give `folds` 4, or leave it out."
        )
    if keep_folds and k > MOST_FOLDS:
        raise AdapterError(f"`keep_folds`: at most {MOST_FOLDS} folds are stored, `folds` is {k}. Give fewer.")
    if at_once > 1 and not k:
        say("no folds are trained here, so that nothing runs side by side")
    if unlabelled is not None:
        check_unlabelled(unlabelled, campaign, say)
    parted = fold_campaign(campaign, k, seed) if k else None
    dataset = (
        CampaignDataset(campaign, parted.whole, [], [], seed)
        if parted
        else CampaignDataset.of(campaign, seed, validate_on=validate_on)
    )
    stretches = dataset.train(labels, seed)  # also refuses more labels than there are
    say(dataset.split.how)
    offset = measure_label_offset(stretches)
    _describe(offset, say)
    if provenance.on_extrema(campaign, stretches, label_convention):
        training = dataclasses.replace(training, keeps_polarity=True)
        say("the picks sit on peaks or troughs: windows are augmented without reversing stations")
    frozen_model = load_backbone(backbone, device)
    if quiet_noise:
        dataset = dataset.with_quiet_noise(frozen_model, backbone_info(backbone).thresholds, say)
    recipe.check_fits(frozen_model)
    backbone_fingerprint, backbone_name = fingerprint(frozen_model), str(frozen_model.name_or_path)
    whole = WholeTraining(
        target,
        {
            "quick": quick,
            "seeds": seeds,
            "labelled events": labels,
            "validate_on": None if validate_on is None else validate_on.name,
            "max_minutes": training.max_minutes,
            "folds": k,  # after what sets events aside, before the split
            "seed": seed,
            "quiet_noise": quiet_noise,
            **identity_of_archive(unlabelled),
            **training_identity(recipe, dataset, training, labels, backbone_fingerprint, device),
        },
        {
            "label_source": label_source,
            "label_convention": label_convention,
            "confidential": confidential,
            "keep_folds": keep_folds,
        },
    )
    replaces = overwrite or (not restart and whole.is_written)
    refuse_existing(target, overwrite=replaces)
    whole.begin(restart=restart)
    forgetting = {"frozen": judge_forgetting(frozen_model)}
    if quick:
        say(QUICK_GAVE_UP)

    say("training: the first steps load PEFT, which takes some seconds; each epoch is kept, a stopped training goes on")
    task = Task(recipe, training, backbone, device, checkpoint_folder(target), callbacks)

    def train(dataset: CampaignDataset, below: str = "") -> Outcome:
        own = dataclasses.replace(task, folder=task.folder / below)
        if parted:
            return cross_fit(own, parted, dataset, at_once)
        return train_on_three_sides(own, dataset, labels=labels, seeds=range(seed, seed + seeds))

    def contract_of(outcome: Outcome) -> Contract:
        return Contract(
            backbone_name=backbone_name,
            backbone_fingerprint=backbone_fingerprint,
            preprocessing=campaign.preprocessing,
            frame=campaign.frame,
            label_convention=label_convention or provenance.convention(campaign, stretches),
            label_offset=offset,
            thresholds=dict(outcome.thresholds),
            min_distance_s=BackboneDefaults().min_distance_s,
            uncertainty_factor=dict(outcome.uncertainty.factor),
            provenance=provenance.provenance(outcome.dataset, labels, label_source, outcome.fitted.training),
            versions=provenance.versions(),
            pick_shift_s=outcome.fitted.pick_shift_s,
            uncertainty_calibration=dict(outcome.uncertainty.calibration),
        )

    with whole.kept():
        outcome = train(dataset)
    if (archive := unlabelled) is not None:

        def label(outcome: Outcome) -> PseudoLabelled:
            return pseudo_labelled(archive, outcome, contract_of(outcome), campaign, backbone, seed, say)

        outcome = train_in_rounds(archive.rounds, outcome, dataset, label, train, say)
    fitted, dataset, frozen, adapter = outcome.fitted, outcome.dataset, outcome.frozen, outcome.adapter
    for sentence in describe(fitted.pick_shift):
        say(sentence)
    forgetting["adapter"] = judge_forgetting(fitted.model)
    check_switched_off(
        fitted.model, dataset, window_probabilities(frozen_model, dataset.test[:2], dataset.edge_limit_km)
    )
    if fingerprint(fitted.model.get_base_model()) != backbone_fingerprint:  # type: ignore[operator]  # peft's method
        raise AdapterError("training changed the frozen backbone; nothing was written. Please report this as a bug.")

    scores = {"frozen": frozen.test, "frozen, offset removed": outcome.without_offset, "adapter": adapter.test}
    contract = contract_of(outcome)
    if confidential:
        contract = discreet_contract(contract, name)
    trained = TrainedAdapter(
        name,
        target,
        contract,
        scores,
        fitted.history,
        fitted.n_trainable,
        time.monotonic() - started,
        peak_memory_bytes(),
        provenance.window_to_show(dataset.test).name,
        forgetting,
        [_seed_facts(one) for one in outcome.fits],
        quick,
        tuple(outcome.sentences),
    )
    if keep_folds and not outcome.has_ensemble:
        say("no folds are kept: nothing was trained in them, or none of their update is")
    _write(trained, outcome, labels, whole, confidential=confidential, overwrite=replaces, keep_folds=keep_folds)
    if report is not None:
        say("writing the report")
        judged = judged_of_outcome(name, outcome, read_contract(target), _forgotten(trained, outcome))
        try:
            write_report(judged, report, overwrite=overwrite, confidential=confidential)
        except (OSError, PhasenoPeftError) as error:
            raise PhasenoPeftError(
                f"{error} The adapter itself is written, {target}. The same command, with another folder for the "
                "report or without one, ends without training again."
            ) from error
    remove_checkpoints(target)
    return trained


def check_report(report: str | Path, target: Path, *, overwrite: bool) -> None:
    """Raise `PhasenoPeftError` where the report of a training that writes to `target` could not be written."""
    folder, adapter = report_folder(report, overwrite=overwrite).resolve(), target.resolve()
    if folder == adapter or adapter in folder.parents or folder in adapter.parents:
        raise PhasenoPeftError(
            f"{report}: lies in the adapter's own folder, or around it ({target}). Give the report another folder."
        )
    above = next(parent for parent in folder.parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise PhasenoPeftError(f"{report}: nothing can be written to {above}. Give the report another folder.")


def _adapter_path(name: str, folder: str | Path | None) -> Path:
    return Path(folder or library_folder()).expanduser() / check_name(name)


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes


def how_many_folds(
    folds: str | int,
    campaign: Campaign,
    training: TrainingSettings,
    *,
    sets_aside: bool = False,
) -> int:
    """Folds to train in, 0 for three sides: what is asked for, or 4 where labelled events are few.

    `sets_aside`: other options need a validation side. Raises `AdapterError` for folds that cannot be, or do not go
    with the other options.
    """
    alone = not sets_aside and training.max_minutes is None
    if folds == "auto":
        few = len(training_events(campaign.stretches())) < FEW_EVENTS
        return FOLDS if few and alone and training.schedule == "cosine" else 0
    if not re.fullmatch("[0-9]{1,6}", str(folds)) or int(folds) == 1:
        raise AdapterError(f"`folds` should be 'auto', 0 or at least 2 but is {folds!r}.")
    n = int(folds)
    if n and not alone:
        raise AdapterError(
            f"`folds` {n} does not go with several seeds, a number of labels, another campaign to validate on, a "
            "limit of minutes or `quick`: each of them needs events set aside. Leave them out, or give `folds` 0."
        )
    return n


def _describe(offset: Mapping[str, LabelOffset], say: Callable[[str], None]) -> None:
    for phase, found in offset.items():
        if found.median_s is not None:
            side = "before" if found.median_s > 0 else "after"
            say(f"catalogue {phase}: picks lie {abs(found.median_s):.3f} s {side} the AIC onset (n = {found.n})")


def _forgotten(trained: TrainedAdapter, outcome: Outcome) -> dict[str, float] | None:
    """Phase -> F1 within 0.5 s lost on the backbone's own kind of windows; None where it was trained on that kind."""
    if outcome.fitted.training.replay:
        return None
    lost = trained.forgetting
    return {p: lost["frozen"].phase(p, 0.5).f1 - lost["adapter"].phase(p, 0.5).f1 for p in PHASES}


def _seed_facts(fitted: Fitted) -> dict[str, Any]:
    best = fitted.history[fitted.kept]
    return {
        "seed": fitted.training.seed,
        "epoch_kept": fitted.kept,
        "validation_score": best.validation_score,
        "validation_loss": best.validation_loss if np.isfinite(best.validation_loss) else None,
    }


def _write(
    trained: TrainedAdapter,
    outcome: Outcome,
    labels: int | None,
    whole: WholeTraining,
    *,
    confidential: bool,
    overwrite: bool,
    keep_folds: bool,
) -> None:
    """Figures, card, evaluation, tensors: the adapter's folder, whole or not at all."""
    fitted, dataset, frozen, adapter = outcome.fitted, outcome.dataset, outcome.frozen, outcome.adapter
    campaign, method = dataset.campaign, fitted.recipe.method
    assert method is not None  # train_adapter refused recipes without
    about = {
        "adapter": trained.name,
        "campaign": campaign.name,
        "side": judged_side(outcome.n_folds),
        "seed": dataset.seed,
        "recipe": fitted.recipe.name,
        "labelled_events": labels,
        "quick": trained.quick,
        "backbone_fingerprint": trained.contract.backbone_fingerprint,
        "epoch_kept": fitted.kept,
        "history": [dataclasses.asdict(epoch) for epoch in fitted.history],
        "training": dataclasses.asdict(fitted.training),
        "seeds": trained.seeds,
        "pick_shift": {phase: found.to_json() for phase, found in fitted.pick_shift.items()},
        "n_trainable": trained.n_trainable,
        "seconds": round(trained.seconds, 1),
        "forgetting": {
            "windows": FORGETTING_WINDOWS,
            "switched_off_equals_backbone": True,  # checked above, or nothing is written
            **{model: summary(scores) for model, scores in trained.forgetting.items()},
        },
        **outcome.about,
        **worth(dataset, judgement_of_outcome(outcome), outcome.stated, trained.contract, _forgotten(trained, outcome)),
        "findings": [f"{finding.severity}: {finding.text}" for finding in campaign.findings],
    }
    sentences = [
        *provenance.notes(outcome.dataset, frozen, adapter, fitted, trained.forgetting),
        *outcome.sentences,
        *describe(fitted.pick_shift),
    ]
    if trained.quick:
        sentences.append(QUICK_GAVE_UP)
    card = Card(
        trained.name,
        method,
        trained.contract,
        {
            heading_of_scores(outcome.n_folds): comparison_markdown(trained.scores),
            **card_tables(Evaluation(trained.scores, about), trained.contract),
            "What was forgotten": f"{FORGETTING_WINDOWS[0].upper()}{FORGETTING_WINDOWS[1:]}. "
            + comparison_markdown(trained.forgetting),
        },
        provenance.captions(fitted),
        sentences,
    )
    with tempfile.TemporaryDirectory() as scratch:
        files = provenance.draw(Path(scratch), dataset, fitted, frozen, adapter, outcome.pick_shifts_s)
        if confidential:
            card, files = (
                discreet_card(card, "scores", about),
                {f: path for f, path in files.items() if f in SCORE_FIGURES},
            )
            about = discreet_evaluation({"about": about}, trained.name)["about"]
        files[EVALUATION] = Path(scratch) / EVALUATION
        write_evaluation(files[EVALUATION], Evaluation(trained.scores, about))
        if keep_folds and outcome.has_ensemble:
            files |= write_folds(Path(scratch), outcome.folds)
        tensors = adapter_tensors(fitted.model)
        whole.note_written(tensors)
        write_adapter(trained.folder, method, trained.contract, tensors, card, files, overwrite=overwrite)
