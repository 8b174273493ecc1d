"""How depth enters the network's two coordinates: sensors below others are laid beside them, as far away as they are.

The network hears geometry through distances between stations in a plane (its edges, and the coordinates its messages
carry), and a borehole string or the levels of a mine would be one point there. A station that lies below another one
more steeply than 45 degrees is therefore moved in the plane until its distances to the others are as near as can be to
those in space; all others keep their east and north to the bit, so that a network on the surface is what it was.
Metres need nothing more: coordinates are kilometres, and `time_scale` stretches them together with time.
"""

from __future__ import annotations

import numpy as np

STEEP_M = 20.0
"""Sensors of one site that differ by less are one place: 20 m are 5 ms of P in hard rock."""
_NEIGHBOURS = 40
"""A moved station heeds so many others, the nearest in space: their weights are most of the sum."""
_SWEEPS = 60
_SETTLED_M = 0.5


def depth_shifts_m(east_north_up_m: np.ndarray) -> np.ndarray:
    """(east, north) [station, 2] in metres by which depth moves places [station, 3] in the plane; zeros for most.

    All begin as masts that are laid down side by side, across the longer axis of the network: strings in boreholes
    keep their distances so (a volume of sensors cannot keep all: some 15 % are lost on average). Then each moved
    station in turn goes where its relative differences between distances in the plane and in space are least in
    square (majorisation, de Leeuw 1977), until none moves by `_SETTLED_M`. The result does not depend on the order
    of the stations.
    """
    places = np.asarray(east_north_up_m, float)
    shifts = np.zeros((len(places), 2))
    if not len(places) or np.ptp(places[:, 2]) <= STEEP_M:
        return shifts
    from scipy.spatial import cKDTree

    below_m = np.zeros(len(places))
    tree, reach_m = cKDTree(places[:, :2]), float(np.ptp(places[:, 2]))
    for i, place in enumerate(places):
        near_m = places[tree.query_ball_point(place[:2], reach_m)]  # none farther away is steeply above
        rise = near_m[:, 2] - place[2]
        steep = rise > np.maximum(np.hypot(*(near_m[:, :2] - place[:2]).T), STEEP_M)
        below_m[i] = rise[steep].max(initial=0.0)
    moved = np.flatnonzero(below_m)
    if not len(moved):
        return shifts
    plane = places[:, :2] + below_m[:, None] * _across(places[:, :2])
    order = moved[np.lexsort(places[moved].T)]
    near = {i: _nearest(places, i) for i in order}
    for _ in range(_SWEEPS):
        farthest_m = 0.0
        for i in order:
            others, in_space_m = near[i]
            offset = plane[i] - plane[others]
            apart_m = np.hypot(*offset.T)[:, None]
            direction = np.where(apart_m > 0, offset / np.maximum(apart_m, 1e-9), [1.0, 0.0])
            weight = in_space_m[:, None] ** -2.0
            new = (weight * (plane[others] + in_space_m[:, None] * direction)).sum(axis=0) / weight.sum()
            farthest_m = max(farthest_m, float(np.hypot(*(new - plane[i]))))
            plane[i] = new
        if farthest_m < _SETTLED_M:
            break
    shifts[moved] = plane[moved] - places[moved, :2]
    return shifts


def _across(east_north_m: np.ndarray) -> np.ndarray:
    """Unit vector across the longer axis of the places; north where they have none."""
    east, north = (east_north_m - east_north_m.mean(axis=0)).T
    axis = 0.5 * np.arctan2(2 * (east * north).sum(), (east**2).sum() - (north**2).sum())
    return np.array([-np.sin(axis), np.cos(axis)])


def _nearest(places: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the stations nearest to one in space, and how far they are in metres; none at its own place."""
    in_space_m = np.linalg.norm(places - places[i], axis=1)
    nearest = np.argsort(in_space_m, kind="stable")[: _NEIGHBOURS + 1]
    nearest = nearest[in_space_m[nearest] > 0]
    return nearest, in_space_m[nearest]
