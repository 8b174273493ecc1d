"""Fictional monitoring networks shaped like the campaigns of the literature.

Nothing here is a real place: the coordinates lie in the middle of the Atlantic, the network codes are invented, the
velocity models are typical of sedimentary basins. Areas, depths, station counts and rates follow the descriptions of
three campaigns in Abdullin et al. (arXiv 2512.13197, data sets D1 to D3).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation.analyst import Analyst
from phaseno_peft.simulation.instruments import Geophone
from phaseno_peft.simulation.noise import NoiseModel
from phaseno_peft.simulation.sources import Source
from phaseno_peft.simulation.travel_times import Array, LayeredModel, gardner_density_kg_m3

KM_PER_DEGREE = 111.195
"""Of a sphere of 6371 km radius, to the metre."""
QS_OVER_QP = 0.8
"""S is attenuated somewhat more than P in all presets."""
STRESS_DROP_LN = 0.6
"""Standard deviation of a stress drop's natural logarithm: a factor of 1.8 either way."""
FLATTEST_DIP_DEG = 5.0
"""The scatter of mechanisms makes no fault plane flatter than this."""


@dataclass(frozen=True)
class Preset:
    """A network, the ground below it, the earthquakes it records and the person who picks them."""

    name: str
    description: str
    network_code: str
    station_code: tuple[str, ...]
    east_km: tuple[float, ...]
    north_km: tuple[float, ...]
    elevation_m: tuple[float, ...]
    rate_hz: float
    model: LayeredModel
    depth_min_km: float
    depth_max_km: float
    volume_east_km: tuple[float, float]
    """Western and eastern limit of the hypocentres."""
    volume_north_km: tuple[float, float]
    depth_mean_km: float | None = None
    """None: halfway; at most a third of the range away from that."""
    center_latitude_deg: float = 12.0
    center_longitude_deg: float = -41.0
    local_hour_minus_utc: float = -3.0
    mw_min: float = -0.5
    mw_max: float = 1.5
    b_value: float = 1.0
    stress_drop_mpa: float = 1.5
    """Median; see `STRESS_DROP_LN`."""
    strike_dip_rake_deg: tuple[float, float, float] = (60.0, 75.0, -10.0)
    mechanism_scatter_deg: float = 15.0
    kappa_s: float = 0.010
    """Median attenuation of S in the shallow ground; P has about three quarters."""
    scattering: float = 10.0
    """Median energy of the coda over that of the direct wave: a few in quiet basins, tens under volcanoes."""
    noise: NoiseModel = field(default_factory=NoiseModel)
    geophone: Geophone = field(default_factory=Geophone)
    analyst: Analyst = field(default_factory=Analyst)
    false_trigger_fraction: float = 0.1
    """Of all triggered records, when the caller does not say."""
    minimum_picked_stations: int = 3
    """An event with fewer picked stations would not have been catalogued."""
    orientation_error_deg: float = 3.0
    """Undeclared: how far the horizontals point away from what the StationXML says, standard deviation."""
    horizontal_1_azimuth_deg: tuple[tuple[str, float], ...] = ()
    """Stations whose horizontals are 1 and 2 instead of N and E, with the declared azimuth of 1."""
    reversed_vertical: tuple[str, ...] = ()
    """Stations wired upside down, undeclared."""

    @property
    def area_km2(self) -> float:
        """Of the stations' box."""
        return float(np.ptp(self.east_km) * np.ptp(self.north_km))

    def station_ids(self) -> tuple[str, ...]:
        """ "NET.STA." with the trailing dot of an empty location."""
        return tuple(f"{self.network_code}.{code}." for code in self.station_code)

    def latitude_longitude_deg(self, east_km: float, north_km: float) -> tuple[float, float]:
        """Geographic coordinates of a point in local kilometres."""
        latitude = self.center_latitude_deg + north_km / KM_PER_DEGREE
        return latitude, self.center_longitude_deg + east_km / (
            KM_PER_DEGREE * float(np.cos(np.radians(self.center_latitude_deg)))
        )

    def draw_source(self, rng: np.random.Generator, magnitude_shift: float = 0.0) -> Source:
        """One earthquake: Gutenberg-Richter magnitude, a place in the volume, a mechanism near the usual one."""
        mean = 0.5 * (self.depth_min_km + self.depth_max_km) if self.depth_mean_km is None else self.depth_mean_km
        mode = 3 * mean - self.depth_min_km - self.depth_max_km
        span = 1 - 10 ** (-self.b_value * (self.mw_max - self.mw_min))
        magnitude = self.mw_min - np.log10(1 - rng.random() * span) / self.b_value
        strike, dip, rake = np.array(self.strike_dip_rake_deg) + rng.normal(0, self.mechanism_scatter_deg, 3)
        return Source(
            east_km=float(rng.uniform(*self.volume_east_km)),
            north_km=float(rng.uniform(*self.volume_north_km)),
            depth_km=float(
                rng.triangular(
                    self.depth_min_km, np.clip(mode, self.depth_min_km, self.depth_max_km), self.depth_max_km
                )
            ),
            magnitude_mw=float(min(magnitude + magnitude_shift, self.mw_max)),
            stress_drop_mpa=float(self.stress_drop_mpa * rng.lognormal(0, STRESS_DROP_LN)),
            strike_deg=float(strike),
            dip_deg=float(np.clip(dip, FLATTEST_DIP_DEG, 90)),
            rake_deg=float(rake),
        )


