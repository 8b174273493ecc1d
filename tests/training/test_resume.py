"""A training that was killed ends as one that was not, bit for bit; another training is never continued."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from phaseno_peft.campaign import Campaign
from phaseno_peft.comparison.recipes import find_recipe
from phaseno_peft.cr_lora import CRLoraSettings
from phaseno_peft.errors import AdapterError, PhasenoPeftError
from phaseno_peft.files import write_file
from phaseno_peft.training import Epoch, checkpoint, cr_lora_recipe
from phaseno_peft.training.checkpoint import FOLDER, Checkpoint
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import Fitted, TrainingCallbacks, fit, training_identity
from phaseno_peft.training.history import TrainingState
from phaseno_peft.training.recipes import Recipe
from tests.training.conftest import LEAN, lean_dataset, read

SHORT = dataclasses.replace(LEAN, windows_per_epoch=3)
DROPOUT = cr_lora_recipe(CRLoraSettings(lora_dropout=0.3))
"""Draws random numbers of torch in every step."""


class StoppedError(Exception):
    pass


def stop_after(number: int) -> TrainingCallbacks:
    def on_epoch(epoch: Epoch) -> None:
        if epoch.epoch == number:
            raise StoppedError

    return TrainingCallbacks(on_epoch=on_epoch)


def tensors(fitted: Fitted) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in fitted.model.parameters() if p.requires_grad]


def state(fitted: Fitted) -> list[Epoch]:
    """The history without its only part that may differ."""
    return [dataclasses.replace(epoch, seconds=0.0) for epoch in fitted.history]


def assert_same(a: Fitted, b: Fitted) -> None:
    assert state(a) == state(b)
    assert a.kept == b.kept
    assert all(np.array_equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def test_a_killed_process_goes_on_with_the_same_result(
    campaign_folder: Path, dataset: CampaignDataset, small_backbone: Path, tmp_path: Path
) -> None:
    whole = fit(DROPOUT, dataset, SHORT, backbone=small_backbone)
    command = [sys.executable, __file__, *map(str, (campaign_folder, small_backbone, tmp_path / "c.safetensors"))]
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    for line in child.stdout:
        if line == "epoch 2\n":
            break
    child.stdout.readline()  # a step of epoch 3
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]

    messages: list[str] = []
    resumed = fit(
        DROPOUT,
        dataset,
        SHORT,
        backbone=small_backbone,
        checkpoint=tmp_path / "c.safetensors",
        callbacks=TrainingCallbacks(messages.append),
    )
    assert messages == ["continuing a training that was stopped after epoch 2"]
    assert_same(resumed, whole)
    other = fit(DROPOUT, dataset, dataclasses.replace(SHORT, seed=1), backbone=small_backbone)
    assert not all(np.array_equal(x, y) for x, y in zip(tensors(whole), tensors(other), strict=True))


@pytest.mark.parametrize("recipe", ["unfreeze:2", "bottleneck", "peft:LoKr"])
def test_other_recipes_go_on_as_well(
    recipe: str, dataset: CampaignDataset, small_backbone: Path, tmp_path: Path
) -> None:
    """`unfreeze:2` has complex weights, a plateau and weights that never get a gradient."""
    settings = dataclasses.replace(LEAN, epochs=2, windows_per_epoch=2, schedule="plateau", plateau_epochs=1)
    place = tmp_path / "c.safetensors"
    whole = fit(find_recipe(recipe), dataset, settings, backbone=small_backbone)
    with pytest.raises(StoppedError):
        fit(find_recipe(recipe), dataset, settings, backbone=small_backbone, checkpoint=place, callbacks=stop_after(1))
    resumed = fit(find_recipe(recipe), dataset, settings, backbone=small_backbone, checkpoint=place)
    assert_same(resumed, whole)
    again = fit(find_recipe(recipe), dataset, settings, backbone=small_backbone, checkpoint=place)  # nothing is left
    assert_same(again, whole)


@pytest.fixture(scope="module")
def stopped(dataset: CampaignDataset, small_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("stopped") / "c.safetensors"
    with pytest.raises(StoppedError):
        start(dataset, small_backbone, place, callbacks=stop_after(1))
    return place


def start(
    dataset: CampaignDataset, backbone: Path, place: Path, recipe: Recipe | None = None, **changes: object
) -> Fitted:
    options = {key: changes.pop(key) for key in ("callbacks", "labels") if key in changes}
    training = dataclasses.replace(LEAN, windows_per_epoch=2, **changes)  # type: ignore[arg-type]
    chosen = recipe or find_recipe("head")
    return fit(chosen, dataset, training, backbone=backbone, checkpoint=place, **options)  # type: ignore[arg-type]


def test_what_was_begun_before_there_was_a_setting_goes_on(dataset: CampaignDataset) -> None:
    """Trainings and comparisons of before `replay` knew nothing of it."""
    now = training_identity(find_recipe("head"), dataset, LEAN, None, "backbone", "cpu")
    assert "replay" not in now["training"]
    other = training_identity(find_recipe("head"), dataset, LEAN.changed(replay=0.25), None, "backbone", "cpu")
    assert other["training"] == {**now["training"], "replay": 0.25}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.5}, r"`training.learning_rate` is 0.5 now and was 0.01"),
        ({"epochs": 7}, r"`training.epochs` is 7 now and was 3"),
        ({"labels": 3}, r"`labelled events` is 3 now and was None"),
        ({"recipe": find_recipe("se-only")}, r"`recipe` is 'se-only' now and was 'head'"),
    ],
)
def test_a_changed_setting_is_refused(
    change: dict[str, object], message: str, dataset: CampaignDataset, small_backbone: Path, stopped: Path
) -> None:
    before = stopped.read_bytes()
    with pytest.raises(AdapterError, match=f"stopped after epoch 1 lies here, but {message}.*--restart"):
        start(dataset, small_backbone, stopped, **change)  # type: ignore[arg-type]
    assert stopped.read_bytes() == before


def test_changed_data_are_refused(campaign: Campaign, small_backbone: Path, stopped: Path) -> None:
    first = campaign.recordings[0]
    moved = dataclasses.replace(first, samples=first.samples + np.float32(1e-9))
    other = lean_dataset(dataclasses.replace(campaign, recordings=(moved, *campaign.recordings[1:])))
    with pytest.raises(AdapterError, match="waveforms, stations, picks or split"):
        start(other, small_backbone, stopped)


def test_a_damaged_checkpoint_is_refused(
    dataset: CampaignDataset, small_backbone: Path, stopped: Path, tmp_path: Path
) -> None:
    place = tmp_path / "c.safetensors"
    for content in (b"", stopped.read_bytes()[:-100], b"\x80\x04K\x01."):
        place.write_bytes(content)
        with pytest.raises(AdapterError, match=r"c\.safetensors: not a training that can be continued.*--restart"):
            start(dataset, small_backbone, place)


def test_an_epoch_that_cannot_be_written_leaves_the_last_one(
    dataset: CampaignDataset, small_backbone: Path, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "c.safetensors"
    place.write_bytes(stopped.read_bytes())

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("phaseno_peft.files.atomic.os.replace", full_disk)
    with pytest.raises(PhasenoPeftError, match="No space left on device"):
        start(dataset, small_backbone, place)
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]
    assert place.read_bytes() == stopped.read_bytes()


def test_forgetting_takes_what_a_process_left_that_was_killed_while_writing(tmp_path: Path) -> None:
    place = tmp_path / ".training" / "ohio" / "seed-0.safetensors"
    other = tmp_path / ".training" / "bc" / "seed-0.safetensors"
    for file in (place, place.with_name(".seed-0.safetensors.0a1b2c3d.tmp"), other):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    Checkpoint(place, {}).discard()
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".training", "bc", "seed-0.safetensors"]
    Checkpoint(other, {}).discard()
    assert not list(tmp_path.iterdir())


def test_a_training_beside_it_may_remove_the_folder_they_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (Checkpoint(tmp_path / FOLDER / name, {}) for name in ("one", "other"))
    state = TrainingState(1, [Epoch(0, None, 0.1, 0.5, 0.5, 0.5, 0.0, 1.0)])
    state.parameters = {"a": torch.zeros(2)}
    removed = []

    def meanwhile(path: Path, content: bytes) -> Path:
        if not removed:
            other.discard()
            removed.append(not path.parent.exists())
        return write_file(path, content)

    monkeypatch.setattr(checkpoint, "write_file", meanwhile)
    one.save(state)
    assert removed == [True]
    assert one.load() is not None


def test_a_checkpoint_is_plain_safetensors(stopped: Path) -> None:
    with safe_open(stopped, framework="pt") as file:
        kinds = {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118  # not a dict
        assert set(file.metadata()) == {"course"}
    assert kinds == {torch.float32}


if __name__ == "__main__":  # the process that is killed
    folder, backbone, place = map(Path, sys.argv[1:])

    def tell(epoch: Epoch) -> None:
        print(f"epoch {epoch.epoch}", flush=True)

    fit(
        DROPOUT,
        lean_dataset(read(folder)),
        SHORT,
        backbone=backbone,
        checkpoint=place,
        callbacks=TrainingCallbacks(lambda _: None, tell, lambda *_: print("step", flush=True)),
    )
