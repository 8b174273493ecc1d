"""A stopped training goes on with what it was begun with; another one of its name is refused before it trains."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from phaseno_peft.campaign import Campaign
from phaseno_peft.errors import AdapterError
from phaseno_peft.training import Epoch, TrainedAdapter, Unlabelled, train_adapter
from tests.training.test_cross_fit import (
    SHORT,
    StoppedError,
    few_forgetting_windows,  # noqa: F401  # of every test here
)

BRIEF = dataclasses.replace(SHORT, epochs=1)


@pytest.fixture(scope="module")
def six(campaign: Campaign) -> Campaign:
    return dataclasses.replace(campaign, recordings=campaign.recordings[:6])


def train(campaign: Campaign, backbone: Path, folder: Path, **changes: object) -> TrainedAdapter:
    options = {"training": BRIEF, "recipe": "se-only", "folder": folder, "backbone": backbone, "folds": 2} | changes
    return train_adapter("bc", campaign, **options)  # type: ignore[arg-type]


def stop(epoch: Epoch) -> None:
    if epoch.epoch:
        raise StoppedError


@pytest.fixture(scope="module")
def stopped(six: Campaign, small_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with a training in two folds that was stopped when the first one was trained."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(StoppedError):
        train(six, small_backbone, folder, on_epoch=stop)
    return folder


def files(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def library(stopped: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stopped, tmp_path / "library")


def test_another_training_is_refused_in_the_words_it_was_asked_for_before_anything_is_trained(
    six: Campaign, small_backbone: Path, library: Path, campaign_folder: Path
) -> None:
    before = files(library)
    changes: list[tuple[dict[str, object], str]] = [
        ({"folds": 3}, "`folds` is 3 now and was 2"),
        ({"folds": 0}, "`folds` is 0 now and was 2"),
        ({"folds": 0, "seeds": 2}, "`seeds` is 2 now and was 1"),
        ({"folds": "auto", "quick": True}, "`quick` is True now and was False"),
        ({"folds": "auto", "labels": 1}, "`labelled events` is 1 now and was None"),
        ({"seed": 1}, "`seed` is 1 now and was 0"),
        ({"unlabelled": Unlabelled(campaign_folder / "waveforms")}, "`unlabelled` is '.*waveforms' now and was None"),
        ({"recipe": "head"}, "`recipe` is 'head' now and was 'se-only'"),
        ({"training": BRIEF.changed(epochs=2)}, "`training.epochs` is 2 now and was 1"),
    ]
    for change, words in changes:
        with pytest.raises(AdapterError, match=rf"a stopped training of 'bc' lies here, but {words}.*--restart"):
            train(six, small_backbone, library, on_epoch=never, **change)
    fewer = dataclasses.replace(six, recordings=six.recordings[:5])
    with pytest.raises(AdapterError, match="but `waveforms, stations, picks or split"):
        train(fewer, small_backbone, library, on_epoch=never)
    assert files(library) == before


def never(_: Epoch) -> None:
    raise AssertionError("an epoch was trained")


@pytest.mark.parametrize("is_of_before", [False, True])
def test_it_goes_on_with_what_does_not_change_it_and_from_checkpoints_of_before_there_was_the_file(
    is_of_before: bool, six: Campaign, small_backbone: Path, library: Path, tmp_path: Path
) -> None:
    file, said = library / ".training" / "bc" / "training.json", []
    if is_of_before:
        file.unlink()
    with pytest.raises(StoppedError):
        train(
            six, small_backbone, library, keep_folds=True, confidential=True, report=tmp_path / "report",
            label_convention="onset", on_stage=said.append, on_epoch=stop,
        )  # fmt: skip
    assert "continuing a training that was stopped after epoch 1" in said
    assert {path.name for path in file.parent.iterdir()} == {
        "fold-1-of-2.safetensors", "fold-2-of-2.safetensors", "training.json",
    }  # fmt: skip


def test_checkpoints_of_before_there_was_the_file_are_not_taken_for_those_of_a_refused_training(
    six: Campaign, small_backbone: Path, library: Path
) -> None:
    file = library / ".training" / "bc" / "training.json"
    file.unlink()
    before = files(library)
    with pytest.raises(AdapterError, match=r"training\.epochs"):
        train(six, small_backbone, library, training=BRIEF.changed(epochs=2), on_epoch=never)
    assert files(library) == before  # and the training they are of goes on
    with pytest.raises(StoppedError):
        train(six, small_backbone, library, on_epoch=stop)


def test_a_damaged_file_is_named_and_restart_forgets_all_that_is_kept(
    six: Campaign, small_backbone: Path, library: Path
) -> None:
    kept = library / ".training" / "bc"
    file, whole = kept / "training.json", (kept / "training.json").read_text()
    for damaged in ("", whole[:-20], "[]", '{"format": "another"}', whole.replace('"what": {', '"what": 3, "_": {')):
        file.write_text(damaged)
        with pytest.raises(AdapterError, match=r"training\.json: does not say what training .*--restart"):
            train(six, small_backbone, library, on_epoch=never)
    (kept / "fold-3-of-3.safetensors").touch()
    with pytest.raises(StoppedError):
        train(six, small_backbone, library, folds=0, restart=True, on_epoch=stop)
    assert sorted(path.name for path in kept.iterdir()) == ["seed-0.safetensors", "training.json"]


def test_a_training_that_is_refused_before_its_first_epoch_is_kept_leaves_nothing(
    six: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    with pytest.raises(AdapterError, match="does not go with folds"):
        train(six, small_backbone, tmp_path, training=dataclasses.replace(BRIEF, schedule="plateau"))
    assert not list(tmp_path.iterdir())
