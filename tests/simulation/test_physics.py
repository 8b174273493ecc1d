"""Whole records against what a hand calculation says, on sites and ground stripped of everything random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phaseno_peft.simulation import LayeredModel, Source
from phaseno_peft.simulation.sites import Sites, draw_sites
from phaseno_peft.simulation.wavefield import Wavefield, event_wavefield

RATE = 250.0
ROCK = LayeredModel((0.0,), (5.0,), (2.9,), (2600.0,), (1e9,), (1e9,))
STRIKE_SLIP = Source(0, 0, 3.0, 1.0, 3.0, strike_deg=0, dip_deg=90, rake_deg=0)


def bare_sites(east_km: list[float], north_km: list[float], model: LayeredModel = ROCK) -> Sites:
    """No statics, no attenuation, no scattering, no soft layer."""
    n = len(east_km)
    drawn = draw_sites(
        np.random.default_rng(0), np.array(east_km), np.array(north_km), np.zeros(n), model, kappa_s=0.01
    )
    return replace(
        drawn,
        static_s=np.zeros((n, 2)),
        kappa_s=np.full((n, 2), 1e-6),
        gain=np.ones((n, 2)),
        soft_reflection=np.zeros(n),
        scattering=np.zeros(n),
        precursor=np.zeros(n),
        emergence=np.zeros(n),
        azimuth_error_deg=np.zeros(n),
    )


def motion(sites: Sites, source: Source = STRIKE_SLIP, model: LayeredModel = ROCK) -> Wavefield:
    return event_wavefield(np.random.default_rng(1), model, sites, source, 0.0, 2500, RATE)


def largest(field: Wavefield, phase: int) -> np.ndarray:
    """[station] of the vector's length."""
    return np.asarray(np.sqrt((field.parts[phase].astype(float) ** 2).sum(axis=1)).max(axis=-1))


def test_onsets_are_hypocentral_distance_over_velocity() -> None:
    field = motion(bare_sites([4.0, 0.0], [0.0, 0.0]))
    np.testing.assert_allclose(field.onset_s, [[5 / 5.0, 5 / 2.9], [3 / 5.0, 3 / 2.9]], atol=0.001)  # 3-4-5


def test_first_sample_that_moves_is_the_one_after_the_onset() -> None:
    field = motion(bare_sites([2.0, 4.0], [1.0, 3.0]))
    for phase in range(2):
        moves = np.argmax(np.any(field.parts[phase] != 0, axis=1), axis=-1)  # [station]
        np.testing.assert_array_equal(moves, np.ceil(field.onset_s[:, phase] * RATE - 1e-6))


def test_twice_as_far_is_half_as_strong() -> None:
    # straight above the source of a dip-slip fault: the same ray direction, depths 2 and 4 km, no attenuation
    thrust = replace(STRIKE_SLIP, dip_deg=45.0, rake_deg=90.0)
    near, far = (motion(bare_sites([0.0], [0.0]), replace(thrust, depth_km=z)) for z in (2.0, 4.0))
    assert largest(near, 0)[0] / largest(far, 0)[0] == pytest.approx(2.0, rel=0.02)


def test_displacement_above_a_thrust_is_the_textbook_one() -> None:
    # Aki and Richards 2002, eq. 4.32: M0 / (4 pi rho alpha^3 r), radiation 1, doubled by the free surface
    thrust = replace(STRIKE_SLIP, dip_deg=45.0, rake_deg=90.0)
    field = motion(bare_sites([0.0], [0.0]), thrust)
    area = np.abs(np.cumsum(np.cumsum(field.parts[0, 0, 2].astype(float))) / RATE**2).max()  # integral of displacement
    expected = 2 * thrust.moment_nm / (4 * np.pi * 2600 * 5000.0**3 * 3000)
    assert area == pytest.approx(expected, rel=0.03)


