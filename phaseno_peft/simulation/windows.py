"""Simulated network windows in memory, as many as one likes, for pre-training; nothing is written to disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.signal

from phaseno_peft.campaign.grid import highpass
from phaseno_peft.campaign.raw_window import WEAKEST_SNR, Arrival, RawWindow
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES, WINDOW_SAMPLES, Preprocessing
from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation import noise
from phaseno_peft.simulation.analyst import SIGNAL_S
from phaseno_peft.simulation.instruments import Geophone
from phaseno_peft.simulation.noise import NoiseModel
from phaseno_peft.simulation.own_noise import OwnNoise, check_own_noise, cut_own_noise
from phaseno_peft.simulation.presets import Preset, find_preset
from phaseno_peft.simulation.sites import draw_sites
from phaseno_peft.simulation.travel_times import Array, LayeredModel, gardner_density_kg_m3
from phaseno_peft.simulation.wavefield import event_wavefield, trace_paths

EVENTS_PER_WINDOW = (0.12, 0.63, 0.17, 0.08)
"""Share of windows with 0, 1, 2, 3 earthquakes: mostly one, sometimes none, and overlapping ones as in swarms."""
RANDOM_NETWORK_SNR = (0.7, 80.0)
"""Median S amplitude of a network over noise, log-uniform between these, for random networks: from what is just hidden
to what no picker misses."""
MOST_STATIONS = 200
"""Of a random network: far more than the networks the simulator is shaped after."""
LOCAL_PART = 0.6
"""Of the random networks; local ones surround operations or a volcano, the others a district."""
RADIUS_KM = {"local": (1.5, 8.0), "regional": (8.0, 40.0)}
"""Log-uniform between these."""
MEAN_DEPTH_KM = {"local": (0.7, 5.0), "regional": (2.0, 16.0)}
DEPTH_SPREAD = 0.15
"""Hypocentres lie within this part of their mean depth above and below it."""
MAGNITUDES_MW = {"local": (-0.5, 2.0), "regional": (0.5, 3.0)}
"""Smaller ones are not seen at these distances; larger ones are rare, and amplitudes are scaled to an SNR anyway."""
NATURAL_FREQUENCIES_HZ = {0.3: 0.25, 1.0: 0.3, 4.5: 0.3, 10.0: 0.15}
"""Share of sensors: broadband and short-period seismometers, geophones for monitoring and for exploration."""


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

    def raw_window(
        self, graph: int, kind: str, *, weakest_snr: float = WEAKEST_SNR, dtype: npt.DTypeLike = np.float32
    ) -> RawWindow:
        """One of the windows as records of real stations come: high-passed, in `dtype`, with what is known of it."""
        corner_hz = Preprocessing().highpass_hz
        samples = self.waveforms[graph].astype(dtype)
        for row in np.ndindex(*samples.shape[:2]):
            samples[row] = highpass(samples[row], self.rate_hz, corner_hz)
        onsets, snr = self.onset_samples[graph], self.snr[graph]  # [event, station, phase]
        arrivals = [
            Arrival(station, phase, float(onsets[event, station, phase]), float(snr[event, station, phase]))
            for event, station, phase in np.argwhere(np.isfinite(onsets)).tolist()
        ]
        return RawWindow(
            kind=kind,
            samples=samples,
            recorded=np.ones(samples.shape, bool),
            coordinates_km=self.coordinates_km[graph],
            arrivals=tuple(arrivals),
            known=np.ones((len(samples), len(PHASES), samples.shape[-1]), bool),
            weakest_snr=weakest_snr,
        )


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
    most = len(chosen.station_code) if chosen else MOST_STATIONS
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
    noise_rms = np.sqrt(np.mean(scipy.signal.sosfilt(_highpass(rate), total, axis=-1) ** 2, axis=(1, 2))) + 1e-15
    for e in range(int(rng.choice(len(EVENTS_PER_WINDOW), p=EVENTS_PER_WINDOW))):
        source = preset.draw_source(rng)
        paths = trace_paths(preset.model, sites, source)
        # the first P lies from 4 s before the window's start to 0.5 s before its end
        start_s = paths.first_p_s - rng.uniform(-4, samples / rate - 0.5)
        field = event_wavefield(rng, preset.model, sites, source, start_s, samples, rate, paths)
        parts = preset.geophone.respond(field.parts, rate)
        strength = _strengths(parts, field.onset_s, rate) / noise_rms[:, None]
        inside = (field.onset_s >= 0) & (field.onset_s < (samples - 1) / rate)
        if scale_to_snr:
            reference = strength[:, 1] if inside[:, 1].any() else strength[:, 0]
            positive = reference[reference > 0]
            wanted = np.exp(rng.uniform(*np.log(RANDOM_NETWORK_SNR)))
            factor = wanted / float(np.median(positive)) if len(positive) else 1.0
            parts, strength = parts * factor, strength * factor
        total += parts.sum(axis=0).astype(np.float32)
        onsets[e] = np.where(inside, field.onset_s * rate, np.nan)
        snr[e] = np.where(inside, strength, np.nan)
    return total


@lru_cache(maxsize=8)
def _highpass(rate_hz: float) -> Array:
    return np.asarray(scipy.signal.butter(2, noise.LEVEL_BAND_HZ[0], "high", fs=rate_hz, output="sos"))


def _strengths(parts: npt.NDArray[np.floating], onset_s: Array, rate_hz: float) -> Array:
    """Rms over components of each phase in `SIGNAL_S` after its onset, [station, phase]; 0 outside the window."""
    out = np.zeros(onset_s.shape)
    for j in range(2):
        for i in range(len(onset_s)):
            a = int(onset_s[i, j] * rate_hz)
            if 0 <= a < parts.shape[-1] - 2:
                out[i, j] = np.sqrt(np.mean(parts[j, i, :, a : a + int(SIGNAL_S * rate_hz) + 1] ** 2))
    return out


def _some_stations(rng: np.random.Generator, preset: Preset, stations: int) -> Preset:
    keep = np.sort(rng.permutation(len(preset.station_code))[:stations])

    def chosen(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(values[k] for k in keep)

    return replace(
        preset,
        station_code=tuple(preset.station_code[k] for k in keep),
        east_km=chosen(preset.east_km),
        north_km=chosen(preset.north_km),
        elevation_m=chosen(preset.elevation_m),
    )


def random_network(rng: np.random.Generator, stations: int) -> Preset:
    """A random network: 1.5 to 40 km in radius, sources 0.6 to 18 km deep, own ground, noise and sensors.

    Ranges are wide, so that a real network lies within them rather than beyond.
    """
    kind = "local" if rng.random() < LOCAL_PART else "regional"
    radius = float(np.exp(rng.uniform(*np.log(RADIUS_KM[kind]))))
    r, angle = radius * np.sqrt(rng.random(stations)), rng.uniform(0, 2 * np.pi, stations)
    depth = float(rng.uniform(*MEAN_DEPTH_KM[kind]))
    spread = float(rng.uniform(0.2, 1.2)) * radius  # hypocentres below a part of the network, or beyond its edge
    return Preset(
        name="random",
        description="random network",
        network_code="QR",
        station_code=tuple(f"R{k:03d}" for k in range(stations)),
        east_km=tuple((r * np.cos(angle)).tolist()),
        north_km=tuple((r * np.sin(angle)).tolist()),
        elevation_m=tuple((radius * rng.uniform(0, 40, stations)).clip(0, 400).tolist()),
        rate_hz=NETWORK_RATE_HZ,
        model=random_model(rng, sediments=kind == "local"),
        depth_min_km=(1 - DEPTH_SPREAD) * depth,
        depth_max_km=(1 + DEPTH_SPREAD) * depth,
        volume_east_km=(-spread, spread),
        volume_north_km=(-spread, spread),
        mw_min=MAGNITUDES_MW[kind][0],
        mw_max=MAGNITUDES_MW[kind][1],
        stress_drop_mpa=float(rng.lognormal(0.5, 0.8)),
        strike_dip_rake_deg=(float(rng.uniform(0, 360)), float(rng.uniform(20, 90)), float(rng.uniform(-180, 180))),
        mechanism_scatter_deg=25.0,
        kappa_s=float(rng.lognormal(np.log(0.010), 0.6)),
        scattering=float(rng.lognormal(np.log(12.0), 0.6)),
        noise=NoiseModel(
            station_spread=float(rng.uniform(0.1, 0.8)),
            horizontal_factor=float(rng.uniform(0.9, 1.8)),
            pump_rms_m_s=float(2e-7 * rng.lognormal(-1.0, 1.2)),
            pump_lines_hz=tuple(rng.uniform(4, 48, int(rng.integers(0, 4))).tolist()),
            pad_east_km=float(rng.uniform(-radius, radius)),
            pad_north_km=float(rng.uniform(-radius, radius)),
            bursts_per_minute=float(rng.exponential(0.6)),
            spikes_per_hour=float(rng.exponential(8.0)),
        ),
        geophone=Geophone(
            natural_frequency_hz=float(
                rng.choice(list(NATURAL_FREQUENCIES_HZ), p=list(NATURAL_FREQUENCIES_HZ.values()))
            )
        ),
    )


def random_model(rng: np.random.Generator, sediments: bool) -> LayeredModel:
    """Velocities that grow with depth below a soft layer; slower and more attenuating in sediments.

    Vp/Vs is 2.2 to 3 in the soft layer and falls below it from at most 2.1 (sediments) to at least 1.68 (hard rock).
    """
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
        density_kg_m3=tuple(gardner_density_kg_m3(vp).tolist()),
        qp=tuple(qp.tolist()),
        qs=tuple((qp * rng.uniform(0.5, 1.3)).tolist()),
    )
