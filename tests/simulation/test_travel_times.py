"""Rays against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation.presets import PRESETS
from phaseno_peft.simulation.travel_times import LayeredModel, conversions, direct_rays, first_arrivals, head_waves


def model_of(top_km: tuple[float, ...], vp: tuple[float, ...]) -> LayeredModel:
    n = len(vp)
    return LayeredModel(top_km, vp, tuple(v / 1.8 for v in vp), (2500.0,) * n, (100.0,) * n, (50.0,) * n)


HALF_SPACE = model_of((0.0,), (5.0,))
TWO_LAYERS = model_of((0.0, 1.0), (2.0, 4.0))


def test_half_space_is_pythagoras() -> None:
    distance = np.array([0.0, 0.1, 3.0, 50.0])
    rays = direct_rays(HALF_SPACE, "P", distance, 2.0)
    hypocentral = np.hypot(distance, 2.0)
    np.testing.assert_allclose(rays.time_s, hypocentral / 5.0, rtol=1e-12)
    np.testing.assert_allclose(rays.spreading_km, hypocentral, rtol=1e-9)
    np.testing.assert_allclose(rays.t_star_s, hypocentral / 5.0 / 100.0, rtol=1e-12)
    np.testing.assert_allclose(rays.takeoff_deg, 180 - np.degrees(np.arctan2(distance, 2.0)), atol=1e-6)
    np.testing.assert_allclose(rays.incidence_deg, np.degrees(np.arctan2(distance, 2.0)), atol=1e-6)


def test_layers_of_equal_velocity_are_a_half_space() -> None:
    layered = model_of((0.0, 0.3, 1.1, 2.0), (5.0, 5.0, 5.0, 5.0))
    a, b = direct_rays(layered, "S", 4.0, 2.7), direct_rays(HALF_SPACE, "S", 4.0, 2.7)
    np.testing.assert_allclose([a.time_s, a.spreading_km], [b.time_s, b.spreading_km], rtol=1e-12)


def test_direct_ray_through_two_layers_obeys_snell_and_arrives_at_its_distance() -> None:
    # straight construction: choose the slowness, sum the legs of a source 1 km below a 1 km layer
    p = 0.2
    legs = [(1.0, 2.0), (1.0, 4.0)]
    distance = sum(h * p * v / np.sqrt(1 - (p * v) ** 2) for h, v in legs)
    time = sum(h / v / np.sqrt(1 - (p * v) ** 2) for h, v in legs)
    rays = direct_rays(TWO_LAYERS, "P", distance, 2.0)
    np.testing.assert_allclose([rays.slowness_s_km, rays.time_s], [p, time], rtol=1e-10)
    assert np.sin(np.radians(rays.incidence_deg)) / 2.0 == pytest.approx(np.sin(np.radians(rays.takeoff_deg)) / 4.0)


def test_head_wave_overtakes_at_the_textbook_crossover() -> None:
    # surface source and receiver: 2 h sqrt((v2 + v1) / (v2 - v1)), for example Telford et al. 1990, eq. 4.43
    crossover = 2 * 1.0 * np.sqrt((4 + 2) / (4 - 2))
    near = first_arrivals(TWO_LAYERS, "P", crossover - 0.01, 1e-6)
    far = first_arrivals(TWO_LAYERS, "P", crossover + 0.01, 1e-6)
    assert not near.is_head_wave
    assert far.is_head_wave
    intercept = 2 * 1.0 * np.sqrt(4**2 - 2**2) / (4 * 2)
    assert head_waves(TWO_LAYERS, "P", 10.0, 1e-9).time_s == pytest.approx(10 / 4 + intercept, rel=1e-8)


def test_no_head_wave_inside_the_critical_distance_or_below_the_interface() -> None:
    critical = 2 * np.tan(np.arcsin(2 / 4))
    assert np.isinf(head_waves(TWO_LAYERS, "P", critical - 0.01, 1e-9).time_s)
    assert np.isfinite(head_waves(TWO_LAYERS, "P", critical + 0.01, 1e-9).time_s)
    assert np.isinf(head_waves(TWO_LAYERS, "P", 10.0, 1.5).time_s)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(0.5, 7.0)), min_size=1, max_size=6),
    st.floats(0, 60),
    st.floats(0, 3),
    st.floats(0.01, 8),
)
def test_exchanging_ends_changes_no_time(
    layers: list[tuple[float, float]], distance: float, a: float, gap: float
) -> None:
    top = np.concatenate([[0.0], np.cumsum([h for h, _ in layers])[:-1]])
    model = model_of(tuple(top.tolist()), tuple(v for _, v in layers))
    for rays in (direct_rays, head_waves):
        down, up = rays(model, "P", distance, a, a + gap), rays(model, "P", distance, a + gap, a)
        assert down.time_s == pytest.approx(float(up.time_s), rel=1e-9)
    direct = direct_rays(model, "P", distance, a + gap, a)
    length = np.hypot(distance, gap)
    speeds = [v for _, v in layers]
    assert length / max(speeds) * (1 - 1e-9) <= direct.time_s <= length / min(speeds) * (1 + 1e-9)  # Fermat
    assert direct.slowness_s_km <= 1 / min(speeds)


def test_spreading_conserves_energy_in_layers() -> None:
    # the squared spreading is the area a ray tube of unit solid angle has when it arrives, projected along the ray
    model = PRESETS["ohio-frac"].model
    step = 1e-4
    x = np.array([3.0 - step, 3.0, 3.0 + step])
    rays = direct_rays(model, "P", x, 3.1)
    takeoff = np.radians(rays.takeoff_deg)
    solid_angle = np.sin(takeoff[1]) * abs(takeoff[2] - takeoff[0])
    area = x[1] * 2 * step * np.cos(np.radians(rays.incidence_deg[1]))
    assert rays.spreading_km[1] == pytest.approx(np.sqrt(area / solid_angle), rel=1e-5)


def test_conversion_delay_at_vertical_incidence_is_the_difference_of_times() -> None:
    delay, strength = conversions(TWO_LAYERS, np.array([1e-9]), 3.0)
    assert delay[0, 0] == pytest.approx(1.8 / 2 - 1 / 2)
    assert strength[0, 0] == pytest.approx(0.0, abs=1e-6)


def test_senseless_models_and_depths_are_refused() -> None:
    with pytest.raises(CampaignError, match="start at 0 and increase"):
        model_of((0.0, 2.0, 1.0), (1.0, 2.0, 3.0))
    with pytest.raises(CampaignError, match="one number per layer"):
        LayeredModel((0.0,), (1.0, 2.0), (1.0,), (1.0,), (1.0,), (1.0,))
    with pytest.raises(CampaignError, match="depths must be"):
        direct_rays(HALF_SPACE, "P", 1.0, 0.0)
    with pytest.raises(CampaignError, match="phase is 'X'"):
        direct_rays(HALF_SPACE, "X", 1.0, 1.0)
