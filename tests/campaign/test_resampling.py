"""Timing and cost of bringing samples to the grid's rate."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy import Stream

from phaseno_peft.campaign import prepare
from phaseno_peft.campaign.resampling import resample
from tests.campaign.synthetic_network import T0, pulse, table, trace


@settings(max_examples=40, deadline=None)
@given(
    rate_hz=st.one_of(st.floats(80.0, 300.0), st.sampled_from([99.99931, 1234.5671, 12345.671, 99.99, 100.0])),
    lead_samples=st.floats(0.0, 1.0),
)
def test_a_pulse_keeps_its_time_and_shape_at_any_rate(rate_hz, lead_samples) -> None:
    x = pulse(np.arange(round(4 * rate_hz)) / rate_hz - 2.0)
    lead_s = lead_samples / rate_hz
    y = resample(x, rate_hz, 100.0, lead_s)[:350]
    expected = pulse(lead_s + np.arange(350) / 100.0 - 2.0)
    np.testing.assert_allclose(y, expected, atol=0.02)
    shift_s = np.sum((y - expected) * np.gradient(expected, 0.01)) / np.sum(np.gradient(expected, 0.01) ** 2)
    assert abs(shift_s) < 1e-4


@pytest.mark.parametrize("rate_hz", [99.99931, 250.0003, 83000.37, 1000000.7, 10.000001])
def test_memory_does_not_grow_with_the_digits_of_a_rate(rate_hz) -> None:
    x = np.random.default_rng(0).standard_normal(20_000)
    tracemalloc.start()
    resample(x, rate_hz, 100.0, 0.3 / rate_hz)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


@pytest.mark.parametrize("rate_hz", [62.5, 125, 200, 250, 500, 1000, 4000])
def test_an_arrival_moves_by_less_than_half_a_millisecond_on_its_way_to_the_network(rate_hz: float) -> None:
    """Through all of `prepare`, against the same pulse recorded at 100 Hz; measured 0.05 to 0.22 ms (62.5 Hz)."""
    for part in (0.0, 0.24, 0.51, 0.79):  # of a sample
        onset_s, start = 10.0 + part / rate_hz, T0 + 0.013 * part
        x = pulse(np.arange(round(20 * rate_hz)) / rate_hz - onset_s, width_s=0.05)
        made = prepare(Stream([trace("S0", "HHZ", x, rate_hz, start)]), table(1))
        at = np.arange(made.n_samples) / 100 + (made.start - start) - onset_s
        same = prepare(Stream([trace("S0", "HHZ", pulse(at, width_s=0.05), 100.0, made.start)]), table(1))
        found, expected = made.samples[0, 2], same.samples[0, 2]
        slope = np.gradient(expected, 0.01)
        shift_s = np.sum((found - expected) * slope) / np.sum(slope**2)
        assert abs(shift_s) < 5e-4, part
