"""The earthquake itself: radiation of a double couple, Brune's spectrum, attenuation, and causal pulses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation.travel_times import Array

ONSET_FRACTION = 0.01
"""A pulse starts where it first reaches this fraction of its largest value; earlier samples are cut off.

Attenuation makes a pulse grow from nothing over some milliseconds that nobody can see; the velocity model's times are
taken to be those of the visible onset.
"""
FINE_RATE_HZ = 500.0
"""Pulses are made at this rate or more: onsets are true to 2 ms, a fifth of the network's sample."""
ANTI_ALIAS_POLES, ANTI_ALIAS_OF_RATE = 6, 0.4
"""Of the digitiser's low-pass: its corner lies at this part of the record's rate, so that little is left at 0.5."""
PULSE_S = 1.6
"""Duration of a pulse: that of a source with a corner of 1 Hz has fallen by exp(-10) then."""
CORNER_P, CORNER_S = 0.32, 0.21
"""k of P and S in corner = k vs / radius, for a rupture velocity of 0.9 vs (Madariaga 1976)."""
IASPEI_MOMENT = 9.1
"""Constant of log10(moment in N m) = 1.5 Mw + constant."""


def oversampling(rate_hz: float) -> int:
    """Pulses are made on a grid this much finer than the record (500 Hz or more); onsets fall on that grid."""
    return max(2, int(np.ceil(FINE_RATE_HZ / rate_hz)))


@dataclass(frozen=True, slots=True)
class Source:
    """A double couple in local coordinates (km east and north of the network's origin, km below the surface)."""

    east_km: float
    north_km: float
    depth_km: float
    magnitude_mw: float
    stress_drop_mpa: float
    strike_deg: float
    dip_deg: float
    rake_deg: float

    @property
    def moment_nm(self) -> float:
        """Seismic moment (Hanks and Kanamori 1979, with the constant of IASPEI)."""
        return float(10 ** (1.5 * self.magnitude_mw + IASPEI_MOMENT))


def radiation_pattern(
    strike_deg: float, dip_deg: float, rake_deg: float, azimuth_deg: Array, takeoff_deg: Array
) -> tuple[Array, Array, Array]:
    """Far-field P, SV and SH amplitudes of a unit double couple (Aki and Richards 2002, eq. 4.89-4.91).

    ``azimuth_deg`` from the source to the station, ``takeoff_deg`` from straight down. P is positive away from the
    source, SV along increasing takeoff angle, SH along increasing azimuth.
    """
    delta, lam, i = np.radians(dip_deg), np.radians(rake_deg), np.radians(takeoff_deg)
    phi = np.radians(azimuth_deg) - np.radians(strike_deg)
    sin, cos = np.sin, np.cos
    p = (
        cos(lam) * sin(delta) * sin(i) ** 2 * sin(2 * phi)
        - cos(lam) * cos(delta) * sin(2 * i) * cos(phi)
        + sin(lam) * sin(2 * delta) * (cos(i) ** 2 - sin(i) ** 2 * sin(phi) ** 2)
        + sin(lam) * cos(2 * delta) * sin(2 * i) * sin(phi)
    )
    sv = (
        sin(lam) * cos(2 * delta) * cos(2 * i) * sin(phi)
        - cos(lam) * cos(delta) * cos(2 * i) * cos(phi)
        + 0.5 * cos(lam) * sin(delta) * sin(2 * i) * sin(2 * phi)
        - 0.5 * sin(lam) * sin(2 * delta) * sin(2 * i) * (1 + sin(phi) ** 2)
    )
    sh = (
        cos(lam) * cos(delta) * cos(i) * sin(phi)
        + cos(lam) * sin(delta) * sin(i) * cos(2 * phi)
        + sin(lam) * cos(2 * delta) * cos(i) * cos(phi)
        - 0.5 * sin(lam) * sin(2 * delta) * sin(i) * sin(2 * phi)
    )
    return np.asarray(p), np.asarray(sv), np.asarray(sh)


def corner_frequencies_hz(moment_nm: float, stress_drop_mpa: float, vs_km_s: float) -> tuple[float, float]:
    """P and S corner of a circular crack; the S corner is lower (Madariaga 1976). Radius after Eshelby (1957): 7/16."""
    if stress_drop_mpa <= 0 or moment_nm <= 0 or vs_km_s <= 0:
        raise CampaignError(
            f"source: moment, stress drop and S velocity must be positive, but are {moment_nm:g} N m, "
            f"{stress_drop_mpa:g} MPa and {vs_km_s:g} km/s."
        )
    radius_m = (7 / 16 * moment_nm / (stress_drop_mpa * 1e6)) ** (1 / 3)
    return CORNER_P * vs_km_s * 1e3 / radius_m, CORNER_S * vs_km_s * 1e3 / radius_m


