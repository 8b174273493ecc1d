"""An adapter beside the frozen backbone, and rivals, on the labelled events of a campaign."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.baselines import Rival
from phaseno_peft.campaign import (
    Campaign,
    Split,
    Stretch,
    Window,
    all_events_sha256,
    fixed_windows,
    further_noise_windows,
    known_events,
    split_campaign,
    with_moved_labels,
)
from phaseno_peft.contract import NO_SHIFT_S, Frame, Preprocessing
from phaseno_peft.cr_lora import selected_adapter
from phaseno_peft.errors import CampaignError
from phaseno_peft.evaluation.held_out import Predictions, joined_scores, score_at_thresholds_of
from phaseno_peft.evaluation.metrics import score
from phaseno_peft.evaluation.scores import Scores
from phaseno_peft.picking.inference import ensemble_probabilities, window_probabilities
from phaseno_peft.picking.picker import Picker

log = logging.getLogger(__name__)
ProbabilitiesOf = Callable[[list[Window]], list[NDArray[np.float32]]]
VALIDATION_DRAWS = 2
"""There are few validation events: each is seen at this many places in the window."""


class JudgedNoise(NamedTuple):
    """A model on noise beside what it is scored on."""

    predictions: Predictions
    scores: Scores
    """At the thresholds of the model's other scores; of models of several folds at each one's own."""

    @classmethod
    def of(
        cls,
        windows: Sequence[Window],
        probabilities: Sequence[NDArray[np.float32]],
        thresholds: Mapping[str, float],
        min_distance_s: float,
    ) -> JudgedNoise:
        """What a model says of these windows, scored at its thresholds."""
        found = Predictions(windows, probabilities)
        return cls(found, score(*found, thresholds, min_distance_s=min_distance_s))


@dataclass(frozen=True)
class Judgement:
    """Scores of all models on the same windows, what the scores were made of, and which events those were."""

    scores: dict[str, Scores]
    """Model ("adapter", "frozen", the name of a rival) -> its scores."""
    events: str
    predictions: dict[str, Predictions]
    """Model -> the windows it was scored on and its probabilities there; in the order of `scores`."""
    n_events: int
    is_own: bool
    """The campaign is the one the adapter was trained on, and these are its held-out test events."""
    may_flatter: bool
    """Events that trained the adapter may be among those it is scored on."""
    trained_on_all: bool = False
    """Every one of these events trained the adapter."""
    further_noise: dict[str, JudgedNoise] = field(default_factory=dict)
    """Model -> noise beside that of `predictions`, in which false picks are counted but which F1 does not see."""
    pick_shifts_s: dict[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    """Model -> [window of `predictions_with_noise`] real seconds that its picks are moved by, and by minus which the
    labels there were; absent: none."""

    def predictions_with_noise(self, model: str) -> Predictions:
        """What a model was scored on, and the further noise after it."""
        found, more = self.predictions[model], self.further_noise.get(model)
        if more is None:
            return found
        own = more.predictions
        return Predictions([*found.windows, *own.windows], [*found.probabilities, *own.probabilities])

    def shifts_s(self, model: str) -> Sequence[Mapping[str, float]]:
        """`pick_shifts_s` of a model, also of one whose picks are not moved."""
        return self.pick_shifts_s.get(model) or [NO_SHIFT_S] * len(self.predictions_with_noise(model).windows)

    def scores_with_noise(self, model: str) -> Scores:
        """Scores of a model with the further noise; its F1 is not that of `scores`."""
        scores, more = self.scores[model], self.further_noise.get(model)
        return joined_scores([scores, more.scores]) if more is not None and more.predictions.windows else scores


def judge(
    picker: Picker,
    campaign: Campaign,
    on_stage: Callable[[str], None] | None = None,
    *,
    rivals: Sequence[Rival] = (),
    noise_hours: float = 0.0,
) -> Judgement:
    """Score the active adapter, the frozen backbone and any rivals.

    On the campaign the adapter was trained on (recognised by the digest of the split that its contract records) the
    held-out test events are used, and the frozen backbone and the rivals get thresholds from the validation events as
    the adapter did. On any other campaign all events are used but those that the adapter has seen, recognised by the
    times of their picks under whatever ids (`known_events`), and all models keep their own default thresholds. Where
    all events trained it (see `cross_fit`) all are used, and `events` says that this flatters. F1 has a window of noise
    for each one of an event; false picks are counted in up to `noise_hours` of it, where there are as many. Raises
    `CampaignError` where no label is left to judge by.
    """
    say = on_stage or log.info
    contract = picker.adapter_contract
    made, preprocessing = contract.provenance, contract.preprocessing
    try:
        split = split_campaign(campaign, made.seed)
        is_own = split.sha256() == made.split_sha256
    except CampaignError:  # too few events for a split: certainly not the training campaign
        is_own = False
    shares_stations = bool(set(made.stations) & set(campaign.stations.station_ids))
    trained_on_all = False
    if is_own:
        judged_on, frame = split.test, contract.frame
        windows = fixed_windows(split.test, contract.frame, preprocessing, made.seed)
        validation = validation_windows(split, contract.frame, preprocessing, made.seed)
        n_events = len({event for stretch in split.test for event in stretch.event_ids})
        events = f"{n_events} held-out test events of the adapter's own campaign"
    else:
        stretches: Sequence[Stretch] = campaign.stretches()
        n_all = _n_events(stretches)
        seen = known_events(stretches, made.pick_times_sha256)
        unseen = [stretch for stretch in stretches if not seen.intersection(stretch.event_ids)]
        trained_on_all = made.split_sha256.get("train") == all_events_sha256(campaign) or (
            bool(seen) and not _n_events(unseen)
        )
        stretches = stretches if trained_on_all else unseen
        judged_on, frame = tuple(stretches), campaign.frame
        windows = fixed_windows(stretches, campaign.frame, preprocessing, made.seed)
        validation = []
        n_events = _n_events(stretches)
        which = (
            "the adapter's own campaign, which it was trained on: these scores flatter. Those out of fold are in its "
            "card and evaluation.json"
            if trained_on_all and made.campaign == campaign.name and not made.test_events
            else "this catalogue, which it was trained on: these scores flatter"
            if trained_on_all
            else "a campaign that differs from the adapter's training campaign"
            if made.split_sha256
            else "a campaign, and the adapter does not tell which events it was trained on: if they are among these, "
            "these scores flatter"
        )
        if seen and not trained_on_all:
            events = (
                f"{n_events} events of {n_all}: the others trained the adapter, or chose its epoch and thresholds, as "
                "the times of their picks tell, whatever they are called, and are left out with their records"
            )
        else:
            events = f"all {n_events} events of {which}"
        events += f"; the frozen backbone uses its default thresholds{', and so do the rivals' if rivals else ''}"
        if shares_stations and not made.pick_times_sha256 and "own campaign" not in which:
            events += ". It shares stations with the training campaign: if it shares events too, these scores flatter"
    if not any(window.labels for window in windows):
        raise CampaignError(
            f"{campaign.catalogue.source}: none of its usable picks lies in a record that is to be judged ({events}). "
            "Give picks for these records, or records for these picks."
        )
    n_judged = len({label.event_id for window in windows for label in window.labels})
    if n_judged < n_events:
        events += f"; {n_judged} of them have a usable label to be judged by"
    further = further_noise_windows(judged_on, frame, preprocessing, made.seed, noise_hours) if noise_hours else []
    say(
        f"scoring {len(windows)} windows{f', and false picks in {len(further)} more of noise' if further else ''}: "
        f"{events}"
    )
    predictions: dict[str, Predictions] = {}
    further_noise: dict[str, JudgedNoise] = {}

    def count_in_noise(model: str, probabilities_of: ProbabilitiesOf, scores: Scores) -> None:
        found = probabilities_of(further)
        further_noise[model] = JudgedNoise.of(further, found, scores.thresholds, contract.min_distance_s)

    def scored(model: str, probabilities_of: ProbabilitiesOf, default_thresholds: Mapping[str, float]) -> Scores:
        found = predictions[model] = Predictions(windows, probabilities_of(windows))
        if validation:
            chosen_on = Predictions(validation, probabilities_of(validation))
            scores = score_at_thresholds_of(chosen_on, found, min_distance_s=contract.min_distance_s)
        else:
            scores = score(*found, default_thresholds, min_distance_s=contract.min_distance_s)
        count_in_noise(model, probabilities_of, scores)
        return scores

    scores = {"frozen": scored("frozen", partial(predicted, picker, None), picker.backbone_thresholds)}
    labelled = with_moved_labels(windows, contract.pick_shift_s)
    adapted = Predictions(labelled, predicted(picker, picker.active_adapter, windows))
    predictions["adapter"] = adapted
    scores["adapter"] = score(*adapted, contract.thresholds, min_distance_s=contract.min_distance_s)
    count_in_noise("adapter", partial(predicted, picker, picker.active_adapter), scores["adapter"])
    for rival in rivals:
        say(f"scoring {rival.name}")
        scores[rival.name] = scored(rival.name, rival.probabilities, rival.thresholds)
    return Judgement(
        scores,
        events,
        predictions,
        n_judged,
        is_own,
        may_flatter=not is_own
        and not made.pick_times_sha256
        and (trained_on_all or shares_stations or not made.split_sha256),
        trained_on_all=trained_on_all,
        further_noise=further_noise,
        pick_shifts_s={"adapter": [contract.pick_shift_s] * (len(windows) + len(further))},
    )


def _n_events(stretches: Sequence[Stretch]) -> int:
    return len({event for stretch in stretches for event in stretch.event_ids})


def validation_windows(split: Split, frame: Frame, preprocessing: Preprocessing, seed: int) -> list[Window]:
    """The windows that thresholds and epochs are chosen on: every validation event at two places in the window."""
    return [
        window
        for draw in range(VALIDATION_DRAWS)
        for window in fixed_windows(split.validation, frame, preprocessing, seed + draw)
    ]


def predicted(picker: Picker, adapter: str | None, windows: Sequence[Window]) -> list[NDArray[np.float32]]:
    """Return probabilities [station, phase, sample] of each window, by a resident adapter or the frozen backbone."""
    edge_limit_km, in_force = picker.adapter_contract.frame.edge_limit_km, picker.in_force
    if in_force is not None and in_force.name == adapter and in_force.members:
        return ensemble_probabilities(picker.backbone, windows, edge_limit_km, in_force)
    with selected_adapter(adapter):
        return window_probabilities(picker.backbone, windows, edge_limit_km)
