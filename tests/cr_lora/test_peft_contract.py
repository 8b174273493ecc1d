"""Counts, damaged files, names, refusals, threads; what holds for every kind of adapter is in `test_contract_table`.

The silent failures listed are PEFT's own, each seen red once.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.utils.hotswap import hotswap_adapter
from safetensors.torch import load_file, save_file

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StationGraph, fingerprint, load_backbone
from phaseno_peft.cr_lora import CRLoraConfig, CRLoraSettings, attach, detach, selected_adapter
from phaseno_peft.cr_lora.attach import expected_tensors
from phaseno_peft.errors import AdapterError
from tests.cr_lora.conftest import contract, small_phaseno

Input = tuple[torch.Tensor, StationGraph]


def logits(model: torch.nn.Module, x: Input) -> torch.Tensor:
    with torch.no_grad():
        return model(*x)


def shake(model: torch.nn.Module, seed: int = 2) -> None:
    """Move every trainable parameter away from its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


@pytest.fixture
def adapted(model: PhaseNO) -> PeftModel:
    peft_model = get_peft_model(model, CRLoraConfig())
    shake(peft_model)
    return peft_model


@pytest.fixture
def saved(adapted: PeftModel, tmp_path: Path) -> Path:
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    return tmp_path / "adapter"


@pytest.mark.parametrize(("with_stem", "total", "percent"), [(False, 2_364_914, 3.61), (True, 2_633_353, 3.24)])
def test_the_papers_settings_train_85426_parameters(with_stem: bool, total: int, percent: float) -> None:
    # DESIGN section 3: 5,952 pointwise LoRA + 42,320 linear LoRA + 32,256 gates + 4,898 head
    backbone = load_backbone() if with_stem else PhaseNO(PhaseNOConfig())
    assert sum(p.numel() for p in backbone.parameters()) == total
    peft_model = get_peft_model(backbone, CRLoraConfig())
    parts = {"A": 0, "B": 0, "down": 0, "up": 0, "delta": 0}
    for name, parameter in peft_model.named_parameters():
        if parameter.requires_grad:
            parts[name.split("crlora_")[1].split(".")[0]] += parameter.numel()
    assert sum(parts.values()) == 85_426
    assert parts["A"] + parts["B"] == 5_952 + 42_320
    assert parts["down"] + parts["up"] == 32_256
    assert parts["delta"] == 4_898
    assert round(100 * sum(parts.values()) / total, 2) == percent


def test_the_papers_plain_gate_is_no_identity(network_input: Input) -> None:
    frozen = logits(small_phaseno(), network_input)
    started = logits(get_peft_model(small_phaseno(), CRLoraConfig(se_init="paper")), network_input)
    assert (started - frozen).abs().max() > 1e-3


def test_save_and_load_give_the_same_logits_bit_for_bit(saved: Path, adapted: PeftModel, network_input: Input) -> None:
    reloaded = PeftModel.from_pretrained(small_phaseno(), saved)
    assert torch.equal(logits(reloaded, network_input), logits(adapted, network_input))
    assert isinstance(PeftConfig.from_pretrained(saved), CRLoraConfig)


def test_the_light_path_gives_the_logits_of_peft_bit_for_bit(
    saved: Path, adapted: PeftModel, network_input: Input
) -> None:
    light = small_phaseno()
    settings = CRLoraSettings.from_adapter_config(json.loads((saved / "adapter_config.json").read_text()))
    attach(light, "ohio-frac", settings, load_file(saved / "adapter_model.safetensors"), "test")
    frozen = logits(light, network_input)
    expected = logits(adapted, network_input)
    with selected_adapter("ohio-frac"):
        assert torch.equal(logits(light, network_input), expected)
    with selected_adapter("ohio-frack"), pytest.raises(AdapterError, match="not resident"):
        light(*network_input)
    assert torch.equal(frozen, logits(small_phaseno(), network_input))
    assert fingerprint(light) == fingerprint(small_phaseno())
    detach(light, "ohio-frac")
    assert not [name for name in light.state_dict() if "crlora" in name or "base_layer" in name]


def test_two_resident_adapters_do_not_touch_each_other(network_input: Input, tmp_path: Path) -> None:
    outputs = {}
    for seed, r in ((3, 4), (4, 2)):
        one = get_peft_model(small_phaseno(), CRLoraConfig(r=r))
        shake(one, seed)
        outputs[seed] = logits(one, network_input)
        one.save_pretrained(tmp_path / str(seed), save_embedding_layers=False)
    both = PeftModel.from_pretrained(small_phaseno(), tmp_path / "3", adapter_name="three")
    both.load_adapter(tmp_path / "4", adapter_name="four")
    for name, seed in (("three", 3), ("four", 4), ("three", 3)):
        both.set_adapter(name)
        assert torch.equal(logits(both, network_input), outputs[seed])
    both.delete_adapter("four")
    assert torch.equal(logits(both, network_input), outputs[3])