def minimum_phase_spectrum(t_star_s: Array, samples: int, rate_hz: float) -> npt.NDArray[np.complex128]:
    """Spectra of causal filters with amplitude exp(-pi f t*), shape [..., samples // 2 + 1]; ``samples`` is even."""
    return np.asarray(np.exp(np.asarray(t_star_s)[..., None] * _causal_exponent(samples, rate_hz)))


@lru_cache(maxsize=16)
def _causal_exponent(samples: int, rate_hz: float) -> npt.NDArray[np.complex128]:
    """Logarithm of the minimum-phase filter with amplitude exp(-pi f), per second of t*.

    Its imaginary part is the Hilbert transform of the real one, by folding the cepstrum (Oppenheim and Schafer).
    """
    cepstrum = scipy.fft.irfft(-np.pi * scipy.fft.rfftfreq(samples, 1 / rate_hz), samples)
    cepstrum[1 : samples // 2] *= 2
    cepstrum[samples // 2 + 1 :] = 0
    return np.asarray(scipy.fft.rfft(cepstrum))


@lru_cache(maxsize=16)
def _digitiser(samples: int, rate_hz: float, fine_hz: float) -> npt.NDArray[np.complex128]:
    """Spectrum of the anti-alias filter, a causal Butterworth low-pass."""
    sos = scipy.signal.butter(ANTI_ALIAS_POLES, ANTI_ALIAS_OF_RATE * rate_hz, "low", fs=fine_hz, output="sos")
    impulse = np.zeros(samples)
    impulse[0] = 1.0
    return np.asarray(scipy.fft.rfft(scipy.signal.sosfilt(sos, impulse)))


def velocity_pulses(corner_hz: Array, t_star_s: Array, rate_hz: float, duration_s: float = PULSE_S) -> Array:
    """Ground velocity of a unit low-frequency displacement level, shape [..., fine sample].

    ``corner_hz`` and ``t_star_s`` [...] broadcast; pulses that share a corner cost less.

    Brune's omega-square source (the causal t exp(-w t) displacement, whose spectrum is exactly 1 / (1 + (f/fc)^2)),
    attenuated, low-passed as a digitiser would. Sampled at
    ``oversampling(rate_hz) * rate_hz``; sample 0 is the onset and nothing lies before it.
    """
    fine_hz = oversampling(rate_hz) * rate_hz
    n = scipy.fft.next_fast_len(int(2 * duration_s * fine_hz), real=True)
    n += n % 2
    half = n // 2
    w = 2 * np.pi * np.asarray(corner_hz, dtype=np.float64)[..., None]
    t = np.arange(half + 1) / fine_hz
    released = 1 - (1 + w * t) * np.exp(-w * t)  # integral of the displacement pulse: exact for any corner
    displacement = np.diff(released, axis=-1) * fine_hz
    velocity = np.diff(displacement, axis=-1, prepend=0.0) * fine_hz
    filters = minimum_phase_spectrum(np.asarray(t_star_s), n, fine_hz) * _digitiser(n, rate_hz, fine_hz)
    pulses = scipy.fft.irfft(scipy.fft.rfft(velocity, n) * filters, n)[..., :half]
    tail = half // 5
    pulses[..., -tail:] *= np.cos(np.linspace(0, np.pi / 2, tail)) ** 2
    first = np.argmax(np.abs(pulses) >= ONSET_FRACTION * np.abs(pulses).max(axis=-1, keepdims=True), axis=-1)
    index = np.arange(half) + first[..., None]
    shifted = np.take_along_axis(pulses, np.minimum(index, half - 1), axis=-1)
    return np.asarray(np.where(index < half, shifted, 0.0))


def on_record_grid(pulses: Array, fraction: Array, rate_hz: float) -> Array:
    """Fine pulses at the record's rate, for onsets ``fraction`` (0 to 1) of a record sample before the first one."""
    step = oversampling(rate_hz)
    offset = np.clip(np.rint(np.asarray(fraction) * step).astype(np.int64), 0, step - 1)
    n = pulses.shape[-1] // step - 1
    index = np.arange(n) * step + offset[..., None]
    return np.take_along_axis(pulses, index, axis=-1)
