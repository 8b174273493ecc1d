"""Quiet windows: which are, what a record gets of them, and that they are looked for only where it is safe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StemConfig, save_backbone
from phaseno_peft.campaign.windows import InputWindow
from phaseno_peft.contract import KM_PER_UNIT, MESSAGE_HOPS
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picking import Picker
from phaseno_peft.picking.inference import JudgedWindow, loud_window_probabilities, window_probabilities
from phaseno_peft.picking.quiet_windows import is_quiet, loud_stations, reached
from tests.campaign.synthetic_network import T0, record, table

APART_KM = 6.0
PLACES = np.array([[0.5, 0.5], [0.5 + APART_KM / KM_PER_UNIT, 0.5]])


def curves(*peaks: tuple[int, int, float, float]) -> NDArray[np.float32]:
    """Two stations' curves with triangles at (station, phase, second, height)."""
    made = np.full((2, 2, 3000), 0.002, np.float32)
    for station, phase, second, height in peaks:
        triangle = height * (1 - np.abs(np.arange(3000) - 100 * second) / 20)
        made[station, phase] = np.maximum(made[station, phase], triangle)
    return made


@pytest.mark.parametrize(
    ("peaks", "quiet"),
    [
        ((), True),
        (((0, 0, 10.0, 0.29),), True),
        (((0, 0, 10.0, 0.31),), False),  # high by itself
        (((0, 0, 10.0, 0.2), (0, 1, 13.0, 0.1)), False),  # P, then S
        (((0, 0, 10.0, 0.2), (0, 1, 10.1, 0.1)), True),  # too close
        (((0, 0, 10.0, 0.2), (0, 1, 25.0, 0.1)), True),  # too far
        (((0, 1, 10.0, 0.2), (0, 0, 13.0, 0.1)), True),  # S, then P
        (((0, 0, 10.0, 0.2), (1, 0, 13.2, 0.1)), False),  # 6 km at 2.55 km/s, and a second
        (((0, 0, 10.0, 0.2), (1, 0, 13.7, 0.1)), True),
        (((0, 1, 10.0, 0.2), (1, 1, 14.8, 0.1)), False),  # 6 km at 1.5 km/s
        (((0, 1, 10.0, 0.2), (1, 1, 15.3, 0.1)), True),
        (((0, 0, 10.0, 0.2), (1, 1, 12.0, 0.2)), True),  # P here and S there say little
        (((0, 0, 10.0, 0.09), (1, 0, 10.5, 0.1)), True),  # both low
        (((0, 0, 0.0, 0.2), (1, 0, 0.5, 0.1)), False),  # at the window's first sample
        (((0, 0, 29.99, 0.2), (1, 0, 29.0, 0.1)), False),  # and at its last
    ],
)
def test_a_window_is_quiet_unless_one_curve_is_high_or_two_fit_one_event(
    peaks: tuple[tuple[int, int, float, float], ...], quiet: bool
) -> None:
    assert is_quiet(curves(*peaks), PLACES) is quiet


def test_curves_that_are_no_numbers_or_too_lively_are_not_quiet() -> None:
    broken = curves()
    broken[1, 0, 7] = np.nan
    assert not is_quiet(broken, PLACES)
    lively = np.full((20, 2, 3000), 0.002, np.float32)
    lively[:, :, ::30] = 0.035  # a hundred peaks a curve, no two of which would do
    assert not is_quiet(lively, np.zeros((20, 2)))
    assert is_quiet(lively[:5], np.zeros((5, 2)))


def chain(n: int, apart_km: float = 20.0) -> NDArray[np.float64]:
    """Stations in a row, each of which hears its neighbours alone."""
    return np.stack([0.5 + apart_km / KM_PER_UNIT * np.arange(n), np.full(n, 0.5)], axis=1)


