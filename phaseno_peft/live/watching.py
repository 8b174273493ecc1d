"""Follow a SeedLink stream: packets in, passes every few seconds, picks told as they are seen."""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.backbone import EMBEDDED
from phaseno_peft.campaign import StationTable, read_stations
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.live.buffers import Buffers
from phaseno_peft.live.outputs import Output, ParquetParts, Webhook, open_output
from phaseno_peft.live.passes import LivePasses, Pass
from phaseno_peft.live.reports import Report, ReportedPicks
from phaseno_peft.live.seedlink import SeedLinkFeed
from phaseno_peft.picking.picker import Picker, load_adapter
from phaseno_peft.picking.quiet_windows import Gate
from phaseno_peft.picks import Pick

if TYPE_CHECKING:
    from obspy import Inventory, Trace

log = logging.getLogger(__name__)
PATIENCE_S = 1.5
"""A pass waits so long (wall clock) for the slower stations, after the fastest one has reached its end."""
STATUS_S = 60.0
"""Between two lines about the state of the feed."""
NEWEST = 10_000
"""Latencies of so many picks are kept."""
TURN_S = 0.05
"""The loop looks round at least this often."""


@dataclass
class Summary:
    """What a watch did."""

    reports: dict[str, int] = field(default_factory=dict)
    """Status -> lines."""
    n_passes: int = 0
    n_windows: int = 0
    n_packets: int = 0
    n_late: int = 0
    n_repeated: int = 0
    n_refused: int = 0
    """Packets of stations out of step."""
    lost_s: float = 0.0
    """Seconds of record that were not picked because the machine was too slow."""
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=NEWEST))
    """Of the first report of each of the newest `NEWEST` picks."""
    since_last_sample_s: deque[float] = field(default_factory=lambda: deque(maxlen=NEWEST))
    """As above, from the newest sample of its pass."""

    def quantile_s(self, part: float) -> float:
        """A quantile of the latencies, NaN without any."""
        return float(np.quantile(self.latencies_s, part)) if self.latencies_s else float("nan")


