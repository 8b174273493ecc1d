"""Which station hears which: the graph of one network window, or of many windows side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phaseno_peft.contract import EDGE_LIMIT_KM, KM_PER_UNIT
from phaseno_peft.errors import BackboneError


@dataclass(frozen=True)
class StationGraph:
    """Directed edges between stations; messages flow from `source` to `target`.

    coordinates: [station, 2] float, scaled (one unit is 222 km). source, target: [edge] int64 station rows.
    Stations of several windows may be stacked into one graph as long as no edge joins two windows
    (`StationGraph.stack`); `sizes` are the windows' numbers of stations. Raises `BackboneError` for an edge to a
    station that is not there, zero stations, sizes of other stations, or coordinates that are not finite.
    """

    coordinates: Tensor
    source: Tensor
    target: Tensor
    sizes: tuple[int, ...] = ()
    """Stations of each window, in order; left empty, all are one window's."""

    def __post_init__(self) -> None:
        n = self.coordinates.shape[0]
        if self.coordinates.ndim != 2 or self.coordinates.shape[1] != 2:
            raise BackboneError(f"graph: coordinates should be [station, 2] but are {list(self.coordinates.shape)}.")
        if n == 0:
            raise BackboneError("graph: zero stations. Give at least one station with coordinates.")
        if not bool(torch.isfinite(self.coordinates).all()):
            row = int((~torch.isfinite(self.coordinates).all(1)).nonzero()[0])
            raise BackboneError(f"graph: coordinates of station {row} are {self.coordinates[row].tolist()}.")
        if self.source.shape != self.target.shape or self.source.ndim != 1:
            raise BackboneError(
                f"graph: source {list(self.source.shape)} and target {list(self.target.shape)} should both be [edge]."
            )
        for name, rows in (("source", self.source), ("target", self.target)):
            if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < n:
                bad = int(rows.min()) if int(rows.min()) < 0 else int(rows.max())
                raise BackboneError(f"graph: an edge has {name} station {bad}, but there are stations 0 to {n - 1}.")
        if not self.sizes:
            object.__setattr__(self, "sizes", (n,))
        elif sum(self.sizes) != n or min(self.sizes) < 1:
            raise BackboneError(f"graph: windows of {self.sizes} stations do not make up {n} stations.")

    @property
    def n_stations(self) -> int:
        """Number of stations."""
        return self.coordinates.shape[0]

    @property
    def n_edges(self) -> int:
        """Number of directed edges, self-loops included."""
        return self.source.shape[0]

    @classmethod
    def from_coordinates(cls, coordinates: Tensor, edge_limit_km: float | None = EDGE_LIMIT_KM) -> StationGraph:
        """Edges for every ordered pair, self included, up to `edge_limit_km` apart; None joins all (a full graph)."""
        n = coordinates.shape[0]
        near = torch.ones(n, n, dtype=torch.bool, device=coordinates.device)
        if edge_limit_km is not None:
            separation = (coordinates[:, None] - coordinates[None]).double().square().sum(-1).sqrt()
            near = separation <= edge_limit_km / KM_PER_UNIT
            near.fill_diagonal_(True)
        source, target = near.nonzero(as_tuple=True)
        return cls(coordinates, source, target)

    @classmethod
    def stack(cls, graphs: Sequence[StationGraph]) -> StationGraph:
        """One disjoint graph of several windows, station rows in order."""
        if not graphs:
            raise BackboneError("graph: nothing to stack. Give at least one window.")
        first = [0]
        for graph in graphs:
            first.append(first[-1] + graph.n_stations)
        return cls(
            torch.cat([graph.coordinates for graph in graphs]),
            torch.cat([graph.source + row for graph, row in zip(graphs, first, strict=False)]),
            torch.cat([graph.target + row for graph, row in zip(graphs, first, strict=False)]),
            tuple(size for graph in graphs for size in graph.sizes),
        )

    def select(self, windows: Sequence[int]) -> tuple[StationGraph, Tensor]:
        """The graph of some of the windows, in the given order, and their [station] rows in this one.

        Edges between windows, which `stack` never makes, are left out.
        """
        first = [0, *accumulate(self.sizes)]
        rows = torch.cat([torch.arange(first[w], first[w + 1]) for w in windows]).to(self.source.device)
        place = torch.full((self.n_stations,), -1, device=rows.device)
        place[rows] = torch.arange(len(rows), device=rows.device)
        kept = (place[self.source] >= 0) & (place[self.target] >= 0)
        sizes = tuple(self.sizes[w] for w in windows)
        source, target = place[self.source[kept]], place[self.target[kept]]
        return StationGraph(self.coordinates[rows], source, target, sizes), rows

    def to(self, device: torch.device | str) -> StationGraph:
        """The same graph on another device."""
        return StationGraph(self.coordinates.to(device), self.source.to(device), self.target.to(device), self.sizes)

    @cached_property
    def in_degree(self) -> Tensor:
        """[station] number of incoming edges, float32."""
        return torch.bincount(self.target, minlength=self.n_stations).float()

    @cached_property
    def neighbours(self) -> tuple[Tensor, Tensor]:
        """Rows each station hears and their shares of its mean, both [station, most]; a share of zero fills up."""
        place = torch.sort(self.target, stable=True)
        degree = torch.bincount(self.target, minlength=self.n_stations)
        target, source = place.values, self.source[place.indices]
        column = torch.arange(self.n_edges, device=target.device) - (degree.cumsum(0) - degree)[target]
        most = max(1, int(degree.max()))
        rows = torch.zeros(self.n_stations, most, dtype=torch.int64, device=target.device)
        share = torch.zeros(self.n_stations, most, device=target.device)
        rows[target, column], share[target, column] = source, 1 / degree[target].float()
        return rows, share

    @cached_property
    def edge_list(self) -> list[tuple[int, int]]:
        """(source, target) rows in order of target, then of source."""
        return sorted(zip(self.source.tolist(), self.target.tolist(), strict=True), key=lambda edge: edge[::-1])

    @cached_property
    def groups(self) -> list[Group]:
        """Stations that hear each other, directly or not; all stations without neighbours make one group."""
        sources: list[list[int]] = [[] for _ in range(self.n_stations)]
        neighbours: list[set[int]] = [set() for _ in range(self.n_stations)]
        for s, t in self.edge_list:
            sources[t].append(s)
            neighbours[t].add(s)
            neighbours[s].add(t)
        groups, alone, seen = [], [], [False] * self.n_stations
        for first in range(self.n_stations):
            if seen[first]:
                continue
            if sources[first] == [first] and neighbours[first] == {first}:
                alone.append(first)
                continue
            rows, waiting = [], [first]
            seen[first] = True
            while waiting:
                rows.append(row := waiting.pop())
                new = [near for near in neighbours[row] if not seen[near]]
                waiting += new
                for near in new:
                    seen[near] = True
            groups.append(Group.of(sorted(rows), sources))
        return [*groups, Group.of(alone, sources)] if alone else groups


