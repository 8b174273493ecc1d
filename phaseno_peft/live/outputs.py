"""Where reports go: JSON lines, a CSV, Parquet parts, a webhook."""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import queue
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.files import write_file
from phaseno_peft.live.reports import Report

COLUMNS = (
    "id",
    "status",
    "replaces",
    "station",
    "phase",
    "time",
    "probability",
    "uncertainty_s",
    "latency_s",
    "since_last_sample_s",
)
ENDINGS = (".jsonl", ".csv", ".parquet")
PART_ROWS, PART_S = 5000, 30.0
"""A part of a Parquet folder is written after so many rows or seconds."""
POST_TIMEOUT_S, POST_TRIES, MOST_WAITING = 10.0, 3, 1000
"""A webhook gets each pass as one POST; where it does not answer, the oldest of so many are dropped."""


class Output(Protocol):
    """Something that takes reports as they come."""

    def write(self, reports: Sequence[Report]) -> None:
        """Take the reports of a pass."""

    def close(self) -> None:
        """Write what is still held."""


class JsonLines:
    """One JSON object a line, flushed after each pass."""

    def __init__(self, file: IO[str], *, closes: bool = False) -> None:
        self._file, self._closes = file, closes
        self.name = str(getattr(file, "name", "the output"))

    def write(self, reports: Sequence[Report]) -> None:
        """See `Output`."""
        for report in reports:
            self._file.write(json.dumps(report.row()) + "\n")
        self._file.flush()

    def close(self) -> None:
        """See `Output`."""
        if self._closes:
            self._file.close()


class CsvLines:
    """A CSV, its header written where the file is new."""

    def __init__(self, path: Path) -> None:
        self.name = f"{path}"
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")
        if not self._file.tell():
            self._writer.writeheader()

    def write(self, reports: Sequence[Report]) -> None:
        """See `Output`."""
        self._writer.writerows(report.row() for report in reports)
        self._file.flush()

    def close(self) -> None:
        """See `Output`."""
        self._file.close()


class ParquetParts:
    """A folder of Parquet files, a new one every `PART_S` seconds with picks; each appears whole."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise PhasenoPeftError(
                f"{folder}: Parquet needs pyarrow ({error}). Install it: pip install 'phaseno-peft[archive]', or give "
                "a file that ends in .jsonl or .csv."
            ) from error
        self._arrow, self._parquet = pyarrow, pyarrow.parquet
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise PhasenoPeftError(f"{folder}: cannot be made ({error.strerror}). Give another name.") from error
        self._folder, self._clock, self.name = folder, clock, f"{folder}"
        self._rows: list[dict[str, Any]] = []
        self._since = clock()
        self._number = 0

    def write(self, reports: Sequence[Report]) -> None:
        """See `Output`."""
        self._rows += [report.row() for report in reports]
        self.tick()

    def tick(self) -> None:
        """Write a part if one is due, also where no pick comes any more."""
        if len(self._rows) >= PART_ROWS or self._clock() - self._since >= PART_S:
            self._flush()

    def close(self) -> None:
        """See `Output`."""
        self._flush()

    def _flush(self) -> None:
        self._since = self._clock()
        if not self._rows:
            return
        arrow = self._arrow
        kinds = {"replaces": arrow.string(), **dict.fromkeys(COLUMNS[6:], arrow.float64())}
        schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in COLUMNS])
        part = io.BytesIO()
        self._parquet.write_table(arrow.Table.from_pylist(self._rows, schema), part)
        first = self._rows[0]["time"].replace(":", "").replace("-", "")[:15]
        while (path := self._folder / f"picks-{first}-{os.getpid()}-{self._number:05d}.parquet").exists():
            self._number += 1
        write_file(path, part.getvalue())
        self._number += 1
        self._rows = []


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would turn a POST into a GET without its body."""

    def redirect_request(self, *_: Any) -> None:
        """None: the answer is an error, which is told."""


_OPENER = urllib.request.build_opener(_Stay)


