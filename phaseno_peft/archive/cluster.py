"""Tasks of an archive on dask.distributed: workers on this machine, or those of a scheduler that runs somewhere.

The scheduler gives the tasks of a worker that died to another one. Results come back to this process, which alone
writes: a worker needs the archive under the same path, and nothing else.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import distributed
import torch

from phaseno_peft.archive.plan import Task
from phaseno_peft.archive.task import ArchivePicker, TaskResult, attempt
from phaseno_peft.backbone.cpu.parallel import usable_cores
from phaseno_peft.errors import PhasenoPeftError

log = logging.getLogger(__name__)

WAITING_TASKS = 4
"""Tasks a thread of a worker has before it: enough that it never waits, few enough that the scheduler holds little."""
ANSWER_S = 15.0
"""A scheduler that does not answer for so long is not there."""
_PATIENCE_S = 5.0
"""How often it is asked whether the scheduler is still there."""
_LOCAL = re.compile(r"local(?::(\d+))?")


@contextmanager
def done_on_cluster(
    tasks: Sequence[Task], by: ArchivePicker, address: str
) -> Iterator[Iterator[tuple[Task, TaskResult | str]]]:
    """The tasks and what came of each, as workers finish them.

    address: "local", "local:4" or "tcp://host:8786". Raises `PhasenoPeftError` for another address, and for a scheduler
    that is not there, has no workers or goes away.
    """
    with ExitStack() as stack:
        client = stack.enter_context(_client(address, stack))
        token = secrets.token_hex(8)
        client.register_plugin(_LoadedOnce(token, by))  # also in workers that come later
        yield _results(client, tasks, token, address)


class _LoadedOnce(distributed.WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Backbone, adapter and stations, unpickled once in each worker, for all its tasks."""

    def __init__(self, token: str, by: ArchivePicker) -> None:
        self.name = f"phaseno-peft-{token}"
        self._token, self._by = token, by

    def setup(self, worker: Any) -> None:
        """Called in a worker when it starts."""
        torch.set_num_threads(1)  # the workers share the cores out
        held = getattr(worker, "phaseno_peft", {})
        worker.phaseno_peft = {**held, self._token: self._by}


def _client(address: str, stack: ExitStack) -> Any:
    if (local := _LOCAL.fullmatch(address)) is not None:
        if local[1] == "0":
            raise PhasenoPeftError("--cluster local:0 has no workers. Give local:2, or local for one a core.")
        made = distributed.LocalCluster(
            n_workers=int(local[1] or usable_cores()),
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        )
        return distributed.Client(stack.enter_context(made))
    if "://" not in address:
        raise PhasenoPeftError(f"--cluster {address}: is no cluster. Give local, local:4 or tcp://host:8786.")
    try:
        client = distributed.Client(address, timeout=ANSWER_S)
    except (OSError, ValueError) as error:
        raise PhasenoPeftError(
            f"--cluster {address}: no scheduler answers there. Start one with `dask scheduler` and workers with `dask "
            f"worker {address}`, or pick on this machine with --cluster local."
        ) from error
    if not client.nthreads():
        client.close()
        raise PhasenoPeftError(
            f"--cluster {address}: the scheduler has no workers. Start some: `dask worker {address}`."
        )
    return client


def _results(client: Any, tasks: Sequence[Task], token: str, address: str) -> Iterator[tuple[Task, TaskResult | str]]:
    waiting = list(reversed(tasks))
    under_way: dict[Any, Task] = {}
    is_told = False
    gone = PhasenoPeftError(
        f"--cluster {address}: the scheduler is gone. What is finished stays so. Start it again, or give another, and "
        "run the same command: it goes on."
    )
    try:
        while waiting or under_way:
            threads = sum(client.nthreads().values())
            if not threads and not is_told:
                log.warning("--cluster %s: no worker is left. The tasks wait until there is one.", address)
            is_told = not threads
            room = WAITING_TASKS * max(1, threads)
            while waiting and len(under_way) < room:
                task = waiting.pop()
                future = client.submit(_attempt, token, task, key=f"phaseno-peft-{token}-{task.key}", pure=False)
                under_way[future] = task
            try:
                finished = distributed.wait(list(under_way), timeout=_PATIENCE_S, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                finished = set()
            if client.status != "running":
                raise gone
            for future in finished:
                task = under_way.pop(future)
                if future.status == "cancelled":
                    raise gone
                yield task, future.result() if future.status == "finished" else _why(future)
    except (OSError, distributed.client.FutureCancelledError) as error:
        raise gone from error


def _why(future: Any) -> str:
    """Why a task was given up: workers that died under it again and again, out of memory for example."""
    error = future.exception()
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"


def _attempt(token: str, task: Task) -> TaskResult | str:
    """In a worker: the task, by what the worker loaded when it started."""
    return attempt(task, distributed.get_worker().phaseno_peft[token])
