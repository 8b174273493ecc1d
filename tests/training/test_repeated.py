"""A training that was killed when its adapter stood, but its checkpoints were not yet removed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from phaseno_peft.campaign import Campaign
from phaseno_peft.errors import AdapterError
from phaseno_peft.library import read_contract
from phaseno_peft.training import adapter, train_adapter
from tests.training.conftest import LEAN


def test_the_same_training_repeated_ends_well_and_another_one_is_refused(
    campaign: Campaign, small_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lean = dataclasses.replace(LEAN, epochs=1, windows_per_epoch=2)

    def train(**changes: object) -> adapter.TrainedAdapter:
        options = {
            "training": lean,
            "recipe": "head",
            "folder": tmp_path,
            "backbone": small_backbone,
            "folds": 0,
        } | changes
        return train_adapter("bc", campaign, **options)  # type: ignore[arg-type]

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    remove_checkpoints = adapter._remove_checkpoints
    monkeypatch.setattr(adapter, "_remove_checkpoints", killed)
    with pytest.raises(KeyboardInterrupt):
        train()
    monkeypatch.setattr(adapter, "_remove_checkpoints", remove_checkpoints)
    tensors = read_contract(tmp_path / "bc").tensors_sha256
    with pytest.raises(AdapterError, match=r"`training\.learning_rate` is 0\.5 now"):
        train(training=dataclasses.replace(lean, learning_rate=0.5))
    with pytest.raises(AdapterError, match="exists already"):
        train(restart=True)
    train()
    assert read_contract(tmp_path / "bc").tensors_sha256 == tensors
    assert [path.name for path in tmp_path.iterdir()] == ["bc"]
    with pytest.raises(AdapterError, match="exists already"):
        train()
