"""PhaseNO in the plainest form: edge by edge, FFT by FFT, float64, straight from the published algebra.

Nothing of the package is used: weights come as a dictionary under upstream's names, those of a stem under ours. It is
the yardstick of every test that the stored vectors of upstream's own code do not cover, and slow on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCKS = ("fno0", "gno0", "fno1", "gno1", "fno2", "gno3", "fno4", "gno4", "fno5", "gno5", "fno6", "fno7")


def phaseno(
    weights: Mapping[str, Tensor],
    waveforms: Tensor,
    coordinates: Tensor,
    edges: Sequence[tuple[int, int]],
    *,
    padding_samples: int = 50,
    lengths: tuple[int, int, int] = (3100, 750, 200),
    gates: Mapping[str, Tensor] | None = None,
    reach_samples: int = 0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits [station, 2, time] and the output [station, channel, time] of every block, all float64.

    edges: (source, target). gates: block -> [station, channel] factors on its pointwise branch. reach_samples: of the
    stem, where the weights hold one (its strides are 4).
    """
    w = {name: t.to(torch.complex128 if t.is_complex() else torch.float64) for name, t in weights.items()}
    waveforms, coordinates = waveforms.double(), coordinates.double()
    n, _, samples = waveforms.shape
    seen: dict[str, Tensor] = {}

    def fno(name: str, x: Tensor, samples_out: int) -> Tensor:
        kernel = w[f"{name}.conv.weights1"]
        spectrum = torch.fft.rfft(x, norm="forward")
        kept = torch.zeros(n, kernel.shape[1], samples_out // 2 + 1, dtype=torch.complex128)
        modes = kernel.shape[2]
        kept[..., :modes] = torch.einsum("nik,iok->nok", spectrum[..., :modes], kernel)
        spectral = torch.fft.irfft(kept, n=samples_out, norm="forward")
        local = F.conv1d(x, w[f"{name}.w.conv.weight"], w[f"{name}.w.conv.bias"])
        if gates and name in gates:
            local = local * gates[name].double()[..., None]
        if samples_out != x.shape[-1]:
            local = F.interpolate(local, size=samples_out, mode="linear", align_corners=True)
        y = spectral + local
        y = F.instance_norm(
            y, weight=w[f"{name}.normalize_layer.weight"], bias=w[f"{name}.normalize_layer.bias"], eps=1e-5
        )
        seen[name] = y if name == "fno7" else F.gelu(y)
        return seen[name]

    def layer(name: str, x: Tensor) -> Tensor:
        """[channel, time] -> [channel, time]."""
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"][:, None]

    def gno(name: str, x: Tensor) -> Tensor:
        result = []
        for target in range(n):
            incoming = [source for source, to in edges if to == target]
            message = torch.zeros_like(x[0])
            for source in incoming:
                places = coordinates[:, :, None].expand(-1, -1, x.shape[-1])
                # Upstream crosses them: the target's features stand beside the source's coordinates.
                edge = torch.cat([x[target], places[source], x[source], places[target]])
                message = message + layer(f"{name}.edge.fc2", F.gelu(layer(f"{name}.edge.fc1", edge))) / len(incoming)
            hidden = F.gelu(layer(f"{name}.aggre.fc1", torch.cat([message, x[target]])))
            result.append(layer(f"{name}.aggre.fc2", hidden))
        seen[name] = torch.stack(result)
        return seen[name]

    grid = torch.linspace(0, 1, samples, dtype=torch.float32).double().expand(n, 1, -1)  # upstream's grid is float32
    heard = stem(w, waveforms) if "skip" in w else None
    inner = coordinates[:, :, None].expand(-1, -1, samples) if heard is None else torch.sigmoid(heard)
    x = torch.cat([waveforms, inner, grid], 1)
    x = F.pad(x, (padding_samples, padding_samples), mode="reflect")
    x = torch.einsum("oi,nit->not", w["fc0.weight"], x) + w["fc0.bias"][:, None]
    fine, middle, coarse = lengths
    x0 = fno("fno0", x, fine)
    x1 = fno("fno1", gno("gno0", x0), middle)
    x2 = fno("fno2", gno("gno1", x1), coarse)
    x = fno("fno4", torch.cat([x2, gno("gno3", x2)], 1), middle)
    x = fno("fno5", torch.cat([x1, gno("gno4", x)], 1), fine)
    x = fno("fno6", torch.cat([x0, gno("gno5", x)], 1), fine)
    x = fno("fno7", x, fine)[..., padding_samples : fine - padding_samples]
    logits = torch.stack([layer("fc2", F.gelu(layer("fc1", station))) for station in x])
    if heard is not None and reach_samples:
        logits = focused(logits, heard, w["skip"], w["focus"], reach_samples)
    elif heard is not None:
        logits = logits + w["skip"][:, None] * heard
    return logits, seen


def stem(w: Mapping[str, Tensor], waveforms: Tensor, stride: int = 4) -> Tensor:
    """A U-Net on each station -> log odds [station, 2 (P, S), time] of P and S against the other two classes."""
    centred = waveforms - waveforms.mean(-1, keepdim=True)
    x = centred / centred.std(-1, unbiased=False, keepdim=True)  # three living, different components, as the tests give

    def norm_relu(name: str, y: Tensor) -> Tensor:
        shape = (1, -1, 1)
        y = (y - w[f"{name}.mean"].view(shape)) / torch.sqrt(w[f"{name}.variance"].view(shape) + 1e-3)
        return torch.relu(y * w[f"{name}.scale"].view(shape) + w[f"{name}.bias"].view(shape))

    def layer(name: str, x: Tensor, step: int = 1) -> Tensor:
        kernel = w[f"{name}.weight"].shape[-1]
        out = -(-x.shape[-1] // step)
        zeros = max((out - 1) * step + kernel - x.shape[-1], 0)  # tf.nn.convolution, padding="SAME"
        pieces = F.pad(x, (zeros // 2, zeros - zeros // 2)).unfold(-1, kernel, step)
        return norm_relu(name, torch.einsum("nitk,oik->not", pieces, w[f"{name}.weight"]))

    def rising(name: str, x: Tensor) -> Tensor:
        weight = w[f"{name}.weight"]
        y = torch.zeros(len(x), weight.shape[1], stride * (x.shape[-1] - 1) + weight.shape[-1], dtype=torch.float64)
        for t in range(x.shape[-1]):
            y[..., stride * t : stride * t + weight.shape[-1]] += torch.einsum("ni,iok->nok", x[..., t], weight)
        first = (weight.shape[-1] - stride) // 2
        return norm_relu(name, y[..., first : first + stride * x.shape[-1]])

    levels = 1 + len({name.split(".")[2] for name in w if name.startswith("stem.descents.")})
    x, kept = layer("stem.first", x), []
    for level in range(levels - 1):
        kept.append(layer(f"stem.descents.{level}.same", x))
        x = layer(f"stem.descents.{level}.down", kept[-1], stride)
    x = layer("stem.deepest", x)
    for level, fine in enumerate(reversed(kept)):
        x = rising(f"stem.ascents.{level}.up", x)
        surplus = (x.shape[-1] - fine.shape[-1]) // 2
        x = layer(f"stem.ascents.{level}.same", torch.cat([fine, x[..., surplus : surplus + fine.shape[-1]]], 1))
    classes = torch.einsum("oi,nit->not", w["stem.out.weight"][..., 0], x) + w["stem.out.bias"][:, None]
    chances = torch.softmax(classes, 1)[:, 1:].clamp(3e-4, 1 - 3e-4)
    return torch.log(chances / (1 - chances))


def focused(logits: Tensor, heard: Tensor, skip: Tensor, focus: Tensor, reach_samples: int) -> Tensor:
    """The sum of both, its heights kept and its times drawn to the stem's, sample by sample."""
    skip, both = skip[:, None], logits + skip[:, None] * heard
    out = both.clone()
    for t in range(logits.shape[-1]):
        near = slice(max(0, t - reach_samples), t + reach_samples + 1)
        highest, most_heard = both[..., near].amax(-1), heard[..., near].amax(-1)
        dissent = torch.relu(logits[..., near].amax(-1) + skip[:, 0] * most_heard - highest)
        weight = focus * torch.sigmoid(most_heard) * torch.exp(-dissent / 0.25)
        out[..., t] += weight * (highest - both[..., t] + heard[..., t] - most_heard)
    return out
