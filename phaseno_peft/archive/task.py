"""One task of an archive, picked by the path that every record takes, in this process or in a worker's."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.archive.plan import Task
from phaseno_peft.campaign.findings import Finding, condense
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.campaign.sources import UNREADABLE
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.waveform_files import ChannelMap, read_channels
from phaseno_peft.errors import CampaignError
from phaseno_peft.picking import Annotation, Picker, PickList, picks_of
from phaseno_peft.picking.annotations import Merge
from phaseno_peft.picking.quiet_windows import Gate, weakest_pick

log = logging.getLogger(__name__)

MOST_FINDINGS = 50
"""Sentences about one task that are kept."""


@dataclass(frozen=True)
class ArchivePicker:
    """What every task is picked with; workers hold one, loaded once."""

    picker: Picker
    table: StationTable
    thresholds: Mapping[str, float | None] = field(default_factory=lambda: {"P": None, "S": None})
    """Phase -> threshold; None for that of the adapter or backbone."""
    stride_s: float | None = None
    merge: Merge = "mean"
    gate: Gate = "auto"
    channels: ChannelMap | str | Path | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """All on which picks hang but records and stations, as plain JSON."""
        contract = self.picker.contract()
        own = self.picker.thresholds
        return {
            "creator": self.creator,
            "backbone": self.picker.backbone_fingerprint,
            "tensors": "" if contract is None else contract.tensors_sha256,
            "members": self.picker.member_digests,
            "pick_shift_s": None if contract is None else dict(contract.pick_shift_s),
            "time_scale": self.picker.preprocessing.time_scale,
            "thresholds": {phase: own[phase] if level is None else level for phase, level in self.thresholds.items()},
            "stride_s": self.stride_s,
            "merge": self.merge,
            "gate": self.gate,
            "channels": sorted(read_channels(self.channels).items()),
        }

    @property
    def creator(self) -> str:
        """As `PickList.creator` says it."""
        adapter = self.picker.active_adapter
        return f"frozen {self.picker.backbone_name}" if adapter is None else adapter

    @property
    def settings_digest(self) -> str:
        """Of `settings`."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TaskResult:
    """What came of one task."""

    picks: PickList
    """In time order."""
    recorded_s: dict[str, float]
    """Station -> seconds of its record in the block."""
    gaps: int
    """How often a station stopped being recorded within the block."""
    findings: tuple[str, ...]
    """Warnings, as sentences."""
    unreadable: tuple[str, ...]
    """Why each file that was left out could not be read."""


def run_task(task: Task, by: ArchivePicker) -> TaskResult:
    """The picks of a task, those that one pass over the whole archive gives for its stations and its block.

    Files that cannot be read, and runs of record that cannot be used, are left out and told. Raises `PhasenoPeftError`
    for settings that are not possible.
    """
    told: list[Finding] = []
    begin, end = UTCDateTime(ns=task.begin_ns), UTCDateTime(ns=task.end_ns)
    counted = _Counted(task)
    picks = PickList(creator=by.creator)
    with by.picker.held():
        lowest = weakest_pick(by.gate, by.picker.thresholds, by.thresholds)
        try:
            runs = Runs(
                task.files,
                by.table,
                by.picker.preprocessing,
                channels=by.channels,
                skip_unreadable=True,
                on_findings=told.extend,
                between=(begin, end),
                spans=task.runs,
            )
            blocks = by.picker.annotations(
                runs, stride_s=by.stride_s, merge=by.merge, lowest_threshold=lowest, frame=task.group.frame
            )
            found = picks_of(
                counted.seen(blocks), P_threshold=by.thresholds["P"], S_threshold=by.thresholds["S"]
            ).between(begin, end)
        except CampaignError as error:
            told.append(Finding("warning", f"left out: {error}"))
            found = PickList()
    given = set(task.group.station_ids)
    list.extend(picks, (pick for pick in found if pick.trace_id in given))
    warnings = [f.text for f in condense(told) if f.severity != "note"]
    unreadable = tuple(dict.fromkeys(f.text.removeprefix("left out: ") for f in told if f.kind == UNREADABLE))
    return TaskResult(picks, counted.recorded_s, counted.gaps, tuple(warnings[:MOST_FINDINGS]), unreadable)


def attempt(task: Task, by: ArchivePicker) -> TaskResult | str:
    """`run_task`, or why it failed, in a sentence: one broken task must not stop a thousand others."""
    try:
        return run_task(task, by)
    except Exception as error:  # whatever it is, it is told, kept in the manifest and done again on request
        log.debug("task %s failed", task.key, exc_info=True)
        first = (str(error).strip().splitlines() or [""])[0]
        return f"{type(error).__name__}: {first}" if first else type(error).__name__


class _Counted:
    """Counts what is recorded of a task's stations in its block."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.recorded_s: dict[str, float] = {}
        self.gaps = 0
        self._was_recorded: dict[str, bool] = {}

    def seen(self, blocks: Iterable[Annotation]) -> Iterator[Annotation]:
        """The annotations, one by one, counted as they pass."""
        given = set(self._task.group.station_ids)
        before: Annotation | None = None
        for block in blocks:
            recording = block.recording
            first, last = (
                min(max(round((t - recording.start.ns) * 1e-9 * recording.rate_hz), 0), recording.n_samples)
                for t in (self._task.begin_ns, self._task.end_ns)
            )
            if before is not None and not block.continues(before):
                self.gaps += sum(self._was_recorded.values())  # a hole of all stations
                self._was_recorded.clear()
            for station, mask in zip(recording.stations, recording.recorded[..., first:last], strict=True):
                if station.station_id not in given or first >= last:
                    continue
                there: np.ndarray = np.any(mask, axis=0)
                whole = np.concatenate([[self._was_recorded.get(station.station_id, False)], there])
                self.gaps += int(np.count_nonzero(whole[:-1] & ~whole[1:]))
                self._was_recorded[station.station_id] = bool(there[-1])
                seconds = np.count_nonzero(there) / recording.rate_hz
                self.recorded_s[station.station_id] = self.recorded_s.get(station.station_id, 0.0) + seconds
            before = block
            yield block
