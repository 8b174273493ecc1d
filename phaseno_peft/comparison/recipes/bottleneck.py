"""Bottleneck adapters behind the Fourier blocks: to compare with CR-LoRA.

    y' = y + U gelu(D y + d) + u        U, u zero at the start

on every channel vector of a block's output (Houlsby et al. 2019). F-Adapter (arXiv 2509.23173) reports that bottlenecks
beat LoRA on large Fourier operators; its bands of frequency are left out here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from phaseno_peft.backbone import PhaseNO
from phaseno_peft.backbone.cpu.spectral import Lift
from phaseno_peft.backbone.network import FourierBlock

WIDTH = 64
"""Of the bottlenecks: 74,752 parameters on the full network, about as many as CR-LoRA, so that their form is compared
and not their size."""


class BottleneckBlock(nn.Module):
    """A frozen Fourier block and the bottleneck behind it."""

    def __init__(self, block: FourierBlock, width: int) -> None:
        super().__init__()
        self.block = block
        weight = block.w.conv.weight
        self.down = nn.Linear(weight.shape[0], width, device=weight.device)
        self.up = nn.Linear(width, weight.shape[0], device=weight.device)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        self.is_off = False

    def forward(self, *parts: Tensor, lift: Lift | None = None) -> Tensor:
        """[station, samples in, in] -> [station, samples out, out], as the block's."""
        y: Tensor = self.block(*parts, lift=lift)
        return y if self.is_off else y + self.up(F.gelu(self.down(y)))


class BottleneckModel(nn.Module):
    """A frozen PhaseNO with bottlenecks; `disable_adapter` as PEFT's models have it."""

    def __init__(self, backbone: PhaseNO, width: int = WIDTH) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        for name, block in list(backbone.named_children()):
            if isinstance(block, FourierBlock):
                setattr(backbone, name, BottleneckBlock(block, width))

    def forward(self, *args: object) -> Tensor:
        """As the backbone's."""
        return self.backbone(*args)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Within, the frozen backbone, bit for bit."""
        blocks = [block for block in self.backbone.children() if isinstance(block, BottleneckBlock)]
        for block in blocks:
            block.is_off = True
        try:
            yield
        finally:
            for block in blocks:
                block.is_off = False
