"""Velocity models for association: layers from a file, or a half-space that picks themselves ask for.

Files: TauP's `.tvel` (header lines, then depth, Vp, Vs, density) and `.nd`, NonLinLoc's control file (`LAYER depth Vp
VpGrad Vs VsGrad density gradient`), or a CSV with the columns depth_km, vp_km_s, vs_km_s. Depths are kilometres below
sea level, positive down; what lies above is left out, and the uppermost layer left goes on to the stations.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.campaign import Catalogue, StationTable, read_catalogue, read_stations
from phaseno_peft.campaign.catalog import CatalogueEvent
from phaseno_peft.checking.delivery import places_km
from phaseno_peft.checking.event_fit import are_enough, event_problem, locate, usable_picks
from phaseno_peft.checking.moveout import MOST_EVENTS_FOR_SPEED, RATIO_RANGE, fit_moveout
from phaseno_peft.contract import PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.simulation import LayeredModel, first_arrivals

STANDARD_TOLERANCE_S, FILE_TOLERANCE_S = 1.0, 0.6
"""How far a pick may lie from its prediction: with velocities of anywhere, and with those of a model of the place."""
FITTED_TOLERANCE_S = (0.3, 1.0)
"""Limits of it where the velocities were fitted; between them `TOLERANCE_SIGMAS` of the fit's residuals."""
TOLERANCE_SIGMAS = 5.0
SLOWEST_KM_S, FASTEST_KM_S = 0.1, 15.0
"""Soft mud and the lowermost mantle: others are metres, or columns exchanged."""
GRADIENT_STEP_KM = 1.0
"""Layers with a gradient are cut into layers of this thickness at most."""
TABLE_NODES = 40_000
"""Of a table of travel times, interpolated between: 0.2 km for a network of 50 km."""
HIGHEST_KM, EARTH_KM = -10.0, 6371.0
"""No layer begins above or below."""
DEEPEST_KM = 200.0
"""What lies below is not read: the first waves of local events do not come there."""
ADVICE = (
    "Give TauP's .tvel or .nd, a NonLinLoc control file with LAYER lines, or a CSV with the columns "
    "depth_km,vp_km_s,vs_km_s."
)


@dataclass(frozen=True)
class HalfSpace:
    """One velocity of P and one of S everywhere."""

    vp_km_s: float = 5.8
    vs_km_s: float = 3.35
    tolerance_s: float = STANDARD_TOLERANCE_S
    source: str = "standard half-space"

    def __post_init__(self) -> None:
        _check([(0.0, self.vp_km_s, self.vs_km_s)], self.source)

    def __str__(self) -> str:
        ratio = self.vp_km_s / self.vs_km_s
        return f"{self.source}: P {self.vp_km_s:.2f} km/s, S {self.vs_km_s:.2f} km/s (Vp/Vs {ratio:.2f})"


