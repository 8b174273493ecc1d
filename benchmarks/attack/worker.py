"""Attacks in a process of their own: what hangs is killed, what dies is noticed, what takes memory is measured."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.attack.report import AttackResult

Attempt = Callable[[int], AttackResult]
_START_S = 900.0
"""For imports, the first, compiling run of the network, and the reading of all real files, on a busy machine."""
_WAITS = 6.0
"""On a busy machine much is waiting: a process is killed after so many limits, others are judged by their CPU time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one attack may take."""

    seconds: float = 5.0
    memory_bytes: int = 1 << 30
    """Above what the process held before its first attack."""


def bounded(
    start: Callable[[], Attempt], numbers: Iterator[int], limits: Limits, stop_at: float, doing: Path
) -> Iterator[tuple[int, AttackResult]]:
    """(number, result) of every attack that begins before `stop_at` (time.monotonic).

    start: called in the new process, returns what makes attack `number`. After a hang, a death or too much memory the
    next attacks are made by a new process. doing: where an attack notes what it does, for those that never end.
    """
    context = multiprocessing.get_context("fork")
    number = next(numbers, None)
    while number is not None and time.monotonic() < stop_at:
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(start, there, limits), daemon=True)
        process.start()
        there.close()
        try:
            if not here.poll(_START_S) or here.recv() != "ready":
                raise RuntimeError("the process that makes the attacks did not start")
            result: AttackResult | None = None
            while number is not None and time.monotonic() < stop_at:
                here.send(number)
                result, is_spent = _answer(here, limits, doing)
                yield number, result
                number = next(numbers, None)
                if is_spent:
                    break
        except EOFError as error:
            raise RuntimeError("the process that makes the attacks died before the first one") from error
        finally:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
            process.join()
            here.close()


def _answer(here: Connection, limits: Limits, doing: Path) -> tuple[AttackResult, bool]:
    """What the process says, and whether it is of no more use."""
    if not here.poll(limits.seconds * _WAITS):
        return AttackResult("hang", f"more than {limits.seconds * _WAITS:.0f} s; {_noted(doing)}"), True
    try:
        result, cpu_s, memory_bytes = here.recv()
    except (EOFError, OSError):
        return AttackResult("raw error", f"the process died; {_noted(doing)}"), True
    if memory_bytes > limits.memory_bytes:
        return AttackResult("memory", f"{memory_bytes >> 20} MiB, {cpu_s:.1f} s; {result.what}"), True
    if cpu_s > limits.seconds:
        return AttackResult("hang", f"{cpu_s:.1f} s; {result.what}"), False
    return result, False


def _noted(doing: Path) -> str:
    return doing.read_text() if doing.exists() else ""


def _serve(start: Callable[[], Attempt], there: Connection, limits: Limits) -> None:
    warnings.simplefilter("ignore")  # obspy's, about what it guesses; PEFT's, about keys it does not know
    logging.disable(logging.WARNING)
    attempt = start()
    pages = int(open("/proc/self/statm").read().split()[0]) if os.path.exists("/proc/self/statm") else None  # noqa: SIM115
    if pages is not None:  # a bomb ends in MemoryError, not with the machine
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 4 * limits.memory_bytes,) * 2)
    before = _peak_bytes()
    there.send("ready")
    while True:
        try:
            number = there.recv()
        except EOFError:
            return
        begun = time.process_time()
        result = attempt(number)
        there.send((result, time.process_time() - begun, _peak_bytes() - before))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
