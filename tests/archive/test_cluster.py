"""Tasks on dask.distributed: the picks of one pass, also where a worker, the scheduler or this process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phaseno_peft.archive import read_picks
from phaseno_peft.archive import run_archive as module
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picking import Picker, PickList
from tests.archive.small_archive import LEVELS, archive, assert_same, stream, table
from tests.archive.test_pick_archive import picked

distributed = pytest.importorskip("distributed")
__all__ = ["archive"]


@pytest.fixture(scope="module")
def picker(small_backbone: Path) -> Picker:
    return Picker.load(small_backbone)


@pytest.fixture
def one_pass(picker: Picker) -> PickList:
    return picker.classify(stream(), table(), **LEVELS)


@pytest.fixture
def threads() -> Iterator[str]:
    """Address of a scheduler with two workers that are threads of this process."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_gives_the_picks_of_one_pass(
    archive: Path, picker: Picker, one_pass: PickList, threads: str, tmp_path: Path
) -> None:
    summary = picked(archive, tmp_path / "picks", picker, cluster=threads)
    assert summary.picked_now == summary.tasks == 8
    assert not summary.failures
    assert_same(read_picks(tmp_path / "picks"), one_pass)
    assert picked(archive, tmp_path / "picks", picker, cluster="tcp://127.0.0.1:1").picked_now == 0  # nothing to do


def test_a_scheduler_that_is_not_there_is_told(
    archive: Path, picker: Picker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phaseno_peft.archive import cluster

    monkeypatch.setattr(cluster, "ANSWER_S", 0.3)
    for address, message in (
        ("tcp://127.0.0.1:1", "no scheduler answers there. Start one with `dask scheduler`"),
        ("somewhere", "is no cluster. Give local, local:4 or tcp://host:8786"),
        ("local:0", "has no workers"),
    ):
        with pytest.raises(PhasenoPeftError, match=message):
            picked(archive, tmp_path / "picks", picker, cluster=address)
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "phaseno_peft.archive.cluster")
    monkeypatch.delattr("phaseno_peft.archive.cluster")
    with pytest.raises(PhasenoPeftError, match=r"pip install 'phaseno-peft\[cluster\]'"):
        picked(archive, tmp_path / "picks", picker, cluster="local")


def dask(*words: str, home: Path) -> subprocess.Popen[bytes]:
    code = "import sys; from dask.__main__ import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=home, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all it started, as a machine that loses its power."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_dead_workers_and_a_dead_scheduler_lose_nothing_and_double_nothing(
    archive: Path, picker: Picker, one_pass: PickList, tmp_path: Path
) -> None:
    folder, address = tmp_path / "picks", "tcp://127.0.0.1:28786"
    scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", "28786", "--no-dashboard", home=tmp_path)
    workers = [dask("worker", address, "--nthreads", "1", "--no-dashboard", home=tmp_path) for _ in range(2)]
    try:
        with distributed.Client(address, timeout=120) as client:
            client.wait_for_workers(2, timeout=120)
        seen: list[int] = []

        def kill(done: Any) -> None:
            seen.append(done.tasks)
            if done.tasks == 2:
                stop(workers.pop())
            if done.tasks == 4:
                stop(scheduler)

        with pytest.raises(PhasenoPeftError, match=r"the scheduler is gone\. What is finished stays so"):
            picked(archive, folder, picker, cluster=address, progress=kill)
        assert 4 <= len(seen) < 8
        summary = picked(archive, folder, picker, cluster="local:2")
        assert summary.picked_now == 8 - len(seen)
        assert not summary.failures
        assert_same(read_picks(folder), one_pass)
    finally:
        for process in (scheduler, *workers):
            stop(process)
        time.sleep(0.1)