@dataclass(frozen=True)
class Layers:
    """Homogeneous layers; the last one is a half-space. One number a layer, from the surface down."""

    top_km: tuple[float, ...]
    vp_km_s: tuple[float, ...]
    vs_km_s: tuple[float, ...]
    tolerance_s: float = FILE_TOLERANCE_S
    source: str = "layers"

    def __post_init__(self) -> None:
        rows = list(zip(self.top_km, self.vp_km_s, self.vs_km_s, strict=True))
        if not rows:
            raise PhasenoPeftError(f"{self.source}: holds no layer. {ADVICE}")
        _check(rows, self.source)

    def __str__(self) -> str:
        return f"{self.source}: {len(self.top_km)} layers, P {self.vp_km_s[0]:.2f} to {self.vp_km_s[-1]:.2f} km/s"

    def travel_times_s(
        self, phase: str, distances_km: NDArray[np.float64], depths_km: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """First arrivals [distance, depth] at the surface from sources at these distances and depths (from 0)."""
        ones = (1.0,) * len(self.top_km)  # density and Q say nothing of times
        model = LayeredModel(self.top_km, self.vp_km_s, self.vs_km_s, ones, ones, ones)
        below = np.maximum(depths_km, 1e-6)  # a ray needs some thickness
        columns = [first_arrivals(model, phase, distances_km, np.full_like(distances_km, z)).time_s for z in below]
        return np.stack(columns, axis=1)

    def table(self, distance_km: float, depth_km: float) -> tuple[float, dict[str, NDArray[np.float64]]]:
        """(grid step in km, phase -> `travel_times_s` [distance, depth]) on some `TABLE_NODES` nodes."""
        step_km = max(0.1, math.sqrt(distance_km * depth_km / TABLE_NODES))
        x, z = (np.arange(0.0, length + 2 * step_km, step_km) for length in (distance_km, depth_km))
        return step_km, {phase: self.travel_times_s(phase, x, z) for phase in PHASES}


Velocity = HalfSpace | Layers


def _check(rows: Sequence[tuple[float, float, float]], source: str) -> None:
    """Raise `PhasenoPeftError` for (top in km, Vp, Vs) of layers that cannot be."""
    for number, (top, vp, vs) in enumerate(rows, start=1):
        where = f"{source}: layer {number} (from {top:g} km)"
        if not all(math.isfinite(x) for x in (top, vp, vs)) or not min(vp, vs) >= SLOWEST_KM_S:
            raise PhasenoPeftError(
                f"{where} has Vp {vp:g} and Vs {vs:g}; velocities are km/s from {SLOWEST_KM_S:g} on. Layers of water "
                "carry no S: leave them out."
            )
        if max(vp, vs) > FASTEST_KM_S:
            raise PhasenoPeftError(f"{where} has Vp {vp:g} and Vs {vs:g}. Give km/s, not m/s.")
        if vs >= vp:
            raise PhasenoPeftError(
                f"{where} has Vp {vp:g} and Vs {vs:g} km/s: S would come before P. Exchange the columns, or correct it."
            )
        if number == 1 and top != 0.0:
            raise PhasenoPeftError(f"{where}: the first layer should begin at 0 km, sea level, or above. Add one.")
        if number > 1 and top <= rows[number - 2][0]:
            raise PhasenoPeftError(
                f"{where} does not lie below the layer before it (from {rows[number - 2][0]:g} km). Sort them by depth."
            )


def read_velocity(path: str | Path) -> Layers:
    """Layers of a file in one of the formats above. Raises `PhasenoPeftError` naming file, line and value."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PhasenoPeftError(f"{path}: cannot be read as a velocity model: {error}. {ADVICE}") from error
    lines = [(number, line.split("#")[0].strip()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line]
    if any(line.split()[0].upper() == "LAYER" for _, line in lines):
        nodes = _nonlinloc(file.name, lines)
    elif file.suffix.lower() in (".tvel", ".nd"):
        headers = 2 if file.suffix.lower() == ".tvel" else 0
        nodes = _taup(file.name, [line for line in lines if line[0] > headers])
    else:
        nodes = _table(file.name, text)
    for top, *_ in nodes:
        if not HIGHEST_KM <= top <= EARTH_KM:  # NaN too
            raise PhasenoPeftError(f"{file.name}: a layer begins at {top:g} km. Give depths in km, not m. {ADVICE}")
    rows = _as_layers([node for node in nodes if node[0] < DEEPEST_KM])
    tops, vp, vs = ([row[k] for row in rows] for k in range(3))
    return Layers(tuple(tops), tuple(vp), tuple(vs), source=file.name)


_Node = tuple[float, float, float, float, float]
"""Depth of a layer's top, Vp and Vs there, and their gradients in 1/s down to the next."""


def _number(name: str, number: int, word: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise PhasenoPeftError(f"{name}: line {number}: {word!r} is no number. {ADVICE}") from error


def _nonlinloc(name: str, lines: Iterable[tuple[int, str]]) -> list[_Node]:
    nodes = []
    for number, line in lines:
        words = line.split()
        if words[0].upper() != "LAYER":
            continue
        if len(words) < 6:
            raise PhasenoPeftError(f"{name}: line {number}: LAYER needs depth, Vp, VpGrad, Vs and VsGrad. {ADVICE}")
        top, vp, vp_gradient, vs, vs_gradient = (_number(name, number, word) for word in words[1:6])
        nodes.append((top, vp, vs, vp_gradient, vs_gradient))
    return nodes


def _taup(name: str, lines: Sequence[tuple[int, str]]) -> list[_Node]:
    """Depths with the velocities there, linear between; two of one depth are a discontinuity."""
    points: list[tuple[float, float, float]] = []
    for number, line in lines:
        words = line.split()
        if len(words) < 3:
            if words[0].lower() in ("mantle", "moho", "outer-core", "inner-core", "cmb", "icb", "iocb"):
                continue
            raise PhasenoPeftError(f"{name}: line {number}: needs depth, Vp and Vs. {ADVICE}")
        depth, vp, vs = (_number(name, number, word) for word in words[:3])
        if depth > DEEPEST_KM and points:
            break
        points.append((depth, vp, vs))
    nodes: list[_Node] = []
    for (top, vp, vs), (bottom, vp_below, vs_below) in itertools.pairwise(points):
        if bottom > top:
            nodes.append((top, vp, vs, (vp_below - vp) / (bottom - top), (vs_below - vs) / (bottom - top)))
    if points and (not nodes or points[-1][0] > nodes[-1][0]):
        nodes.append((*points[-1], 0.0, 0.0))
    return nodes


def _table(name: str, text: str) -> list[_Node]:
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    names = ("depth_km", "vp_km_s", "vs_km_s")
    missing = [column for column in names if column not in (rows.fieldnames or ())]
    if missing:
        raise PhasenoPeftError(f"{name}: line 1 lacks the column {missing[0]!r}. {ADVICE}")
    nodes: list[_Node] = []
    try:
        for row in rows:
            top, vp, vs = (_number(name, rows.line_num, (row[column] or "").strip()) for column in names)
            nodes.append((top, vp, vs, 0.0, 0.0))
    except csv.Error as error:
        raise PhasenoPeftError(f"{name}: line {rows.line_num + 1}: {error}. {ADVICE}") from error
    return nodes


def _as_layers(nodes: Sequence[_Node]) -> list[tuple[float, float, float]]:
    """(top, Vp, Vs) of homogeneous layers: those with a gradient are cut, each with the velocity of its middle."""
    rows = []
    for k, (top, vp, vs, vp_gradient, vs_gradient) in enumerate(nodes):
        bottom = nodes[k + 1][0] if k + 1 < len(nodes) else top + (100.0 if vp_gradient or vs_gradient else 0.0)
        n = max(1, math.ceil((bottom - top) / GRADIENT_STEP_KM)) if vp_gradient or vs_gradient else 1
        for part in range(n):
            begin = top + (bottom - top) * part / n
            middle = 0.5 * (bottom - top) / n if n > 1 or vp_gradient or vs_gradient else 0.0
            down = begin - top + middle
            rows.append((begin, vp + vp_gradient * down, vs + vs_gradient * down))
    first = max((k for k, row in enumerate(rows) if row[0] <= 0.0), default=0)
    return [(max(top, 0.0) if k == 0 else top, vp, vs) for k, (top, vp, vs) in enumerate(rows[first:])]


def fit_half_space(catalogue: Catalogue | str | Path, stations: StationTable | str | Path) -> HalfSpace:
    """The half-space that S-P times and move-out of a catalogue's picks ask for; its origins are not used.

    Vp/Vs and a first velocity come from `checking.fit_moveout`; around it the velocity with the smallest misfit is
    taken in steps of 0.1 km/s. Raises `PhasenoPeftError` where no event has six picks on four stations.
    """
    read = read_catalogue(catalogue)
    half_space = half_space_of(read.events, read_stations(stations), f"half-space fitted to {read.source}")
    if half_space is None:
        raise PhasenoPeftError(
            f"{read.source}: no event has six usable picks on four stations of the table, so that no half-space can be "
            "fitted to it. Give a velocity model with --velocity, or another catalogue."
        )
    return half_space


def half_space_of(events: Sequence[CatalogueEvent], stations: StationTable, source: str) -> HalfSpace | None:
    """`fit_half_space` of events in memory; None where none of them has picks enough."""
    places = places_km(stations)
    fit = fit_moveout(events, places)
    if not fit.events:
        return None
    speed = _refined(events, places, fit.speed_km_s, fit.ratio)
    low, high = FITTED_TOLERANCE_S
    tolerance_s = min(max(TOLERANCE_SIGMAS * max(fit.sigma_s.values(), default=0.0), low), high)
    ratio = min(max(fit.ratio, RATIO_RANGE[0]), RATIO_RANGE[1])
    return HalfSpace(speed, speed / ratio, tolerance_s, source)


def _refined(
    events: Sequence[CatalogueEvent], places: Mapping[str, NDArray[np.float64]], speed_km_s: float, ratio: float
) -> float:
    """The velocity within half a step of the coarse search with the smallest median misfit, in steps of 0.1 km/s."""
    fitted = [picks for e in events if are_enough(picks := usable_picks(e, places))]
    sample = [fitted[i] for i in np.unique(np.linspace(0, len(fitted) - 1, MOST_EVENTS_FOR_SPEED).astype(int))]
    reach_km = max(1.0, max(float(np.hypot(*place[:2])) for place in places.values()))

    def cost(speed: float) -> float:
        problems = [event_problem(picks, places, speed, ratio) for picks in sample]
        return float(np.median([locate(problem, reach_km, zooms=4)[1] for problem in problems]))

    return min((round(speed_km_s + 0.1 * step, 1) for step in range(-4, 5)), key=cost)
