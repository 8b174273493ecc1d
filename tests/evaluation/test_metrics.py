"""Scores, thresholds and calibration: small cases worked out by hand, wrong-answer controls, and properties."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phaseno_peft.campaign.windows import Window
from phaseno_peft.contract import PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation.metrics import (
    THRESHOLD_CANDIDATES,
    choose_thresholds,
    cross_entropy,
    event_groups,
    pick_window,
    score,
    threshold_counts,
)
from phaseno_peft.evaluation.scores import Scores, f1_gain
from phaseno_peft.training.loop import masked_loss
from tests.evaluation.handmade_windows import SAMPLES, probability, window

THRESHOLDS = {"P": 0.3, "S": 0.3}


def counts(scores: Scores, phase: str, tolerance_s: float = 0.5) -> tuple[int, int, int, int]:
    found = scores.phase(phase, tolerance_s)
    return found.tp, found.fp, found.fn, found.tn


def test_one_event_window_worked_by_hand() -> None:
    """Station 0: P 5 samples late and a second, wrong P; S 40 samples late. Station 1: P missed, no S label."""
    w = window({(0, "P"): [300], (0, "S"): [500], (1, "P"): [320]})
    p = probability({(0, "P"): [305, 700], (0, "S"): [540]})
    scores = score([w], [p], THRESHOLDS)
    assert counts(scores, "P") == (1, 1, 1, 0)
    assert counts(scores, "S") == (1, 0, 0, 1)  # station 1 has no S label, all is known, no pick: a true negative
    assert counts(scores, "S", 0.1) == (0, 1, 1, 1)  # 0.4 s late is wrong at 0.1 s: a false pick and a missed label
    found = scores.phase("P")
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert found.accuracy == pytest.approx(1 / 3)
    assert found.n_labels == 2
    assert found.residuals_s == pytest.approx((0.05,))
    assert found.half_widths_s == pytest.approx((0.1,))  # triangle of base 40 samples: 10 samples at half height
    assert scores.mean_f1(0.5) == pytest.approx((0.5 + 1.0) / 2)


def test_noise_window_counts_every_pick_and_every_silent_station() -> None:
    w = window(is_noise=True, known=False)  # whatever `known` says: noise is noise
    scores = score([w], [probability({(0, "P"): [200, 400, 600]})], THRESHOLDS)
    assert counts(scores, "P") == (0, 3, 0, 1)
    assert counts(scores, "S") == (0, 0, 0, 2)
    assert scores.phase("S").accuracy == 1.0


def test_unlabelled_station_of_an_event_window_is_judged_only_where_it_is_known() -> None:
    known = np.ones((2, 2, SAMPLES), bool)
    known[1, :, 250:] = False
    w = window({(0, "P"): [300]}, known=known)
    right = {(0, "P"): [300]}
    assert counts(score([w], [probability(right)], THRESHOLDS), "P") == (1, 0, 0, 0)  # not all known: no true negative
    assert counts(score([w], [probability(right | {(1, "P"): [100]})], THRESHOLDS), "P") == (1, 1, 0, 0)
    assert counts(score([w], [probability(right | {(1, "P"): [400]})], THRESHOLDS), "P") == (1, 0, 0, 0)


def test_pick_on_a_doubtful_arrival_beside_a_labelled_one_is_not_counted() -> None:
    known = np.ones((2, 2, SAMPLES), bool)
    known[0, 0, 600:801] = False  # 1 s around a catalogue pick of weight 0 at 700
    w = window({(0, "P"): [300]}, known=known)
    assert counts(score([w], [probability({(0, "P"): [300, 700]})], THRESHOLDS), "P") == (1, 0, 0, 1)
    assert counts(score([w], [probability({(0, "P"): [300, 550]})], THRESHOLDS), "P") == (1, 1, 0, 1)


def test_pick_near_a_label_is_judged_even_on_unknown_samples() -> None:
    w = window({(0, "P"): [300]}, known=False)
    scores = score([w], [probability({(0, "P"): [330]})], THRESHOLDS)
    assert counts(scores, "P", 0.5) == (1, 0, 0, 0)
    assert counts(scores, "P", 0.1) == (0, 1, 1, 0)


def test_counts_are_summed_over_windows() -> None:
    event, noise = window({(0, "P"): [300]}), window(is_noise=True)
    p = probability({(0, "P"): [300]})
    scores = score([event, event, noise], [p, p, p], THRESHOLDS)
    assert counts(scores, "P") == (2, 1, 0, 3)
    assert (scores.n_windows, scores.n_noise_windows, scores.n_labels("P")) == (3, 1, 2)


def test_wrong_answers_get_wrong_scores() -> None:
    """Controls: the same picks on the other station, the other phase, another second, or nowhere score nothing."""
    w = window({(0, "P"): [300]})
    assert score([w], [probability({(0, "P"): [300]})], THRESHOLDS).phase("P").f1 == 1.0
    for wrong in ({(1, "P"): [300]}, {(0, "S"): [300]}, {(0, "P"): [451]}, {}):
        assert score([w], [probability(wrong)], THRESHOLDS).phase("P").f1 == 0.0
    everywhere = probability({(s, p): range(30, 970, 60) for s in range(2) for p in PHASES}, half_base=10)
    scores = score([w], [everywhere], THRESHOLDS)
    assert scores.phase("P").recall == 1.0
    assert scores.phase("P").precision < 0.05


def test_without_labels_and_picks_ratios_are_undefined_but_f1_is_zero() -> None:
    found = score([window()], [probability()], THRESHOLDS).phase("P")
    assert found.f1 == 0.0
    assert found.f1_95 == (0.0, 0.0)
    for value in (found.precision, found.recall, found.residual_median_s, found.residual_mad_s, found.residual_std_s):
        assert math.isnan(value)
    assert found.accuracy == 1.0
    assert found.summary()["precision"] is None
    assert score([], [], THRESHOLDS).mean_f1() == 0.0


def test_mean_f1_leaves_out_a_phase_without_labels() -> None:
    scores = score([window({(0, "P"): [300]})], [probability({(0, "P"): [300], (0, "S"): [500]})], THRESHOLDS)
    assert scores.mean_f1(0.5) == 1.0


def test_residual_statistics_are_those_of_the_hand_made_delays() -> None:
    """Delays 1, 2, 3, 4, 30 samples: median 3, MAD 1 (times 1.4826), mean 8."""
    delays = [1, 2, 3, 4, 30]
    ws = [window({(0, "P"): [300]}) for _ in delays]
    scores = score(ws, [probability({(0, "P"): [300 + d]}) for d in delays], THRESHOLDS)
    found = scores.phase("P")
    assert found.residual_median_s == pytest.approx(0.03)
    assert found.residual_mad_s == pytest.approx(0.014826)
    assert found.residual_mean_s == pytest.approx(0.08)
    assert found.residual_std_s == pytest.approx(np.std(delays) / 100)
    assert found.residual_mae_s == pytest.approx(0.08)
    np.testing.assert_allclose(scores.f1_curve("P", [0.02, 0.05, 0.3, 1.0]), [2 / 5, 4 / 5, 1.0, 1.0])


def test_residuals_and_widths_of_scaled_time_are_real_seconds_and_tolerances_the_networks() -> None:
    """k = 5 (500 Hz): 40 samples late are 0.4 s for the network and 0.08 s in reality."""
    w = window({(0, "P"): [300]}, rate_hz=500.0)
    scores = score([w], [probability({(0, "P"): [340]})], THRESHOLDS)
    assert scores.time_scale == 5.0
    assert counts(scores, "P", 0.5)[0] == 1
    assert counts(scores, "P", 0.1)[0] == 0
    assert scores.phase("P").residuals_s == pytest.approx((0.08,))
    assert scores.phase("P").half_widths_s == pytest.approx((0.02,))


@pytest.mark.parametrize("rate_hz", [100.0, 500.0])
def test_min_distance_is_inclusive_and_in_seconds_of_the_network(rate_hz: float) -> None:
    w = window(is_noise=True, rate_hz=rate_hz)
    p = probability({(0, "P"): [300, 350]}, half_base=10)
    assert counts(score([w], [p], THRESHOLDS, min_distance_s=0.5), "P")[1] == 1
    assert counts(score([w], [p], THRESHOLDS, min_distance_s=0.49), "P")[1] == 2


def test_picks_of_a_window_name_station_phase_and_sample() -> None:
    picks = pick_window(window(), probability({(1, "S"): [500], (0, "P"): [300]}), THRESHOLDS)
    assert [(p.station, p.phase, p.sample) for p in picks] == [(0, 0, 300.0), (1, 1, 500.0)]
    assert picks[0].probability == pytest.approx(0.8)
    assert picks[0].half_width_samples == pytest.approx(10.0)


def test_scores_survive_json_whole() -> None:
    ws = [window({(0, "P"): [300], (1, "S"): [500]}), window(is_noise=True)]
    scores = score(ws, [probability({(0, "P"): [303.3], (1, "S"): [490]}), probability()], THRESHOLDS)
    raw = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert Scores.from_json(raw) == scores
    assert raw["summary"]["P"]["0.5"]["tp"] == 1
    assert "window_thresholds" not in raw["tallies"]["P"]  # as earlier versions wrote and read it


@pytest.mark.parametrize(
    "damage", ["tallies", "noise_windows", "labels", "match_probability", "extra", "window_thresholds"]
)
def test_damaged_scores_are_refused(damage: str) -> None:
    raw = score([window({(0, "P"): [300]})], [probability({(0, "P"): [300]})], THRESHOLDS).to_json()
    if damage in raw:
        del raw[damage]
    elif damage == "extra":
        raw["tallies"]["P"]["extra"] = 1
    elif damage == "window_thresholds":
        raw["tallies"]["P"][damage] = [0.3, 0.4]  # of two windows, where there is one
    else:
        raw["tallies"]["P"][damage] = []
    with pytest.raises(PhasenoPeftError, match="damaged"):
        Scores.from_json(raw)


def test_bootstrap_interval_holds_the_score_and_repeats() -> None:
    rng = np.random.default_rng(1)
    ws = [window({(0, "P"): [300]}) for _ in range(40)]
    ps = [probability({(0, "P"): [300 if rng.random() < 0.7 else 500]}) for _ in ws]
    found = score(ws, ps, THRESHOLDS, seed=4).phase("P")
    # 40 windows, each right with 0.7: F1 is the share of right ones, its standard error sqrt(0.7 * 0.3 / 40) = 0.072.
    low, high = found.f1_95
    assert low < found.f1 < high
    assert (high - low) == pytest.approx(2 * 1.96 * math.sqrt(found.f1 * (1 - found.f1) / 40), rel=0.15)
    assert score(ws, ps, THRESHOLDS, seed=4).phase("P") == found


def test_gain_between_two_models_is_paired_and_needs_the_same_windows() -> None:
    ws = [window({(0, "P"): [300]}) for _ in range(20)]
    hard = [probability({(0, "P"): [300 if i % 2 else 500]}) for i in range(20)]
    better = [probability({(0, "P"): [300 if i % 2 or i == 0 else 500]}) for i in range(20)]
    before, after = score(ws, hard, THRESHOLDS), score(ws, better, THRESHOLDS)
    gain, low, high = f1_gain(before, after, "P")
    assert gain == pytest.approx(0.05)
    assert 0.0 <= low <= gain <= high
    assert high - low < 0.2 < after.phase("P").f1_95[1] - after.phase("P").f1_95[0]
    assert f1_gain(before, before, "P") == (0.0, 0.0, 0.0)
    with pytest.raises(PhasenoPeftError, match="same windows"):
        f1_gain(before, score(ws[:-1], better[:-1], THRESHOLDS), "P")


def test_arguments_that_do_not_fit_are_named() -> None:
    w, p = window(name="rec@100"), probability()
    with pytest.raises(PhasenoPeftError, match=r"rec@100: .*\(2, 2, 999\)"):
        score([w], [p[..., :-1]], THRESHOLDS)
    with pytest.raises(PhasenoPeftError, match="1 windows but probabilities of 0"):
        score([w], [], THRESHOLDS)
    with pytest.raises(PhasenoPeftError, match="no value for S"):
        score([w], [p], {"P": 0.3})
    with pytest.raises(PhasenoPeftError, match="100 Hz, 500 Hz"):
        score([w, window(rate_hz=500.0)], [p, p], THRESHOLDS)
    scores = score([w], [p], THRESHOLDS)
    with pytest.raises(PhasenoPeftError, match=r"between 0 and 1.*2\.0"):
        scores.phase("P", 2.0)
    with pytest.raises(PhasenoPeftError, match="'X'"):
        scores.phase("X")
    assert score([w], [p], THRESHOLDS, tolerances_s=(2.0,)).phase("P", 2.0).tp == 0


def test_threshold_is_the_middle_of_the_best_plateau() -> None:
    """Right picks 0.8 high, wrong ones 0.4: every candidate in (0.4, 0.8] is perfect, 0.41 ... 0.80, middle 0.60."""
    ws = [window({(0, "P"): [300], (0, "S"): [600]})]
    p = np.maximum(probability({(0, "P"): [300], (0, "S"): [600]}), probability({(1, "P"): [100]}, height=0.4))
    chosen = choose_thresholds(ws, [p.astype(np.float64)])
    assert chosen["P"] == 0.6
    # No wrong S: 0.05 ... 0.80, where 0.8 in single precision is 0.800000012. Middle of 76 candidates: the 38th, 0.42.
    assert chosen["S"] == 0.42


def test_a_threshold_that_is_better_by_less_than_a_pick_is_not_better() -> None:
    """24 right picks 0.8 high and one wrong 0.7: F1 is 1 at 0.71 ... 0.80, and 48 / 49 from 0.05 on."""
    at = {(0, "P"): list(range(100, 900, 100))}
    ws, right = [window(at) for _ in range(3)], probability(at)
    ps = [np.maximum(right, probability({(1, "P"): [150]}, height=0.7)), right, right]
    assert choose_thresholds(ws, ps)["P"] == 0.42  # 1 / 49 is less than one of 24
    assert choose_thresholds(ws, ps, spare_picks=0)["P"] == 0.75
    three = np.maximum(right, probability({(1, "P"): [150, 350, 550]}, height=0.7))
    assert choose_thresholds(ws, [three, right, right])["P"] == 0.75  # 3 / 51 is more


def test_candidate_exactly_as_high_as_a_pick_keeps_it() -> None:
    w, p = window({(0, "P"): [300]}), probability({(0, "P"): [300]}, height=0.5)
    assert choose_thresholds([w], [p], candidates=(0.5, 0.75))["P"] == 0.5


def test_threshold_of_a_phase_that_is_never_right_is_the_backbones() -> None:
    ws = [window({(0, "P"): [300]})]
    chosen = choose_thresholds(ws, [probability({(0, "P"): [300], (0, "S"): [500]})])
    assert chosen["S"] == 0.3
    with pytest.raises(PhasenoPeftError, match="candidates"):
        choose_thresholds(ws, [probability()], candidates=())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_threshold_choice_equals_scoring_at_every_candidate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ws, ps = random_case(rng)
    candidates = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
    best = choose_thresholds(ws, ps, candidates=candidates, spare_picks=0)
    chosen = choose_thresholds(ws, ps, candidates=candidates)
    for phase in PHASES:
        f1 = [score(ws, ps, dict.fromkeys(PHASES, c)).phase(phase).f1 for c in candidates]
        if max(f1) > 0:
            assert f1[candidates.index(best[phase])] == max(f1)
            assert f1[candidates.index(chosen[phase])] > max(f1) - 0.05


def random_case(rng: np.random.Generator) -> tuple[list, list[np.ndarray]]:
    """Three windows with labels and bumpy probabilities at random, one of them noise."""
    ws, ps = [], []
    for i in range(3):
        at = {(s, p): rng.integers(60, 940, rng.integers(0, 3)).tolist() for s in range(2) for p in PHASES}
        ws.append(window({} if i == 2 else at, is_noise=i == 2, known=rng.random((2, 2, SAMPLES)) < 0.7))
        curves = np.zeros((2, 2, SAMPLES))
        for (s, p), samples in at.items():
            for sample in [*samples, *rng.integers(60, 940, 4).tolist()]:
                bump = rng.random() * np.maximum(0, 1 - np.abs(np.arange(SAMPLES) - sample - rng.normal(0, 20)) / 20)
                curves[s, PHASES.index(p)] = np.maximum(curves[s, PHASES.index(p)], bump)
        ps.append(curves)
    return ws, ps


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.1, 0.5, 1.0]))
def test_scores_are_consistent_for_any_labels_and_probabilities(seed: int, tolerance_s: float) -> None:
    ws, ps = random_case(np.random.default_rng(seed))
    scores = score(ws, ps, THRESHOLDS)
    for phase in PHASES:
        found = scores.phase(phase, tolerance_s)
        assert min(found.tp, found.fp, found.fn, found.tn) >= 0
        assert found.tp + found.fn == found.n_labels
        assert len(found.residuals_s) == found.tp
        assert all(abs(r) <= tolerance_s + 1e-9 for r in found.residuals_s)
        assert 0.0 <= found.f1_95[0] <= found.f1_95[1] <= 1.0
        assert 0.0 <= found.f1 <= 1.0
        if found.tp:
            assert found.f1 == pytest.approx(2 / (1 / found.precision + 1 / found.recall))
        assert np.all(np.diff(scores.f1_curve(phase, [0.05, 0.1, 0.3, 0.5, 1.0])) >= 0)
        # One matching at 1 s serves every tolerance: the same as scoring with this tolerance alone.
        assert score(ws, ps, THRESHOLDS, tolerances_s=(tolerance_s,)).phase(phase, tolerance_s) == found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-50, 50))
def test_shifting_labels_and_probabilities_together_changes_no_score(seed: int, shift: int) -> None:
    ws, ps = random_case(np.random.default_rng(seed))
    for p in ps:
        p[..., :52], p[..., -52:] = 0.0, 0.0  # nothing is lost over the edge
    moved_ws = [
        dataclasses.replace(
            w,
            labels=tuple(dataclasses.replace(label, sample=label.sample + shift) for label in w.labels),
            known=np.roll(w.known, shift, axis=-1),
        )
        for w in ws
    ]
    before = score(ws, ps, THRESHOLDS)
    after = score(moved_ws, [np.roll(p, shift, axis=-1) for p in ps], THRESHOLDS)
    for phase in PHASES:
        for tolerance_s in (0.5, 0.1):
            assert counts(after, phase, tolerance_s) == counts(before, phase, tolerance_s)
        np.testing.assert_allclose(after.phase(phase).residuals_s, before.phase(phase).residuals_s, atol=1e-9)


def test_default_candidates_run_from_0_05_to_0_95() -> None:
    assert (THRESHOLD_CANDIDATES[0], THRESHOLD_CANDIDATES[-1], len(THRESHOLD_CANDIDATES)) == (0.05, 0.95, 91)


def test_cross_entropy_by_hand_and_as_training_computes_it() -> None:
    known = np.zeros((2, 2, SAMPLES), bool)
    known[..., :400] = True
    w = window({(0, "P"): [300]}, known=known)
    p = np.where(known, 0.25, 0.999).astype(np.float32)  # what is not known does not count
    assert cross_entropy([w], [p]) == pytest.approx(-math.log(0.75), abs=1e-6)
    w.targets[0, 0, :400] = 1.0  # a quarter of the known samples
    expected = (-5.0 * math.log(0.25) - 3.0 * math.log(0.75)) / 4
    assert cross_entropy([w, window(known=False)], [p, p], 5.0) == pytest.approx(expected, abs=1e-6)
    logits, target, mask = torch.from_numpy(p).logit(), torch.from_numpy(w.targets), torch.from_numpy(known)
    assert float(masked_loss(logits, target, mask, 5.0)) == pytest.approx(expected, rel=1e-5)


def test_windows_that_share_an_event_are_one_group_also_by_way_of_a_third() -> None:
    def of(*events: str) -> Window:
        w = window({(0, "P"): [100 + 100 * k for k in range(len(events))]})
        return dataclasses.replace(
            w, labels=tuple(dataclasses.replace(x, event_id=e) for x, e in zip(w.labels, events, strict=True))
        )

    windows = [of("a"), window(is_noise=True), of("b"), of("c"), of("b", "a"), window(is_noise=True), of("c")]
    assert event_groups(windows) == (0, 1, 0, 2, 0, 3, 2)
    assert event_groups([]) == ()


def test_the_bootstrap_draws_windows_of_one_event_together() -> None:
    windows = [window({(0, "P"): [300]}, event_id="a"), window({(0, "P"): [300]}, event_id="a")]
    found = [probability({(0, "P"): [300]}), probability()]
    together = score(windows, found, THRESHOLDS)
    assert together.phase("P").f1_95 == (pytest.approx(2 / 3), pytest.approx(2 / 3))  # one event: nothing else to draw
    apart = dataclasses.replace(together, window_groups=())
    assert apart.phase("P").f1_95 == (0.0, 1.0)
    assert Scores.from_json(together.to_json()) == together
    older = together.to_json()
    del older["window_groups"]
    assert Scores.from_json(older) == apart


def test_counts_over_thresholds_are_those_of_scoring_at_each() -> None:
    rng = np.random.default_rng(1)
    windows, found = [], []
    for k in range(6):
        at = {(0, "P"): [200.0, 600.0], (1, "S"): [400.0]}
        windows.append(window(at if k else None, is_noise=k == 0))
        curves = [probability({key: xs}, height=float(rng.uniform(0.1, 0.9))) for key, xs in at.items()]
        found.append(np.maximum.reduce([*curves, probability({(1, "P"): [700]}, height=float(rng.uniform(0.1, 0.9)))]))
    thresholds = (0.2, 0.5, 0.8)
    of_threshold = threshold_counts(windows, found, thresholds)
    for k, threshold in enumerate(thresholds):
        scores = score(windows, found, dict.fromkeys("PS", threshold))
        for channel, phase in enumerate("PS"):
            tp, judged, labels = of_threshold[channel, :, :, k].sum(axis=0)
            told = scores.phase(phase)
            assert (tp, judged - tp, labels - tp) == (told.tp, told.fp, told.fn)
    assert of_threshold[0, :, 1, 0].sum() > of_threshold[0, :, 1, 2].sum()
