"""A library whose writers are killed at any file operation holds the old adapter or the new one, never less."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.attack.killing import kills
from phaseno_peft.errors import BusyError, PhasenoPeftError
from phaseno_peft.files import lock, manifest
from phaseno_peft.hub import HubName
from phaseno_peft.library import Located, list_adapters, read_adapter, remove_adapter, verify_adapters, write_adapter
from phaseno_peft.library.card import Card
from phaseno_peft.library.store import Origin, StoredAdapter, install, read_located, read_origin, write_origin


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHASENO_PEFT_HOME", str(tmp_path))
    monkeypatch.setattr(os, "fsync", lambda _: None)  # called, and killed at, but without waiting for the disk
    return tmp_path / "adapters"


@pytest.fixture
def stored(tiny: Path) -> StoredAdapter:
    return read_adapter(tiny)


def write(library: Path, stored: StoredAdapter, value: float) -> None:
    """An adapter whose tensors are all of one value."""
    tensors = {key: torch.full_like(tensor, value) for key, tensor in stored.tensors.items()}
    card = Card("bc", stored.settings, stored.contract, {}, {}, [])
    write_adapter(library / "bc", stored.settings, stored.contract, tensors, card, {}, overwrite=True)


def value_of(name: str) -> float | None:
    """The one value of an adapter's tensors, None if there is no such adapter."""
    if name not in list_adapters():
        return None
    (value,) = {float(v) for tensor in read_adapter(name).tensors.values() for v in tensor.unique()}
    return value


def put_back(library: Path, good: Path) -> None:
    shutil.rmtree(library, ignore_errors=True)
    shutil.copytree(good, library)


@pytest.mark.parametrize("before", [None, 0.25], ids=["new", "overwriting"])
def test_writing_an_adapter(library: Path, stored: StoredAdapter, tmp_path: Path, before: float | None) -> None:
    library.mkdir()
    if before is not None:
        write(library, stored, before)
    good = shutil.copytree(library, tmp_path / "good")
    seen = set()
    for number in kills(lambda: write(library, stored, 0.5)):
        seen.add(value := value_of("bc"))
        assert value in (before, 0.5), number
        write(library, stored, 0.5)
        assert value_of("bc") == 0.5
        assert [path.name for path in library.iterdir()] == ["bc"], number
        put_back(library, good)
    assert seen == {before, 0.5}


def test_removing_an_adapter(library: Path, stored: StoredAdapter, tmp_path: Path) -> None:
    write(library, stored, 0.25)
    good = shutil.copytree(library, tmp_path / "good")
    for number in kills(lambda: remove_adapter("bc")):
        assert value_of("bc") in (None, 0.25), number
        if "bc" in list_adapters():
            remove_adapter("bc")
        assert not list(library.iterdir()), number
        put_back(library, good)


def test_installing_what_was_pulled(library: Path, stored: StoredAdapter, tmp_path: Path) -> None:
    write(tmp_path / "cache", stored, 0.5)
    write(library, stored, 0.25)
    good = shutil.copytree(library, tmp_path / "good")
    found = Located("bc", "hub", tmp_path / "cache" / "bc", HubName("lab/bc"), "0" * 40)
    for number in kills(lambda: install(found, "bc", overwrite=True)):
        assert (value := value_of("bc")) in (0.25, 0.5), number
        assert (read_origin(library / "bc") is not None) == (value == 0.5), number
        install(found, "bc", overwrite=True)
        assert value_of("bc") == 0.5
        assert not verify_adapters(["bc"])[0].problems
        assert [path.name for path in library.iterdir()] == ["bc"], number
        put_back(library, good)


def test_noting_where_an_adapter_came_from(library: Path, stored: StoredAdapter, tmp_path: Path) -> None:
    write(library, stored, 0.25)
    old, new = Origin("lab/bc", "v1", "1" * 40), Origin("lab/bc", "v2", "2" * 40)
    write_origin(library / "bc", old)
    files = sorted(path.name for path in (library / "bc").iterdir())
    for number in kills(lambda: write_origin(library / "bc", new)):
        assert read_origin(library / "bc") in (old, new), number
        write_origin(library / "bc", new)
        assert sorted(path.name for path in (library / "bc").iterdir()) == files, number
        write_origin(library / "bc", old)


def test_a_full_disk_keeps_the_old_origin(
    library: Path, stored: StoredAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(library, stored, 0.25)
    old = Origin("lab/bc", "v1", "1" * 40)
    write_origin(library / "bc", old)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("phaseno_peft.files.atomic.os.write", full)
    with pytest.raises(PhasenoPeftError, match=r"origin\.json: cannot be written: No space"):
        write_origin(library / "bc", Origin("lab/bc", "v2", "2" * 40))
    assert read_origin(library / "bc") == old


@pytest.mark.parametrize("act", ["write", "remove", "install"])
def test_a_name_that_another_thread_is_training_is_refused(
    library: Path, stored: StoredAdapter, tiny: Path, act: str
) -> None:
    write(library, stored, 0.25)
    acts: dict[str, Callable[[], object]] = {
        "write": lambda: write(library, stored, 0.5),
        "remove": lambda: remove_adapter("bc"),
        "install": lambda: install(Located("bc", "folder", tiny), "bc", overwrite=True),
    }
    messages: list[str] = []

    def try_it() -> None:
        with pytest.raises(BusyError) as refused:
            acts[act]()
        messages.append(str(refused.value))

    with lock(library / "bc", "training"):
        other = threading.Thread(target=try_it)
        other.start()
        other.join()
    assert "is training 'bc'; wait for it or stop it" in messages[0]
    assert value_of("bc") == 0.25


def test_a_reader_meets_the_old_or_the_new_adapter_while_it_is_replaced(library: Path, stored: StoredAdapter) -> None:
    write(library, stored, 0.0)
    done = threading.Event()

    def replace_often() -> None:
        try:
            for k in range(1, 25):
                write(library, stored, float(k))
        finally:
            done.set()

    writer = threading.Thread(target=replace_often)
    writer.start()
    seen = set()
    while not done.is_set():
        read = read_located(Located("bc", "library", library / "bc"))
        values = {float(v) for tensor in read.tensors.values() for v in tensor.unique()}
        assert len(values) == 1
        seen |= values
    writer.join()
    assert len(seen) > 1


@pytest.mark.parametrize("moment", ["size", "digest"])
def test_a_folder_replaced_while_its_files_are_compared_is_read_again(
    library: Path, stored: StoredAdapter, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    write(library, stored, 1.0)
    whole, replaced = (Path.stat if moment == "size" else manifest.sha256), []
    calls = iter(range(9))
    last = 1 if moment == "size" else 0  # is_file looks first

    def gone_once(path: Path, **options: bool) -> object:
        if path.name == "adapter_config.json" and not replaced and next(calls) == last:
            replaced.append(path)
            monkeypatch.undo()
            monkeypatch.setenv("PHASENO_PEFT_HOME", str(library.parent))
            write(library, stored, 2.0)
            raise FileNotFoundError(path)
        return whole(path, **options)

    monkeypatch.setattr(*((Path, "stat") if moment == "size" else (manifest, "sha256")), gone_once)
    read = read_located(Located("bc", "library", library / "bc"))
    assert replaced
    assert {float(v) for tensor in read.tensors.values() for v in tensor.unique()} == {2.0}
