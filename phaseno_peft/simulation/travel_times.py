"""Rays in a layered half-space: travel times, slownesses, angles, spreading and attenuation of direct and head waves.

All arrays broadcast over rays. Depths are positive down from the surface, distances epicentral, both in km.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from phaseno_peft.contract import PHASES
from phaseno_peft.errors import CampaignError

Array: TypeAlias = npt.NDArray[np.float64]

_MAX_NEWTON_STEPS = 200
"""Ten are enough for rays of random networks; the loop ends where the ray meets its station."""
LARGEST_CONVERSION = 0.3
"""Of P to S and back at one interface: the weak-contrast formula has no bound of its own."""


def gardner_density_kg_m3(vp_km_s: Array) -> Array:
    """Density of sediments from P velocity: 0.31 Vp^0.25 in g/cm3 with Vp in m/s (Gardner et al. 1974)."""
    return np.asarray(310 * (vp_km_s * 1e3) ** 0.25)


@dataclass(frozen=True)
class LayeredModel:
    """Flat homogeneous layers; the last one is a half-space. One number per layer, top layer first."""

    top_km: tuple[float, ...]
    """Depth of each layer's top; the first is 0."""
    vp_km_s: tuple[float, ...]
    vs_km_s: tuple[float, ...]
    density_kg_m3: tuple[float, ...]
    qp: tuple[float, ...]
    qs: tuple[float, ...]

    def __post_init__(self) -> None:
        lengths = {name: len(value) for name, value in vars(self).items()}
        if len(set(lengths.values())) != 1 or not self.top_km:
            raise CampaignError(
                f"velocity model: every field needs one number per layer, but the counts are {lengths}."
            )
        if self.top_km[0] != 0 or any(b <= a for a, b in zip(self.top_km, self.top_km[1:], strict=False)):
            raise CampaignError(f"velocity model: top_km must start at 0 and increase, but is {self.top_km}.")
        for name in ("vp_km_s", "vs_km_s", "density_kg_m3", "qp", "qs"):
            if min(getattr(self, name)) <= 0:
                raise CampaignError(f"velocity model: {name} must be positive, but is {getattr(self, name)}.")

    def velocity_km_s(self, phase: str) -> Array:
        """Velocity of each layer for "P" or "S", shape [layer]."""
        if phase not in PHASES:
            raise CampaignError(f"phase is {phase!r}; travel times exist for {' and '.join(PHASES)}.")
        return np.asarray(self.vp_km_s if phase == "P" else self.vs_km_s, dtype=np.float64)

    def quality(self, phase: str) -> Array:
        """Quality factor of each layer for "P" or "S", shape [layer]."""
        return np.asarray(self.qp if phase == "P" else self.qs, dtype=np.float64)

    def layer_at(self, depth_km: float | Array) -> npt.NDArray[np.int64]:
        """Index of the layer that holds a depth; a depth on an interface belongs to the layer below."""
        return np.asarray(np.searchsorted(np.asarray(self.top_km), depth_km, side="right") - 1, dtype=np.int64)

    def thickness_between(self, upper_km: Array, lower_km: Array) -> Array:
        """Kilometres of each layer between two depths, shape [..., layer]."""
        top = np.asarray(self.top_km)
        bottom = np.append(top[1:], np.inf)
        crossed = np.minimum(bottom, lower_km[..., None]) - np.maximum(top, upper_km[..., None])
        return np.asarray(np.maximum(crossed, 0.0))


@dataclass(frozen=True)
class Rays:
    """One ray per element; every array has the same shape."""

    time_s: Array
    slowness_s_km: Array
    """Ray parameter, constant along a ray in flat layers."""
    takeoff_deg: Array
    """At the source, from straight down (Aki and Richards): above 90 for a ray that leaves upwards."""
    incidence_deg: Array
    """At the receiver, from the vertical."""
    spreading_km: Array
    """Geometric spreading as an equivalent distance: the straight-line distance in a homogeneous medium."""
    t_star_s: Array
    """Integral of time / Q along the ray."""
    is_head_wave: npt.NDArray[np.bool_]


def _vertical_slowness(velocity: Array, slowness: Array) -> Array:
    return np.sqrt(np.maximum(1 / velocity**2 - slowness[..., None] ** 2, 1e-18))


