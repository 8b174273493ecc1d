"""Kill a process at its n-th file operation, n from 1 until it lives: what a power cut or `kill -9` leaves on the disk.

The operation runs in a fork of this process. Python's audit events tell of every file that is opened for writing and of
every rename, removal, new folder and lock; `os.write` dies with half of its bytes written, `os.fsync` before it did
anything. What Python holds in buffers is lost, as it is after a real kill.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator

_EVENTS = {
    *("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    "fcntl.flock",
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def kills(operation: Callable[[], object], most: int = 1000) -> Iterator[int]:
    """Run `operation` again and again, killed at its first file operation, then at its second, and so on.

    Yields the number after each kill, for the caller to look at the disk and to put it back as it was; ends after the
    first run that nothing killed. Raises RuntimeError where the operation fails by itself or does not end.
    """
    for number in range(1, most + 1):
        if not killed_at(operation, number):
            return
        yield number
    raise RuntimeError(f"the operation makes more than {most} file operations")


def killed_at(operation: Callable[[], object], number: int) -> bool:
    """Run `operation` in a fork that is killed at file operation `number`; False if it ended well before that."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _arm(number)
            operation()
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status != 0:
        raise RuntimeError(f"the operation failed by itself before its file operation {number} (status {status})")
    return False


def _arm(number: int) -> None:
    left = number
    write, fsync = os.write, os.fsync
    sys.dont_write_bytecode = True

    def step() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        writes = event in _EVENTS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES)
        if writes and step():
            os.kill(os.getpid(), signal.SIGKILL)

    def dying_write(descriptor: int, content: bytes) -> int:
        if step():
            write(descriptor, bytes(content)[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(descriptor, content)

    def dying_fsync(descriptor: int) -> None:
        if step():
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    os.write, os.fsync = dying_write, dying_fsync
    sys.addaudithook(hook)
