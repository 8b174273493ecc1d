"""One moment of one network before it becomes network input: high-passed samples, and what is known of its arrivals.

The simulator and the sources of pre-training make raw windows, its distortions change them, `as_window` normalises and
labels them. The difference to a `Window`:
the samples still have their amplitudes. Noise and other earthquakes are added at a known ratio, each arrival's
signal-to-noise ratio is updated, and one that falls below `weakest_snr` is masked instead of labelled.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from obspy import UTCDateTime

from phaseno_peft.campaign.coordinates import unit_coordinates
from phaseno_peft.campaign.labels import HALF_BASE_SAMPLES, known_samples, triangles
from phaseno_peft.campaign.windows import Window, WindowLabel, normalise
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES

WEAKEST_SNR = 1.2
"""Arrivals below this amplitude ratio are masked in pre-training, not labelled: nothing is known around them."""
ONSET_S, NOISE_S = 0.4, 3.0
"""An arrival's amplitude is the rms of this long after it, the noise's of this long before."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An onset: row of the station, phase (0 P, 1 S), fractional sample (may lie outside), amplitude over noise."""

    station: int
    phase: int
    sample: float
    snr: float = math.inf


@dataclass(frozen=True)
class RawWindow:
    """Stations recorded side by side at the network's 100 Hz, high-passed at 1 Hz, in any unit."""

    kind: str
    """Which source it is from."""
    samples: NDArray[np.floating]
    """[station, component (E, N, Z), sample]; 0 where not recorded."""
    recorded: NDArray[np.bool_]
    """[station, component, sample]"""
    coordinates_km: NDArray[np.float64]
    """[station, 2 (east, north)] in the network's own frame."""
    arrivals: tuple[Arrival, ...]
    known: NDArray[np.bool_]
    """[station, phase, sample]; False where an absent arrival means nothing."""
    soft: NDArray[np.float32] | None = None
    """[station, phase, sample] a teacher's probabilities; where given, they are the target instead of triangles."""
    weakest_snr: float = WEAKEST_SNR
    """Arrivals below this amplitude ratio are masked, not labelled."""

    @property
    def n_stations(self) -> int:
        return len(self.samples)

    @property
    def n_samples(self) -> int:
        return int(self.samples.shape[-1])

    def targets(self, half_base_samples: float = HALF_BASE_SAMPLES) -> NDArray[np.float32]:
        """[station, phase, sample]: the teacher's probabilities, or triangles at the arrivals from `weakest_snr` on."""
        if self.soft is not None:
            return self.soft
        out = np.zeros((self.n_stations, len(PHASES), self.n_samples), np.float32)
        for row in np.ndindex(*out.shape[:2]):
            clear = [a.sample for a in self._of(*row) if a.snr >= self.weakest_snr]
            if clear:
                out[row] = triangles([x for x in clear if self._inside(x)], self.n_samples, half_base_samples)
        return out

    def mask(self) -> NDArray[np.bool_]:
        """[station, phase, sample]: `known`, less the neighbourhood of arrivals that are too weak or lie outside."""
        out = self.known.copy()
        if self.soft is not None:
            return out
        for row in {(a.station, a.phase) for a in self.arrivals}:
            here = self._of(*row)
            clear = [a.sample for a in here if a.snr >= self.weakest_snr]
            weak = [a.sample for a in here if not a.snr >= self.weakest_snr]
            out[row] &= known_samples(self.n_samples, clear, weak, [])
        return out

    def _of(self, station: int, phase: int) -> list[Arrival]:
        return [a for a in self.arrivals if a.station == station and a.phase == phase]

    def _inside(self, sample: float) -> bool:
        return 0 <= sample <= self.n_samples - 1


def as_window(
    raw: RawWindow, name: str, half_base_samples: float = HALF_BASE_SAMPLES, *, masked_labels: bool = False
) -> Window:
    """Network input, targets and mask of a raw window; stations without a living trace are left out.

    Its labels are the arrivals inside, from `weakest_snr` on; those so near a weaker one that nothing is known there
    only with `masked_labels`.
    """
    waveforms = normalise(raw.samples, raw.recorded)
    alive = np.flatnonzero(np.any(waveforms, axis=(1, 2)))
    place = {int(row): i for i, row in enumerate(alive)}
    known, n = raw.mask(), raw.n_samples
    clear = [a for a in raw.arrivals if a.station in place and 0 <= a.sample <= n - 1 and a.snr >= raw.weakest_snr]
    labels = [
        WindowLabel(place[a.station], a.phase, a.sample, name, "")
        for a in clear
        if masked_labels or known[a.station, a.phase, int(a.sample)]
    ]
    return Window(
        name=name,
        start=UTCDateTime(0),
        rate_hz=NETWORK_RATE_HZ,
        station_ids=tuple(f"XX.{row:04d}." for row in alive),
        waveforms=waveforms[alive],
        coordinates=unit_coordinates(raw.coordinates_km[alive]),
        labels=tuple(sorted(labels, key=lambda x: (x.station, x.phase, x.sample))),
        targets=raw.targets(half_base_samples)[alive],
        known=known[alive],
        is_noise=not any(0 <= a.sample <= n - 1 for a in raw.arrivals),
    )


def choose_stations(raw: RawWindow, rows: Sequence[int] | NDArray[np.intp]) -> RawWindow:
    """The raw window with these of its stations, in this order."""
    place = {int(row): i for i, row in enumerate(rows)}
    return dataclasses.replace(
        raw,
        samples=raw.samples[rows],
        recorded=raw.recorded[rows],
        coordinates_km=raw.coordinates_km[rows],
        arrivals=tuple(dataclasses.replace(a, station=place[a.station]) for a in raw.arrivals if a.station in place),
        known=raw.known[rows],
        soft=None if raw.soft is None else raw.soft[rows],
    )


def onset_rms(samples: NDArray[np.floating], at: float) -> float:
    """Rms over the components of [component, sample] in the 0.4 s from a sample on; 0 outside."""
    first = max(0, int(at))
    piece = samples[:, first : first + int(ONSET_S * NETWORK_RATE_HZ) + 1]
    return float(np.sqrt(np.mean(np.square(piece, dtype=np.float64)))) if piece.shape[-1] > 2 else 0.0


def noise_rms(samples: NDArray[np.floating], before: float) -> float:
    """Rms over the components of [component, sample] in the 3 s before a sample; 0 where there is no half second."""
    last = min(samples.shape[-1], int(before) - 5)
    piece = samples[:, max(0, last - int(NOISE_S * NETWORK_RATE_HZ)) : max(0, last)]
    return float(np.sqrt(np.mean(np.square(piece, dtype=np.float64)))) if piece.shape[-1] >= 50 else 0.0
