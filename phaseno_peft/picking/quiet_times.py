"""Stretches of a campaign in which the frozen network sees nothing: noise that a poor catalogue cannot vouch for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from phaseno_peft.campaign import Campaign, Stretch, noise_intervals
from phaseno_peft.campaign.stretch import Times
from phaseno_peft.campaign.windows import SHORTEST_NOISE, InputWindow, free_intervals, input_window
from phaseno_peft.contract import PHASES
from phaseno_peft.picking.inference import window_probabilities

QUIET_PART = 0.5
"""Of the pick threshold: below it, at every station, nothing is seen."""
AROUND_S = 5.0
"""Nor is what lies so near to something seen (network's time) quiet."""


def quiet_times(model: torch.nn.Module, campaign: Campaign, thresholds: Mapping[str, float]) -> Times:
    """The pieces between the catalogue's events where no station's probability of P or S comes to half its threshold.

    Pieces shorter than half a window are left out: no noise window fits there.
    """
    limits = np.array([QUIET_PART * thresholds[phase] for phase in PHASES])[:, None]
    found: list[tuple[int, int]] = []
    for stretch in campaign.stretches():
        for first, last in noise_intervals(stretch, campaign.preprocessing):
            found += _quiet_pieces(model, campaign, stretch, first, last, limits)
    return tuple(sorted(found))


def _quiet_pieces(
    model: torch.nn.Module, campaign: Campaign, stretch: Stretch, first: int, last: int, limits: np.ndarray
) -> list[tuple[int, int]]:
    recording, n = stretch.recording, campaign.preprocessing.window_samples
    starts = range(first, max(first + 1, last - n // 2), n // 2)
    windows: list[tuple[int, InputWindow]] = []
    for start in starts:
        window = input_window(recording, start, campaign.frame, campaign.preprocessing)
        if window.station_ids:
            windows.append((start, window))
    seen = np.zeros(recording.n_samples, bool)
    probabilities = window_probabilities(model, [w for _, w in windows], campaign.frame.edge_limit_km)
    for (start, _), curve in zip(windows, probabilities, strict=True):
        loud: np.ndarray = np.any(curve >= limits, axis=(0, 1))
        end = min(start + n, recording.n_samples)
        seen[start:end] |= loud[: end - start]
    around = AROUND_S * campaign.preprocessing.network_rate_hz
    busy = [(0.0, float(first)), (float(last), float(recording.n_samples))]
    busy += [(k - around, k + around) for k in np.flatnonzero(seen[first:last]) + first]
    per_sample_ns = 1e9 / recording.rate_hz
    return [
        (recording.start.ns + round(a * per_sample_ns), recording.start.ns + round(b * per_sample_ns))
        for a, b in free_intervals(busy, recording.n_samples, SHORTEST_NOISE * n)
    ]
