"""Coverage and reliability on picks whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest

from phaseno_peft.contract import PickUncertainty
from phaseno_peft.evaluation import Predictions, score
from phaseno_peft.evaluation.calibration import stated_for
from phaseno_peft.judging.curves import counts_over_thresholds
from phaseno_peft.judging.uncertainty import coverage, reliability
from tests.evaluation.handmade_windows import probability, window
from tests.judging.test_curves import judgement, picks

PLACES = (150.0, 350.0, 550.0, 750.0)


def test_coverage_is_that_of_normal_errors_and_a_constant_offset_spoils_it_only_until_it_is_taken_off() -> None:
    rng = np.random.default_rng(0)
    windows = [window({(0, "P"): PLACES}) for _ in range(100)]
    spread_s, offset_s = 0.05, 0.04
    for offset, expected in ((0.0, 0.68), (offset_s, 0.53)):  # 0.53: within one sigma of 0.8 sigma off
        found = [
            probability({(0, "P"): [at + 100 * (offset + rng.normal(0, spread_s)) for at in PLACES]}) for _ in windows
        ]
        predictions = Predictions(windows, found)
        scores = score(*predictions, {"P": 0.3, "S": 0.3})
        width_s = scores.phase("P").half_width_median_s
        stated = stated_for(scores, PickUncertainty({"P": spread_s / width_s, "S": 1.0}))
        one, two = coverage(scores, stated)
        assert (one.phase, one.stated, one.picks) == ("P", "68 %", 400)
        assert one.share == pytest.approx(expected, abs=0.06)
        assert one.low < one.share < one.high
        assert (one.median_s, two.median_s) == pytest.approx((spread_s, 1.96 * spread_s), rel=0.01)
        assert one.share_without_offset == pytest.approx(0.68, abs=0.06)
        assert two.share > one.share
    assert one.judgement == "too narrow"
    assert two.judgement in ("too narrow", "as stated")


def test_reliability_counts_right_picks_by_their_probability() -> None:
    """At 0.45 half the picks are right, at 0.85 all of them."""
    windows = [window({(0, "P"): [200, 600]}) for _ in range(10)]
    made = judgement(windows, {"adapter": [picks((0.45, 200), (0.45, 400), (0.85, 600)) for _ in windows]})
    (curve,) = reliability(made.scores, counts_over_thresholds(made))
    assert curve.x.tolist() == pytest.approx([0.45, 0.85])
    assert curve.y.tolist() == pytest.approx([0.5, 1.0])
    assert curve.labels is not None
    assert curve.labels.tolist() == [20, 10]
