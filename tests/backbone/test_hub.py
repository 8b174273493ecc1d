"""Backbones on the Hub: `load_backbone("org/repo@revision")`, against the stand-in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from phaseno_peft import load_adapter
from phaseno_peft.backbone import backbone_info, fingerprint, load_backbone, push_backbone
from phaseno_peft.errors import BackboneError, HubError
from tests.library.machines import Machine
from tests.library.standin_hub import StandInHub

REPO = "lab/small-backbone"


def test_a_backbone_is_pushed_and_loaded_elsewhere_by_tag_and_commit(
    hub: StandInHub, machine: Machine, small_backbone: Path, tiny: Path
) -> None:
    made = push_backbone(small_backbone, REPO, tag="v1", public=True)
    files = hub.repositories[REPO].files
    assert set(files) == {".gitattributes", "README.md", "config.json", "model.safetensors", "manifest.json"}
    assert files["README.md"].startswith(b"---\nlibrary_name: phaseno-peft\n")
    assert not push_backbone(small_backbone, REPO, tag="v1", public=True).is_new_commit
    machine.use("second", token=None)
    for name in (REPO, f"{REPO}@v1", f"{REPO}@{made.commit}"):
        assert fingerprint(load_backbone(name)) == backbone_info(small_backbone).fingerprint
    machine.use("second", token=None, offline=True)
    assert load_adapter(tiny, backbone=f"{REPO}@v1").active_adapter == "tiny-ohio"


def test_altered_weights_are_caught(hub: StandInHub, machine: Machine, small_backbone: Path) -> None:
    push_backbone(small_backbone, REPO, public=True)
    weights = hub.repositories[REPO].files["model.safetensors"]
    hub.altered["model.safetensors"] = weights[:-8] + bytes(8)
    machine.use("second")
    with pytest.raises(HubError, match=r"model\.safetensors: the SHA-256 is"):
        load_backbone(REPO)


def test_another_backbone_is_not_written_over_and_an_adapter_is_no_backbone(
    hub: StandInHub, machine: Machine, small_backbone: Path, tiny: Path, tmp_path: Path
) -> None:
    from phaseno_peft.library import push_adapter

    push_backbone(small_backbone, REPO, public=True)
    other = Path(shutil.copytree(small_backbone, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"thresholds": {"P": 0.5, "S": 0.5}}))
    with pytest.raises(HubError, match="exists already"):
        push_backbone(other, REPO, public=True)
    assert push_backbone(other, REPO, overwrite=True, public=True).is_new_commit
    with pytest.raises(HubError, match=r"something else than an adapter"):
        push_adapter(tiny, REPO, overwrite=True)
    push_adapter(tiny, "lab/tiny")
    with pytest.raises(HubError, match=r"has no config\.json, so it is not a backbone"):
        load_backbone("lab/tiny")


def test_a_damaged_backbone_is_not_pushed(
    hub: StandInHub, machine: Machine, small_backbone: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(small_backbone, tmp_path / "damaged"))
    tensors = load_file(folder / "model.safetensors")
    key = sorted(tensors)[0]
    save_file(tensors | {key: torch.zeros_like(tensors[key])}, folder / "model.safetensors")
    with pytest.raises(BackboneError, match="fingerprint"):
        push_backbone(folder, REPO)
    assert not hub.requests
