"""Adapters that also adapt the backbone's stem: counts, files, refusals, threads, sums.

What holds for every kind of adapter is in `test_contract_table`, whose last rows are these.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StationGraph, StemConfig, fingerprint
from phaseno_peft.contract import Contract
from phaseno_peft.cr_lora import (
    CRLoraConfig,
    CRLoraLayer,
    CRLoraSettings,
    adapters_by_window,
    attach,
    blend,
    expected_tensors,
    fold,
    selected_adapter,
)
from phaseno_peft.cr_lora.attach import resident_tensors
from phaseno_peft.cr_lora.layer import PEFT_ROOT
from phaseno_peft.errors import AdapterError
from phaseno_peft.library.card import Card
from phaseno_peft.library.store import read_config, write_adapter
from tests.cr_lora.conftest import contract, small_phaseno

STEM = StemConfig(channels=2, levels=3, kernel_samples=5, stride=3)
LORA, LAST, FULL = (CRLoraSettings(stem=stem) for stem in ("lora", "last", "full"))
Tensors = dict[str, torch.Tensor]


def with_stem() -> PhaseNO:
    return small_phaseno(stem=STEM)


def adapter(settings: CRLoraSettings, seed: int = 0, size: float = 0.3) -> Tensors:
    """A made-up adapter that changes everything it may."""
    generator = torch.Generator().manual_seed(seed)
    shapes = expected_tensors(with_stem(), settings)
    return {key: size * torch.randn(shape, generator=generator) for key, shape in shapes.items()}


def window(n: int = 3, seed: int = 0) -> tuple[torch.Tensor, StationGraph]:
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(n, 2, generator=generator) * 0.05
    return torch.randn(n, 3, 120, generator=generator), StationGraph.from_coordinates(places)


def logits(model: torch.nn.Module, x: tuple[torch.Tensor, StationGraph]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(*x)
    return found


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


# The default stem's convolutions have 731 input and 616 output channels together, kernels of 7, and 8 -> 3 behind them.
LORA_COUNT = 4 * (7 * 731 + 616) + (8 * 3 + 3) + 2
LAST_COUNT = (7 * 16 * 8 + 8) + (8 * 3 + 3) + 2
# All its 268,435 weights but the norms' 616 scales, which those of the convolutions can stand for, and the factors.
FULL_COUNT = 268_435 - 616 + 2


@pytest.mark.parametrize(
    ("stem", "count"),
    [
        ("none", 85_426),
        ("lora", 85_426 + LORA_COUNT),
        ("last", 85_426 + LAST_COUNT),
        ("full", 85_426 + FULL_COUNT),
    ],
)
def test_a_stem_adds_exactly_these_parameters_to_the_papers(stem: str, count: int) -> None:
    model = PhaseNO(PhaseNOConfig(stem=StemConfig()))
    shapes = expected_tensors(model, CRLoraSettings(stem=stem))  # type: ignore[arg-type]
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == count
    assert any(".stem." in key for key in shapes) == (stem != "none")


def test_the_operator_starts_from_the_same_numbers_whatever_is_done_to_the_stem() -> None:
    start = {}
    for stem in ("none", "lora", "last", "full"):
        model = with_stem()
        torch.manual_seed(7)
        get_peft_model(model, CRLoraConfig(stem=stem))
        start[stem] = resident_tensors(model, "default")
    for stem in ("lora", "last", "full"):
        assert all(torch.equal(tensor, start[stem][key]) for key, tensor in start["none"].items())


def test_pieces_on_other_threads_hear_the_adapter_too(two_threads: None) -> None:
    """The stem computes eight stations a piece; a piece that forgot the selection would be the frozen stem's."""
    model, x = with_stem(), window(20)
    alone = CRLoraSettings(r=0, se_reduction=0, train_head=False, stem="last")
    attach(model, "aa", alone, adapter(alone), "test")
    frozen = logits(model, x)
    with selected_adapter("aa"):
        found = logits(model, x)
        torch.set_num_threads(1)
        expected = logits(model, x)
    assert (expected - frozen).abs().amax((1, 2)).min() > 1e-2  # at every station
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_adapters_with_and_without_the_stem_share_a_batch() -> None:
    """Light path and PEFT agree, and each window is what it is alone."""
    light, model, peft_model = with_stem(), with_stem(), None
    for seed, stem in enumerate(("lora", "none", "last", "full")):
        tensors = adapter(CRLoraSettings(stem=stem), seed, 0.1)
        attach(light, f"with-{stem}", CRLoraSettings(stem=stem), tensors, "test")
        if peft_model is None:
            peft_model = get_peft_model(model, CRLoraConfig(stem=stem), adapter_name=f"with-{stem}")
        else:
            peft_model.add_adapter(f"with-{stem}", CRLoraConfig(stem=stem))
        for key, tensor in resident_tensors(model, f"with-{stem}").items():
            tensor.data.copy_(tensors[key])
    names = ["with-last", "with-none", "__base__", "with-lora", "with-last", "with-full"]
    windows = [window(n, n) for n in (3, 1, 2, 4, 2, 3)]
    batch = torch.cat([x for x, _ in windows]), StationGraph.stack([graph for _, graph in windows])
    own = [None if name == "__base__" else name for name in names]
    assert peft_model is not None
    with torch.no_grad(), adapters_by_window(own):
        mixed = light(*batch)
        assert torch.equal(mixed, peft_model(*batch, adapter_names=names))
    alone = []
    for name, x in zip(own, windows, strict=True):
        with selected_adapter(name):
            alone.append(logits(light, x))
    torch.testing.assert_close(mixed, torch.cat(alone), atol=5e-5, rtol=0)
    fold(light, "with-lora")
    fold(light, "with-full")
    with torch.no_grad(), adapters_by_window(own):
        assert torch.equal(light(*batch), mixed)
    layer = light.get_submodule("stem.ascents.0.up")
    with torch.no_grad(), selected_adapter("with-lora"):
        assert layer.weight is layer.part.folded[1]  # type: ignore[union-attr, index]