def test_model_status_names_the_method(adapted: PeftModel) -> None:
    status = adapted.get_model_status()
    assert status.peft_types == {"default": "CRLORA"}
    assert status.num_adapter_layers == 29  # 7 pointwise, 20 GNO linears, 2 of the head


def damage(tensors: dict[str, torch.Tensor], how: str) -> dict[str, torch.Tensor]:
    key = next(iter(tensors))
    match how:
        case "missing":
            del tensors[key]
        case "surplus":
            tensors["base_model.model.fno9.w.conv.crlora_A.weight"] = torch.zeros(4, 8)
        case "base weight":
            tensors["base_model.model.fc0.weight"] = torch.zeros(8, 6)
        case "shape":
            tensors[key] = torch.zeros(7, 7)
        case "NaN":
            tensors[key].view(-1)[0] = torch.nan
        case "half precision":
            tensors[key] = tensors[key].half()
    return tensors


def load(path: str, model: PhaseNO, saved: Path) -> None:
    if path == "from_pretrained":
        PeftModel.from_pretrained(model, saved)
    elif path == "load_adapter":
        get_peft_model(model, CRLoraConfig()).load_adapter(saved, adapter_name="other")
    else:
        settings = CRLoraSettings.from_adapter_config(json.loads((saved / "adapter_config.json").read_text()))
        attach(model, "other", settings, load_file(saved / "adapter_model.safetensors"), "test")


@pytest.mark.parametrize("how", ["missing", "surplus", "base weight", "shape", "NaN", "half precision"])
@pytest.mark.parametrize("path", ["from_pretrained", "load_adapter", "attach"])
def test_a_damaged_file_is_refused_and_nothing_changes(how: str, path: str, saved: Path, network_input: Input) -> None:
    file = saved / "adapter_model.safetensors"
    save_file(damage(load_file(file), how), file)
    model = small_phaseno()
    frozen = logits(model, network_input)
    with pytest.raises(AdapterError):
        load(path, model, saved)
    assert fingerprint(model) == fingerprint(small_phaseno())
    assert torch.equal(logits(model, network_input), frozen)


def test_an_undamaged_file_passes_the_same_check(saved: Path) -> None:
    """The control of the test above: it would also pass if everything were refused."""
    for path in ("from_pretrained", "load_adapter", "attach"):
        load(path, small_phaseno(), saved)


def test_an_adapter_of_another_backbone_is_refused(saved: Path) -> None:
    path = saved / "adapter_config.json"
    config = json.loads(path.read_text())
    config["contract"] = contract()
    path.write_text(json.dumps(config))
    PeftModel.from_pretrained(small_phaseno(0), saved)
    with pytest.raises(AdapterError, match="was trained on backbone 'small-0'"):
        PeftModel.from_pretrained(small_phaseno(1), saved)


def test_a_refusal_leaves_a_network_that_peft_wrapped_before_as_it_was(saved: Path, network_input: Input) -> None:
    """PEFT keeps `peft_config` on the network, and adds a new adapter's settings before it is checked."""
    path = saved / "adapter_config.json"
    good = path.read_text()
    path.write_text(json.dumps({**json.loads(good), "contract": None}))
    used = small_phaseno(1)
    used = PeftModel.from_pretrained(used, saved, adapter_name="first").unload()
    left = dict(getattr(used, "peft_config", {}))
    path.write_text(json.dumps({**json.loads(good), "contract": contract()}))
    with pytest.raises(AdapterError, match="was trained on backbone 'small-0'"):
        PeftModel.from_pretrained(used, saved, adapter_name="second")
    assert dict(getattr(used, "peft_config", {})) == left

    path.write_text(good)
    first = PeftModel.from_pretrained(small_phaseno(1), saved)
    right, settings = logits(first, network_input), dict(first.peft_config)
    with pytest.raises(AdapterError, match="has an adapter 'default', which the file would replace"):
        PeftModel.from_pretrained(first.base_model.model, saved)
    assert first.peft_config == settings
    assert torch.equal(logits(first, network_input), right)


@pytest.mark.parametrize("changed", [{"se_reduction": 400}, {"window_samples": 1200}])
def test_settings_the_network_cannot_have_leave_it_as_it_was(changed: dict[str, int], saved: Path) -> None:
    path = saved / "adapter_config.json"
    raw = json.loads(path.read_text())
    if "window_samples" in changed:
        raw["contract"] = contract(backbone_fingerprint=fingerprint(small_phaseno()))
        raw["contract"]["preprocessing"] |= changed
    path.write_text(json.dumps(raw | {k: v for k, v in changed.items() if k == "se_reduction"}))
    network = small_phaseno()
    before = {name: type(module) for name, module in network.named_modules()}
    with pytest.raises(AdapterError, match=r"`se_reduction` is 400|needs windows of 1200 samples"):
        PeftModel.from_pretrained(network, saved)
    assert {name: type(module) for name, module in network.named_modules()} == before


