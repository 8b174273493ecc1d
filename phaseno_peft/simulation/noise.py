"""What a surface station records when nothing happens below: coloured noise, pumps, traffic, steps, spikes.

Numbers without a source are choices, not measurements; `benchmarks/real_beside_simulated.py` lays noise, P, S and coda
of real campaigns beside simulated ones. A name that ends in `_LN` is of a natural logarithm, mostly its standard
deviation: 0.7 is a factor of 2 either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from phaseno_peft.simulation.travel_times import Array

LEVEL_BAND_HZ = (2.0, 40.0)
"""Where a noise level is measured: below it noise is microseism, which no local earthquake competes with; above it the
anti-alias filter of records at 100 Hz begins."""
LOWEST_HZ = 0.3
"""The spectrum is flat below: nothing down there passes the network's high-pass at 1 Hz."""
DRIFT_CORNER_HZ = 0.5
"""Below it the spectrum falls off, so that a record does not wander out of its 24 bits."""
SPECTRAL_SLOPE = (0.3, 1.2)
"""Range of the power of frequency with which amplitudes of ground velocity fall at a station."""
SPECTRAL_NODES_HZ = np.geomspace(0.5, 120.0, 10)
"""Between these the spectrum of a station is smooth: some four nodes a decade, up to the Nyquist of 250 Hz records."""
SPECTRAL_SHAPE_LN = 0.25
"""How much the spectrum at a node differs from the slope: once for the station, once more for each component."""
SLOW_CHANGE_S, SLOW_CHANGE_LN = 8.0, 0.2
"""The level of a station rises and falls over some seconds, as with gusts of wind."""
QUIETEST_LOCAL_HOUR = 2.0
"""People sleep and machines stand still; the loudest hour is 12 h later."""
PUMP_CENTRE_HZ, PUMP_WIDTH_LN = 11.0, 0.55
"""Broadband noise of the pumps, a bell in logarithmic frequency: half its height at 6 and at 21 Hz."""
LINE_GAIN_MEDIAN_LN, LINE_GAIN_LN = -0.7, 0.8
"""A pump's line against its broadband noise at a station: half in the median, other at each station."""
LINE_OFFSET, LINE_DRIFT, LINE_DRIFT_S = 0.01, 0.004, 5.0
"""Engines keep their speed to 1 % from record to record, and to 0.4 % over some seconds."""
USABLE_OF_RATE = 0.45
"""Part of the sampling rate up to which a record holds signal: a little below the Nyquist frequency."""
SURFACE_WAVE_Q = 40.0
"""Attenuation of the pumps' surface waves in soft ground."""
RAYLEIGH_RADIAL = 0.8
"""Radial over vertical amplitude of a Rayleigh wave, a quarter period apart; 0.68 on a half-space with vp/vs 1.73."""
NEAREST_PUMP_KM = 0.15
"""Amplitude goes with the root of distance (a surface wave); nearer stations are treated as this far away."""
BURST_MEDIAN_LN, BURST_LN = 0.4, 0.7
"""Rms of a vehicle or of steps over the median noise level: 1.5 in the median."""
VEHICLE_PART = 0.6
"""Of the bursts; the others are steps."""
VEHICLE_S = (1.5, 20.0)
"""How long a vehicle is recorded at one station."""
VEHICLE_LOW_HZ, VEHICLE_HIGH_OVER_LOW = (4.0, 14.0), (1.5, 3.0)
"""Lower corner of a vehicle's or machine's band, and the upper corner over it."""
STEPS, STEP_S, STEP_JITTER_S = (3, 15), 0.55, 0.02
"""Steps of a person who passes: number (upper end excluded), time between two, and its scatter."""
STEP_DECAY_S, STEP_HZ = 0.04, (15.0, 35.0)
"""A step is a short damped oscillation of the ground under a foot."""
SPIKE_OVER_NOISE = 20.0
"""Standard deviation of an electrical glitch over the median noise level; one or two samples long."""
FALSE_TRIGGERS = {"vehicles": 0.35, "electrical": 0.2, "air-wave": 0.3, "handling": 0.15}
"""Share of each kind; see `false_trigger`."""
SOUND_KM_S = 0.34
"""Speed of sound in air at 15 C: a shot or a slammed gate crosses the network with it."""
SHOT_GROUND_WAVE_KM_S = 1.1
"""Its ground wave through soft ground arrives before the sound."""


