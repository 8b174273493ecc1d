"""Augmentations of a raw window: pure functions (rng, RawWindow) -> RawWindow, seeded by the generator alone.

They work on amplitudes, before normalisation, so that each arrival's signal-to-noise ratio can be updated; what can be
done to a normalised window (polarity, rotation of the horizontals, dropped stations and components) is
`campaign.augment`'s. The random shift is the sources': they cut a raw window anywhere.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from phaseno_peft.campaign.augment import Augmentation, check_probabilities
from phaseno_peft.campaign.raw_window import Arrival, RawWindow, onset_rms

STRETCHES = tuple(Fraction(*f) for f in ((2, 3), (4, 5), (9, 10), (10, 9), (5, 4), (3, 2)))
"""Raw windows become this many times longer, and their networks as much larger: apparent velocities stay."""
EVENT_RATIO = (0.2, 5.0)
"""Amplitude of a superposed earthquake against the one that is there."""
ADDED_SNR = (0.8, 30.0)
"""Largest arrival of a station over the noise that is added, evenly in the logarithm."""
SOFT_LEVEL = (0.005, 0.1)
"""Noise added where the targets are a teacher's probabilities, against the trace's standard deviation: so little that
they stay true."""

NoisePool = Sequence[NDArray[np.float32]]
"""Records [3 (E, N, Z), sample] without events; a component that was not recorded is all zero."""


@dataclass(frozen=True, slots=True)
class DistortionChances:
    """How probable each change is."""

    stretch: float = 0.25
    second_event: float = 0.15
    noise: float = 0.5
    real_noise: float = 0.5
    """Of the noise that is added, this part is real where there is any, the rest is Gaussian."""
    amplitude: float = 0.25
    gaps: float = 0.06
    spikes: float = 0.06
    polarity: float = 0.5
    rotation: float = 0.5
    stations: float = 0.15
    components: float = 0.4

    def __post_init__(self) -> None:
        check_probabilities(dataclasses.asdict(self))

    @property
    def of_windows(self) -> Augmentation:
        """Those of `campaign.augment.compose`; its noise is left out, because here it is added before normalising."""
        return Augmentation(
            polarity=self.polarity,
            rotation=self.rotation,
            noise=0.0,
            stations=self.stations,
            components=self.components,
        )


def distort(
    rng: np.random.Generator,
    raw: RawWindow,
    chances: DistortionChances,
    second: Callable[[], RawWindow | None] | None = None,
    noise: NoisePool = (),
) -> RawWindow:
    """The raw window after a random choice of all changes but the stretch, which the source needs to know beforehand.

    ``second`` makes another raw window of as many stations and samples, for two events at once.
    """
    if rng.random() < chances.second_event and second is not None and (other := second()) is not None:
        raw = superpose(rng, raw, other)
    if rng.random() < chances.amplitude:
        raw = change_amplitude(rng, raw)
    if rng.random() < chances.noise:
        if len(noise) and rng.random() < chances.real_noise:
            raw = add_real_noise(rng, raw, noise)
        else:
            raw = add_gaussian_noise(rng, raw)
    if rng.random() < chances.spikes:
        raw = add_spikes(rng, raw)
    if rng.random() < chances.gaps:
        raw = cut_gaps(rng, raw)
    return raw


def draw_stretch(rng: np.random.Generator, chance: float) -> Fraction:
    """How many times longer the next raw window becomes; mostly 1."""
    return STRETCHES[int(rng.integers(len(STRETCHES)))] if rng.random() < chance else Fraction(1)


def samples_before(factor: Fraction, n_samples: int) -> int:
    """Samples a raw window needs so that `stretch_time` can give `n_samples`."""
    return math.ceil(n_samples / factor) + 1


def stretch_time(raw: RawWindow, factor: Fraction, n_samples: int) -> RawWindow:
    """The raw window `factor` times slower in a network as many times larger, its first `n_samples` samples.

    Polyphase resampling, nothing aliases. Arrivals, mask, probabilities and coordinates go with it.
    """
    if factor == 1:
        return raw
    up, down = factor.numerator, factor.denominator
    samples = scipy.signal.resample_poly(raw.samples, up, down, axis=-1)[..., :n_samples].astype(np.float32)
    old = np.minimum(np.rint(np.arange(n_samples) / float(factor)).astype(np.int64), raw.n_samples - 1)
    recorded = raw.recorded[..., old]
    return dataclasses.replace(
        raw,
        samples=np.where(recorded, samples, np.float32(0)),
        recorded=recorded,
        coordinates_km=raw.coordinates_km * float(factor),
        arrivals=tuple(dataclasses.replace(a, sample=a.sample * float(factor)) for a in raw.arrivals),
        known=raw.known[..., old],
        soft=None if raw.soft is None else raw.soft[..., old],
    )


def superpose(rng: np.random.Generator, raw: RawWindow, other: RawWindow) -> RawWindow:
    """Both raw windows at once, station by station; the other's strongest sample is 0.2 to 5 times this one's.

    Arrivals that the other window's waves hide are masked. Stations the other window lacks record only the first; the
    coordinates are the first window's.
    """
    ratio = float(np.exp(rng.uniform(*np.log(EVENT_RATIO))))
    samples, known = raw.samples.copy(), raw.known.copy()
    soft = None if raw.soft is None and other.soft is None else raw.targets().copy()
    theirs = other.targets() if soft is not None else None
    arrivals: list[Arrival] = [a for a in raw.arrivals if a.station >= other.n_stations]
    for i in range(min(raw.n_stations, other.n_stations)):
        peak = float(np.abs(other.samples[i]).max())
        factor = ratio * float(np.abs(raw.samples[i]).max()) / peak if peak > 0 else 0.0
        added = np.where(raw.recorded[i], other.samples[i] * np.float32(factor), np.float32(0))
        for own, interference, source in ((raw.samples[i], added, raw), (added, raw.samples[i], other)):
            arrivals += [_with_interference(a, own, interference) for a in source.arrivals if a.station == i]
        samples[i] += added
        known[i] &= other.known[i]
        if soft is not None and theirs is not None:
            np.maximum(soft[i], theirs[i], out=soft[i])
    return dataclasses.replace(raw, samples=samples, arrivals=tuple(arrivals), known=known, soft=soft)


def _with_interference(arrival: Arrival, own: NDArray[np.float32], added: NDArray[np.floating]) -> Arrival:
    """The arrival with its amplitude ratio after `added` [component, sample] was added to its own record."""
    signal = onset_rms(own, arrival.sample)
    if signal == 0:
        return arrival
    around = slice(max(0, int(arrival.sample) - 40), max(0, int(arrival.sample) + 40))
    near = added[:, around]
    noise = float(np.sqrt(np.mean(np.square(near, dtype=np.float64)))) if near.shape[-1] else 0.0
    return dataclasses.replace(arrival, snr=signal / max(math.hypot(signal / max(arrival.snr, 1e-6), noise), 1e-30))


def add_gaussian_noise(rng: np.random.Generator, raw: RawWindow) -> RawWindow:
    """White noise on every recorded sample."""
    return _with_noise(rng, raw, rng.standard_normal(raw.samples.shape, dtype=np.float32))


def add_real_noise(rng: np.random.Generator, raw: RawWindow, pool: NoisePool) -> RawWindow:
    """Pieces of real records without events, one for each station; short records are repeated forth and back.

    Where a piece has one component, the station keeps its own samples on the others; its vertical gets the noise.
    """
    noise = np.zeros_like(raw.samples)
    for i in range(raw.n_stations):
        record = pool[int(rng.integers(len(pool)))]
        while record.shape[-1] < raw.n_samples:
            record = np.concatenate([record, record[:, ::-1]], axis=-1)
        first = int(rng.integers(record.shape[-1] - raw.n_samples + 1))
        noise[i] = record[:, first : first + raw.n_samples]
    return _with_noise(rng, raw, noise)


def _with_noise(rng: np.random.Generator, raw: RawWindow, noise: NDArray[np.float32]) -> RawWindow:
    """`noise` [station, component, sample] of any level, scaled station by station and added."""
    samples = raw.samples.copy()
    arrivals: list[Arrival] = []
    for i in range(raw.n_stations):
        living = np.any(noise[i], axis=-1) & np.any(raw.recorded[i], axis=-1)
        rms = float(np.sqrt(np.mean(np.square(noise[i][living], dtype=np.float64)))) if living.any() else 0.0
        own = [a for a in raw.arrivals if a.station == i]
        loudest = max((onset_rms(raw.samples[i], a.sample) for a in own), default=0.0)
        if raw.soft is not None or loudest == 0:
            level = float(raw.samples[i].std()) * float(np.exp(rng.uniform(*np.log(SOFT_LEVEL))))
        else:
            level = loudest / float(np.exp(rng.uniform(*np.log(ADDED_SNR))))
        if rms == 0 or level == 0:
            arrivals += own
            continue
        added = np.where(raw.recorded[i], noise[i] * np.float32(level / rms), np.float32(0))
        arrivals += [_with_interference(a, raw.samples[i], added) for a in own]
        samples[i] += added
    return dataclasses.replace(raw, samples=samples, arrivals=tuple(arrivals))


def change_amplitude(rng: np.random.Generator, raw: RawWindow) -> RawWindow:
    """A gain of each station that drifts through the window, and on some stations a digitiser that clips.

    A constant gain would be undone by the normalisation.
    """
    n, samples = raw.n_samples, raw.samples.copy()
    for i in range(raw.n_stations):
        drift = np.interp(np.arange(n), np.linspace(0, n, 4), rng.normal(0, 0.3, 4))
        samples[i] *= np.exp(drift).astype(np.float32)
        if rng.random() < 0.3:
            limit = float(np.abs(samples[i]).max()) * float(rng.uniform(0.2, 0.7))
            np.clip(samples[i], -limit, limit, out=samples[i])
    return dataclasses.replace(raw, samples=samples)


def add_spikes(rng: np.random.Generator, raw: RawWindow) -> RawWindow:
    """One to three electrical glitches of one to three samples on components of some stations; no arrival is lost."""
    samples = raw.samples.copy()
    for i in np.flatnonzero(rng.random(raw.n_stations) < 0.5):
        for _ in range(int(rng.integers(1, 4))):
            component, first, length = int(rng.integers(3)), int(rng.integers(raw.n_samples)), int(rng.integers(1, 4))
            height = rng.normal(0, 10) * float(samples[i, component].std())
            where = slice(first, first + length)
            samples[i, component, where] += np.where(raw.recorded[i, component, where], np.float32(height), 0)
    return dataclasses.replace(raw, samples=samples)


def cut_gaps(rng: np.random.Generator, raw: RawWindow) -> RawWindow:
    """0.2 to 6 s without record on some stations, all components or one; arrivals in a whole gap are unknown."""
    samples, recorded, known = raw.samples.copy(), raw.recorded.copy(), raw.known.copy()
    for i in np.flatnonzero(rng.random(raw.n_stations) < 0.5):
        first, length = int(rng.integers(raw.n_samples)), int(rng.integers(20, 600))
        rows = slice(None) if rng.random() < 0.7 else slice(c := int(rng.integers(3)), c + 1)
        recorded[i, rows, first : first + length] = False
        samples[i, rows, first : first + length] = 0
        nothing = ~recorded[i].any(axis=0)
        known[i, :, nothing] = False
    arrivals = tuple(a for a in raw.arrivals if not _in_gap(a, recorded))
    return dataclasses.replace(raw, samples=samples, recorded=recorded, known=known, arrivals=arrivals)


def _in_gap(arrival: Arrival, recorded: NDArray[np.bool_]) -> bool:
    n = recorded.shape[-1]
    return 0 <= arrival.sample < n and not recorded[arrival.station, :, int(arrival.sample)].any()