def test_channels_of_a_convolution_are_dropped_whole() -> None:
    settings = CRLoraConfig(stem="lora", lora_dropout=0.5)
    model = get_peft_model(with_stem(), settings).train()
    layer = model.get_base_model().get_submodule("stem.ascents.0.same")
    assert isinstance(layer, CRLoraLayer)
    part = layer.part_of("default")
    assert part is not None
    part.tensors["crlora_B.weight"].data.fill_(1.0)
    torch.manual_seed(0)
    kept = (layer.delta_weight(part).view(4, 8, 5) != 0).float().mean((0, 2))  # type: ignore[union-attr]
    assert sorted(set(kept.tolist())) == [0, 1]


# --- files


def test_the_setting_is_written_only_where_a_stem_is_adapted(tmp_path: Path) -> None:
    """So that other versions of the library read adapters that leave the stem alone, and say no to others."""
    for stem in ("none", "lora"):
        peft_model = get_peft_model(with_stem(), CRLoraConfig(stem=stem))
        peft_model.save_pretrained(tmp_path / "peft" / stem, save_embedding_layers=False)
        settings, own = CRLoraSettings(stem=stem), Contract.from_json(contract())  # type: ignore[arg-type]
        card = Card("a", settings, own, {}, {}, [])
        written = write_adapter(tmp_path / f"with-{stem}", settings, own, adapter(settings), card, {})
        for folder in (tmp_path / "peft" / stem, written):
            raw = json.loads((folder / "adapter_config.json").read_text())
            assert raw.get("stem", "none") == stem
            assert ("stem" in raw) == (stem != "none")
            assert CRLoraSettings.from_adapter_config(raw).stem == stem
        assert read_config(written)[0].stem == stem
        assert ("stem adapted" in (written / "README.md").read_text()) == (stem != "none")


def saved(folder: Path, settings: CRLoraSettings, **changes: object) -> Path:
    model = get_peft_model(with_stem(), CRLoraConfig(**settings.to_json()))
    for key, tensor in adapter(settings).items():
        resident_tensors(model.get_base_model(), "default")[key].data.copy_(tensor)
    model.save_pretrained(folder, save_embedding_layers=False)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def load(door: str, model: PhaseNO, folder: Path) -> None:
    if door == "from_pretrained":
        PeftModel.from_pretrained(model, folder)
    elif door == "load_adapter":
        get_peft_model(model, CRLoraConfig()).load_adapter(folder, adapter_name="other")
    else:
        settings = CRLoraSettings.from_adapter_config(json.loads((folder / "adapter_config.json").read_text()))
        attach(model, "other", settings, load_file(folder / "adapter_model.safetensors"), "test")


