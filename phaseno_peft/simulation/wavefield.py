"""Ground motion of one earthquake at every station: direct and head waves, conversions, reverberation, coda.

Everything that belongs to a phase starts at its onset, at the earliest; before the first onset the motion is exactly 0.
Not modelled: near-field terms, surface waves, lateral structure (beyond each site's own), directivity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from phaseno_peft.contract import PHASES
from phaseno_peft.simulation import sources
from phaseno_peft.simulation.sites import Sites
from phaseno_peft.simulation.sources import Source
from phaseno_peft.simulation.travel_times import (
    Array,
    LayeredModel,
    Rays,
    conversions,
    direct_rays,
    head_waves,
)

CODA_LAPSE_S = (0.0, 0.8, 3.0)
"""Coda is made of waves that left the source together; those this late have lost t* = lapse / Q_coda more."""
CODA_Q, CODA_Q_GROWTH = 150.0, 80.0
"""Q_coda at lapse 0, and its growth with the logarithm of 1 + lapse in seconds: later coda travelled deeper."""
CODA_LENGTH_S, CODA_TAPER_S = 14.0, 2.0
"""Coda ends here, after the taper: a window of 30 s holds most of it, and each event costs one transform."""
CODA_POWER = -1.25
"""Of the coda's amplitude over lapse time: between surface waves, -1, and body waves, -1.5 (Aki and Chouet 1975)."""
EARLY_CODA_S, EARLY_CODA_POWER = 0.3, -0.4
"""The coda falls faster in the first half second, where single forward scattering ends."""
CODA_P_OVER_S = 1.3
"""Coda energy over direct energy is this much larger after P, whose scattered waves include converted S."""
CODA_FROM_OWN_RAY = 0.4
"""Part of the coda's energy with the radiation towards the station, the rest with the mean over the focal sphere."""
CODA_OTHER_COMPONENTS = 0.7
"""Amplitude of the coda of P on the horizontals, and of S on the vertical, over the phase's own components."""
RMS_RADIATION_P, RMS_RADIATION_S = np.sqrt(4 / 15), np.sqrt(2 / 5)
"""Of a double couple over the focal sphere (Boore and Boatwright 1984)."""
FREE_SURFACE = 2.0
"""Amplification of SH at any angle, and of P and SV at vertical incidence."""
LARGEST_HEAD_WAVE = 0.4
"""Amplitude over the direct wave's at most: near the critical distance the ray formula has no bound."""
SHORTEST_SP_S = 0.05
"""Statics never bring S closer to P."""
MOST_FORWARD_SCATTERED = 9
"""Mean number of waves by other ways that follow a fully emergent onset."""
FORWARD_DELAY_S = (0.06, 0.1)
"""Mean delay of these for P and S: slower S waves see the same lateral structure for longer."""
DIRECT_LOSS = 0.75
"""Part of the direct pulse's amplitude that a fully emergent onset has lost to them."""
REVERBERATIONS = 5
"""Of the soft layer, the direct wave among them; the next would have lost two thirds even at the largest reflection."""
PRECURSOR_RISE = 0.25
"""Time in which the waves before S grow by a factor e, over S-P time; 0.1 s at least."""
CONVERSION_AMPLITUDE = (0.3, 0.18)
"""P-to-S over P and S-to-P over S, beyond the coefficient of `conversions`: flat interfaces would convert too much."""
CONVERSION_SMEAR_S = 0.05
"""Interfaces are rough and graded: a conversion arrives within some 50 ms."""


@dataclass(frozen=True)
class Wavefield:
    """Ground velocity (m/s) of one event, P and S apart, and where their onsets are."""

    parts: npt.NDArray[np.float32]
    """[phase (P, S), station, component (E, N, Z), sample]"""
    onset_s: Array
    """[station, phase], seconds after the first sample; on the grid of `sources.oversampling`."""
    distance_km: Array
    is_head_wave: npt.NDArray[np.bool_]
    """[station, phase]"""


def free_surface(model: LayeredModel, slowness_s_km: Array) -> tuple[Array, Array, Array, Array]:
    """Surface motion of a unit incident wave: P radial, P vertical, SV radial, SV vertical (Kennett 1991).

    2 at vertical incidence for P vertical and SV radial; SH is always 2.
    """
    a, b = model.vp_km_s[0], model.vs_km_s[0]
    p = np.minimum(slowness_s_km, 0.98 / a)  # beyond P's horizontal slowness the vertical one is imaginary
    qa, qb = np.sqrt(1 / a**2 - p**2), np.sqrt(1 / b**2 - p**2)
    c = 1 - 2 * b**2 * p**2
    d = c**2 + 4 * p**2 * b**4 * qa * qb
    return 4 * a * b**2 * p * qa * qb / d, 2 * a * qa * c / d, 2 * b * qb * c / d, 4 * b**3 * p * qa * qb / d


