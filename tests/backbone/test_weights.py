"""Backbones on disk: strict, whole or not at all; and upstream's checkpoint as its own class writes it."""

from __future__ import annotations

import json
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from phaseno_peft.backbone import (
    PhaseNO,
    StationGraph,
    backbone_info,
    convert_checkpoint,
    fingerprint,
    list_backbones,
    load_backbone,
    save_backbone,
)
from phaseno_peft.errors import BackboneError
from tests.backbone.conftest import SMALL, small_network

THRESHOLDS = {"P": 0.3, "S": 0.3}


def lightning_checkpoint(model: PhaseNO) -> dict[str, Any]:
    """Layout of upstream's file (golden/README.md): Lightning, Adam moments of complex weights, the loss's buffer."""
    state = OrderedDict([("criterion.pos_weight", torch.tensor([5]))], **model.state_dict())
    moments = {
        i: {"step": torch.tensor(3.0), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        for i, p in enumerate(model.parameters())
    }
    group = {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "params": list(range(len(moments)))}
    return {
        "epoch": 19,
        "global_step": 1140000,
        "pytorch-lightning_version": "1.9.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 20}}}},
        "callbacks": {},
        "optimizer_states": [{"state": moments, "param_groups": [group]}],
        "lr_schedulers": [{"factor": 0.1, "patience": 10, "best": 0.1, "mode": "min"}],
    }


@pytest.fixture(scope="module")
def full_size() -> PhaseNO:
    torch.manual_seed(3)
    return PhaseNO().eval().requires_grad_(False)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_backbone(small_network(), tmp_path / "small", "small", THRESHOLDS)


def test_what_is_saved_is_loaded_bit_for_bit(saved: Path) -> None:
    model, again = small_network(), load_backbone(saved)
    assert fingerprint(again) == fingerprint(model) == backbone_info(saved).fingerprint
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert again.name_or_path == "small"
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert not any(tensor.is_complex() for tensor in load_file(saved / "model.safetensors").values())


def test_existing_folder_is_not_overwritten(saved: Path) -> None:
    with pytest.raises(BackboneError, match="exists already"):
        save_backbone(small_network(), saved, "small", THRESHOLDS)


def change_one(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], None]:
    def edit(tensors: dict[str, Tensor]) -> None:
        tensors[name] = change(tensors[name]).contiguous()

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tensors: tensors.pop("fc1.bias"), "missing, the first is fc1.bias"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "the first is extra"),
        (change_one("fc1.weight", lambda t: t[:, 1:]), "fc1.weight is"),
        (change_one("fc1.weight", lambda t: t * float("nan")), "fc1.weight holds NaN"),
        (change_one("fno0.conv.weights1.real_imag", lambda t: t * float("inf")), "fno0.conv.weights1 holds NaN"),
        (change_one("fno0.conv.weights1.real_imag", lambda t: t[..., :1]), "needs a last axis of 2"),
        (
            lambda tensors: tensors.update(
                {"fno0.conv.weights1": tensors.pop("fno0.conv.weights1.real_imag")[..., 0].contiguous()}
            ),
            "fno0.conv.weights1 is torch.float32",
        ),
        (change_one("fc1.weight", lambda t: t + 1e-3), "fingerprint"),
    ],
    ids=["missing", "surplus", "shape", "nan", "inf", "half complex", "real for complex", "altered"],
)
def test_wrong_weights_are_refused(saved: Path, edit: Callable[[dict[str, Tensor]], None], message: str) -> None:
    tensors = load_file(saved / "model.safetensors")
    edit(tensors)
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(BackboneError, match=message):
        load_backbone(saved)


def test_damaged_files_are_refused(saved: Path) -> None:
    weights, config = saved / "model.safetensors", saved / "config.json"
    whole, text = weights.read_bytes(), config.read_text()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackboneError, match="not a readable safetensors file"):
        load_backbone(saved)
    weights.unlink()
    with pytest.raises(BackboneError, match="no such file"):
        load_backbone(saved)
    weights.write_bytes(whole)
    config.write_text(text[:40])
    with pytest.raises(BackboneError, match=r"not a backbone's config\.json"):
        load_backbone(saved)
    config.write_text(text.replace("backbone/1", "backbone/9"))
    with pytest.raises(BackboneError, match="backbone/9"):
        load_backbone(saved)
    with pytest.raises(BackboneError, match="neither a folder"):
        load_backbone("no-such-backbone")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": {"P": 0.3}}, r"`thresholds` should have P and S"),
        ({"thresholds": {"P": 0.3, "S": "0.3"}}, "thresholds"),
        ({"fingerprint": "no digest"}, "fingerprint"),
        ({"n_parameters": 1e300}, "n_parameters"),
        ({"author": "x"}, "author"),
        ({"architecture": SMALL.to_json() | {"width": 90_000}}, r"too few for the sizes in config\.json"),
        ({"architecture": SMALL.to_json() | {"stem": {"levels": 90_000}}}, r"too few for the sizes in config\.json"),
    ],
)
def test_every_field_of_a_config_is_checked_before_anything_of_its_size_is_made(
    saved: Path, change: dict[str, Any], message: str
) -> None:
    config = saved / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(BackboneError, match=message):
        load_backbone(saved)


