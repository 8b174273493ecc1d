"""One process, many campaigns: mixed batches, partial merging, sums of adapters, through PEFT and without it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import peft
import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from phaseno_peft.backbone import PhaseNO, StationGraph, fingerprint
from phaseno_peft.contract import tensors_sha256
from phaseno_peft.cr_lora import (
    CRLoraConfig,
    CRLoraLayer,
    CRLoraSettings,
    adapters_by_window,
    attach,
    blend,
    detach,
    fold,
    selected_adapter,
    unfold,
)
from phaseno_peft.cr_lora.attach import expected_tensors, resident_tensors
from phaseno_peft.cr_lora.settings import TARGETS
from phaseno_peft.errors import AdapterError
from tests.cr_lora.conftest import contract, small_phaseno

Tensors = dict[str, torch.Tensor]


def adapter(seed: int, settings: CRLoraSettings | None = None) -> Tensors:
    """A made-up adapter that changes everything it may."""
    generator = torch.Generator().manual_seed(seed)
    shapes = expected_tensors(small_phaseno(), settings or CRLoraSettings())
    return {key: 0.3 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}


@pytest.fixture
def served() -> PhaseNO:
    """A backbone with the adapters a, b and c resident, without PEFT."""
    model = small_phaseno()
    for seed, name in enumerate(("aa", "bb", "cc")):
        attach(model, name, CRLoraSettings(), adapter(seed), "test")
    return model


@pytest.fixture
def windows() -> list[tuple[torch.Tensor, StationGraph]]:
    """Five windows of networks of different size."""
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(n, 3, 120, generator=generator), StationGraph.from_coordinates(torch.rand(n, 2) * 0.05))
        for n in (3, 1, 2, 4, 2)
    ]


def stacked(windows: list[tuple[torch.Tensor, StationGraph]]) -> tuple[torch.Tensor, StationGraph]:
    return torch.cat([x for x, _ in windows]), StationGraph.stack([graph for _, graph in windows])


NAMES = ["bb", None, "aa", "bb", "cc"]


@pytest.fixture(params=[1, 2], ids=["one-thread", "two-threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """With two, four adapters or more are computed side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_each_window_of_a_batch_has_its_own_adapter(
    served: PhaseNO, windows: list[tuple[torch.Tensor, StationGraph]], threads: int
) -> None:
    expected = []
    for name, window in zip(NAMES, windows, strict=True):
        with torch.no_grad(), selected_adapter(name):
            expected.append(served(*window))
    with torch.no_grad(), adapters_by_window(NAMES):
        mixed = served(*stacked(windows))
    torch.testing.assert_close(mixed, torch.cat(expected), atol=5e-5, rtol=0)
    with torch.no_grad(), adapters_by_window(["bb"] * 5):  # control: names matter
        assert (served(*stacked(windows)) - mixed).abs().max() > 1e-2
    with torch.no_grad():  # and are forgotten afterwards
        assert torch.equal(served(*stacked(windows)), small_phaseno()(*stacked(windows)))


def test_a_mixed_batch_that_fails_side_by_side_leaves_the_threads_as_they_were(
    served: PhaseNO, windows: list[tuple[torch.Tensor, StationGraph]], threads: int
) -> None:
    unknown = pytest.raises(AdapterError, match="'nowhere' is not resident")
    with unknown, torch.no_grad(), adapters_by_window([*NAMES[:4], "nowhere"]):
        served(*stacked(windows))
    assert torch.get_num_threads() == threads
    with torch.no_grad():
        assert torch.equal(served(*stacked(windows)), small_phaseno()(*stacked(windows)))


def test_mixed_batches_go_through_peft(windows: list[tuple[torch.Tensor, StationGraph]]) -> None:
    model = small_phaseno()
    peft_model = get_peft_model(model, CRLoraConfig(), adapter_name="aa")
    peft_model.add_adapter("bb", CRLoraConfig())
    for seed, name in enumerate(("aa", "bb")):
        for key, tensor in resident_tensors(model, name).items():
            tensor.data.copy_(adapter(seed)[key])
    light = small_phaseno()
    for seed, name in enumerate(("aa", "bb")):
        attach(light, name, CRLoraSettings(), adapter(seed), "test")
    with torch.no_grad(), adapters_by_window(["bb", None, "aa", "bb", "aa"]):
        expected = light(*stacked(windows))
    with torch.no_grad():
        seen = peft_model(*stacked(windows), adapter_names=["bb", "__base__", "aa", "bb", "aa"])
    assert torch.equal(seen, expected)


