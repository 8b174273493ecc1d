"""The network's coordinates: kilometres, units, and who is near whom."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from phaseno_peft.backbone import StationGraph
from phaseno_peft.campaign import Station, edges, scaled_coordinates
from phaseno_peft.campaign.coordinates import local_km, unit_coordinates
from phaseno_peft.contract import Frame


def test_a_kilometre_is_a_kilometre_at_every_latitude() -> None:
    # 222 km to the unit square (golden/README.md); 1 degree of latitude is 6371 km * pi / 180 = 111.195 km.
    for latitude in (0.0, 45.0, -78.0):
        frame = Frame(latitude, 20.0)
        east = Station("A.E.", latitude, 20.0 + 0.1 / np.cos(np.radians(latitude)), 0)
        north = Station("A.N.", latitude + 0.1, 20.0, 0)
        xy = scaled_coordinates([east, north], frame, 3.0)
        assert xy.dtype == np.float32
        np.testing.assert_allclose(xy, [[0.5 + 3 * 11.1195 / 222, 0.5], [0.5, 0.5 + 3 * 11.1195 / 222]], atol=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9))
def test_edges_are_all_near_pairs_with_self_in_upstreams_order(points: list[tuple[float, float]]) -> None:
    xy = np.array(points)
    expected = [(i, j) for i in range(len(xy)) for j in range(len(xy)) if np.hypot(*(xy[i] - xy[j])) <= 30.0 / 222.0]
    assert [tuple(e) for e in edges(xy, 30.0).T.tolist()] == expected
    assert {(i, i) for i in range(len(xy))} <= set(expected)


@given(st.lists(st.tuples(st.floats(-111, 111), st.floats(-111, 111)), min_size=1, max_size=9))
def test_kilometres_come_back_from_units_and_the_torch_graph_has_the_same_edges(
    points: list[tuple[float, float]],
) -> None:
    km = np.array(points)
    units = unit_coordinates(km)
    assert units.dtype == np.float32
    np.testing.assert_allclose(local_km(units), km, atol=222 * 2**-24)  # half a unit in the last place of float32
    graph = StationGraph.from_coordinates(torch.from_numpy(units), 30.0)
    assert torch.stack([graph.source, graph.target]).tolist() == edges(units, 30.0).tolist()
