"""`load_adapter` in worker processes: of the standard library, joblib and dask; and a picker sent to one."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from phaseno_peft import load_adapter

Found = list[tuple[str, str, int]]


def pick_in_worker(adapter: str, backbone: str, waveforms: str, stations: str) -> Found:
    """What a worker does: load by name, pick files, send plain values back."""
    from phaseno_peft import load_adapter as load

    picks = load(adapter, backbone=backbone).classify(waveforms, stations, P_threshold=0.02, S_threshold=0.02)
    return [(pick.trace_id, pick.phase, pick.time.ns) for pick in picks]


@pytest.fixture
def task(home: Path, small_backbone: Path, campaign_folder: Path) -> tuple[str, str, str, str]:
    """`home` is in the environment, which workers inherit."""
    return (
        str(home / "adapters" / "tiny-ohio"),
        str(small_backbone),
        str(campaign_folder / "continuous"),
        str(campaign_folder / "stations.xml"),
    )


@pytest.fixture
def expected(task: tuple[str, str, str, str]) -> Found:
    found = pick_in_worker(*task)
    assert found
    return found


def test_a_spawned_process_picks_the_same(task: tuple[str, str, str, str], expected: Found) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(pick_in_worker, *task).result() == expected


def test_joblib_workers_pick_the_same(task: tuple[str, str, str, str], expected: Found) -> None:
    joblib = pytest.importorskip("joblib", reason="needs joblib, the extra `test`")
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(pick_in_worker)(*task) for _ in range(2)) == [expected] * 2


def test_a_picker_travels_to_joblib_workers(task: tuple[str, str, str, str], expected: Found) -> None:
    joblib = pytest.importorskip("joblib", reason="needs joblib, the extra `test`")
    adapter, backbone, waveforms, stations = task
    picker = load_adapter(adapter, backbone=backbone)
    call = joblib.delayed(picker.classify)(waveforms, stations, P_threshold=0.02, S_threshold=0.02)
    (picks,) = joblib.Parallel(n_jobs=2)([call])
    assert [(pick.trace_id, pick.phase, pick.time.ns) for pick in picks] == expected


def test_dask_workers_pick_the_same(task: tuple[str, str, str, str], expected: Found) -> None:
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed, the extra `cluster`")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert client.submit(pick_in_worker, *task).result(timeout=120) == expected
