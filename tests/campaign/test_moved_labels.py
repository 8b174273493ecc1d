"""Labels moved by a constant: what scoring moved picks against the catalogue would find."""

from __future__ import annotations

import numpy as np
import pytest

from phaseno_peft.campaign import triangles, with_moved_labels
from phaseno_peft.contract import NO_SHIFT_S
from phaseno_peft.evaluation import score
from tests.evaluation.handmade_windows import SAMPLES, probability, window

SHIFT_S = {"P": 0.123, "S": -0.25}


def test_labels_targets_and_masks_move_by_minus_the_shift() -> None:
    known = np.ones((2, 2, SAMPLES), bool)
    known[0, 0, 100:200], known[1, 1, :50] = False, False
    given = window({(0, "P"): [300.0], (1, "S"): [500.5]}, known=known)
    (moved,) = with_moved_labels([given], SHIFT_S)
    assert [label.sample for label in moved.labels] == pytest.approx([300.0 - 12.3, 500.5 + 25.0])
    np.testing.assert_array_equal(moved.targets[0, 0], triangles([287.7], SAMPLES))
    np.testing.assert_array_equal(moved.targets[1, 1], triangles([525.5], SAMPLES))
    assert not moved.targets[0, 1].any()
    assert not moved.known[0, 0, 88:188].any()
    assert moved.known[0, 0].sum() == SAMPLES - 100
    assert not moved.known[1, 1, :75].any()  # at the end they come from they keep their last value
    assert moved.known[1, 1, 75:].all()
    np.testing.assert_array_equal(moved.waveforms, given.waveforms)
    assert given.labels[0].sample == 300.0


def test_a_shift_is_in_real_seconds() -> None:
    (moved,) = with_moved_labels([window({(0, "P"): [300.0]}, rate_hz=400.0)], {"P": 0.01, "S": 0.0})
    assert moved.labels[0].sample == pytest.approx(296.0)


def test_a_label_near_an_end_stays_a_label_of_its_window() -> None:
    (moved,) = with_moved_labels([window({(0, "P"): [5.0]})], {"P": 0.1, "S": 0.0})
    assert moved.labels[0].sample == pytest.approx(-5.0)
    np.testing.assert_allclose(moved.targets[0, 0, :3], [0.75, 0.7, 0.65], atol=1e-6)


def test_without_a_shift_nothing_changes() -> None:
    given = window({(0, "P"): [300.0]})
    assert with_moved_labels([given], NO_SHIFT_S)[0] is given


def test_scoring_against_moved_labels_is_scoring_moved_picks() -> None:
    labels = {(0, "P"): [200.0], (0, "S"): [400.0], (1, "P"): [250.0]}
    given = window(labels)
    network = {key: [sample - 100 * SHIFT_S[key[1]] + 3 for sample in samples] for key, samples in labels.items()}
    found = score(with_moved_labels([given], SHIFT_S), [probability(network)], {"P": 0.3, "S": 0.3})
    for phase, n in (("P", 2), ("S", 1)):
        assert found.phase(phase, 0.1).tp == n
        assert found.phase(phase, 0.1).residual_median_s == pytest.approx(0.03, abs=2e-3)
