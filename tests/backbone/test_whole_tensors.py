"""The path that compilers and accelerators take equals the one that computes in pieces."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from phaseno_peft.backbone import PhaseNO, StationGraph, load_backbone
from phaseno_peft.backbone.cpu import parallel
from tests.backbone.conftest import SMALL, small_network

TOLERANCE = 5e-5


def network_input(n: int = 6, seed: int = 0) -> tuple[Tensor, StationGraph]:
    """Stations of which some hear many, some few, one nobody and one itself twice."""
    rng = torch.Generator().manual_seed(seed)
    graph = StationGraph.from_coordinates(torch.rand(n, 2, generator=rng) * 0.3, 40.0)
    kept = graph.target != n - 1
    source, target = graph.source[kept], graph.target[kept]
    twice = torch.zeros(1, dtype=torch.int64)
    graph = StationGraph(graph.coordinates, torch.cat([source, twice]), torch.cat([target, twice]))
    return torch.randn(n, 3, SMALL.window_samples, generator=rng) * 0.3, graph


def logits_and_gradients(model: PhaseNO, device: str = "cpu") -> tuple[Tensor, dict[str, Tensor]]:
    waveforms, graph = network_input()
    model = model.to(device).requires_grad_(True)
    model.zero_grad()
    logits = model(waveforms.to(device), graph.to(device))
    logits.square().mean().backward()  # type: ignore[no-untyped-call]  # torch's stub
    return logits.detach().cpu(), {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}


def assert_same(seen: tuple[Tensor, dict[str, Tensor]], expected: tuple[Tensor, dict[str, Tensor]]) -> None:
    torch.testing.assert_close(seen[0], expected[0], atol=TOLERANCE, rtol=0)
    for name, gradient in expected[1].items():
        scale = float(gradient.abs().max()) + 1e-6
        torch.testing.assert_close(seen[1][name], gradient, atol=1e-4 * scale + 1e-7, rtol=0, msg=name)


def test_whole_tensors_give_the_same_logits_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_network(0)
    expected = logits_and_gradients(model)
    monkeypatch.setattr(parallel, "by_station", lambda _: False)
    seen = logits_and_gradients(model)
    assert not torch.equal(seen[0], expected[0])  # the other path was taken
    assert_same(seen, expected)


def test_neighbours_list_every_edge_once() -> None:
    _, graph = network_input()
    rows, share = graph.neighbours
    listed = [(int(s), t) for t, heard in enumerate(rows) for s, part in zip(heard, share[t], strict=True) if part > 0]
    assert sorted(listed) == sorted(graph.edge_list)
    assert torch.allclose(share.sum(1), (graph.in_degree > 0).float())


@pytest.mark.slow
def test_the_compiler_takes_the_network_without_breaks() -> None:
    model = small_network(0).requires_grad_(False)
    waveforms, graph = network_input()
    graph.neighbours, graph.in_degree  # noqa: B018  # cached: what depends on data is settled before compiling
    with torch.no_grad():
        seen = torch.compile(model, dynamic=False, fullgraph=True)(waveforms, graph)
        torch.testing.assert_close(seen, model(waveforms, graph), atol=TOLERANCE, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_gives_the_same_logits_and_gradients() -> None:
    assert_same(logits_and_gradients(small_network(0), "cuda"), logits_and_gradients(small_network(0)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_does_not_build_the_edge_tensor() -> None:
    n = 40
    model = load_backbone().to("cuda")
    graph = StationGraph.from_coordinates(torch.rand(n, 2) * 0.01, None).to("cuda")
    torch.cuda.reset_peak_memory_stats()
    with torch.no_grad():
        model(torch.randn(n, 3, 3000, device="cuda"), graph)
    edge_tensor = n * n * 192 * 3100 * 4
    assert torch.cuda.max_memory_allocated() < edge_tensor / 2
