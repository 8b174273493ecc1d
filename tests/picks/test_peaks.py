"""Picks on one curve: hand-made corner cases, upstream's golden picks, and properties."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picks.peaks import CENTRE_REACH_SAMPLES, WIDTH_REACH_SAMPLES, PickFinder, find_picks

CURVES = arrays(np.float64, st.integers(0, 60), elements=st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.7, 0.9, 1.0, np.nan]))


def curve(n: int = 2000, **tops: float) -> np.ndarray:
    """Zeros with one-sample tops: curve(p100=0.5)."""
    values = np.zeros(n)
    for name, height in tops.items():
        values[int(name[1:])] = height
    return values


def samples(*args: object) -> list[float]:
    return find_picks(*args)[0].tolist()  # type: ignore[arg-type]  # tests pass lists too


def test_flat_curve_and_empty_curve_have_no_picks() -> None:
    for values in (np.zeros(0), np.zeros(1), np.zeros(3000), np.full(3000, 0.9)):
        assert [len(part) for part in find_picks(values, 0.3, 50)] == [0, 0, 0]


def test_maximum_on_the_first_or_last_sample_is_no_pick() -> None:
    assert samples(curve(100, p0=0.9, p50=0.8, p99=0.9), 0.3, 10) == [50.0]


def test_flat_top_is_one_pick_at_its_middle() -> None:
    values = curve(200)
    values[100:105] = 0.6  # golden corner case: upstream returns the rising edge, 100
    assert samples(values, 0.3, 50) == [102.0]
    values[105] = 0.6
    assert samples(values, 0.3, 50) == [102.5]


def test_flat_top_that_reaches_the_edge_is_no_pick() -> None:
    values = curve(200)
    values[190:] = 0.6
    values[:10] = 0.6
    assert samples(values, 0.3, 50) == []


def test_higher_of_two_picks_exactly_the_distance_apart_stays() -> None:
    assert samples(curve(p300=0.7, p400=0.6), 0.3, 100) == [300.0]
    assert samples(curve(p300=0.6, p400=0.7), 0.3, 100) == [400.0]
    assert samples(curve(p600=0.6, p701=0.7), 0.3, 100) == [600.0, 701.0]


def test_of_two_equal_picks_the_earlier_stays() -> None:
    assert samples(curve(p1300=0.55, p1380=0.55), 0.3, 100) == [1300.0]


def test_suppressed_pick_suppresses_nothing_itself() -> None:
    # 1600 and 1760 are each within 100 of 1680, which is within 100 of the highest, 1590.
    assert samples(curve(p1590=0.9, p1680=0.8, p1760=0.7), 0.3, 100) == [1590.0, 1760.0]
    assert samples(curve(p1600=0.7, p1680=0.8, p1760=0.7), 0.3, 100) == [1680.0]


def test_threshold_itself_is_a_pick_and_just_below_is_not() -> None:
    assert samples(curve(p900=0.2998, p1100=0.30005, p1300=0.3), 0.3, 50) == [1100.0, 1300.0]


def test_distance_zero_keeps_every_maximum() -> None:
    assert samples(curve(p10=0.5, p12=0.6, p14=0.5), 0.3, 0) == [10.0, 12.0, 14.0]


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_no_pick_is_made_of_a_hole_or_beside_it(hole: float) -> None:
    values = curve(300, p100=0.9, p200=0.8)
    values[101] = hole
    assert samples(values, 0.3, 10) == [200.0]
    values[150] = hole
    assert samples(values, 0.3, 10) == [200.0]


def test_position_of_a_parabola_is_exact() -> None:
    apex = 50.3
    values = np.maximum(0.0, 0.9 - 0.01 * (np.arange(100) - apex) ** 2)
    positions, heights, _ = find_picks(values, 0.3, 0)
    assert positions == pytest.approx([apex], abs=1e-9)
    assert heights.tolist() == [values[50]]  # the sample, not the apex: never above 1
    assert samples(values, 0.3, 100) == pytest.approx([apex], abs=0.05)  # its centre of mass, in whole samples


def test_a_pick_lies_in_the_middle_of_a_flattened_top() -> None:
    """Training with positive weight 5 turns the label triangle y into 5 y / (1 + 4 y), on which a ripple decides."""
    y = np.maximum(0.0, 1.0 - np.abs(np.arange(400) - 200.0) / 20.0)
    values = 5 * y / (1 + 4 * y)
    values[192] += 0.15
    assert np.argmax(values) == 192
    assert samples(values, 0.3, 0) == pytest.approx([192.0, 200.0], abs=0.5)
    assert samples(values, 0.3, 100) == pytest.approx([199.0], abs=1.0)


def test_a_centre_is_no_farther_from_its_maximum_than_half_the_distance_of_picks() -> None:
    values = np.zeros(400)
    values[100:300] = np.linspace(0.9, 0.6, 200)
    values[99] = 0.4
    assert samples(values, 0.3, 100) == pytest.approx([100 + CENTRE_REACH_SAMPLES / 2], abs=0.5)
    assert samples(values, 0.3, 20) == pytest.approx([105.0], abs=0.5)


def test_half_width_of_the_training_triangle_is_ten_samples() -> None:
    values = np.maximum(0.0, 1.0 - np.abs(np.arange(200) - 100.0) / 20.0)  # base 0.4 s = 40 samples
    assert find_picks(values, 0.3, 10)[2] == pytest.approx([10.0])
    assert find_picks(0.5 * values, 0.1, 10)[2] == pytest.approx([10.0])  # half of the height, not half of one


def test_half_width_of_a_gaussian_is_1_1774_sigma() -> None:
    values = np.exp(-0.5 * ((np.arange(400) - 200.0) / 12.0) ** 2)
    assert find_picks(values, 0.3, 10)[2] == pytest.approx([np.sqrt(2 * np.log(2)) * 12.0], rel=1e-3)


def test_half_width_takes_the_side_that_comes_down() -> None:
    triangle = np.maximum(0.0, 1.0 - np.abs(np.arange(200) - 100.0) / 20.0)
    assert find_picks(triangle[95:], 0.3, 10)[2] == pytest.approx([10.0])  # the left side is cut off at 0.75
    shoulder = np.maximum(triangle, 0.6 * (np.arange(200) < 100))  # never below 0.6 on the left
    assert find_picks(shoulder, 0.3, 10)[2] == pytest.approx([10.0])


def test_half_width_of_a_lower_pick_ends_where_a_higher_one_begins() -> None:
    distance = np.abs(np.arange(300)[:, None] - np.array([100.0, 130.0])[None])
    values = np.max(np.array([0.6, 1.0]) * np.maximum(0.0, 1.0 - distance / np.array([20.0, 40.0])), axis=1)
    positions, _, half_widths = find_picks(values, 0.3, 10)
    assert positions.tolist() == [100.0, 130.0]
    # The valley at 107 is 0.41 high, above half of 0.6: only the left side counts, 10 samples to 0.3.
    assert half_widths[0] == pytest.approx(10.0)


def test_half_width_is_bounded_on_long_curves() -> None:
    values = np.maximum(0.0, 1.0 - np.abs(np.arange(20001) - 10000.0) / 9000.0)
    assert find_picks(values, 0.3, 10)[2] == pytest.approx([WIDTH_REACH_SAMPLES])


def test_single_precision_gives_the_same_picks() -> None:
    values = np.random.default_rng(3).random(3000).astype(np.float32)
    for single, double in zip(find_picks(values, 0.5, 50), find_picks(values.astype(float), 0.5, 50), strict=True):
        np.testing.assert_array_equal(single, double)


def test_callers_curve_is_not_changed() -> None:
    values = curve(100, p10=np.nan, p50=0.8)
    before = values.copy()
    find_picks(values, 0.3, 10)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    ("values", "threshold", "distance", "message"),
    [
        (np.zeros((2, 5)), 0.3, 1, r"\(2, 5\)"),
        (np.zeros(5), 1.5, 1, "1.5"),
        (np.zeros(5), np.nan, 1, "nan"),
        (np.zeros(5), 0.3, -1, "-1"),
    ],
)
def test_wrong_arguments_are_refused(values: np.ndarray, threshold: float, distance: int, message: str) -> None:
    with pytest.raises(PhasenoPeftError, match=message):
        find_picks(values, threshold, distance)


def test_upstreams_golden_picks_are_found_but_for_the_documented_differences(shared: Path) -> None:
    """golden/README.md: mph 0.3, mpd 100; plateau 100-104 -> 100 there, 102 here; of 1300 and 1380 the later there;
    maxima there, centres here."""
    golden = load_file(shared / "golden" / "preprocessing.safetensors")
    ours_instead = {(2, "p", 100): 102.0, (2, "p", 1380): 1300.0}
    for station in range(3):
        for channel, phase in enumerate("ps"):
            positions, heights, _ = find_picks(golden["merged_probabilities"][station, channel], 0.3, 100)
            theirs = golden[f"picks.{station}.{phase}_idx"].tolist()
            expected = [ours_instead.get((station, phase, sample), float(sample)) for sample in theirs]
            assert np.abs(positions - expected).max() <= 0.6, (station, phase)
            np.testing.assert_allclose(heights, golden[f"picks.{station}.{phase}_prob"], atol=1e-6)


@given(CURVES, st.integers(0, 12))
def test_picks_are_ordered_apart_and_never_at_an_edge(values: np.ndarray, distance: int) -> None:
    positions, heights, half_widths = find_picks(values, 0.15, distance)
    assert np.all(np.diff(positions) > 0.0)
    assert np.all((positions > 0.0) & (positions < len(values) - 1.0))
    assert np.all((heights >= 0.15) & (heights <= 1.0))
    assert np.all((half_widths > 0.0) & (half_widths <= len(values)))


@given(CURVES, st.integers(0, 12), st.sampled_from([0.1, 0.2, 0.5, 0.6, 0.9]))
def test_picking_low_and_dropping_low_picks_equals_picking_high(
    values: np.ndarray, distance: int, threshold: float
) -> None:
    low = find_picks(values, 0.05, distance)
    stays = low[1] >= threshold
    for filtered, direct in zip((part[stays] for part in low), find_picks(values, threshold, distance), strict=True):
        np.testing.assert_array_equal(filtered, direct)


@given(CURVES, st.integers(0, 12))
def test_every_maximum_that_was_dropped_lies_near_a_pick_as_high(values: np.ndarray, distance: int) -> None:
    everything = find_picks(values, 0.15, 0)
    kept = find_picks(values, 0.15, distance)
    for position, height in zip(everything[0], everything[1], strict=True):
        near = np.abs(kept[0] - position) <= distance + 1.0
        assert np.any(near & (kept[1] >= height))


@pytest.mark.parametrize("kind", ["noise", "smooth", "steps", "gaps", "plateaus"])
@pytest.mark.parametrize("distance", [0, 1, 50, 700])
def test_a_curve_in_pieces_gives_the_picks_of_the_whole_curve(kind: str, distance: int) -> None:
    for seed in range(12):
        rng = np.random.default_rng([seed, distance])
        n = int(rng.integers(40, 6000))
        curve = curve_of(kind, n, rng).astype(np.float32)
        threshold = float(rng.choice([0.0, 0.02, 0.3, 0.6]))
        finder = PickFinder(threshold, distance)
        cuts = [0, *sorted(rng.integers(0, n, int(rng.integers(0, 12)))), n]
        pieces = [finder.push(curve[a:b]) for a, b in itertools.pairwise(cuts)]
        pieces.append(finder.push(curve[:0], last=True))
        for found, whole in zip(zip(*pieces, strict=True), find_picks(curve, threshold, distance), strict=True):
            np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-9)


def curve_of(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "noise":
        return rng.random(n)
    if kind == "smooth":
        return np.convolve(rng.random(n), np.ones(25) / 25, "same")
    if kind == "steps":
        return np.round(np.convolve(rng.random(n), np.ones(9) / 9, "same"), 1)
    if kind == "gaps":
        peaks = np.convolve(rng.random(n) ** 8, np.hanning(41) / 10, "same").clip(0, 1)[:n]
        return np.where(rng.random(n) < 0.01, np.nan, peaks)
    curve = np.zeros(n)
    for first in rng.integers(0, n, max(1, n // 200)):
        curve[first : first + int(rng.integers(1, 900))] = rng.random()
    return curve


@pytest.mark.parametrize("level", [0.1, 1.0])
def test_a_curve_is_not_held_longer_than_its_maxima_need(level: float) -> None:
    rng = np.random.default_rng(0)
    finder, held, given = PickFinder(0.3, 50), 0, 0
    for _ in range(50):
        given += len(finder.push(level * rng.random(6000))[0])
        held = max(held, len(finder._held))
    assert held < 2000
    assert (given > 1000) == (level == 1.0)
