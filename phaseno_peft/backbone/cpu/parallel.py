"""Independent pieces of a block, shared out to as many threads as torch may use.

torch splits every single operation over its threads and waits for the slowest after each one. The pieces here last
milliseconds and only then meet, which keeps their temporaries in a core's cache. On a busy machine, where one late
thread holds up an operation for a scheduler's slice, it is the difference between seconds and tenths of a second.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}
_here = threading.local()


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def by_station(x: Tensor) -> bool:
    """Whether to compute in pieces: float32 on a CPU. A compiler, an accelerator, other types want whole tensors."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling()


def on_all_cores(compute: Callable[..., Tensor], x: Tensor, *others: Any) -> Tensor:
    """compute(x, *others), and the backward pass through it, with all cores shared out over the stations of `x`."""
    if not by_station(x):
        return compute(x, *others)
    with undivided():
        result = compute(x, *others)
        return undivided_backward(result) if result.requires_grad else result


@contextmanager
def undivided() -> Iterator[None]:
    """Within, torch runs every operation of this thread on one core, and `run` uses the others.

    torch's number of threads comes back at the end. The matrix library keeps one number for the whole process: other
    threads' products use one core meanwhile.
    """
    if _width() > 1 or torch.get_num_threads() == 1:  # already within, or nothing to divide
        yield
        return
    _begin()
    try:
        yield
    finally:
        _end()


def undivided_backward(x: Tensor) -> Tensor:
    """`x`; the backward pass that comes through it is undivided from here to its end."""
    result: Tensor = _UndividedBackward.apply(x)  # type: ignore[no-untyped-call]  # torch's stub
    return result


class _UndividedBackward(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_: Any, grad: Tensor) -> Tensor:
        if _width() == 1 and torch.get_num_threads() > 1:
            _begin()
        if _width() > 1:  # also after a backward pass that failed before its end
            torch.autograd.Variable._execution_engine.queue_callback(_end)
        return grad


def _width() -> int:
    return getattr(_here, "width", 1)


def _begin() -> None:
    _here.width = torch.get_num_threads()
    torch.set_num_threads(1)


def _end() -> None:
    torch.set_num_threads(_width())
    _here.width = 1


def run(pieces: Sequence[Callable[[], None]]) -> None:
    """Call every piece, without autograd; each writes to a place of its own. The first error is raised again.

    Pieces see no context variables of the caller: what depends on them (an adapter's weights) is read before.
    """
    inference = torch.is_inference_mode_enabled()

    def call(piece: Callable[[], None]) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            piece()

    width = _width()
    if width == 1 or len(pieces) == 1:
        for piece in pieces:
            call(piece)
        return
    for _ in _pool(width).map(call, pieces):
        pass


def _pool(width: int) -> ThreadPoolExecutor:
    with _lock:
        if width not in _pools:
            _pools[width] = ThreadPoolExecutor(width, "phaseno-peft", initializer=torch.set_num_threads, initargs=(1,))
        return _pools[width]


def _forget() -> None:
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_forget)
