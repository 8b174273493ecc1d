"""Files and folders written whole or not at all, by one process at a time.

A file is written as `.NAME.tmp` beside its place and renamed. A folder is built as `.NAME.new.TOKEN`; the one it
replaces waits as `.NAME.old.TOKEN`, whole, until the new one stands, and what is to go is renamed to
`.NAME.removed.TOKEN` first. A kill at any moment leaves the old content or the new one: in its place, or as `.old`
beside it, from where the next access puts it back. Whoever writes a folder holds `.NAME.lock`, a lock of the operating
system that a kill releases.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import platform
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from phaseno_peft.errors import BusyError, PhasenoPeftError

try:
    import fcntl
except ImportError:  # Windows: files are written whole there too, but two processes are not told of each other
    fcntl = None  # type: ignore[assignment]  # asked for before each use

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""How long a writer waits for another one of the same file, and a reader for two folders that change places."""
_LEFT_BEHIND = re.compile(r"\.(?P<name>.+)\.(?:(?P<kind>new|old|removed)\.[a-z0-9_]{8}|lock|tmp)")
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_held: dict[Path, tuple[int, int]] = {}
"""Lock file -> (thread, descriptor)."""


def write_file(path: str | Path, content: bytes | str) -> Path:
    """Write a file, text as UTF-8, and return its path; one that was there is replaced whole or not at all.

    A link is followed; a pipe or terminal is written to as it is. Raises `PhasenoPeftError` where the folder does not
    exist or cannot be written, or the disk is full: what was there before is unchanged then.
    """
    target, content = Path(path), content.encode() if isinstance(content, str) else content
    try:
        if target.exists() and not (target.is_file() or target.is_dir()):
            target.write_bytes(content)
        else:
            _replace_file(Path(os.path.realpath(target)), content)
    except OSError as error:
        raise _cannot_write(target, error) from error
    return target


def check_folder(target: str | Path, what: str = "", contents: Sequence[str] = (), *, overwrite: bool) -> Path:
    """Return the path of a folder that may be written, asked before any work is done.

    contents: names that a folder of `what`, such as "report", holds; no other one is replaced. Raises
    `PhasenoPeftError` for a file, for a folder that is not empty without `overwrite`, and for one of something else.
    """
    target = Path(target)
    if os.path.lexists(target) and not target.is_dir():
        raise PhasenoPeftError(f"{target}: is no folder, so it is not replaced. Choose another name.")
    if target.is_dir() and any(target.iterdir()):
        if not overwrite:
            raise PhasenoPeftError(f"{target}: exists already. Choose another name, or replace it with --overwrite.")
        if not all((target / name).exists() for name in contents):
            raise PhasenoPeftError(f"{target}: holds no {what}, so it is not replaced. Choose another name.")
    return target