class LiveNetwork:
    """Buffers, passes and reports of one network, without the wire: packets are added, and time goes on by calls."""

    def __init__(
        self,
        passes: LivePasses,
        stations: StationTable,
        outputs: Sequence[Output],
        *,
        warn: Callable[[str], None],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._passes, self._outputs, self._warn, self._say, self._clock = passes, list(outputs), warn, say, clock
        self._failing: set[int] = set()
        self.buffers = Buffers(stations, passes.length_s, warn, say, passes.slowest_hz)
        self._n_listed = len(stations)
        self._reported = ReportedPicks()
        self._reached: deque[tuple[int, float]] = deque()
        """(time of a pass's end, when the fastest station reached it)."""
        self._ended_ns: int | None = None
        self._certain_ns: int | None = None
        """Up to here picks have been told as final."""
        self._n_restarts = 0
        self._is_behind = False
        self._has_waited = True
        """Whether `advance` found nothing to do since the last pass: only a pass that follows another at once is late,
        not one that packets longer than `every_s` brought on."""
        self.summary = Summary()

    def add(self, trace: Trace, received_s: float) -> None:
        """Take a packet."""
        self.buffers.add(trace, received_s)
        if self.buffers.n_restarts > self._n_restarts:
            self._n_restarts = self.buffers.n_restarts
            self._write(self._reported.end(lambda _: (None, 0.0)))
            self._passes.forget()
            self._reached.clear()
            self._ended_ns = self._certain_ns = None

    def advance(self) -> list[Report]:
        """Make the pass that is due, if one is, write its reports and return them."""
        end_ns = self._due()
        if end_ns is None:
            self._has_waited = True
            return []
        has_waited, self._has_waited = self._has_waited, False
        every_ns = self._passes.every_ns
        before_ns, self._ended_ns = self._ended_ns, end_ns
        skipped = 0 if before_ns is None else (end_ns - before_ns) // every_ns - 1
        is_lost = before_ns is not None and end_ns - self._passes.horizon_ns > before_ns
        if skipped > 0 and (is_lost or not has_waited):
            return self._catch_up(end_ns, before_ns or end_ns, skipped)
        if self._is_behind:
            self._is_behind = False
            self._say("keeping up again.")
        return self._report(self._passes.run(self.buffers, end_ns))

    @property
    def half_window_ns(self) -> int:
        """Of record, after which a pass should come."""
        return self._passes.window_ns // 2

    def tick(self) -> None:
        """Let outputs that hold something back write it where it is time."""
        for output in self._outputs:
            if isinstance(output, ParquetParts):
                try:
                    output.tick()
                except (OSError, PhasenoPeftError) as error:
                    self._failed(output, error)

    def finish(self) -> list[Report]:
        """A last pass over all that is there, at the end of a watch."""
        ends = [state.newest_ns for state in self.buffers.in_step()]
        end_ns = max(ends, default=0) // self._passes.every_ns * self._passes.every_ns
        reports = []
        if end_ns and end_ns != self._ended_ns:
            reports = self._report(self._passes.run(self.buffers, end_ns))
        last = self._reported.end(lambda _: (None, 0.0))
        self._write(last)
        return reports + last

    def _catch_up(self, end_ns: int, before_ns: int, skipped: int) -> list[Report]:
        """Newest first: the newest window is judged and told, then those that would leave samples out."""
        lost_s = (end_ns - self._passes.horizon_ns - before_ns) * 1e-9
        if lost_s > 0:
            self.summary.lost_s += lost_s
            lost = f"{UTCDateTime(ns=before_ns)} to {UTCDateTime(ns=end_ns - self._passes.horizon_ns)}"
            self._warn(f"too slow, or a backlog: {lost_s:.0f} s of record, {lost}, were not picked.")
        elif not self._is_behind:
            self._warn(
                f"too slow: {skipped} passes are skipped; the newest window is picked first, others only where samples "
                "would be left out. Give fewer stations, a longer --every, or more cores."
            )
        self._is_behind = True
        needed = self._passes.needed(end_ns)
        first = self._passes.run(self.buffers, end_ns, needed[:1])
        # what lies before the newest window is for the second pass: windows of it may not have been judged yet
        reports = self._report(None if first is None else replace(first, complete_ns=end_ns - self._passes.window_ns))
        if len(needed) > 1:
            reports += self._report(self._passes.run(self.buffers, end_ns, needed))
        return reports

    def _due(self) -> int | None:
        """End of the newest pass that may be made now, None where it was made."""
        states = self.buffers.in_step()
        if not states:
            return None
        every_ns, now_s = self._passes.every_ns, self._clock()
        ends = [state.newest_ns for state in states]
        slowest, fastest = (end // every_ns * every_ns for end in (min(ends), max(ends)))
        if not self._reached or fastest > self._reached[-1][0]:
            self._reached.append((fastest, now_s))
        due = slowest
        while self._reached and self._reached[0][1] + PATIENCE_S <= now_s:
            due = max(due, self._reached[0][0])
            if len(self._reached) == 1:
                break
            self._reached.popleft()
        return due if self._ended_ns is None or due > self._ended_ns else None

    def _report(self, made: Pass | None) -> list[Report]:
        if made is None:
            return []
        now_s = self._clock()
        newest = [self.buffers.received_s(i, made.end_ns - 1) for i in self.buffers.stations]
        since_s = now_s - max((t for t in newest if t is not None), default=now_s)

        def wall(pick: Pick) -> tuple[float | None, float]:
            came_s = self.buffers.received_s(pick.trace_id, pick.time.ns)
            return None if came_s is None else now_s - came_s, since_s

        # after skipped passes what became certain meanwhile is told too, though of fewer windows
        complete_ns = min(made.complete_ns, max(made.begin_ns, self._certain_ns or made.complete_ns))
        reports = self._reported.update(
            made.picks, complete_ns=complete_ns, certain_ns=made.certain_ns, end_ns=made.end_ns, wall=wall
        )
        if complete_ns < made.certain_ns:
            self._certain_ns = made.certain_ns
        summary = self.summary
        summary.n_passes += 1
        summary.n_windows = self._passes.n_windows
        for report in reports:
            if report.status == "preliminary" and report.replaces is None and report.latency_s is not None:
                summary.latencies_s.append(report.latency_s)
                summary.since_last_sample_s.append(report.since_last_sample_s)
        self._write(reports)
        return reports

    def _write(self, reports: Sequence[Report]) -> None:
        """Count reports and give them to every output; one that fails is named once, and the others go on."""
        if not reports:
            return
        for report in reports:
            self.summary.reports[report.status] = self.summary.reports.get(report.status, 0) + 1
        for output in list(self._outputs):
            try:
                output.write(reports)
            except (OSError, PhasenoPeftError) as error:
                if isinstance(error, BrokenPipeError) and len(self._outputs) == 1:
                    raise  # whoever read the picks has gone
                self._failed(output, error)
            else:
                self._failing.discard(id(output))

    def _failed(self, output: Output, error: Exception) -> None:
        name = getattr(output, "name", type(output).__name__)
        if isinstance(error, BrokenPipeError):
            self._outputs.remove(output)
            self._warn(f"{name}: nobody reads there any more; the other outputs go on.")
        elif id(output) not in self._failing:
            self._failing.add(id(output))
            self._warn(f"{name}: picks could not be written ({error}). Further failures there are not told.")

    def status(self) -> str:
        """A line about the feed."""
        states, s = self.buffers.stations.values(), self.summary
        sending = sum(state.is_in_step and not state.is_silent for state in states)
        text = f"{sending} of {self._n_listed} listed stations send; {s.n_passes} passes, {s.n_windows} windows"
        if s.latencies_s:
            text += f"; latency {s.quantile_s(0.5):.1f} s (95 %: {s.quantile_s(0.95):.1f} s)"
        return text + (f"; {s.lost_s:.0f} s lost" if s.lost_s else "")


def watch(
    url: str,
    stations: Inventory | StationTable | str | Path,
    adapter: str | Path | Picker | None = None,
    *,
    backbone: str | Path | None = None,
    p_threshold: float | None = None,
    s_threshold: float | None = None,
    every_s: float = 2.0,
    gate: Gate = "auto",
    selector: str = "???",
    out: str | Path | None = None,
    webhook: str | None = None,
    minutes: float | None = None,
    outputs: Sequence[Output] = (),
    warn: Callable[[str], None] = log.warning,
    say: Callable[[str], None] = log.info,
    stopped: Callable[[], bool] = lambda: False,
) -> Summary:
    """Follow a SeedLink server and report picks until it is stopped, or for so many `minutes`.

    url: seedlink://host:port. adapter: a name, a folder, or a `Picker`; None is the frozen backbone. every_s: seconds
    of record between two passes over the newest window. selector: SeedLink's, for channels. out: appended to, .jsonl,
    .csv or .parquet (a folder of parts, by pyarrow); webhook: gets each pass with reports as a POST of a JSON list;
    outputs: others. A pick is told as preliminary when a pass first sees it, under a new id when it changes (`replaces`
    names the old one), as withdrawn, and as final when no window to come can change it, one window later.

    Raises `PhasenoPeftError` where no server answers, and as `load_adapter` and `read_stations` do.
    """
    table = read_stations(stations)
    if not len(table):
        raise CampaignError(f"{table.source}: holds no station with coordinates. Give a table that does.")
    if isinstance(adapter, Picker):
        picker = adapter
    else:
        picker = Picker.load(backbone or EMBEDDED) if adapter is None else load_adapter(adapter, backbone=backbone)
    opened: list[Output] = []
    with picker.held(), ExitStack() as closing:
        passes = LivePasses(
            picker,
            table,
            every_s=every_s,
            p_threshold=p_threshold,
            s_threshold=s_threshold,
            gate=gate,
            say=warn,
        )
        if out is not None:
            opened.append(open_output(Path(out), time.monotonic))
            closing.callback(_closed, opened[-1], warn)
        if webhook is not None:
            opened.append(Webhook(webhook, warn))
            closing.callback(opened[-1].close)
        feed = SeedLinkFeed(url, table, selector=selector, warn=warn)
        live = LiveNetwork(passes, table, [*outputs, *opened], warn=warn, say=say)
        feed.start()
        say(f"{url}: {len(table)} stations, a pass every {every_s:g} s of record")
        try:
            _follow(feed, live, say, minutes, stopped)
        except KeyboardInterrupt:
            say("stopped")
        finally:
            feed.stop()
        live.finish()
    buffers, summary = live.buffers, live.summary
    summary.n_packets, summary.n_late = buffers.n_packets, buffers.n_late
    summary.n_repeated, summary.n_refused = buffers.n_repeated, buffers.n_refused
    return summary


def _closed(output: Output, warn: Callable[[str], None]) -> None:
    try:
        output.close()
    except (OSError, PhasenoPeftError) as error:
        warn(f"{getattr(output, 'name', type(output).__name__)}: what was held back could not be written ({error}).")


def _follow(
    feed: SeedLinkFeed,
    live: LiveNetwork,
    say: Callable[[str], None],
    minutes: float | None,
    stopped: Callable[[], bool],
) -> None:
    begin_s = told_s = time.monotonic()
    while not stopped():
        now_s = time.monotonic()
        if minutes is not None and now_s - begin_s >= 60.0 * minutes:
            return
        try:
            live.add(*feed.packets.get(timeout=TURN_S))
            begin_ns = live.buffers.time_ns or 0
            while (live.buffers.time_ns or 0) - begin_ns <= live.half_window_ns:  # of a backlog no more at once
                live.add(*feed.packets.get_nowait())
        except queue.Empty:
            pass
        live.buffers.look_round(now_s)
        live.advance()
        live.tick()
        if now_s - told_s >= STATUS_S:
            told_s = now_s
            say(live.status())
