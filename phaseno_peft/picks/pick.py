"""One pick."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from obspy import UTCDateTime


@dataclass(frozen=True, slots=True)
class Pick:
    """One arrival of one phase at one station. Frozen; times are UTC."""

    trace_id: str
    """NET.STA.LOC as in SeisBench; ends with a dot where the location is empty."""
    phase: str
    """P or S."""
    time: UTCDateTime
    probability: float
    uncertainty_s: float
    """One standard deviation of the time, in real seconds."""
    spread_s: float = field(default=math.nan, compare=False)  # NaN is not equal to itself
    """Standard deviation of the times that the adapters of an ensemble give; NaN where one picked alone."""

    @property
    def peak_time(self) -> UTCDateTime:
        """SeisBench's word for `time`."""
        return self.time

    @property
    def peak_value(self) -> float:
        """SeisBench's word for `probability`."""
        return self.probability


def rounded(time: UTCDateTime, decimals: int) -> UTCDateTime:
    """The time rounded (UTCDateTime itself cuts) to decimals of a second."""
    step = 10 ** (9 - decimals)
    return UTCDateTime(ns=(time.ns + step // 2) // step * step)
