"""What a card says of how an adapter was trained and its scores were made, from numbers in its `evaluation.json`.

Sentences of our own and counts: they tell nothing of the campaign, and stay where a campaign is confidential.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SIDES = ("test", "all events, out of fold", "all events, which chose its thresholds")
"""What an adapter's scores are of: events set aside, of folds, or of events that could not be parted."""
HEADINGS = ("Scores on held-out events", "Scores on the events that chose its thresholds")


def judged_side(n_folds: int) -> str:
    """Which of `SIDES`, where `n_folds` were trained; 0 where events were set aside, 1 where none could be."""
    return SIDES[0 if not n_folds else 1 if n_folds > 1 else 2]


def heading_of_scores(n_folds: int) -> str:
    """Of the card's table of scores, where `n_folds` were trained."""
    return HEADINGS[n_folds == 1]


def notes_on_training(about: Mapping[str, Any]) -> list[str]:
    """Sentences on folds, pseudo-labels and replayed windows, of an adapter that had them."""
    return [
        *([how_scored(about["folds"])] if about.get("folds") else []),
        *([how_unlabelled(about["unlabelled"])] if about.get("unlabelled") else []),
        *([how_replayed(replay)] if (replay := about.get("training", {}).get("replay")) else []),
    ]


def how_scored(folds: Mapping[str, Any]) -> str:
    """How scores out of fold were made and what ships. `folds`: their number, events of each, epoch and factor kept."""
    k, kept, factor = folds["folds"], folds["epoch"], folds["factor"]
    if k == 1:
        return (
            "No event could be held out: this adapter is the frozen backbone, with its picks moved by the constant "
            "shift where one was found, and its thresholds and scores are of the very events they were chosen on. The "
            "scores flatter."
        )
    made = (
        f"The scores are those of {k} adapters, each on the events it was not trained on, at thresholds of the other "
        f"folds. Number of epochs and part of the update were chosen on the same predictions. "
    )
    if not factor:
        return made + (
            "No adaptation was better there than moving the frozen network's picks by the constant shift: this adapter "
            "is that shift with its thresholds and calibration, and its update is zero."
        )
    return made + (
        f"The adapter here was trained on all {sum(folds['events'])} events for as many steps, {kept} epochs"
        + (f", and keeps {factor:g} of its update." if factor < 1 else ".")
    )


def how_replayed(replay: float) -> str:
    """What trained beside the campaign. `replay`: windows of it, as part of the campaign's."""
    return (
        f"Beside the campaign's windows it was trained on {replay:g} times as many of simulated networks, others in "
        "every epoch: its scores on these say little of what it forgets of other recorded ones."
    )


def how_unlabelled(rounds: Sequence[Mapping[str, Any]]) -> str:
    """What became of records that nobody picked. `rounds`: counts of each, and whether it is kept."""
    n_kept = sum(one["kept"] for one in rounds)
    if n_kept:
        return (
            f"{rounds[n_kept - 1]['events']} pseudo-labelled events of records that nobody picked trained too "
            f"({n_kept} of {len(rounds)} rounds kept); none of them is judged on, none lies near a labelled event. "
            "Whether a round is kept was chosen on the predictions that are judged."
        )
    if not rounds[0]["events"]:
        return "Records that nobody picked held no event that the trained adapters agree on: not used."
    return "Records that nobody picked were offered to training, and made it no better on labelled events: not used."
