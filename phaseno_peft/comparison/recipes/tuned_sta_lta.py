"""STA/LTA as a user would tune it: the best of some settings on the training windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phaseno_peft.baselines.sta_lta import StaLta
from phaseno_peft.campaign import Window
from phaseno_peft.contract import PHASES
from phaseno_peft.evaluation import choose_thresholds, score


def tuned_sta_lta(windows: Sequence[Window]) -> StaLta:
    """The settings with the best mean F1 on these windows, over P and S within 0.5 and 0.1 s, of every one of `TRIED`.

    Each with the thresholds that are best for it on them.
    """

    def worth(rival: StaLta) -> float:
        said = rival.probabilities(windows)
        scores = score(windows, said, choose_thresholds(windows, said))
        return float(np.mean([scores.phase(phase, tolerance).f1 for phase in PHASES for tolerance in (0.5, 0.1)]))

    return max(TRIED, key=worth)  # the first of equals: the default settings come first


TRIED = tuple(
    StaLta(
        name="STA/LTA + AIC + polarisation, tuned",
        sta_s=sta_s,
        lta_s={"P": 5.0 * longer, "S": 2.0 * longer},
        polarised=polarised,
    )
    for polarised in (False, True)
    for longer in (1.0, 0.5, 2.0)
    for sta_s in (0.3, 0.1)
)
"""Twelve: averages half, once and twice as long, short ones of two lengths, with polarisation and without."""
