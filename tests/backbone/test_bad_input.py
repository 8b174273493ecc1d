"""A clear error for each thing that can be wrong, before anything is computed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StationGraph
from phaseno_peft.errors import BackboneError

PLACES = torch.tensor([[0.1, 0.2], [0.3, 0.1]])


def rows(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64)


@pytest.mark.parametrize(
    ("places", "source", "target", "message"),
    [
        (PLACES, rows(0, 2), rows(0, 1), "source station 2, but there are stations 0 to 1"),
        (PLACES, rows(0, 1), rows(0, -1), "target station -1"),
        (PLACES, rows(0, 1), rows(0), "should both be"),
        (PLACES[:0], rows(), rows(), "zero stations"),
        (torch.rand(3), rows(0), rows(0), "should be"),
        (torch.rand(2, 3), rows(0), rows(0), "should be"),
        (torch.tensor([[0.1, 0.2], [float("nan"), 0.0]]), rows(0), rows(0), "station 1"),
    ],
)
def test_impossible_graph_is_refused(places: Tensor, source: Tensor, target: Tensor, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        StationGraph(places, source, target)


def test_nothing_to_stack_is_refused() -> None:
    with pytest.raises(BackboneError, match="nothing to stack"):
        StationGraph.stack([])


@pytest.mark.parametrize("shape", [(2, 3, 119), (2, 1, 120), (3, 120), (2, 120, 3)])
def test_window_of_wrong_size_is_refused(network: PhaseNO, shape: tuple[int, ...]) -> None:
    with pytest.raises(BackboneError, match="should be \\[station, 3, 120\\]"):
        network(torch.zeros(shape), StationGraph.from_coordinates(PLACES))


def test_graph_of_other_stations_is_refused(network: PhaseNO) -> None:
    with pytest.raises(BackboneError, match="3 stations have waveforms, but the graph has 2"):
        network(torch.zeros(3, 3, 120), StationGraph.from_coordinates(PLACES))


@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 0},
        {"width": 10**12},
        {"width": "48"},
        {"modes": 2},
        {"modes": 2000},
        {"padding_samples": 3000},
        {"stem": {"levels": 1}},
        {"deep": 3},
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, object]) -> None:
    with pytest.raises(BackboneError, match="backbone config"):
        PhaseNOConfig.from_json(dict(sizes))
