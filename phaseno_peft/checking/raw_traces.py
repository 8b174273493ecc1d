"""What the raw traces of a delivery say of themselves, gathered file by file, so that none has to be kept for it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from phaseno_peft.campaign.noise_times import joined_times
from phaseno_peft.campaign.stretch import Times

if TYPE_CHECKING:
    from obspy import Stream, Trace

LEVEL_SAMPLES = 2000
"""About so many of a trace tell its level."""
FEWEST_SAMPLES = 200
"""Shorter pieces of record can be alike by chance."""


@dataclass(frozen=True, slots=True)
class Twins:
    """Two traces with the same samples."""

    files: tuple[str, str]
    seed_ids: tuple[str, str]
    is_same_time: bool
    start: str
    """Of the second."""


@dataclass
class RawTraces:
    """Rates, files and twins of all traces that were given to `add`."""

    rates: dict[str, Counter[float]] = field(default_factory=dict)
    """Samples of each rate by NET.STA.LOC.CHA."""
    files: dict[tuple[str, float], str] = field(default_factory=dict)
    """(NET.STA.LOC.CH, rate) -> the first file that has it."""
    twins: list[Twins] = field(default_factory=list)
    levels: dict[str, tuple[tuple[float, str], tuple[float, str]]] = field(default_factory=dict)
    """NET.STA.LOC.CHA -> (level, file) of its quietest and of its loudest trace."""
    _spans: list[tuple[int, int]] = field(default_factory=list)
    _first: dict[bytes, tuple[str, str, int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rates)

    @property
    def recorded_ns(self) -> Times:
        """(begin, end) of what was recorded at any station, in order and apart."""
        return joined_times(self._spans)

    def add(self, name: str, stream: Stream) -> None:
        """Look at the traces of one file."""
        for trace in stream:
            self._spans.append((trace.stats.starttime.ns, trace.stats.endtime.ns + round(1e9 * trace.stats.delta)))
            rate = float(trace.stats.sampling_rate)
            self.rates.setdefault(trace.id, Counter())[rate] += len(trace)
            self.files.setdefault((trace.id[:-1], rate), name)
            self.twins += self._twin(name, trace)
            if (level := _level(trace)) > 0.0:
                lowest, highest = self.levels.get(trace.id, ((level, name), (level, name)))
                self.levels[trace.id] = min(lowest, (level, name)), max(highest, (level, name))

    def _twin(self, name: str, trace: Trace) -> Iterator[Twins]:
        samples = np.ma.filled(trace.data, 0)
        if len(samples) < FEWEST_SAMPLES or np.ptp(samples) == 0:
            return
        digest = hashlib.blake2b(np.ascontiguousarray(samples).data, digest_size=16).digest()
        file, seed_id, start_ns = self._first.setdefault(digest, (name, trace.id, trace.stats.starttime.ns))
        is_same_time = abs(start_ns - trace.stats.starttime.ns) < 1e9 / trace.stats.sampling_rate
        if not (is_same_time and seed_id == trace.id):  # the same record in two files does no harm
            yield Twins((file, name), (seed_id, trace.id), is_same_time, str(trace.stats.starttime))


def _level(trace: Trace) -> float:
    """Median distance of some samples from their median, which short events hardly move; 0 where there are too few."""
    some = np.ma.compressed(trace.data)[:: max(1, len(trace) // LEVEL_SAMPLES)]
    if len(trace) < FEWEST_SAMPLES or some.dtype.kind not in "iuf" or not np.isfinite(some).all():
        return 0.0
    return float(np.median(np.abs(some - np.median(some))))
