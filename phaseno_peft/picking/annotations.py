"""Prepared runs -> windows, made when they are needed -> probabilities -> blocks of them -> picks.

The windows of a run stand at fixed places, its samples are merged from the same windows in the same order, and a pick
is given out when nothing that follows can change it: neither probabilities nor picks depend on the blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from phaseno_peft.campaign import Finding, Recording
from phaseno_peft.campaign.findings import gather, warnings_first
from phaseno_peft.campaign.run import Run
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.campaign.windows import InputWindow, input_window
from phaseno_peft.contract import NO_SHIFT_S, PHASES, BackboneDefaults, Contract, Frame, Preprocessing
from phaseno_peft.cr_lora import ResidentAdapter, selected_adapter
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picking.ensemble import MATCH_S, WEAKEST_MEMBER, with_spread
from phaseno_peft.picking.inference import (
    BATCH_STATIONS,
    JudgedWindow,
    loud_window_probabilities,
    member_probabilities,
    merge_windows,
    networks,
    window_probabilities,
    window_starts,
)
from phaseno_peft.picking.quiet_windows import LOWEST_THRESHOLD
from phaseno_peft.picks import Pick, PickList
from phaseno_peft.picks.peaks import PickFinder

Merge = Literal["mean", "median", "max"]
Progress = Callable[[int, int], None]
Judge = Callable[[Sequence[InputWindow]], Sequence[NDArray[np.float32] | None]]
"""Probabilities [station, 2, sample] of each window, None of a quiet one."""
Around = Callable[[Judge, Sequence[InputWindow]], Sequence[NDArray[np.float32] | None]]
"""Answers for windows in a judge's place, and asks it where it likes."""
TAPER_S = 2.0
"""Window ends (network's time) count less and less where another window covers them: context is missing there."""
BLOCK_S = 600.0
"""Real seconds of an annotation, unless others are asked for: 50 MB of probabilities of 50 stations at 100 Hz."""
_LONGEST_WAIT_S = 1800.0
"""A window waits no longer than this (network's time) for others that fill its batch, over a gap of all stations."""


@dataclass(frozen=True)
class MemberCurves:
    """What one adapter of several says of the same block."""

    contract: Contract | None
    probabilities: NDArray[np.float32]
    """[station, 2 (P, S), sample]"""


@dataclass(frozen=True)
class Annotation:
    """Probabilities of a record or a block of it, with what is needed to make picks of them.

    They lie where the network puts them: picks are given out `pick_shift_s` of the contract later (`picks_of`, and the
    start times of `Picker.annotate`).
    """

    recording: Recording
    probabilities: NDArray[np.float32]
    """[station, 2 (P, S), sample], NaN where a station was not recorded."""
    creator: str = "frozen"
    """Adapter or backbone that made it, as `PickList.creator` says it."""
    contract: Contract | None = None
    """The adapter's, None without one."""
    thresholds: Mapping[str, float] = field(default_factory=lambda: BackboneDefaults().thresholds)
    """Phase -> probability above which a peak is a pick."""
    members: tuple[MemberCurves, ...] = ()
    """Of an ensemble, whose mean `probabilities` are."""

    def of_member(self, number: int) -> Annotation:
        """What one member of an ensemble says."""
        member = self.members[number]
        return replace(self, probabilities=member.probabilities, contract=member.contract, members=())

    @property
    def pick_shift_s(self) -> Mapping[str, float]:
        """Phase -> pick given out minus place on the curve, real seconds."""
        return NO_SHIFT_S if self.contract is None else self.contract.pick_shift_s

    def continues(self, other: Annotation) -> bool:
        """True for the block that follows directly on another one."""
        own, before = self.recording, other.recording
        is_next = own.first_sample == before.first_sample + before.n_samples and own.first_sample > 0
        return is_next and (own.name, own.station_ids) == (before.name, before.station_ids)