def direct_rays(
    model: LayeredModel,
    phase: str,
    distance_km: Array | float,
    depth_a_km: Array | float,
    depth_b_km: Array | float = 0.0,
) -> Rays:
    """The straight-through ray between depths a (source) and b (receiver), without reflection.

    With q the tangent of the angle in the fastest layer crossed, distance(q) is increasing and concave, so Newton's
    method from q = 0 climbs to the only root and cannot overshoot (Tian and Chen 2005, Seismol. Res. Lett. 76).
    """
    x, za, zb = (np.asarray(a, dtype=np.float64) for a in np.broadcast_arrays(distance_km, depth_a_km, depth_b_km))
    velocity = model.velocity_km_s(phase)
    upper, lower = np.minimum(za, zb), np.maximum(za, zb)
    if np.any(upper < 0) or np.any(x < 0) or np.any(lower - upper < 1e-9):
        raise CampaignError(
            "direct ray: depths must be at least 0 and differ, and the distance at least 0 km, but they are "
            f"{za.min():g}..{za.max():g} km, {zb.min():g}..{zb.max():g} km and {x.min():g} km or more."
        )
    thickness = model.thickness_between(upper, lower)  # [..., layer]
    fastest = np.max(np.where(thickness > 0, velocity, 0.0), axis=-1)
    ratio = np.where(thickness > 0, velocity, 0.0) / fastest[..., None]
    q = np.zeros_like(x)
    for _ in range(_MAX_NEWTON_STEPS):
        root = 1 + (1 - ratio**2) * q[..., None] ** 2
        miss = x - np.sum(thickness * ratio * q[..., None] / np.sqrt(root), axis=-1)
        step = miss / np.sum(thickness * ratio / root**1.5, axis=-1)
        q = q + step
        if np.all(np.abs(miss) <= 1e-10 * (1 + x)):
            break
    slowness = q / (fastest * np.sqrt(1 + q**2))
    # 1 - (p v)^2 written with q: no cancellation where the ray is almost horizontal in the fastest layer
    cosine = np.sqrt((1 + (1 - ratio**2) * q[..., None] ** 2) / (1 + q[..., None] ** 2))
    leg_s = thickness / (velocity * cosine)
    x_over_p = np.sum(thickness * velocity / cosine, axis=-1)
    dx_dp = np.sum(thickness * velocity / cosine**3, axis=-1)
    layer_a = np.where(za > zb, _layer_above(model, za), model.layer_at(za))
    layer_b = np.where(zb > za, _layer_above(model, zb), model.layer_at(zb))
    cos_a = np.take_along_axis(cosine, layer_a[..., None], axis=-1)[..., 0]
    cos_b = np.take_along_axis(cosine, layer_b[..., None], axis=-1)[..., 0]
    angle_a = np.degrees(np.arccos(np.minimum(cos_a, 1.0)))
    return Rays(
        time_s=np.sum(leg_s, axis=-1),
        slowness_s_km=slowness,
        takeoff_deg=np.where(za > zb, 180 - angle_a, angle_a),
        incidence_deg=np.degrees(np.arccos(np.minimum(cos_b, 1.0))),
        spreading_km=np.sqrt(x_over_p * dx_dp * cos_a * cos_b) / velocity[layer_a],
        t_star_s=np.sum(leg_s / model.quality(phase), axis=-1),
        is_head_wave=np.zeros(x.shape, dtype=np.bool_),
    )


def _layer_above(model: LayeredModel, depth_km: Array) -> npt.NDArray[np.int64]:
    """Layer a ray leaves through when it goes up from a depth that may lie on an interface."""
    return np.asarray(np.searchsorted(np.asarray(model.top_km), depth_km, side="left") - 1, dtype=np.int64).clip(min=0)


