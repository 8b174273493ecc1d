"""What was judged, and what the verdict's rules look at, gathered from scores, contract and campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phaseno_peft.campaign import Campaign, Window, measure_label_offset
from phaseno_peft.contract import NO_SHIFT_S, PHASES, Contract
from phaseno_peft.evaluation import Scores, f1_gain, mean_f1_gain
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

    def picks_of(self, model: str) -> list[JudgedPick]:
        """Labels and picks of a model, as `judged_picks`, within 0.5 s of the network's time."""
        shift_s = self.contract.pick_shift_s if model == ADAPTER else NO_SHIFT_S
        found = self.judgement.predictions[model]
        return judged_picks(found, self.judgement.scores[model], self.distances_km, pick_shift_s=shift_s)


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
    hours = noise_hours(judgement.predictions[ADAPTER].windows)
    rate = false_picks_per_hour(own, hours)
    before = false_picks_per_hour(frozen, hours)
    return Evidence(
        n_events=judgement.n_events,
        n_labels={phase: own.n_labels(phase) for phase in PHASES},
        gain=Interval(*mean_f1_gain(frozen, own)),
        phase_gains={p: Interval(*f1_gain(frozen, own, p)) for p in PHASES if own.n_labels(p)},
        rival_gains={
            name: Interval(*mean_f1_gain(other, own)) for name, other in scores.items() if name not in (ADAPTER, FROZEN)
        },
        noise_hours=float(hours.sum()),
        false_per_hour=rate,
        frozen_false_per_hour=before.value,
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
    picks = campaign.catalogue.picks
    return "automatic" if picks and all(pick.is_automatic for pick in picks) else "unknown"


def noise_hours(windows: Sequence[Window]) -> np.ndarray:
    """Real hours [window] in which something was recorded and no event is; 0 for windows with an event."""
    hours = [
        float(np.any(window.waveforms != 0, axis=(0, 1)).sum()) / window.rate_hz / 3600 if window.is_noise else 0.0
        for window in windows
    ]
    return np.array(hours, dtype=np.float64)


def false_picks_per_hour(scores: Scores, hours: np.ndarray) -> Interval:
    """Return false picks of both phases in noise windows per hour of noise, whole network, with its 95 % interval.

    `hours` [window] is `noise_hours`. By bootstrap; all zero where there is no noise.
    """
    noise = np.array(scores.noise_windows, dtype=bool)
    false = np.sum([np.array(tally.judged_picks) for tally in scores.tallies.values()], axis=0) * noise
    if hours.sum() == 0:
        return Interval(0.0, 0.0, 0.0)
    draws = scores.drawn(np.stack([false, hours], axis=1))
    rates = draws[:, 0] / np.maximum(draws[:, 1], hours[hours > 0].min())
    low, high = np.quantile(rates, [0.025, 0.975])
    return Interval(float(false.sum() / hours.sum()), float(low), float(high))


def stored_forgetting(adapter: str | Path) -> dict[str, float] | None:
    """Return F1 within 0.5 s lost per phase on the forgetting windows, as training measured it.

    None for adapters of before that was measured, and those whose scores were not shared.
    """
    stored = read_evaluation_json(adapter_folder(adapter))
    if stored is None:
        return None
    try:
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
