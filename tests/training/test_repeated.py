"""A training that had written its adapter: killed before its checkpoints were removed, or its report failed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from phaseno_peft.campaign import Campaign
from phaseno_peft.errors import AdapterError, PhasenoPeftError
from phaseno_peft.library import read_contract
from phaseno_peft.training import adapter, train_adapter
from tests.training.conftest import LEAN
from tests.training.test_cross_fit import few_forgetting_windows  # noqa: F401  # of every test here

BRIEF = dataclasses.replace(LEAN, epochs=1, windows_per_epoch=2)


def train(campaign: Campaign, backbone: Path, folder: Path, **changes: object) -> adapter.TrainedAdapter:
    options = {"training": BRIEF, "recipe": "head", "folder": folder, "backbone": backbone, "folds": 0} | changes
    return train_adapter("bc", campaign, **options)  # type: ignore[arg-type]


def digest(folder: Path) -> str | None:
    return read_contract(folder / "bc").tensors_sha256


def test_the_same_training_repeated_ends_well_and_another_one_is_refused(
    campaign: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "remove_checkpoints", killed)
        with pytest.raises(KeyboardInterrupt):
            train(campaign, small_backbone, tmp_path)
    tensors = digest(tmp_path)
    with pytest.raises(AdapterError, match="exists already"):
        train(campaign, small_backbone, tmp_path, restart=True)
    train(campaign, small_backbone, tmp_path)
    assert digest(tmp_path) == tensors
    assert [path.name for path in tmp_path.iterdir()] == ["bc"]
    with pytest.raises(AdapterError, match="exists already"):
        train(campaign, small_backbone, tmp_path)


def test_an_adapter_whose_report_failed_is_replaced_by_no_other_training_unless_asked_to(
    campaign: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("no space left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "write_report", fails)
        with pytest.raises(PhasenoPeftError, match="The adapter itself is written"):
            train(campaign, small_backbone, tmp_path, report=tmp_path / "report")
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    for other in (
        {"seeds": 2},
        {"seed": 1},
        {"folds": 2},
        {"quick": True},
        {"labels": 3},
        {"training": dataclasses.replace(BRIEF, learning_rate=0.5)},
        {"recipe": "se-only"},
        {"label_convention": "onset"},
        {"confidential": True},
    ):
        with pytest.raises(AdapterError, match="exists already"):
            train(campaign, small_backbone, tmp_path, **other)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
    tensors = digest(tmp_path)
    train(campaign, small_backbone, tmp_path, seed=1, overwrite=True)
    assert digest(tmp_path) != tensors
    assert [path.name for path in tmp_path.iterdir()] == ["bc"]