@contextlib.contextmanager
def write_folder(target: str | Path, doing: str = "writing", *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends well, and vanishes when it does not.

    A folder that was there stays until the new one stands. doing: see `lock`. Raises `BusyError`, and
    `PhasenoPeftError` where `target` is a file, is not empty and `overwrite` is False, or cannot be written.
    """
    target = _absolute(target)
    with lock(target, doing):
        with _explained(target):
            check_folder(target, overwrite=overwrite)
        part = _beside(target, "new")
        try:
            with _explained(target):
                part.mkdir()
            yield part
            with _explained(target):
                _flush(part)
                _put_in_place(part, target)
        finally:
            _delete(part)


def remove_folder(target: str | Path, doing: str = "removing") -> None:
    """Remove a folder, or a file, at once and whole. Raises `BusyError`, and `PhasenoPeftError` where it cannot."""
    target = _absolute(target)
    with lock(target, doing), _explained(target):
        if os.path.lexists(target):
            _retire(target, target)


@contextlib.contextmanager
def lock(target: str | Path, doing: str) -> Iterator[None]:
    """Keep other processes and threads from writing `target` while the block runs. Readers are not kept out.

    What a killed process left beside `target` is put back or removed first. The same thread may lock again. doing: what
    others are told, such as "training". Raises `BusyError` if another process or thread is at it, and
    `PhasenoPeftError` where nothing can be written.
    """
    target = _absolute(target)
    path = target.with_name(f".{target.name}.lock")
    if _held.get(path, (None,))[0] == threading.get_ident():
        yield
        return
    with _explained(target):
        path.parent.mkdir(parents=True, exist_ok=True)
        _held[path] = (threading.get_ident(), _acquire(path, target, doing))
    try:
        with _explained(target):
            _recover(target)
        yield
    finally:
        _, descriptor = _held.pop(path, (0, -1))
        if descriptor >= 0:  # not in a fork of the process that locked
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)


def settle(target: str | Path) -> None:
    """Before `target` is read: put it back if a killed process left it aside, wait while a running one exchanges it."""
    target = _absolute(target)
    until = time.monotonic() + PATIENCE_S
    while not os.path.lexists(target) and _left_behind(target, "old") and time.monotonic() < until:
        try:
            with lock(target, "reading"):
                return
        except BusyError:
            time.sleep(0.002)
        except PhasenoPeftError:  # of another user: nothing can be put back
            return


def sweep(folder: str | Path) -> None:
    """Put back or remove all that killed processes left in a folder of ours; what a running one works on stays."""
    folder = _absolute(folder)
    try:
        found = [match for entry in os.scandir(folder) if (match := _LEFT_BEHIND.fullmatch(entry.name))]
    except OSError:  # not there, or of another user
        return
    for match in found:
        with contextlib.suppress(OSError, PhasenoPeftError):
            if match.string.endswith(".tmp"):
                _discard(folder / match.string)
            else:
                with lock(folder / match["name"], "tidying up"):
                    pass


def version_of(folder: str | Path) -> tuple[int, int] | None:
    """Differs before and after a folder is replaced as a whole; None where there is none."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _replace_file(target: Path, content: bytes) -> None:
    part = target.with_name(f".{target.name}.tmp")
    descriptor = _create(part)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
        if fcntl is None:  # Windows does not rename an open file
            os.close(descriptor)
            descriptor = -1
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    _flush_entry(target.parent)


def _create(path: Path) -> int:
    """Descriptor of a new, locked file. One that a killed process left is removed, a running one's is waited for."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
        except FileExistsError:
            if not _discard(path):
                if time.monotonic() > until:
                    raise BusyError(f"{path}: another process is writing this file; wait for it or stop it.") from None
                time.sleep(0.002)
            continue
        if _try_lock(descriptor) and _is_at(descriptor, path):  # else another one took it for abandoned just now
            return descriptor
        os.close(descriptor)


def _discard(path: Path) -> bool:
    """Remove a file unless somebody holds it; True if it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return True
    try:
        if not _try_lock(descriptor):
            return False
        if _is_at(descriptor, path):
            path.unlink()
        return True
    finally:
        os.close(descriptor)


def _acquire(path: Path, target: Path, doing: str) -> int:
    """Descriptor of the locked lock file, which says who locked it."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if not _try_lock(descriptor):
                raise BusyError(f"{target}: {_holder(descriptor, target.name)}; wait for it or stop it.")
            if not _is_at(descriptor, path):  # removed by who had it, between our two steps
                os.close(descriptor)
                continue
        except BaseException:
            os.close(descriptor)
            raise
        with contextlib.suppress(OSError):  # on a full disk it locks all the same
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()} {platform.node() or '-'} {doing}".encode())
        return descriptor


def _holder(descriptor: int, name: str) -> str:
    pid, host, doing = [*os.pread(descriptor, 200, 0).decode(errors="replace").split(" ", 2), "", "", ""][:3]
    if pid == str(os.getpid()) and host == (platform.node() or "-"):
        return f"another thread of this process is {doing} {name!r}"
    where = "" if host in (platform.node(), "-", "") else f" on {host}"
    return f"another process is {doing or 'writing'} {name!r} (pid {pid or 'unknown'}{where})"


def _try_lock(descriptor: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log.warning("this file system has no locks: do not let two processes write one name at once")
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of this path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _left_behind(target: Path, *kinds: str) -> list[Path]:
    """What stands beside `target` under a name of ours."""
    try:
        names = sorted(entry.name for entry in os.scandir(target.parent) if entry.name.startswith(f".{target.name}."))
    except OSError:
        return []
    matches = ((name, _LEFT_BEHIND.fullmatch(name)) for name in names)
    return [target.with_name(n) for n, m in matches if m and m["name"] == target.name and m["kind"] in kinds]


def _recover(target: Path) -> None:
    """Bring `target` to rest after a kill; its lock is held."""
    for old in _left_behind(target, "old"):
        if os.path.lexists(target):
            _retire(old, target)
            continue
        # versions before this one put the folder into another
        inner = old / target.name
        os.replace(inner if inner.is_dir() and os.listdir(old) == [target.name] else old, target)
        _delete(old)
    for rubbish in _left_behind(target, "new", "removed"):
        _delete(rubbish)


def _put_in_place(part: Path, target: Path) -> None:
    """Rename `part` to `target`, keeping what was there until the new one stands."""
    old = None
    if os.path.lexists(target):
        old = _beside(target, "old")
        os.replace(target, old)
    try:
        os.replace(part, target)
    except BaseException:
        if old is not None:
            os.replace(old, target)
        raise
    _flush_entry(target.parent)
    if old is not None:
        _retire(old, target)


def _retire(path: Path, target: Path) -> None:
    """Remove a folder at once: renamed first, so that a half-removed one is never taken for a whole one."""
    rubbish = _beside(target, "removed")
    os.replace(path, rubbish)
    _flush_entry(target.parent)
    _delete(rubbish)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{kind}.{secrets.token_hex(4)}")


def _flush(folder: Path) -> None:
    """Have every file below `folder` on the disk, not only on its way."""
    for parent, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(Path(parent, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _flush_entry(Path(parent))


def _flush_entry(folder: Path) -> None:
    """The same for a folder's list of names, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(path))


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_write(target, error) from error


def _cannot_write(target: Path, error: OSError) -> PhasenoPeftError:
    hint = f"Make sure that {target.parent} is a folder you may write to."
    if error.errno in _FULL:
        hint = "Make room on its disk, and do it again."
    return PhasenoPeftError(
        f"{target}: cannot be written: {error.strerror or error}. What was there before is unchanged. {hint}"
    )


def _forget_locks() -> None:
    """In a fork: the locks are the parent's alone, and must not outlive it in here."""
    for _, descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