class Webhook:
    """Each pass with reports as one POST of a JSON list, from a thread of its own: a slow server holds nothing up."""

    def __init__(self, url: str, warn: Callable[[str], None]) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            host, _ = parts.hostname, parts.port  # a port that is no number is refused here
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https") or re.search(r"[\s\x00-\x1f]", url):
            raise PhasenoPeftError("the webhook is no address. Give one such as https://host/path.")
        if parts.username is not None or parts.password is not None:
            raise PhasenoPeftError("the webhook's address holds a user, which is not sent. Give a token in its path.")
        self._url, self._warn = url, warn
        self._shown = f"{parts.scheme}://{host}"
        """Without path and user, which may be a secret."""
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MOST_WAITING)
        self._is_failing = False
        self._n_dropped = 0
        self._thread = threading.Thread(target=self._post_all, name="webhook", daemon=True)
        self._thread.start()

    def write(self, reports: Sequence[Report]) -> None:
        """See `Output`."""
        body = json.dumps([report.row() for report in reports]).encode()
        while True:
            try:
                self._waiting.put_nowait(body)
                return
            except queue.Full:
                self._waiting.get_nowait()
                self._n_dropped += 1
                if self._n_dropped == 1:
                    self._warn(f"{self._shown} does not keep up: the oldest of {MOST_WAITING} posts are dropped.")

    def close(self) -> None:
        """See `Output`: what is waiting is posted, for some seconds at most."""
        try:
            self._waiting.put(None, timeout=POST_TIMEOUT_S)
            self._thread.join(POST_TIMEOUT_S)
        except queue.Full:  # the server does not answer, and nobody waits for it longer
            pass
        if n := self._n_dropped + self._waiting.qsize() - self._thread.is_alive():  # its end waits there too
            self._warn(f"{self._shown}: {n} posts were not sent.")

    def _post_all(self) -> None:
        while (body := self._waiting.get()) is not None:
            problem = ""
            for _ in range(POST_TRIES):
                request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
                try:
                    with _OPENER.open(request, timeout=POST_TIMEOUT_S):
                        problem = ""
                        break
                except (OSError, ValueError, http.client.HTTPException) as error:  # urllib's own errors are OSErrors
                    problem = str(error) or type(error).__name__
            if problem and not self._is_failing:
                self._warn(f"{self._shown}: picks could not be posted ({problem}). Further failures are not told.")
            self._is_failing = bool(problem)


def open_output(path: Path, clock: Callable[[], float]) -> Output:
    """What appends to a path: .jsonl, .csv, or .parquet for a folder of parts. Raises `PhasenoPeftError`."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise PhasenoPeftError(f"{path}: unknown ending {ending!r}. Use {', '.join(ENDINGS)} (a folder).")
    if not path.absolute().parent.is_dir():
        raise PhasenoPeftError(f"{path}: the folder {path.absolute().parent} does not exist. Make it first.")
    if ending == ".parquet":
        if path.exists() and not path.is_dir():
            raise PhasenoPeftError(f"{path}: is a file; Parquet grows in a folder of parts. Give another name.")
        return ParquetParts(path, clock)
    try:
        if ending == ".csv":
            _refuse_other_table(path)
        _end_last_line(path)
        return CsvLines(path) if ending == ".csv" else JsonLines(path.open("a", encoding="utf-8"), closes=True)
    except OSError as error:
        raise PhasenoPeftError(f"{path}: cannot be appended to ({error.strerror}). Give another name.") from error


def _refuse_other_table(path: Path) -> None:
    """Raise `PhasenoPeftError` where a CSV has other columns, as that of `pick`."""
    if path.is_file() and path.stat().st_size:
        with path.open(encoding="utf-8", errors="replace") as file:
            if file.readline().rstrip("\r\n") != ",".join(COLUMNS):
                raise PhasenoPeftError(f"{path}: holds another table. Give another name.")


def _end_last_line(path: Path) -> None:
    """So that what is appended does not continue half a line that a kill left."""
    if path.is_file() and path.stat().st_size:
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