def test_messages_come_as_far_as_the_network_has_graph_blocks() -> None:
    from phaseno_peft.backbone.network import GraphBlock

    blocks = sum(isinstance(module, GraphBlock) for module in PhaseNO(PhaseNOConfig(width=4, modes=4)).modules())
    assert blocks == MESSAGE_HOPS
    among = reached(chain(20), 30.0)
    assert [int(k) for k in np.flatnonzero(among[0])] == list(range(6))
    assert [int(k) for k in np.flatnonzero(among[10])] == list(range(5, 16))
    assert reached(chain(20), 4000.0).all()
    assert (reached(chain(20), 0.0) == np.eye(20)).all()


def test_a_station_is_quiet_where_all_it_hears_are() -> None:
    heard = np.full((20, 2, 3000), 0.002, np.float32)
    assert not loud_stations(heard, chain(20), 30.0).any()
    heard[3, 0, 1000] = 0.4
    assert np.flatnonzero(loud_stations(heard, chain(20), 30.0)).tolist() == list(range(9))
    assert loud_stations(heard, chain(20, 1.0), 30.0).all()
    part = np.flatnonzero(loud_stations(heard[2:], chain(20)[2:], 30.0)) + 2  # without those that no message brings
    assert part.tolist() == list(range(2, 9))


def test_what_the_operator_says_of_loud_stations_does_not_hang_on_quiet_ones(small_stem: torch.nn.Module) -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((20, 3, 3000)).astype(np.float32) / 10
    window = InputWindow("w@0", T0, 100.0, tuple(f"XX.S{i}." for i in range(20)), noise, chain(20).astype(np.float32))
    (whole,) = window_probabilities(small_stem, [window], 30.0)
    (seen,) = loud_window_probabilities(small_stem, [window], 30.0)
    assert seen is not None
    loud = ~np.isnan(seen).any(axis=(1, 2))
    assert np.isnan(seen[~loud]).all()
    assert 0 < loud.sum() < 20
    np.testing.assert_allclose(seen[loud], whole[loud], atol=1e-6)
    parts = JudgedWindow.of(7, window, seen)
    assert [len(part.station_ids) for part in parts] == [loud.sum(), (~loud).sum()]
    assert parts[1].probabilities is None


@pytest.fixture
def small_stem() -> torch.nn.Module:
    """A network whose stem hears station 0 alone."""
    torch.manual_seed(0)
    model = PhaseNO(PhaseNOConfig(width=8, modes=6, stem=StemConfig(channels=2))).eval()
    quiet = torch.full((20, 2, 3000), -6.0)
    quiet[0, 0, 1500] = 3.0
    stem = model.stem

    class Hears(torch.nn.Module):
        def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
            return quiet[: len(waveforms)]

    assert stem is not None
    hears = Hears()
    hears.out, hears.config = stem.out, stem.config  # type: ignore[assignment]
    model.stem = hears  # type: ignore[assignment]
    return model


def test_quiet_windows_spare_the_operator_only_where_strong_picks_are_asked_for(tmp_path: Path) -> None:
    torch.manual_seed(0)
    deaf = PhaseNO(PhaseNOConfig(width=4, modes=4, stem=StemConfig(channels=2)))  # a new stem hears nothing
    picker = Picker.load(save_backbone(deaf.eval(), tmp_path / "deaf", "deaf", {"P": 0.5, "S": 0.5}))
    seen: list[int] = []
    picker.backbone.fno0.register_forward_hook(lambda *_: seen.append(1))
    stream = record(np.random.default_rng(0), [], 60.0, T0, n_stations=2)
    stations = table(2)

    picker.classify(stream, stations)
    assert not seen
    picker.classify(stream, stations, gate="off")
    assert seen
    seen.clear()
    picker.classify(stream, stations, S_threshold=0.3)
    assert seen
    seen.clear()
    curves_of_all = picker.annotate(stream, stations)
    assert seen
    assert all(trace.data.any() for trace in curves_of_all)
    with pytest.raises(PhasenoPeftError, match="`gate` should be 'auto' or 'off' but is 'on'"):
        picker.classify(stream, stations, gate="on")  # type: ignore[arg-type]
