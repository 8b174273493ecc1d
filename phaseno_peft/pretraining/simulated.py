"""Raw windows of simulated networks, with simulated noise or with real noise of event-free records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from phaseno_peft.campaign.raw_window import RawWindow
from phaseno_peft.contract import NETWORK_RATE_HZ
from phaseno_peft.pretraining.distort import NoisePool
from phaseno_peft.simulation import PRESETS, simulate_network_windows

PRESET_PART = 0.15
"""Part of the raw windows that show one of the simulator's presets; the others are random networks."""
NOISE_RECORDS = 3
"""Records of which the stations of one raw window take pieces."""
REAL_NOISE_PART = 0.5
"""Part of the raw windows whose noise is real, where there are records to take it from."""


@dataclass(frozen=True)
class Simulator:
    """The project's own simulator as a source: every draw is another network, ground, noise and moment."""

    name: str = "simulated"

    def describe(self) -> dict[str, Any]:
        """What it is, in plain JSON types."""
        return {"kind": "simulated networks", "name": self.name, "presets": PRESET_PART, "real_noise": REAL_NOISE_PART}

    def draw(self, rng: np.random.Generator, stations: int, n_samples: int, noise: NoisePool = ()) -> RawWindow:
        """A network of so many stations (a preset has at most its own), high-passed as records are."""
        preset = None
        if rng.random() < PRESET_PART:
            fitting = [name for name in sorted(PRESETS) if len(PRESETS[name].station_code) >= stations]
            preset = fitting[int(rng.integers(len(fitting)))] if fitting else None
        own = None
        if (
            len(noise) and rng.random() < REAL_NOISE_PART
        ):  # a few: the simulator looks at every sample of what it is given
            chosen = [noise[int(i)] for i in rng.integers(len(noise), size=NOISE_RECORDS)]
            own = [record for record in chosen if np.all(np.any(record[:, :1000], axis=-1))] or None
        made = simulate_network_windows(
            rng, preset, 1, stations=stations, rate_hz=NETWORK_RATE_HZ, samples=n_samples, own_noise=own
        )
        return made.raw_window(0, self.name)
