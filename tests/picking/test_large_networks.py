"""Hundreds of stations in one graph: the same whatever their order, and in memory that grows with stations alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from phaseno_peft.archive.plan import station_groups
from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, save_backbone
from phaseno_peft.campaign import Recording, Station, StationTable
from phaseno_peft.campaign.run import Run
from phaseno_peft.contract import Preprocessing
from phaseno_peft.picking import Picker
from tests.campaign.synthetic_network import T0

ROOT = Path(__file__).resolve().parents[2]


def strewn(n: int, side_km: float, seed: int = 0) -> list[Station]:
    """Stations strewn over a square."""
    km = np.random.default_rng(seed).uniform(-side_km / 2, side_km / 2, (n, 2))
    return [Station(f"XX.S{i:03d}.", float(y / 111.2), float(10 + x / 111.2), 0.0) for i, (x, y) in enumerate(km)]


def recording(stations: list[Station], rows: np.ndarray) -> Recording:
    """One window of noise, whose stations come in an order."""
    rng = np.random.default_rng(1)
    samples = rng.standard_normal((len(stations), 3, 3000)).astype(np.float32)[rows]
    listed = tuple(stations[row] for row in rows)
    recorded = np.ones(samples.shape, bool)
    return Recording("noise", T0, 100.0, listed, samples, recorded, ("ENZ",) * len(listed))


@pytest.mark.parametrize(
    "side_km", [15.0, pytest.param(80.0, marks=pytest.mark.slow)], ids=["all hear all", "each hears some"]
)
def test_what_200_stations_hear_does_not_depend_on_their_order(side_km: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    narrow = PhaseNO(PhaseNOConfig(width=4, modes=4))
    picker = Picker.load(save_backbone(narrow, tmp_path / "narrow", "narrow", {"P": 0.3, "S": 0.3}))
    stations, rows = strewn(200, side_km), np.random.default_rng(2).permutation(200)
    whole, shuffled = (picker.annotate_recording(recording(stations, order)) for order in (np.arange(200), rows))
    np.testing.assert_allclose(shuffled.probabilities, whole.probabilities[rows], atol=1e-5)


@pytest.mark.slow
def test_memory_of_a_window_grows_with_its_stations_and_not_with_its_edges() -> None:
    code = (
        "import resource, sys, torch\n"
        "from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StationGraph\n"
        "torch.manual_seed(0)\n"
        "n = int(sys.argv[1])\n"
        "model = PhaseNO(PhaseNOConfig(width=4, modes=4)).eval()\n"
        "places = 0.5 + 0.01 * torch.rand(n, 2)\n"
        "with torch.inference_mode():\n"
        "    model(torch.randn(2, 3, 3000), StationGraph.from_coordinates(places[:2]))\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    model(torch.randn(n, 3, 3000), StationGraph.from_coordinates(places))\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    run = [sys.executable, "-c", code, "500"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT)
    edges_mib = 500**2 * 4 * 3000 * 4 / 2**20  # one tensor [edge, channel, sample] of the finest level
    assert float(done.stdout) < 400 < edges_mib / 20


def test_a_long_network_is_parted_with_all_that_each_part_hears_and_a_dense_one_is_not() -> None:
    chain = [Station(f"XX.C{i:03d}.", 0.0, i * 0.15, 0.0) for i in range(120)]  # 17 km apart
    groups, _ = station_groups(chain, None, Preprocessing(), 50)
    assert sorted(i for group in groups for i in group.station_ids) == sorted(s.station_id for s in chain)
    assert all(len(group.station_ids) <= 50 for group in groups)
    assert len({group.frame for group in groups}) == 1
    for group in groups:
        numbers = sorted(int(i[4:7]) for i in group.station_ids)
        halo = {i for n in numbers for i in range(n - 5, n + 6)} & set(range(120)) - set(numbers)
        assert {int(i[4:7]) for i in group.halo_ids} == halo
    (whole,) = station_groups(strewn(200, 60.0), None, Preprocessing(), 50)[0]
    assert len(whole.station_ids) == 200
    assert not whole.halo_ids
    table = StationTable([*strewn(30, 10.0), *(Station(f"YY.F{i}.", 20.0 + i, 10.0, 0.0) for i in range(8))])
    apart, _ = station_groups(list(table), None, Preprocessing(), 10)
    assert max(len(group.station_ids) for group in apart) == 30


def test_parts_of_a_long_network_have_the_picks_of_the_whole(small_backbone: Path) -> None:
    picker = Picker.load(small_backbone)
    chain = [Station(f"XX.C{i:03d}.", 0.0, i * 0.15, 0.0) for i in range(40)]
    groups, _ = station_groups(chain, None, Preprocessing(), 20)
    assert len(groups) == 2
    whole = recording(chain, np.arange(40))
    expected = picker.annotate_recording(whole).probabilities
    for group in groups:
        rows = np.array([int(i[4:7]) for i in group.all_ids])
        run = Run.of(recording(chain, rows))
        found = next(picker.annotations([run], frame=group.frame, block_s=None))
        own = rows[: len(group.station_ids)]
        np.testing.assert_allclose(found.probabilities[: len(own)], expected[own], atol=1e-5)
