"""Two classical pickers as obspy has them: Baer & Kradolfer's P picker, and the AR-AIC picker of P and S.

Both give one time a phase and window, whether there is an arrival or not; the ratio of amplitudes around it says how
much it is worth, so that thresholds mean here what they mean for every other picker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.baselines.rival import E, N, StationByStation, Z, living_components
from phaseno_peft.campaign.labels import triangles
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES

HALF_RATIO = 4.0
"""A ratio of amplitudes at which a pick is worth 0.5."""
AFTER_S, BEFORE_S = 0.5, 2.0
"""Stretches around a pick of which the ratio is taken."""


@dataclass(frozen=True)
class BaerPicker(StationByStation):
    """`obspy.signal.trigger.pk_baer` (Baer & Kradolfer 1987) on the vertical: P alone, with obspy's settings."""

    name: str = "Baer-Kradolfer"
    thresholds: Mapping[str, float] = field(default_factory=lambda: {"P": 0.5, "S": 0.5})
    down_s: float = 0.2
    event_s: float = 0.6
    first_threshold: float = 7.0
    second_threshold: float = 12.0
    preset_s: float = 1.0
    duration_s: float = 1.0

    def _station(self, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
        from obspy.signal.trigger import pk_baer

        curves = np.zeros((len(PHASES), waveforms.shape[-1]), np.float32)
        components = living_components(waveforms)
        if not components:
            return curves
        vertical = waveforms[Z if Z in components else components[-1]]
        sample, _ = pk_baer(
            np.ascontiguousarray(vertical, np.float32),
            NETWORK_RATE_HZ,
            *(round(s * NETWORK_RATE_HZ) for s in (self.down_s, self.event_s)),
            self.first_threshold,
            self.second_threshold,
            *(round(s * NETWORK_RATE_HZ) for s in (self.preset_s, self.duration_s)),
        )
        _add_pick(curves, 0, float(sample), np.abs(vertical))
        return curves


@dataclass(frozen=True)
class ArAicPicker(StationByStation):
    """`obspy.signal.trigger.ar_pick` (Akazawa 2004) on three components, with obspy's settings."""

    name: str = "AR-AIC"
    thresholds: Mapping[str, float] = field(default_factory=lambda: {"P": 0.5, "S": 0.5})
    band_hz: tuple[float, float] = (1.0, 45.0)
    long_s: Mapping[str, float] = field(default_factory=lambda: {"P": 1.0, "S": 4.0})
    short_s: Mapping[str, float] = field(default_factory=lambda: {"P": 0.1, "S": 1.0})
    coefficients: Mapping[str, int] = field(default_factory=lambda: {"P": 2, "S": 8})
    variance_s: Mapping[str, float] = field(default_factory=lambda: {"P": 0.1, "S": 0.2})

    def _station(self, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
        from obspy.signal.trigger import ar_pick

        curves = np.zeros((len(PHASES), waveforms.shape[-1]), np.float32)
        components = living_components(waveforms)
        if not components:
            return curves
        vertical = Z if Z in components else components[-1]
        z, n, e = (np.ascontiguousarray(waveforms[c if c in components else vertical], np.float32) for c in (Z, N, E))
        p_s, s_s = ar_pick(
            z,
            n,
            e,
            NETWORK_RATE_HZ,
            *self.band_hz,
            self.long_s["P"],
            self.short_s["P"],
            self.long_s["S"],
            self.short_s["S"],
            self.coefficients["P"],
            self.coefficients["S"],
            self.variance_s["P"],
            self.variance_s["S"],
        )
        _add_pick(curves, 0, p_s * NETWORK_RATE_HZ, np.abs(z))
        if s_s > p_s:
            _add_pick(curves, 1, s_s * NETWORK_RATE_HZ, np.hypot(n, e))
        return curves


def _add_pick(curves: NDArray[np.float32], phase: int, sample: float, level: NDArray[np.float32]) -> None:
    """A triangle as in the training targets, as high as the ratio of the levels after and before it is worth."""
    at = round(sample)
    before = level[max(0, at - round(BEFORE_S * NETWORK_RATE_HZ)) : at]
    after = level[at : at + round(AFTER_S * NETWORK_RATE_HZ)]
    if at <= 0 or not before.any() or not after.any():
        return
    ratio = float(np.sqrt(np.mean(np.square(after)) / np.mean(np.square(before))))
    height = ratio / (ratio + HALF_RATIO)
    np.maximum(curves[phase], height * triangles([sample], curves.shape[-1]), out=curves[phase])