@pytest.mark.parametrize("key", ["task_type", "revision", "inference_mode", "auto_mapping", "base_model_name_or_path"])
def test_what_peft_writes_into_a_config_is_checked_at_both_doors(key: str, saved: Path) -> None:
    path = saved / "adapter_config.json"
    raw = json.loads(path.read_text()) | {key: 7}
    with pytest.raises(AdapterError, match=rf"`{key}` should be .* but is 7"):
        CRLoraSettings.from_adapter_config(raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(AdapterError, match=rf"`{key}` should be .* but is 7"):
        PeftModel.from_pretrained(small_phaseno(), saved)


@pytest.mark.parametrize(
    "name", ["conv", "fno0", "edge", "weight", "model", "a.b", "a/b", "/tmp/x", "", "c", "__base__", "x" * 64, "keys"]
)
def test_names_that_corrupt_files_are_refused(name: str, adapted: PeftModel) -> None:
    with pytest.raises(AdapterError, match="cannot be used"):
        adapted.add_adapter(name, CRLoraConfig())
    assert list(adapted.peft_config) == ["default"]


def test_what_cannot_work_is_refused(adapted: PeftModel, saved: Path, network_input: Input) -> None:
    adapted.add_adapter("second", CRLoraConfig())
    for refused in (adapted.merge_and_unload, adapted.merge_adapter):
        with pytest.raises(ValueError, match="cannot be merged"):
            refused()
    with pytest.raises(ValueError, match="one adapter at a time"):
        adapted.base_model.set_adapter(["default", "second"])
    with pytest.raises(ValueError, match="'third', which is not resident"):
        adapted(*network_input, adapter_names=["third"])
    with pytest.raises(ValueError, match="Hotswapping only supports"):
        hotswap_adapter(adapted, saved, adapter_name="default", torch_device="cpu")


def test_loading_an_adapter_writes_exactly_the_expected_tensors(adapted: PeftModel) -> None:
    tensors = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    assert shapes == expected_tensors(small_phaseno(), CRLoraSettings())
    assert len(shapes) == 72  # peft.md: 27 layers x (A, B), 7 gates x 2, 2 head layers x 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": -1}, "`r` should be"),
        ({"r": 2.0}, "`r` should be"),
        ({"lora_alpha": 0}, "`lora_alpha`"),
        ({"lora_dropout": 1.0}, "`lora_dropout`"),
        ({"se_init": "other"}, "`se_init`"),
        ({"r": 0, "se_reduction": 0, "train_head": False}, "nothing to train"),
        ({"target_modules": "("}, "`target_modules`.* pattern of this library"),
        ({"target_modules": "(.*)*(.*)*X"}, "pattern of this library"),
        ({"lora_alpha": 1e39}, "`lora_alpha`"),
        ({"lora_alpha": float("nan")}, "`lora_alpha`"),
        ({"use_rslora": 1}, "`use_rslora`"),
        ({"se_gates": 10**9}, "`se_gates`"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        CRLoraSettings(**change)  # type: ignore[arg-type]


def test_an_unknown_or_missing_key_in_the_config_is_refused(saved: Path) -> None:
    raw = json.loads((saved / "adapter_config.json").read_text())
    CRLoraSettings.from_adapter_config(raw)
    with pytest.raises(AdapterError, match="unknown key 'rank'"):
        CRLoraSettings.from_adapter_config(raw | {"rank": 4})
    with pytest.raises(AdapterError, match="'lora_alpha' is missing"):
        CRLoraSettings.from_adapter_config({k: v for k, v in raw.items() if k != "lora_alpha"})
    with pytest.raises(AdapterError, match="peft_type"):
        CRLoraSettings.from_adapter_config(raw | {"peft_type": "LORA"})


def test_two_threads_with_two_adapters_never_mix(network_input: Input) -> None:
    from concurrent.futures import ThreadPoolExecutor

    model = small_phaseno()
    expected = {}
    for seed in (5, 6):
        other = get_peft_model(small_phaseno(), CRLoraConfig())
        shake(other, seed)
        tensors = get_peft_model_state_dict(other, save_embedding_layers=False)
        attach(model, f"campaign-{seed}", CRLoraSettings(), tensors, "test")
        expected[seed] = logits(other, network_input)

    def many(seed: int) -> bool:
        with selected_adapter(f"campaign-{seed}"):
            return all(torch.equal(logits(model, network_input), expected[seed]) for _ in range(40))

    assert not torch.equal(expected[5], expected[6])
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(many, (5, 6)))
