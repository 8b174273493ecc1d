"""One-to-one matching of picks and labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation.matching import match

# Multiples of 1/64 s are exact in binary: a shift by another changes no bit of a difference.
TIMES = st.lists(st.integers(0, 640).map(lambda n: n / 64.0), max_size=8)
TOLERANCE = st.integers(0, 128).map(lambda n: n / 64.0)


def test_nothing_matches_nothing() -> None:
    assert match([], [], 0.5).pairs == ()
    assert match([1.0], [], 0.5).unmatched_picks == (0,)
    assert match([], [1.0], 0.5).unmatched_labels == (0,)


def test_tolerance_itself_is_within_and_a_sample_more_is_not() -> None:
    assert match([10.5], [10.0], 0.5).pairs == ((0, 0),)
    assert match([0.4 + 0.1], [0.6], 0.1).pairs == ((0, 0),)  # 0.09999999999999998 or 0.10000000000000003: no matter
    assert match([10.51], [10.0], 0.5).pairs == ()


def test_nearest_pick_takes_the_label_and_the_other_is_left() -> None:
    found = match([9.8, 10.1], [10.0], 0.5)
    assert found.pairs == ((1, 0),)
    assert found.unmatched_picks == (0,)


def test_nearest_pair_comes_first_even_where_two_pairs_were_possible() -> None:
    # 10.6 is 0.1 from 10.5; giving it to 11.05 would have saved that label, at the price of 0.5 and 0.45 s.
    found = match([10.0, 10.6], [10.5, 11.05], 0.5)
    assert found.pairs == ((1, 0),)
    assert found.unmatched_picks == (0,)
    assert found.unmatched_labels == (1,)


def test_of_equally_near_ones_the_earlier_label_and_the_earlier_pick_win() -> None:
    assert match([10.0], [9.75, 10.25], 0.5).pairs == ((0, 0),)
    assert match([10.25, 9.75], [10.0], 0.5).pairs == ((1, 0),)


def test_negative_tolerance_is_refused() -> None:
    with pytest.raises(PhasenoPeftError, match=r"-0\.1"):
        match([], [], -0.1)


@given(TIMES, TIMES, TOLERANCE)
def test_matching_is_one_to_one_complete_and_within_the_tolerance(
    picks: list[float], labels: list[float], tolerance: float
) -> None:
    found = match(picks, labels, tolerance)
    assert sorted([pick for pick, _ in found.pairs] + list(found.unmatched_picks)) == list(range(len(picks)))
    assert sorted([label for _, label in found.pairs] + list(found.unmatched_labels)) == list(range(len(labels)))
    assert all(abs(picks[pick] - labels[label]) <= tolerance + 1e-9 for pick, label in found.pairs)
    for pick in found.unmatched_picks:  # nothing that could be paired is left on both sides
        assert all(abs(picks[pick] - labels[label]) > tolerance for label in found.unmatched_labels)


@given(TIMES, TIMES, TOLERANCE, st.integers(-1000, 1000))
def test_shifting_picks_and_labels_together_changes_nothing(
    picks: list[float], labels: list[float], tolerance: float, shift: int
) -> None:
    moved = match([t + shift / 64 for t in picks], [t + shift / 64 for t in labels], tolerance)
    assert moved == match(picks, labels, tolerance)


@given(TIMES, TIMES, TOLERANCE, TOLERANCE)
def test_matching_at_a_small_tolerance_is_the_close_part_of_a_wide_one(
    picks: list[float], labels: list[float], one: float, other: float
) -> None:
    small, wide = sorted([one, other])
    close = tuple(
        (pick, label)
        for pick, label in match(picks, labels, wide).pairs
        if abs(picks[pick] - labels[label]) <= small + 1e-9
    )
    assert close == match(picks, labels, small).pairs
