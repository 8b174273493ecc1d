"""Event-free records: windows without arrivals, and noise for all other windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.campaign import Station, StationTable, prepare, read_waveforms
from phaseno_peft.campaign.raw_window import RawWindow
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES, WINDOW_SAMPLES, Preprocessing
from phaseno_peft.errors import CampaignError

LONGEST_PIECE = 10 * WINDOW_SAMPLES
"""Records are cut into pieces of at most so many samples, so that no long one is all the noise."""


@dataclass(frozen=True)
class NoiseSet:
    """Event-free records of single stations, prepared as everywhere (campaign-v1); no teacher labels them."""

    name: str
    records: tuple[NDArray[np.float32], ...] = field(repr=False)
    """[component (E, N, Z), sample], fully recorded and at least a window long."""

    @classmethod
    def read(cls, folder: str | Path) -> NoiseSet:
        """Read every waveform file of a folder. Raises `CampaignError` where no station has a whole window."""
        folder = Path(folder)
        records: list[NDArray[np.float32]] = []
        for name, stream in read_waveforms(folder).items():
            ids = sorted({f"{t.stats.network}.{t.stats.station}.{t.stats.location}" for t in stream})
            made = prepare(stream, StationTable([Station(i, 0.0, 0.0, 0.0) for i in ids]), Preprocessing(), name)
            for samples, recorded in zip(made.samples, made.recorded, strict=True):
                for first in range(0, made.n_samples - WINDOW_SAMPLES + 1, LONGEST_PIECE):
                    piece = slice(first, first + LONGEST_PIECE)
                    if recorded[:, piece].all() and np.any(samples[:, piece], axis=-1).all():
                        records.append(np.array(samples[:, piece]))
        records = [record for record in records if record.shape[-1] >= WINDOW_SAMPLES]
        if not records:
            raise CampaignError(
                f"{folder}: no station has {WINDOW_SAMPLES / NETWORK_RATE_HZ:g} s of noise without a gap. Give longer "
                "records, or leave the folder out."
            )
        return cls(folder.resolve().name, tuple(records))

    def describe(self) -> dict[str, Any]:
        """What it is, in plain JSON types: for the card, and to notice another set on resuming."""
        minutes = sum(record.shape[-1] for record in self.records) / NETWORK_RATE_HZ / 60
        return {"kind": "noise records", "name": self.name, "pieces": len(self.records), "minutes": round(minutes, 2)}

    def draw(self, rng: np.random.Generator, n_samples: int) -> RawWindow:
        """A random piece, longer ones oftener; repeated forth and back where it is shorter than is asked."""
        weights = np.array([record.shape[-1] for record in self.records], float)
        record = self.records[int(rng.choice(len(weights), p=weights / weights.sum()))]
        while record.shape[-1] < n_samples:
            record = np.concatenate([record, record[:, ::-1]], axis=-1)
        first = int(rng.integers(record.shape[-1] - n_samples + 1))
        samples = record[None, :, first : first + n_samples].copy()
        known = np.ones((1, len(PHASES), n_samples), bool)
        return RawWindow(self.name, samples, np.ones(samples.shape, bool), np.zeros((1, 2)), (), known)
