"""Upstream's own numbers: from its own code where the vectors are there, from the plain reference always."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from phaseno_peft.backbone import EMBEDDED, PhaseNO, StationGraph, load_backbone
from phaseno_peft.backbone.weights import apply_state, read_tensors
from tests.backbone.conftest import SMALL, small_network
from tests.backbone.golden.make import subsampled_case
from tests.backbone.reference import BLOCKS, phaseno

GOLDEN_TOLERANCE = 1e-3
"""DESIGN section 2; upstream's own float32 noise is 0.8e-4 to 1.9e-4."""
EXACT_TOLERANCE = 5e-5
"""DESIGN section 2: float32 against a float64 evaluation of the same algebra."""
STORED = Path(__file__).parent / "golden" / "embedded.safetensors"


@pytest.fixture(scope="session")
def upstream(upstream_weights: dict[str, Tensor]) -> PhaseNO:
    model = PhaseNO().eval()
    apply_state(model, upstream_weights, "golden")
    return model


def graph_of(vectors: dict[str, Tensor], case: str) -> StationGraph:
    source, target = vectors[f"{case}.edge_index"][:2].long()
    return StationGraph(vectors[f"{case}.coords"], source, target)


@pytest.mark.parametrize("case", list("abcdefg"))
@pytest.mark.parametrize("recording", [False, True], ids=["inference", "training"])
def test_logits_equal_upstreams(upstream: PhaseNO, vectors: dict[str, Tensor], case: str, recording: bool) -> None:
    with torch.set_grad_enabled(recording):
        logits = upstream(vectors[f"{case}.waveform"].float(), graph_of(vectors, case)).detach()
    assert float((logits - vectors[f"{case}.logits"]).abs().max()) < GOLDEN_TOLERANCE


@pytest.mark.parametrize("case", ["a", "c"])
def test_every_block_equals_upstreams(upstream: PhaseNO, vectors: dict[str, Tensor], case: str) -> None:
    outputs: dict[str, Tensor] = {}
    hooks = [
        getattr(upstream, name).register_forward_hook(lambda _m, _i, out, name=name: outputs.update({name: out}))
        for name in BLOCKS
    ]
    with torch.no_grad():
        upstream(vectors[f"{case}.waveform"].float(), graph_of(vectors, case))
    for hook in hooks:
        hook.remove()
    for name in BLOCKS:
        seen = outputs[name].transpose(1, 2)[..., ::10]
        assert float((seen - vectors[f"{case}.act.{name}"]).abs().max()) < GOLDEN_TOLERANCE, name


@pytest.mark.parametrize("case", ["a", "b", "e", pytest.param("d", marks=pytest.mark.slow)])
def test_plain_reference_equals_upstreams(
    upstream_weights: dict[str, Tensor], vectors: dict[str, Tensor], case: str
) -> None:
    graph = graph_of(vectors, case)
    logits, blocks = phaseno(
        upstream_weights, vectors[f"{case}.waveform"], graph.coordinates, graph.edge_list
    )  # fmt: skip
    assert float((logits - vectors[f"{case}.logits"]).abs().max()) < 2.5e-4  # upstream's float32 noise and a little
    if f"{case}.act.fno0" in vectors:
        for name in BLOCKS:
            assert float((blocks[name][..., ::10] - vectors[f"{case}.act.{name}"]).abs().max()) < 3e-4, name


def test_loss_and_every_gradient_equal_upstreams(
    shared: Path, upstream_weights: dict[str, Tensor], vectors: dict[str, Tensor]
) -> None:
    expected = json.loads((shared / "golden" / "vectors.json").read_text())["loss_case_c"]
    model = PhaseNO()
    apply_state(model, upstream_weights, "golden")
    distance = (torch.arange(3000).double() - vectors["c.arrivals"][..., None]).abs()
    label = (1 - distance / 20).clamp(min=0).float()
    logits = model(vectors["c.waveform"].float(), graph_of(vectors, "c"))
    weight = torch.tensor(5.0)
    loss = sum(
        0.5 * F.binary_cross_entropy_with_logits(logits[:, k], label[:, k], pos_weight=weight) for k in (0, 1)
    )  # fmt: skip
    assert isinstance(loss, Tensor)
    loss.backward()
    assert loss.item() == pytest.approx(0.683900989677, abs=1e-6)  # golden/README.md, float64
    for name, parameter in model.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if gradient.is_complex():
            gradient = torch.view_as_real(gradient)
        golden = expected["gradients"][name]
        if golden["analytically_zero"]:
            assert float(gradient.abs().max()) < 1e-6, name
            continue
        norm = golden["float64"]["l2"]
        assert float(gradient.double().norm()) == pytest.approx(norm, rel=2e-5), name
        first = torch.tensor(golden["float64"]["first8"], dtype=torch.float64)
        scale = norm / gradient.numel() ** 0.5
        assert float((gradient.flatten()[:8].double() - first).abs().max()) < 2e-4 * scale + 1e-9, name


def test_embedded_backbone_equals_the_stored_reference() -> None:
    """Full size without anything beside the project; tests/backbone/golden/make.py wrote the numbers."""
    waveforms, graph = subsampled_case()
    with torch.no_grad():
        logits = load_backbone(EMBEDDED)(waveforms, graph)
    stored = read_tensors(STORED)["logits"]
    assert float((logits[..., ::20] - stored).abs().max()) < EXACT_TOLERANCE


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n", [1, 2, 5, 21])
def test_small_networks_equal_the_plain_reference(n: int, seed: int) -> None:
    """21 stations who all hear each other take the smooth path; a third of the edges missing take the plain one."""
    model = small_network(seed)
    rng = torch.Generator().manual_seed(seed)
    waveforms = torch.randn(n, 3, SMALL.window_samples, generator=rng) * 0.3
    full = StationGraph.from_coordinates(torch.rand(n, 2, generator=rng) * 0.3, None)
    kept = torch.rand(full.n_edges, generator=rng) > 0.33
    for graph in (full, StationGraph(full.coordinates, full.source[kept], full.target[kept])):
        with torch.no_grad():
            logits = model(waveforms, graph)
        expected, _ = phaseno(
            model.state_dict(),
            waveforms,
            graph.coordinates,
            graph.edge_list,
            padding_samples=SMALL.padding_samples,
            lengths=(SMALL.padded_samples, SMALL.middle_samples, SMALL.coarse_samples),
        )
        assert float((logits - expected).abs().max()) < EXACT_TOLERANCE
