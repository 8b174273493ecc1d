"""A PhaseNet of random weights: its published names and shapes, none of its numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def phasenet_tensors(seed: int = 0) -> dict[str, Tensor]:
    """Random weights under PhaseNet's names."""
    rng = torch.Generator().manual_seed(seed)
    made: dict[str, Tensor] = {}

    def conv(name: str, *shape: int) -> None:
        made[f"{name}.weight"] = torch.randn(*shape, generator=rng) * (2 / (shape[1] * shape[2])) ** 0.5

    def norm(name: str, width: int) -> None:
        for part in ("weight", "running_var"):
            made[f"{name}.{part}"] = 0.5 + torch.rand(width, generator=rng)
        for part in ("bias", "running_mean"):
            made[f"{name}.{part}"] = 0.3 * torch.randn(width, generator=rng)

    conv("inc", 8, 3, 7)
    made["inc.bias"] = torch.randn(8, generator=rng)
    norm("in_bn", 8)
    before = 8
    for k in range(5):
        width = 8 * 2**k
        conv(f"down_branch.{k}.0", width, before, 7)
        norm(f"down_branch.{k}.1", width)
        if k < 4:
            conv(f"down_branch.{k}.2", width, width, 7)
            norm(f"down_branch.{k}.3", width)
        before = width
    for k, width in enumerate((64, 32, 16, 8)):
        conv(f"up_branch.{k}.0", 2 * width, width, 7)
        norm(f"up_branch.{k}.1", width)
        conv(f"up_branch.{k}.2", width, 2 * width, 7)
        norm(f"up_branch.{k}.3", width)
    conv("out", 3, 8, 1)
    made["out.bias"] = torch.randn(3, generator=rng)
    return made
