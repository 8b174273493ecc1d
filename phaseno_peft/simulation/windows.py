"""Simulated network windows in memory, as many as one likes: material for pre-training, nothing written to disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.signal

from phaseno_peft.contract import NETWORK_RATE_HZ, WINDOW_SAMPLES
from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation import noise
from phaseno_peft.simulation.instruments import Geophone
from phaseno_peft.simulation.noise import NoiseClimate
from phaseno_peft.simulation.own_noise import OwnNoise, check_own_noise, cut_own_noise
from phaseno_peft.simulation.presets import Preset, find_preset
from phaseno_peft.simulation.travel_times import Array, LayeredModel
from phaseno_peft.simulation.wavefield import draw_sites, event_wavefield, trace_paths

EVENTS_PER_WINDOW = (0.12, 0.63, 0.17, 0.08)
"""Share of windows with 0, 1, 2, 3 earthquakes."""
RANDOM_NETWORK_SNR = (0.7, 80.0)
"""Median S amplitude of a network over noise, log-uniform between these, for random networks."""


@dataclass(frozen=True)
class NetworkWindows:
    """Windows of simulated networks, one network and moment each ("graph")."""

    waveforms: npt.NDArray[np.float32]
    """[graph, station, component (E, N, Z), sample]; geophone output in m/s, neither filtered nor normalised."""
    coordinates_km: npt.NDArray[np.float64]
    """[graph, station, 2 (east, north)] from the network's origin."""
    onset_samples: npt.NDArray[np.float64]
    """[graph, event, station, phase (P, S)]; NaN where there is no such event or the onset is outside the window."""
    snr: npt.NDArray[np.float64]
    """As ``onset_samples``: rms of that phase alone in 0.4 s after its onset over rms of the noise, above 2 Hz."""
    rate_hz: float


def simulate_network_windows(
    rng: np.random.Generator,
    preset: Preset | str | None,
    n: int,
    *,
    stations: int | None = None,
    rate_hz: float = NETWORK_RATE_HZ,
    samples: int = WINDOW_SAMPLES,
    own_noise: OwnNoise | None = None,
) -> NetworkWindows:
    """``n`` windows of one preset's network, or of ``n`` random networks where ``preset`` is None or "random".

    ``stations``: how many a random network has (all alike, so that the result is one array; None draws 4 to 12), or
    how many of the preset's to take at random. Earthquakes may lie partly outside the window, and overlap.
    ``own_noise``: records [3 (E, N, Z), sample] of 12 s or more at ``rate_hz`` instead of simulated noise.

    Raises `CampaignError` for an unknown preset or senseless counts.
    """
    chosen = None if preset is None or preset == "random" else find_preset(preset)
    if n < 1 or samples < 100 or rate_hz <= 0:
        raise CampaignError(
            f"n, samples and rate_hz are {n}, {samples}, {rate_hz:g}; give at least 1, 100 and above 0."
        )
    most = len(chosen.station_code) if chosen else 200
    if stations is None:
        stations = most if chosen else int(rng.integers(4, 13))
    if not 1 <= stations <= most:
        raise CampaignError(f"stations is {stations}; give 1 to {most}, or None.")
    if own_noise is not None:
        check_own_noise(own_noise, rate_hz)
    waveforms = np.empty((n, stations, 3, samples), dtype=np.float32)
    coordinates = np.empty((n, stations, 2))
    most_events = len(EVENTS_PER_WINDOW) - 1
    onsets = np.full((n, most_events, stations, 2), np.nan)
    snr = np.full((n, most_events, stations, 2), np.nan)
    for g in range(n):
        network = random_network(rng, stations) if chosen is None else _some_stations(rng, chosen, stations)
        network = replace(network, rate_hz=rate_hz)
        coordinates[g] = np.stack([network.east_km, network.north_km], axis=1)
        waveforms[g] = _one_window(rng, network, samples, onsets[g], snr[g], chosen is None, own_noise)
    return NetworkWindows(waveforms, coordinates, onsets, snr, rate_hz)


