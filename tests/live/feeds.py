"""Noise of three stations as packets, and a network of random weights that picks some of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from obspy import Stream, Trace, UTCDateTime

from phaseno_peft.campaign import Station, StationTable
from phaseno_peft.live import LiveNetwork, LivePasses
from phaseno_peft.live.reports import Report
from phaseno_peft.picking import Picker

T0 = UTCDateTime(2024, 5, 1)
PACKET_S = 4.0
THRESHOLD = 0.545
"""Of the random network's P curve, which lies around 0.52: some picks a minute."""


def table(codes: str = "ABC") -> StationTable:
    return StationTable([Station(f"XX.{c}.", 47.0 + 0.05 * k, 8.0, 0.0) for k, c in enumerate(codes)], source="table")


def noise(seconds: float = 100.0, codes: str = "ABC", start: UTCDateTime = T0, seed: int = 1) -> Stream:
    rng = np.random.default_rng(seed)
    header = {"network": "XX", "sampling_rate": 100.0, "starttime": start}
    names = [(code, channel) for code in codes for channel in ("HHE", "HHN", "HHZ")]
    samples = rng.normal(0, 1000, (len(names), round(100 * seconds))).astype(np.int32)
    return Stream([Trace(x, {**header, "station": s, "channel": c}) for x, (s, c) in zip(samples, names, strict=True)])


def packets(stream: Stream) -> list[Trace]:
    """Packets of `PACKET_S`, in the order of their ends."""
    n = round(100 * PACKET_S)
    cut = []
    for trace in stream:
        s = trace.stats
        header = {"network": s.network, "station": s.station, "channel": s.channel, "sampling_rate": 100.0}
        for at in range(0, len(trace.data), n):
            cut.append(Trace(trace.data[at : at + n], {**header, "starttime": s.starttime + at / 100.0}))
    return sorted(cut, key=lambda t: (t.stats.endtime, t.id))


class Kept:
    """An output that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, reports: Sequence[Report]) -> None:
        self.rows += [report.row() for report in reports]

    def close(self) -> None:
        pass


class Network:
    """A live network on a clock that stands at the end of the packet that came last."""

    def __init__(self, picker: Picker, stations: StationTable, **options: Any) -> None:
        self.now_s = 0.0
        self.kept = Kept()
        self.told: list[str] = []
        options = {"every_s": 5.0, "p_threshold": THRESHOLD, "s_threshold": 0.9, **options}
        passes = LivePasses(picker, stations, say=self.told.append, **options)
        self.live = LiveNetwork(
            passes, stations, [self.kept], warn=self.told.append, say=self.told.append, clock=lambda: self.now_s
        )
        self.reports: list[Report] = []

    def feed(self, listed: list[Trace], *, advance: Callable[[Trace], bool] = lambda _: True) -> None:
        for trace in listed:
            self.now_s = max(self.now_s, trace.stats.endtime - T0)
            self.live.add(trace, self.now_s)
            self.live.buffers.look_round(self.now_s)
            if advance(trace):
                self.reports += self.live.advance()

    def written(self) -> list[dict[str, Any]]:
        return self.kept.rows

    def final(self) -> list[tuple[str, str, float]]:
        return sorted(
            (r.pick.trace_id, r.pick.phase, round(r.pick.time - T0, 2)) for r in self.reports if r.status == "final"
        )
