"""Months of record, picked task by task into a folder of picks: here or on a cluster, on from where it stopped."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phaseno_peft.archive.header_cache import read_archive_headers, unreadable
from phaseno_peft.archive.picks_folder import Finished, PicksFolder, pyarrow
from phaseno_peft.archive.plan import BLOCK_HOURS, GROUP_STATIONS, ArchivePlan, Task, plan_archive
from phaseno_peft.archive.task import ArchivePicker, TaskResult, attempt
from phaseno_peft.campaign import StationTable, read_stations
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.plan import few
from phaseno_peft.campaign.run import OnFindings
from phaseno_peft.campaign.waveform_files import ChannelMap
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picking import Picker, PickList
from phaseno_peft.picking.annotations import Merge
from phaseno_peft.picking.inference import window_starts
from phaseno_peft.picking.quiet_windows import Gate

if TYPE_CHECKING:
    from obspy import Inventory, UTCDateTime

log = logging.getLogger(__name__)
Done = tuple[Task, TaskResult | str]
"""A task and what came of it, or why it failed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an archive is."""

    tasks: int
    all_tasks: int
    station_days_an_hour: float
    """Recorded, since this command began to pick."""
    left_s: float | None
    """None until a task is finished."""


@dataclass(frozen=True)
class ArchiveSummary:
    """What a folder of picks holds of an archive's time, and what is missing."""

    folder: Path
    tasks: int
    picked_now: int
    """Tasks that this command finished; the others were before."""
    stations: int
    station_hours: float
    """Recorded."""
    picks: dict[str, int]
    gaps: int
    failures: tuple[str, ...]
    """Files that could not be read and tasks that failed, a sentence each; `retry` does them again."""
    seconds: float
    creator: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types only."""
        return {**asdict(self), "folder": str(self.folder)}


def pick_archive(
    archive: str | Path,
    stations: Inventory | StationTable | str | Path,
    folder: str | Path,
    picker: Picker,
    *,
    starttime: UTCDateTime | None = None,
    endtime: UTCDateTime | None = None,
    cluster: str | None = None,
    retry: bool = False,
    P_threshold: float | None = None,
    S_threshold: float | None = None,
    stride_s: float | None = None,
    merge: Merge = "mean",
    gate: Gate = "auto",
    channels: ChannelMap | str | Path | None = None,
    block_hours: int = BLOCK_HOURS,
    group_stations: int = GROUP_STATIONS,
    indexing: Callable[[int, int], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
    on_findings: OnFindings | None = None,
) -> ArchiveSummary:
    """Pick an SDS tree or a folder of day files into a folder of Parquet files by day, and say what came of it.

    The picks are those of one pass over the whole archive. Called again, it goes on: what is finished stays, unless
    files, stations or settings have changed. cluster: None picks in this process, "local" or "local:4" in so many
    workers on this machine, "tcp://host:8786" on a running dask scheduler, whose workers see the archive under the same
    path. retry: do again what failed, and what lacks a file that could not be read. block_hours, group_stations: size
    of a task; picks do not depend on it. The rest as for `Picker.classify`.

    Raises `CampaignError` for an archive or stations that cannot be used, `PhasenoPeftError` where nothing can be
    written, a scheduler is not there or goes away, or pyarrow or dask is missing, and `BusyError` where another process
    writes the folder. What is finished by then stays finished.
    """
    began = time.monotonic()
    pyarrow()  # before any work
    tell = on_findings or _log_warnings
    table = read_stations(stations)
    thresholds = {"P": P_threshold, "S": S_threshold}
    by = ArchivePicker(picker, table, thresholds, stride_s, merge, gate, channels)
    picks_folder = PicksFolder(folder)
    begin_ns, end_ns = (None if t is None else t.ns for t in (starttime, endtime))
    files = read_archive_headers(
        archive,
        picker.preprocessing.rate_hz,
        channels=channels,
        begin_ns=begin_ns,
        end_ns=end_ns,
        retry=retry,
        suspect=[text for entry in picks_folder.finished.values() for text in entry.unreadable],
        progress=indexing,
    )
    window_starts(picker.preprocessing.window_samples, picker.preprocessing, stride_s)  # refuses what no task could do
    with picks_folder.writing(by.settings):
        contract = picker.contract()
        plan = plan_archive(
            files,
            table,
            picker.preprocessing,
            source=f"{archive}",
            settings_digest=by.settings_digest,
            trained=None if contract is None else contract.frame,
            begin_ns=begin_ns,
            end_ns=end_ns,
            block_hours=block_hours,
            group_stations=group_stations,
            finished_ns=[(entry.begin_ns, entry.end_ns) for entry in picks_folder.finished.values()],
        )
        damaged = unreadable(files)
        tell([*plan.findings, *(Finding("warning", f"left out: {why}") for why in damaged)])
        tell(_replaced_for_good(plan, picks_folder))
        waiting = [task for task in plan.tasks if _is_wanted(picks_folder.finished.get(task.key), retry=retry)]
        with _done(waiting, by, cluster) as results:
            _collect(results, waiting, plan, picks_folder, progress)
        return _summary(plan, picks_folder, damaged, len(waiting), time.monotonic() - began)


def read_picks(folder: str | Path) -> PickList:
    """The picks of a folder that `pick_archive` wrote, in time order. Raises `PhasenoPeftError` for another folder."""
    return PicksFolder(folder).read()


def _log_warnings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.severity != "note":
            log.warning("%s", finding.text)


def _replaced_for_good(plan: ArchivePlan, folder: PicksFolder) -> list[Finding]:
    """A warning where blocks are picked anew without stations whose picks lie there."""
    planned = {task.key for task in plan.tasks}
    gone: dict[str, int] = {}
    for entry in folder.finished.values():
        anew = [task for task in plan.tasks if task.begin_ns <= entry.begin_ns < task.end_ns]
        if entry.key in planned or not anew:
            continue
        for station_id in set(entry.station_ids).difference(*(task.group.station_ids for task in anew)):
            gone[station_id] = gone.get(station_id, 0) + 1
    if not gone:
        return []
    text = (
        f"{folder.folder}: holds picks of {len(gone)} stations that have no record or no place any more "
        f"({few(sorted(gone))}). Where their blocks are picked anew now, these picks go. To keep them, stop, and give "
        "another folder."
    )
    return [Finding("warning", text)]


def _is_wanted(entry: Finished | None, *, retry: bool) -> bool:
    return entry is None or (retry and bool(entry.failed or entry.unreadable))


@contextlib.contextmanager
def _done(tasks: Sequence[Task], by: ArchivePicker, cluster: str | None) -> Iterator[Iterator[Done]]:
    """The tasks as they are finished, in this process or on a cluster."""
    if cluster is None or not tasks:
        yield ((task, attempt(task, by)) for task in tasks)
        return
    try:
        from phaseno_peft.archive.cluster import done_on_cluster
    except ModuleNotFoundError as error:
        raise PhasenoPeftError(
            f"a cluster needs dask.distributed ({error.name} is missing): pip install 'phaseno-peft[cluster]'. Without "
            "--cluster, the archive is picked in this process."
        ) from error
    with done_on_cluster(tasks, by, cluster) as results:
        yield results


def _collect(
    results: Iterator[Done],
    waiting: Sequence[Task],
    plan: ArchivePlan,
    folder: PicksFolder,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Write what comes, and say how far it is."""
    planned = {task.key for task in plan.tasks}
    of_block: dict[int, list[str]] = {}
    for entry in folder.finished.values():
        if entry.key not in planned:  # of files, stations or groups that have changed since
            of_block.setdefault(entry.begin_ns, []).append(entry.key)
    began, recorded_s = time.monotonic(), 0.0
    before = len(plan.tasks) - len(waiting)
    for n_done, (task, result) in enumerate(results, start=1):
        replaces = [
            key for begin in list(of_block) if task.begin_ns <= begin < task.end_ns for key in of_block.pop(begin)
        ]
        entry = folder.add(task, result, replaces)
        recorded_s += entry.recorded_s
        if progress is not None:
            passed_s = max(time.monotonic() - began, 1e-9)
            left_s = passed_s / n_done * (len(waiting) - n_done)
            progress(Progress(before + n_done, len(plan.tasks), recorded_s / 24 / passed_s, left_s))


def _summary(
    plan: ArchivePlan, folder: PicksFolder, damaged: Sequence[str], picked_now: int, seconds: float
) -> ArchiveSummary:
    entries = [entry for task in plan.tasks if (entry := folder.finished.get(task.key)) is not None]
    failures = list(damaged)
    for entry in entries:
        failures += [why for why in entry.unreadable if why not in failures]
    failures += [f"{task.block}: {entry.failed}" for task in plan.tasks if (entry := folder.finished[task.key]).failed]
    return ArchiveSummary(
        folder=folder.folder,
        tasks=len(plan.tasks),
        picked_now=picked_now,
        stations=len(plan.station_ids),
        station_hours=round(sum(entry.recorded_s for entry in entries) / 3600, 3),
        picks={phase: sum((entry.picks or {}).get(phase, 0) for entry in entries) for phase in ("P", "S")},
        gaps=sum(entry.gaps for entry in entries),
        failures=tuple(failures),
        seconds=round(seconds, 1),
        creator=folder.creator,
    )
