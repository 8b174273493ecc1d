"""What a surface station records when nothing happens below: coloured noise, pumps, traffic, steps, spikes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from phaseno_peft.simulation.travel_times import Array


@dataclass(frozen=True)
class NoiseClimate:
    """The noise of a site of operations. Levels are rms ground velocity between 2 and 40 Hz."""

    rms_m_s: float = 2.0e-7
    """Median station, vertical, at night and without the pumps."""
    station_spread: float = 0.6
    """Standard deviation of the natural logarithm of a station's level."""
    horizontal_factor: float = 1.4
    day_factor: float = 1.8
    """Level at 14 h local time over the level at 2 h."""
    pump_rms_m_s: float = 1.0e-7
    """Coherent noise of the pumps 1 km from the pad."""
    pump_lines_hz: tuple[float, ...] = (11.7, 23.4, 29.3)
    pad_east_km: float = 0.0
    pad_north_km: float = 0.0
    surface_wave_km_s: float = 0.7
    bursts_per_minute: float = 0.5
    """Vehicles, machines and steps, per station."""
    spikes_per_hour: float = 4.0
    """Electrical glitches on one component, per station."""


@dataclass(frozen=True)
class StationNoise:
    """What stays the same at a station through a campaign."""

    level: Array
    """[station] rms over the climate's median."""
    slope: Array
    """[station] amplitude falls as frequency to this power."""
    bumps: Array
    """[station, component, node] smooth spectral shape, natural logarithm."""
    line_gain: Array
    """[station, line]"""
    distance_km: Array
    azimuth_rad: Array
    """[station] from the pad."""


_NODE_HZ = np.geomspace(0.5, 120.0, 10)


def draw_station_noise(
    rng: np.random.Generator, climate: NoiseClimate, east_km: Array, north_km: Array
) -> StationNoise:
    """One character per station."""
    n = len(east_km)
    east, north = east_km - climate.pad_east_km, north_km - climate.pad_north_km
    return StationNoise(
        level=rng.lognormal(0, climate.station_spread, n),
        slope=rng.uniform(0.3, 1.2, n),
        bumps=rng.normal(0, 0.25, (n, 1, len(_NODE_HZ))) + rng.normal(0, 0.25, (n, 3, len(_NODE_HZ))),
        line_gain=rng.lognormal(-0.7, 0.8, (n, len(climate.pump_lines_hz))),
        distance_km=np.hypot(east, north),
        azimuth_rad=np.arctan2(east, north),
    )


def ambient_noise(
    rng: np.random.Generator,
    climate: NoiseClimate,
    stations: StationNoise,
    samples: int,
    rate_hz: float,
    local_hour: float = 12.0,
) -> npt.NDArray[np.float32]:
    """Ground velocity in m/s, [station, component (E, N, Z), sample]."""
    n = scipy.fft.next_fast_len(samples, real=True)
    frequency = scipy.fft.rfftfreq(n, 1 / rate_hz)
    band = (frequency >= 2) & (frequency <= 40)
    log_f = np.log(np.maximum(frequency, 0.3))
    nodes = _node_weights(n, rate_hz)
    no_drift = frequency / np.hypot(frequency, 0.5)
    quiet = _day_level(climate, local_hour)
    pumps = _pump_spectra(rng, climate, n, rate_hz)
    out = np.empty((len(stations.level), 3, samples), dtype=np.float32)
    for i in range(len(out)):
        shape = np.exp(stations.bumps[i] @ nodes - stations.slope[i] * log_f) * no_drift
        shape /= np.sqrt(np.sum(shape[:, band] ** 2, axis=-1, keepdims=True) * 2) / n
        shape *= np.array([[climate.horizontal_factor], [climate.horizontal_factor], [1.0]])
        shape *= climate.rms_m_s * stations.level[i] * quiet / np.sqrt(2)
        spectrum = rng.standard_normal((3, len(frequency), 2), dtype=np.float32).view(np.complex64)[..., 0]
        spectrum *= shape.astype(np.float32)
        spectrum += _pumps_at_station(climate, stations, i, pumps, frequency)
        trace = scipy.fft.irfft(spectrum, n)[:, :samples]
        knots = max(3, int(samples / rate_hz / 8))
        breeze = np.interp(np.arange(samples), np.linspace(0, samples, knots), rng.normal(0, 0.2, knots))
        out[i] = trace * np.exp(breeze)
        _add_bursts(rng, climate, out[i], rate_hz, quiet)
        _add_spikes(rng, climate, out[i], rate_hz)
    return out


