"""How a person would have labelled a simulated event: which arrivals, and where on the wavelet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.signal

from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation.noise import USABLE_OF_RATE
from phaseno_peft.simulation.travel_times import Array

SIMULATED_CONVENTIONS = ("onset", "peak", "trough")
ANALYST_BAND_HZ = (3.0, 45.0)
"""What the analyst filters the screen with: local microearthquakes lie above 3 Hz, mains and aliases above 45 Hz."""
SIGNAL_S = 0.4
"""An arrival's amplitude is its rms in this long after the onset: two periods at 5 Hz, more above."""
NOISE_BEFORE_P_S = 2.0
NOISE_BEFORE_S_S, NOISE_BEFORE_S_OF_SP = 0.5, 0.6
"""Noise before S is measured in its last half second, P coda included, and never further back than this part of S-P."""
SCREEN_MARGIN_S = 4.0
"""The analyst sees this much before the first onset and after the last."""
SCATTER_GROWTH = 2.0
"""Picks scatter 1 + this / SNR times as much as on a clear arrival."""
EXTREMUM_SCATTER = 0.4
"""An extremum is placed better than an onset, by this factor."""
EXTREMUM_WITHIN_S = (0.15, 0.25)
"""The first clear extremum of P and S comes within this time of the onset: half a period at 3 and at 2 Hz, about."""
CLEAR_PART = 0.4
"""An extremum is clear from this part of the largest amplitude in that time on."""


@dataclass(frozen=True, slots=True)
class Analyst:
    """Habits of the person who picks."""

    convention: Literal["onset", "peak", "trough"] = "onset"
    """Where a pick sits: the onset; the first clear extremum after it of either sign; the first clear negative one."""
    snr_limit_p: float = 2.0
    """Arrivals weaker than this (see `signal_to_noise`) are not picked."""
    snr_limit_s: float = 1.6
    scatter_p_s: float = 0.006
    """Standard deviation of a pick on a clear arrival; grows with noise, see `SCATTER_GROWTH`."""
    scatter_s_s: float = 0.014
    overlooked_fraction: float = 0.04
    """Part of the clear arrivals that are left unpicked all the same."""
    cycle_skip_fraction: float = 0.04
    """Part of the picks that sit one extremum later (peak and trough only)."""

    def __post_init__(self) -> None:
        if self.convention not in SIMULATED_CONVENTIONS:
            raise CampaignError(
                f"label convention is {self.convention!r}; the simulator knows {', '.join(SIMULATED_CONVENTIONS)}."
            )


@dataclass(frozen=True)
class Reading:
    """What the analyst saw and wrote down for one event; arrays [station, phase]."""

    snr: Array
    pick_s: Array
    """Seconds after the first sample; NaN where nothing was picked."""
    component: npt.NDArray[np.int64]
    """Index into (E, N, Z) of the component the pick was made on."""


def analyst_filter(samples: npt.NDArray[np.floating], rate_hz: float) -> Array:
    """Zero-phase band-pass the analyst looks through."""
    high = min(ANALYST_BAND_HZ[1], USABLE_OF_RATE * rate_hz)
    sos = scipy.signal.butter(2, (ANALYST_BAND_HZ[0], high), "bandpass", fs=rate_hz, output="sos")
    return np.asarray(scipy.signal.sosfiltfilt(sos, samples, axis=-1))


def signal_to_noise(signal: Array, background: Array, onset: int, rate_hz: float, before_s: float) -> float:
    """Rms of the signal in `SIGNAL_S` after the onset over rms of all else before it; [component, sample]."""
    after = signal[:, onset : onset + int(SIGNAL_S * rate_hz)]
    before = background[:, max(onset - int(before_s * rate_hz), 0) : onset]
    if onset < 0 or after.shape[-1] < 2 or before.shape[-1] < 2:
        return 0.0
    return float(np.sqrt(np.mean(after**2) / max(float(np.mean(before**2)), 1e-30)))


