"""Passes over the newest record: the one path of `picking`, on a horizon that moves, with a memory of its windows.

A pass prepares the horizon (two windows and some seconds), has `annotate_runs` judge windows `every_s` apart, and takes
picks off the merged curve. Windows stand at whole multiples of `every_s` of UTC, so that all passes cut the same ones:
what was judged before is remembered, unless samples have come since. Where the machine is too slow the newest window is
judged first, and of the older ones only so many that no sample is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.plan import slowest_hz
from phaseno_peft.campaign.run import Run
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.waveforms import prepare
from phaseno_peft.campaign.windows import InputWindow
from phaseno_peft.contract import PHASES
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.live.buffers import Buffers
from phaseno_peft.picking.annotations import Judge, picks_of
from phaseno_peft.picking.picker import Picker
from phaseno_peft.picking.quiet_windows import Gate
from phaseno_peft.picks import PickList

LEAD_S = 15.0
"""Record before the horizon, in which the high-pass settles."""
SLACK_S = 4.0
"""The horizon is longer than two windows by this, so that picks near its older end have all their windows."""


@dataclass(frozen=True)
class Pass:
    """Picks of a horizon."""

    picks: PickList
    certain_ns: int
    """Before this time every window that sees a sample lies in the past."""
    complete_ns: int
    """From this time on the horizon has all windows; picks before it may have lost some, and are not told."""
    begin_ns: int
    """Begin of the horizon."""
    end_ns: int
    """End of the newest window."""


@dataclass
class _Judged:
    counts: tuple[int, ...]
    probabilities: NDArray[np.float32] | None


class LivePasses:
    """Passes of one picker over one network's buffers."""

    def __init__(
        self,
        picker: Picker,
        stations: StationTable,
        *,
        every_s: float = 2.0,
        p_threshold: float | None = None,
        s_threshold: float | None = None,
        gate: Gate = "auto",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        preprocessing = picker.preprocessing
        steps = preprocessing.window_s / every_s if every_s > 0 else 0.0
        if not every_s >= 0.1 or abs(every_s * preprocessing.rate_hz % 1.0) > 1e-9 or steps < 2:
            raise PhasenoPeftError(
                f"`every_s` is {every_s:g}; it should be a whole number of samples at {preprocessing.rate_hz:g} Hz, at "
                f"least 0.1 s and at most half a window, {preprocessing.window_s / 2:g} s."
            )
        self._picker, self._table, self._say = picker, stations, say
        self._thresholds = {"P": p_threshold, "S": s_threshold}
        contract = picker.contract()
        own = picker.backbone_thresholds if contract is None else contract.thresholds
        lowest = min(own[p] if self._thresholds[p] is None else float(self._thresholds[p] or 0.0) for p in PHASES)
        self._lowest = None if gate == "off" else lowest
        self.every_ns = round(every_s * 1e9)
        self.window_ns = round(preprocessing.window_s * 1e9)
        self.horizon_ns = self.window_ns + -(-(self.window_ns + round(SLACK_S * 1e9)) // self.every_ns) * self.every_ns
        self.length_s = (self.horizon_ns * 1e-9) + LEAD_S + 2 * every_s
        """How much the buffers have to hold."""
        self.slowest_hz = slowest_hz(preprocessing)
        """Channels below are none that is picked."""
        self._memory: dict[tuple[int, tuple[str, ...]], _Judged] = {}
        self._told: set[str] = set()
        self.n_windows = 0
        """Windows that were judged."""

    def forget(self) -> None:
        """Forget all windows, where the network's time jumped."""
        self._memory.clear()

    def run(self, buffers: Buffers, end_ns: int, wanted: Sequence[int] | None = None) -> Pass | None:
        """Judge the windows of the horizon that ends at a time, a multiple of `every_ns`; None where it is too short.

        wanted: starts of the windows that may be judged in this pass; None: all that are not remembered.
        """
        begin_ns = buffers.begin_ns()
        if begin_ns is None:
            return None
        first_ns = max(end_ns - self.horizon_ns, -(-begin_ns // self.every_ns) * self.every_ns)
        if end_ns - first_ns < self.window_ns:
            return None
        lead_ns = round(LEAD_S * 1e9)
        stream = buffers.stream(first_ns - lead_ns, end_ns + self.every_ns)
        try:
            recording = prepare(stream, self._table, self._picker.preprocessing, "live")
        except CampaignError as error:
            self._tell([Finding("warning", str(error))])
            return None
        first, last = (round((t - recording.start.ns) * 1e-9 * recording.rate_hz) for t in (first_ns, end_ns))
        if first < 0 or last > recording.n_samples:
            return None
        self._tell(recording.findings)

        def remembered(judge: Judge, windows: Sequence[InputWindow]) -> Sequence[NDArray[np.float32] | None]:
            return self._remembered(judge, windows, buffers, first_ns, wanted)

        annotations = self._picker.annotations(
            [Run.of(recording.slice(first, last))],
            stride_s=self.every_ns * 1e-9,
            block_s=None,
            lowest_threshold=self._lowest,
            around=remembered,
        )
        picks = picks_of(annotations, P_threshold=self._thresholds["P"], S_threshold=self._thresholds["S"])
        self._memory = {key: judged for key, judged in self._memory.items() if key[0] >= first_ns - self.window_ns}
        is_start = first_ns > end_ns - self.horizon_ns
        complete_ns = first_ns if is_start else first_ns + self.window_ns
        return Pass(picks, end_ns - self.window_ns, complete_ns, first_ns, end_ns)

    def needed(self, end_ns: int) -> list[int]:
        """Starts of the windows, newest first, without which samples of the horizon would be left out."""
        known = {start for start, _ in self._memory}
        newest = end_ns - self.window_ns
        chosen, last = [newest], newest
        for start in range(newest - self.every_ns, end_ns - self.horizon_ns - 1, -self.every_ns):
            if start in known:
                if last - start > self.window_ns // 2:
                    chosen.append(start + self.window_ns // 2 // self.every_ns * self.every_ns)
                break
            if last - (start - self.every_ns) > self.window_ns // 2:
                chosen.append(start)
                last = start
        return chosen

    def _remembered(
        self,
        judge: Judge,
        windows: Sequence[InputWindow],
        buffers: Buffers,
        first_ns: int,
        wanted: Sequence[int] | None,
    ) -> Sequence[NDArray[np.float32] | None]:
        """What is known of the windows, after those that must be have been judged."""
        keys, todo = [], []
        for window in windows:
            start_ns = first_ns + round((window.start.ns - first_ns) / self.every_ns) * self.every_ns
            found = buffers.n_samples(start_ns, start_ns + self.window_ns)
            counts = tuple(found.get(station_id, 0) for station_id in window.station_ids)
            key = (start_ns, window.station_ids)
            keys.append(key)
            known = self._memory.get(key)
            if (known is None or known.counts != counts) and (wanted is None or start_ns in wanted):
                todo.append((window, key, counts))
        self.n_windows += len(todo)
        for (_, key, counts), probabilities in zip(todo, judge([w for w, _, _ in todo]) if todo else [], strict=True):
            self._memory[key] = _Judged(counts, probabilities)
        return [self._memory[key].probabilities if key in self._memory else None for key in keys]

    def _tell(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            if finding.severity == "warning" and finding.text not in self._told:
                self._told.add(finding.text)
                self._say(finding.text)
