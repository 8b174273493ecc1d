"""A folder of picks that grows task by task: Parquet by day, and a manifest of what is finished.

A task's picks are written whole or not at all, and only then is it entered in the manifest: what the manifest does not
name does not count and is removed when the folder is opened again. `pandas.read_parquet` reads the folder as it is.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from obspy import UTCDateTime

from phaseno_peft.archive.plan import Task
from phaseno_peft.archive.task import TaskResult
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.files import write_file
from phaseno_peft.files.atomic import lock
from phaseno_peft.picks import Pick, PickList

MANIFEST = "_manifest.jsonl"
"""Readers of Parquet folders pass over names that begin so."""
VERSION = 1
_LISTS = ("findings", "unreadable", "replaces", "station_ids")
_COLUMNS = ("station", "phase", "time", "probability", "uncertainty_s", "spread_s")


@dataclass(frozen=True, slots=True)
class Finished:
    """A line of the manifest: one task, picked or failed."""

    key: str
    begin_ns: int
    end_ns: int
    stations: int
    file: str = ""
    """Parquet within the folder; empty where there are no picks."""
    picks: Mapping[str, int] | None = None
    """Phase -> how many."""
    recorded_s: float = 0.0
    gaps: int = 0
    findings: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    failed: str = ""
    """Why there are no picks; empty where the task went well."""
    replaces: tuple[str, ...] = ()
    """Keys of tasks whose picks these take the place of."""
    at: float = 0.0
    """When it was finished, seconds since 1970."""
    station_ids: tuple[str, ...] = ()
    """Whose picks these are."""


class PicksFolder:
    """Picks of an archive on disk. One process writes (`writing`), any number reads."""

    def __init__(self, folder: str | Path) -> None:
        """Raise `PhasenoPeftError` for a folder of something else, or of a newer version."""
        self.folder = Path(folder)
        self.settings: dict[str, Any] | None = None
        self.finished: dict[str, Finished] = {}
        """Key -> what counts now."""
        self._n_bytes = 0
        self._read()

    @property
    def creator(self) -> str:
        """As `PickList.creator` says it."""
        return str((self.settings or {}).get("creator", ""))

    @contextmanager
    def writing(self, settings: Mapping[str, Any]) -> Iterator[PicksFolder]:
        """Open the folder for picks that are made in one way.

        Raises `BusyError` where another process is at it, and `PhasenoPeftError` where it holds picks that were made
        in another way.
        """
        with lock(self.folder, "picking"):
            self._read()
            wanted = json.loads(json.dumps(settings))
            if self.settings is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._append({"version": VERSION, "settings": wanted})
                self.settings = wanted
            elif self.settings != wanted:
                other = next(
                    name for name in {**self.settings, **wanted} if self.settings.get(name) != wanted.get(name)
                )
                raise PhasenoPeftError(
                    f"{self.folder}: holds picks by {self.creator} with another {other} ({self.settings.get(other)!r}, "
                    f"asked for is {wanted.get(other)!r}). Give another folder, or the same settings to go on."
                )
            self._remove_unlisted()
            yield self

    def add(self, task: Task, result: TaskResult | str, replaces: Iterable[str] = ()) -> Finished:
        """Enter a task: its result, or why it failed. What it replaces is forgotten.

        Raises `PhasenoPeftError` where nothing can be written, a full disk for example: what is there stays as it is.
        """
        replaced = tuple(key for key in replaces if key in self.finished and key != task.key)
        older = {self.finished[key].file for key in (*replaced, task.key) if key in self.finished}
        common: dict[str, Any] = {
            "key": task.key,
            "begin_ns": task.begin_ns,
            "end_ns": task.end_ns,
            "stations": len(task.group.station_ids),
            "replaces": replaced,
            "at": round(time.time(), 3),
            "station_ids": task.group.station_ids,
        }
        if isinstance(result, str):
            entry = Finished(**common, failed=result)
        else:
            counts = {phase: len(result.picks.select(phase=phase)) for phase in ("P", "S")}
            file = ""
            if len(result.picks):
                day = UTCDateTime(ns=task.begin_ns).strftime("%Y-%m-%d")
                file = f"day={day}/{task.key}.parquet"
                write_parquet(self.folder / file, result.picks)
            entry = Finished(
                **common,
                file=file,
                picks=counts,
                recorded_s=round(sum(result.recorded_s.values()), 3),
                gaps=result.gaps,
                findings=result.findings,
                unreadable=result.unreadable,
            )
        self._append(asdict(entry))
        self._enter(entry)
        for file in older - {"", entry.file}:
            (self.folder / file).unlink(missing_ok=True)
        return entry

    def read(self) -> PickList:
        """All picks that count, in time order."""
        picks = PickList(creator=self.creator or "unknown")
        for entry in self.finished.values():
            if entry.file:
                list.extend(picks, read_parquet(self.folder / entry.file))
        return picks.sorted()

    def _enter(self, entry: Finished) -> None:
        for key in entry.replaces:
            self.finished.pop(key, None)
        self.finished[entry.key] = entry

    def _read(self) -> None:
        path = self.folder / MANIFEST
        self.settings, self.finished, self._n_bytes = None, {}, 0
        if not path.is_file():
            if self.folder.is_file() or (self.folder.is_dir() and any(self.folder.iterdir())):
                raise PhasenoPeftError(
                    f"{self.folder}: is not a folder of picks, it has no {MANIFEST}. Give a new or an empty folder."
                )
            return
        lines = path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, start=1):
            try:
                raw = json.loads(line)
                if not line.endswith(b"\n") or not isinstance(raw, dict):
                    raise ValueError
            except ValueError:
                if number < len(lines):
                    raise PhasenoPeftError(
                        f"{path}: line {number} is damaged. Restore the file from a copy, or give another folder."
                    ) from None
                break  # a kill cut it off: written over by the next line
            if self.settings is None:
                if raw.get("version") != VERSION:
                    raise PhasenoPeftError(
                        f"{path}: its version is {raw.get('version')!r}, this phaseno-peft reads {VERSION}. Use the "
                        "phaseno-peft that wrote it, or another folder."
                    )
                self.settings = dict(raw.get("settings") or {})
            else:
                try:
                    lists = {name: tuple(raw.get(name, ())) for name in _LISTS}
                    self._enter(Finished(**{**raw, **lists}))
                except TypeError as error:
                    raise PhasenoPeftError(
                        f"{path}: line {number} is damaged. Restore the file from a copy, or give another folder."
                    ) from error
            self._n_bytes += len(line)

    def _append(self, raw: Mapping[str, Any]) -> None:
        """Write a line behind the last whole one, and have it on the disk."""
        path = self.folder / MANIFEST
        line = f"{json.dumps(raw, separators=(',', ':'))}\n".encode()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.ftruncate(descriptor, self._n_bytes)
                os.lseek(descriptor, self._n_bytes, os.SEEK_SET)
                if os.write(descriptor, line) < len(line):
                    raise OSError(28, "No space left on device")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise PhasenoPeftError(
                f"{path}: cannot be written: {error.strerror or error}. The {len(self.finished)} tasks that are "
                "finished stay so. Make room on its disk, and run the same command again: it goes on."
            ) from error
        self._n_bytes += len(line)

    def _remove_unlisted(self) -> None:
        """Remove picks of tasks that the manifest does not name: of a kill between the two."""
        listed = {entry.file for entry in self.finished.values()}
        for path in self.folder.glob("day=*/*.parquet"):
            if path.relative_to(self.folder).as_posix() not in listed:
                path.unlink(missing_ok=True)


def write_parquet(path: Path, picks: Iterable[Pick]) -> Path:
    """Write picks, times in nanoseconds UTC, and return the path. Raises `PhasenoPeftError` without pyarrow."""
    pa, pq = pyarrow()
    listed = list(picks)
    columns = {
        "station": pa.array([p.trace_id for p in listed], pa.string()),
        "phase": pa.array([p.phase for p in listed], pa.string()),
        "time": pa.array([p.time.ns for p in listed], pa.timestamp("ns", "UTC")),
        "probability": pa.array([p.probability for p in listed], pa.float64()),
        "uncertainty_s": pa.array([p.uncertainty_s for p in listed], pa.float64()),
        "spread_s": pa.array([p.spread_s for p in listed], pa.float64()),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_file(path, sink.getvalue().to_pybytes())


def read_parquet(path: Path) -> list[Pick]:
    """Picks of one Parquet file. Raises `PhasenoPeftError` for a damaged one, and without pyarrow."""
    pa, pq = pyarrow()
    try:
        table = pq.ParquetFile(path).read(columns=list(_COLUMNS))
        station, phase, when, probability, uncertainty_s, spread_s = (
            (table[name].cast(pa.int64()) if name == "time" else table[name]).to_pylist() for name in _COLUMNS
        )
    except (OSError, pa.ArrowException, KeyError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise PhasenoPeftError(
            f"{path}: cannot be read as picks ({first}). Remove it with its line in {MANIFEST}, and pick again."
        ) from error
    rows = zip(station, phase, when, probability, uncertainty_s, spread_s, strict=True)
    return [Pick(i, p, UTCDateTime(ns=ns), height, width, spread) for i, p, ns, height, width, spread in rows]


def pyarrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet. Raises `PhasenoPeftError` where it is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise PhasenoPeftError(
            "picks of an archive are kept as Parquet, which needs pyarrow: pip install 'phaseno-peft[archive]'. For "
            "one file instead give --out picks.csv."
        ) from error
    return pa, pq
