"""A stretch of record of the network on one grid: what windows are cut from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.station import Station
from phaseno_peft.errors import CampaignError


@dataclass(frozen=True)
class Recording:
    """A stretch of record of the network, ready to be cut into windows."""

    name: str
    start: UTCDateTime
    """Time of sample 0."""
    rate_hz: float
    """Real rate of the samples, `Preprocessing.rate_hz`."""
    stations: tuple[Station, ...]
    samples: np.ndarray
    """[station, component (E, N, Z), sample] float32, high-passed; 0 where not recorded."""
    recorded: np.ndarray
    """[station, component, sample] bool; False in gaps, on dead channels and outside a trace."""
    components: tuple[str, ...]
    """The components each station really has, for example "ENZ" or "Z"."""
    findings: tuple[Finding, ...] = ()
    first_sample: int = 0
    """Position of sample 0 in the recording this one was sliced from."""

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return int(self.samples.shape[-1])

    @property
    def duration_s(self) -> float:
        """Real length, n_samples / rate_hz."""
        return self.n_samples / self.rate_hz

    @property
    def end(self) -> UTCDateTime:
        """Time one sample after the last."""
        return self.start + self.duration_s

    @property
    def station_ids(self) -> tuple[str, ...]:
        """Ids in the order of the first axis."""
        return tuple(s.station_id for s in self.stations)

    def index_of(self, time: UTCDateTime) -> float:
        """Fractional sample of a time; negative before the start."""
        return float((time.ns - self.start.ns) * 1e-9 * self.rate_hz)

    def slice(self, first: int, last: int) -> Recording:
        """Samples [first, last) as a recording that shares this one's arrays."""
        if not 0 <= first < last <= self.n_samples:
            raise CampaignError(f"{self.name}: slice {first}:{last} is not inside its {self.n_samples} samples.")
        return replace(
            self,
            start=self.start + first / self.rate_hz,
            samples=self.samples[..., first:last],
            recorded=self.recorded[..., first:last],
            first_sample=self.first_sample + first,
        )
