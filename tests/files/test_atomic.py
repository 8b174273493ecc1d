"""Files and folders: whole after every kill, one process at a time, nothing left lying about."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.attack.killing import kills
from phaseno_peft.errors import BusyError, PhasenoPeftError
from phaseno_peft.files import (
    atomic,
    check_folder,
    lock,
    remove_folder,
    settle,
    sweep,
    version_of,
    write_file,
    write_folder,
)

OLD = {"a.txt": b"old", "deep/b.txt": b"old too"}
NEW = {"a.txt": b"new", "deep/b.txt": b"new too", "deep/c.txt": b"x" * 5000}


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def build(folder: Path, what: dict[str, bytes], *, overwrite: bool = False) -> None:
    with write_folder(folder, overwrite=overwrite) as part:
        for name, inside in what.items():
            (part / name).parent.is_file() or (part / name).parent.mkdir(exist_ok=True)
            write_file(part / name, inside)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # called, and killed at, but without waiting for the disk
    yield tmp_path / "ohio"
    assert not atomic._held


def after_each_kill(place: Path, before: dict[str, bytes] | None, act: Callable[[], None]) -> Iterator[int]:
    """Yields after each kill; what lies in the parent folder is put back to `before` and nothing else for the next."""
    for number in kills(act):
        yield number
        shutil.rmtree(place.parent)
        place.parent.mkdir()
        if before is not None:
            build(place, before)


@pytest.mark.parametrize("before", [None, OLD], ids=["new", "over an old one"])
def test_a_folder_killed_at_any_operation_is_the_old_or_the_new_one_and_the_next_try_ends_well(
    place: Path, before: dict[str, bytes] | None
) -> None:
    if before is not None:
        build(place, before)
    seen = set()
    for number in after_each_kill(place, before, lambda: build(place, NEW, overwrite=True)):
        settle(place)
        there = content(place) if place.exists() else None
        assert there in (before, NEW), number
        seen.add("new" if there == NEW else "old")
        build(place, NEW, overwrite=True)
        assert content(place) == NEW
        assert names(place.parent) == ["ohio"], number
    assert seen == {"old", "new"}
    assert number > 20


def test_a_removal_killed_at_any_operation_is_done_or_not_and_the_next_try_ends_well(place: Path) -> None:
    build(place, OLD)
    for number in after_each_kill(place, OLD, lambda: remove_folder(place)):
        settle(place)
        assert not place.exists() or content(place) == OLD, number
        remove_folder(place)
        assert names(place.parent) == [], number
    assert number > 5


@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "over an old one"])
def test_a_file_killed_at_any_operation_is_the_old_or_the_new_one(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "picks.csv"

    def put_back() -> None:
        for left in tmp_path.iterdir():
            left.unlink()
        if before is not None:
            path.write_bytes(before)

    put_back()
    for number in kills(lambda: write_file(path, b"new" * 1000)):
        assert (path.read_bytes() if path.exists() else None) in (before, b"new" * 1000), number
        write_file(path, b"new" * 1000)
        assert names(tmp_path) == ["picks.csv"], number
        put_back()
    assert number >= 5


def test_a_recovery_killed_at_any_operation_can_be_done_again(place: Path) -> None:
    """Between the two renames of an exchange only the folder set aside holds the old content."""

    def prepare() -> None:
        shutil.rmtree(place.parent)
        build(place, OLD)
        place.rename(place.with_name(".ohio.old.0123abcd"))
        (place.parent / ".ohio.new.0123abcd").mkdir()

    prepare()
    for number in kills(lambda: settle(place)):
        settle(place)
        assert content(place) == OLD, number
        sweep(place.parent)
        assert names(place.parent) == ["ohio"], number
        prepare()


def test_sweeping_restores_what_stands_aside_and_removes_the_rest(place: Path) -> None:
    build(place, OLD)
    shutil.copytree(place, place.with_name(".bc.old.0123abcd"))
    shutil.copytree(place.parent / "ohio", place.parent / ".samba.old.q_7x1234" / "samba")  # as older versions did
    for left in (".ohio.old.0123abcd", ".ohio.new.0123abcd", ".gone.removed.0123abcd"):
        (place.parent / left / "half").mkdir(parents=True)
    for left in (".ohio.lock", ".table.csv.tmp"):
        (place.parent / left).touch()
    own = [".git", ".hidden.tar", ".ohio.new.long-and-my-own"]
    for name in own:
        (place.parent / name).mkdir()
    sweep(place.parent)
    assert names(place.parent) == sorted([*own, "bc", "ohio", "samba"])
    assert content(place.parent / "bc") == content(place.parent / "samba") == content(place) == OLD


def test_a_folder_that_is_there_is_refused_unless_it_is_to_be_replaced(place: Path) -> None:
    place.mkdir()
    build(place, OLD)  # over an empty folder
    with pytest.raises(PhasenoPeftError, match=r"ohio: exists already.*--overwrite"):
        build(place, NEW)
    assert content(place) == OLD
    assert names(place.parent) == ["ohio"]


def test_a_file_and_a_folder_of_something_else_are_never_replaced_by_a_folder(place: Path) -> None:
    thesis = write_file(place.with_name("thesis.txt"), b"years of work")
    with pytest.raises(PhasenoPeftError, match=r"thesis\.txt: is no folder, so it is not replaced\. Choose another"):
        build(thesis, NEW, overwrite=True)
    assert thesis.read_bytes() == b"years of work"
    build(place, OLD)
    assert check_folder(place, "report", ("a.txt", "deep"), overwrite=True) == place
    with pytest.raises(PhasenoPeftError, match=r"ohio: holds no report, so it is not replaced\. Choose another"):
        check_folder(place, "report", ("a.txt", "tables"), overwrite=True)
    assert names(place.parent) == ["ohio", "thesis.txt"]


def test_an_error_inside_leaves_the_old_folder_and_nothing_else(place: Path) -> None:
    build(place, OLD)
    with pytest.raises(PhasenoPeftError, match=r"a\.txt/b\.txt: cannot be written: Not a directory"):
        build(place, {"a.txt": b"new", "a.txt/b.txt": b""}, overwrite=True)
    assert content(place) == OLD
    assert names(place.parent) == ["ohio"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_content_and_says_so(
    place: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    build(place, OLD)
    file = write_file(place.with_name("picks.csv"), b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(PhasenoPeftError, match=r"picks\.csv: cannot be written: No space left.*unchanged.*Make room"):
        write_file(file, b"new")
    with pytest.raises(PhasenoPeftError, match=r"cannot be written: No space left.*unchanged.*Make room"):
        build(place, NEW, overwrite=True)
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert content(place) == OLD
    assert names(place.parent) == ["ohio", "picks.csv"]


def test_a_second_rename_that_fails_brings_the_old_folder_back(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(place, OLD)
    replace, calls = os.replace, []

    def failing(source: Path, target: Path) -> None:
        calls.append(target)
        if len([c for c in calls if c == place]) == 1 and target == place:
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with (
        pytest.raises(PhasenoPeftError, match="cannot be written: Input/output error"),
        write_folder(place, overwrite=True) as part,
    ):
        (part / "a.txt").touch()
    assert content(place) == OLD
    assert names(place.parent) == ["ohio"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        PhasenoPeftError, match=r"absent/picks\.csv: cannot be written: No such file.*absent is a folder"
    ):
        write_file(tmp_path / "absent" / "picks.csv", b"")


def test_links_are_followed_and_pipes_written_to(tmp_path: Path) -> None:
    real = write_file(tmp_path / "real.csv", "old")
    link = tmp_path / "link.csv"
    link.symlink_to(real)
    write_file(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, b"through")
    reader.join()
    assert read == [b"through"]
    assert names(tmp_path) == ["link.csv", "pipe", "real.csv"]


HOLD = """
import sys
from phaseno_peft.files import lock
with lock(sys.argv[1], "training"):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def hold(place: Path) -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    return other


