"""What each recipe trains, where it starts, and that stock PEFT layers are really heard."""

from __future__ import annotations

import importlib
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StationGraph, StemConfig, load_backbone
from phaseno_peft.baselines.phasenet import weights_digest
from phaseno_peft.comparison.compare import compare
from phaseno_peft.comparison.recipes import RECIPES, find_recipe
from phaseno_peft.comparison.recipes.seisbench_logits import SeisBenchLogits
from phaseno_peft.comparison.recipes.stock_peft import METHODS, POINTWISE_AND_LINEAR
from phaseno_peft.comparison.runs import PlannedRun
from phaseno_peft.errors import AdapterError, PhasenoPeftError
from phaseno_peft.training.recipes import BLOCKS, n_trainable
from tests.cr_lora.conftest import SMALL, small_phaseno

Input = tuple[torch.Tensor, StationGraph]
KEEPING = ("head", "se-only", "lora", "lora-head", "cr-lora", "bottleneck")


@pytest.fixture
def network_input() -> Input:
    generator = torch.Generator().manual_seed(1)
    waveforms = torch.randn(3, 3, 120, generator=generator)
    return waveforms, StationGraph.from_coordinates(torch.rand(3, 2, generator=generator) * 0.05)


def logits(model: torch.nn.Module, x: Input) -> torch.Tensor:
    with torch.no_grad():
        return model(*x)


def shake(model: torch.nn.Module, seed: int = 2) -> None:
    """Move every trainable parameter away from its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("frozen", 0),
        ("head", 4_898),  # DESIGN section 3
        ("se-only", 32_256),
        ("lora", 5_952 + 42_320),
        ("lora-head", 5_952 + 42_320 + 4_898),
        ("cr-lora", 85_426),
        ("bottleneck", 2 * 64 * 576 + 7 * 64 + 576),  # 576 output channels of seven Fourier blocks
        ("full", 2_364_914),
        ("scratch", 2_364_914),
        ("unfreeze:1", 4_898),
        ("unfreeze:14", 2_364_914),
        ("cr-lora:1", 4_898),
        ("cr-lora:13", 85_426),
        ("peft:LoRA", 48_272),  # research/peft.md section 6
        ("peft:DoRA", 53_648),
        ("peft:LoHa", 96_544),
        ("peft:LoKr", 7_364),
        ("peft:HiRA", 48_272),
    ],
)
def test_a_recipe_trains_as_many_parameters_as_its_source_says(name: str, count: int) -> None:
    assert n_trainable(find_recipe(name).model(PhaseNO(PhaseNOConfig()), 0)) == count


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("cr-lora", 85_426),
        ("cr-lora:13", 85_426),
        ("cr-lora+stem", 85_426 + 22_961),
        ("cr-lora+stem-last", 86_359),
        ("cr-lora+stem-full", 85_426 + 267_821),
    ],
)  # 22,961, 933 and 267,821 are counted in tests/cr_lora/test_stem_adapters.py
def test_a_recipe_on_a_backbone_with_a_stem_trains_as_many_parameters(name: str, count: int) -> None:
    assert n_trainable(find_recipe(name).model(PhaseNO(PhaseNOConfig(stem=StemConfig())), 0)) == count


@pytest.mark.parametrize("name", ["cr-lora+stem", "cr-lora+stem-last", "cr-lora+stem-full"])
def test_recipes_of_a_stem_are_refused_without_one(name: str) -> None:
    for step in (find_recipe(name).check_fits, lambda backbone: find_recipe(name).model(backbone, 0)):
        with pytest.raises(AdapterError, match="has none"):
            step(small_phaseno())


@pytest.mark.parametrize("name", KEEPING)
def test_our_adapters_start_at_the_frozen_network_and_switch_off_to_it_bit_for_bit(
    name: str, network_input: Input
) -> None:
    frozen = logits(small_phaseno(), network_input)
    model = find_recipe(name).model(small_phaseno(), 0).eval()
    assert torch.equal(logits(model, network_input), frozen)
    shake(model)
    assert not torch.allclose(logits(model, network_input), frozen, atol=1e-3)
    with model.disable_adapter():  # type: ignore[operator]
        assert torch.equal(logits(model, network_input), frozen)


@pytest.mark.parametrize("name", METHODS)
def test_stock_methods_start_at_the_frozen_network_learn_and_switch_off(name: str, network_input: Input) -> None:
    frozen = logits(small_phaseno(), network_input)
    model = find_recipe(f"peft:{name}").model(small_phaseno(), 0).eval()
    assert torch.allclose(logits(model, network_input), frozen, atol=1e-5)
    model(*network_input).square().sum().backward()
    heard = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters() if p.requires_grad]
    assert any(heard)
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    shake(model)
    assert not torch.allclose(logits(model, network_input), frozen, atol=1e-3)
    with model.disable_adapter():  # type: ignore[operator]
        assert torch.equal(logits(model, network_input), frozen)


@pytest.mark.parametrize("name", ["LoRA", "DoRA", "LoHa", "LoKr", "HiRA", "OFT", "MiSS"])
def test_stock_methods_compute_what_peft_merges(name: str, network_input: Input) -> None:
    """PEFT's own merge is the reference: it never passes through our stand-in layers."""
    import peft

    model = find_recipe(f"peft:{name}").model(small_phaseno(), 0).eval()
    shake(model)
    chosen = METHODS[name]
    config = getattr(peft, chosen.config)(target_modules=chosen.layers, **chosen.values)
    plain = peft.get_peft_model(small_phaseno(), config).eval()
    values = {key.replace(".tuned.", "."): value for key, value in model.state_dict().items()}
    plain.load_state_dict(values)
    merged = plain.merge_and_unload()
    assert torch.allclose(logits(model, network_input), logits(merged, network_input), atol=2e-4)