@dataclass(frozen=True)
class NoiseModel:
    """The noise of a site of operations. Levels are rms ground velocity between 2 and 40 Hz."""

    rms_m_s: float = 2.0e-7
    """Median station, vertical, at night and without the pumps. Some -114 dB (m/s2)2/Hz at 10 Hz, between the low and
    the high noise model of Peterson (1993), -168 and -91 dB."""
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
    """Noise properties of the stations that stay the same through a campaign."""

    level: Array
    """[station] rms over the noise model's median."""
    slope: Array
    """[station] amplitude falls as frequency to this power."""
    bumps: Array
    """[station, component, node] smooth spectral shape, natural logarithm."""
    line_gain: Array
    """[station, line]"""
    distance_km: Array
    azimuth_rad: Array
    """[station] from the pad."""


def draw_station_noise(
    rng: np.random.Generator, noise_model: NoiseModel, east_km: Array, north_km: Array
) -> StationNoise:
    """Level, spectrum and pump lines of every station, drawn once."""
    n, nodes = len(east_km), len(SPECTRAL_NODES_HZ)
    east, north = east_km - noise_model.pad_east_km, north_km - noise_model.pad_north_km
    return StationNoise(
        level=rng.lognormal(0, noise_model.station_spread, n),
        slope=rng.uniform(*SPECTRAL_SLOPE, n),
        bumps=rng.normal(0, SPECTRAL_SHAPE_LN, (n, 1, nodes)) + rng.normal(0, SPECTRAL_SHAPE_LN, (n, 3, nodes)),
        line_gain=rng.lognormal(LINE_GAIN_MEDIAN_LN, LINE_GAIN_LN, (n, len(noise_model.pump_lines_hz))),
        distance_km=np.hypot(east, north),
        azimuth_rad=np.arctan2(east, north),
    )


def ambient_noise(
    rng: np.random.Generator,
    noise_model: NoiseModel,
    stations: StationNoise,
    samples: int,
    rate_hz: float,
    local_hour: float = 12.0,
) -> npt.NDArray[np.float32]:
    """Ground velocity in m/s, [station, component (E, N, Z), sample]."""
    n = scipy.fft.next_fast_len(samples, real=True)
    frequency = scipy.fft.rfftfreq(n, 1 / rate_hz)
    band = (frequency >= LEVEL_BAND_HZ[0]) & (frequency <= LEVEL_BAND_HZ[1])
    log_f = np.log(np.maximum(frequency, LOWEST_HZ))
    nodes = _node_weights(n, rate_hz)
    no_drift = frequency / np.hypot(frequency, DRIFT_CORNER_HZ)
    day_level = _day_level(noise_model, local_hour)
    pumps = _pump_spectra(rng, noise_model, n, rate_hz)
    out = np.empty((len(stations.level), 3, samples), dtype=np.float32)
    for i in range(len(out)):
        shape = np.exp(stations.bumps[i] @ nodes - stations.slope[i] * log_f) * no_drift
        shape /= np.sqrt(np.sum(shape[:, band] ** 2, axis=-1, keepdims=True) * 2) / n
        shape *= np.array([[noise_model.horizontal_factor], [noise_model.horizontal_factor], [1.0]])
        shape *= noise_model.rms_m_s * stations.level[i] * day_level / np.sqrt(2)
        spectrum = rng.standard_normal((3, len(frequency), 2), dtype=np.float32).view(np.complex64)[..., 0]
        spectrum *= shape.astype(np.float32)
        spectrum += _pumps_at_station(noise_model, stations, i, pumps, frequency)
        trace = scipy.fft.irfft(spectrum, n)[:, :samples]
        knots = max(3, int(samples / rate_hz / SLOW_CHANGE_S))
        at_knots = rng.normal(0, SLOW_CHANGE_LN, knots)
        out[i] = trace * np.exp(np.interp(np.arange(samples), np.linspace(0, samples, knots), at_knots))
        _add_bursts(rng, noise_model, out[i], rate_hz, day_level)
        _add_spikes(rng, noise_model, out[i], rate_hz)
    return out


@lru_cache(maxsize=8)
def _node_weights(n: int, rate_hz: float) -> Array:
    """Linear interpolation in logarithmic frequency as a matrix, [node, frequency]."""
    log_f = np.log(np.maximum(scipy.fft.rfftfreq(n, 1 / rate_hz), LOWEST_HZ))
    return np.stack([np.interp(log_f, np.log(SPECTRAL_NODES_HZ), row) for row in np.eye(len(SPECTRAL_NODES_HZ))])