def test_a_second_process_is_told_of_the_first_and_a_kill_releases_the_lock(place: Path) -> None:
    with hold(place) as other:
        message = rf"another process is training 'ohio' \(pid {other.pid}\); wait for it or stop it"
        with pytest.raises(BusyError, match=message):
            build(place, NEW)
        with pytest.raises(BusyError, match=message):
            remove_folder(place)
        sweep(place.parent)
        assert names(place.parent) == [".ohio.lock"]
        build(place.with_name("bc"), NEW)  # another name is free
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert names(place.parent) == [".ohio.lock", "bc"]
    build(place, NEW)
    assert names(place.parent) == ["bc", "ohio"]


def test_a_second_thread_is_told_and_the_same_thread_may_go_in_again(place: Path) -> None:
    messages: list[str] = []

    def try_it() -> None:
        with pytest.raises(BusyError) as refused:
            remove_folder(place)
        messages.append(str(refused.value))

    with lock(place, "training"), lock(place, "writing"):
        other = threading.Thread(target=try_it)
        other.start()
        other.join()
    assert messages == [f"{place}: another thread of this process is training 'ohio'; wait for it or stop it."]
    assert names(place.parent) == []


def test_a_fork_neither_keeps_nor_releases_its_parents_lock(place: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()

    def linger() -> None:
        ready.set()
        done.wait(20)

    with lock(place, "training"):
        child = context.Process(target=linger)
        child.start()
        assert ready.wait(20)
        forked = os.fork()
        if forked == 0:
            try:
                with pytest.raises(BusyError), lock(place, "writing"):
                    pass
            except BaseException:
                os._exit(1)
            os._exit(0)
        assert os.waitpid(forked, 0)[1] == 0
        assert place.with_name(".ohio.lock").exists()
    with lock(place, "writing"):  # while the child lives
        pass
    done.set()
    child.join()


def _write_often(folder: Path, letter: str) -> None:
    for _ in range(60):
        write_file(folder / "picks.csv", letter * 200_000)


def test_processes_that_write_one_file_at_once_never_mix(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_often, args=(tmp_path, letter)) for letter in "abc"]
    write_file(tmp_path / "picks.csv", "a" * 200_000)
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        text = (tmp_path / "picks.csv").read_text()
        assert len(text) == 200_000
        assert len(set(text)) == 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert names(tmp_path) == ["picks.csv"]


def test_a_reader_waits_while_a_running_writer_exchanges_folders(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(place, OLD)
    replace, missing, found = os.replace, threading.Event(), threading.Event()

    def slow(source: Path, target: Path) -> None:
        if target == place:  # the old one stands aside, the new one is not there yet
            missing.set()
            assert not found.wait(0.2)
        replace(source, target)

    monkeypatch.setattr(os, "replace", slow)
    before = version_of(place)
    writer = threading.Thread(target=build, args=(place, NEW), kwargs={"overwrite": True})
    writer.start()
    assert missing.wait(20)
    settle(place)
    found.set()
    assert content(place) == NEW
    assert version_of(place) != before
    writer.join()


def test_nothing_of_another_user_is_needed_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a library that cannot be written, looking changes nothing and raises nothing."""
    (tmp_path / ".ohio.old.0123abcd").mkdir()

    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    settle(tmp_path / "ohio")
    sweep(tmp_path)
    assert names(tmp_path) == [".ohio.old.0123abcd"]
