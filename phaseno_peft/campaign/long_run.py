"""A run that is too long to be held: the headers decide, and its samples are prepared span by span.

What needs the samples (dead, stuck and filled stretches) is decided in spans that are counted from 1970. The high-pass
and the resampler go on from span to span: nothing depends on how much is read at once, nor, once the high-pass has
settled, on where the reading begins.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign.channels import Channel, conflict_of, good_pieces, inspect_channel, sensors_of
from phaseno_peft.campaign.file_headers import Header, Place, Stored
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.grid import Canvas, SegmentOnGrid
from phaseno_peft.campaign.plan import Plan, make_plan, slowest_hz, state_findings, station_of_each
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.run import Run
from phaseno_peft.campaign.segments import Chain, Segment, join
from phaseno_peft.campaign.sources import Index
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.station_checks import isolated_stations
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.contract import COMPONENTS, Preprocessing
from phaseno_peft.errors import CampaignError

INSPECTED_S = 1800.0
"""Samples of this length (network's time) are held and looked at together: 110 MB of 50 stations at 100 Hz."""
_MARGIN_S = 30.0
"""So much (network's time) on both sides is looked at too, so that a stuck stretch at a boundary is seen whole."""
SETTLING_S = 60.0
"""Network's time in which the high-pass forgets what was before: its slowest part falls by exp(2.4) a second."""


@dataclass(frozen=True, slots=True)
class _Span:
    """What one channel holds in one span."""

    channel: Channel
    """As it was found there."""
    pieces: list[tuple[Chain, int, int, np.ndarray]]
    """(chain, first and last position in it, samples) of what was recorded, half open, in time order."""
    differing_s: float
    """Length of what other files say differently."""


class LongRun:
    """A run that is too long to be held: planned by its headers, prepared span by span."""

    def __init__(
        self,
        name: str,
        group: Sequence[Header],
        index: Index,
        stations: StationTable,
        preprocessing: Preprocessing,
        between_ns: tuple[int, int] | None = None,
        grid_ns: tuple[int, int, int | None] | None = None,
    ) -> None:
        """between_ns: prepare no more than this time and what settles the high-pass before it.

        grid_ns: times of the first and the last sample and of any point of the grid, as in `prepare`.
        """
        self._index, self._preprocessing = index, preprocessing
        k = preprocessing.time_scale
        self._span_ns, self._margin_ns = round(INSPECTED_S / k * 1e9), round(_MARGIN_S / k * 1e9)
        whole_ns = (group[0].start_ns, max(h.end_ns for h in group)) if grid_ns is None else grid_ns[:2]
        first_ns, last_ns = whole_ns
        if between_ns is not None:
            settling_ns = round(SETTLING_S / k * 1e9)
            first_ns = max(first_ns, between_ns[0] - settling_ns)
            last_ns = min(last_ns, between_ns[1] + settling_ns)
        self._between_ns, self._is_to_the_end = between_ns, last_ns == whole_ns[1]
        self._begin_ns = first_ns // self._span_ns * self._span_ns
        self._n_spans = last_ns // self._span_ns - self._begin_ns // self._span_ns + 1
        end_ns = self._begin_ns + self._n_spans * self._span_ns
        group = [header for header in group if header.start_ns < end_ns and header.end_ns >= self._begin_ns]
        if not group:
            raise CampaignError(f"{name}: its stations recorded nothing in the time that is asked for.")
        table = stations.at(UTCDateTime(ns=first_ns), UTCDateTime(ns=last_ns))
        pieces: dict[str, list[Segment]] = {}
        for header in group:
            stored = Stored(header, 0, header.n_samples)
            pieces.setdefault(header.seed_id, []).append(Segment(header.start_ns, header.rate_hz, stored))
        findings: list[Finding] = []
        known = station_of_each(pieces, table, name, findings)
        channels = [(station, _channel(seed_id, pieces[seed_id])) for seed_id, station in known.items()]
        living_s = self._living_s(channels, table)

        def inspect(channel: Channel) -> None:
            channel.living_s = living_s.get(channel.seed_id)
            channel.dead = channel.living_s == 0.0

        plan = make_plan(channels, table, preprocessing, name, findings, inspect)
        self.plan: Plan = plan if grid_ns is None else plan.on_grid(*grid_ns)
        findings += isolated_stations(list(self.plan.stations), table.source, self.plan.hearing_km)

    def run(self) -> Run:
        """The run, whose pieces are read once."""
        plan = self.plan
        first, last = plan.first, plan.last
        if self._between_ns is not None:
            begin, end = (int((t - plan.anchor_ns) * 1e-9 * plan.rate_hz) for t in self._between_ns)
            first, last = max(first, begin), min(last, end)
        n_samples = max(0, last + 1 - first)
        run = Run(plan.name, plan.time_of(first), plan.rate_hz, n_samples, plan.stations, lambda: iter(()))
        run.findings, run.is_long = plan.findings, True
        is_whole = (first, last) == (plan.first, plan.last)
        run.pieces = lambda: self._pieces(run) if is_whole else _between(self._pieces(run), plan, first, last)
        return run

    def _living_s(self, channels: Sequence[tuple[Station, Channel]], table: StationTable) -> dict[str, float]:
        """Recorded seconds of the channels that are fast enough; 0 of those that are dead from end to end.

        A channel is read until it shows life, in most cases one span; where a station has several sensors, which are
        compared by their length, whole.
        """
        slowest = slowest_hz(self._preprocessing)
        quick = [c for _, c in channels if min(s.rate_hz for s in c.segments) >= slowest]
        by_station: dict[Station, list[Channel]] = {}
        for station, channel in channels:
            by_station.setdefault(station, []).append(channel)
        compared: set[str] = set()
        for members in by_station.values():
            here = {c.seed_id for c in members if c in quick}
            if sum(any(c.seed_id in here for c in s.slots.values()) for s in sensors_of(members, table)) > 1:
                compared |= here
        living_s = {channel.seed_id: 0.0 for channel in quick}
        for number in range(self._n_spans):
            wanted = [c for c in quick if c.seed_id in compared or not living_s[c.seed_id]]
            for channel, found in zip(wanted, self._inspected(number, wanted), strict=True):
                living_s[channel.seed_id] += sum((b - a) / chain.rate_hz for chain, a, b, _ in found.pieces)
        return living_s

    def _pieces(self, run: Run) -> Iterator[Recording]:
        plan = self.plan
        used = [(i, COMPONENTS.index(slot), c) for i, slots in enumerate(plan.slots) for slot, c in slots.items()]
        on_grid = [_ChannelOnGrid(plan.anchor_ns, self._preprocessing) for _ in used]
        differing_s = [0.0 for _ in used]
        components = tuple("".join(c for c in COMPONENTS if c in slots) for slots in plan.slots)
        before = int((self._begin_ns - plan.anchor_ns) * 1e-9 * plan.rate_hz) - 1
        position = max(plan.first, before)  # the first grid point that has not been given out
        left = Canvas(len(plan.stations), position, position - 1)
        for number in range(self._n_spans):
            is_last = number == self._n_spans - 1
            end_ns = self._begin_ns + (number + 1) * self._span_ns
            edge = int((end_ns - plan.anchor_ns) * 1e-9 * plan.rate_hz) - 1
            if is_last and self._is_to_the_end:
                edge = plan.last + 1
            canvas = Canvas(len(plan.stations), position, max(edge + 3, position))
            canvas.copy(left)
            told: list[Finding] = []
            spans = deque(self._inspected(number, [channel for _, _, channel in used]))
            for j, ((i, component, _), one) in enumerate(zip(used, on_grid, strict=True)):
                span = spans.popleft()  # its samples are not needed any more once they are on the canvas
                told += state_findings(plan.stations[i], [span.channel])
                differing_s[j] += span.differing_s
                for start, values in one.push(span.pieces, end_ns):
                    canvas.put(i, component, start, values)
            if is_last:
                for (i, _, channel), seconds in zip(used, differing_s, strict=True):
                    if conflict := conflict_of(seconds):
                        shown = f"{plan.stations[i].station_id}: {channel.code or '(no code)'}"
                        told.append(Finding("warning", f"{shown}: {conflict}."))
            run.tell(told)
            certain = edge if is_last else max(position, min([edge, *(one.certain for one in on_grid)]))
            made = [
                Recording(
                    name=plan.name,
                    start=plan.time_of(position),
                    rate_hz=plan.rate_hz,
                    stations=plan.stations,
                    samples=canvas.samples[..., : certain - position],
                    recorded=canvas.recorded[..., : certain - position],
                    components=components,
                    findings=tuple(run.findings),
                    first_sample=position - plan.first,
                )
            ]
            is_empty = certain == position
            left, position = canvas.tail(certain), certain
            del canvas  # while a piece is picked and the next one is made, whoever took it decides how long it lives
            if not is_empty:
                yield made.pop()

    def _inspected(self, number: int, channels: Sequence[Channel]) -> list[_Span]:
        """What each channel holds in a span, judged by what lies on both sides of it too."""
        begin_ns = self._begin_ns + number * self._span_ns
        core = (begin_ns, begin_ns + self._span_ns)
        wide = (core[0] - self._margin_ns, core[1] + self._margin_ns)
        wanted: list[Place] = []
        asked: list[list[tuple[Chain, list[tuple[int, int]], list[tuple[int, int]]]]] = []
        for channel in channels:
            asked.append([])
            for segment in channel.segments:
                if segment.start_ns < wide[1] and segment.end_ns > wide[0]:
                    chain: Chain = segment.samples
                    kept = _ask(chain.kept, _positions(chain, *wide), wanted)
                    asked[-1].append((chain, kept, _ask(chain.covered, _positions(chain, *core), wanted)))
        arrays = self._index.read(wanted)
        found: list[_Span] = []
        for channel, chains in zip(channels, asked, strict=True):
            found.append(_judged(channel, chains, arrays, core))
            for place in (place for _, *parts in chains for part in parts for _, place in part):
                arrays[place] = None  # the span has its own, of all channels at once they would be twice as much
        return found


def _between(pieces: Iterator[Recording], plan: Plan, first: int, last: int) -> Iterator[Recording]:
    """What lies from one grid point to another of pieces that follow each other; counted from the first."""
    for piece in pieces:
        at = plan.first + piece.first_sample  # grid point of the piece's sample 0
        begin, end = max(0, first - at), min(piece.n_samples, last + 1 - at)
        kept = [piece.slice(begin, end)] if begin < end else []
        del piece  # whoever takes what is kept decides how long it lives
        if kept:
            yield replace(kept.pop(), start=plan.time_of(at + begin), first_sample=at + begin - first)


def _channel(seed_id: str, pieces: Sequence[Segment]) -> Channel:
    """A channel whose segments hold chains instead of samples."""
    return Channel(seed_id, [Segment(chain.start_ns, chain.rate_hz, chain) for chain in join(pieces)])


def _positions(chain: Chain, begin_ns: int, end_ns: int) -> tuple[int, int]:
    """Samples of a chain that lie in a span of time, half open."""
    first, last = (math.ceil((t - chain.start_ns) * 1e-9 * chain.rate_hz - 1e-6) for t in (begin_ns, end_ns))
    return min(max(first, 0), chain.length), min(max(last, 0), chain.length)


def _ask(parts: Sequence[tuple[int, Stored]], span: tuple[int, int], wanted: list[Place]) -> list[tuple[int, int]]:
    """(position in the chain, place in `wanted`) of the parts' samples in a span of positions."""
    asked: list[tuple[int, int]] = []
    for at, stored in parts:
        first, last = max(span[0], at), min(span[1], at + len(stored))
        if last > first:
            for before, place in stored[first - at : last - at].places():
                asked.append((first + before, len(wanted)))
                wanted.append(place)
    return asked


def _judged(
    channel: Channel,
    chains: Sequence[tuple[Chain, list[tuple[int, int]], list[tuple[int, int]]]],
    arrays: Sequence[np.ndarray | None],
    core: tuple[int, int],
) -> _Span:
    """A channel's samples in a span without what is dead, stuck or filled there."""
    here = Channel(channel.seed_id)
    origins: list[Chain] = []
    differing_s = 0.0
    for chain, kept, covered in chains:
        runs = joined_runs([(at, x) for at, place in kept if (x := arrays[place]) is not None])
        for at, samples in runs:
            start_ns = chain.start_ns + round(at * 1e9 / chain.rate_hz)
            good = good_pieces(Segment(start_ns, chain.rate_hz, samples))
            here.segments += good
            origins += [chain] * len(good)
        for at, place in covered:
            if (other := arrays[place]) is not None:
                differing_s += _differing(runs, at, other) / chain.rate_hz
        if core[0] <= chain.start_ns < core[1]:
            differing_s += chain.other_rate_s
    starts_ns = [segment.start_ns for segment in here.segments]
    inspect_channel(here)
    pieces: list[tuple[Chain, int, int, np.ndarray]] = []
    for segment in here.segments if not here.dead else ():
        chain = origins[bisect_right(starts_ns, segment.start_ns) - 1]
        at = round((segment.start_ns - chain.start_ns) * 1e-9 * chain.rate_hz)
        first, last = _positions(chain, *core)
        first, last = max(first, at), min(last, at + len(segment.samples))
        if last > first:
            pieces.append((chain, first, last, segment.samples[first - at : last - at]))
    return _Span(here, pieces, differing_s)


def joined_runs(parts: Sequence[tuple[int, np.ndarray]]) -> list[tuple[int, np.ndarray]]:
    """(position, samples) of parts that follow each other, as one array where no part is missing."""
    runs: list[tuple[int, list[np.ndarray]]] = []
    end = -1
    for at, samples in parts:
        if at != end:
            runs.append((at, []))
        runs[-1][1].append(samples)
        end = at + len(samples)
    return [(at, arrays[0] if len(arrays) == 1 else np.concatenate(arrays)) for at, arrays in runs]


def _differing(runs: Sequence[tuple[int, np.ndarray]], at: int, other: np.ndarray) -> int:
    """How many samples of another file, from a position on, differ from those that are used."""
    count = 0
    for begin, samples in runs:
        first, last = max(begin, at), min(begin + len(samples), at + len(other))
        if last > first:
            count += int(np.count_nonzero(samples[first - begin : last - begin] != other[first - at : last - at]))
    return count


class _ChannelOnGrid:
    """One channel brought onto the grid, span after span."""

    def __init__(self, anchor_ns: int, preprocessing: Preprocessing) -> None:
        self._anchor_ns, self._preprocessing = anchor_ns, preprocessing
        self._open: SegmentOnGrid | None = None
        self._chain: Chain | None = None
        self._next = 0

    @property
    def certain(self) -> int:
        """Grid points before this one get no more values from what has been pushed."""
        return sys.maxsize if self._open is None else self._open.first + self._open.made

    def push(
        self, pieces: Sequence[tuple[Chain, int, int, np.ndarray]], end_ns: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(grid point, values) that the pieces of a span, which ends at a time, make certain."""
        if self._open is not None and not (pieces and pieces[0][0] is self._chain and pieces[0][1] == self._next):
            yield self._values(np.zeros(0), last=True)
        for chain, first, last, samples in pieces:
            if self._open is None:
                start_ns = chain.start_ns + round(first * 1e9 / chain.rate_hz)
                self._open = SegmentOnGrid(start_ns, chain.rate_hz, self._anchor_ns, self._preprocessing)
            goes_on = last < chain.length and last == _positions(chain, end_ns, end_ns)[0]
            self._chain, self._next = chain, last
            yield self._values(samples, last=not goes_on)

    def _values(self, samples: np.ndarray, *, last: bool) -> tuple[int, np.ndarray]:
        on_grid = self._open
        if on_grid is None:
            return 0, np.zeros(0)
        start = on_grid.first + on_grid.made
        values = on_grid.push(samples, last=last)
        if last:
            self._open = None
        return start, values
