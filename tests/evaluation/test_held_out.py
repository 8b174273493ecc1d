"""Thresholds from some windows, scores on others; halves and parts that judge each other."""

from __future__ import annotations

import numpy as np
import pytest

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import Predictions, cross_fitted_scores, joined_scores, score, score_at_thresholds_of
from tests.evaluation.handmade_windows import probability, window

AT = {"P": 0.3, "S": 0.3}


def strong_and_weak(n: int = 3) -> Predictions:
    """Even windows are right above 0.6 with false picks at 0.5; odd ones are right at 0.4."""
    event = window({(0, "P"): [300]}, stations=1)
    strong = probability({(0, "P"): [300]}, stations=1, height=0.7)
    false = probability({(0, "P"): [800]}, stations=1, height=0.5)
    weak = probability({(0, "P"): [300]}, stations=1, height=0.4)
    return Predictions([event, event] * n, [np.maximum(strong, false), weak] * n)


def test_thresholds_come_from_the_first_windows_and_scores_from_the_second() -> None:
    whole = strong_and_weak()
    strong, weak = whole.rows(slice(0, None, 2)), whole.rows([1, 3, 5])
    scores = score_at_thresholds_of(strong, weak, spare_picks=0)
    assert 0.5 < scores.thresholds["P"] <= 0.7
    assert (scores.phase("P").tp, scores.phase("P").fn) == (0, 3)
    scores = score_at_thresholds_of(weak, strong, spare_picks=0)
    assert scores.thresholds["P"] <= 0.4
    assert (scores.phase("P").tp, scores.phase("P").fp) == (3, 3)


def test_each_half_is_picked_at_the_thresholds_of_the_other() -> None:
    scores = cross_fitted_scores(strong_and_weak(), [0, 1] * 3, spare_picks=0).phase("P")
    assert (scores.tp, scores.fp, scores.fn) == (3, 3, 3)  # the wrong thresholds for either half, as it must be


def test_each_of_three_parts_is_picked_at_the_thresholds_of_the_two_others() -> None:
    found = strong_and_weak()
    parts = [0, 1, 0, 1, 2, 1]
    scores = cross_fitted_scores(found, parts, spare_picks=0)
    each = []
    for part in range(3):
        inside = found.rows([i for i in range(6) if parts[i] == part])
        outside = found.rows([i for i in range(6) if parts[i] != part])
        each.append(score_at_thresholds_of(outside, inside, spare_picks=0))
    assert scores == joined_scores(each)
    assert scores.n_windows == 6


def test_one_part_has_no_others_to_be_judged_by() -> None:
    with pytest.raises(PhasenoPeftError, match="two parts"):
        cross_fitted_scores(strong_and_weak(), [0] * 6)


def test_joined_scores_are_those_of_all_windows_at_once() -> None:
    windows = [window({(0, "P"): [300], (1, "S"): [500]}), window({(1, "P"): [200]}), window(is_noise=True)]
    found = [probability({(0, "P"): [305], (1, "S"): [530]}), probability({(1, "P"): [900]}), probability()]
    whole = score(windows, found, AT)
    parts = joined_scores([score(windows[i : i + 1], found[i : i + 1], AT) for i in range(3)])
    assert parts == whole
    assert (parts.phase("P").tp, parts.phase("P").fp, parts.phase("P").fn) == (1, 1, 1)
