"""How the command line speaks: results on standard output, messages and progress on standard error."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape


def plain(text: str) -> str:
    """Text that came from a file, made harmless for a terminal: no markup, no control characters but line ends."""
    return escape("".join(c for c in text if c.isprintable() or c in "\n\t"))


class Terminal:
    """Messages of one command. Bars show on a terminal only; lines of progress also in a log, unless quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.out = Console()
        if not self.out.is_terminal:  # a file or a pipe: do not squeeze tables into 80 columns
            self.out = Console(width=140)
        self.err = Console(stderr=True, highlight=False)
        self.started = time.monotonic()

    def say(self, text: str) -> None:
        """A line on standard error, with the seconds since the command began."""
        if not self.quiet:
            self.err.print(f"[dim]{time.monotonic() - self.started:6.1f} s[/dim]  {text}", soft_wrap=True)

    def warn(self, text: str) -> None:
        """A warning on standard error, also when quiet."""
        self.err.print(f"[yellow]warning:[/yellow] {text}", soft_wrap=True)

    def show(self, renderable: Any) -> None:
        """A result on standard output."""
        self.out.print(renderable, soft_wrap=isinstance(renderable, str))

    def show_json(self, value: Any) -> None:
        """A result on standard output as JSON."""
        self.out.print_json(json.dumps(value, default=str))

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
            TextColumn("         {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.err,
            transient=True,
            disable=self.quiet or not self.err.is_terminal,
        ) as progress:
            task = progress.add_task(text, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