def test_stations_on_a_nodal_plane_see_no_p_and_those_between_see_both_signs() -> None:
    azimuth = np.radians([0.0, 45.0, 90.0, 135.0])
    field = motion(bare_sites((5 * np.sin(azimuth)).tolist(), (5 * np.cos(azimuth)).tolist()))
    p, s = largest(field, 0), largest(field, 1)
    assert max(p[0], p[2]) < 1e-6 * p[1]
    assert p[1] == pytest.approx(p[3], rel=1e-3)
    assert min(s[0], s[2]) > 0.5 * s.max()  # SH is largest where P vanishes
    up = field.parts[0, :, 2]
    first = [up[k, np.argmax(np.abs(up[k]) > 0.2 * np.abs(up[k]).max())] for k in (1, 3)]
    assert np.sign(first[0]) == -np.sign(first[1]) != 0


def test_p_points_away_from_the_source_and_sh_across() -> None:
    field = motion(bare_sites([5.0 * np.sin(np.pi / 4)], [5.0 * np.cos(np.pi / 4)]))
    east, north, _ = field.parts[0, 0]
    np.testing.assert_allclose(east, north, atol=1e-6 * np.abs(east).max())  # station to the northeast
    node = motion(bare_sites([0.0], [5.0]))  # due north of the source: S is SH, which moves east and west
    e, n, z = np.abs(node.parts[1, 0]).max(axis=-1)
    assert max(n, z) < 1e-6 * e


def test_soft_layer_resonates_at_a_quarter_wavelength() -> None:
    plain = bare_sites([1.0], [2.0])
    soft = replace(plain, soft_delay_s=np.array([[0.03, 0.1]]), soft_reflection=np.array([0.6]))
    spectra = [np.abs(np.fft.rfft(motion(sites).parts[1, 0, 0], 5000)) for sites in (plain, soft)]
    frequency = np.fft.rfftfreq(5000, 1 / RATE)
    band = (frequency > 2) & (frequency < 9)
    ratio = spectra[1][band] / spectra[0][band]
    assert frequency[band][np.argmax(ratio)] == pytest.approx(1 / (2 * 0.1), abs=0.3)  # v / 4h
    assert ratio.max() == pytest.approx((1 - 0.6**5) / (1 - 0.6), rel=0.1)  # five bounces in phase


def test_attenuation_takes_exp_of_minus_pi_f_t_star() -> None:
    lossy = replace(ROCK, qp=(60.0,), qs=(60.0,))
    spectra = [
        np.abs(np.fft.rfft(motion(bare_sites([1.0], [2.0]), model=m).parts[1, 0, 0], 5000)) for m in (ROCK, lossy)
    ]
    frequency = np.fft.rfftfreq(5000, 1 / RATE)
    t_star = np.sqrt(1 + 4 + 9) / 2.9 / 60
    for hz in (5.0, 20.0, 40.0):
        k = int(np.argmin(np.abs(frequency - hz)))
        assert spectra[1][k] / spectra[0][k] == pytest.approx(np.exp(-np.pi * hz * t_star), rel=0.1)


def test_scattered_waves_grow_towards_s_and_vanish_after_it() -> None:
    sites = replace(bare_sites([6.0] * 8, [8.0] * 8), precursor=np.full(8, 0.1))
    quiet = replace(sites, precursor=np.zeros(8))
    scattered = (motion(sites).parts[0] - motion(quiet).parts[0]).astype(float)
    s = int(motion(sites).onset_s[0, 1] * RATE)
    early, late, after = (
        np.sqrt(np.mean(scattered[..., s + a : s + b] ** 2)) for a, b in ((-200, -150), (-50, 0), (250, 300))
    )
    assert late > 2 * early > 0
    assert after < 0.01 * late


def test_coda_lasts_longer_far_from_the_source() -> None:
    def left_after_3_s(north_km: float) -> float:
        sites = replace(
            bare_sites([0.0] * 12, [north_km] * 12), scattering=np.full(12, 10.0), coda_time_s=np.full(12, 6.0)
        )
        field = event_wavefield(np.random.default_rng(1), ROCK, sites, STRIKE_SLIP, 0.0, 5000, RATE)
        s = int(field.onset_s[0, 1] * RATE)
        at = [np.mean(field.parts[1, ..., s + a : s + a + 125].astype(float) ** 2) for a in (125, 875)]
        return float(at[1] / at[0])

    assert left_after_3_s(20.0) > 2 * left_after_3_s(1.0)
