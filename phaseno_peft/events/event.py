"""One event: the picks that belong together, where and when it was, and how well its picks fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from obspy import UTCDateTime

from phaseno_peft.picks import Pick


@dataclass(frozen=True)
class AssociatedEvent:
    """One event: its picks in time order, and those near it that are ambiguous."""

    picks: tuple[Pick, ...]
    ambiguous: tuple[Pick, ...]
    origin_time: UTCDateTime
    latitude_deg: float
    longitude_deg: float
    depth_m: float | None = None
    """Below sea level."""
    is_located: bool = False
    """False: the place is that of the station with the first pick, and the origin time is rough."""
    residuals_s: tuple[float, ...] = ()
    """[pick] observed minus predicted arrival; empty where nothing predicts it."""

    @property
    def station_ids(self) -> tuple[str, ...]:
        """Stations with a pick, sorted."""
        return tuple(sorted({pick.trace_id for pick in self.picks}))

    @property
    def rms_s(self) -> float:
        """Root mean square of the residuals, NaN without any."""
        if not self.residuals_s:
            return math.nan
        return math.sqrt(sum(r * r for r in self.residuals_s) / len(self.residuals_s))

    def count(self, phase: str) -> int:
        """Picks of a phase."""
        return sum(pick.phase == phase for pick in self.picks)
