"""Sources, causality, polarisation and instruments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from obspy.core.inventory.response import Response

from phaseno_peft.simulation import sources
from phaseno_peft.simulation.instruments import Geophone
from phaseno_peft.simulation.presets import PRESETS, Preset
from phaseno_peft.simulation.sites import draw_sites
from phaseno_peft.simulation.wavefield import Wavefield, event_wavefield, free_surface


def random_directions(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 360, n), np.degrees(np.arccos(rng.uniform(-1, 1, n)))


def test_radiated_energy_of_a_double_couple_is_4_15_and_6_15() -> None:
    # Aki and Richards 2002, section 4.5.6: mean squares over the sphere 4/15 for P, 2/5 for S
    p, sv, sh = sources.radiation_pattern(37.0, 62.0, -128.0, *random_directions(200_000))
    assert np.mean(p**2) == pytest.approx(4 / 15, rel=0.01)
    assert np.mean(sv**2 + sh**2) == pytest.approx(2 / 5, rel=0.01)


def test_radiation_equals_the_moment_tensor_projected_on_the_ray() -> None:
    strike, dip, rake = np.radians([37.0, 62.0, -128.0])
    normal = np.array([-np.sin(dip) * np.sin(strike), np.sin(dip) * np.cos(strike), -np.cos(dip)])  # north, east, down
    slip = np.array(
        [
            np.cos(rake) * np.cos(strike) + np.cos(dip) * np.sin(rake) * np.sin(strike),
            np.cos(rake) * np.sin(strike) - np.cos(dip) * np.sin(rake) * np.cos(strike),
            -np.sin(rake) * np.sin(dip),
        ]
    )
    moment = np.outer(slip, normal) + np.outer(normal, slip)
    azimuth, takeoff = random_directions(50)
    f, i = np.radians(azimuth), np.radians(takeoff)
    ray = np.stack([np.sin(i) * np.cos(f), np.sin(i) * np.sin(f), np.cos(i)])
    theta = np.stack([np.cos(i) * np.cos(f), np.cos(i) * np.sin(f), -np.sin(i)])
    phi = np.stack([-np.sin(f), np.cos(f), 0 * f])
    expected = [np.einsum("in,ij,jn->n", unit, moment, ray) for unit in (ray, theta, phi)]
    got = sources.radiation_pattern(37.0, 62.0, -128.0, azimuth, takeoff)
    np.testing.assert_allclose(np.stack(got), np.stack(expected), atol=1e-12)


def test_vertical_strike_slip_has_p_nodes_along_and_across_strike() -> None:
    p, _, sh = sources.radiation_pattern(0.0, 90.0, 0.0, np.array([0.0, 45.0, 90.0, 135.0]), np.full(4, 90.0))
    np.testing.assert_allclose(p, [0, 1, 0, -1], atol=1e-12)
    np.testing.assert_allclose(sh, [1, 0, -1, 0], atol=1e-12)


def test_corner_of_s_is_lower_and_falls_tenfold_over_two_magnitudes() -> None:
    p, s = sources.corner_frequencies_hz(10 ** (9.1 + 1.5 * 0), 1.0, 2.8)
    assert s < p
    assert sources.corner_frequencies_hz(10 ** (9.1 + 1.5 * 2), 1.0, 2.8)[1] == pytest.approx(s / 10)


def test_attenuation_has_the_right_amplitude_and_no_acausal_part() -> None:
    n, rate, t_star = 8192, 1000.0, 0.03
    spectrum = sources.minimum_phase_spectrum(np.array([t_star]), n, rate)[0]
    frequency = np.fft.rfftfreq(n, 1 / rate)
    np.testing.assert_allclose(np.abs(spectrum), np.exp(-np.pi * frequency * t_star), rtol=1e-6, atol=1e-15)
    response = np.fft.irfft(spectrum, n)
    assert np.abs(response[-n // 4 :]).max() < 1e-4 * response.max()  # the wrapped end is where negative times are


def test_pulse_has_the_spectrum_of_brune_and_starts_at_sample_0() -> None:
    rate = 250.0
    pulse = sources.velocity_pulses(np.array([12.0]), np.array([0.02]), rate)[0]
    fine = rate * sources.oversampling(rate)
    f = np.array([4.0, 8.0, 16.0, 32.0])
    spectrum = np.abs(np.exp(-2j * np.pi * np.outer(f, np.arange(len(pulse))) / fine) @ pulse) / fine
    expected = 2 * np.pi * f / (1 + (f / 12.0) ** 2) * np.exp(-np.pi * f * 0.02)
    np.testing.assert_allclose(spectrum, expected, rtol=0.08)  # the cut onset is 1 %, the low-pass flat here
    assert 0 < abs(pulse[0]) < 0.2 * np.abs(pulse).max()
    assert np.argmax(np.abs(pulse)) / fine < 0.05


def test_onset_between_samples_shifts_the_pulse_by_that_fraction() -> None:
    rate = 100.0
    fine = sources.velocity_pulses(np.array([8.0]), np.array([0.03]), rate)
    half = sources.on_record_grid(fine, np.array([0.4]), rate)[0]
    step = sources.oversampling(rate)
    np.testing.assert_array_equal(half, fine[0, 2 : 2 + step * len(half) : step])


def one_event(preset: Preset, seed: int = 3, samples: int = 5000, rate: float = 250.0) -> Wavefield:
    rng = np.random.default_rng(seed)
    east, north = np.asarray(preset.east_km), np.asarray(preset.north_km)
    sites = draw_sites(rng, east, north, np.zeros(len(east)), preset.model, preset.kappa_s)
    return event_wavefield(rng, preset.model, sites, preset.draw_source(rng), -4.0, samples, rate)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_nothing_moves_before_the_onset_and_something_right_after(name: str) -> None:
    rate = 250.0
    field = one_event(PRESETS[name])
    for i in range(field.onset_s.shape[0]):
        for j in range(2):
            part = np.abs(field.parts[j, i]).max(axis=0)
            onset = field.onset_s[i, j] * rate
            assert part[: int(np.ceil(onset - 1e-6))].max() <= 1e-6 * part.max()
            first = int(np.ceil(onset - 1e-6))
            visible = first + int(np.argmax(part[first:] > 0.05 * part.max()))
            later = 0.25 if not field.is_head_wave[i, j] else 1.5
            assert (visible - onset) / rate < later


def test_s_comes_after_p_and_s_minus_p_fits_the_geometry_of_ohio() -> None:
    gaps = np.concatenate([np.diff(one_event(PRESETS["ohio-frac"], seed).onset_s, axis=1) for seed in range(8)])
    assert gaps.min() > 0.5
    assert gaps.max() < 1.25


def test_p_is_mostly_vertical_and_s_horizontal_and_larger() -> None:
    fields = [one_event(PRESETS["ohio-frac"], seed) for seed in range(12)]
    rms = np.mean(
        [np.sqrt(np.mean(f.parts.astype(float) ** 2, axis=-1)) / np.abs(f.parts).max() for f in fields], axis=0
    )
    p, s = np.median(rms, axis=1)  # [component] each
    assert p[2] > 1.2 * max(p[0], p[1])
    assert min(s[0], s[1]) > 1.2 * s[2]
    assert np.hypot(s[0], s[1]) > 1.5 * np.hypot(p[0], p[1])


def test_coda_decays_and_loses_its_high_frequencies_first() -> None:
    fields = [one_event(PRESETS["bc-frac"], seed, samples=7500) for seed in range(5)]
    rate, ratios, levels = 250.0, [], []
    for field, i in itertools.product(fields, range(len(fields[0].onset_s))):
        a = int(field.onset_s[i, 1] * rate)
        early, late = (field.parts[1, i, :, a + int(t * rate) : a + int((t + 1) * rate)] for t in (0.3, 3.3))
        spectra = [np.abs(np.fft.rfft(x * np.hanning(rate), axis=-1)) ** 2 for x in (early, late)]
        ratios.append([s[:, 20:40].sum() / s[:, 4:10].sum() for s in spectra])
        levels.append([np.sum(x**2) for x in (early, late)])
    early_level, late_level = np.median(levels, axis=0)
    assert 0 < late_level < 0.3 * early_level
    early_ratio, late_ratio = np.median(ratios, axis=0)
    assert late_ratio < 0.7 * early_ratio


def test_free_surface_doubles_waves_from_straight_below() -> None:
    p_radial, p_up, s_radial, s_up = free_surface(PRESETS["ohio-frac"].model, np.array([1e-9]))
    np.testing.assert_allclose([p_radial[0], p_up[0], s_radial[0], s_up[0]], [0, 2, 2, 0], atol=1e-6)


def test_geophone_filters_as_its_stationxml_response_says() -> None:
    geophone, rate = Geophone(natural_frequency_hz=4.5), 250.0
    impulse = np.zeros(4096)
    impulse[0] = 1.0
    frequency = np.fft.rfftfreq(4096, 1 / rate)
    got = np.fft.rfft(geophone.respond(impulse, rate))
    response = Response.from_paz([0j, 0j], list(geophone.poles), 1.0, 40.0, normalization_frequency=40.0)
    paz = response.get_evalresp_response_for_frequencies(frequency[1:], output="VEL")
    band = (frequency[1:] > 1) & (frequency[1:] < 40)
    np.testing.assert_allclose(np.abs(got[1:][band]), np.abs(paz[band]), rtol=0.02)
