"""Where an analyst puts a pick, and which arrivals go unpicked."""

from __future__ import annotations

import numpy as np
import pytest

from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation.analyst import Analyst, clear_extremum, read_event

RATE = 100.0


def wavelet_record(amplitude: float, noise_rms: float = 0.02) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One station; P and S are one cycle of 10 Hz, first motion down, at 10 and 12 s."""
    n = 2000
    parts, onsets = np.zeros((2, 1, 3, n)), np.array([[10.0, 12.0]])
    t = np.arange(10) / RATE
    for j, components in enumerate(([2], [0, 1])):
        a = int(onsets[0, j] * RATE)
        parts[j, 0, components, a : a + 10] = -amplitude * np.sin(2 * np.pi * 10 * t)
    return parts, np.random.default_rng(5).normal(0, noise_rms, (1, 3, n)), onsets


def exact(convention: str) -> Analyst:
    return Analyst(convention=convention, scatter_p_s=0, scatter_s_s=0, overlooked_fraction=0, cycle_skip_fraction=0)


def picks(convention: str, amplitude: float = 1.0) -> np.ndarray:
    parts, noise, onsets = wavelet_record(amplitude)
    return read_event(np.random.default_rng(0), exact(convention), parts, noise, onsets, RATE).pick_s - onsets


def test_onset_without_scatter_is_the_onset() -> None:
    np.testing.assert_allclose(picks("onset"), 0.0)


def test_peak_is_the_first_quarter_period_and_later_than_the_onset() -> None:
    offset = picks("peak")
    assert (offset > 0).all()
    np.testing.assert_allclose(offset, 0.025, atol=0.016)  # a quarter of 0.1 s, to a sample and the filter


def test_trough_of_a_positive_first_motion_is_half_a_cycle_after_its_peak() -> None:
    t = np.arange(300) / RATE
    trace = np.where(t >= 1.0, np.sin(2 * np.pi * 10 * (t - 1.0)), 0.0)
    peak, trough = (clear_extremum(trace, 1.0, RATE, kind) for kind in ("peak", "trough"))
    assert trough - peak == pytest.approx(0.05, abs=0.011)


def test_weak_arrivals_are_left_unpicked_but_their_snr_is_known() -> None:
    parts, noise, onsets = wavelet_record(0.01)
    reading = read_event(np.random.default_rng(0), exact("onset"), parts, noise, onsets, RATE)
    assert np.isnan(reading.pick_s).all()
    assert (reading.snr > 0).all()
    assert (reading.snr < 1).all()


def test_snr_grows_with_amplitude_and_picks_sit_on_sensible_components() -> None:
    small, large = (
        read_event(np.random.default_rng(0), exact("onset"), *wavelet_record(a)[:2], np.array([[10.0, 12.0]]), RATE)
        for a in (0.1, 1.0)
    )
    np.testing.assert_allclose(large.snr / small.snr, 10.0, rtol=0.05)
    assert large.component[0, 0] == 2
    assert large.component[0, 1] in (0, 1)


def test_unknown_convention_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CampaignError, match="onset, peak, trough"):
        Analyst(convention="zero-crossing")  # type: ignore[arg-type] # the point of the test
