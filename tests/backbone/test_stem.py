"""The stem: what it computes, how the operator hears it, and that a network without one is what it was."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from phaseno_peft.backbone import (
    PhaseNO,
    PhaseNOConfig,
    StationGraph,
    Stem,
    StemConfig,
    backbone_info,
    fingerprint,
    from_phasenet,
    load_backbone,
    save_backbone,
)
from phaseno_peft.backbone.cpu import parallel
from phaseno_peft.backbone.stem import LARGEST_LOGIT, Layer, RisingLayer, focused, own_normalisation, same_padding
from phaseno_peft.errors import BackboneError
from tests.backbone.conftest import SMALL, small_network
from tests.backbone.phasenet import phasenet_tensors

SMALL_STEM = StemConfig(channels=2, levels=3, kernel_samples=5, stride=3)
THRESHOLDS = {"P": 0.3, "S": 0.3}


def stem_network(seed: int = 0, opened: bool = True) -> PhaseNO:
    """`small_network` with a stem that has learnt some statistics and, if opened, is heard."""
    torch.manual_seed(seed + 100)
    model = PhaseNO(dataclasses.replace(SMALL, stem=SMALL_STEM)).eval()
    model.load_state_dict(model.state_dict() | small_network(seed).state_dict())
    assert model.stem is not None
    with torch.no_grad():
        for _ in range(3):
            model.stem(network_input()[0], learns_statistics=True)
        if opened:
            model.skip.copy_(torch.tensor([0.4, 0.3]))
    return model.requires_grad_(False)


def network_input(n: int = 4, seed: int = 0) -> tuple[Tensor, StationGraph]:
    rng = torch.Generator().manual_seed(seed)
    graph = StationGraph.from_coordinates(torch.rand(n, 2, generator=rng) * 0.1, 40.0)
    return torch.randn(n, 3, SMALL.window_samples, generator=rng) * 0.1, graph


def test_a_new_stem_changes_no_bit() -> None:
    plain, x = small_network(), network_input()
    model = stem_network(opened=False)
    with torch.no_grad():
        model.fc0.weight[:, 3:5] = 0
        assert torch.equal(model(*x), plain(*x))
        model.skip[0] = 0.1
        assert not torch.equal(model(*x), plain(*x))
    with torch.no_grad():
        fresh = PhaseNO(dataclasses.replace(SMALL, stem=SMALL_STEM))
        assert not fresh.fc0.weight[:, 3:5].any()
        assert not fresh.skip.any()


def test_without_a_stem_config_and_random_weights_are_what_they_were() -> None:
    assert "stem" not in PhaseNOConfig().to_json()
    assert PhaseNOConfig.from_json(PhaseNOConfig().to_json()) == PhaseNOConfig()
    torch.manual_seed(0)
    plain = PhaseNO(SMALL)
    torch.manual_seed(0)
    state = PhaseNO(dataclasses.replace(SMALL, stem=SMALL_STEM)).state_dict()
    assert not [key for key in plain.state_dict() if key.startswith("stem") or key == "skip"]
    assert all(torch.equal(t, state[key]) for key, t in plain.state_dict().items() if key != "fc0.weight")


def test_the_operator_hears_curves_and_the_output_their_logits() -> None:
    model, (waveforms, graph) = stem_network(), network_input()
    assert model.stem is not None
    with torch.no_grad():
        heard = model.stem(waveforms)
        whole = model(waveforms, graph)
        model.skip.zero_()
        inner = model(waveforms, graph)
        torch.testing.assert_close(whole, inner + torch.tensor([0.4, 0.3])[:, None] * heard)
        model.fc0.weight[:, 3:5] = 0
        assert float((model(waveforms, graph) - inner).abs().max()) > 1e-3


@pytest.mark.parametrize("learns_statistics", [False, True])
def test_a_layer_is_convolution_norm_and_relu_with_tensorflow_s_padding(learns_statistics: bool) -> None:
    torch.manual_seed(1)
    for samples, stride in ((30, 1), (31, 3), (32, 3), (33, 3)):
        layer = Layer(3, 4, SMALL_STEM, stride)
        layer.mean.normal_(), layer.variance.uniform_(0.5, 2)
        layer.scale.data.normal_(), layer.bias.data.normal_()
        x = torch.randn(2, 3, samples)
        out = -(-samples // stride)
        left = max((out - 1) * stride + 5 - samples, 0) // 2  # tf.nn.convolution, padding="SAME"
        y = torch.zeros(2, 4, out)
        for t in range(out):
            for k in range(5):
                if 0 <= (at := t * stride + k - left) < samples:
                    y[:, :, t] += x[:, :, at] @ layer.weight[:, :, k].T
        mean, variance = layer.mean.clone(), layer.variance.clone()
        if learns_statistics:
            mean, variance = y.mean((0, 2)), y.var((0, 2), unbiased=False)
        y = (y - mean[:, None]) / (variance + 1e-3).sqrt()[:, None] * layer.scale[:, None] + layer.bias[:, None]
        torch.testing.assert_close(layer(x, learns_statistics), F.relu(y), atol=1e-5, rtol=1e-4)


def test_a_rising_layer_spreads_each_sample_over_its_kernel() -> None:
    torch.manual_seed(1)
    layer = RisingLayer(3, 2, SMALL_STEM)
    x, y = torch.randn(1, 3, 6), torch.zeros(1, 2, 5 * 3 + 5)
    for t in range(6):
        y[0, :, 3 * t : 3 * t + 5] += torch.einsum("i,iok->ok", x[0, :, t], layer.weight)
    torch.testing.assert_close(layer(x, False), F.relu(y[..., 1 : 1 + 18]) / 1.001**0.5)


def test_padding_of_the_default_s_levels() -> None:
    """At 3000 samples as PhaseNet was trained, at 3001 as SeisBench runs it."""
    assert [same_padding(n, 7, 4) for n in (3000, 750, 188, 47)] == [(1, 2), (2, 3), (1, 2), (2, 2)]
    assert same_padding(3001, 7, 4) == (3, 3)


def test_each_trace_is_normalised_and_missing_ones_are_made_up_for() -> None:
    x = torch.randn(4, 3, 500, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 7.0, 0.1])[:, None] + 3
    x[1, 0] = 0
    x[2] = x[2, 2]
    x[3] = 0
    z = own_normalisation(x)
    torch.testing.assert_close(z.mean(-1), torch.zeros(4, 3), atol=1e-4, rtol=0)
    deviation = torch.tensor([[1, 1, 1], [0, 1.5, 1.5], [0, 0, 3], [0, 0, 0]])
    torch.testing.assert_close(z.std(-1, unbiased=False), deviation, atol=1e-4, rtol=0)
    alone = x[2:3].clone()
    alone[:, :2] = 0
    assert torch.equal(own_normalisation(alone), z[2:3])
    torch.testing.assert_close(own_normalisation(5 * x[:1] - 1), z[:1])


def test_the_stem_sees_each_station_alone() -> None:
    torch.manual_seed(0)
    stem, x = Stem(SMALL_STEM), network_input(20)[0]
    with torch.no_grad():
        together = stem(x)
        for row in (0, 7, 19):
            torch.testing.assert_close(stem(x[row : row + 1])[0], together[row], atol=1e-4, rtol=1e-4)
    assert together.shape == (20, 2, SMALL.window_samples)
    assert float(together.abs().max()) <= LARGEST_LOGIT


def test_pieces_whole_tensors_and_training_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = stem_network(), network_input(11)
    with torch.no_grad():
        in_pieces = model(*x)

    def gradients() -> tuple[Tensor, dict[str, Tensor]]:
        model.requires_grad_(True).zero_grad()
        logits = model(*x)
        logits.square().mean().backward()  # type: ignore[no-untyped-call]  # torch's stub
        return logits.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    recorded, expected = gradients()
    inert = {name for name, _ in model.named_parameters()} - set(expected)
    assert not [name for name in inert if name == "skip" or name.startswith("stem.")]
    monkeypatch.setattr(parallel, "by_station", lambda _: False)
    whole, seen = gradients()
    torch.testing.assert_close(recorded, in_pieces, atol=5e-5, rtol=0)
    torch.testing.assert_close(whole, in_pieces, atol=5e-5, rtol=0)
    for name, gradient in expected.items():
        scale = float(gradient.abs().max()) + 1e-6
        torch.testing.assert_close(seen[name], gradient, atol=2e-4 * scale + 1e-6, rtol=0, msg=name)
    assert all(float(expected[f"stem.{part}.weight"].abs().max()) > 0 for part in ("first", "deepest", "out"))


def test_statistics_are_learnt_only_where_it_is_asked_for() -> None:
    model, x = stem_network(), network_input()
    before = fingerprint(model)
    model.train()
    model(*x)
    assert fingerprint(model) == before
    assert model.stem is not None
    model.stem(x[0], learns_statistics=True)
    assert fingerprint(model) != before


def bump(at: int, half_base: int, height: float, floor: float = -LARGEST_LOGIT) -> Tensor:
    """A triangle on a floor, [1, 2, 400]; S 30 samples after P."""
    t = torch.arange(400.0)
    shapes = [(1 - (t - at - 30 * row).abs() / half_base).clamp(min=0) for row in range(2)]
    return (floor + (height - floor) * torch.stack(shapes))[None]


def test_the_operator_gives_the_height_and_the_stem_the_time() -> None:
    broad, narrow, skip = bump(150, 60, 3.0, floor=-4.0), bump(152, 6, 1.0), torch.tensor([0.4, 0.3])
    ones, zeros = torch.ones(2), torch.zeros(2)
    both = torch.addcmul(broad, narrow, skip[:, None])
    assert torch.equal(focused(broad, narrow, skip, zeros, 40), both)
    whole = focused(broad, narrow, skip, ones, 40)
    assert whole[0].argmax(-1).tolist() == [152, 182]
    assert float(whole.max()) == pytest.approx(float(both.max()), abs=1e-5)
    assert bool((whole[0, 0, [140, 165]] < both[0, 0, [140, 165]] - 1).all())  # narrower than the sum
    torch.testing.assert_close(focused(broad, narrow, skip, 0.5 * ones, 40), (both + whole) / 2)
    one_phase = focused(broad, narrow, skip, torch.tensor([1.0, 0.0]), 40)
    assert torch.equal(one_phase[:, 0], whole[:, 0])
    assert torch.equal(one_phase[:, 1], both[:, 1])


def test_a_broad_operator_s_error_of_time_is_the_stem_s_to_mend() -> None:
    narrow, skip, ones = bump(156, 24, 1.0), torch.tensor([0.4, 0.4]), torch.ones(2)
    broad = bump(150, 90, 3.0, floor=-4.0) * torch.tensor([1.0, 1.0])[:, None]
    rough = broad + 0.4 * torch.sin(torch.arange(400.0) / 3)
    assert focused(rough, narrow, skip, ones, 40)[0, 0].argmax() == 156


def test_an_operator_that_peaks_elsewhere_moves_the_time() -> None:
    narrow, skip, ones = bump(162, 20, 1.0), torch.tensor([0.4, 0.4]), torch.ones(2)
    for at in (145, 179):
        operator = bump(at, 20, 4.0, floor=-4.0)
        both = torch.addcmul(operator, narrow, skip[:, None])
        found = focused(operator, narrow, skip, ones, 40)
        assert abs(int(found[0, 0].argmax()) - 162) > 10
        near = slice(at - 10, at + 11)
        torch.testing.assert_close(found[0, 0, near], both[0, 0, near], atol=0.05, rtol=0)
    operator = bump(162, 30, 3.0, floor=-4.0).requires_grad_()
    focused(operator, narrow, skip, ones, 40)[0, 0, 150:175].sum().backward()  # type: ignore[no-untyped-call]
    assert operator.grad is not None
    assert float(operator.grad[0, 0].abs().max()) > 0.1


def test_what_the_stem_does_not_hear_stays_the_operator_s() -> None:
    broad, silence, skip = (
        bump(150, 60, 3.0, floor=-4.0),
        torch.full((1, 2, 400), -LARGEST_LOGIT),
        torch.full((2,), 0.4),
    )
    sum_of_both = torch.addcmul(broad, silence, skip[:, None])
    assert float((focused(broad, silence, skip, torch.ones(2), 40) - sum_of_both).abs().max()) < 3e-3
    far = focused(broad, bump(250, 6, 1.0), skip, torch.ones(2), 40)
    torch.testing.assert_close(far[..., :203], sum_of_both[..., :203], atol=3e-3, rtol=0)


def focused_network() -> PhaseNO:
    """`stem_network` whose output is drawn to the stem's times."""
    plain = stem_network()
    model = PhaseNO(dataclasses.replace(SMALL, stem=dataclasses.replace(SMALL_STEM, reach_samples=20))).eval()
    model.load_state_dict(model.state_dict() | plain.state_dict())
    return model.requires_grad_(False)


