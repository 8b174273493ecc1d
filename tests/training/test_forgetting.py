"""Windows of the backbone's own kind."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from phaseno_peft.backbone import load_backbone
from phaseno_peft.training.forgetting import WINDOWS, forgetting_windows, judge_forgetting


def test_forgetting_windows_are_valid_and_always_the_same() -> None:
    windows = forgetting_windows()
    forgetting_windows.cache_clear()
    again = forgetting_windows()
    assert len(windows) == WINDOWS
    assert all(np.array_equal(a.waveforms, b.waveforms) for a, b in zip(windows, again, strict=True))
    for window in windows:
        assert window.waveforms.shape == (4, 3, 3000)
        assert np.allclose(window.waveforms.std(-1), 0.1, atol=1e-3)
        for label in window.labels:
            assert window.targets[label.station, label.phase, round(label.sample)] > 0.9
            assert not window.is_noise
    assert sum(window.is_noise for window in windows) > 0
    assert sum(len(window.labels) for window in windows) > 100


@pytest.mark.slow
def test_the_embedded_backbone_scores_high_on_the_forgetting_windows() -> None:
    assert judge_forgetting(load_backbone()).mean_f1(0.5) > 0.6


def test_a_network_with_random_weights_scores_low_on_the_forgetting_windows(small_backbone: Path) -> None:
    found = judge_forgetting(load_backbone(small_backbone))
    assert found.mean_f1(0.5) < 0.4
    assert found.n_windows == WINDOWS // 2
    assert dataclasses.asdict(found)["time_scale"] == 1.0
