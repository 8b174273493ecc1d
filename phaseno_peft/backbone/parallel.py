"""Independent pieces of a block, shared out to as many threads as torch may use.

torch splits every single operation over its threads and waits for the slowest after each one. The pieces here last
milliseconds and only then meet, which keeps their temporaries in a core's cache and costs little on a busy machine.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def run(pieces: Sequence[Callable[[], None]]) -> None:
    """Call every piece, without autograd; each writes to a place of its own. The first error is raised again.

    Pieces see no context variables of the caller: what depends on them (an adapter's weights) is read before.
    """
    inference = torch.is_inference_mode_enabled()

    def call(piece: Callable[[], None]) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            piece()

    threads = torch.get_num_threads()
    if threads == 1 or len(pieces) == 1:
        for piece in pieces:
            call(piece)
    else:
        for _ in _pool(threads).map(call, pieces):
            pass


def _pool(threads: int) -> ThreadPoolExecutor:
    """One pool for each number of threads; its threads run torch operations undivided."""
    with _lock:
        if threads not in _pools:
            ready = threading.Barrier(threads)

            def alone() -> None:
                torch.get_num_threads()  # a thread's first look sets torch's default, which would undo the next line
                torch.set_num_threads(1)
                ready.wait()

            _pools[threads] = pool = ThreadPoolExecutor(threads, thread_name_prefix="phaseno-peft")
            for done in [pool.submit(alone) for _ in range(threads)]:
                done.result()
            torch.set_num_threads(threads)  # set_num_threads also changes what threads born later begin with
        return _pools[threads]


def _forget() -> None:
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_forget)