def _one_window(
    rng: np.random.Generator,
    preset: Preset,
    samples: int,
    onsets: Array,
    snr: Array,
    scale_to_snr: bool,
    own_noise: OwnNoise | None,
) -> npt.NDArray[np.float32]:
    """One window [station, component, sample]; fills ``onsets`` and ``snr`` [event, station, phase]."""
    rate = preset.rate_hz
    east, north = np.asarray(preset.east_km), np.asarray(preset.north_km)
    elevation = np.asarray(preset.elevation_m) / 1e3
    sites = draw_sites(rng, east, north, elevation - elevation.min(), preset.model, preset.kappa_s, preset.scattering)
    station_noise = noise.draw_station_noise(rng, preset.noise, east, north)
    if own_noise:
        total = cut_own_noise(rng, own_noise, preset.noise.rms_m_s * station_noise.level, samples, rate)
    else:
        ground = noise.ambient_noise(rng, preset.noise, station_noise, samples, rate, float(rng.uniform(0, 24)))
        total = preset.geophone.respond(ground, rate).astype(np.float32)
    level = np.sqrt(np.mean(scipy.signal.sosfilt(_highpass(rate), total, axis=-1) ** 2, axis=(1, 2))) + 1e-15
    for e in range(int(rng.choice(len(EVENTS_PER_WINDOW), p=EVENTS_PER_WINDOW))):
        source = preset.draw_source(rng)
        paths = trace_paths(preset.model, sites, source)
        start_s = paths.first_p_s - rng.uniform(-4, samples / rate - 0.5)
        field = event_wavefield(rng, preset.model, sites, source, start_s, samples, rate, paths)
        parts = preset.geophone.respond(field.parts, rate)
        strength = _strengths(parts, field.onset_s, rate) / level[:, None]
        inside = (field.onset_s >= 0) & (field.onset_s < (samples - 1) / rate)
        if scale_to_snr:
            reference = strength[:, 1] if inside[:, 1].any() else strength[:, 0]
            heard = reference[reference > 0]
            wanted = np.exp(rng.uniform(*np.log(RANDOM_NETWORK_SNR)))
            factor = wanted / float(np.median(heard)) if len(heard) else 1.0
            parts, strength = parts * factor, strength * factor
        total += parts.sum(axis=0).astype(np.float32)
        onsets[e] = np.where(inside, field.onset_s * rate, np.nan)
        snr[e] = np.where(inside, strength, np.nan)
    return total


@lru_cache(maxsize=8)
def _highpass(rate_hz: float) -> Array:
    return np.asarray(scipy.signal.butter(2, 2.0, "high", fs=rate_hz, output="sos"))


def _strengths(parts: npt.NDArray[np.floating], onset_s: Array, rate_hz: float) -> Array:
    """Rms over components of each phase in 0.4 s after its onset, [station, phase]; 0 outside the window."""
    out = np.zeros(onset_s.shape)
    for j in range(2):
        for i in range(len(onset_s)):
            a = int(onset_s[i, j] * rate_hz)
            if 0 <= a < parts.shape[-1] - 2:
                out[i, j] = np.sqrt(np.mean(parts[j, i, :, a : a + int(0.4 * rate_hz) + 1] ** 2))
    return out


