"""Quiet windows: which are, what a record gets of them, and that they are looked for only where it is safe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StemConfig, save_backbone
from phaseno_peft.contract import KM_PER_UNIT
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picking import Picker
from phaseno_peft.picking.quiet_windows import is_quiet
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