def _amplitudes(model: LayeredModel, source: Source, phase: str, rays: Rays, azimuth_deg: Array) -> tuple[Array, Array]:
    """Low-frequency displacement level (m s) at the surface: vectors [station, 3 (E, N, Z)], mean over the sphere."""
    layer = int(model.layer_at(source.depth_km))
    velocity = float(model.velocity_km_s(phase)[layer])
    surface = float(model.velocity_km_s(phase)[0])
    impedance = np.sqrt(model.density_kg_m3[layer] * velocity / (model.density_kg_m3[0] * surface))
    level = source.moment_nm / (4 * np.pi * model.density_kg_m3[layer] * (velocity * 1e3) ** 3)
    level = level * impedance / (rays.spreading_km * 1e3)
    p, sv, sh = sources.radiation_pattern(
        source.strike_deg, source.dip_deg, source.rake_deg, azimuth_deg, rays.takeoff_deg
    )
    p_radial, p_up, s_radial, s_up = free_surface(model, rays.slowness_s_km)
    east, north = np.sin(np.radians(azimuth_deg)), np.cos(np.radians(azimuth_deg))
    if phase == "P":
        vector = np.stack([p * p_radial * east, p * p_radial * north, p * p_up], axis=-1)
        mean = RMS_RADIATION_P
    else:  # SV is positive along increasing takeoff angle: towards the source and up for a ray that goes up
        radial, transverse = -sv * s_radial, FREE_SURFACE * sh
        vector = np.stack([radial * east + transverse * north, radial * north - transverse * east, sv * s_up], axis=-1)
        mean = RMS_RADIATION_S
    return vector * level[:, None], FREE_SURFACE * mean * level


@dataclass(frozen=True)
class Paths:
    """Rays of one earthquake to every station, of the flat model without statics."""

    direct: tuple[Rays, Rays]
    """P and S."""
    head: tuple[Rays, Rays]

    @property
    def first_p_s(self) -> float:
        """From the origin to the first P anywhere."""
        return float(np.minimum(self.direct[0].time_s, self.head[0].time_s).min())


def trace_paths(model: LayeredModel, sites: Sites, source: Source) -> Paths:
    """Rays of both phases from a source to every station."""
    distance = np.hypot(sites.east_km - source.east_km, sites.north_km - source.north_km)
    p, s = PHASES
    return Paths(
        (direct_rays(model, p, distance, source.depth_km), direct_rays(model, s, distance, source.depth_km)),
        (head_waves(model, p, distance, source.depth_km), head_waves(model, s, distance, source.depth_km)),
    )