@lru_cache(maxsize=8)
def _node_weights(n: int, rate_hz: float) -> Array:
    """Linear interpolation in logarithmic frequency as a matrix, [node, frequency]."""
    log_f = np.log(np.maximum(scipy.fft.rfftfreq(n, 1 / rate_hz), 0.3))
    return np.stack([np.interp(log_f, np.log(_NODE_HZ), row) for row in np.eye(len(_NODE_HZ))])


def _day_level(climate: NoiseClimate, local_hour: float) -> float:
    return float(climate.day_factor ** (0.5 - 0.5 * np.cos(2 * np.pi * (local_hour - 2) / 24)))


def _pump_spectra(rng: np.random.Generator, climate: NoiseClimate, n: int, rate_hz: float) -> npt.NDArray[np.complex64]:
    """One broadband and several line sources at the pad, each with unit rms in time, [source, frequency].

    A line too high for the rate is silent: an instrument would have filtered it out, a sampled sine would come back as
    a lower one.
    """
    frequency = scipy.fft.rfftfreq(n, 1 / rate_hz)
    shape = np.exp(-0.5 * (np.log(np.maximum(frequency, 0.1) / 11.0) / 0.55) ** 2)
    broad = shape * rng.standard_normal((len(frequency), 2)).view(np.complex128)[:, 0]
    broad *= n / np.sqrt(2 * np.sum(np.abs(broad) ** 2))
    sources = [broad]
    for line in climate.pump_lines_hz:
        knots = max(4, int(n / rate_hz / 5))
        drift = np.interp(np.arange(n), np.linspace(0, n, knots), rng.normal(0, 0.004, knots))
        turn = 2 * np.pi * line * (1 + rng.normal(0, 0.01)) * np.cumsum(1 + drift) / rate_hz
        wave = np.sqrt(2) * np.sin(turn + rng.uniform(0, 2 * np.pi))
        sources.append(scipy.fft.rfft(wave) if line < 0.45 * rate_hz else 0 * broad)
    return np.asarray(sources, dtype=np.complex64)


def _pumps_at_station(
    climate: NoiseClimate, stations: StationNoise, i: int, pumps: npt.NDArray[np.complex64], frequency: Array
) -> npt.NDArray[np.complex64]:
    """Rayleigh-like: the radial runs a quarter period ahead of the vertical; weaker and later with distance."""
    r = max(float(stations.distance_km[i]), 0.15)
    gains = np.append(1.0, stations.line_gain[i]) * climate.pump_rms_m_s / np.sqrt(r)
    late = -np.pi * r / climate.surface_wave_km_s * (1 / 40 + 2j) * frequency  # loss with Q = 40, and delay
    vertical = np.exp(late.astype(np.complex64)) * (gains.astype(np.float32) @ pumps)
    east, north = np.sin(stations.azimuth_rad[i]), np.cos(stations.azimuth_rad[i])
    return np.stack([vertical * np.complex64(0.8j * east), vertical * np.complex64(0.8j * north), vertical])


def _add_bursts(
    rng: np.random.Generator, climate: NoiseClimate, trace: npt.NDArray[np.float32], rate_hz: float, busy: float
) -> None:
    minutes = trace.shape[-1] / rate_hz / 60
    rms = climate.rms_m_s
    for _ in range(rng.poisson(climate.bursts_per_minute * minutes * busy)):
        start = int(rng.integers(0, trace.shape[-1]))
        size = rms * rng.lognormal(0.4, 0.7)
        if rng.random() < 0.6:
            burst = emergent_burst(rng, rng.uniform(1.5, 20), rate_hz)
        else:
            burst = footsteps(rng, int(rng.integers(3, 15)), rate_hz)
        add_at(trace, start, size * burst)


def _add_spikes(
    rng: np.random.Generator, climate: NoiseClimate, trace: npt.NDArray[np.float32], rate_hz: float
) -> None:
    hours = trace.shape[-1] / rate_hz / 3600
    for _ in range(rng.poisson(climate.spikes_per_hour * hours)):
        start, component = rng.integers(0, trace.shape[-1] - 2), rng.integers(0, 3)
        trace[component, start : start + rng.integers(1, 3)] += rng.normal(0, 20) * climate.rms_m_s


def add_at(trace: npt.NDArray[np.float32], start: int, piece: Array) -> None:
    """Add [component, n] onto a trace from a sample on, as far as it lies inside."""
    lo, hi = max(start, 0), min(start + piece.shape[-1], trace.shape[-1])
    if lo < hi:
        trace[:, lo:hi] += piece[:, lo - start : hi - start].astype(np.float32)


