"""The newest minutes of every station, from packets that come late, twice, out of order, with gaps or a wrong clock."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from obspy import Stream, Trace, UTCDateTime

from phaseno_peft.campaign import StationTable
from phaseno_peft.campaign.plan import few, seed_id_of

OUT_OF_STEP_S = 60.0
"""A packet so far from the network's time has a wrong clock, or is too late to be of use."""
SILENT_S = 30.0
"""A station without a packet for so long (wall clock) is silent: nobody waits for it."""


@dataclass(order=True, slots=True)
class _Packet:
    """Samples of one channel."""

    start_ns: int
    end_ns: int
    """One sample after the last."""
    rate_hz: float = field(compare=False)
    samples: np.ndarray = field(compare=False)
    received_s: float = field(compare=False)
    """Wall clock, monotonic."""


@dataclass(slots=True)
class StationState:
    """What is known of one station's feed."""

    newest_ns: int
    """End of its newest sample that was taken."""
    last_ns: int
    """End of its last packet, also of one that was refused."""
    heard_s: float
    """When that came."""
    is_in_step: bool = True
    is_silent: bool = False


class Buffers:
    """Packets of the newest `length_s` of a network. Times in ns since 1970; the wall clock is monotonic seconds.

    What is wrong with the feed is told through `warn`, once each time it begins and ends.
    """

    def __init__(
        self,
        stations: StationTable,
        length_s: float,
        warn: Callable[[str], None],
        say: Callable[[str], None],
        slowest_hz: float = 0.0,
    ) -> None:
        self._table, self._length_ns = stations, round(length_s * 1e9)
        self._warn, self._say, self._slowest_hz = warn, say, slowest_hz
        self._waits_since_s: float | None = None
        """When it began to look round."""
        self._is_told_missing = False
        self._channels: dict[str, list[_Packet]] = {}
        self._unlisted: set[str] = set()
        self.stations: dict[str, StationState] = {}
        self.time_ns: int | None = None
        """The network's time: the lower median of the ends of its stations' last packets."""
        self.n_packets = self.n_late = self.n_repeated = self.n_refused = 0
        self.n_restarts = 0
        """How often the whole network's time jumped, so that everything began anew."""

    def add(self, trace: Trace, received_s: float) -> None:
        """Take a packet."""
        seed_id = seed_id_of(trace.stats)
        station = self._table.find(seed_id.rsplit(".", 1)[0], trace.stats.starttime)
        if station is None:
            if seed_id not in self._unlisted:
                self._unlisted.add(seed_id)
                self._warn(f"{seed_id} is left out: {self._table.why_not(seed_id.rsplit('.', 1)[0])}.")
            return
        rate_hz = float(trace.stats.sampling_rate)
        if not len(trace.data) or not rate_hz > 0 or not rate_hz >= self._slowest_hz:
            return  # a channel of the recorder's health is no sign of life
        self.n_packets += 1
        start_ns = int(trace.stats.starttime.ns)
        end_ns = start_ns + round(len(trace.data) * 1e9 / rate_hz)
        name = station.station_id
        if name not in self.stations:
            if self.stations:
                self._say(f"{name.rstrip('.')} joins.")
            self.stations[name] = StationState(0, end_ns, received_s)
        state = self.stations[name]
        if state.is_silent:
            self._say(f"{name.rstrip('.')} is back after {received_s - state.heard_s:.0f} s.")
        state.last_ns, state.heard_s, state.is_silent = end_ns, received_s, False
        self._tell_time(received_s)
        if not self._is_in_step(name, state, end_ns):
            self.n_refused += 1
            return
        packets = self._channels.setdefault(seed_id, [])
        packet = _Packet(start_ns, end_ns, rate_hz, np.asarray(trace.data), received_s)
        at = bisect.bisect_left(packets, packet)
        if any((p.start_ns, p.end_ns) == (start_ns, end_ns) for p in packets[at : at + 1]):
            self.n_repeated += 1
            return
        self.n_late += at < len(packets)
        packets.insert(at, packet)
        state.newest_ns = max(state.newest_ns, end_ns)
        oldest_ns = (self.time_ns or end_ns) - self._length_ns
        while packets and packets[0].end_ns < oldest_ns:
            packets.pop(0)

    def look_round(self, now_s: float) -> None:
        """Say which stations have fallen silent, and once which never sent."""
        if self._waits_since_s is None:
            self._waits_since_s = now_s
        elif not self._is_told_missing and now_s - self._waits_since_s > SILENT_S:
            self._is_told_missing = True
            if missing := [i.rstrip(".") for i in self._table.station_ids if i not in self.stations]:
                self._warn(
                    f"no packet came in {SILENT_S:.0f} s of {few(missing)} ({len(missing)} of {len(self._table)} "
                    "stations): does the server have them, and the selector their channels?"
                )
        for name, state in self.stations.items():
            if not state.is_silent and now_s - state.heard_s > SILENT_S:
                state.is_silent = True
                self._warn(f"{name.rstrip('.')} is silent for {SILENT_S:.0f} s; the others go on without it.")

    def in_step(self) -> list[StationState]:
        """States of the stations that send and whose clock agrees with the others."""
        return [s for s in self.stations.values() if s.is_in_step and not s.is_silent and s.newest_ns > 0]

    def begin_ns(self) -> int | None:
        """Time of the oldest sample; None without any."""
        return min((packets[0].start_ns for packets in self._channels.values() if packets), default=None)

    def stream(self, begin_ns: int, end_ns: int) -> Stream:
        """Traces of all packets that touch a span; those that follow each other are one trace."""
        traces = []
        for seed_id, packets in self._channels.items():
            row: list[_Packet] = []
            for packet in packets:
                if packet.end_ns <= begin_ns or packet.start_ns >= end_ns:
                    continue
                if row and not _follows(row[-1], packet):
                    traces.append(_trace(seed_id, row))
                    row = []
                row.append(packet)
            if row:
                traces.append(_trace(seed_id, row))
        return Stream(traces)

    def n_samples(self, begin_ns: int, end_ns: int) -> dict[str, int]:
        """Station -> samples of all its channels in a span: what a window was made of."""
        found: dict[str, int] = {}
        for seed_id, packets in self._channels.items():
            station = self._table.find(seed_id.rsplit(".", 1)[0])
            if station is not None:
                shared = sum(
                    round(max(0, min(p.end_ns, end_ns) - max(p.start_ns, begin_ns)) * 1e-9 * p.rate_hz) for p in packets
                )
                found[station.station_id] = found.get(station.station_id, 0) + shared
        return found

    def received_s(self, station_id: str, time_ns: int) -> float | None:
        """When the last of a station's samples of a time came; None where it has none."""
        came = [
            packet.received_s
            for seed_id, packets in self._channels.items()
            for packet in packets
            if packet.start_ns <= time_ns < packet.end_ns and self._is_of(seed_id, station_id)
        ]
        return max(came, default=None)

    def _is_of(self, seed_id: str, station_id: str) -> bool:
        station = self._table.find(seed_id.rsplit(".", 1)[0])
        return station is not None and station.station_id == station_id

    def _tell_time(self, now_s: float) -> None:
        """Set the network's time; where all of it jumped, forget everything."""
        ends = sorted(s.last_ns for s in self.stations.values() if now_s - s.heard_s <= SILENT_S)
        time_ns, upper_ns = ends[(len(ends) - 1) // 2], ends[len(ends) // 2]
        if self.time_ns is not None and abs(time_ns - self.time_ns) > OUT_OF_STEP_S * 1e9 >= abs(
            upper_ns - self.time_ns
        ):
            time_ns = upper_ns  # half of the stations go on: theirs is the time
        if self.time_ns is not None and abs(time_ns - self.time_ns) > OUT_OF_STEP_S * 1e9:
            jump = f"from {UTCDateTime(ns=self.time_ns)} to {UTCDateTime(ns=time_ns)}"
            self._warn(f"the time of the network jumped {jump}: picking begins anew there.")
            self._channels.clear()
            for state in self.stations.values():
                state.newest_ns = 0
            self.n_restarts += 1
        self.time_ns = time_ns

    def _is_in_step(self, name: str, state: StationState, end_ns: int) -> bool:
        off_s = (end_ns - (self.time_ns or end_ns)) * 1e-9
        is_in_step = abs(off_s) <= OUT_OF_STEP_S
        if state.is_in_step and not is_in_step:
            side = "before" if off_s > 0 else "behind"
            self._warn(
                f"{name.rstrip('.')} is {abs(off_s):.0f} s {side} the other stations: a clock step, or packets so "
                "late. They are left out until it agrees again."
            )
        elif is_in_step and not state.is_in_step:
            self._say(f"{name.rstrip('.')} agrees with the other stations' time again.")
        state.is_in_step = is_in_step
        return is_in_step


def _follows(one: _Packet, other: _Packet) -> bool:
    return one.rate_hz == other.rate_hz and abs(other.start_ns - one.end_ns) * 1e-9 * one.rate_hz <= 0.5


def _trace(seed_id: str, packets: list[_Packet]) -> Trace:
    network, station, location, channel = seed_id.split(".")
    return Trace(
        np.concatenate([p.samples for p in packets]),
        {
            "network": network,
            "station": station,
            "location": location,
            "channel": channel,
            "sampling_rate": packets[0].rate_hz,
            "starttime": UTCDateTime(ns=packets[0].start_ns),
        },
    )
