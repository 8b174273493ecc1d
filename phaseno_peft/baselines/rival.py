"""What every other picker has in common: the windows it gets and the probabilities it gives back.

All of them get the windows as the backbone gets them: 100 Hz (network time), high-passed, each trace normalised. A
station with one living component carries it in all three slots; here it is taken for what it is, a vertical alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.contract import NETWORK_RATE_HZ

if TYPE_CHECKING:
    from phaseno_peft.campaign.windows import InputWindow

Probabilities = list[NDArray[np.float32]]
E, N, Z = range(3)


class Rival(Protocol):
    """A picker that gives the scoring what the backbone gives it."""

    @property
    def name(self) -> str:
        """Its row in a table."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Phase -> probability of a pick, where no validation windows say better."""

    def probabilities(self, windows: Sequence[InputWindow]) -> Probabilities:
        """[window][station, 2 (P, S), sample] between 0 and 1."""


class StationByStation:
    """A picker that hears every station by itself."""

    def probabilities(self, windows: Sequence[InputWindow]) -> Probabilities:
        """See `Rival`."""
        return [np.stack([self._station(x) for x in window.waveforms]) for window in windows]

    def _station(self, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
        """Curves [2 (P, S), sample] of one station's waveforms [3, sample]."""
        raise NotImplementedError


def living_components(waveforms: NDArray[np.floating]) -> list[int]:
    """Slots (0 E, 1 N, 2 Z) that really live; one trace in all three slots is a vertical."""
    living = [c for c in range(3) if waveforms[c].any()]
    if len(living) == 3 and all(np.array_equal(waveforms[c], waveforms[Z]) for c in (E, N)):
        return [Z]
    return living


def longer(n_samples: int, before: int, after: int) -> NDArray[np.intp]:
    """[sample] which of a window's samples stand where it is so many longer at both ends.

    There the first and the last second are gone through to and fro, for pickers whose windows are longer than ours.
    With zeros the window's begin becomes an arrival: EQTransformer then finds hardly a P.
    """
    second = min(round(NETWORK_RATE_HZ), n_samples)
    there_and_back = np.concatenate([np.arange(second), np.arange(second)[::-1]]).astype(np.intp)
    lead = np.resize(there_and_back, before)[::-1]
    tail = n_samples - 1 - np.resize(there_and_back, after)
    return np.concatenate([lead, np.arange(n_samples, dtype=np.intp), tail])