def test_a_reach_changes_no_bit_until_its_factors_are_set() -> None:
    model, plain, x = focused_network(), stem_network(), network_input()
    assert not model.focus.any()
    with torch.no_grad():
        assert torch.equal(model(*x), plain(*x))
        model.focus.copy_(torch.tensor([0.5, 0.9]))
        assert model.stem is not None
        heard = model.stem(x[0])
        operator = plain(*x) - plain.skip[:, None] * heard
        expected = focused(operator, heard, model.skip, model.focus, 20)
        torch.testing.assert_close(model(*x), expected, atol=1e-4, rtol=1e-4)
        assert float((expected - plain(*x)).abs().max()) > 1e-3
    assert "focus" not in plain.state_dict()


def test_a_config_without_a_reach_reads_as_one_of_zero(tmp_path: Path) -> None:
    folder = save_backbone(stem_network(), tmp_path / "heard", "heard", THRESHOLDS)
    config = json.loads((folder / "config.json").read_text())
    config["architecture"]["stem"].pop("reach_samples", None)
    (folder / "config.json").write_text(json.dumps(config))
    again = load_backbone(folder)
    assert fingerprint(again) == fingerprint(stem_network())
    with torch.no_grad():
        assert torch.equal(again(*network_input()), stem_network()(*network_input()))


