"""A small PhaseNO and inputs for it, so that PEFT's paths run in milliseconds."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StationGraph, StemConfig, fingerprint
from phaseno_peft.contract import Contract, Frame, Preprocessing, Provenance

SMALL = PhaseNOConfig(width=8, modes=6, window_samples=120, padding_samples=10, middle_samples=40, coarse_samples=20)


def contract(**changes: object) -> dict[str, object]:
    """A contract as JSON, for adapters of `small_phaseno()`."""
    made = Contract(
        backbone_name="small-0",
        backbone_fingerprint=fingerprint(small_phaseno()),
        preprocessing=Preprocessing(window_samples=SMALL.window_samples),
        frame=Frame(40.0, -80.0),
        label_convention="onset",
        label_offset={},
        thresholds={"P": 0.3, "S": 0.4},
        min_distance_s=0.5,
        uncertainty_factor={"P": 1.0, "S": 1.0},
        provenance=Provenance("made up", "simulated", 0, 1, 1, 1, 2, 1, {"P": 3, "S": 3}, "none", {}, ["XX.A."]),
        versions={},
    )
    return made.to_json() | changes


def small_phaseno(seed: int = 0, stem: StemConfig | None = None) -> PhaseNO:
    torch.manual_seed(seed)
    model = PhaseNO(dataclasses.replace(SMALL, stem=stem))
    if stem is not None:
        with torch.no_grad():
            model.fc0.weight[:, 3:5] = torch.randn(SMALL.width, 2)
            model.skip.fill_(0.4)
            if stem.reach_samples:
                model.focus.fill_(0.5)
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
