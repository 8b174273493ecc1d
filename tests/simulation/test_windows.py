"""In-memory network windows."""

from __future__ import annotations

import numpy as np
import pytest

from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation import simulate_network_windows


@pytest.mark.parametrize("preset", [None, "random", "ohio-frac", "us-industrial"])
def test_windows_have_the_promised_shapes_and_onsets_inside(preset: str | None) -> None:
    got = simulate_network_windows(np.random.default_rng(1), preset, 6, stations=4)
    assert got.waveforms.shape == (6, 4, 3, 3000)
    assert got.waveforms.dtype == np.float32
    assert got.coordinates_km.shape == (6, 4, 2)
    assert got.onset_samples.shape == got.snr.shape == (6, 3, 4, 2)
    assert np.isfinite(got.waveforms).all()
    assert (got.waveforms.std(axis=-1) > 0).all()
    inside = np.isfinite(got.onset_samples)
    assert inside.any()
    assert (got.onset_samples[inside] >= 0).all()
    assert (got.onset_samples[inside] < 3000).all()
    assert (np.isfinite(got.snr) == inside).all()
    gap = got.onset_samples[..., 1] - got.onset_samples[..., 0]
    assert (gap[np.isfinite(gap)] > 0).all()


def test_windows_repeat_with_the_seed() -> None:
    a, b = (simulate_network_windows(np.random.default_rng(9), None, 2, stations=3) for _ in range(2))
    np.testing.assert_array_equal(a.waveforms, b.waveforms)
    np.testing.assert_array_equal(a.onset_samples, b.onset_samples)


def test_all_stations_of_a_preset_come_in_its_order() -> None:
    got = simulate_network_windows(np.random.default_rng(0), "bc-frac", 1)
    assert got.coordinates_km.shape == (1, 9, 2)
    np.testing.assert_allclose(got.coordinates_km[0, 0], [0.4, 0.2])


def test_strong_arrivals_stand_out_at_their_onsets() -> None:
    got = simulate_network_windows(np.random.default_rng(4), None, 30, stations=4)
    ratios = []
    for g, e, s, p in np.argwhere(got.snr > 20):
        k = int(got.onset_samples[g, e, s, p])
        if p == 0 and 200 < k < 2900 and e == 0:
            trace = got.waveforms[g, s]
            ratios.append(np.std(trace[:, k : k + 60]) / np.std(trace[:, k - 110 : k - 10]))
    assert len(ratios) > 5
    assert np.median(ratios) > 4


def test_senseless_requests_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(CampaignError, match="there is no simulation preset 'moon'"):
        simulate_network_windows(rng, "moon", 1)
    with pytest.raises(CampaignError, match="stations is 6; give 1 to 5"):
        simulate_network_windows(rng, "ohio-frac", 1, stations=6)
    with pytest.raises(CampaignError, match="n, samples and rate_hz are 0"):
        simulate_network_windows(rng, None, 0)


def test_a_simulated_window_as_a_record_holds_every_arrival_once_and_no_frequencies_below_the_high_pass() -> None:
    got = simulate_network_windows(np.random.default_rng(9), None, 3, stations=3)
    for graph in range(3):
        raw = got.raw_window(graph, "simulated")
        assert raw.samples.dtype == np.float32
        assert {(a.station, a.phase, a.sample, a.snr) for a in raw.arrivals} == {
            (station, phase, got.onset_samples[graph, event, station, phase], got.snr[graph, event, station, phase])
            for event, station, phase in np.argwhere(np.isfinite(got.onset_samples[graph]))
        }
        exact = got.raw_window(graph, "simulated", dtype=np.float64).samples
        np.testing.assert_allclose(raw.samples, exact, atol=1e-5 * np.abs(exact).max())
        before, after = (np.abs(np.fft.rfft(x * np.hanning(3000))) for x in (got.waveforms[graph], exact))
        assert after[..., 3:10].max() < 0.05 * before[..., 3:10].max()  # 0.1 to 0.3 Hz; the corner is at 1 Hz
        assert after[..., 150:].max() > 0.9 * before[..., 150:].max()  # above 5 Hz