def test_without_the_stand_in_a_stock_layer_would_be_ignored(network_input: Input) -> None:
    """The trap that `EffectiveLayer` is there for."""
    import peft

    frozen = logits(small_phaseno(), network_input)
    config = peft.LoraConfig(r=4, target_modules=POINTWISE_AND_LINEAR)
    model = peft.get_peft_model(small_phaseno(), config).eval()
    shake(model)
    assert torch.equal(logits(model, network_input), frozen)


def test_unfreezing_goes_from_the_output_to_the_input() -> None:
    tops = []
    for k in range(1, len(BLOCKS) + 1):
        model = find_recipe(f"unfreeze:{k}").model(PhaseNO(SMALL), 0)
        tops.append({name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad})
    assert tops[0] == {"fc1", "fc2"}
    assert tops[2] == {"fc1", "fc2", "fno7", "fno6"}
    assert all(a < b for a, b in pairwise(tops))
    assert tops[-1] == {name for name, _ in PhaseNO(SMALL).named_children()}


def test_late_adapters_leave_early_blocks_without_a_gradient(network_input: Input) -> None:
    model = find_recipe("cr-lora:6").model(small_phaseno(), 0)
    adapted = {name.split(".")[2] for name, p in model.named_parameters() if p.requires_grad}
    assert adapted == {"fc1", "fc2", "fno7", "fno6", "gno5", "fno5", "gno4"}
    reached: dict[str, bool] = {}
    for name in ("gno3", "gno4"):
        block = model.get_submodule(f"base_model.model.{name}")
        block.register_forward_hook(lambda *seen, name=name: reached.update({name: seen[2].requires_grad}))
    model(*network_input)
    assert reached == {"gno3": False, "gno4": True}
    for name in ("cr-lora:4", "cr-lora:5"):
        assert n_trainable(find_recipe(name).model(small_phaseno(), 0)) < n_trainable(model)


def test_scratch_starts_from_random_weights_that_its_seed_decides(small_backbone: Path) -> None:
    start = [find_recipe("scratch").model(load_backbone(small_backbone), seed) for seed in (0, 0, 1)]
    first, again, other = ([p.detach() for p in model.parameters()] for model in start)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    own = list(load_backbone(small_backbone).parameters())
    assert not torch.equal(first[0], own[0])


