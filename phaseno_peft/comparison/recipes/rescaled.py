"""The frozen backbone at several speeds: what can be had for short S-P times without any label.

The same records are heard as they are, at half and at double speed, and the probabilities are averaged, as Shi et al.
(2023, doi:10.1785/0220220323) do with single-station pickers on microseismic records.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phaseno_peft.backbone import PhaseNO
from phaseno_peft.backbone.graph import StationGraph

SPEEDS = (0.5, 1.0, 2.0)
"""0.5: every second of the record lasts two."""
LEAST_PROBABILITY = 1e-6


class RescalingEnsemble(nn.Module):
    """Called like the backbone; trains nothing."""

    def __init__(self, backbone: PhaseNO, speeds: tuple[float, ...] = SPEEDS) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.speeds = speeds

    def forward(self, waveforms: Tensor, graph: StationGraph) -> Tensor:
        """[station, 3 (E, N, Z), sample] -> logits [station, 2 (P, S), sample] of the mean probability."""
        found = [torch.sigmoid(self._at_speed(waveforms, graph, speed)) for speed in self.speeds]
        return torch.logit(torch.stack(found).mean(0), LEAST_PROBABILITY)

    def _at_speed(self, waveforms: Tensor, graph: StationGraph, speed: float) -> Tensor:
        n = waveforms.shape[-1]
        if speed == 1.0:
            return self.backbone(waveforms, graph)
        if speed > 1.0:  # the record is shorter than the network's window: silence around it
            heard = resized(waveforms, round(n / speed))
            before = (n - heard.shape[-1]) // 2
            padded = F.pad(heard, (before, n - heard.shape[-1] - before))
            said = self.backbone(padded, graph)[..., before : before + heard.shape[-1]]
            return resized(said, n)
        heard = resized(waveforms, round(n / speed))  # longer: pieces that overlap by half, each where it knows most
        starts = [*range(0, heard.shape[-1] - n, n // 2), heard.shape[-1] - n]
        said = heard.new_full((len(heard), 2, heard.shape[-1]), -torch.inf)
        for start in starts:
            first = start + (n // 4 if start else 0)
            last = start + n - (n // 4 if start != starts[-1] else 0)
            piece = self.backbone(heard[..., start : start + n].contiguous(), graph)
            said[..., first:last] = piece[..., first - start : last - start]
        return resized(said, n)


def resized(x: Tensor, n: int) -> Tensor:
    """[station, channel, sample] at `n` samples for the same time, low-passed where there are fewer."""
    if n < x.shape[-1]:
        return F.adaptive_avg_pool1d(x, n)
    return F.interpolate(x, n, mode="linear", align_corners=False)