DOORS = ("from_pretrained", "load_adapter", "attach")


@pytest.mark.parametrize("door", DOORS)
def test_an_adapter_of_a_stem_is_refused_where_there_is_none(door: str, tmp_path: Path) -> None:
    saved(tmp_path, LAST)
    model, x = small_phaseno(), window()
    frozen = logits(model, x)
    said = r"also adapts a stem \(`stem` is 'last'\), but backbone 'small-0' has none. Take the backbone it was trained"
    with pytest.raises(AdapterError, match=said):
        load(door, model, tmp_path)
    assert fingerprint(model) == fingerprint(small_phaseno())
    assert torch.equal(logits(model, x), frozen)
    load(door, with_stem(), tmp_path)  # the control


@pytest.mark.parametrize("door", DOORS)
def test_tensors_of_a_stem_are_refused_where_the_settings_say_nothing_of_one(door: str, tmp_path: Path) -> None:
    saved(tmp_path, LORA, stem="none")
    for model in (small_phaseno(), with_stem()):
        with pytest.raises(AdapterError, match=r"tensors do not belong .* They adapt a stem, of which its settings"):
            load(door, model, tmp_path)


def test_an_adapter_of_the_operator_alone_loads_beside_any_stem(tmp_path: Path) -> None:
    plain = get_peft_model(small_phaseno(), CRLoraConfig())
    plain.save_pretrained(tmp_path, save_embedding_layers=False)
    for door in DOORS:
        load(door, with_stem(), tmp_path)


@pytest.mark.parametrize("settings", [LORA, LAST, FULL], ids=["lora", "last", "full"])
def test_a_stem_of_another_size_and_numbers_out_of_bounds_are_refused(settings: CRLoraSettings) -> None:
    other = small_phaseno(stem=StemConfig(channels=3, levels=3, kernel_samples=5, stride=3))
    with pytest.raises(AdapterError, match=r"stem\.\S+ is \[.*these settings need"):
        attach(other, "aa", settings, adapter(settings), "test")
    deeper = small_phaseno(stem=StemConfig(channels=2, levels=4, kernel_samples=5, stride=3))
    with pytest.raises(AdapterError, match="tensors are missing"):
        attach(deeper, "aa", settings, adapter(settings), "test")
    for key in (key for key in adapter(settings) if ".stem." in key and not key.endswith("bias")):
        for value, said in ((float("nan"), "NaN"), (3e38, "numbers are too large")):
            bad = adapter(settings)
            bad[key] = torch.full_like(bad[key], value)
            if key.endswith("A.weight") and value == 3e38:
                bad[key.replace("_A.", "_B.")].fill_(1.0)
            with pytest.raises(AdapterError, match=said):
                attach(with_stem(), "aa", settings, bad, "test")


def test_numbers_that_overflow_only_layer_by_layer_are_refused() -> None:
    """Each row of this adapter is below what is tried for its size alone; nothing is normalised between the layers."""
    model = small_phaseno(stem=StemConfig(channels=2, levels=5, kernel_samples=5, stride=3))
    shapes = expected_tensors(model, LORA)
    for row_sum, is_refused in ((800.0, True), (0.8, False)):
        tensors = {key: torch.zeros(shape) for key, shape in shapes.items()}
        for key, tensor in tensors.items():
            if ".stem." in key and "crlora_A" in key:
                tensor.fill_(row_sum / tensor.shape[1])
            elif ".stem." in key and "crlora_B" in key:
                tensor.fill_(1 / (4 * 2))  # rank 4, scaling 2: B A is A's rows
        with pytest.raises(AdapterError, match="numbers are too large") if is_refused else nullcontext():
            attach(model, "aa", LORA, tensors, "test")


