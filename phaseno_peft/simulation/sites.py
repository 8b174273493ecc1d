"""What is particular to each station of a simulated network: statics, shallow ground, coda.

Numbers without a source are choices, not measurements; those of the coda and of the waves before S were set beside real
records (`benchmarks/real_beside_simulated.py`). A name that ends in `_LN` is a standard deviation of a natural
logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phaseno_peft.simulation.travel_times import Array, LayeredModel

STATIC_SHARED_S, STATIC_S_OVER_P, STATIC_PHASE_S = 0.015, 1.8, 0.006
"""Travel time beyond the flat model: a part that P and S share, larger for S by about vp/vs, and one of each phase."""
KAPPA_LN = 0.35
"""Of the shallow attenuation from station to station."""
KAPPA_P_OVER_S = (0.55, 1.0)
"""Attenuation of P over that of S in the shallow ground."""
SOFT_THICKNESS_LN, SOFT_VS_LN, SOFT_VP_LN = 0.35, 0.15, 0.10
"""Of the soft layer's thickness and velocities below each station."""
SOFT_KM_OF_HALF_SPACE = 0.02
"""Thickness of the soft layer where the model has one layer only."""
LARGEST_REFLECTION = 0.8
"""Stronger reverberation would ring for longer than recorded ground does."""
REFLECTED_PART = (0.5, 1.0)
"""Part of the reflection coefficient of two flat layers that a real, graded boundary keeps."""
GAIN_SHARED_LN, GAIN_PHASE_LN = 0.3, 0.2
"""Amplification from station to station: shared by P and S, and of each phase."""
SCATTERING_LN = 0.6
CODA_TIME_S, CODA_TIME_LN = 6.0, 0.4
"""Decay time of the coda's amplitude beyond geometry and Q: median, and from station to station."""
PRECURSOR_MEDIAN, PRECURSOR_LN = 0.04, 0.6
"""Scattered waves just before S over S."""
EMERGENCE_BETA = 1.5
"""Both parameters of a beta distribution: half-impulsive onsets are commonest, both extremes occur."""
AZIMUTH_ERROR_DEG = 8.0
"""Lateral structure turns the direction of arrival by this much, standard deviation."""


@dataclass(frozen=True)
class Sites:
    """What is particular to each station of a network; one number per station."""

    east_km: Array
    north_km: Array
    elevation_km: Array
    static_s: Array
    """[station, phase]: early or late against the flat model."""
    kappa_s: Array
    """[station, phase]: attenuation of the shallow ground."""
    gain: Array
    """[station, phase]: amplification beyond the layered model's."""
    soft_delay_s: Array
    """[station, phase]: two-way time in the topmost soft layer, the period of its reverberation."""
    soft_reflection: Array
    """Reflection coefficient at the soft layer's base, 0 to 1."""
    scattering: Array
    """Coda energy over direct energy."""
    coda_time_s: Array
    """Decay time of the coda's amplitude, beyond geometry and Q."""
    precursor: Array
    """Scattered waves just before S over S, around 0.05: P turned into S on the way, S into P below the station."""
    emergence: Array
    """0 impulsive, 1 emergent: energy moved from the first pulse into scattered ones just after it."""
    azimuth_error_deg: Array
    """Direction of arrival at the station minus the one of the flat model."""

    def __len__(self) -> int:
        return len(self.east_km)


def draw_sites(
    rng: np.random.Generator,
    east_km: Array,
    north_km: Array,
    elevation_km: Array,
    model: LayeredModel,
    kappa_s: float,
    scattering: float = 10.0,
) -> Sites:
    """Plausible sites: statics of some 15 ms, shallow attenuation around ``kappa_s`` (S), soft layers, coda energy
    around ``scattering`` times the direct wave's."""
    n = len(east_km)
    static = rng.normal(0, STATIC_SHARED_S, (n, 1)) * np.array([1.0, STATIC_S_OVER_P])
    static += rng.normal(0, STATIC_PHASE_S, (n, 2))
    kappa = (
        kappa_s * rng.lognormal(0, KAPPA_LN, (n, 1)) * np.stack([rng.uniform(*KAPPA_P_OVER_S, n), np.ones(n)], axis=1)
    )
    soft_km = model.top_km[1] if len(model.top_km) > 1 else SOFT_KM_OF_HALF_SPACE
    thickness = soft_km * rng.lognormal(0, SOFT_THICKNESS_LN, n)
    soft_vs = model.vs_km_s[0] * rng.lognormal(0, SOFT_VS_LN, n)
    soft_vp = model.vp_km_s[0] * rng.lognormal(0, SOFT_VP_LN, n)
    below = min(1, len(model.top_km) - 1)
    contrast = model.vs_km_s[below] * model.density_kg_m3[below] / (soft_vs * model.density_kg_m3[0])
    return Sites(
        east_km=east_km,
        north_km=north_km,
        elevation_km=elevation_km,
        static_s=static,
        kappa_s=kappa,
        gain=rng.lognormal(0, GAIN_SHARED_LN, (n, 1)) * rng.lognormal(0, GAIN_PHASE_LN, (n, 2)),
        soft_delay_s=np.stack([2 * thickness / soft_vp, 2 * thickness / soft_vs], axis=1),
        soft_reflection=np.clip((contrast - 1) / (contrast + 1), 0, LARGEST_REFLECTION)
        * rng.uniform(*REFLECTED_PART, n),
        scattering=rng.lognormal(np.log(scattering), SCATTERING_LN, n),
        coda_time_s=rng.lognormal(np.log(CODA_TIME_S), CODA_TIME_LN, n),
        precursor=rng.lognormal(np.log(PRECURSOR_MEDIAN), PRECURSOR_LN, n),
        emergence=rng.beta(EMERGENCE_BETA, EMERGENCE_BETA, n),
        azimuth_error_deg=rng.normal(0, AZIMUTH_ERROR_DEG, n),
    )
