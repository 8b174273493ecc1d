"""Scores at thresholds that other windows chose: what a threshold is worth shows where it was not chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation.metrics import choose_thresholds, score
from phaseno_peft.evaluation.scores import PhaseTally, Scores

if TYPE_CHECKING:
    from phaseno_peft.campaign.windows import Window


class Predictions(NamedTuple):
    """Windows, and the probabilities [station, phase, sample] that a model gives each."""

    windows: Sequence[Window]
    probabilities: Sequence[NDArray[np.floating]]

    def rows(self, rows: slice | Sequence[int]) -> Predictions:
        """Some of the windows, by their rows."""
        chosen = range(len(self.windows))[rows] if isinstance(rows, slice) else rows
        return Predictions([self.windows[i] for i in chosen], [self.probabilities[i] for i in chosen])


def score_at_thresholds_of(
    chosen_on: Predictions,
    scored_on: Predictions,
    *,
    spare_picks: float = 1.0,
    min_distance_s: float = 0.5,
    tolerances_s: Sequence[float] = (0.5, 0.1),
    seed: int = 0,
) -> Scores:
    """Return the scores on one set of windows at the thresholds chosen on another (`Scores.thresholds`).

    Options as of `choose_thresholds` and `score`. Both sets may be the same: then the scores flatter, and serve to
    compare epochs only.
    """
    thresholds = choose_thresholds(*chosen_on, spare_picks=spare_picks, min_distance_s=min_distance_s)
    return score(*scored_on, thresholds, tolerances_s=tolerances_s, min_distance_s=min_distance_s, seed=seed)


def cross_fitted_scores(
    predictions: Predictions,
    parts: Sequence[int],
    *,
    spare_picks: float = 1.0,
    min_distance_s: float = 0.5,
    tolerances_s: Sequence[float] = (0.5, 0.1),
    seed: int = 0,
) -> Scores:
    """Return the scores of all windows, each part of them at the thresholds chosen on the other parts.

    `parts` [window] is the part a window belongs to; windows that share an event belong together. The scores hold the
    windows part by part, and as threshold the mean of the parts'. Raises `PhasenoPeftError` for fewer than two parts.
    """
    names = sorted(set(parts))
    if len(names) < 2 or len(parts) != len(predictions.windows):
        raise PhasenoPeftError(
            f"`parts` should name two parts or more for {len(predictions.windows)} windows but names {len(names)} for "
            f"{len(parts)}."
        )
    return joined_scores(
        [
            score_at_thresholds_of(
                predictions.rows([i for i, part in enumerate(parts) if part != name]),
                predictions.rows([i for i, part in enumerate(parts) if part == name]),
                spare_picks=spare_picks,
                min_distance_s=min_distance_s,
                tolerances_s=tolerances_s,
                seed=seed,
            )
            for name in names
        ]
    )


def joined_scores(parts: Sequence[Scores]) -> Scores:
    """Return the scores of several sets of windows as one, in order; a threshold is then the mean of theirs.

    What each window was scored at stays known (`Scores.window_thresholds`).
    """
    first = np.cumsum([0, *(part.n_windows for part in parts)]).tolist()
    tallies = {}
    for phase, tally in parts[0].tallies.items():
        each = [part.tallies[phase] for part in parts]
        columns: dict[str, Any] = {
            name: sum((getattr(one, name) for one in each), ())
            for name in PhaseTally.__slots__
            if name not in ("phase", "threshold", "match_window", "window_thresholds")
        }
        of_windows = [own[phase] for part in parts for own in part.window_thresholds]
        tallies[phase] = dataclasses.replace(
            tally,
            threshold=sum(one.threshold for one in each) / len(each),
            match_window=tuple(w + before for one, before in zip(each, first, strict=False) for w in one.match_window),
            window_thresholds=tuple(of_windows) if len(set(of_windows)) > 1 else (),
            **columns,
        )
    noise_windows = sum((part.noise_windows for part in parts), ())
    groups: tuple[int, ...] = ()
    for part in parts:
        before = max(groups, default=-1) + 1
        groups += tuple(before + group for group in part.window_groups or range(part.n_windows))
    return dataclasses.replace(parts[0], tallies=tallies, noise_windows=noise_windows, window_groups=groups)
