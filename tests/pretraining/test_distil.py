"""The stem's stage: what it learns from, that it goes on where it stopped, what the second stage makes of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from obspy import Stream, Trace, UTCDateTime
from safetensors.torch import save_file

from phaseno_peft.backbone import Stem, StemConfig, fingerprint, load_backbone
from phaseno_peft.errors import BackboneError, CampaignError, PhasenoPeftError
from phaseno_peft.pretraining import BatchDataset, PretrainingSettings, Sources, StemSettings, pretrain
from phaseno_peft.pretraining.checkpoint import checkpoints, load_checkpoint
from phaseno_peft.pretraining.distil import (
    OPEN_FOCUS,
    OPEN_SKIP,
    REACH_SAMPLES,
    StemTeacher,
    distillation_loss,
    open_stem,
    stem_rate,
    taught,
    with_stem,
)
from phaseno_peft.pretraining.loop import Trainee, step
from phaseno_peft.pretraining.noise import LONGEST_PIECE, NoiseSet
from phaseno_peft.pretraining.run import initial_weights
from tests.backbone.phasenet import phasenet_tensors


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("teacher") / "picker.safetensors")


def write_teacher(path: Path, seed: int = 0, **arguments: object) -> Path:
    described = {"phases": "NPS", "component_order": "ENZ", "window_samples": 3000} | arguments
    save_file(phasenet_tensors(seed), path, metadata={"model_args": json.dumps(described)})
    return path


def with_stage(lean: PretrainingSettings, **changes: Any) -> PretrainingSettings:
    return dataclasses.replace(lean, stem=StemSettings(**{"steps": 3, "batch_stations": 3, **changes}))


def run(folder: Path, init: Path, settings: PretrainingSettings, teacher: Path, **more: Any) -> Any:
    given: dict[str, Any] = {"steps": 2, "workers": 0, "stem_teachers": [str(teacher)], **more}
    return pretrain(folder, init=str(init), settings=settings, **given)


def test_a_run_trains_a_stem_and_then_the_whole(
    tmp_path: Path, small_backbone: Path, teacher_file: Path, lean: PretrainingSettings
) -> None:
    rows: list[Any] = []
    made = run(tmp_path / "run", small_backbone, with_stage(lean), teacher_file, on_row=rows.append)
    model = load_backbone(made.backbone)
    assert model.phaseno_config.stem == StemConfig(reach_samples=REACH_SAMPLES)
    assert made.progress.stem_step == 3
    assert made.progress.step == 2
    assert [row["step"] for row in made.progress.stem_curve] == [1, 2, 3]
    found = load_checkpoint(tmp_path / "run")
    assert found is not None
    skip = found[1]["weights"]["skip"]
    torch.testing.assert_close(skip, torch.full((2,), OPEN_SKIP), atol=0.01, rtol=0)
    assert bool((skip != OPEN_SKIP).all())
    assert model.stem is not None
    assert bool((model.stem.first.variance != 1).all())
    card = (made.backbone / "README.md").read_text()
    for word in ("stem", "picker (", "for P and S", "3 steps", "9 station-windows"):
        assert word in card
    assert rows[0]["step"] == 1
    assert [row["step"] for row in rows if row.get("score") is not None] == [3, 0, 2]  # stem alone; the whole


def test_a_stage_that_was_stopped_ends_as_one_that_never_was(
    tmp_path: Path, small_backbone: Path, teacher_file: Path, lean: PretrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped inside the first stage, between the stages, and in the second."""
    settings = with_stage(lean)
    run(tmp_path / "whole", small_backbone, settings, teacher_file)
    for minutes in (1e-9, None):
        more = {"steps": None, "minutes": minutes} if minutes else {"steps": 1}
        run(tmp_path / "parts", small_backbone, settings, teacher_file, **more)
        if minutes:
            assert _stands(tmp_path / "parts") == (0, 0)
            monkeypatch.setattr("phaseno_peft.pretraining.distil.time.monotonic", _clock(2))
            run(tmp_path / "parts", small_backbone, settings, teacher_file, steps=None, minutes=1.0)
            monkeypatch.undo()
            assert _stands(tmp_path / "parts") == (1, 0)
    run(tmp_path / "parts", small_backbone, settings, teacher_file, steps=2)
    first, second = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts")
    assert first is not None
    assert second is not None
    assert first[0].counts == second[0].counts
    for group, tensors in first[1].items():
        for key, tensor in tensors.items():
            assert torch.equal(tensor, second[1][group][key]), f"{group} {key}"
    assert len(checkpoints(tmp_path / "parts")) == 1


def _stands(folder: Path) -> tuple[int, int]:
    found = load_checkpoint(folder)
    assert found is not None
    return found[0].stem_step, found[0].step


def _clock(steps: int) -> Any:
    """A clock on which a minute is over after so many looks at it past the first two."""
    looks = iter([0.0] * (2 * steps) + [1e9] * 1000)
    return lambda: next(looks)