def annotate_run(
    run: Run,
    parts: Sequence[tuple[list[int], Frame]],
    probabilities: Judge,
    preprocessing: Preprocessing,
    *,
    stride_s: float | None = None,
    merge: Merge = "mean",
    block_s: float | None = BLOCK_S,
    batch_stations: int = BATCH_STATIONS,
    n_curves: int = len(PHASES),
    progress: Progress | None = None,
) -> Iterator[tuple[Recording, NDArray[np.float32]]]:
    """(block of the record, its probabilities [station, curve, sample]), one after the other; whole without `block_s`.

    parts: the rows of stations that are one network, and its frame. probabilities: what a batch of windows of up to
    `batch_stations` stations gets, None for a quiet one, NaN for a quiet station. `progress` is called with the windows
    that are done and all.
    Raises `PhasenoPeftError` for an impossible stride, merging or block.
    """
    if merge not in ("mean", "median", "max"):
        raise PhasenoPeftError(f"`merge` should be 'mean', 'median' or 'max' but is {merge!r}.")
    if block_s is not None and not block_s > 0:
        raise PhasenoPeftError(f"`block_s` should be above 0 but is {block_s}. Give seconds, 600 for example.")
    starts = window_starts(run.n_samples, preprocessing, stride_s, run.start.ns if run.is_long else 0)
    n, taper = preprocessing.window_samples, round(TAPER_S * preprocessing.network_rate_hz)
    block = run.n_samples if block_s is None else max(n, round(block_s * run.rate_hz))
    longest_wait = round(_LONGEST_WAIT_S * preprocessing.network_rate_hz)
    held = _HeldSamples(run)
    waiting: list[tuple[int, InputWindow]] = []
    judged: list[JudgedWindow] = []
    given = 0

    def judge() -> None:
        found = probabilities([window for _, window in waiting])
        for (start, window), one in zip(waiting, found, strict=True):
            judged.extend(JudgedWindow.of(start, window, one))
        waiting.clear()

    for number, start in enumerate(starts):
        samples = held.cut(start, min(start + n, run.n_samples))
        for rows, frame in parts:
            window = input_window(samples, 0, frame, preprocessing, rows)
            if window.station_ids:
                if waiting and sum(len(w.station_ids) for _, w in waiting) + len(window.station_ids) > batch_stations:
                    judge()
                waiting.append((start, window))
        is_last = number == len(starts) - 1
        if waiting and (is_last or waiting[0][0] < start - longest_wait):
            judge()
        done = waiting[0][0] if waiting else run.n_samples if is_last else starts[number + 1]
        if progress is not None:
            progress(number + 1 - len(waiting), len(starts))
        while given < run.n_samples and min(given + block, run.n_samples) <= done:
            end = min(given + block, run.n_samples)
            recording = replace(held.cut(given, end), findings=tuple(run.findings))
            here = [replace(w, start=w.start - given) for w in judged if w.end > given and w.start < end]
            yield recording, merge_windows(recording, here, merge, taper, n_curves)
            given = end
            judged = [w for w in judged if w.end > given]
        held.drop(min(given, done))


def annotate_runs(
    runs: Runs | Sequence[Run],
    backbone: torch.nn.Module,
    adapter: ResidentAdapter | None,
    *,
    creator: str,
    backbone_thresholds: Mapping[str, float],
    stride_s: float | None = None,
    merge: Merge = "mean",
    block_s: float | None = BLOCK_S,
    lowest_threshold: float | None = None,
    frame: Frame | None = None,
    around: Around | None = None,
    progress: Progress | None = None,
) -> Iterator[Annotation]:
    """Blocks of all runs by a backbone with an adapter in force, whose contract and thresholds they carry.

    An adapter with members is an ensemble: their mean answer counts, and each annotation has their own beside it.
    lowest_threshold: of the picks that will be made; where quiet windows cannot hold such, they get zeros instead of
    going through the operator. None: every window does, and so does an ensemble's. frame: of all stations, which then
    are one network; by default it follows from the stations that recorded (`networks`). around: called in place of the
    network, with it, for each batch: a memory of windows that were judged before. `progress` gets the seconds of record
    that are done and all of them. Raises as `annotate_run` does.
    """
    contract = None if adapter is None else adapter.contract
    preprocessing = contract.preprocessing if contract else Preprocessing()
    thresholds = dict(backbone_thresholds if contract is None else contract.thresholds)
    skips_quiet = lowest_threshold is not None and lowest_threshold >= LOWEST_THRESHOLD
    of_windows = loud_window_probabilities if skips_quiet else window_probabilities
    members = adapter.members if adapter is not None else ()
    for run, report in with_progress(runs, progress):
        if frame is None:
            parts, findings = networks(run.stations, contract.frame if contract else None, preprocessing)
            run.tell(findings)
        else:
            parts = [(list(range(len(run.stations))), frame)]
        edge_limit_km = parts[0][1].edge_limit_km

        def probabilities(
            windows: Sequence[InputWindow], edge_limit_km: float = edge_limit_km
        ) -> Sequence[NDArray[np.float32] | None]:
            if adapter is not None and members:
                return member_probabilities(backbone, windows, edge_limit_km, adapter)
            with selected_adapter(adapter):
                return of_windows(backbone, windows, edge_limit_km)

        judge: Judge = probabilities if around is None else partial(around, probabilities)
        for recording, found in annotate_run(
            run,
            parts,
            judge,
            preprocessing,
            stride_s=stride_s,
            merge=merge,
            block_s=block_s,
            n_curves=len(PHASES) * max(1, len(members)),
            progress=report,
        ):
            each = found.reshape(len(found), -1, len(PHASES), found.shape[-1])  # [station, member, phase, sample]
            curves = tuple(MemberCurves(_moved_as(one, contract), each[:, i]) for i, one in enumerate(members))
            yield Annotation(recording, each.mean(axis=1) if members else found, creator, contract, thresholds, curves)