def event_wavefield(
    rng: np.random.Generator,
    model: LayeredModel,
    sites: Sites,
    source: Source,
    start_s: float,
    samples: int,
    rate_hz: float,
    paths: Paths | None = None,
) -> Wavefield:
    """Ground velocity at every station from ``start_s`` after the origin time (negative: before it) on.

    ``paths``: `trace_paths` of the same source, where the caller has them already.
    """
    paths = paths or trace_paths(model, sites, source)
    n = len(sites)
    east, north = sites.east_km - source.east_km, sites.north_km - source.north_km
    distance = np.hypot(east, north)
    azimuth = np.degrees(np.arctan2(east, north)) + sites.azimuth_error_deg
    onset = np.zeros((n, 2))
    is_head = np.zeros((n, 2), dtype=np.bool_)
    vectors, means, later_s, head_vectors = [], [], [], []
    t_star = np.zeros((n, 2))
    converted: list[tuple[Array, Array]] = []
    for j, phase in enumerate(PHASES):
        direct, head = paths.direct[j], paths.head[j]
        time = np.minimum(direct.time_s, head.time_s)
        is_head[:, j] = head.time_s < direct.time_s
        vector, mean = _amplitudes(model, source, phase, direct, azimuth)
        weak = np.where(is_head[:, j], direct.spreading_km / np.where(is_head[:, j], head.spreading_km, np.inf), 0.0)
        gain = sites.gain[:, j]
        vectors.append(vector * gain[:, None])
        means.append(mean * gain)
        head_vectors.append(vector * (gain * np.minimum(weak, LARGEST_HEAD_WAVE))[:, None] + 0.0)
        later_s.append(direct.time_s - time)
        t_star[:, j] = direct.t_star_s + sites.kappa_s[:, j]
        converted.append(conversions(model, direct.slowness_s_km, source.depth_km))
        onset[:, j] = time + sites.static_s[:, j] + sites.elevation_km / model.velocity_km_s(phase)[0] - start_s
    onset[:, 1] = np.maximum(onset[:, 1], onset[:, 0] + SHORTEST_SP_S)
    fc_p, fc_s = sources.corner_frequencies_hz(
        source.moment_nm, source.stress_drop_mpa, float(model.vs_km_s[int(model.layer_at(source.depth_km))])
    )
    step = 1 / (rate_hz * sources.oversampling(rate_hz))
    onset = np.rint(onset / step) * step
    lapse = np.asarray(CODA_LAPSE_S)
    coda_q = CODA_Q + CODA_Q_GROWTH * np.log1p(lapse)
    stars = t_star[:, :, None] + lapse / coda_q  # [station, phase, lapse]
    fine = sources.velocity_pulses(np.array([fc_p, fc_s])[None, :, None], stars, rate_hz)
    first = np.ceil(onset * rate_hz - 1e-6).astype(np.int64)
    fraction = first - onset * rate_hz
    pulses = sources.on_record_grid(fine, np.broadcast_to(fraction[..., None], stars.shape), rate_hz)
    length = int(min(samples, CODA_LENGTH_S * rate_hz))
    travel_s = onset + start_s
    nfft = scipy.fft.next_fast_len(length + pulses.shape[-1], real=True)
    spectra = scipy.fft.rfft(pulses.astype(np.float32), nfft)  # [station, phase, lapse, frequency]
    parts = np.zeros((2, n, 3, samples), dtype=np.float32)
    for j in range(2):
        response = _reflectivity(
            rng, sites, j, vectors[j], means[j], head_vectors[j], later_s[j], travel_s[:, j], length, rate_hz
        )
        if j == 0:
            s_minus_p_s = onset[:, 1] - onset[:, 0]
            _add_conversions(rng, response[:, 1], vectors, converted, s_minus_p_s, rate_hz)
            response[:, 0] += _precursors(rng, sites, vectors[1], s_minus_p_s, length, rate_hz)
        motion = scipy.fft.irfft(
            np.einsum("sklf,skf->slf", scipy.fft.rfft(response, nfft), spectra[:, j]), nfft
        )  # [station, component, sample]
        for i in range(n):
            a = int(first[i, j])
            lo, hi = max(a, 0), min(a + nfft, samples)
            if lo < hi:
                parts[j, i, :, lo:hi] = motion[i, :, lo - a : hi - a]
    return Wavefield(parts=parts, onset_s=onset, distance_km=distance, is_head_wave=is_head)


