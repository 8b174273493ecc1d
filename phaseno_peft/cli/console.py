"""How the command line speaks: results on standard output, messages and progress on standard error.

Names, paths and texts come from files of others. Whatever is printed is taken as it stands, without rich's markup, and
characters that would steer a terminal are spelled out. This is done here, so that no command can forget it.
"""

from __future__ import annotations

import json
import logging
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from phaseno_peft.text_tables import TextTable

if TYPE_CHECKING:
    from phaseno_peft.campaign import Finding

STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that a terminal obeys or cannot show: control, direction, surrogates, unassigned, separators."""
MOST_FINDINGS = 12
"""Lines of warnings, and of notes, that one command prints; --json has them all."""


def spelled_out(text: str, encoding: str = "utf-8") -> str:
    """The text with characters that steer a terminal, or that the encoding lacks, as Python escapes; lines stay."""
    safe = "".join(
        c if c in "\n\t" or unicodedata.category(c) not in STEERING else c.encode("unicode_escape").decode()
        for c in text
    )
    return safe.encode(encoding, "backslashreplace").decode(encoding)


class LogFormatter(logging.Formatter):
    """Log lines without steering characters."""

    def format(self, record: logging.LogRecord) -> str:
        return spelled_out(super().format(record))


class _PlainConsole(Console):
    """A console that takes every text as it stands: no markup, no emoji codes, no characters that steer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(spelled_out(segment.text, self.encoding), segment.style)


class Terminal:
    """Messages of one command. Bars show on a terminal only; lines of progress also in a log, unless quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.out: Console = _PlainConsole()
        if not self.out.is_terminal:  # a file or a pipe: do not squeeze tables into 80 columns
            self.out = _PlainConsole(width=140)
        self.err: Console = _PlainConsole(stderr=True)
        self.started = time.monotonic()

    def say(self, text: str) -> None:
        """A line on standard error, with the seconds since the command began."""
        if not self.quiet:
            seconds = f"{time.monotonic() - self.started:6.1f} s"
            self.err.print(Text.assemble((seconds, "dim"), f"  {text}"), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A warning on standard error, also when quiet."""
        self.err.print(Text.assemble(("warning:", "yellow"), f" {text}"), soft_wrap=True)

    def tell(self, findings: Sequence[Finding]) -> None:
        """Findings on standard error, warnings first and also when quiet; alike ones in one line, and not too many."""
        from phaseno_peft.campaign.findings import condense

        for severity, speak in (("error", self.warn), ("warning", self.warn), ("note", self.say)):
            lines = [finding.text for finding in condense(findings) if finding.severity == severity]
            for line in lines[:MOST_FINDINGS]:
                speak(line)
            if len(lines) > MOST_FINDINGS:
                speak(f"and {len(lines) - MOST_FINDINGS} more {severity}s; --json lists all.")

    def show(self, renderable: Any) -> None:
        """A result on standard output."""
        self.out.print(renderable, soft_wrap=isinstance(renderable, str))

    def show_rows(self, rows: Sequence[Mapping[str, Any]], title: str = "") -> None:
        """A table on standard output, its header from the first row's keys."""
        self.show(TextTable.of(rows, title))

    def show_json(self, value: Any) -> None:
        """A result on standard output as JSON, in ASCII."""
        self.out.print_json(json.dumps(value, default=str), ensure_ascii=True)

    @contextmanager
    def bar(self, text: str) -> Iterator[Callable[[int, int | None], None]]:
        """A progress bar; yields `update(done, all)`. Only on a terminal."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        with Progress(
            TextColumn("         {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.err,
            transient=True,
            disable=self.quiet or not self.err.is_terminal,
        ) as progress:
            task = progress.add_task(spelled_out(text), total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)


def findings_json(findings: Iterable[Finding]) -> dict[str, list[dict[str, str]]]:
    """All findings, as `--json` shows them beside a command's own result."""
    return {"findings": [{k: v for k, v in asdict(finding).items() if v} for finding in findings]}