def _some_stations(rng: np.random.Generator, preset: Preset, stations: int) -> Preset:
    keep = np.sort(rng.permutation(len(preset.station_code))[:stations])

    def kept(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(values[k] for k in keep)

    return replace(
        preset,
        station_code=tuple(preset.station_code[k] for k in keep),
        east_km=kept(preset.east_km),
        north_km=kept(preset.north_km),
        elevation_m=kept(preset.elevation_m),
    )


def random_network(rng: np.random.Generator, stations: int) -> Preset:
    """A network nobody designed: 1.5 to 40 km in radius, sources 0.6 to 18 km deep, own ground, noise and sensors."""
    local = rng.random() < 0.6
    radius = float(np.exp(rng.uniform(*np.log((1.5, 8.0) if local else (8.0, 40.0)))))
    r, angle = radius * np.sqrt(rng.random(stations)), rng.uniform(0, 2 * np.pi, stations)
    depth = float(rng.uniform(0.7, 5.0) if local else rng.uniform(2.0, 16.0))
    spread = float(rng.uniform(0.2, 1.2)) * radius
    return Preset(
        name="random",
        description="random network",
        network_code="QR",
        station_code=tuple(f"R{k:03d}" for k in range(stations)),
        east_km=tuple((r * np.cos(angle)).tolist()),
        north_km=tuple((r * np.sin(angle)).tolist()),
        elevation_m=tuple((radius * rng.uniform(0, 40, stations)).clip(0, 400).tolist()),
        rate_hz=NETWORK_RATE_HZ,
        model=random_model(rng, sediments=local),
        depth_min_km=0.85 * depth,
        depth_max_km=1.15 * depth,
        volume_east_km=(-spread, spread),
        volume_north_km=(-spread, spread),
        mw_min=-0.5 if local else 0.5,
        mw_max=2.0 if local else 3.0,
        stress_drop_mpa=float(rng.lognormal(0.5, 0.8)),
        strike_dip_rake_deg=(float(rng.uniform(0, 360)), float(rng.uniform(20, 90)), float(rng.uniform(-180, 180))),
        mechanism_scatter_deg=25.0,
        kappa_s=float(rng.lognormal(np.log(0.010), 0.6)),
        scattering=float(rng.lognormal(np.log(12.0), 0.6)),
        noise=NoiseClimate(
            station_spread=float(rng.uniform(0.1, 0.8)),
            horizontal_factor=float(rng.uniform(0.9, 1.8)),
            pump_rms_m_s=float(2e-7 * rng.lognormal(-1.0, 1.2)),
            pump_lines_hz=tuple(rng.uniform(4, 48, int(rng.integers(0, 4))).tolist()),
            pad_east_km=float(rng.uniform(-radius, radius)),
            pad_north_km=float(rng.uniform(-radius, radius)),
            bursts_per_minute=float(rng.exponential(0.6)),
            spikes_per_hour=float(rng.exponential(8.0)),
        ),
        geophone=Geophone(natural_frequency_hz=float(rng.choice([0.3, 1.0, 4.5, 10.0], p=[0.25, 0.3, 0.3, 0.15]))),
    )


def random_model(rng: np.random.Generator, sediments: bool) -> LayeredModel:
    """Velocities that grow with depth below a soft layer; slower and more attenuating in sediments."""
    thickness = np.concatenate([[rng.uniform(0.005, 0.04)], rng.uniform(0.2, 1.5 if sediments else 5.0, 5)])
    vp = np.concatenate(
        [[rng.uniform(0.8, 1.8)], np.sort(rng.uniform(2.2, 6.0, 5) if sediments else rng.uniform(4.0, 6.6, 5)), [6.7]]
    )
    vp = np.maximum.accumulate(vp + 1e-3 * np.arange(len(vp)))
    ratio = np.concatenate([[rng.uniform(2.2, 3.0)], np.sort(rng.uniform(1.68, 2.1, 6))[::-1]])
    qp = np.concatenate([[25.0], np.sort(rng.uniform(40, 200 if sediments else 600, 6))])
    return LayeredModel(
        top_km=tuple(np.concatenate([[0.0], np.cumsum(thickness)]).tolist()),
        vp_km_s=tuple(vp.tolist()),
        vs_km_s=tuple((vp / ratio).tolist()),
        density_kg_m3=tuple((310 * (vp * 1e3) ** 0.25).tolist()),
        qp=tuple(qp.tolist()),
        qs=tuple((qp * rng.uniform(0.5, 1.3)).tolist()),
    )
