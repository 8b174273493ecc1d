"""Properties of the network that no stored number can show, on a small configuration."""

from __future__ import annotations

import os
import threading

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from phaseno_peft.backbone import PhaseNO, StationGraph
from phaseno_peft.errors import BackboneError
from tests.backbone.conftest import SMALL

SAME = 2e-5
"""Logits of the same arithmetic in another order, float32."""

quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def network_window(n: int, seed: int, share: float = 0.6) -> tuple[Tensor, StationGraph]:
    """Noise at `n` stations joined by a seeded share of all directed edges, self-loops among them or not."""
    rng = torch.Generator().manual_seed(seed)
    waveforms = torch.randn(n, 3, SMALL.window_samples, generator=rng) * 0.3
    source, target = (torch.rand(n, n, generator=rng) < share).nonzero(as_tuple=True)
    return waveforms, StationGraph(torch.rand(n, 2, generator=rng) * 0.2, source, target)


def logits_of(network: PhaseNO, waveforms: Tensor, graph: StationGraph) -> Tensor:
    with torch.no_grad():
        return network(waveforms, graph)


def largest(difference: Tensor) -> float:
    return float(difference.abs().max())


@quickly
@given(n=st.integers(1, 7), seed=st.integers(0, 10_000))
def test_order_of_stations_only_reorders_the_logits(network: PhaseNO, n: int, seed: int) -> None:
    waveforms, graph = network_window(n, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    place = order.argsort()
    reordered = StationGraph(graph.coordinates[order], place[graph.source], place[graph.target])
    expected = logits_of(network, waveforms, graph)[order]
    assert largest(logits_of(network, waveforms[order], reordered) - expected) < SAME


@quickly
@given(n=st.integers(2, 7), seed=st.integers(0, 10_000))
def test_order_of_edges_is_irrelevant(network: PhaseNO, n: int, seed: int) -> None:
    waveforms, graph = network_window(n, seed)
    order = torch.randperm(graph.n_edges, generator=torch.Generator().manual_seed(seed))
    shuffled = StationGraph(graph.coordinates, graph.source[order], graph.target[order])
    assert torch.equal(logits_of(network, waveforms, shuffled), logits_of(network, waveforms, graph))


@quickly
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), seed=st.integers(0, 10_000))
def test_batch_of_windows_equals_one_by_one(network: PhaseNO, sizes: list[int], seed: int) -> None:
    windows = [network_window(n, seed + i) for i, n in enumerate(sizes)]
    together = logits_of(
        network, torch.cat([waveforms for waveforms, _ in windows]), StationGraph.stack([graph for _, graph in windows])
    )
    alone = torch.cat([logits_of(network, *each) for each in windows])
    assert largest(together - alone) < SAME


@quickly
@given(n=st.integers(2, 6), seed=st.integers(0, 10_000), edge=st.integers(0, 1000))
def test_removed_edge_changes_only_stations_downstream(network: PhaseNO, n: int, seed: int, edge: int) -> None:
    waveforms, graph = network_window(n, seed, share=0.25)
    if graph.n_edges == 0:
        return
    edge %= graph.n_edges
    kept = torch.arange(graph.n_edges) != edge
    without = StationGraph(graph.coordinates, graph.source[kept], graph.target[kept])
    difference = logits_of(network, waveforms, graph) - logits_of(network, waveforms, without)
    downstream = {int(graph.target[edge])}
    for _ in range(n):
        downstream |= {t for s, t in graph.edge_list if s in downstream}
    for station in range(n):
        changed = largest(difference[station])
        if station == int(graph.target[edge]):
            assert changed > 1e-4
        elif station not in downstream:
            assert changed < SAME


def test_isolated_station_gets_no_message(network: PhaseNO) -> None:
    """Neither from the others, nor (where it does not even hear itself) the bias of the message layer."""
    waveforms, _ = network_window(3, 5)
    places = torch.rand(3, 2, generator=torch.Generator().manual_seed(5))
    pair = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
    deaf = StationGraph(places, *pair)
    before = logits_of(network, waveforms, deaf)
    other = waveforms.clone()
    other[:2] += 0.5
    assert torch.equal(logits_of(network, other, deaf)[2], before[2])
    hears_itself = StationGraph(places, *(torch.cat([rows, torch.tensor([2])]) for rows in pair))
    assert largest(logits_of(network, waveforms, hears_itself)[2] - before[2]) > 1e-3
    moved = StationGraph(places + torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.3, 0.1]]), *pair)
    assert torch.equal(logits_of(network, waveforms, moved)[2], before[2])


