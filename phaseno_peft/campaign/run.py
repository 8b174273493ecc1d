"""One stretch of record without a hole, prepared while it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from obspy import UTCDateTime

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.station import Station

OnFindings = Callable[[Sequence[Finding]], None]


@dataclass
class Run:
    """One stretch of record without a hole, prepared while it is read."""

    name: str
    start: UTCDateTime
    """Time of sample 0."""
    rate_hz: float
    n_samples: int
    stations: tuple[Station, ...]
    pieces: Callable[[], Iterator[Recording]]
    """Prepared pieces of any length, in time order, one after the other without a hole."""
    findings: list[Finding] = field(default_factory=list)
    """Grows while the pieces are read."""
    on_findings: OnFindings | None = None
    before_s: float = 0.0
    """Length of the runs of its source that come before it."""
    is_long: bool = False
    """True for one that may be picked in parts: its windows stand at multiples of their distance since 1970, so that
    they are the same from wherever the reading begins."""

    @classmethod
    def of(cls, recording: Recording) -> Run:
        """A run of a record that is already prepared."""
        return cls(
            recording.name,
            recording.start,
            recording.rate_hz,
            recording.n_samples,
            recording.stations,
            lambda: iter([recording]),
            list(recording.findings),
        )

    @property
    def station_ids(self) -> tuple[str, ...]:
        """Ids in the order of the first axis."""
        return tuple(s.station_id for s in self.stations)

    @property
    def duration_s(self) -> float:
        """Real length, n_samples / rate_hz."""
        return self.n_samples / self.rate_hz

    def tell(self, findings: Sequence[Finding]) -> None:
        """Add what is new among the findings."""
        new = [finding for finding in dict.fromkeys(findings) if finding not in self.findings]
        self.findings += new
        if new and self.on_findings is not None:
            self.on_findings(new)
