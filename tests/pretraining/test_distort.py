"""Each augmentation keeps what it promises, and gives the same for the same seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phaseno_peft.campaign.raw_window import WEAKEST_SNR, Arrival, RawWindow, as_window
from phaseno_peft.contract import WINDOW_SAMPLES
from phaseno_peft.errors import CampaignError
from phaseno_peft.pretraining import distort as d

N = WINDOW_SAMPLES


def raw_window(
    stations: int = 2, samples: int = N, arrivals: tuple[Arrival, ...] | None = None, noise: float = 0.1
) -> RawWindow:
    """Noise, with a burst of 1 s from each arrival on."""
    rng = np.random.default_rng(5)
    x = 0.1 * rng.standard_normal((stations, 3, samples)).astype(np.float32)
    found = (Arrival(0, 0, 1000.0, 10.0), Arrival(0, 1, 1300.5, 10.0)) if arrivals is None else arrivals
    for a in found:
        first = int(np.ceil(a.sample))
        x[a.station, :, first : first + 100] += rng.standard_normal(x[a.station, :, first : first + 100].shape)
    places = np.stack([np.arange(stations) * 5.0, np.zeros(stations)], 1)
    everywhere = np.ones((stations, 2, samples), bool)
    return RawWindow("test", x, np.ones(x.shape, bool), places, found, everywhere)


POOL = (np.random.default_rng(7).standard_normal((3, 1200)).astype(np.float32),)
CHANGES: dict[str, Callable[[np.random.Generator, RawWindow], RawWindow]] = {
    "gaussian noise": d.add_gaussian_noise,
    "real noise": lambda rng, s: d.add_real_noise(rng, s, POOL),
    "amplitude": d.change_amplitude,
    "spikes": d.add_spikes,
    "gaps": d.cut_gaps,
    "second event": lambda rng, s: d.superpose(rng, s, raw_window(arrivals=(Arrival(0, 0, 2000.0, 10.0),))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_depends_on_the_seed_alone_and_leaves_the_given_scene(name: str) -> None:
    given_one, untouched = raw_window(), raw_window()
    first, again = (CHANGES[name](np.random.default_rng(3), given_one) for _ in range(2))
    other = CHANGES[name](np.random.default_rng(4), given_one)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.arrivals == again.arrivals
    assert not np.array_equal(first.samples, other.samples)
    np.testing.assert_array_equal(given_one.samples, untouched.samples)


@pytest.mark.parametrize("factor", d.STRETCHES)
def test_a_stretched_scene_keeps_onsets_and_apparent_velocities(factor: Fraction) -> None:
    samples = d.samples_before(factor, N)
    at = samples / 2
    made = d.stretch_time(raw_window(samples=samples, arrivals=(Arrival(0, 0, at), Arrival(1, 0, at + 200))), factor, N)
    assert made.samples.shape == (2, 3, N)
    np.testing.assert_allclose([a.sample for a in made.arrivals], [at * factor, (at + 200) * factor])
    energy = np.square(made.samples[0]).sum(0)
    onset = int(np.argmax(energy > 0.3 * energy.max()))
    assert abs(onset - at * factor) < 8 * factor
    np.testing.assert_allclose(made.coordinates_km[1], [5.0 * factor, 0.0])


def test_arrivals_weaker_than_the_added_noise_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "ADDED_SNR", (0.5, 0.5001))
    loud = d.add_gaussian_noise(np.random.default_rng(0), raw_window())
    assert all(a.snr < WEAKEST_SNR for a in loud.arrivals)
    assert not as_window(loud, "w").labels
    assert not loud.mask()[0, 0, 950:1050].any()
    monkeypatch.setattr(d, "ADDED_SNR", (20.0, 20.001))
    faint = d.add_gaussian_noise(np.random.default_rng(0), raw_window())
    assert all(8 < a.snr < 10 for a in faint.arrivals)  # 1 / sqrt(1 / 10**2 + 1 / 20**2) = 8.9
    assert len(as_window(faint, "w").labels) == 2


def test_real_noise_of_one_component_leaves_the_others() -> None:
    vertical = np.zeros((3, N), np.float32)
    vertical[2] = np.random.default_rng(0).standard_normal(N)
    before = raw_window()
    after = d.add_real_noise(np.random.default_rng(1), before, (vertical,))
    np.testing.assert_array_equal(after.samples[:, :2], before.samples[:, :2])
    assert not np.allclose(after.samples[:, 2], before.samples[:, 2])


def test_two_events_give_both_their_labels_and_a_teacher_keeps_its_word() -> None:
    other = raw_window(arrivals=(Arrival(0, 0, 2000.0, 10.0),))
    both = d.superpose(np.random.default_rng(0), raw_window(), other)
    assert sorted(a.sample for a in both.arrivals) == [1000.0, 1300.5, 2000.0]
    soft = np.zeros((2, 2, N), np.float32)
    soft[0, 0, 500] = 0.8
    taught = d.superpose(np.random.default_rng(0), dataclasses.replace(raw_window(), soft=soft), other)
    assert taught.soft is not None
    assert taught.soft[0, 0, 500] == np.float32(0.8)
    assert taught.soft[0, 0, 2000] == 1.0


def test_a_gap_is_not_recorded_and_nothing_is_known_in_it() -> None:
    made = d.cut_gaps(np.random.default_rng(2), raw_window(stations=12, arrivals=()))
    whole = ~made.recorded.any(axis=1)  # [station, sample]
    assert whole.any()
    assert not made.samples[~made.recorded].any()
    assert not made.known[:, 0][whole].any()
    assert made.known[:, 0][~whole].all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_any_choice_of_changes_gives_a_sound_window(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = d.distort(
        rng, raw_window(stations=1), d.DistortionChances(1, 1, 1, 0.5, 1, 1, 1), lambda: raw_window(stations=1), POOL
    )
    window = as_window(made, "w")
    assert np.isfinite(window.waveforms).all()
    assert 0 <= window.targets.min() <= window.targets.max() <= 1
    for label in window.labels:
        assert window.targets[label.station, label.phase, round(label.sample)] > 0.9


def test_a_chance_is_a_probability() -> None:
    with pytest.raises(CampaignError, match=r"`gaps` should be a probability but is 1\.5"):
        d.DistortionChances(gaps=1.5)
