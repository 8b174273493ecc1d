"""Writes `embedded.safetensors`: logits of the plain float64 reference with the embedded backbone on seeded input.

Every twentieth sample, float32, 4 stations, one of which hears nobody but itself and one that another does not hear.
Run once, and again only when the embedded backbone changes:  python -m tests.backbone.golden.make
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from phaseno_peft.backbone import EMBEDDED, StationGraph, load_backbone
from tests.backbone.reference import phaseno

EDGES = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (1, 2), (2, 2), (3, 3)]
"""(source, target); 2 does not hear 0, 3 is isolated."""


def subsampled_case() -> tuple[Tensor, StationGraph]:
    """[4, 3, 3000] noise with two decaying arrivals a station, normalised as upstream does, and the graph."""
    rng = np.random.default_rng(11)
    time_s = np.arange(3000) / 100
    waveforms = 0.2 * rng.standard_normal((4, 3, 3000))
    for station in range(4):
        for onset_s, frequency_hz in ((8 + station, 9.0), (8 + 1.7 * (station + 2), 5.0)):
            since_s = np.clip(time_s - onset_s, 0, None)
            waveforms[station] += (
                rng.normal(size=(3, 1)) * 4 * np.exp(-since_s / 1.5) * np.sin(2 * np.pi * frequency_hz * since_s)
            )
    waveforms = (waveforms - waveforms.mean(-1, keepdims=True)) / waveforms.std(-1, keepdims=True) / 10
    source, target = torch.tensor(EDGES).T
    coordinates = torch.tensor([[0.5, 0.5], [0.55, 0.47], [0.46, 0.58], [0.9, 0.2]])
    return torch.from_numpy(waveforms).half().float(), StationGraph(coordinates, source, target)


def main() -> None:
    waveforms, graph = subsampled_case()
    model = load_backbone(EMBEDDED)
    reach_samples = 0 if model.stem is None else model.stem.config.reach_samples
    logits, _ = phaseno(model.state_dict(), waveforms, graph.coordinates, EDGES, reach_samples=reach_samples)
    save_file({"logits": logits[..., ::20].float().contiguous()}, Path(__file__).parent / "embedded.safetensors")


if __name__ == "__main__":
    main()
