"""Which of the adapters at hand fits a new campaign: all of them on its few labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from phaseno_peft.campaign import Campaign, fixed_windows, with_moved_labels
from phaseno_peft.cr_lora import selected_adapter
from phaseno_peft.errors import AdapterError, PhasenoPeftError
from phaseno_peft.evaluation.metrics import cross_entropy, score
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.picking.picker import Picker


@dataclass(frozen=True, slots=True)
class Suggestion:
    """How one adapter did on the labels of a campaign, at its own thresholds."""

    name: str
    """"frozen" is the backbone without an adapter."""
    score: float
    """Mean F1 of P and S at 0.5 s and 0.1 s: what the ranking is by."""
    loss: float
    """Training's cross-entropy over the known samples: decides between scores that a few labels cannot tell apart."""
    f1: dict[str, float | None]
    """Phase -> F1 at 0.5 s."""
    median_s: dict[str, float]
    """Phase -> median residual, pick minus label; NaN without a match."""


def suggest_adapters(
    picker: Picker, campaign: Campaign, adapters: Sequence[str], on_adapter: Callable[[str], None] | None = None
) -> tuple[list[Suggestion], dict[str, str]]:
    """Rank the frozen backbone and `adapters` on all labelled events of a campaign, the best first.

    Returns the ranking, and for every adapter that could not be used the reason. With a handful of labels, neighbours
    in the ranking are not told apart. Raises `PhasenoPeftError` if the campaign has no labels.
    """
    windows = fixed_windows(campaign.stretches(), campaign.frame, campaign.preprocessing, seed=0)
    if not any(window.labels for window in windows):
        raise PhasenoPeftError(f"campaign {campaign.name!r} has no usable picks to compare adapters on. Pick a few.")
    ranking, left_out = [], {}
    for name in (None, *adapters):
        thresholds, resident, labelled = picker.backbone_thresholds, None, windows
        if name is not None:
            if on_adapter:
                on_adapter(name)
            try:
                resident = picker.load_adapter(name, activate=False)
            except AdapterError as error:
                left_out[name] = str(error)
                continue
            contract = picker.contract(resident)
            if contract is None or contract.preprocessing != campaign.preprocessing:
                left_out[name] = "its preprocessing is another; read the campaign with its --time-scale"
                continue
            thresholds = contract.thresholds
            labelled = with_moved_labels(windows, contract.pick_shift_s)
        with selected_adapter(resident):
            found = window_probabilities(picker.backbone, windows, campaign.frame.edge_limit_km)
        scores = score(labelled, found, thresholds)
        phases = {phase: scores.phase(phase, 0.5) for phase in ("P", "S")}
        ranking.append(
            Suggestion(
                name or "frozen",
                (scores.mean_f1(0.5) + scores.mean_f1(0.1)) / 2,
                cross_entropy(labelled, found),
                {phase: each.f1 if each.n_labels else None for phase, each in phases.items()},
                {phase: each.residual_median_s for phase, each in phases.items()},
            )
        )
    return sorted(ranking, key=lambda each: (-round(each.score, 2), each.loss)), left_out
