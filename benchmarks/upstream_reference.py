"""Upstream's formulation of PhaseNO, to compare with: one [2C+4, T] tensor for every edge, FFTs, convolutions.

Written from the published algebra with upstream's parameter names and order of operations; on a graph it builds what
torch-geometric builds, the inputs and outputs of all edges' layers at once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpectralConv1d(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, modes: int, samples_out: int) -> None:
        super().__init__()
        self.modes, self.samples_out = modes, samples_out
        self.weights1 = nn.Parameter(torch.rand(channels_in, channels_out, modes, dtype=torch.cfloat))

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(x, norm="forward")
        size = x.shape[0], self.weights1.shape[1], self.samples_out // 2 + 1
        mixed = torch.zeros(size, device=x.device, dtype=torch.cfloat)
        mixed[..., : self.modes] = torch.einsum("bix,iox->box", spectrum[..., : self.modes], self.weights1)
        return torch.fft.irfft(mixed, n=self.samples_out, norm="forward")


class Pointwise(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, samples_out: int) -> None:
        super().__init__()
        self.samples_out = samples_out
        self.conv = nn.Conv1d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.conv(x), size=self.samples_out, mode="linear", align_corners=True)


class OperatorBlock(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, modes: int, samples_out: int, gelu: bool = True) -> None:
        super().__init__()
        self.conv = SpectralConv1d(channels_in, channels_out, modes, samples_out)
        self.w = Pointwise(channels_in, channels_out, samples_out)
        self.normalize_layer = nn.InstanceNorm1d(channels_out, affine=True)
        self.gelu = gelu

    def forward(self, x: Tensor) -> Tensor:
        y = self.normalize_layer(self.conv(x) + self.w(x))
        return F.gelu(y) if self.gelu else y


class MLP(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels_in, hidden)
        self.fc2 = nn.Linear(hidden, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x.permute(0, 2, 1)))).permute(0, 2, 1)


class GNO(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edge = MLP(2 * channels + 4, channels, 4 * channels)
        self.aggre = MLP(2 * channels, channels, 4 * channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index[0].long(), edge_index[1].long()
        places = edge_index[2:, :].t()[:, :, None].expand(-1, -1, x.shape[-1])
        message = self.edge(torch.cat([x[target], places[:, 0:2], x[source], places[:, 2:4]], 1))
        total = torch.zeros_like(x).index_add_(0, target, message)
        count = torch.bincount(target, minlength=len(x)).clamp(min=1).to(x.dtype)
        return self.aggre(torch.cat([total / count[:, None, None], x], 1))


class UpstreamPhaseNO(nn.Module):
    def __init__(self, width: int = 48, modes: int = 24) -> None:
        super().__init__()
        w, fine, middle, coarse = width, 3100, 750, 200
        self.fc0 = nn.Linear(6, w)
        self.fno0 = OperatorBlock(w, w, modes, fine)
        self.gno0 = GNO(w)
        self.fno1 = OperatorBlock(w, 2 * w, modes // 2, middle)
        self.gno1 = GNO(2 * w)
        self.fno2 = OperatorBlock(2 * w, 4 * w, modes // 3, coarse)
        self.gno3 = GNO(4 * w)
        self.fno4 = OperatorBlock(8 * w, 2 * w, modes // 3, middle)
        self.gno4 = GNO(2 * w)
        self.fno5 = OperatorBlock(4 * w, w, modes // 2, fine)
        self.gno5 = GNO(w)
        self.fno6 = OperatorBlock(2 * w, w, modes, fine)
        self.fno7 = OperatorBlock(w, w, modes, fine, gelu=False)
        self.fc1 = nn.Linear(w, 2 * w)
        self.fc2 = nn.Linear(2 * w, 2)

    def forward(self, waveforms: Tensor, coordinates: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """[station, 3, 3000], [station, 2], [edge], [edge] -> logits [station, 2, 3000]."""
        n, _, samples = waveforms.shape
        edges = torch.cat([source[None], target[None], coordinates[source].t(), coordinates[target].t()])
        grid = torch.linspace(0, 1, samples, device=waveforms.device).expand(n, 1, samples)
        x = torch.cat([waveforms, coordinates[:, :, None].expand(-1, -1, samples), grid], 1)
        x = F.pad(x, (50, 50), mode="reflect")
        x = self.fc0(x.permute(0, 2, 1)).permute(0, 2, 1)
        x0 = self.fno0(x)
        x1 = self.fno1(self.gno0(x0, edges))
        x2 = self.fno2(self.gno1(x1, edges))
        x = self.fno4(torch.cat([x2, self.gno3(x2, edges)], 1))
        x = self.fno5(torch.cat([x1, self.gno4(x, edges)], 1))
        x = self.fno6(torch.cat([x0, self.gno5(x, edges)], 1))
        x = self.fno7(x)[..., 50:-50].permute(0, 2, 1)
        return self.fc2(F.gelu(self.fc1(x))).permute(0, 2, 1)
