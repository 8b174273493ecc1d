"""Timing and cost of bringing samples to the grid's rate."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phaseno_peft.campaign.resampling import resample
from tests.campaign.synthetic_network import pulse


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