def emergent_burst(rng: np.random.Generator, duration_s: float, rate_hz: float) -> Array:
    """A vehicle or machine: narrow-band noise that swells and fades, rms 1 at its height, [component, sample]."""
    n = max(int(duration_s * rate_hz), 16)
    t = np.arange(n) / n
    envelope = t ** rng.uniform(0.7, 2.5) * (1 - t) ** rng.uniform(0.7, 2.5)
    low = rng.uniform(4, 14)
    high = min(low * rng.uniform(1.5, 3), 0.45 * rate_hz)
    size = scipy.fft.next_fast_len(n, real=True)
    frequency = scipy.fft.rfftfreq(size, 1 / rate_hz)
    # amplitude of a second-order Butterworth band-pass
    width = (frequency**2 - low * high) / (np.maximum(frequency, 1e-9) * (high - low))
    spectrum = rng.standard_normal((3, len(frequency), 2), dtype=np.float32).view(np.complex64)[..., 0]
    band = scipy.fft.irfft(spectrum * (1 / np.sqrt(1 + width**4)).astype(np.float32), size)[:, :n]
    band /= band.std() + 1e-12
    return np.asarray(band * envelope / envelope.max() * rng.uniform(0.6, 1.4, (3, 1)))


def footsteps(rng: np.random.Generator, count: int, rate_hz: float) -> Array:
    """Short thuds about half a second apart, mostly vertical, [component, sample]."""
    n = int((count * 0.6 + 1) * rate_hz)
    out = np.zeros((3, n))
    t = np.arange(int(0.25 * rate_hz)) / rate_hz
    for k in range(count):
        thud = (
            np.exp(-t / 0.04)
            * np.sin(2 * np.pi * rng.uniform(15, 35) * t)
            * np.exp(-(((k - count / 2) / count) ** 2) * 6)
        )
        start = int((0.3 + 0.55 * k + rng.normal(0, 0.02)) * rate_hz)
        if start + len(t) < n:
            out[:, start : start + len(t)] += np.array([[0.5], [0.5], [1.2]]) * thud * rng.uniform(1.5, 3)
    return out


def false_trigger(
    rng: np.random.Generator,
    climate: NoiseClimate,
    noise: npt.NDArray[np.float32],
    east_km: Array,
    north_km: Array,
    at_s: float,
    rate_hz: float,
) -> str:
    """Add, in place, something that fires a trigger but is no earthquake; returns its kind."""
    kind = str(rng.choice(["vehicles", "electrical", "air-wave", "handling"], p=[0.35, 0.2, 0.3, 0.15]))
    rms = climate.rms_m_s
    n = len(noise)
    if kind == "electrical":  # the same wavelet on every station at once
        t = np.arange(int(0.4 * rate_hz)) / rate_hz
        wavelet = np.exp(-t / rng.uniform(0.01, 0.1)) * np.cos(2 * np.pi * rng.uniform(8, 45) * t)
        for i in range(n):
            polarity = rng.normal(0, 1, (3, 1))
            add_at(noise[i], int(at_s * rate_hz), rms * rng.uniform(4, 25) * polarity * wavelet)
    elif kind == "air-wave":  # a shot or a slammed gate: 0.34 km/s across the network
        source = rng.uniform(-1, 1, 2) * np.array([np.ptp(east_km), np.ptp(north_km)]) / 2
        for i in range(n):
            r = max(float(np.hypot(east_km[i] - source[0], north_km[i] - source[1])), 0.05)
            size = rms * rng.uniform(8, 20) / np.sqrt(r)
            add_at(noise[i], int((at_s + r / 0.34) * rate_hz), size * _thump(rng, 0.08, rate_hz))
            add_at(noise[i], int((at_s + r / 1.1) * rate_hz), 0.5 * size * emergent_burst(rng, 1 + r, rate_hz))
    elif kind == "handling":  # one station moved or touched
        i = int(rng.integers(0, n))
        for _ in range(int(rng.integers(2, 7))):
            at = at_s + rng.exponential(3)
            add_at(noise[i], int(at * rate_hz), rms * rng.uniform(10, 80) * _thump(rng, 0.2, rate_hz))
    else:  # independent traffic at several stations
        for i in rng.permutation(n)[: max(2, n // 2)]:
            burst = emergent_burst(rng, rng.uniform(2, 12), rate_hz)
            add_at(noise[i], int((at_s + rng.normal(0, 2)) * rate_hz), rms * rng.uniform(4, 15) * burst)
    return kind


def _thump(rng: np.random.Generator, decay_s: float, rate_hz: float) -> Array:
    t = np.arange(int(6 * decay_s * rate_hz)) / rate_hz
    return rng.normal(0, 1, (3, 1)) * np.exp(-t / decay_s) * np.sin(2 * np.pi * rng.uniform(6, 30) * t)
