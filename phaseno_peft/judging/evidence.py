"""What was judged, and what the verdict's rules look at, gathered from scores, contract and campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from phaseno_peft.campaign import Campaign, Window, measure_label_offset
from phaseno_peft.campaign.catalog import made_by
from phaseno_peft.campaign.windows import recorded_hours
from phaseno_peft.contract import PHASES, Contract
from phaseno_peft.evaluation import Predictions, Scores, f1_gain, mean_f1_gain
from phaseno_peft.evaluation.calibration import Stated
from phaseno_peft.evaluation.judge import Judgement
from phaseno_peft.judging.few_shot import FewShot
from phaseno_peft.judging.judged_picks import JudgedPick, epicentral_distances_km, judged_picks
from phaseno_peft.judging.verdict import FEWEST_OFFSET_PICKS, Evidence, Interval, Verdict, decide
from phaseno_peft.library import adapter_folder
from phaseno_peft.library.store import read_evaluation_json

ADAPTER, FROZEN = "adapter", "frozen"
"""Names of the two models that every judgement has."""


@dataclass(frozen=True)
class Judged:
    """An adapter judged on a campaign: everything its page, tables and figures are made of."""

    adapter: str
    contract: Contract
    campaign: Campaign
    judgement: Judgement
    evidence: Evidence
    verdict: Verdict
    distances_km: Mapping[tuple[str, str], float]
    """(event id, station id) -> epicentral distance."""
    few_shot: FewShot | None = None
    """Trainings with fewer labels, for the report."""
    stated: Stated | None = None
    """Intervals of the right picks by the calibrations of other folds; None: by the contract's."""
    notes: Sequence[str] = ()
    """How the scores were made, where that is not plain, for the report."""

    @cached_property
    def shown(self) -> dict[str, Predictions]:
        """Model -> everything that can be shown: the windows it was scored on, and further noise after them."""
        return {model: self.judgement.predictions_with_noise(model) for model in self.judgement.scores}

    def picks_of(self, model: str) -> list[JudgedPick]:
        """Labels and picks of a model in `shown`, as `judged_picks`, within 0.5 s of the network's time."""
        shifts_s = self.judgement.shifts_s(model)
        scores = self.judgement.scores_with_noise(model)
        return judged_picks(self.shown[model], scores, self.distances_km, pick_shifts_s=shifts_s)


def weigh(
    adapter: str,
    contract: Contract,
    campaign: Campaign,
    judgement: Judgement,
    forgetting: Mapping[str, float] | None = None,
) -> Judged:
    """Return what was judged with its verdict. `forgetting`: see `stored_forgetting`."""
    evidence = gather_evidence(contract, campaign, judgement, forgetting)
    distances_km = epicentral_distances_km(campaign)
    return Judged(adapter, contract, campaign, judgement, evidence, decide(evidence), distances_km)


def gather_evidence(
    contract: Contract, campaign: Campaign, judgement: Judgement, forgetting: Mapping[str, float] | None = None
) -> Evidence:
    """Return what the rules of the verdict look at."""
    scores = judgement.scores
    own, frozen = scores[ADAPTER], scores[FROZEN]
    of_adapter, of_frozen = (judgement.scores_with_noise(model) for model in (ADAPTER, FROZEN))
    hours = noise_hours(judgement.predictions_with_noise(ADAPTER).windows)
    return Evidence(
        n_events=judgement.n_events,
        n_labels={phase: own.n_labels(phase) for phase in PHASES},
        gain=Interval(*mean_f1_gain(frozen, own)),
        phase_gains={p: Interval(*f1_gain(frozen, own, p)) for p in PHASES if own.n_labels(p)},
        rival_gains={
            name: Interval(*mean_f1_gain(other, own)) for name, other in scores.items() if name not in (ADAPTER, FROZEN)
        },
        noise_hours=float(hours.sum()),
        false_per_hour=false_picks_per_hour([of_adapter], [1.0], hours),
        frozen_false_per_hour=false_picks_per_hour([of_frozen], [1.0], hours).value,
        more_false_per_hour=false_picks_per_hour([of_adapter, of_frozen], [1.0, -1.0], hours),
        label_source=label_source(contract, campaign, judgement),
        may_flatter=judgement.may_flatter,
        trained_on_all=judgement.trained_on_all,
        forgetting=forgetting,
        offset_change_s=None if judgement.is_own else _offset_change_s(contract, campaign),
        n_groups=_n_groups(judgement.predictions[ADAPTER].windows, own),
    )


def _n_groups(windows: Sequence[Window], own: Scores) -> int:
    """Groups of windows that share an event, of those with labels."""
    groups = own.window_groups or tuple(range(len(windows)))
    return len({group for group, window in zip(groups, windows, strict=True) if window.labels})


def label_source(contract: Contract, campaign: Campaign, judgement: Judgement) -> str:
    """Whose labels are scored against: the contract's on the adapter's own campaign, else by the catalogue's word."""
    if judgement.is_own:
        return contract.provenance.label_source
    return made_by(campaign.catalogue.picks)


def noise_hours(windows: Sequence[Window]) -> np.ndarray:
    """Real hours [window] in which something was recorded and no event is; 0 for windows with an event."""
    return np.array([recorded_hours(window) if window.is_noise else 0.0 for window in windows], dtype=np.float64)


def false_picks_per_hour(models: Sequence[Scores], weights: Sequence[float], hours: np.ndarray) -> Interval:
    """Return a weighted sum, over models on the same windows, of false picks of both phases per hour of noise.

    Of the whole network, with its 95 % interval by bootstrap: a difference is drawn on the same windows. `hours`
    [window] is `noise_hours`. All zero where there is no noise.
    """
    if hours.sum() == 0:
        return Interval(0.0, 0.0, 0.0)
    false = np.zeros(len(hours))
    for scores, weight in zip(models, weights, strict=True):
        picks = np.sum([np.array(tally.judged_picks) for tally in scores.tallies.values()], axis=0)
        false += weight * picks * np.array(scores.noise_windows, dtype=bool)
    draws = models[0].drawn(np.stack([false, hours], axis=1))
    rates = draws[:, 0] / np.maximum(draws[:, 1], hours[hours > 0].min())
    low, high = np.quantile(rates, [0.025, 0.975])
    return Interval(float(false.sum() / hours.sum()), float(low), float(high))


def stored_forgetting(adapter: str | Path) -> dict[str, float] | None:
    """Return F1 within 0.5 s lost per phase on the forgetting windows, as training measured it.

    None for adapters of before that was measured, those that were trained on such windows too, and those whose scores
    were not shared.
    """
    stored = read_evaluation_json(adapter_folder(adapter))
    if stored is None:
        return None
    try:
        if stored["about"].get("training", {}).get("replay"):
            return None
        measured = stored["about"]["forgetting"]
        return {p: measured["frozen"][p]["0.5"]["f1"] - measured["adapter"][p]["0.5"]["f1"] for p in PHASES}
    except (KeyError, TypeError):
        return None


def _offset_change_s(contract: Contract, campaign: Campaign) -> dict[str, float]:
    """Phase -> label offset of the campaign minus the contract's, network's time, where both were measured."""
    changes = {}
    for phase, here in measure_label_offset(campaign.stretches()).items():
        there = contract.label_offset.get(phase)
        if there is None or there.median_s is None or here.median_s is None:
            continue
        if min(here.n, there.n) >= FEWEST_OFFSET_PICKS:
            changes[phase] = (here.median_s - there.median_s) * contract.preprocessing.time_scale
    return changes
