"""A small network, quick enough for properties, and upstream's own vectors where they lie beside the project."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig
from phaseno_peft.backbone.weights import read_tensors

SMALL = PhaseNOConfig(
    width=8, modes=6, window_samples=120, padding_samples=10, middle_samples=34, coarse_samples=12
)  # fmt: skip


def small_network(seed: int = 0) -> PhaseNO:
    """Seeded weights; norms and biases away from one and zero, so that nothing is inert by accident."""
    torch.manual_seed(seed)
    model = PhaseNO(SMALL).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "normalize_layer" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "conv.weights1" not in name:
                parameter.mul_(2)
    return model.requires_grad_(False)


@pytest.fixture(scope="session")
def network() -> PhaseNO:
    return small_network()


@pytest.fixture(scope="session")
def vectors(shared: Path) -> dict[str, Tensor]:
    """Inputs and outputs of upstream's own code."""
    return load_file(shared / "golden" / "vectors.safetensors")


@pytest.fixture(scope="session")
def upstream_weights(shared: Path) -> dict[str, Tensor]:
    """The seeded weights those vectors were made with."""
    return read_tensors(shared / "golden" / "weights_seed0.safetensors")