def read_event(
    rng: np.random.Generator,
    analyst: Analyst,
    parts: npt.NDArray[np.floating],
    noise: npt.NDArray[np.floating],
    onset_s: Array,
    rate_hz: float,
) -> Reading:
    """Pick one event. ``parts`` [phase, station, component, sample] and ``noise`` [station, component, sample] add up
    to what was recorded; ``onset_s`` [station, phase] are the true onsets in seconds after the first sample."""
    n, total = noise.shape[0], noise.shape[-1]
    snr, pick = np.zeros((n, 2)), np.full((n, 2), np.nan)
    component = np.full((n, 2), 2, dtype=np.int64)
    lo = max(int((onset_s.min() - SCREEN_MARGIN_S) * rate_hz), 0)
    hi = min(int((onset_s.max() + SCREEN_MARGIN_S) * rate_hz), total)
    if hi - lo < 64:
        return Reading(snr, pick, component)
    p_view, s_view = analyst_filter(parts[0, ..., lo:hi], rate_hz), analyst_filter(parts[1, ..., lo:hi], rate_hz)
    noise_view = analyst_filter(noise[..., lo:hi], rate_hz)
    local = onset_s - lo / rate_hz
    limits = (analyst.snr_limit_p, analyst.snr_limit_s)
    scatters = (analyst.scatter_p_s, analyst.scatter_s_s)
    for i in range(n):
        p_at, s_at = (int(sample) for sample in np.rint(local[i] * rate_hz))
        sp_s = float(local[i, 1] - local[i, 0])
        snr[i, 0] = signal_to_noise(p_view[i, 2:], noise_view[i, 2:], p_at, rate_hz, NOISE_BEFORE_P_S)
        snr[i, 1] = signal_to_noise(
            s_view[i, :2],
            noise_view[i, :2] + p_view[i, :2],
            s_at,
            rate_hz,
            min(NOISE_BEFORE_S_S, NOISE_BEFORE_S_OF_SP * sp_s),
        )
        energy = np.sum(s_view[i, :2, max(s_at, 0) : max(s_at, 0) + int(SIGNAL_S * rate_hz)] ** 2, axis=-1)
        component[i, 1] = int(np.argmax(energy))
        screen = noise_view[i] + p_view[i] + s_view[i]
        for j in range(2):
            chance, skip, scatter = rng.random(), rng.random(), rng.standard_normal()
            if snr[i, j] < limits[j] or chance < analyst.overlooked_fraction:
                continue
            where = float(local[i, j])
            if analyst.convention != "onset":
                trace = screen[component[i, j]]
                later = int(skip < analyst.cycle_skip_fraction)
                where = clear_extremum(trace, where, rate_hz, analyst.convention, later, j)
            where += (
                scatter
                * scatters[j]
                * (1 + SCATTER_GROWTH / snr[i, j])
                * (1.0 if analyst.convention == "onset" else EXTREMUM_SCATTER)
            )
            if 0 <= where + lo / rate_hz < total / rate_hz:
                pick[i, j] = where + lo / rate_hz
    return Reading(snr, pick, component)


def clear_extremum(
    trace: Array, onset_s: float, rate_hz: float, convention: str, later: int = 0, phase: int = 0
) -> float:
    """Time (s) of the first clear peak or trough after an onset; for "trough" of the first clear trough only.

    Clear: at least `CLEAR_PART` of the largest absolute amplitude within `EXTREMUM_WITHIN_S` of ``phase`` (0 P, 1 S).
    ``later`` takes the extremum after that instead.
    """
    a = int(np.floor(onset_s * rate_hz)) + 1
    piece = trace[a : a + int(EXTREMUM_WITHIN_S[phase] * rate_hz) + 2]
    if len(piece) < 3:
        return onset_s + 1 / rate_hz
    size = -piece if convention == "trough" else np.abs(piece)
    inside = np.flatnonzero((size[1:-1] >= size[:-2]) & (size[1:-1] > size[2:])) + 1
    clear = inside[size[inside] >= CLEAR_PART * size.max()] if len(inside) else inside
    if not len(clear):
        return (a + int(np.argmax(size))) / rate_hz
    return (a + int(clear[min(later, len(clear) - 1)])) / rate_hz
