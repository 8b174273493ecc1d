"""Every way of writing, killed at every file operation: what is read next, and whether it can be written again."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from obspy import read_events

from benchmarks.attack.killing import killed_at
from benchmarks.attack.report import AttackResult
from benchmarks.attack.subject import NAMES, START, Subject
from phaseno_peft.backbone import backbone_info, fingerprint, load_backbone, save_backbone
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.library import (
    find_adapter,
    list_adapters,
    read_adapter,
    remove_adapter,
    verify_adapters,
    write_adapter,
)
from phaseno_peft.library.card import Card
from phaseno_peft.library.inventory import renew_card
from phaseno_peft.library.resolve import Located, library_folder
from phaseno_peft.library.store import Origin, install, read_origin, write_origin
from phaseno_peft.picking import Pick, PickList

NAME = "killed"
_ABSENT = "absent"
_MOST_OPERATIONS = 1000


@dataclass(frozen=True)
class Writing:
    """One way of writing: what is there before, what is done, and how a reader sees it."""

    name: str
    before: Callable[[], object]
    """Puts the home as it is before; the home is empty when it is called."""
    act: Callable[[], object]
    read: Callable[[], Any]
    """Something comparable, `absent` where nothing is; raises where what is there cannot be read."""


def kill_attacks(subject: Subject, seed: int, count: int, stop_at: float) -> Iterator[tuple[str, AttackResult]]:
    """(way of writing and number, result) of `count` kills of each way of writing.

    Killed at file operation 1, 2 and so on until it ends by itself, then at operations drawn from `seed`. With fewer
    kills than operations, they are spread over them.
    """
    os.environ["PHASENO_PEFT_HOME"] = str(subject.scratch / "home")
    for which, writing in enumerate(_ways(subject)):
        rng, last = np.random.default_rng([seed, 3, which]), _operations(writing, subject)
        for number in range(count):
            if time.monotonic() > stop_at:
                return
            spread = 1 + number * last // count if count < last else number + 1
            at = spread if number < last else int(rng.integers(1, last + 1))
            yield f"{writing.name} at {at} of {last}", _kill(writing, subject, at)


def _operations(writing: Writing, subject: Subject) -> int:
    """File operations of one run, found by halving."""
    low, high = 0, _MOST_OPERATIONS
    while high - low > 1:
        middle = (low + high) // 2
        _fresh(writing, subject)
        if killed_at(writing.act, middle):
            low = middle
        else:
            high = middle
    return low


def _fresh(writing: Writing, subject: Subject) -> None:
    home = subject.scratch / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    writing.before()


def _kill(writing: Writing, subject: Subject, at: int) -> AttackResult:
    _fresh(writing, subject)
    old = writing.read()
    killed_at(writing.act, at)
    try:
        seen = writing.read()
    except Exception as error:  # what is looked for
        return AttackResult("half-written", f"after the kill: {type(error).__name__}: {error}")
    again = ""
    try:
        writing.act()
    except PhasenoPeftError as error:
        again = str(error)  # right where the kill came after the deed: what is done is not done twice
    except Exception as error:  # what is looked for
        return AttackResult("half-written", f"the repeat: {type(error).__name__}: {error}")
    try:
        new = writing.read()
    except Exception as error:  # what is looked for
        return AttackResult("half-written", f"after the repeat: {type(error).__name__}: {error}")
    if seen not in (old, new):
        return AttackResult(
            "lost" if seen == _ABSENT else "half-written", f"a reader saw neither the old nor the new: {again}"
        )
    if again and seen != new:
        return AttackResult("half-written", f"the repeat was refused: {again}")
    home = subject.scratch / "home"
    left = [path.relative_to(home).as_posix() for path in home.rglob("*") if path.name.startswith(".")]
    if left:
        return AttackResult("half-written", f"left behind after the repeat: {left[:3]}")
    return AttackResult("identical")


def _ways(subject: Subject) -> list[Writing]:
    home, adapters = subject.scratch / "home", subject.adapters
    stored, other = read_adapter(adapters[NAMES[0]]), read_adapter(adapters[NAMES[1]])
    backbone, origin = load_backbone(subject.backbone), Origin("lab/attacked", "v1", "a" * 40)
    commits = [dataclasses.replace(origin, commit=letter * 40) for letter in "ab"]
    picks = [_picks(0.5), _picks(0.7)]

    def write(which: Any = stored, **options: Any) -> Path:
        card = Card(NAME, which.settings, which.contract, {}, {}, [])
        files = {"evaluation.json": which.folder / "evaluation.json"}
        return write_adapter(
            library_folder() / NAME, which.settings, which.contract, which.tensors, card, files, **options
        )

    def located(name: str) -> Located:
        return Located(name, "folder", adapters[name])

    def nothing() -> None:
        pass

    ways = [
        Writing("a new adapter", nothing, write, _adapter),
        Writing("an adapter over another", write, lambda: write(other, overwrite=True), _adapter),
        Writing("installing", nothing, lambda: install(located(NAMES[0]), NAME), _adapter),
        Writing("installing over another", write, lambda: install(located(NAMES[1]), NAME, overwrite=True), _adapter),
        Writing("removing", write, lambda: remove_adapter(NAME), _adapter),
        Writing("a card", write, lambda: renew_card(library_folder() / NAME, ["a note"]), _adapter),
        Writing(
            "an origin",
            lambda: write_origin(write(), commits[0]),
            lambda: write_origin(library_folder() / NAME, commits[1]),
            lambda: (_adapter(), read_origin(library_folder() / NAME)),
        ),
        Writing(
            "a backbone",
            nothing,
            lambda: save_backbone(backbone, home / "backbones" / NAME, NAME, {"P": 0.3, "S": 0.3}),
            lambda: _backbone(home / "backbones" / NAME),
        ),
    ]
    for ending in ("csv", "xml", "obs"):
        path = home / f"picks.{ending}"
        save = {"csv": PickList.to_csv, "xml": PickList.to_quakeml, "obs": PickList.to_nlloc}[ending]
        ways.append(
            Writing(
                f"picks as {ending}",
                lambda path=path, save=save: save(picks[0], path),  # type: ignore[misc]
                lambda path=path, save=save: save(picks[1], path),  # type: ignore[misc]
                lambda path=path: _picks_read(path),  # type: ignore[misc]
            )
        )
    return ways


def _picks(probability: float) -> PickList:
    picks = [Pick(f"XX.S{i}.", "P", START + probability + i, probability, 0.05) for i in range(3)]
    return PickList(picks, creator="attack")


def _adapter() -> Any:
    """Tensors, thresholds and card as any reader of the library sees them, every file verified."""
    if NAME not in list_adapters():
        with contextlib.suppress(PhasenoPeftError):
            find_adapter(NAME, remote=False)
            raise RuntimeError("it is found and not listed")
        return _ABSENT
    stored, verified = read_adapter(NAME), verify_adapters([NAME])[0]
    if verified.problems:
        raise RuntimeError(verified.problems[0])
    return stored.contract.tensors_sha256, (stored.folder / "README.md").read_text()


def _backbone(folder: Path) -> Any:
    if not folder.exists():
        return _ABSENT
    return backbone_info(folder).fingerprint, fingerprint(load_backbone(folder))


def _picks_read(path: Path) -> Any:
    if not path.exists():
        return _ABSENT
    if path.suffix == ".xml":
        return sorted(pick.time.ns for event in read_events(str(path)) for pick in event.picks)
    return path.read_text()