def test_the_papers_fine_tuning_is_the_default_of_full() -> None:
    """arXiv 2512.13197: AdamW 5e-5, one window a step, plateau, 100 epochs, patience 10."""
    for name in ("full", "unfreeze:3"):
        found = find_recipe(name).training
        assert (found.learning_rate, found.schedule, found.epochs, found.patience) == (5e-5, "plateau", 100, 10)
        assert found.batch_stations == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cr_lora", "there is no recipe 'cr_lora'. Choose among frozen, .*cr-lora:<k>, unfreeze:<k>, peft:<method>"),
        ("cr-lora:14", "`k` should be 1 to 13 blocks but is '14'"),
        ("unfreeze:0", "`k` should be 1 to 14 blocks but is '0'"),
        ("unfreeze:all", "`k` should be 1 to 14 blocks but is 'all'"),
        ("unfreeze", "there is no recipe 'unfreeze'"),
        ("peft:FourierFT", "is not offered: it does not start at the frozen network. Those that run are LoRA"),
        ("peft:osf", "is not offered: it leaves Conv1d untrained"),
        ("peft:Nothing", "is not known to fit this network"),
    ],
)
def test_a_recipe_that_is_not_there_is_refused_in_a_sentence(name: str, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        find_recipe(name)


def test_spelling_of_stock_methods_is_peft_s() -> None:
    assert find_recipe("peft:dora").name == "peft:DoRA"


def test_every_recipe_says_what_it_trains() -> None:
    assert all(recipe.trains and recipe.name == name for name, recipe in RECIPES.items())
    assert {name for name, recipe in RECIPES.items() if recipe.makes == "backbone"} == {"full", "scratch"}


def test_the_rescaling_ensemble_hears_an_arrival_where_it_is_at_every_speed() -> None:
    """With a network that answers each sample by itself, so that only the bookkeeping of speeds can move it."""
    from phaseno_peft.comparison.recipes.rescaled import RescalingEnsemble

    class Loudness(torch.nn.Module):
        def forward(self, waveforms: torch.Tensor, _: StationGraph) -> torch.Tensor:
            return (waveforms.abs().amax(1, keepdim=True) * 8 - 4).expand(-1, 2, -1)

    t = torch.arange(3000.0)
    for at in (20.0, 740.0, 1500.0, 2260.0, 2980.0):
        x = torch.exp(-0.5 * ((t - at) / 8) ** 2).expand(2, 3, -1)
        graph = StationGraph.from_coordinates(torch.tensor([[0.1, 0.1], [0.2, 0.2]]))
        for speeds in ((0.5,), (1.0,), (2.0,), (0.5, 1.0, 2.0)):
            said = RescalingEnsemble(Loudness(), speeds)(x, graph)  # type: ignore[arg-type]
            assert said.shape == (2, 2, 3000)
            assert abs(int(said[0, 0].argmax()) - at) <= 1.5
            assert said[0, 0].max() > 3


@pytest.mark.parametrize("kind", ["EQTransformer", "PhaseNet"])
def test_a_picker_of_seisbench_is_trained_whole_in_phasenos_place(kind: str) -> None:
    models = pytest.importorskip("seisbench.models", reason="needs seisbench, the extra `rivals`")
    torch.manual_seed(0)
    made = SeisBenchLogits(models.EQTransformer() if kind == "EQTransformer" else models.PhaseNet(phases="NPS"), kind)
    waveforms = torch.randn(2, 3, 3000)
    waveforms[1, :2] = waveforms[1, 2]  # a vertical alone
    graph = StationGraph.from_coordinates(torch.zeros(2, 2))
    made.train()
    assert not any(m.training for m in made.modules() if isinstance(m, torch.nn.BatchNorm1d))
    found = made(waveforms, graph)
    assert found.shape == (2, 2, 3000)
    found.square().mean().backward()
    silent = {n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()}
    assert all("_d" in name or "bias" in name for name in silent), silent  # EQTransformer's detection is not asked for
    made.eval()
    with torch.no_grad():
        alone = waveforms.clone()
        alone[1, :2] = 0.0
        torch.testing.assert_close(made(waveforms, graph), made(alone, graph))
        if kind == "PhaseNet":  # its classes exclude each other: the logit of their probability
            order = ["ENZ".index(c) for c in made.model.component_order]
            x = made.model.annotate_batch_pre(alone[:, order].clone(), {})
            x = torch.cat([x, x[..., -1:]], -1)
            torch.testing.assert_close(
                torch.sigmoid(made(waveforms, graph)), made.model(x)[:, 1:, :3000], atol=1e-5, rtol=1e-4
            )


def test_a_picker_of_seisbench_that_cannot_be_trained_here_is_refused() -> None:
    models = pytest.importorskip("seisbench.models", reason="needs seisbench, the extra `rivals`")
    with pytest.raises(PhasenoPeftError, match="has the labels"):
        SeisBenchLogits(models.PhaseNet(phases="NPS", sampling_rate=50), "PhaseNet:slow")
    with pytest.raises(PhasenoPeftError, match="SeisBench has no model 'PhaseNought'"):
        find_recipe("rival:PhaseNought-finetuned:original")


def test_a_pickers_name_tells_its_file_and_no_folder(phasenet_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("seisbench.models", reason="needs seisbench, the extra `rivals`")
    other = tmp_path / "elsewhere" / phasenet_file.name
    other.parent.mkdir()
    shutil.copy(phasenet_file, other)
    found = [find_recipe(f"rival:{kind}:{phasenet_file}") for kind in ("PhaseNet", "PhaseNet-finetuned")]
    assert [each.name for each in found] == [
        "rival:PhaseNet:phasenet.safetensors",
        "rival:PhaseNet-finetuned:phasenet.safetensors",
    ]
    for each in found:
        assert str(phasenet_file.parent) not in repr(each.name + each.trains)
        assert find_recipe(each.request).name == each.name
        assert each.origin == weights_digest(phasenet_file)
    assert find_recipe("rival:phasenet", phasenet_file).origin == weights_digest(phasenet_file)
    assert find_recipe("rival:stalta").request == "rival:stalta"
    with pytest.raises(AdapterError, match=r"'rival:PhaseNet:phasenet[.]safetensors' twice, from different files"):
        compare("ohio", None, [f"rival:PhaseNet:{path}" for path in (phasenet_file, other)], folder=tmp_path / "out")  # type: ignore[arg-type]  # refused before it is read


def test_windows_against_forgetting_are_for_adapters_only() -> None:
    """A backbone or another picker has no place for the shift between true onsets and the campaign's labels."""
    settings_of = importlib.import_module("phaseno_peft.comparison.compare")._training
    for name, replay in (("cr-lora", 0.25), ("full", 0.0)):
        assert settings_of(PlannedRun(find_recipe(name), 0, None), None, None, 0.25).replay == replay