def head_waves(
    model: LayeredModel,
    phase: str,
    distance_km: Array | float,
    depth_a_km: Array | float,
    depth_b_km: Array | float = 0.0,
) -> Rays:
    """The earliest head wave of each ray; ``time_s`` is infinite where none exists at that distance.

    A head wave runs along the top of a layer below both ends that is faster than everything above it, from the
    critical distance on. Its spreading is the usual sqrt(x) * (x - x_critical)^1.5 form, bounded near the critical
    distance, and only an order of magnitude.
    """
    x, za, zb = (np.asarray(a, dtype=np.float64) for a in np.broadcast_arrays(distance_km, depth_a_km, depth_b_km))
    velocity, quality = model.velocity_km_s(phase), model.quality(phase)
    upper, lower = np.minimum(za, zb), np.maximum(za, zb)
    best = {name: np.full(x.shape, np.nan) for name in ("slowness", "takeoff", "incidence", "spreading", "t_star")}
    best_time = np.full(x.shape, np.inf)
    layer_a, layer_b = model.layer_at(za), model.layer_at(zb)
    for k in range(1, len(velocity)):
        interface = model.top_km[k]
        legs = model.thickness_between(za, np.full_like(x, interface)) + model.thickness_between(
            zb, np.full_like(x, interface)
        )
        crossed_fastest = np.max(np.where(legs > 0, velocity, 0.0), axis=-1)
        if not np.any(below := (lower < interface) & (crossed_fastest < velocity[k])):
            continue
        slowness = np.full_like(x, 1 / velocity[k])
        vertical = _vertical_slowness(velocity, slowness)  # meaningless where not crossed, and multiplied by 0 there
        leg_path_s = legs / (velocity**2 * vertical)
        critical_km = np.sum(legs * slowness[..., None] / vertical, axis=-1)
        time = x * slowness + np.sum(legs * vertical, axis=-1)
        better = below & (x >= critical_km) & (time < best_time)
        along_km = np.maximum(x - critical_km, 0.0)
        best_time = np.where(better, time, best_time)
        values = {
            "slowness": slowness,
            "takeoff": np.degrees(np.arcsin(np.minimum(slowness * velocity[layer_a], 1.0))),
            "incidence": np.degrees(np.arcsin(np.minimum(slowness * velocity[layer_b], 1.0))),
            "spreading": np.sqrt(np.maximum(x, 1e-9)) * np.maximum(along_km, 0.25 * x) ** 1.5
            + np.hypot(x, lower - upper),
            "t_star": along_km * slowness / quality[k] + np.sum(leg_path_s / quality, axis=-1),
        }
        for name, value in values.items():
            best[name] = np.where(better, value, best[name])
    return Rays(
        time_s=best_time,
        slowness_s_km=best["slowness"],
        takeoff_deg=best["takeoff"],
        incidence_deg=best["incidence"],
        spreading_km=best["spreading"],
        t_star_s=best["t_star"],
        is_head_wave=np.isfinite(best_time),
    )


def first_arrivals(
    model: LayeredModel,
    phase: str,
    distance_km: Array | float,
    depth_a_km: Array | float,
    depth_b_km: Array | float = 0.0,
) -> Rays:
    """Direct ray or head wave, whichever comes first."""
    direct = direct_rays(model, phase, distance_km, depth_a_km, depth_b_km)
    head = head_waves(model, phase, distance_km, depth_a_km, depth_b_km)
    is_head = head.time_s < direct.time_s
    fields = {
        name: np.where(is_head, getattr(head, name), getattr(direct, name))
        for name in ("time_s", "slowness_s_km", "takeoff_deg", "incidence_deg", "spreading_km", "t_star_s")
    }
    return Rays(**fields, is_head_wave=is_head)


def conversions(model: LayeredModel, slowness_s_km: Array, source_depth_km: float) -> tuple[Array, Array]:
    """Delays (s) and strengths of P-to-S conversion at each interface above the source, both [..., interface].

    A P wave that becomes S at the interface comes this much after P; an S wave that becomes P there, this much
    before S (both at the slowness of the ray). The strength, relative to the incident wave, is the weak-contrast
    transmission coefficient reduced to its S velocity term (Aki and Richards 2002, eq. 5.40), bounded by
    `LARGEST_CONVERSION`.
    """
    tops = np.asarray(model.top_km)
    interfaces = tops[(tops > 0) & (tops < source_depth_km)]
    vp, vs = model.velocity_km_s("P"), model.velocity_km_s("S")
    above = model.thickness_between(np.zeros_like(interfaces), interfaces)  # [interface, layer]
    difference = _vertical_slowness(vs, slowness_s_km) - _vertical_slowness(vp, slowness_s_km)  # [..., layer]
    step = np.diff(vs)[: len(interfaces)]
    strength = np.minimum(2 * np.abs(step) * slowness_s_km[..., None], LARGEST_CONVERSION)
    return np.asarray(difference @ above.T), strength