def _model(
    top_km: tuple[float, ...], vp: tuple[float, ...], ratio: tuple[float, ...], q: tuple[float, ...]
) -> LayeredModel:
    """Velocities and Qp as given, Vs by the ratio, density by `gardner_density_kg_m3`, Qs by `QS_OVER_QP`."""
    speed: Array = np.asarray(vp)
    return LayeredModel(
        top_km=top_km,
        vp_km_s=vp,
        vs_km_s=tuple(float(v) for v in speed / np.asarray(ratio)),
        density_kg_m3=tuple(float(d) for d in gardner_density_kg_m3(speed)),
        qp=q,
        qs=tuple(QS_OVER_QP * float(x) for x in q),
    )


_OHIO = Preset(
    name="ohio-frac",
    description="Hydraulic fracturing, five stations over 25 km2, 2.8 to 3.4 km deep (fictional; shaped like D2)",
    network_code="QO",
    station_code=("OF01", "OF02", "OF03", "OF04", "OF05"),
    east_km=(0.3, -2.5, 2.2, 2.5, -2.1),
    north_km=(-0.4, 2.1, 2.5, -2.2, -2.5),
    elevation_m=(312.0, 286.0, 341.0, 355.0, 298.0),
    rate_hz=250.0,
    model=_model(
        (0.0, 0.02, 0.25, 0.9, 1.7, 2.5, 3.6),
        (1.0, 2.9, 3.7, 4.2, 4.6, 5.3, 6.0),
        (2.6, 2.0, 1.88, 1.82, 1.78, 1.74, 1.73),
        (25.0, 50.0, 80.0, 110.0, 140.0, 180.0, 250.0),
    ),
    depth_min_km=2.8,
    depth_max_km=3.4,
    volume_east_km=(-0.9, 0.9),
    volume_north_km=(-0.4, 0.5),
    noise=NoiseModel(
        rms_m_s=4.0e-7,
        pump_rms_m_s=6.0e-7,
        pad_east_km=0.5,
        pad_north_km=0.3,
        bursts_per_minute=2.0,
        spikes_per_hour=20.0,
    ),
    analyst=Analyst(convention="peak", snr_limit_p=1.2, snr_limit_s=1.1),
)

