"""Hand-made windows and probabilities for the tests of evaluation."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign.windows import Window, WindowLabel
from phaseno_peft.contract import PHASES

SAMPLES = 1000
Arrivals = Mapping[tuple[int, str], Sequence[float]]
"""(station, phase) -> samples"""
_NUMBERS = itertools.count()


def window(
    labels: Arrivals | None = None,
    *,
    stations: int = 2,
    is_noise: bool = False,
    known: np.ndarray | bool = True,
    rate_hz: float = 100.0,
    name: str = "w",
    event_id: str | None = None,
) -> Window:
    """A window of silence with these labels, all of one event, which no other window has unless it is named."""
    event = event_id if event_id is not None else f"event {next(_NUMBERS)}"
    return Window(
        name=name,
        start=UTCDateTime(0),
        rate_hz=rate_hz,
        station_ids=tuple(f"XX.S{i}." for i in range(stations)),
        waveforms=np.zeros((stations, 3, SAMPLES), np.float32),
        coordinates=np.zeros((stations, 2), np.float32),
        labels=tuple(
            WindowLabel(station, PHASES.index(phase), float(sample), event, f"{station}{phase}{sample}")
            for (station, phase), samples in (labels or {}).items()
            for sample in samples
        ),
        targets=np.zeros((stations, 2, SAMPLES), np.float32),
        known=np.broadcast_to(known, (stations, 2, SAMPLES)).copy(),
        is_noise=is_noise,
    )


def probability(
    picks: Arrivals | None = None, *, stations: int = 2, height: float = 0.8, half_base: float = 20.0
) -> np.ndarray:
    """Probabilities [station, 2, sample] with a triangle on every pick; its base is 2 * half_base samples."""
    curves = np.zeros((stations, 2, SAMPLES), np.float32)
    for (station, phase), samples in (picks or {}).items():
        for sample in samples:
            triangle = height * np.maximum(0.0, 1.0 - np.abs(np.arange(SAMPLES) - sample) / half_base)
            channel = curves[station, PHASES.index(phase)]
            np.maximum(channel, triangle, out=channel)
    return curves
