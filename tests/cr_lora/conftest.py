"""A small PhaseNO and inputs for it, so that PEFT's paths run in milliseconds."""

from __future__ import annotations

import pytest
import torch

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StationGraph

SMALL = PhaseNOConfig(width=8, modes=6, window_samples=120, padding_samples=10, middle_samples=40, coarse_samples=20)


def small_phaseno(seed: int = 0) -> PhaseNO:
    torch.manual_seed(seed)
    model = PhaseNO(SMALL)
    model.name_or_path = f"small-{seed}"
    return model.eval().requires_grad_(False)


@pytest.fixture
def model() -> PhaseNO:
    return small_phaseno()


@pytest.fixture
def network_input() -> tuple[torch.Tensor, StationGraph]:
    generator = torch.Generator().manual_seed(1)
    waveforms = torch.randn(3, 3, 120, generator=generator)
    return waveforms, StationGraph.from_coordinates(torch.rand(3, 2, generator=generator) * 0.05)
