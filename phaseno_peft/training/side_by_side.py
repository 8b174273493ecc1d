"""Several trainings at once, each in a process of its own with its share of the cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from phaseno_peft.backbone.cpu.parallel import usable_cores
from phaseno_peft.errors import PhasenoPeftError

T = TypeVar("T")


@contextmanager
def side_by_side(function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], at_once: int) -> Iterator[Iterator[T]]:
    """What `function` returns for the arguments of each job, in order; `at_once` of them are worked on.

    Function and arguments travel to the processes. Those that still work when an error or the user ends this are
    stopped; their checkpoints stay. Raises `PhasenoPeftError` where one of them dies.
    """
    processes = max(1, min(at_once, len(jobs)))
    others = set(multiprocessing.active_children())
    threads = max(1, usable_cores() // processes)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=torch.set_num_threads, initargs=(threads,))
    try:
        yield _results([pool.submit(function, *job) for job in jobs])
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _results(futures: Sequence[Future[T]]) -> Iterator[T]:
    for future in futures:
        try:
            yield future.result()
        except BrokenProcessPool as error:
            raise PhasenoPeftError(
                "one of the training processes died; it may have run out of memory. Finished runs and epochs are kept: "
                "the same command with fewer trainings at once goes on from there."
            ) from error