def test_gradients_of_a_mixed_batch_reach_the_right_adapters(windows: list[tuple[torch.Tensor, StationGraph]]) -> None:
    model = small_phaseno()
    peft_model = get_peft_model(model, CRLoraConfig(), adapter_name="aa")
    peft_model.add_adapter("bb", CRLoraConfig())
    peft_model.set_requires_grad(["aa", "bb"])
    peft_model(*stacked(windows), adapter_names=["aa", "__base__", "aa", "aa", "aa"]).square().mean().backward()
    assert all(tensor.grad is not None for tensor in resident_tensors(model, "aa").values())
    assert all(tensor.grad is None for tensor in resident_tensors(model, "bb").values())


def test_a_batch_of_another_size_is_refused(served: PhaseNO, windows: list[tuple[torch.Tensor, StationGraph]]) -> None:
    with adapters_by_window(["aa", "bb"]), pytest.raises(AdapterError, match=r"2 adapter names .* batch of 5 windows"):
        served(*stacked(windows))
    with adapters_by_window([*NAMES[:4], "nowhere"]), pytest.raises(AdapterError, match="'nowhere' is not resident"):
        served(*stacked(windows))


def test_folding_changes_nothing_but_the_work(
    served: PhaseNO, windows: list[tuple[torch.Tensor, StationGraph]]
) -> None:
    frozen = fingerprint(served)

    def logits(name: str | None) -> torch.Tensor:
        with torch.no_grad(), selected_adapter(name):
            return served(*windows[0])

    live = {name: logits(name) for name in ("aa", "bb", None)}
    fold(served, "aa")
    layer = served.get_submodule("gno0.edge.fc1")
    with torch.no_grad(), selected_adapter("aa"):
        assert layer.weight is layer.part.folded[1]  # type: ignore[union-attr, index]
    for name, expected in live.items():
        assert torch.equal(logits(name), expected)
    assert fingerprint(served) == frozen
    unfold(served, "aa")
    assert layer.part_of("aa").folded is None  # type: ignore[union-attr, operator]
    assert torch.equal(logits("aa"), live["aa"])


def test_a_folded_adapter_that_changes_is_computed_afresh(
    served: PhaseNO, windows: list[tuple[torch.Tensor, StationGraph]]
) -> None:
    fold(served, "aa")
    with torch.no_grad():
        for tensor in resident_tensors(served, "aa").values():
            tensor.mul_(0.5)
    expected = small_phaseno()
    attach(expected, "aa", CRLoraSettings(), {k: 0.5 * t for k, t in adapter(0).items()}, "test")
    with torch.no_grad(), selected_adapter("aa"):
        assert torch.equal(served(*windows[0]), expected(*windows[0]))
    attach(served, "aa", CRLoraSettings(), adapter(7), "test")  # replaced: nothing of the old one is left
    attach(expected, "aa", CRLoraSettings(), adapter(7), "test")
    with torch.no_grad(), selected_adapter("aa"):
        assert torch.equal(served(*windows[0]), expected(*windows[0]))


def test_a_blend_is_exact_for_updates_and_head() -> None:
    settings = [CRLoraSettings(r=4), CRLoraSettings(r=2, lora_alpha=2.0), CRLoraSettings(r=4, use_rslora=True)]
    weights = [0.5, 0.7, -0.2]
    parts = [(s, adapter(i, s)) for i, s in enumerate(settings)]
    model = small_phaseno()
    for i, (s, tensors) in enumerate(parts):
        attach(model, f"part-{i}", s, tensors, "test")
    attach(model, "sum", *blend(parts, weights), "test")
    for layer in (
        model.get_submodule("gno3.aggre.fc2"),
        model.get_submodule("fc1"),
        model.get_submodule("fno4.w.conv"),
    ):
        assert isinstance(layer, CRLoraLayer)
        delta = {n: layer.delta_weight(layer.part_of(n)) for n in ("part-0", "part-1", "part-2", "sum")}  # type: ignore[arg-type]
        expected = sum(w * delta[f"part-{i}"] for i, w in enumerate(weights))  # type: ignore[operator]
        torch.testing.assert_close(delta["sum"], expected, atol=1e-5, rtol=1e-5)


