"""Records that nobody picked, in training: what the folds' adapters agree on there is added to what an analyst picked.

Never to what is judged. The adapter of a fold is trained on pseudo-labels of its own predecessor alone, which never saw
the events it is judged on, and on none in the record of these events; the adapter that ships on those that the
predecessors of all folds agree on. Where the archive holds the campaign's own record, no noise is cut around them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phaseno_peft.campaign import Campaign, Stretch, read_catalogue
from phaseno_peft.campaign.findings import condense
from phaseno_peft.campaign.raw_spans import raw_spans
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.campaign.sources import Source
from phaseno_peft.campaign.waveform_files import ChannelMap
from phaseno_peft.contract import PHASES, Contract
from phaseno_peft.cr_lora.attach import make_resident
from phaseno_peft.errors import AdapterError, CampaignError
from phaseno_peft.events.catalogue import to_catalog
from phaseno_peft.events.engine import check_associator
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.labelling.agreement import agreed_events
from phaseno_peft.labelling.associators import Associator
from phaseno_peft.labelling.coincidence import Coincidence
from phaseno_peft.labelling.doubt import RECORD_WINDOWS, WEAKEST
from phaseno_peft.library.folds import FoldAdapter
from phaseno_peft.library.training_notes import how_unlabelled
from phaseno_peft.picking.committee import Committee
from phaseno_peft.picking.picker import Picker
from phaseno_peft.picks import Pick
from phaseno_peft.training.dataset import CampaignDataset, training_events
from phaseno_peft.training.fit import adapter_tensors
from phaseno_peft.training.out_of_fold import mean_score
from phaseno_peft.training.outcome import Outcome

MOST_PER_EVENT = 1.0
"""At most so many pseudo-labelled events for each labelled one, drawn at random: labels must not drown in guesses."""
MOST_ROUNDS = 2


@dataclass(frozen=True)
class Unlabelled:
    """An archive without picks, and how it is used."""

    source: Source
    channels: ChannelMap | str | Path | None = None
    rounds: int = 1
    """Each round labels with the adapters of the one before."""
    associator: Associator = "coincidence"
    skip_unreadable: bool = False
    """Leave out files that cannot be read."""

    def __post_init__(self) -> None:
        if isinstance(self.source, Iterator):
            raise AdapterError(
                "the records without picks are read several times, an iterator can be read once. Give files, a folder "
                "or a list of streams."
            )
        if not 1 <= self.rounds <= MOST_ROUNDS:
            raise AdapterError(f"`rounds` should be 1 or {MOST_ROUNDS} but is {self.rounds}.")

    def runs(self, campaign: Campaign) -> Runs:
        """Its record, prepared as the campaign's. Raises `CampaignError` for what cannot be read."""
        return Runs(
            self.source,
            campaign.stations,
            campaign.preprocessing,
            channels=self.channels,
            skip_unreadable=self.skip_unreadable,
        )


@dataclass(frozen=True)
class PseudoLabelled:
    """Pseudo-labelled pieces of an archive, for the adapter that ships and for the one of each fold."""

    all: tuple[Stretch, ...]
    of_folds: tuple[tuple[Stretch, ...], ...]

    @property
    def counts(self) -> dict[str, int]:
        """Events, P and S labels, and masked picks, for the adapter that ships."""
        picks = Counter(p.phase if p.usable else "masked" for stretch in self.all for p in stretch.picks)
        return {"events": len(training_events(self.all)), **{key: picks[key] for key in (*PHASES, "masked")}}

    def beside(self, dataset: CampaignDataset) -> CampaignDataset:
        """The data set with these pieces on its training side."""
        return dataclasses.replace(dataset, unlabelled=self.all, unlabelled_of_folds=self.of_folds)


def train_in_rounds(
    rounds: int,
    outcome: Outcome,
    dataset: CampaignDataset,
    label: Callable[[Outcome], PseudoLabelled],
    train: Callable[[CampaignDataset, str], Outcome],
    say: Callable[[str], None],
) -> Outcome:
    """Train again beside what an outcome's adapters agree on, as often as asked for; the best outcome.

    `label` labels the archive, `train(dataset, name)` trains anew, its checkpoints under that name. An outcome that is
    worse on the events it did not train on (mean F1 at 0.5 s and 0.1 s, `Outcome.held_out`) is not kept, and ends the
    rounds.
    """
    if outcome.n_folds and not outcome.folds:
        how = "Records that nobody picked were not used: no labelled event could be held out to tell whether they help."
        say(how)
        return replace(outcome, sentences=[*outcome.sentences, how])
    about: list[dict[str, Any]] = []
    for number in range(1, rounds + 1):
        found = label(outcome)
        about.append({**found.counts, "kept": False})
        if not found.all:
            break
        again = train(found.beside(dataset), f"round-{number}")
        before, after = (mean_score(each.held_out) for each in (outcome, again))
        is_kept = after >= before and again.fitted.kept > 0
        about[-1].update({"score_before": before, "score": after, "kept": is_kept})
        say(f"round {number} with pseudo-labels: {after:.3f} beside {before:.3f} without, on events not trained on")
        if not is_kept:
            break
        outcome = again
    sentences = [*outcome.sentences, how_unlabelled(about)]
    return replace(outcome, about={**outcome.about, "unlabelled": about}, sentences=sentences)