def test_other_teachers_do_not_continue_a_run(
    tmp_path: Path, small_backbone: Path, teacher_file: Path, lean: PretrainingSettings
) -> None:
    run(tmp_path / "run", small_backbone, with_stage(lean), teacher_file, steps=1)
    other = write_teacher(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(PhasenoPeftError, match=r"`stem_teachers` is \['other"):
        run(tmp_path / "run", small_backbone, with_stage(lean), other, steps=2)


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_the_second_stage_moves_the_stem_at_its_own_rate(
    small_backbone: Path, lean: PretrainingSettings, rate: float
) -> None:
    settings = with_stage(lean, rate=rate)
    models = [with_stem(load_backbone(small_backbone), 0) for _ in range(2)]
    open_stem(models[0], 0)
    before = {key: t.clone() for key, t in models[0].state_dict().items()}
    trainee = Trainee.of(models[0], models[1], settings)
    assert {group["part_of_rate"] for group in trainee.optimizer.param_groups} == ({1.0, rate} if rate else {1.0})
    for group in trainee.optimizer.param_groups:
        group["lr"] = 1e-3 * group["part_of_rate"]
    batch = BatchDataset(Sources(), settings)[0]
    assert step(trainee, batch, settings, "float32", torch.device("cpu"), list(models[0].parameters()))[1]
    after = models[0].state_dict()
    moved = {key for key, tensor in after.items() if not torch.equal(tensor, before[key])}
    of_stem = {key for key in moved if key.startswith("stem.")}
    assert "skip" in moved
    assert "stem.out.weight" in of_stem if rate else not of_stem
    assert not [key for key in of_stem if key.endswith(("mean", "variance"))]
    first_step = float((after["stem.out.weight"] - before["stem.out.weight"]).abs().max())
    assert first_step == pytest.approx(1e-3 * rate, rel=0.05)  # AdamW's first step is the rate itself


def test_a_new_stem_changes_nothing_until_it_is_opened(small_backbone: Path) -> None:
    plain = load_backbone(small_backbone)
    model = with_stem(plain, 0)
    batch = BatchDataset(Sources(), PretrainingSettings(batch_stations=3, most_stations=3))[0]
    x = torch.from_numpy(batch.waveforms), batch.graph()
    with torch.no_grad():
        assert torch.equal(model(*x), plain(*x))
        open_stem(model, 0)
        assert model.skip.tolist() == [OPEN_SKIP, OPEN_SKIP]
        assert model.focus.tolist() == pytest.approx([OPEN_FOCUS, OPEN_FOCUS])
        assert not torch.equal(model(*x), plain(*x))
    opened = fingerprint(model)
    open_stem(model, 1)
    assert fingerprint(model) == opened
    assert fingerprint(with_stem(plain, 0)) == fingerprint(with_stem(plain, 0)) != fingerprint(with_stem(plain, 1))


def test_a_backbone_that_has_a_stem_keeps_it(tmp_path: Path, small_backbone: Path) -> None:
    from phaseno_peft.backbone import save_backbone

    model = with_stem(load_backbone(small_backbone), 3)
    folder = save_backbone(model, tmp_path / "heard", "heard", {"P": 0.3, "S": 0.3})
    again, message = initial_weights(str(folder), 0, with_new_stem=True)
    assert fingerprint(again) == fingerprint(model)
    assert "new stem" not in message
    assert initial_weights(str(small_backbone), 0, with_new_stem=True)[1].endswith("with a new stem")
    assert initial_weights(str(small_backbone), 0)[0].stem is None


def test_the_loss_is_a_divergence() -> None:
    curves = torch.rand(2, 2, 50, generator=torch.Generator().manual_seed(0))
    curves[0, 0, 0], curves[0, 0, 1] = 0, 1
    logits = torch.logit(curves.clamp(1e-6, 1 - 1e-6))
    assert float(distillation_loss(logits, curves, 8.0)) == pytest.approx(0, abs=1e-4)
    assert float(distillation_loss(logits + 0.5, curves, 8.0)) > 0.01
    silent, loud = torch.full((1, 2, 50), 0.01), torch.full((1, 2, 50), 0.01)
    loud[..., 25] = 1.0
    wrong = torch.zeros(1, 2, 50)
    ratio = distillation_loss(wrong, loud, 8.0) / distillation_loss(wrong, loud, 0.0)
    assert float(ratio) == pytest.approx(9.0)
    assert float(distillation_loss(wrong, silent, 8.0) / distillation_loss(wrong, silent, 0.0)) == pytest.approx(1.08)


def test_each_phase_is_the_mean_of_those_asked_for_it(tmp_path: Path) -> None:
    files = [write_teacher(tmp_path / f"t{seed}.safetensors", seed) for seed in range(2)]
    both, only_p = StemTeacher.read(str(files[0])), StemTeacher.read(f"{files[1]}=P")
    x = torch.randn(2, 3, 3000, generator=torch.Generator().manual_seed(0))
    mean, first, second = taught([both, only_p], x), both.curves(x), only_p.curves(x)
    torch.testing.assert_close(mean[:, 0], (first[:, 0] + second[:, 0]) / 2)
    torch.testing.assert_close(mean[:, 1], first[:, 1])


def test_a_teacher_of_3001_samples_gets_as_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = Stem.forward

    def watched(stem: Stem, waveforms: torch.Tensor, learns_statistics: bool = False) -> torch.Tensor:
        seen.append(waveforms.shape[-1])
        return forward(stem, waveforms, learns_statistics)

    monkeypatch.setattr(Stem, "forward", watched)
    x = torch.randn(1, 3, 3000)
    for samples in (3000, 3001):
        file = write_teacher(tmp_path / f"{samples}.safetensors", window_samples=samples)
        assert StemTeacher.read(str(file)).curves(x).shape == (1, 2, 3000)
    assert seen == [3000, 3001]


def test_teachers_that_cannot_be_understood_are_refused(tmp_path: Path, teacher_file: Path) -> None:
    save_file(phasenet_tensors(), tmp_path / "mute.safetensors")
    with pytest.raises(BackboneError, match=r"mute\.safetensors: its metadata has no `model_args`"):
        StemTeacher.read(str(tmp_path / "mute.safetensors"))
    with pytest.raises(BackboneError, match="should be FILE, FILE=P or FILE=S"):
        StemTeacher.read(f"{teacher_file}=X")
    with pytest.raises(BackboneError, match="no such file"):
        StemTeacher.read(str(tmp_path / "nobody.safetensors"))


def test_a_stage_needs_a_length_and_a_teacher(
    tmp_path: Path, small_backbone: Path, teacher_file: Path, lean: PretrainingSettings
) -> None:
    for settings, teachers in ((with_stage(lean), []), (lean, [str(teacher_file)])):
        with pytest.raises(PhasenoPeftError, match="needs both its length and teachers"):
            run(tmp_path / "run", small_backbone, settings, teacher_file, stem_teachers=teachers)
    with pytest.raises(PhasenoPeftError, match="`learning_rate` 0 above 0"):
        StemSettings(learning_rate=0)


def test_the_stage_s_rate_rises_and_falls_to_zero() -> None:
    own = StemSettings(steps=1000, learning_rate=2.0)
    assert stem_rate(own, 100, 0) == pytest.approx(0.02)
    assert stem_rate(own, 100, 500) == pytest.approx(1.0)
    assert stem_rate(own, 100, 999) < 1e-4


def write_noise(folder: Path, seconds: float, rate_hz: float = 100.0) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    header = {"network": "XX", "station": "N1", "sampling_rate": rate_hz, "starttime": UTCDateTime(2020, 1, 1)}
    traces = [
        Trace(rng.integers(-999, 999, round(seconds * rate_hz)).astype(np.int32), {**header, "channel": f"HH{c}"})
        for c in "ZNE"
    ]
    Stream(traces).write(folder / "noise.mseed", "MSEED")
    return folder


def test_noise_records_become_windows_without_arrivals_and_noise_for_others(
    tmp_path: Path, lean: PretrainingSettings
) -> None:
    noise = NoiseSet.read(write_noise(tmp_path / "quiet", 400, 125.0))
    assert [record.shape[-1] for record in noise.records] == [LONGEST_PIECE, 10000]
    rng = np.random.default_rng(0)
    for n_samples in (3000, 45000):
        raw = noise.draw(rng, n_samples)
        assert raw.samples.shape == (1, 3, n_samples)
        assert raw.known.all()
        assert not raw.arrivals
    sources = Sources.of((), (), 0, (noise,))
    assert len(sources.noise) == 2
    dataset = BatchDataset(sources, dataclasses.replace(lean, noise=0.5, batch_stations=40))
    counts = dataset[0].counts
    assert 10 <= counts["quiet/windows"] <= 30
    assert "quiet/P" not in counts
    assert counts["quiet/windows"] + counts["simulated/station-windows"] == 40


def test_noise_without_a_whole_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="no station has 30 s of noise without a gap"):
        NoiseSet.read(write_noise(tmp_path / "short", 20))


def test_without_noise_sets_batches_are_what_they_were(lean: PretrainingSettings) -> None:
    plain, other = (BatchDataset(Sources(), dataclasses.replace(lean, noise=part))[3] for part in (0.0, 0.7))
    assert np.array_equal(plain.waveforms, other.waveforms)


def test_a_run_older_than_a_setting_goes_on(tmp_path: Path, small_backbone: Path, lean: PretrainingSettings) -> None:
    given: dict[str, Any] = {"init": str(small_backbone), "settings": lean, "workers": 0}
    pretrain(tmp_path / "run", steps=1, **given)
    (checkpoint,) = checkpoints(tmp_path / "run")
    raw = json.loads((checkpoint / "progress.json").read_text())
    for key in ("noise", "stem"):
        del raw["what"]["settings"][key]
    for key in ("stem_step", "stem_seen", "stem_seconds", "stem_curve"):
        del raw[key]
    (checkpoint / "progress.json").write_text(json.dumps(raw))
    assert pretrain(tmp_path / "run", steps=2, **given).progress.step == 2
