"""The attacks themselves: repeated from their seed, bounded, and not blind to what they look for."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.attack.__main__ import main, run
from benchmarks.attack.adapters import AdapterAttack
from benchmarks.attack.altered_adapters import alter
from benchmarks.attack.altered_inputs import pickled, wrapped
from benchmarks.attack.inputs import InputAttack
from benchmarks.attack.report import OUTCOMES, AttackResult, Tally, markdown
from benchmarks.attack.subject import NAMES, Subject, subject
from benchmarks.attack.worker import Attempt, Limits, bounded

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="the attacks run in forks of a process"
)


@pytest.fixture(scope="module")
def here() -> Iterator[Subject]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # forks of a process whose threads have worked wait for ever
    with subject(0) as made:
        yield made
    torch.set_num_threads(threads)


def test_kills_find_every_way_of_writing_whole(here: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASENO_PEFT_HOME", str(here.scratch / "home"))
    tally = run("kills", here, 0, 2, time.monotonic() + 60)
    assert tally.done >= 20
    assert tally.counts["identical"] >= 20


def test_threads_pick_what_each_adapter_picks_alone(here: Subject) -> None:
    tally = run("threads", here, 0, 30, time.monotonic() + 60)
    assert tally.done >= 30
    assert tally.counts["identical"] > 10


def test_altered_adapters_are_refused_or_right_through_both_loaders(here: Subject) -> None:
    attack = AdapterAttack(here, 0)
    results = [attack(number) for number in range(30)]
    assert {v.outcome for v in results} >= {"refused", "identical"}


def test_altered_inputs_are_refused_or_read(here: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "benchmarks.attack.inputs.bombs", lambda: {"bomb.gz": b"\x1f\x8b"}
    )  # the real ones take seconds
    attack = InputAttack(here, 0)
    results = [attack(number) for number in range(60)]
    assert [v for v in results if v.outcome not in ("refused", "identical")] == []
    assert {v.outcome for v in results} == {"refused", "identical"}


def test_an_adapter_that_only_one_loader_refuses_is_noticed(here: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    attack = AdapterAttack(here, 0)
    monkeypatch.setattr(attack, "_load_with_peft", lambda *_, **__: (attack.right, "loaded"))
    outcomes = {attack(number).outcome for number in range(6)}
    assert "other result" in outcomes


def test_a_refusal_that_leaves_something_behind_is_noticed(here: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    attack = AdapterAttack(here, 0)
    monkeypatch.setattr(attack, "before", ("another state",))
    monkeypatch.setattr(attack, "_new_picker", lambda: None)
    assert "resident in part" in {attack(number).outcome for number in range(6)}


def test_the_same_seed_alters_alike(here: Subject, tmp_path: Path) -> None:
    def altered(place: str, seed: int) -> tuple[list[str], dict[str, bytes]]:
        folder = tmp_path / place
        folder.mkdir()
        for path in here.adapters[NAMES[0]].iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        done = alter(folder, np.random.default_rng([seed, 1]), here.adapters[NAMES[1]], tmp_path / "mark")
        return done.what, {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and not p.is_symlink()}

    assert altered("first", 3) == altered("second", 3)
    assert altered("third", 4) != altered("fourth", 5)


def test_its_pickles_really_run_code_where_they_are_unpickled(tmp_path: Path) -> None:
    import pickle

    for number in range(6):
        mark = tmp_path / f"executed{number}"
        pickle.loads(pickled(mark, np.random.default_rng(number)))
        assert mark.exists()


def test_wrapping_keeps_the_content(tmp_path: Path) -> None:
    import gzip

    packed, _, how = next(w for w in (wrapped(b"x", "a", np.random.default_rng(i)) for i in range(99)) if w[2] == "gz")
    assert gzip.decompress(packed) == b"x", how


def test_hangs_deaths_and_memory_are_noticed_and_the_next_attack_is_made(tmp_path: Path) -> None:
    def attack(number: int) -> AttackResult:
        (tmp_path / "doing").write_text(f"attack {number}")
        if number == 0:
            time.sleep(60)
        if number == 1:
            os._exit(3)
        if number == 2:
            return AttackResult("refused", str(np.ones(200 << 20, np.uint8).sum()))
        return AttackResult("identical")

    def start() -> Attempt:
        return attack

    limits = Limits(seconds=2.0, memory_bytes=100 << 20)  # on a busy machine, too, memory is filled within it
    results = [v for _, v in bounded(start, iter(range(4)), limits, time.monotonic() + 60, tmp_path / "doing")]
    assert "attack 1" in results[1].what
    assert [v.outcome for v in results] == ["hang", "raw error", "memory", "identical"]


def test_the_table_counts_and_the_exit_status_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally("inputs", 5)
    tally.add(0, AttackResult("refused"))
    tally.add(1, AttackResult("executed", "a pickle"))
    text = markdown([tally], 7)
    row = next(line for line in text.splitlines() if line.startswith("| inputs"))
    assert [int(cell) for cell in row.split("|")[2:-1]] == [2, *(int(o in ("refused", "executed")) for o in OUTCOMES)]
    assert "inputs 1: executed: a pickle" in text
    assert "stopped after 2 of 5" in text

    monkeypatch.setattr("benchmarks.attack.__main__.run", lambda *_: tally)
    assert main(["--only", "inputs", "--count", "5"]) == 1
    assert "executed" in capsys.readouterr().out
