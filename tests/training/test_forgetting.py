"""Windows of the backbone's own kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from phaseno_peft.backbone import load_backbone
from phaseno_peft.backbone.graph import StationGraph
from phaseno_peft.campaign import Window
from phaseno_peft.errors import CampaignError
from phaseno_peft.picking.inference import network_input
from phaseno_peft.training import TrainingSettings, find_recipe, loop, train
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.forgetting import EDGE_LIMIT_KM, WINDOWS, forgetting_windows, judge_forgetting
from phaseno_peft.training.replay import replay_windows
from tests.training.conftest import LEAN


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


def test_replayed_windows_are_others_in_every_epoch_and_never_those_that_are_judged() -> None:
    first, again, second = replay_windows(3, 0, 1), replay_windows(3, 0, 1), replay_windows(3, 0, 2)
    assert all(np.array_equal(a.waveforms, b.waveforms) for a, b in zip(first, again, strict=True))
    seen = [window.waveforms for window in [*first, *second, *replay_windows(3, 1, 1), *forgetting_windows()]]
    assert len({one.tobytes() for one in seen}) == len(seen)
    assert replay_windows(0, 0, 1) == []


def test_replay_adds_its_part_to_every_epoch_and_labels_stay_on_the_true_onsets(
    dataset: CampaignDataset, small_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, trained = [], []

    def replayed(n: int, seed: int, epoch: int) -> list[Window]:
        asked.append((n, seed, epoch))
        return replay_windows(n, seed, epoch)

    def noted(windows: Sequence[Window], edge_limit_km: float) -> tuple[torch.Tensor, StationGraph]:
        trained.extend(windows)
        of_replay = {window.name.startswith("replay") for window in windows}
        assert of_replay == {edge_limit_km == EDGE_LIMIT_KM}  # never in one step: each hears its own reach
        return network_input(windows, edge_limit_km)

    monkeypatch.setattr(loop, "replay_windows", replayed)
    monkeypatch.setattr(loop, "network_input", noted)
    model = find_recipe("se-only").model(load_backbone(small_backbone), 0)
    sampler = dataset.sampler(dataset.split.train, 0)
    settings = dataclasses.replace(LEAN, epochs=2, windows_per_epoch=4, replay=0.5, keep_epoch=2, seed=7)
    shift_s = {"P": 0.2, "S": 0.2}
    train(model, sampler, [], 5.0, settings, pick_shift_s=shift_s)
    assert asked == [(2, 7, 1), (2, 7, 2)]
    assert len(trained) == 2 * (4 + 2)
    made = {window.name: window for epoch in (1, 2) for window in replay_windows(2, 7, epoch)}
    own = [window for window in trained if window.name in made]
    assert sorted(window.name for window in own) == sorted(made)
    assert all(np.array_equal(window.targets, made[window.name].targets) for window in own)


@pytest.mark.parametrize("replay", [-0.1, float("nan"), float("inf"), 1.1])
def test_a_part_that_is_none_is_refused(replay: float) -> None:
    with pytest.raises(CampaignError, match=r"`replay` should be (at least 0|0 to 1)"):
        TrainingSettings(replay=replay)