@pytest.fixture(params=[stem_network, focused_network], ids=["summed", "focused"])
def saved(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return save_backbone(request.param(), tmp_path / "heard", "heard", THRESHOLDS)


def test_a_backbone_with_a_stem_is_saved_and_loaded_bit_for_bit(saved: Path) -> None:
    again, x = load_backbone(saved), network_input()
    model = focused_network() if "focus" in again.state_dict() else stem_network()
    assert again.phaseno_config == model.phaseno_config
    assert backbone_info(saved).fingerprint == fingerprint(again)
    assert fingerprint(again) != fingerprint(small_network())
    with torch.no_grad():
        assert torch.equal(again(*x), model(*x))
    assert not any(parameter.requires_grad for parameter in again.parameters())


def without_stem(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    for key in [key for key in tensors if key.startswith("stem.") or key in ("skip", "focus")]:
        tensors.pop(key)


def unnamed(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    config.pop("stem")


def larger(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    config["stem"] = {**cast("dict[str, int]", config["stem"]), "channels": 3}


def spoilt(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    tensors["stem.first.variance"] = tensors["stem.first.variance"] * float("nan")


def infinite(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    tensors["skip"] = tensors["skip"] / 0


def negative(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    tensors["stem.first.variance"] = tensors["stem.first.variance"] - 100


def without_factors(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    tensors.pop("skip")


def with_another_level(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    tensors["stem.descents.2.same.weight"] = tensors["stem.descents.1.same.weight"].clone()


def deeper(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    config["stem"] = {**dataclasses.asdict(SMALL_STEM), "levels": 4}


def enormous(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    config["stem"] = {**dataclasses.asdict(SMALL_STEM), "levels": 40}


def altered(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    tensors["stem.first.mean"] = tensors["stem.first.mean"] + 0.01


def unknown(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    config["stem"] = {**dataclasses.asdict(SMALL_STEM), "depth": 3}


def impossible(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    config["stem"] = {**dataclasses.asdict(SMALL_STEM), "stride": 9}


def misnamed(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    config["stem"] = "phasenet"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without_stem, r"the config describes a `stem`, but no tensor of one is in the file\. .*fetch both together"),
        (unnamed, r"holds a stem's tensors, but the config describes no `stem`"),
        (larger, r"stem\.\S+ is torch\.float32 \[.*PhaseNO needs"),
        (spoilt, r"stem\.first\.variance holds NaN"),
        (infinite, r"skip holds NaN or infinite"),
        (negative, r"stem\.first\.variance holds negative variances"),
        (without_factors, r"1 tensors of PhaseNO are missing, the first is skip"),
        (with_another_level, r"1 tensors are not PhaseNO's, the first is stem\.descents\.2"),
        (deeper, r"tensors of PhaseNO are missing, the first is stem\."),
        (enormous, r"too few for the sizes in config.json"),
        (altered, "fingerprint"),
        (unknown, r"stem: unknown key 'depth'"),
        (impossible, r"at least `stride` 9"),
        (misnamed, r"`stem` should be a table of sizes but is 'phasenet'"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_config_and_file_must_agree_on_the_stem(
    saved: Path, edit: Callable[[dict[str, Tensor], dict[str, object]], None], message: str
) -> None:
    weights, path = saved / "model.safetensors", saved / "config.json"
    tensors, config = load_file(weights), json.loads(path.read_text())
    edit(tensors, config["architecture"])
    save_file(tensors, weights)
    path.write_text(json.dumps(config))
    with pytest.raises(BackboneError, match=message):
        load_backbone(saved)


@pytest.mark.parametrize(
    ("made", "edit", "message"),
    [
        (
            focused_network,
            lambda tensors, _: tensors.pop("focus"),
            "1 tensors of PhaseNO are missing, the first is focus",
        ),
        (stem_network, lambda tensors, _: tensors.update(focus=torch.ones(2)), "are not PhaseNO's, the first is focus"),
        (focused_network, lambda tensors, _: tensors.update(focus=torch.ones(3)), "focus is .*PhaseNO needs"),
        (focused_network, lambda tensors, _: tensors["focus"].fill_(float("nan")), "focus holds NaN"),
        (
            focused_network,
            lambda _, config: config["stem"].update(reach_samples=0),
            "are not PhaseNO's, the first is focus",
        ),
        (focused_network, lambda _, config: config["stem"].update(reach_samples=-1), "`reach_samples` should be"),
    ],
    ids=["missing", "surplus", "misshapen", "nan", "no reach", "impossible"],
)
def test_config_and_file_must_agree_on_the_reach(
    tmp_path: Path,
    made: Callable[[], PhaseNO],
    edit: Callable[[dict[str, Tensor], dict[str, dict[str, int]]], object],
    message: str,
) -> None:
    test_config_and_file_must_agree_on_the_stem(
        save_backbone(made(), tmp_path / "heard", "heard", THRESHOLDS), edit, message
    )


@pytest.mark.parametrize(("phases", "order"), [("NPS", "ENZ"), ("PSN", "ZNE")])
def test_phasenet_s_weights_compute_what_they_do_in_seisbench(phases: str, order: str) -> None:
    models = pytest.importorskip("seisbench.models", reason="needs SeisBench: pip install 'phaseno-peft[rivals]'")
    tensors = phasenet_tensors()
    theirs = models.PhaseNet(in_channels=3, classes=3, phases=phases).eval()
    theirs.load_state_dict(tensors, strict=False)
    ours = from_phasenet(tensors, phases, order, "test")
    x = torch.randn(2, 3, 3001, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        z = own_normalisation(x)[:, ["ENZ".index(c) for c in order]]
        expected = theirs(z)[:, [phases.index("P"), phases.index("S")]]
        seen = torch.sigmoid(ours(x))
    torch.testing.assert_close(seen, expected.clamp(3e-4, 1 - 3e-4), atol=1e-5, rtol=0)


def test_classes_and_components_are_put_in_our_order() -> None:
    tensors = phasenet_tensors()
    moved = dict(tensors)
    moved["inc.weight"] = tensors["inc.weight"].flip(1)
    for part in ("weight", "bias"):
        moved[f"out.{part}"] = tensors[f"out.{part}"][[1, 2, 0]]
    x = torch.randn(1, 3, 3000, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        plain, permuted = (from_phasenet(tensors, "NPS", "ENZ", "a")(x), from_phasenet(moved, "PSN", "ZNE", "b")(x))
    torch.testing.assert_close(permuted, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("edit", "phases", "order"),
    [
        (lambda t: t.pop("out.bias"), "NPS", "ENZ"),
        (lambda t: t.update({"inc.weight": torch.zeros(4, 3, 7)}), "NPS", "ENZ"),
        (lambda _: None, "PS", "ENZ"),
        (lambda _: None, "NPS", "Z12"),
    ],
    ids=["missing", "size", "phases", "components"],
)
def test_weights_of_another_network_are_no_phasenet_s(
    edit: Callable[[dict[str, Tensor]], object], phases: str, order: str
) -> None:
    tensors = phasenet_tensors()
    edit(tensors)
    with pytest.raises(BackboneError, match=r"file\.safetensors: not the weights of a PhaseNet"):
        from_phasenet(tensors, phases, order, "file.safetensors")