def _moved_as(member: ResidentAdapter, contract: Contract | None) -> Contract | None:
    """A member's contract with the constant shift of the adapter it belongs to, at which its curves were put."""
    if member.contract is None or contract is None:
        return member.contract
    return replace(member.contract, pick_shift_s=contract.pick_shift_s)


def with_progress(runs: Runs | Sequence[Run], progress: Progress | None) -> Iterator[tuple[Run, Progress | None]]:
    """Each run with what reports its windows; `progress` gets the seconds of record that are done and all of them."""
    before_s = 0.0
    whole = max(1, round(runs.duration_s if isinstance(runs, Runs) else sum(run.duration_s for run in runs)))
    for run in runs:
        begin_s = run.before_s if isinstance(runs, Runs) else before_s

        def report(done: int, n: int, begin_s: float = begin_s, length_s: float = run.duration_s) -> None:
            if progress is not None:
                progress(min(round(begin_s + length_s * done / n), whole), whole)

        yield run, None if progress is None else report
        before_s += run.duration_s
    if progress is not None:
        progress(whole, whole)


class _HeldSamples:
    """The prepared samples of a run from the first that is still needed on."""

    def __init__(self, run: Run) -> None:
        self._start, self._rate_hz = run.start, run.rate_hz
        self._coming = run.pieces()
        self._pieces: deque[tuple[int, Recording]] = deque()
        self._first = self._end = 0

    def cut(self, first: int, last: int) -> Recording:
        """Samples [first, last) of the run."""
        while self._end < last:
            self._shrink()
            piece = next(self._coming)
            self._pieces.append((self._end, piece))
            self._end += piece.n_samples
        there = [(at, piece) for at, piece in self._pieces if at < last and first < at + piece.n_samples]
        cuts = [piece.slice(max(first - at, 0), min(last - at, piece.n_samples)) for at, piece in there]
        start = self._start + first / self._rate_hz
        if len(cuts) == 1:
            is_whole = cuts[0].n_samples == there[0][1].n_samples
            return replace(cuts[0] if is_whole else _own(cuts[0]), start=start)
        samples = np.concatenate([cut.samples for cut in cuts], axis=-1)
        recorded = np.concatenate([cut.recorded for cut in cuts], axis=-1)
        return replace(cuts[0], start=start, samples=samples, recorded=recorded)

    def drop(self, first: int) -> None:
        """Forget what lies before a sample."""
        self._first = max(self._first, first)
        while self._pieces and self._pieces[0][0] + self._pieces[0][1].n_samples <= first:
            self._pieces.popleft()

    def _shrink(self) -> None:
        """Keep of the first piece only what is needed, so that its end does not hold the whole of it."""
        if self._pieces and self._first > self._pieces[0][0]:
            at, piece = self._pieces.popleft()
            self._pieces.appendleft((self._first, _own(piece.slice(self._first - at, piece.n_samples))))


def _own(recording: Recording) -> Recording:
    """The recording with arrays of its own, which hold nothing else in memory."""
    return replace(recording, samples=recording.samples.copy(), recorded=recording.recorded.copy())


