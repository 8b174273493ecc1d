"""What counts as padding, and what is quiet noise or clipping."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
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
    n_filled=st.sampled_from([1, 2, 7, 19, 25, 60, 150, 400, 3000, 6100, 10_000]),
    value=st.sampled_from([0, -1, -9999, 999999, -12345, -(2**31), 2**31 - 1, -(2**15)]),
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


@settings(max_examples=20, deadline=None)
@given(mean=st.sampled_from([0.0, 1.0, 5.0, 40.0]), size=st.sampled_from([30.0, 3000.0]), seed=st.integers(0, 1000))
def test_zeros_that_the_trace_passes_are_record(mean, size, seed) -> None:
    """Of noise around zero, of a quiet digitiser, and of an earthquake that swings through zero."""
    x = noise(seed=seed, rms=2.0, mean=mean).astype(np.float64)
    x[6000:] += size * np.sin(np.arange(6000) * 0.7) * np.exp(-np.arange(6000) / 500)
    x = np.rint(x).astype(np.int32)
    x[[6003, 6010]] = 0
    assert not found(x).any()


def interpolated(x: np.ndarray, first: int, last: int) -> np.ndarray:
    """As obspy's Stream.merge does it with fill_value="interpolate", also for counts."""
    filled = x.copy()
    filled[first:last] = np.linspace(x[first - 1], x[last], last - first + 2)[1:-1]
    return filled


@settings(max_examples=30, deadline=None)
@given(
    n=st.sampled_from([250, 600, 3000, 9000]),
    kind=st.sampled_from([np.int32, np.float32, np.float64]),
    drift=st.sampled_from([5, 40, -300, 9000]),
    seed=st.integers(0, 1000),
)
def test_an_interpolated_gap_is_no_record(n, kind, drift, seed) -> None:
    x = noise(seed=seed).astype(kind)
    x[1600], x[1600 + n] = 5000, 5000 + drift
    mask = found(interpolated(x, 1601, 1600 + n))
    assert mask[1610 : 1590 + n].all()
    assert mask.sum() <= n + 4


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_filled_gap_is_no_record_after_detrending_or_filtering(kind) -> None:
    zero_filled = np.where(np.arange(12_000) < 7000, 0, noise())
    detrended = scipy.signal.detrend(zero_filled).astype(kind)
    assert found(detrended)[:7000].all()
    assert found(detrended).sum() <= 7002
    rounding = 1e-17 * np.random.default_rng(0).standard_normal(12_000)
    filtered = np.where(np.arange(12_000) < 7000, rounding, noise(mean=0.0)).astype(kind)
    assert found(filtered)[:7000].all()


@pytest.mark.parametrize("hz", [0.003, 0.01, 0.1])
@pytest.mark.parametrize("kind", [np.int32, np.float32, np.float64])
def test_slow_waves_and_quiet_noise_before_an_earthquake_are_record(hz, kind) -> None:
    """Straight for seconds, but so is the rest of what is quiet."""
    rng, t = np.random.default_rng(0), np.arange(12_000) / RATE_HZ
    x = 700 * np.sin(2 * np.pi * hz * t) + rng.normal(0, 0.2, len(t)) + 1e6
    x[8000:] += 1e5 * rng.standard_normal(4000) * np.exp(-np.arange(4000) / 300)
    assert not found(np.rint(x).astype(kind)).any()
    assert not found(x.astype(kind)).any()


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
