"""The constant part of a catalogue's convention: how far its picks lie from the frozen network's.

Catalogues of peaks or troughs, of automatic pickers and of template matching differ from the network's picks by a
constant first of all. A median finds that from some tens of picks; a network needs many steps for it. So it is measured
on the training events, taken off the labels before training and put back on the picks (`Contract.pick_shift_s`), and
the network learns what is not constant.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from phaseno_peft.campaign import Stretch, fixed_windows
from phaseno_peft.contract import LARGEST_PICK_SHIFT_S, PHASES, BackboneDefaults, Frame, Preprocessing
from phaseno_peft.evaluation import Predictions, Scores, score_at_thresholds_of
from phaseno_peft.picking.inference import window_probabilities

FEWEST_PICKS = 8
"""A median of fewer is decided by one or two picks."""
WIDEST_SPREAD_S = 0.15
"""Network's time, 1.4826 * median absolute deviation. Chance matches spread by 0.37 s where picks are rare, and by 0.19
s where a pick stands every half second."""
LEAST_STANDARD_ERRORS = 3.0
"""A median nearer to zero than this many of its standard errors is not told apart from zero."""
MEDIAN_STANDARD_ERROR = math.sqrt(math.pi / 2)
"""Of the median of n normal values, times standard deviation / sqrt(n)."""
MOST_WINDOWS = 60
"""Windows of training events that are judged, spread evenly over all: some hundred picks a phase."""


@dataclass(frozen=True, slots=True)
class PickShift:
    """The shift of one phase, and what it was measured on; seconds are real, positive where the catalogue is later."""

    shift_s: float
    """What is taken off the labels; 0 where the picks do not give one."""
    n: int
    """Picks of the frozen network within 0.5 s (network's time) of a label."""
    median_s: float | None
    """Of label - pick."""
    spread_s: float | None
    """1.4826 * their median absolute deviation."""
    reason: str = ""
    """Why `shift_s` is 0."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dataclasses.asdict(self)


def measure_pick_shift(
    frozen: torch.nn.Module, stretches: Sequence[Stretch], frame: Frame, preprocessing: Preprocessing, seed: int
) -> dict[str, PickShift]:
    """The shift of each phase between a frozen network's picks and the labels of training stretches.

    Picks are those at the thresholds that fit these labels best. A shift is 0 where too few picks match, where they
    spread too widely, or where their median is not told apart from zero.
    """
    windows = fixed_windows(stretches, frame, preprocessing, seed, noise_per_event=0)
    windows = windows[:: -(-len(windows) // MOST_WINDOWS) or 1]
    found = Predictions(windows, window_probabilities(frozen, windows, frame.edge_limit_km))
    return pick_shift_of(score_at_thresholds_of(found, found, min_distance_s=BackboneDefaults().min_distance_s))


def pick_shift_of(scores: Scores) -> dict[str, PickShift]:
    """The shift of each phase that the residuals of a frozen network's picks give."""
    return {phase: _of_phase(scores, phase) for phase in PHASES}


def shifts_s(measured: Mapping[str, PickShift]) -> dict[str, float]:
    """Phase -> shift, real seconds, as `Contract.pick_shift_s` has it."""
    return {phase: measured[phase].shift_s if phase in measured else 0.0 for phase in PHASES}


def describe(measured: Mapping[str, PickShift]) -> list[str]:
    """One sentence a phase, for the terminal and the card."""
    lines = []
    for phase, found in measured.items():
        if found.shift_s:
            lines.append(
                f"{phase}: the catalogue's picks lie {abs(found.shift_s):.3f} s "
                f"{'after' if found.shift_s > 0 else 'before'} the frozen network's (median of {found.n} on training "
                f"events, spread {found.spread_s:.3f} s). This was taken off the labels before training and is put "
                "back on the picks."
            )
        else:
            lines.append(f"{phase}: no constant shift is taken off the labels: {found.reason}.")
    return lines


def _of_phase(scores: Scores, phase: str) -> PickShift:
    found, k = scores.phase(phase, LARGEST_PICK_SHIFT_S), scores.time_scale
    n = found.tp
    if n == 0:
        return PickShift(0.0, 0, None, None, "the frozen network has no pick near a label of the training events")
    median_s, spread_s = -found.residual_median_s + 0.0, found.residual_mad_s
    error_s = MEDIAN_STANDARD_ERROR * spread_s / math.sqrt(n)
    reason = ""
    if n < FEWEST_PICKS:
        reason = f"only {n} picks of the frozen network match labels of the training events, {FEWEST_PICKS} are needed"
    elif spread_s * k > WIDEST_SPREAD_S:
        reason = (
            f"the frozen network's picks spread by {spread_s:.3f} s around the labels, more than "
            f"{WIDEST_SPREAD_S / k:g} s"
        )
    elif abs(median_s) <= LEAST_STANDARD_ERRORS * error_s:
        reason = f"a median of {median_s:+.3f} s is not told apart from zero (n = {n}, standard error {error_s:.3f} s)"
    largest_s = LARGEST_PICK_SHIFT_S / k
    shift_s = 0.0 if reason else min(max(median_s, -largest_s), largest_s)
    return PickShift(shift_s, n, median_s, spread_s, reason)
