"""The geophone and digitiser: one second-order high-pass in velocity and a constant."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.signal

from phaseno_peft.simulation.travel_times import Array


@dataclass(frozen=True, slots=True)
class Geophone:
    """A velocity sensor with a natural frequency, and the digitiser behind it."""

    natural_frequency_hz: float = 4.5
    damping: float = 0.7
    counts_per_m_s: float = 1.0e9
    """Above the natural frequency: for example 28.8 V s/m, 34 dB gain and 24 bits."""

    @property
    def poles(self) -> tuple[complex, complex]:
        """Poles in rad/s; two zeros at 0 belong to them."""
        w0 = 2 * np.pi * self.natural_frequency_hz
        root = np.sqrt(complex(1 - self.damping**2)) * w0
        return complex(-self.damping * w0 + 1j * root), complex(-self.damping * w0 - 1j * root)

    def respond(self, ground_velocity_m_s: npt.NDArray[np.floating], rate_hz: float) -> Array:
        """Output in m/s equivalents (not yet counts); causal, any shape [..., sample]."""
        return np.asarray(scipy.signal.sosfilt(_section(self, rate_hz), ground_velocity_m_s, axis=-1))


@lru_cache(maxsize=32)
def _section(geophone: Geophone, rate_hz: float) -> Array:
    """The geophone as one second-order section: the zeros are real, the poles a conjugate pair."""
    zeros, poles, gain = scipy.signal.bilinear_zpk([0, 0], list(geophone.poles), 1.0, rate_hz)
    return np.concatenate([np.poly(zeros).real * gain, np.poly(poles).real])[None]