def test_a_config_nested_without_end_is_refused(saved: Path) -> None:
    (saved / "config.json").write_text("[" * 60_000)
    with pytest.raises(BackboneError, match=r"config\.json: not a backbone's config\.json \(not readable as JSON"):
        load_backbone(saved)


def test_fetched_backbones_are_found_by_name(saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PHASENO_PEFT_HOME", str(tmp_path / "home"))
    assert "small" not in list_backbones()
    shutil.copytree(saved, tmp_path / "home" / "backbones" / "small")
    assert "small" in list_backbones()
    assert fingerprint(load_backbone("small")) == fingerprint(small_network())


def test_upstreams_checkpoint_converts_unchanged(full_size: PhaseNO, tmp_path: Path) -> None:
    torch.save(lightning_checkpoint(full_size), tmp_path / "upstream.ckpt")
    folder = convert_checkpoint(tmp_path / "upstream.ckpt", tmp_path / "converted")
    model = load_backbone(folder)
    assert fingerprint(model) == fingerprint(full_size)
    assert backbone_info(folder).n_parameters == 2_364_914  # golden/README.md, a complex weight counted once
    with pytest.raises(BackboneError, match="exists already"):
        convert_checkpoint(tmp_path / "upstream.ckpt", folder)


class Bomb:
    """Executes when unpickled, where that is allowed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path("exploded").touch, ()


def other_model(checkpoint: dict[str, Any]) -> None:
    checkpoint["state_dict"] = {f"model.{k}": v for k, v in checkpoint["state_dict"].items()}


def narrower(checkpoint: dict[str, Any]) -> None:
    checkpoint["state_dict"] = PhaseNO(SMALL).state_dict()


def spoilt(checkpoint: dict[str, Any]) -> None:
    checkpoint["state_dict"]["fc1.weight"] = torch.full((96, 48), float("nan"))


def real_kernel(checkpoint: dict[str, Any]) -> None:
    kernel = checkpoint["state_dict"]["fno2.conv.weights1"]
    checkpoint["state_dict"]["fno2.conv.weights1"] = torch.view_as_real(kernel).clone()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (other_model, "another model"),
        (narrower, "PhaseNO needs"),
        (spoilt, "fc1.weight holds NaN"),
        (real_kernel, "fno2.conv.weights1 is torch.float32"),
        (lambda checkpoint: checkpoint.pop("state_dict"), "no table of weights"),
        (lambda checkpoint: checkpoint.update(hooks=Bomb()), "does not execute"),
    ],
    ids=["other model", "other sizes", "nan", "complex stored wrongly", "no weights", "code"],
)
def test_other_checkpoints_are_refused(
    full_size: PhaseNO,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edit: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = lightning_checkpoint(full_size)
    edit(checkpoint)
    torch.save(checkpoint, tmp_path / "other.ckpt")
    with pytest.raises(BackboneError, match=message):
        convert_checkpoint(tmp_path / "other.ckpt", tmp_path / "converted")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.ckpt"]


@pytest.mark.parametrize("content", [b"", b"\x00" * 500, b"<!DOCTYPE html>", json.dumps({"a": 1}).encode()])
def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page.ckpt").write_bytes(content)
    with pytest.raises(BackboneError, match="Fetch it again"):
        convert_checkpoint(tmp_path / "page.ckpt", tmp_path / "converted")


def test_truncated_checkpoint_is_refused(full_size: PhaseNO, tmp_path: Path) -> None:
    torch.save(lightning_checkpoint(full_size), tmp_path / "whole.ckpt")
    whole = (tmp_path / "whole.ckpt").read_bytes()
    (tmp_path / "part.ckpt").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(BackboneError, match="Fetch it again"):
        convert_checkpoint(tmp_path / "part.ckpt", tmp_path / "converted")
    with pytest.raises(BackboneError, match="no such file"):
        convert_checkpoint(tmp_path / "absent.ckpt", tmp_path / "converted")


def test_converted_network_computes_as_the_one_it_was(full_size: PhaseNO, tmp_path: Path) -> None:
    torch.save(lightning_checkpoint(full_size)["state_dict"], tmp_path / "bare.pt")  # a bare state_dict will do
    model = load_backbone(convert_checkpoint(tmp_path / "bare.pt", tmp_path / "converted"))
    waveforms = torch.randn(1, 3, 3000, generator=torch.Generator().manual_seed(0))
    graph = StationGraph.from_coordinates(torch.zeros(1, 2))
    with torch.no_grad():
        assert torch.equal(model(waveforms, graph), full_size(waveforms, graph))