_BC = Preset(
    name="bc-frac",
    description="Hydraulic fracturing, nine stations over 100 km2, 1.7 to 2.4 km deep (fictional; shaped like D1)",
    network_code="QB",
    station_code=tuple(f"BF{k:02d}" for k in range(1, 10)),
    east_km=(0.4, -4.9, -1.2, 3.6, 5.1, 2.8, -1.9, -4.4, -3.0),
    north_km=(0.2, 3.7, 4.9, 4.4, -0.6, -5.1, -4.2, -2.9, 0.9),
    elevation_m=(702.0, 688.0, 731.0, 745.0, 699.0, 664.0, 671.0, 693.0, 716.0),
    rate_hz=250.0,
    model=_model(
        (0.0, 0.015, 0.2, 0.7, 1.3, 1.9, 2.6),
        (0.9, 2.5, 3.1, 3.6, 4.2, 4.9, 5.9),
        (2.7, 2.1, 1.95, 1.88, 1.8, 1.76, 1.73),
        (25.0, 45.0, 70.0, 90.0, 120.0, 150.0, 220.0),
    ),
    depth_min_km=1.7,
    depth_max_km=2.4,
    depth_mean_km=2.1,
    volume_east_km=(-1.2, 1.3),
    volume_north_km=(-0.8, 0.8),
    strike_dip_rake_deg=(40.0, 80.0, 5.0),
    noise=NoiseModel(
        rms_m_s=1.2e-7, pump_rms_m_s=1.5e-7, pad_east_km=-0.4, pad_north_km=0.6, pump_lines_hz=(14.2, 28.4)
    ),
    geophone=Geophone(natural_frequency_hz=4.5),
    analyst=Analyst(convention="peak"),
    minimum_picked_stations=4,
    horizontal_1_azimuth_deg=(("BF06", 34.0),),
)

_US = Preset(
    name="us-industrial",
    description="Industrial operations, eleven surface stations over 800 km2, 500 Hz, half of the triggers false "
    "(fictional; shaped like D3)",
    network_code="QU",
    station_code=tuple(f"UI{k:02d}" for k in range(1, 12)),
    east_km=(0.8, -6.1, 5.2, 11.9, 14.2, 8.4, -1.3, -8.8, -13.9, -11.2, -3.7),
    north_km=(-0.9, 5.4, 6.9, 13.6, -1.8, -10.3, -14.1, -11.7, -2.2, 10.8, 14.2),
    elevation_m=(121.0, 98.0, 133.0, 142.0, 117.0, 88.0, 93.0, 101.0, 109.0, 126.0, 138.0),
    rate_hz=500.0,
    model=_model(
        (0.0, 0.03, 0.4, 1.2, 2.4, 4.0, 7.0),
        (1.1, 2.3, 3.2, 4.3, 5.2, 5.9, 6.3),
        (2.8, 2.1, 1.9, 1.8, 1.74, 1.73, 1.73),
        (25.0, 50.0, 90.0, 140.0, 220.0, 350.0, 500.0),
    ),
    depth_min_km=2.5,
    depth_max_km=6.5,
    volume_east_km=(-9.0, 9.0),
    volume_north_km=(-9.0, 9.0),
    mw_min=0.3,
    mw_max=2.3,
    strike_dip_rake_deg=(120.0, 60.0, -80.0),
    mechanism_scatter_deg=25.0,
    kappa_s=0.016,
    noise=NoiseModel(
        rms_m_s=2.0e-7,
        station_spread=0.8,
        pump_rms_m_s=3.0e-7,
        bursts_per_minute=1.2,
        spikes_per_hour=10.0,
        pump_lines_hz=(12.4, 24.8, 49.6, 60.0),
    ),
    geophone=Geophone(natural_frequency_hz=10.0),
    analyst=Analyst(convention="onset"),
    false_trigger_fraction=0.5,
    minimum_picked_stations=4,
    reversed_vertical=("UI07",),
)

PRESETS = {preset.name: preset for preset in (_OHIO, _BC, _US)}


def find_preset(preset: Preset | str) -> Preset:
    """A preset by name, or itself. Raises `CampaignError` with the names that exist."""
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise CampaignError(f"there is no simulation preset {preset!r}; choose one of {', '.join(sorted(PRESETS))}.")
    return PRESETS[preset]