@dataclass(frozen=True)
class Group:
    """Some stations of a graph that no edge joins to the others; rows count within the group."""

    rows: slice | Tensor
    """Which stations of the graph."""
    n_stations: int
    heard: NDArray[np.int64]
    """[edge] the rows that stations hear, in order of the hearing station; twice where two edges say so."""
    pointers: NDArray[np.int64]
    """[station + 1] where each station's part of `heard` begins, and its end."""
    degree: Tensor
    """[station] number of incoming edges, float32."""
    all_hear: bool
    """True if every station has an incoming edge."""
    is_alone: bool
    """True if every station hears itself and nobody else."""
    is_full: bool
    """True if every station hears every station once."""

    @classmethod
    def of(cls, rows: list[int], sources: list[list[int]]) -> Group:
        """From rows of the graph in order and, for every station of the graph, the rows it hears in order."""
        local = {row: i for i, row in enumerate(rows)}
        heard = [[local[s] for s in sources[row]] for row in rows]
        n = len(rows)
        return cls(
            rows=_as_slice(rows),
            n_stations=n,
            heard=np.array([row for each in heard for row in each], np.int64),
            pointers=np.cumsum([0, *map(len, heard)]),
            degree=torch.tensor([float(len(each)) for each in heard]),
            all_hear=all(heard),
            is_alone=all(each == [i] for i, each in enumerate(heard)),
            is_full=all(each == list(range(n)) for each in heard),
        )


def _as_slice(rows: list[int]) -> slice | Tensor:
    if not rows or rows == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[0] + len(rows)) if rows else slice(0, 0)
    return torch.tensor(rows)
