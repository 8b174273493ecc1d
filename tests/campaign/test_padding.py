"""What counts as padding, and what is quiet noise or clipping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy import Stream

from phaseno_peft.campaign import prepare
from phaseno_peft.campaign.padding import padding
from tests.campaign.synthetic_network import table, trace

RATE_HZ = 100.0


def noise(n: int = 12_000, seed: int = 0, rms: float = 20.0, mean: float = 5000.0) -> np.ndarray:
    return (mean + rms * np.random.default_rng(seed).standard_normal(n)).astype(np.int32)


def found(x: np.ndarray) -> np.ndarray:
    """Bool [sample]: True in padding."""
    mask = np.zeros(len(x), bool)
    for first, last in padding([x], [RATE_HZ])[0]:
        mask[first:last] = True
    return mask


@settings(max_examples=60, deadline=None)
@given(
    where=st.sampled_from(["start", "middle", "end", "twice"]),
    n_filled=st.sampled_from([25, 60, 150, 400, 3000, 6100, 10_000]),
    value=st.sampled_from([0, -1, 999999, -12345, -(2**31), 2**31 - 1, -(2**15)]),
    as_float=st.booleans(),
    seed=st.integers(0, 50),
)
def test_every_filled_stretch_is_found_and_nothing_else(where, n_filled, value, as_float, seed) -> None:
    x = noise(seed=seed).astype(np.float64 if as_float else np.int32)
    starts = {"start": [0], "middle": [900], "end": [len(x) - n_filled], "twice": [10, len(x) - n_filled // 2 - 10]}
    filled = np.zeros(len(x), bool)
    for start in starts[where]:
        filled[start : start + (n_filled // 2 if where == "twice" and n_filled >= 60 else n_filled)] = True
    x[filled] = value
    np.testing.assert_array_equal(found(x), filled)


@pytest.mark.parametrize("value", [-(2**31), 2**31 - 1, 999999])
def test_single_fill_values_far_from_the_trace_are_padding(value) -> None:
    x = noise()
    x[[5, 700, 701, 9000]] = value
    np.testing.assert_array_equal(np.flatnonzero(found(x)), [5, 700, 701, 9000])


@settings(max_examples=20, deadline=None)
@given(share=st.sampled_from([0.3, 0.1, 0.03, 0.01]), seed=st.integers(0, 1000))
def test_quiet_noise_of_one_count_is_record(share, seed) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.random(60_000) < share) * rng.choice([-1, 1], 60_000)
    assert not found(x.astype(np.int32)).any()


def test_two_stuck_stretches_at_one_level_do_not_excuse_each_other() -> None:
    x = noise(rms=3000.0)
    for first, last in ((1000, 1250), (5000, 5300)):  # entered and left by the smallest step, as at a digitiser's rail
        x[first:last], x[first - 1], x[last] = 5001, 5002, 5002
    assert found(x)[1000:1250].all()
    assert found(x)[5000:5300].all()


@pytest.mark.parametrize("frequency_hz", [0.05, 1.0, 5.0])
def test_clipped_waves_are_record(frequency_hz) -> None:
    t = np.arange(12_000) / RATE_HZ
    wave = 3e4 * np.sin(2 * np.pi * frequency_hz * t) + np.random.default_rng(0).normal(0, 30, len(t))
    assert not found(np.clip(wave, -8000, 8000).astype(np.int32)).any()


def test_the_crest_of_a_slow_wave_is_record() -> None:
    t = np.arange(12_000) / RATE_HZ
    assert not found((1000 * np.sin(2 * np.pi * 0.1 * t)).astype(np.int32)).any()


@pytest.mark.parametrize("missing", [np.nan, np.inf, 1e20, 3.4e38])
def test_floats_that_are_no_motion_are_gaps(missing) -> None:
    x = noise().astype(np.float32)
    x[2000:2010] = missing
    recording = prepare(Stream([trace("S0", "HHZ", x)]), table())
    assert not recording.recorded[0, 2, 2000:2010].any()
    assert np.abs(recording.samples).max() < 200


@pytest.mark.parametrize("zeros", [5900, 6100, 11_000])
def test_a_zero_filled_majority_is_not_recorded(zeros) -> None:
    x = noise()
    x[:zeros] = 0
    recording = prepare(Stream([trace("S0", "HHZ", x)]), table())
    assert recording.n_samples == len(x) - zeros
    assert np.abs(recording.samples).max() < 200