def _reflectivity(
    rng: np.random.Generator,
    sites: Sites,
    phase: int,
    vector: Array,
    mean: Array,
    head_vector: Array,
    later_s: Array,
    travel_s: Array,
    length: int,
    rate_hz: float,
) -> npt.NDArray[np.float32]:
    """What follows an onset as a train of impulses, [station, lapse, component, sample]; sample 0 is the onset.

    The coda's amplitude falls as a power of the lapse time since the origin, so that it lasts longer at a distance.
    """
    n = len(sites)
    lapse_s = np.asarray(CODA_LAPSE_S)
    t = np.arange(length) / rate_hz
    hats = np.stack([np.interp(t, lapse_s, row) for row in np.eye(len(lapse_s))]).astype(np.float32)  # [lapse, sample]
    envelope = np.exp(-t / sites.coda_time_s[:, None]) * (1 + t / np.maximum(travel_s, 0.3)[:, None]) ** CODA_POWER
    envelope *= (1 + t / EARLY_CODA_S) ** EARLY_CODA_POWER
    envelope *= np.sqrt(sites.scattering * (1.0 if phase == 1 else CODA_P_OVER_S))[:, None] / np.sqrt(
        np.sum(envelope**2, axis=-1, keepdims=True)
    )
    fade = min(length, int(CODA_TAPER_S * rate_hz))
    envelope[:, -fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    own = np.linalg.norm(vector, axis=-1)
    level = np.sqrt(CODA_FROM_OWN_RAY * own**2 + (1 - CODA_FROM_OWN_RAY) * mean**2)
    other = CODA_OTHER_COMPONENTS
    balance = np.array([1.0, 1.0, other]) if phase == 1 else np.array([other, other, 1.0])
    shape = (envelope * level[:, None] / np.sqrt(3))[:, None] * balance[:, None]  # [station, component, sample]
    coda = rng.standard_normal((n, 3, length), dtype=np.float32) * shape.astype(np.float32)
    coda[:, :, 0] = 0.0
    out = hats[None, :, None, :] * coda[:, None]
    delay = np.minimum(np.rint(later_s * rate_hz).astype(np.int64), length - 2)
    trains = []
    for i in range(n):
        if delay[i]:  # a head wave comes first, and the direct wave's coda with the direct wave
            out[i] = np.roll(out[i], delay[i], axis=-1)
            out[i, :, :, : delay[i]] = 0.0
        strength = 1 - DIRECT_LOSS * sites.emergence[i]
        many = rng.poisson(MOST_FORWARD_SCATTERED * sites.emergence[i])
        late = rng.exponential(FORWARD_DELAY_S[phase], many)
        spread = rng.normal(0.35, 0.35, (many, 1)) * vector[i] + own[i] * rng.normal(0, (0.12, 0.2)[phase], (many, 3))
        # between the free surface (-1, beyond the factor 2) and the soft layer's base
        bounce = (-sites.soft_reflection[i]) ** np.arange(REVERBERATIONS)
        after = np.concatenate([late, np.arange(REVERBERATIONS) * sites.soft_delay_s[i, phase]]) * rate_hz + delay[i]
        trains.append((after, np.concatenate([spread, strength * bounce[:, None] * vector[i]])))
        out[i, 0, :, 0] += head_vector[i]
    _add_spikes(out[:, 0], trains)
    return np.asarray(out, dtype=np.float32)


def _precursors(
    rng: np.random.Generator, sites: Sites, vector: Array, s_minus_p_s: Array, length: int, rate_hz: float
) -> npt.NDArray[np.float32]:
    """Scattered waves that grow towards S and are gone 0.1 s after it, [station, component, sample] from P on.

    Forward scattering makes the energy between P and S rise towards S (Sato, Fehler and Maeda 2012, chapter 5).
    """
    before_s = s_minus_p_s[:, None] - np.arange(length) / rate_hz
    rise_s = np.maximum(PRECURSOR_RISE * s_minus_p_s, 0.1)[:, None]
    envelope = np.where(before_s > 0, np.exp(-before_s / rise_s), np.exp(before_s / 0.1))
    envelope[:, 0] = 0.0
    level = sites.precursor * np.linalg.norm(vector, axis=-1)
    shape = (envelope * level[:, None])[:, None] * np.array([[0.8], [0.8], [1.0]])
    return np.asarray(rng.standard_normal(shape.shape, dtype=np.float32) * shape.astype(np.float32))


def _add_spikes(spikes: npt.NDArray[np.float32], trains: list[tuple[Array, Array]]) -> None:
    """Add a train of impulses (samples [k], values [k, component]) per station, each shared by two samples."""
    station = np.repeat(np.arange(len(trains)), [len(at) for at, _ in trains])
    at, value = np.concatenate([a for a, _ in trains]), np.concatenate([v for _, v in trains])
    inside = (at >= 0) & (at < spikes.shape[-1] - 1)
    station, at, value = station[inside], at[inside], value[inside]
    k = at.astype(np.int64)
    w = (at - k)[:, None]
    component = np.arange(3)[None]
    np.add.at(spikes, (station[:, None], component, k[:, None]), (1 - w) * value)
    np.add.at(spikes, (station[:, None], component, k[:, None] + 1), w * value)


def _add_conversions(
    rng: np.random.Generator,
    spikes: npt.NDArray[np.float32],
    vectors: list[Array],
    converted: list[tuple[Array, Array]],
    s_minus_p_s: Array,
    rate_hz: float,
) -> None:
    """P-to-S after P on the horizontals; S-to-P before S on the vertical. Both precede S: both are in the P part."""
    p, s = vectors
    trains = []
    for i in range(len(p)):
        along = p[i, :2] / max(float(np.linalg.norm(p[i, :2])), 1e-30)
        directions = (np.append(along, 0.0) * np.linalg.norm(p[i]), np.array([0.0, 0.0, np.linalg.norm(s[i])]))
        times, values = [], []
        for j, (delay_s, strength) in enumerate(converted):
            late = delay_s[i] if j == 0 else s_minus_p_s[i] - delay_s[i]
            size = CONVERSION_AMPLITUDE[j] * strength[i] * rng.normal(0, 0.8, len(late))
            smear = np.append(0.0, rng.exponential(CONVERSION_SMEAR_S, 3))
            at = late[:, None] + smear  # [interface, smear]
            share = size[:, None] * rng.standard_normal(at.shape) * (at < s_minus_p_s[i]) * (late[:, None] > 0)
            times.append(at.ravel() * rate_hz)
            values.append(share.ravel()[:, None] * directions[j])
        trains.append((np.concatenate(times), np.concatenate(values)))
    _add_spikes(spikes, trains)
