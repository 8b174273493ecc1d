"""Windows -> network input -> probabilities. The one place where numpy windows become tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import StationGraph
from phaseno_peft.campaign import Window

BATCH_STATIONS = 24
"""Stations of all windows that go through the network together; more costs memory and gains nothing on two cores."""


def network_input(windows: Sequence[Window], edge_limit_km: float) -> tuple[torch.Tensor, StationGraph]:
    """Waveforms [station, 3, sample] of all windows stacked, and their disjoint graph."""
    waveforms = torch.from_numpy(np.concatenate([window.waveforms for window in windows]))
    graph = StationGraph.stack(
        [StationGraph.from_coordinates(torch.from_numpy(window.coordinates), edge_limit_km) for window in windows]
    )
    return waveforms, graph


def batches(windows: Sequence[Window], stations: int = BATCH_STATIONS) -> Iterator[list[Window]]:
    """Consecutive windows of at most `stations` stations together, at least one window each."""
    batch: list[Window] = []
    size = 0
    for window in windows:
        if batch and size + len(window.station_ids) > stations:
            yield batch
            batch, size = [], 0
        batch.append(window)
        size += len(window.station_ids)
    if batch:
        yield batch


def window_probabilities(
    model: torch.nn.Module,
    windows: Sequence[Window],
    edge_limit_km: float,
    progress: Callable[[int, int], None] | None = None,
) -> list[NDArray[np.float32]]:
    """Probabilities [station, 2 (P, S), sample] of every window; `progress(done, all)` is called after each batch."""
    device = next(model.parameters()).device
    found: list[NDArray[np.float32]] = []
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in batches(windows):
                waveforms, graph = network_input(batch, edge_limit_km)
                logits = model(waveforms.to(device), graph.to(device))
                stacked = torch.sigmoid(logits).float().cpu().numpy()
                ends = np.cumsum([len(window.station_ids) for window in batch])
                found.extend(np.split(stacked, ends[:-1]))
                if progress is not None:
                    progress(len(found), len(windows))
    finally:
        model.train(was_training)
    return found