def test_a_fresh_adapter_needs_a_stem_too() -> None:
    with pytest.raises(AdapterError, match="has none"):
        get_peft_model(small_phaseno(), CRLoraConfig(stem="lora"))
    model = get_peft_model(small_phaseno(), CRLoraConfig())
    with pytest.raises(AdapterError, match="has none"):
        model.add_adapter("second", CRLoraConfig(stem="last"))
    assert list(model.peft_config) == ["default"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stem": "all"}, "`stem`"),
        ({"stem": True}, "`stem`"),
        ({"stem": "lora", "r": 0}, "`r` is 0"),
        ({"target_modules": ["fc1", "stem.first"]}, r"names stem\.first\. .* set `stem` to 'lora'"),
        ({"r": 0, "se_reduction": 0, "train_head": False, "stem": "none"}, "nothing to train"),
    ],
)
def test_settings_of_a_stem_that_make_no_sense_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(AdapterError, match=said):
        CRLoraSettings(**change)  # type: ignore[arg-type]


# --- sums


@pytest.mark.parametrize("stem", ["lora", "last", "full"])
def test_a_sum_is_exact_on_the_stem(stem: str) -> None:
    settings = [CRLoraSettings(r=4, stem=stem), CRLoraSettings(r=2, lora_alpha=2.0, stem=stem)]  # type: ignore[arg-type]
    parts, weights, model = [(s, adapter(s, i)) for i, s in enumerate(settings)], [0.5, -0.2], with_stem()
    for i, (own, tensors) in enumerate(parts):
        attach(model, f"part-{i}", own, tensors, "test")
    attach(model, "sum", *blend(parts, weights), "test")
    for path in ("stem.ascents.1.same", "stem.out", *(["stem.first", "stem.ascents.0.up"] if stem != "last" else [])):
        layer = model.get_submodule(path)
        assert isinstance(layer, CRLoraLayer)
        delta = {n: layer.delta_weight(layer.part_of(n)) for n in ("part-0", "part-1", "sum")}  # type: ignore[arg-type]
        expected = sum(w * delta[f"part-{i}"] for i, w in enumerate(weights))  # type: ignore[operator]
        torch.testing.assert_close(delta["sum"], expected, atol=1e-5, rtol=1e-5)
    factors = f"{PEFT_ROOT}stem.out.crlora_factors.weight"
    summed = resident_tensors(model, "sum")[factors]
    torch.testing.assert_close(summed, 0.5 * parts[0][1][factors] - 0.2 * parts[1][1][factors])


def test_adapters_of_different_stem_settings_are_not_summed() -> None:
    with pytest.raises(AdapterError, match="`stem` 'none' and 'last' cannot be blended"):
        blend([(s, adapter(s)) for s in (CRLoraSettings(), LAST)], [0.5, 0.5])


@pytest.mark.parametrize("reach_samples", [0, 20])
def test_the_factors_on_the_stems_logits_move_by_the_adapters_difference(reach_samples: int) -> None:
    stem = dataclasses.replace(STEM, reach_samples=reach_samples)
    alone = CRLoraSettings(r=0, se_reduction=0, train_head=False, stem="last")
    model, moved, x = small_phaseno(stem=stem), small_phaseno(stem=stem), window()
    tensors = {key: torch.zeros(shape) for key, shape in expected_tensors(model, alone).items()}
    difference = torch.tensor([[0.25, -0.1], [-0.2, 0.3]])[: 2 if reach_samples else 1]
    tensors[f"{PEFT_ROOT}stem.out.crlora_factors.weight"] = difference
    attach(model, "aa", alone, tensors, "test")
    with selected_adapter("aa"):
        found = logits(model, x)
    moved.skip.add_(difference[0])
    if reach_samples:
        skip_alone = logits(moved, x)
        moved.focus.add_(difference[1])
        assert F.l1_loss(found, skip_alone) > 1e-3
        with pytest.raises(AdapterError, match=r"crlora_factors.weight is \[2, 2\], these settings need \[1, 2\]"):
            attach(with_stem(), "aa", alone, tensors, "test")
    assert torch.equal(found, logits(moved, x))
    assert F.l1_loss(found, logits(model, x)) > 1e-3