def _day_level(noise_model: NoiseModel, local_hour: float) -> float:
    return float(noise_model.day_factor ** (0.5 - 0.5 * np.cos(2 * np.pi * (local_hour - QUIETEST_LOCAL_HOUR) / 24)))


def _pump_spectra(
    rng: np.random.Generator, noise_model: NoiseModel, n: int, rate_hz: float
) -> npt.NDArray[np.complex64]:
    """One broadband and several line sources at the pad, each with unit rms in time, [source, frequency].

    A line too high for the rate is silent: an instrument would have filtered it out, a sampled sine would come back as
    a lower one.
    """
    frequency = scipy.fft.rfftfreq(n, 1 / rate_hz)
    shape = np.exp(-0.5 * (np.log(np.maximum(frequency, 0.1) / PUMP_CENTRE_HZ) / PUMP_WIDTH_LN) ** 2)
    broad = shape * rng.standard_normal((len(frequency), 2)).view(np.complex128)[:, 0]
    broad *= n / np.sqrt(2 * np.sum(np.abs(broad) ** 2))
    sources = [broad]
    for line in noise_model.pump_lines_hz:
        knots = max(4, int(n / rate_hz / LINE_DRIFT_S))
        drift = np.interp(np.arange(n), np.linspace(0, n, knots), rng.normal(0, LINE_DRIFT, knots))
        angle = 2 * np.pi * line * (1 + rng.normal(0, LINE_OFFSET)) * np.cumsum(1 + drift) / rate_hz
        wave = np.sqrt(2) * np.sin(angle + rng.uniform(0, 2 * np.pi))
        sources.append(scipy.fft.rfft(wave) if line < USABLE_OF_RATE * rate_hz else 0 * broad)
    return np.asarray(sources, dtype=np.complex64)


def _pumps_at_station(
    noise_model: NoiseModel, stations: StationNoise, i: int, pumps: npt.NDArray[np.complex64], frequency: Array
) -> npt.NDArray[np.complex64]:
    """Rayleigh-like: the radial runs a quarter period ahead of the vertical; weaker and later with distance."""
    r = max(float(stations.distance_km[i]), NEAREST_PUMP_KM)
    gains = np.append(1.0, stations.line_gain[i]) * noise_model.pump_rms_m_s / np.sqrt(r)
    loss_and_delay = -np.pi * r / noise_model.surface_wave_km_s * (1 / SURFACE_WAVE_Q + 2j) * frequency
    vertical = np.exp(loss_and_delay.astype(np.complex64)) * (gains.astype(np.float32) @ pumps)
    east, north = np.sin(stations.azimuth_rad[i]), np.cos(stations.azimuth_rad[i])
    radial = RAYLEIGH_RADIAL * 1j
    return np.stack([vertical * np.complex64(radial * east), vertical * np.complex64(radial * north), vertical])


def _add_bursts(
    rng: np.random.Generator, noise_model: NoiseModel, trace: npt.NDArray[np.float32], rate_hz: float, day_level: float
) -> None:
    minutes = trace.shape[-1] / rate_hz / 60
    rms = noise_model.rms_m_s
    for _ in range(rng.poisson(noise_model.bursts_per_minute * minutes * day_level)):
        start = int(rng.integers(0, trace.shape[-1]))
        size = rms * rng.lognormal(BURST_MEDIAN_LN, BURST_LN)
        if rng.random() < VEHICLE_PART:
            burst = emergent_burst(rng, rng.uniform(*VEHICLE_S), rate_hz)
        else:
            burst = footsteps(rng, int(rng.integers(*STEPS)), rate_hz)
        add_at(trace, start, size * burst)