def picks_of(
    annotations: Annotation | Iterable[Annotation],
    *,
    P_threshold: float | None = None,
    S_threshold: float | None = None,
) -> PickList:
    """Picks of an annotation, or of the blocks of records, in time order.

    Thresholds are those of what made the annotations unless others are given, and so are the distance of picks, the
    calibration of their uncertainty and the constant shift of their times.
    """
    maker = PickMaker(P_threshold, S_threshold)
    picks = PickList()
    for annotation in [annotations] if isinstance(annotations, Annotation) else annotations:
        list.extend(picks, maker.push(annotation))
    list.extend(picks, maker.last())
    picks.creator, picks.findings = maker.creator, maker.findings
    return picks.sorted()


class PickMaker:
    """`picks_of` annotations that come one after the other: each pick as soon as nothing can change it."""

    def __init__(self, P_threshold: float | None = None, S_threshold: float | None = None) -> None:
        self.creator = PickList().creator
        self._given = {"P": P_threshold, "S": S_threshold}
        self._findings: list[tuple[Finding, ...]] = []
        self._record: _RecordPicks | None = None
        self._before: Annotation | None = None
        self._of_members: list[tuple[PickMaker, list[Pick]]] = []
        self._waiting: list[Pick] = []

    def push(self, annotation: Annotation) -> list[Pick]:
        """Picks that a block makes certain, those of a record before it included; an ensemble's come with its end."""
        picks: list[Pick] = []
        if self._record is None or self._before is None or not annotation.continues(self._before):
            picks = self.last()
            self._record = _RecordPicks(annotation, self._given)
            self._findings.append(())
            self.creator = annotation.creator
        self._findings[-1] = annotation.recording.findings
        self._before = annotation
        if not annotation.members:
            return picks + self._record.push(annotation)
        if not self._of_members:
            levels = {p: WEAKEST_MEMBER * level for p, level in self._record.levels.items()}
            self._of_members = [(PickMaker(levels["P"], levels["S"]), []) for _ in annotation.members]
        self._waiting += self._record.push(annotation)
        for number, (maker, found) in enumerate(self._of_members):
            found += maker.push(annotation.of_member(number))
        return picks

    def last(self) -> list[Pick]:
        """All picks that remain of the record."""
        record, self._record = self._record, None
        if record is None:
            return []
        if not self._of_members:
            return record.last()
        own = self._waiting + record.last()
        members = [found + maker.last() for maker, found in self._of_members]
        self._of_members, self._waiting = [], []
        return with_spread(own, members, MATCH_S / record.time_scale)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of all records so far, warnings first."""
        return warnings_first(gather(self._findings, len(self._findings)))


class _RecordPicks:
    """Picks of one record that comes in blocks."""

    def __init__(self, first: Annotation, given: Mapping[str, float | None]) -> None:
        contract, defaults = first.contract, BackboneDefaults()
        network_rate_hz = (contract.preprocessing if contract else Preprocessing()).network_rate_hz
        distance = round((contract or defaults).min_distance_s * network_rate_hz)
        self._uncertainty = (contract or defaults).pick_uncertainty
        self._shift_s = first.pick_shift_s
        self._start, self._rate_hz = first.recording.start, first.recording.rate_hz
        self._station_ids = first.recording.station_ids
        self.time_scale = (contract.preprocessing if contract else Preprocessing()).time_scale
        levels = {phase: first.thresholds[phase] if given[phase] is None else given[phase] for phase in PHASES}
        self.levels = {phase: float(level or 0.0) for phase, level in levels.items()}
        self._finders: list[dict[str, PickFinder]] = []
        for _ in first.recording.stations:
            self._finders.append({p: PickFinder(level, distance) for p, level in self.levels.items()})

    def push(self, annotation: Annotation) -> list[Pick]:
        """Picks that a block makes certain."""
        return self._picks(annotation.probabilities, last=False)

    def last(self) -> list[Pick]:
        """All that remain."""
        return self._picks(np.zeros((len(self._finders), len(PHASES), 0), np.float32), last=True)

    def _picks(self, probabilities: NDArray[np.float32], *, last: bool) -> list[Pick]:
        return [
            Pick(
                trace_id=station_id,
                phase=phase,
                time=self._start + (float(position) / self._rate_hz + self._shift_s[phase]),
                probability=float(height),
                uncertainty_s=self._uncertainty.one_sigma_s(phase, float(half_width) / self._rate_hz),
            )
            for station_id, finders, curves in zip(self._station_ids, self._finders, probabilities, strict=True)
            for phase, curve in zip(PHASES, curves, strict=True)
            for position, height, half_width in zip(*finders[phase].push(curve, last=last), strict=True)
        ]
