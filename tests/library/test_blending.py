"""Blends of stored adapters."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from phaseno_peft.errors import AdapterError
from phaseno_peft.library import read_adapter, write_adapter
from phaseno_peft.library.blending import blend_adapters
from phaseno_peft.library.card import Card
from phaseno_peft.picking import load_adapter
from tests.library.machines import Machine


@pytest.fixture
def two(machine: Machine, tiny: Path, tmp_path: Path) -> tuple[str, str]:
    """tiny-ohio in a library, and an adapter beside it that is twice as strong, at other thresholds."""
    machine.use("first")
    first = read_adapter(tiny)
    contract = dataclasses.replace(first.contract, thresholds={"P": 0.6, "S": 0.5}, label_convention="onset")
    tensors = {key: 2 * tensor for key, tensor in first.tensors.items()}
    card = Card("strong-ohio", first.settings, contract, {}, {}, [])
    return str(tiny), str(write_adapter(tmp_path / "strong-ohio", first.settings, contract, tensors, card, {}))


def test_a_blend_is_an_adapter_like_any_other(two: tuple[str, str], small_backbone: Path) -> None:
    first = read_adapter(two[0])
    folder = blend_adapters(two, [0.75, 0.25], "between")
    stored = read_adapter("between")
    assert stored.folder == folder
    assert stored.settings.r == 2 * first.settings.r
    thresholds = first.contract.thresholds
    assert stored.contract.thresholds["P"] == pytest.approx(0.75 * thresholds["P"] + 0.25 * 0.6)
    assert stored.contract.label_convention in ("unknown", "onset")
    assert stored.contract.provenance.campaign == "ohio + ohio"
    key = "base_model.model.fc1.crlora_delta.weight"
    assert torch.allclose(stored.tensors[key], 1.25 * first.tensors[key])
    assert "Not judged yet" in (folder / "README.md").read_text()
    assert load_adapter("between", backbone=small_backbone).active_adapter == "between"


def test_a_blend_is_refused_where_the_parts_do_not_fit(two: tuple[str, str], tmp_path: Path) -> None:
    first = read_adapter(two[0])
    contract = dataclasses.replace(first.contract, backbone_fingerprint="0" * 64)
    card = Card("foreign", first.settings, contract, {}, {}, [])
    foreign = write_adapter(tmp_path / "foreign", first.settings, contract, first.tensors, card, {})
    with pytest.raises(AdapterError, match="their backbone differs"):
        blend_adapters([two[0], foreign], [0.5, 0.5], "between")
    with pytest.raises(AdapterError, match="1 weights are given for 2 adapters"):
        blend_adapters(two, [1.0], "between")
    blend_adapters(two, [0.5, 0.5], "between")
    with pytest.raises(AdapterError, match="exists already"):
        blend_adapters(two, [0.5, 0.5], "between")