def test_a_blend_of_one_is_that_adapter(windows: list[tuple[torch.Tensor, StationGraph]]) -> None:
    model = small_phaseno()
    attach(model, "one", CRLoraSettings(), adapter(0), "test")
    attach(model, "alone", *blend([(CRLoraSettings(), adapter(0))], [1.0]), "test")
    both = [(CRLoraSettings(), adapter(0)), (CRLoraSettings(), adapter(1))]
    attach(model, "end", *blend(both, [1.0, 0.0]), "test")
    logits = {}
    for name in ("one", "alone", "end"):
        with torch.no_grad(), selected_adapter(name):
            logits[name] = model(*windows[0])
    torch.testing.assert_close(logits["alone"], logits["one"], atol=1e-5, rtol=0)
    torch.testing.assert_close(logits["end"], logits["one"], atol=1e-5, rtol=0)


def test_add_weighted_adapter_is_the_same_blend(
    windows: list[tuple[torch.Tensor, StationGraph]], tmp_path: Path
) -> None:
    model = small_phaseno()
    peft_model = get_peft_model(model, CRLoraConfig(), adapter_name="aa")
    peft_model.add_adapter("bb", CRLoraConfig(r=2))
    for seed, (name, r) in enumerate((("aa", 4), ("bb", 2))):
        for key, tensor in adapter(seed, CRLoraSettings(r=r)).items():
            resident_tensors(model, name)[key].data.copy_(tensor)
    peft_model.add_weighted_adapter(["aa", "bb"], [0.6, 0.4], "soup")
    parts = [(CRLoraSettings(r=r), adapter(seed, CRLoraSettings(r=r))) for seed, r in enumerate((4, 2))]
    light = small_phaseno()
    attach(light, "soup", *blend(parts, [0.6, 0.4]), "test")
    peft_model.set_adapter("soup")
    with torch.no_grad(), selected_adapter("soup"):
        expected = light(*windows[0])
    with torch.no_grad():
        assert torch.equal(peft_model(*windows[0]), expected)
    peft_model.save_pretrained(tmp_path, selected_adapters=["soup"], save_embedding_layers=False)
    again = PeftModel.from_pretrained(small_phaseno(), tmp_path / "soup")
    with torch.no_grad():
        assert torch.equal(again(*windows[0]), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: blend([], []), "weights are given for 0 adapters"),
        (lambda: blend([(CRLoraSettings(), adapter(0))], [1.0, 2.0]), "2 weights are given for 1 adapters"),
        (lambda: blend([(CRLoraSettings(), adapter(0))], [float("nan")]), "finite"),
        (
            lambda: blend([(s, adapter(0, s)) for s in (CRLoraSettings(), CRLoraSettings(se_init="paper"))], [1, 1]),
            "`se_init` 'identity' and 'paper'",
        ),
        (
            lambda: blend([(s, adapter(0, s)) for s in (CRLoraSettings(), CRLoraSettings(r=0))], [1, 1]),
            "one without cannot be blended",
        ),
    ],
)
def test_what_cannot_be_blended_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        make()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = small_phaseno()
    peft_model = get_peft_model(model, CRLoraConfig())
    for key, tensor in adapter(5).items():
        resident_tensors(model, "default")[key].data.copy_(tensor)
    peft_model.save_pretrained(tmp_path / "one", save_embedding_layers=False)
    return tmp_path / "one"


def test_a_file_is_not_loaded_over_an_adapter_with_settings_of_its_own(saved: Path) -> None:
    """PEFT keeps the old scaling and takes the new tensors: an adapter nobody trained."""
    peft_model = get_peft_model(small_phaseno(), CRLoraConfig(lora_alpha=4.0))
    before = {k: t.clone() for k, t in resident_tensors(peft_model.base_model.model, "default").items()}
    for _ in range(2):
        with pytest.raises(AdapterError, match="is there already, with settings of its own"):
            peft_model.load_adapter(saved, adapter_name="default")
    assert all(torch.equal(before[k], t) for k, t in resident_tensors(peft_model.base_model.model, "default").items())
    peft_model.load_adapter(saved, adapter_name="other")
    with pytest.raises(AdapterError, match="is there already"):
        peft_model.load_adapter(saved, adapter_name="other")


