"""A small archive over midnight: an SDS tree of four stations in two networks, 150 s long."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from obspy import Stream

from phaseno_peft.archive import plan
from phaseno_peft.campaign import Station, StationTable, long_run, runs
from phaseno_peft.picks import PickList
from tests.campaign.synthetic_network import T0, record

BEGIN = T0 - 75.0
LENGTH_S = 150.0
LEVELS = {"P_threshold": 0.5, "S_threshold": 0.5}


def table() -> StationTable:
    """S0 and S1 hear each other, S3 and S4 too; the two networks lie 200 km apart."""
    places = {"S0": 0.0, "S1": 0.1, "S3": 2.0, "S4": 2.1}
    return StationTable([Station(f"XX.{code}.", latitude, 10.0, 0.0) for code, latitude in places.items()])


def stream() -> Stream:
    """Whole numbers, with a gap at S1 and one at all stations of the northern network, before midnight."""
    whole = record(np.random.default_rng(0), list(np.arange(20.0, LENGTH_S, 30.0)), LENGTH_S, BEGIN, n_stations=5)
    kept = Stream()
    gaps = {"S1": (50.0, 61.0), "S3": (30.0, 45.0), "S4": (30.0, 45.0)}
    for trace in whole.select(station="S[0134]"):
        trace.data = np.round(100 * trace.data).astype(np.int32)
        if trace.stats.station not in gaps:
            kept += trace
            continue
        a, b = gaps[trace.stats.station]
        kept += Stream([trace.slice(None, BEGIN + a - 0.01), trace.slice(BEGIN + b, None)])
    return kept


def assert_same(found: PickList, expected: PickList) -> None:
    """The same picks to the rounding of single precision."""
    assert [(p.trace_id, p.phase) for p in found] == [(p.trace_id, p.phase) for p in expected]
    for a, b in zip(found, expected, strict=True):
        assert abs(a.time - b.time) < 1e-5
        assert a.probability == pytest.approx(b.probability, abs=1e-6)
        assert a.uncertainty_s == pytest.approx(b.uncertainty_s, abs=1e-5)


def write_sds(folder: Path, traces: Stream) -> Path:
    """Day files named and placed as an SDS tree has them."""
    for seed_id in sorted({trace.id for trace in traces}):
        for midnight in (T0 - 86400, T0):
            day = traces.select(id=seed_id).slice(midnight, midnight + 86400 - 0.001, nearest_sample=False)
            if not day:
                continue
            station, channel = day[0].stats.station, day[0].stats.channel
            path = folder / f"{midnight.year}" / "XX" / station / f"{channel}.D"
            path.mkdir(parents=True, exist_ok=True)
            day.write(str(path / f"{seed_id}.D.{midnight.year}.{midnight.julday:03d}"), "MSEED", reclen=512)
    return folder


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive on disk. Headers are kept beside it, an hour of a block lasts a minute, a record is long at 70 s."""
    monkeypatch.setenv("PHASENO_PEFT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(plan, "HOUR_NS", 60_000_000_000)
    for module in (long_run, runs, plan):
        monkeypatch.setattr(module, "INSPECTED_S", 70.0)
    return write_sds(tmp_path / "archive", stream())