def _add_spikes(
    rng: np.random.Generator, noise_model: NoiseModel, trace: npt.NDArray[np.float32], rate_hz: float
) -> None:
    hours = trace.shape[-1] / rate_hz / 3600
    for _ in range(rng.poisson(noise_model.spikes_per_hour * hours)):
        start, component = rng.integers(0, trace.shape[-1] - 2), rng.integers(0, 3)
        trace[component, start : start + rng.integers(1, 3)] += rng.normal(0, SPIKE_OVER_NOISE) * noise_model.rms_m_s


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
    low = rng.uniform(*VEHICLE_LOW_HZ)
    high = min(low * rng.uniform(*VEHICLE_HIGH_OVER_LOW), USABLE_OF_RATE * rate_hz)
    size = scipy.fft.next_fast_len(n, real=True)
    frequency = scipy.fft.rfftfreq(size, 1 / rate_hz)
    # amplitude of a second-order Butterworth band-pass
    width = (frequency**2 - low * high) / (np.maximum(frequency, 1e-9) * (high - low))
    spectrum = rng.standard_normal((3, len(frequency), 2), dtype=np.float32).view(np.complex64)[..., 0]
    band = scipy.fft.irfft(spectrum * (1 / np.sqrt(1 + width**4)).astype(np.float32), size)[:, :n]
    band /= band.std() + 1e-12
    return np.asarray(band * envelope / envelope.max() * rng.uniform(0.6, 1.4, (3, 1)))


def footsteps(rng: np.random.Generator, count: int, rate_hz: float) -> Array:
    """Steps of a person about half a second apart, mostly vertical, [component, sample]."""
    n = int((count * 0.6 + 1) * rate_hz)
    out = np.zeros((3, n))
    t = np.arange(int(0.25 * rate_hz)) / rate_hz
    for k in range(count):
        step = (
            np.exp(-t / STEP_DECAY_S)
            * np.sin(2 * np.pi * rng.uniform(*STEP_HZ) * t)
            * np.exp(-(((k - count / 2) / count) ** 2) * 6)
        )
        start = int((0.3 + STEP_S * k + rng.normal(0, STEP_JITTER_S)) * rate_hz)
        if start + len(t) < n:
            out[:, start : start + len(t)] += np.array([[0.5], [0.5], [1.2]]) * step * rng.uniform(1.5, 3)
    return out


def false_trigger(
    rng: np.random.Generator,
    noise_model: NoiseModel,
    noise: npt.NDArray[np.float32],
    east_km: Array,
    north_km: Array,
    at_s: float,
    rate_hz: float,
) -> str:
    """Add, in place, something that fires a trigger but is no earthquake; returns its kind."""
    kind = str(rng.choice(list(FALSE_TRIGGERS), p=list(FALSE_TRIGGERS.values())))
    rms = noise_model.rms_m_s
    n = len(noise)
    if kind == "electrical":  # the same wavelet on every station at once
        t = np.arange(int(0.4 * rate_hz)) / rate_hz
        wavelet = np.exp(-t / rng.uniform(0.01, 0.1)) * np.cos(2 * np.pi * rng.uniform(8, 45) * t)
        for i in range(n):
            polarity = rng.normal(0, 1, (3, 1))
            add_at(noise[i], int(at_s * rate_hz), rms * rng.uniform(4, 25) * polarity * wavelet)
    elif kind == "air-wave":  # a shot or a slammed gate
        source = rng.uniform(-1, 1, 2) * np.array([np.ptp(east_km), np.ptp(north_km)]) / 2
        for i in range(n):
            r = max(float(np.hypot(east_km[i] - source[0], north_km[i] - source[1])), 0.05)
            size = rms * rng.uniform(8, 20) / np.sqrt(r)
            add_at(noise[i], int((at_s + r / SOUND_KM_S) * rate_hz), size * _impact(rng, 0.08, rate_hz))
            add_at(
                noise[i],
                int((at_s + r / SHOT_GROUND_WAVE_KM_S) * rate_hz),
                0.5 * size * emergent_burst(rng, 1 + r, rate_hz),
            )
    elif kind == "handling":  # one station moved or touched
        i = int(rng.integers(0, n))
        for _ in range(int(rng.integers(2, 7))):
            at = at_s + rng.exponential(3)
            add_at(noise[i], int(at * rate_hz), rms * rng.uniform(10, 80) * _impact(rng, 0.2, rate_hz))
    else:  # independent traffic at several stations
        for i in rng.permutation(n)[: max(2, n // 2)]:
            burst = emergent_burst(rng, rng.uniform(2, 12), rate_hz)
            add_at(noise[i], int((at_s + rng.normal(0, 2)) * rate_hz), rms * rng.uniform(4, 15) * burst)
    return kind


def _impact(rng: np.random.Generator, decay_s: float, rate_hz: float) -> Array:
    t = np.arange(int(6 * decay_s * rate_hz)) / rate_hz
    return rng.normal(0, 1, (3, 1)) * np.exp(-t / decay_s) * np.sin(2 * np.pi * rng.uniform(6, 30) * t)