def test_a_refused_file_leaves_no_name_behind(saved: Path, windows: list[tuple[torch.Tensor, StationGraph]]) -> None:
    file = saved / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({k: t for k, t in tensors.items() if "down" not in k}, file)
    model = small_phaseno()
    peft_model = get_peft_model(model, CRLoraConfig(), adapter_name="aa")
    for key, tensor in adapter(1).items():
        resident_tensors(model, "aa")[key].data.copy_(tensor)
    with torch.no_grad():
        expected = peft_model(*windows[0])
    with pytest.raises(AdapterError, match="7 of 72 tensors are missing"):
        peft_model.load_adapter(saved, adapter_name="other")
    assert list(peft_model.peft_config) == ["aa"]
    assert peft_model.active_adapter == "aa"
    with torch.no_grad():
        assert torch.equal(peft_model(*windows[0]), expected)
    save_file(tensors, file)
    peft_model.load_adapter(saved, adapter_name="other")  # the name is free


def test_peft_checks_the_tensors_against_the_contract(saved: Path) -> None:
    path, file = saved / "adapter_config.json", saved / "adapter_model.safetensors"
    config, tensors = json.loads(path.read_text()), load_file(file)
    config["contract"] = contract(tensors_sha256=tensors_sha256(tensors))
    path.write_text(json.dumps(config))
    PeftModel.from_pretrained(small_phaseno(), saved)
    key = next(iter(tensors))
    save_file(tensors | {key: tensors[key] + 1e-3}, file)
    with pytest.raises(AdapterError, match="SHA-256"):
        PeftModel.from_pretrained(small_phaseno(), saved)


def test_the_private_hooks_of_peft_are_where_we_look_for_them() -> None:
    from phaseno_peft.cr_lora.model import PRIVATE_HOOKS, TESTED_PEFT

    assert peft.__version__.startswith(TESTED_PEFT)
    for path, names in PRIVATE_HOOKS.items():
        module, _, owner = path.rpartition(".")
        for name in names:
            assert hasattr(getattr(importlib.import_module(module), owner), name), f"{path}.{name}"


def test_adapters_of_different_reach_share_a_batch(windows: list[tuple[torch.Tensor, StationGraph]]) -> None:
    """One trains the head only, another everything else, one late blocks; PEFT and the light path agree."""
    late = {"target_modules": f"(?=fno7|fno6){TARGETS}"}
    settings = {"body": {"train_head": False}, "late": late, "head": {"r": 0, "se_reduction": 0}}
    light, model = small_phaseno(), small_phaseno()
    peft_model = None
    for seed, (name, change) in enumerate(settings.items()):
        own = CRLoraSettings(**change)  # type: ignore[arg-type]
        attach(light, f"the-{name}", own, adapter(seed, own), "test")
        if peft_model is None:
            peft_model = get_peft_model(model, CRLoraConfig(**change), adapter_name=f"the-{name}")
        else:
            peft_model.add_adapter(f"the-{name}", CRLoraConfig(**change))
        for key, tensor in resident_tensors(model, f"the-{name}").items():
            tensor.data.copy_(adapter(seed, own)[key])
    names = ["the-head", "the-body", "the-late", "__base__", "the-body"]
    assert peft_model is not None
    with torch.no_grad():
        seen = peft_model(*stacked(windows), adapter_names=names)
    with torch.no_grad(), adapters_by_window([None if name == "__base__" else name for name in names]):
        assert torch.equal(light(*stacked(windows)), seen)


def test_the_light_path_keeps_off_pefts_layers() -> None:
    model = small_phaseno()
    get_peft_model(model, CRLoraConfig())
    with pytest.raises(AdapterError, match="adapters of PEFT's"):
        attach(model, "aa", CRLoraSettings(), adapter(0), "test")


def test_detaching_drops_the_folded_weights(served: PhaseNO) -> None:
    fold(served, "aa")
    detach(served, "aa")
    assert not any(layer.part_of("aa") for layer in served.modules() if isinstance(layer, CRLoraLayer))
    with pytest.raises(AdapterError, match="not resident"):
        fold(served, "aa")
