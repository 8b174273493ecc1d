"""The contract as a table: every promise PEFT's users rely on, for every kind of thing an adapter can consist of.

Each cell is tested twice: the promise holds, and a wrong answer (the same cell with one thing done wrong) is noticed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from phaseno_peft.backbone import PhaseNO, StationGraph, StemConfig
from phaseno_peft.backbone.stem import Layer, RisingLayer
from phaseno_peft.cr_lora import CRLoraConfig, CRLoraLayer, CRLoraSettings, attach, selected_adapter
from phaseno_peft.cr_lora.attach import resident_tensors
from phaseno_peft.errors import AdapterError
from tests.cr_lora.conftest import small_phaseno

Window = tuple[torch.Tensor, StationGraph]
Answer = tuple[torch.Tensor, torch.Tensor]
"""What came out, and what was promised."""

STEM = StemConfig(channels=2, levels=3, kernel_samples=5, stride=3)
STEMS = {"stem's last": dataclasses.replace(STEM, reach_samples=10)}
"""For some kinds one that also gives the output its times."""
KINDS: dict[str, dict[str, object]] = {
    "pointwise": {"se_reduction": 0, "train_head": False, "target_modules": r"fno\d\.w\.conv"},
    "linear": {"se_reduction": 0, "train_head": False, "target_modules": r"gno\d\.(edge|aggre)\.fc[12]"},
    "gate": {"r": 0, "train_head": False},
    "head": {"r": 0, "se_reduction": 0},
    "whole": {},
    "beside a stem": {},
    "stem by lora": {"se_reduction": 0, "train_head": False, "target_modules": (), "stem": "lora"},
    "stem's last": {"r": 0, "se_reduction": 0, "train_head": False, "stem": "last"},
    "stem in full": {"r": 0, "se_reduction": 0, "train_head": False, "stem": "full"},
    "whole and stem": {"stem": "lora"},
}
FORMULA_OF = {
    "linear": "gno1.edge.fc1",
    "head": "fc1",
    "stem by lora": "stem.ascents.0.up",
    "stem's last": "stem.ascents.1.same",
    "stem in full": "stem.ascents.0.up",
    "whole and stem": "stem.descents.0.down",
}
"""Where the formula is looked at; else at a pointwise convolution."""


def window(n_stations: int, seed: int) -> Window:
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(n_stations, 2, generator=generator) * 0.05
    return torch.randn(n_stations, 3, 120, generator=generator), StationGraph.from_coordinates(places)


FIRST, SECOND = window(3, 1), window(2, 2)


def backbone(kind: str) -> PhaseNO:
    """A small one; for some kinds one with a stem that is heard."""
    return small_phaseno(stem=STEMS.get(kind, STEM) if "stem" in kind else None)


def logits(model: torch.nn.Module, x: Window = FIRST) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(*x)
    return found


def trained(kind: str, seed: int = 3) -> PeftModel:
    """An adapter `default` of one kind with made-up tensors."""
    model = get_peft_model(backbone(kind), CRLoraConfig(**KINDS[kind]))
    fill(model, "default", seed)
    return model


def two(kind: str) -> PeftModel:
    """Adapters `default` and `other`, the first active."""
    model = trained(kind)
    model.add_adapter("other", CRLoraConfig(**KINDS[kind]))
    fill(model, "other", 4)
    return model


def fill(model: PeftModel, name: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for tensor in resident_tensors(model.get_base_model(), name).values():
        tensor.data.copy_(0.3 * torch.randn(tensor.shape, generator=generator))


def spoil(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    save_file({key: 0.9 * tensor for key, tensor in load_file(file).items()}, file)


def a_fresh_adapter_changes_nothing(kind: str, folder: Path, wrong: bool) -> Answer:
    model = get_peft_model(backbone(kind), CRLoraConfig(**KINDS[kind]))
    if wrong:
        fill(model, "default", 3)
    return logits(model), logits(backbone(kind))


def switched_off_it_is_the_backbone(kind: str, folder: Path, wrong: bool) -> Answer:
    model = trained(kind)
    with nullcontext() if wrong else model.disable_adapter():
        return logits(model), logits(backbone(kind))


def switched_on_again_it_is_back(kind: str, folder: Path, wrong: bool) -> Answer:
    model = trained(kind)
    before = logits(model)
    with model.disable_adapter():
        inside = logits(model)
    return inside if wrong else logits(model), before


def only_and_all_of_it_learns(kind: str, folder: Path, wrong: bool) -> Answer:
    learns: dict[str, bool] = {}
    for seed in range(5):  # a gate's ReLU may sleep under some of them
        model = trained(kind, seed)
        if wrong:
            model.get_base_model().fno0.conv.weights1.requires_grad_(True)
        model(*FIRST).square().mean().backward()
        for name, p in model.named_parameters():
            learns[name] = learns.get(name, False) or (p.grad is not None and bool(p.grad.abs().max() > 0))
    return torch.tensor(list(learns.values())), torch.tensor(["crlora_" in name for name in learns])


def it_is_the_papers_formula(kind: str, folder: Path, wrong: bool) -> Answer:
    layer = trained(kind).get_base_model().get_submodule(FORMULA_OF.get(kind, "fno1.w.conv"))
    assert isinstance(layer, CRLoraLayer)
    part = {key.removeprefix("crlora_"): tensor for key, tensor in layer.tensors("default").items()}
    share = 0.5 if wrong else 1.0
    if layer.kind.startswith("stem"):
        channels = {"stem": 2, "stem_last": 4, "stem_rising": 8}[layer.kind]
        x = torch.randn(2, channels, 50, generator=torch.Generator().manual_seed(0))
        return layer(x), stem_formula(layer.base_layer, part, x, share)
    weight, bias = layer.base_layer.weight, layer.base_layer.bias
    if "A.weight" in part:
        weight = weight + share * 8 / 4 * (part["B.weight"] @ part["A.weight"]).view_as(weight)
    if "delta.weight" in part:
        weight, bias = weight + share * part["delta.weight"], bias + share * part["delta.bias"]
    if layer.kind != "pointwise":
        x = torch.randn(5, weight.shape[1], generator=torch.Generator().manual_seed(0))
        return layer(x), F.linear(x, weight, bias)
    x = torch.randn(2, weight.shape[1], 50, generator=torch.Generator().manual_seed(0))
    y = F.conv1d(x, weight, bias)
    if "down.weight" in part:
        squeezed = F.relu(y.mean(-1) @ part["down.weight"].T)
        y = y * share * 2 * torch.sigmoid(squeezed @ part["up.weight"].T)[..., None]
    return layer(x), y


def stem_formula(frozen: Layer, part: dict[str, torch.Tensor], x: torch.Tensor, share: float) -> torch.Tensor:
    """A second convolution beside the frozen one, of the same kernel and stride, and a pointwise one behind it."""
    y, bias = frozen.convolve(x, frozen.weight, None), frozen.bias
    if "A.weight" in part:
        a = part["A.weight"].view(4, x.shape[1], -1)  # [r, in, kernel]
        beside = frozen.convolve(x, a.transpose(0, 1) if isinstance(frozen, RisingLayer) else a, None)
        y = y + share * 8 / 4 * F.conv1d(beside, part["B.weight"][..., None])
    else:
        dense = part["delta.weight"].view(-1, x.shape[1], frozen.weight.shape[-1])  # [out, in, kernel]
        y = y + share * frozen.convolve(x, dense.transpose(0, 1) if isinstance(frozen, RisingLayer) else dense, None)
        bias = bias + share * part["delta.bias"]
    return F.relu(F.batch_norm(y, frozen.mean, frozen.variance, frozen.scale, bias, eps=1e-3))


def saved_and_loaded_it_is_the_same(kind: str, folder: Path, wrong: bool) -> Answer:
    model = trained(kind)
    model.save_pretrained(folder, save_embedding_layers=False)
    if wrong:
        spoil(folder)
    return logits(PeftModel.from_pretrained(backbone(kind), folder)), logits(model)


def without_peft_it_is_the_same(kind: str, folder: Path, wrong: bool) -> Answer:
    model = trained(kind)
    model.save_pretrained(folder, save_embedding_layers=False)
    if wrong:
        spoil(folder)
    light = backbone(kind)
    settings = CRLoraSettings.from_adapter_config(json.loads((folder / "adapter_config.json").read_text()))
    attach(light, "alone", settings, load_file(folder / "adapter_model.safetensors"), "test")
    with selected_adapter("alone"):
        found = logits(light)
    return found, logits(model)


def loading_another_leaves_it_alone(kind: str, folder: Path, wrong: bool) -> Answer:
    trained(kind, seed=4).save_pretrained(folder, save_embedding_layers=False)
    model = trained(kind)
    before = logits(model)
    model.load_adapter(folder, adapter_name="default-2")
    model.set_adapter("default-2")
    if not wrong:
        model.set_adapter("default")
    return logits(model), before


def deleting_another_leaves_it_alone(kind: str, folder: Path, wrong: bool) -> Answer:
    model = two(kind)
    before = logits(model)
    model.delete_adapter("default" if wrong else "other")
    return logits(model), before


def in_a_mixed_batch_each_window_has_its_own(kind: str, folder: Path, wrong: bool) -> Answer:
    model = two(kind)
    batch = torch.cat([FIRST[0], SECOND[0], FIRST[0]]), StationGraph.stack([FIRST[1], SECOND[1], FIRST[1]])
    names = ["other", "default", "__base__"] if wrong else ["default", "other", "__base__"]
    with torch.no_grad():
        mixed = model(*batch, adapter_names=names)
    alone = [logits(trained(kind)), logits(trained(kind, seed=4), SECOND), logits(backbone(kind))]
    return mixed, torch.cat(alone)


def a_weighted_sum_of_one_is_that_one(kind: str, folder: Path, wrong: bool) -> Answer:
    model = two(kind)
    model.add_weighted_adapter(["default", "other"], [0.0, 1.0] if wrong else [1.0, 0.0], "sum")
    before = logits(model)
    model.set_adapter("sum")
    return logits(model), before


def folded_it_is_the_same(kind: str, folder: Path, wrong: bool) -> Answer:
    model = two(kind)
    before = logits(model)
    model.base_model.fold_adapter("default")
    if wrong:
        model.set_adapter("other")
    return logits(model), before


def unfolded_it_is_back(kind: str, folder: Path, wrong: bool) -> Answer:
    model = trained(kind)
    before = logits(model)
    model.base_model.fold_adapter("default")
    if wrong:
        fill(model, "default", 5)
    model.base_model.unfold_adapter("default")
    return logits(model), before


PROMISES: dict[Callable[[str, Path, bool], Answer], float] = {
    a_fresh_adapter_changes_nothing: 0,
    switched_off_it_is_the_backbone: 0,
    switched_on_again_it_is_back: 0,
    only_and_all_of_it_learns: 0,
    it_is_the_papers_formula: 1e-5,
    saved_and_loaded_it_is_the_same: 0,
    without_peft_it_is_the_same: 0,
    loading_another_leaves_it_alone: 0,
    deleting_another_leaves_it_alone: 0,
    in_a_mixed_batch_each_window_has_its_own: 1e-5,
    a_weighted_sum_of_one_is_that_one: 1e-5,
    folded_it_is_the_same: 0,
    unfolded_it_is_back: 0,
}
"""Promise -> how far what comes out may be from it; 0 is bit for bit."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_promise_is_kept(promise: Callable[[str, Path, bool], Answer], kind: str, tmp_path: Path) -> None:
    found, promised = promise(kind, tmp_path, False)
    torch.testing.assert_close(found, promised, atol=PROMISES[promise], rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_wrong_answer_is_noticed(promise: Callable[[str, Path, bool], Answer], kind: str, tmp_path: Path) -> None:
    found, promised = promise(kind, tmp_path, True)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(found, promised, atol=max(PROMISES[promise], 1e-4), rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_merge_through_peft_is_refused(kind: str) -> None:
    """Gates depend on the input, so nothing of this method is merged through PEFT; folding is there instead."""
    model = trained(kind)
    before = logits(model)
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(ValueError, match="cannot be merged"):
            merge()
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_lacks_any_one_tensor_is_refused(kind: str, tmp_path: Path) -> None:
    trained(kind).save_pretrained(tmp_path, save_embedding_layers=False)
    file = tmp_path / "adapter_model.safetensors"
    whole = load_file(file)
    for missing in (min(whole), max(whole)):
        save_file({key: tensor for key, tensor in whole.items() if key != missing}, file)
        with pytest.raises(AdapterError, match="missing"):
            PeftModel.from_pretrained(backbone(kind), tmp_path)
    save_file(whole, file)
    PeftModel.from_pretrained(backbone(kind), tmp_path)