def test_edges_have_a_direction(network: PhaseNO) -> None:
    waveforms, _ = network_window(2, 8)
    graph = StationGraph(torch.tensor([[0.1, 0.2], [0.3, 0.1]]), torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    before = logits_of(network, waveforms, graph)
    for changed, follows in ((0, True), (1, False)):
        other = waveforms.clone()
        other[changed] *= -1
        difference = largest(logits_of(network, other, graph)[1 - changed] - before[1 - changed])
        assert (difference > 1e-3) if follows else (difference == 0)


def test_coordinates_act_through_edges_only(network: PhaseNO) -> None:
    """As input channels they are inert behind InstanceNorm; as part of a message they are not (golden/README.md)."""
    waveforms, graph = network_window(3, 2, share=1.1)
    before = logits_of(network, waveforms, graph)
    other = PhaseNO(SMALL).eval()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        other.fc0.weight[:, 3:5] += 7.0
        assert largest(other(waveforms, graph) - before) < SAME
        moved = StationGraph(graph.coordinates.flip(0), graph.source, graph.target)
        assert largest(other(waveforms, moved) - before) > 1e-2


def test_two_edges_between_two_stations_count_twice(network: PhaseNO) -> None:
    """The mean is over edges, as upstream's."""
    waveforms, _ = network_window(3, 4)
    rows = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 0])
    twice = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 0, 0, 0, 0])
    uneven = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 0, 0])
    places = torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
    once = logits_of(network, waveforms, StationGraph(places, *rows))
    assert largest(logits_of(network, waveforms, StationGraph(places, *twice)) - once) < SAME
    assert largest(logits_of(network, waveforms, StationGraph(places, *uneven)) - once) > 1e-4


@pytest.mark.parametrize("threads", [1, 3])
def test_number_of_threads_changes_neither_logits_nor_gradients(network: PhaseNO, threads: int) -> None:
    before = torch.get_num_threads()
    waveforms, graph = network_window(6, 1)
    seen = []
    for count in (2, threads):
        torch.set_num_threads(count)
        try:
            assert torch.get_num_threads() == count
            model = PhaseNO(SMALL)
            model.load_state_dict(network.state_dict())
            logits = logits_of(model, waveforms, graph)
            model(waveforms, graph).square().sum().backward()
            gradient = model.gno1.edge.fc1.weight.grad
            assert gradient is not None
            seen.append((logits, gradient))
            assert torch.get_num_threads() == count
        finally:
            torch.set_num_threads(before)
    assert largest(seen[0][0] - seen[1][0]) < SAME
    assert largest(seen[0][1] - seen[1][1]) < 1e-4 * largest(seen[0][1])


def test_threads_born_later_keep_torchs_number_of_threads(network: PhaseNO) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        logits_of(network, *network_window(4, 0))
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [2]
    finally:
        torch.set_num_threads(before)


def test_inference_mode_and_two_callers_at_once_give_the_same_logits(network: PhaseNO) -> None:
    waveforms, graph = network_window(5, 3)
    expected = logits_of(network, waveforms, graph)
    with torch.inference_mode():
        assert torch.equal(network(waveforms, graph), expected)
    seen: list[Tensor] = []
    callers = [threading.Thread(target=lambda: seen.append(logits_of(network, waveforms, graph))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(seen) == 4
    assert all(torch.equal(each, expected) for each in seen)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_threads_of_its_own(network: PhaseNO) -> None:
    """Data loaders fork; a pool whose threads stayed behind would wait forever."""
    from phaseno_peft.backbone.cpu import parallel

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        parallel.run([lambda: None, lambda: None])
        if (child := os.fork()) == 0:
            os._exit(0 if not parallel._pools else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(before)


def test_windows_of_a_stack_are_taken_out_again(network: PhaseNO) -> None:
    rng = torch.Generator().manual_seed(3)
    graphs = [StationGraph.from_coordinates(torch.rand(n, 2, generator=rng) * 0.2) for n in (2, 4, 1, 3)]
    stacked = StationGraph.stack([StationGraph.stack(graphs[:2]), *graphs[2:]])
    assert stacked.sizes == (2, 4, 1, 3)
    taken, rows = stacked.select([3, 1])
    expected = StationGraph.stack([graphs[3], graphs[1]])
    assert rows.tolist() == [7, 8, 9, 2, 3, 4, 5]
    assert taken.sizes == expected.sizes == (3, 4)
    assert torch.equal(taken.coordinates, expected.coordinates)
    assert taken.edge_list == expected.edge_list
    assert stacked.to("cpu").sizes == stacked.sizes
    with pytest.raises(BackboneError, match="do not make up 10 stations"):
        StationGraph(stacked.coordinates, stacked.source, stacked.target, (2, 4))
