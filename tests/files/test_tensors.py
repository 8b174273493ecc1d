"""Tensors in files: complex ones, shared ones, damaged ones, and that files of before are written as before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from phaseno_peft.backbone import EMBEDDED, load_backbone, save_backbone
from phaseno_peft.backbone.weights import backbone_folder
from phaseno_peft.files.tensors import read_safetensors, to_safetensors
from phaseno_peft.paths import shipped_folder


def test_tensors_and_texts_come_back_complex_and_shared_ones_too(tmp_path: Path) -> None:
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    tensors = {"part": base[:, 1], "turned": base.T, "spectrum": torch.complex(base, -base), "count": torch.tensor(7)}
    (tmp_path / "t.safetensors").write_bytes(to_safetensors(tensors, {"about": "this"}))
    found, metadata = read_safetensors(tmp_path / "t.safetensors")
    assert metadata == {"about": "this"}
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name
    with safe_open(tmp_path / "t.safetensors", "pt") as file:
        assert file.get_slice("spectrum.real_imag").get_shape() == [3, 4, 2]


def test_complex_tensors_that_safetensors_itself_stored_are_read(tmp_path: Path) -> None:
    spectrum = torch.randn(3, 2, dtype=torch.complex64)
    save_file({"spectrum": spectrum}, tmp_path / "t.safetensors")
    assert torch.equal(read_safetensors(tmp_path / "t.safetensors")[0]["spectrum"], spectrum)


@pytest.mark.parametrize("wrong", [torch.zeros(3, 1), torch.zeros(3, 2, dtype=torch.int32), torch.tensor(1.0)])
def test_half_a_complex_tensor_is_refused_by_name(tmp_path: Path, wrong: torch.Tensor) -> None:
    save_file({"spectrum.real_imag": wrong}, tmp_path / "t.safetensors")
    with pytest.raises(ValueError, match=r"spectrum\.real_imag is .* needs a last axis of 2"):
        read_safetensors(tmp_path / "t.safetensors")


def test_what_is_no_safetensors_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        read_safetensors(tmp_path / "t.safetensors")
    with pytest.raises(FileNotFoundError):
        read_safetensors(tmp_path / "absent.safetensors")


def shipped_adapters() -> list[Path]:
    return sorted(shipped_folder("adapters").glob("*/adapter_model.safetensors"))


@pytest.mark.parametrize("file", shipped_adapters(), ids=lambda file: file.parent.name)
def test_a_shipped_adapter_is_written_again_byte_for_byte(file: Path) -> None:
    tensors, metadata = read_safetensors(file)
    assert to_safetensors(tensors, metadata or None) == file.read_bytes()


def test_the_embedded_backbone_is_written_again_byte_for_byte(tmp_path: Path) -> None:
    made = save_backbone(load_backbone(), tmp_path / "again", EMBEDDED, {"P": 0.3, "S": 0.3})
    original = backbone_folder(EMBEDDED) / "model.safetensors"
    assert (made / "model.safetensors").read_bytes() == original.read_bytes()
    mine, theirs = (json.loads((folder / "config.json").read_text()) for folder in (made, original.parent))
    assert [mine[key] for key in ("format", "fingerprint")] == [theirs[key] for key in ("format", "fingerprint")]


def test_complex_tensors_of_half_precision_come_back_as_complex64(tmp_path: Path) -> None:
    halves = torch.tensor([[1.5, -2.0]], dtype=torch.float16)
    save_file({"spectrum.real_imag": halves}, tmp_path / "h.safetensors")
    found, _ = read_safetensors(tmp_path / "h.safetensors")
    assert found["spectrum"].dtype == torch.complex64
    assert found["spectrum"].tolist() == [1.5 - 2j]