def check_unlabelled(unlabelled: Unlabelled, campaign: Campaign, say: Callable[[str], None]) -> None:
    """Read and prepare the whole archive before anything is trained, and tell what is left out of it.

    Raises `CampaignError` for files that cannot be read, where nothing is left, and for none of the campaign's
    stations; `PhasenoPeftError` for an associator that is not installed.
    """
    if unlabelled.associator == "pyocto":
        check_associator()
    try:
        runs = unlabelled.runs(campaign)
        for run in runs:
            for _ in run.pieces():
                pass
    except CampaignError as error:
        raise CampaignError(f"the records without picks: {error}") from error
    for finding in condense(runs.findings):
        if finding.severity != "note":
            say(f"the records without picks: {finding.sentence}")


def pseudo_labelled(
    unlabelled: Unlabelled,
    outcome: Outcome,
    contract: Contract,
    campaign: Campaign,
    backbone: str | Path,
    seed: int,
    say: Callable[[str], None],
) -> PseudoLabelled:
    """What the adapters of a training agree on in an archive; empty where that is no event.

    Raises `CampaignError` for records that do not fit the campaign's stations.
    """
    method = outcome.fitted.recipe.method
    assert method is not None
    picker = Picker.load(backbone)
    whole = [FoldAdapter(adapter_tensors(outcome.fitted.model), outcome.fitted.pick_shift_s)]
    teachers = outcome.folds or whole
    members = tuple(
        make_resident(
            picker.backbone, f"teacher {i}", method, one.tensors, "a fold", _with_shift(contract, one.pick_shift_s)
        )
        for i, one in enumerate(teachers, start=1)
    )
    names = tuple(member.name for member in members)
    committee = Committee(picker, replace(members[0], members=members), names, dict(contract.thresholds))
    runs = unlabelled.runs(campaign)
    collected = committee.picks(WEAKEST)
    for annotation in committee.annotations(runs):
        collected.push(annotation)
    weak = collected.close()
    k = contract.preprocessing.time_scale
    rule = Coincidence().for_time_scale(k)
    most = max(1, round(MOST_PER_EVENT * len(training_events(campaign.stretches()))))
    apart_s = (RECORD_WINDOWS / 2 + 1) * contract.preprocessing.window_s  # no record of both, in any window
    labelled = [
        (min(p.time for p in e.picks) - apart_s, max(p.time for p in e.picks) + apart_s)
        for e in campaign.catalogue.events
        if e.picks
    ]

    def stretches(picks: Sequence[int]) -> tuple[Stretch, ...]:
        own = [weak[i] for i in picks]
        events = [
            event
            for event in agreed_events(own, committee.thresholds, campaign.stations, rule, k, unlabelled.associator)
            if not any(begin <= pick.time <= end for pick in event.picks for begin, end in labelled)
        ]
        chosen = np.sort(np.random.default_rng([seed, 4]).permutation(len(events))[:most])
        taken = set(chosen.tolist())
        others = [pick for i, event in enumerate(events) if i not in taken for pick in event.picks]
        return cut_events([_masking(events[i], others) for i in chosen], unlabelled, campaign)

    everything = stretches(range(len(teachers)))
    found = PseudoLabelled(everything, tuple(stretches([i]) for i in range(len(outcome.folds))))
    n = found.counts
    who = (
        f"{len(teachers)} adapters agree on" if outcome.has_ensemble or len(teachers) == 1 else "the frozen network has"
    )
    say(
        f"unlabelled records: {n['events']} events that {who}, {n['P']} P and {n['S']} S "
        f"labels, {n['masked']} picks masked where they do not"
    )
    return found


def _masking(event: AssociatedEvent, others: Sequence[Pick]) -> AssociatedEvent:
    """The event with picks of events that are not used as doubtful ones: nothing is known around them."""
    return replace(event, ambiguous=(*event.ambiguous, *others))


def _with_shift(contract: Contract, pick_shift_s: Mapping[str, float]) -> Contract:
    return replace(contract, pick_shift_s=dict(pick_shift_s))


def cut_events(events: Sequence[AssociatedEvent], unlabelled: Unlabelled, campaign: Campaign) -> tuple[Stretch, ...]:
    """The records around events: their picks as labels, nothing known around ambiguous ones, and no noise."""
    if not events:
        return ()
    half_s = RECORD_WINDOWS * campaign.preprocessing.window_s / 2
    middles = [event.picks[0].time + (event.picks[-1].time - event.picks[0].time) / 2 for event in events]
    spans = [(middle - half_s, middle + half_s) for middle in middles]
    rate_hz = campaign.preprocessing.rate_hz
    streams = raw_spans(
        unlabelled.source, spans, rate_hz, channels=unlabelled.channels, skip_unreadable=unlabelled.skip_unreadable
    )
    read = Campaign.read(
        {f"unlabelled {middle}": stream for middle, stream in zip(middles, streams, strict=True)},
        campaign.stations,
        read_catalogue(to_catalog(events, "the adapters of the folds", unlabelled.associator)),
        preprocessing=campaign.preprocessing,
    )
    return tuple(replace(stretch, noise_times=()) for stretch in read.stretches())
