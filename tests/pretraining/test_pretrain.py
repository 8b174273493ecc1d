"""A run from its first step to its backbone: resumed, killed, on a full disk, cooled down."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from phaseno_peft.backbone import PhaseNO, load_backbone
from phaseno_peft.backbone.cpu import parallel
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.pretraining import SCRATCH, BatchDataset, PretrainingSettings, Sources, loop, pretrain
from phaseno_peft.pretraining import checkpoint as progress_module
from phaseno_peft.pretraining.batches import held_out_windows
from phaseno_peft.pretraining.checkpoint import LARGEST_FILE_BYTES, checkpoints, load_checkpoint, shards
from phaseno_peft.pretraining.loop import Trainee, judged, step
from phaseno_peft.pretraining.report import draw_curve
from phaseno_peft.pretraining.run import initial_weights
from phaseno_peft.pretraining.seisbench_set import SeisBenchSet


def run(folder: Path, init: Path, lean: PretrainingSettings, **more: Any) -> Any:
    return pretrain(folder, init=str(init), settings=lean, **{"steps": 6, "workers": 0, **more})


def test_a_run_makes_a_backbone_with_curve_and_card(
    tmp_path: Path, small_backbone: Path, labelled_folder: Path, archive_folder: Path, lean: PretrainingSettings
) -> None:
    rows: list[Any] = []
    made = run(
        tmp_path / "run", small_backbone, lean, labelled=[labelled_folder],
        archives=[f"{archive_folder}={archive_folder / 'picks.csv'}"], on_row=rows.append,
    )  # fmt: skip
    model = load_backbone(made.backbone)
    assert model.phaseno_config.width == 8
    assert made.progress.step == 6
    card = (made.backbone / "README.md").read_text()
    for word in ("records", "ohio-continuous", "simulated", "6 steps", "Thresholds", "last 15 %"):
        assert word in card
    with (tmp_path / "run" / "curve.csv").open() as text:
        table = list(csv.DictReader(text))
    assert [int(row["step"]) for row in table] == [row["step"] for row in rows]
    assert {"score", "validation_loss", "simulated P 0.1 s"} <= set(table[0])
    assert (made.backbone / "curve.png").stat().st_size > 10_000
    (kept,) = checkpoints(tmp_path / "run")
    assert max(file.stat().st_size for file in kept.iterdir()) < 16_000_000


def test_a_stopped_run_ends_as_one_that_never_stopped(
    tmp_path: Path, small_backbone: Path, labelled_folder: Path, lean: PretrainingSettings
) -> None:
    whole = run(tmp_path / "a", small_backbone, lean, labelled=[labelled_folder], steps=8, cooldown=False)
    run(tmp_path / "b", small_backbone, lean, labelled=[labelled_folder], steps=4)
    parts = run(tmp_path / "b", small_backbone, lean, labelled=[labelled_folder], steps=8)
    assert parts.progress.counts == whole.progress.counts
    _assert_same_checkpoint(tmp_path / "a", tmp_path / "b")


def _assert_same_checkpoint(a: Path, b: Path) -> None:
    first, second = load_checkpoint(a), load_checkpoint(b)
    assert first is not None
    assert second is not None
    assert first[0].step == second[0].step
    for group, tensors in first[1].items():
        for key, tensor in tensors.items():
            assert torch.equal(tensor, second[1][group][key]), f"{group} {key}"


def test_a_killed_run_goes_on_from_its_checkpoint(
    tmp_path: Path, small_backbone: Path, lean: PretrainingSettings
) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from phaseno_peft.pretraining import pretrain\n"
        "from tests.pretraining.conftest import LEAN\n"
        "pretrain(sys.argv[1], init=sys.argv[2], settings=LEAN, steps=100000, workers=0, keep_every_s=0.0)\n"
    )
    folder = tmp_path / "killed"
    child = subprocess.Popen([sys.executable, "-c", code, str(folder), str(small_backbone)])
    until = time.monotonic() + 60
    while time.monotonic() < until and not any(int(p.name[11:]) >= 2 for p in checkpoints(folder)):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    stood = load_checkpoint(folder)
    assert stood is not None
    steps = stood[0].step + 3
    run(folder, small_backbone, lean, steps=steps)
    run(tmp_path / "whole", small_backbone, lean, steps=steps)
    _assert_same_checkpoint(tmp_path / "whole", folder)
    assert not list(folder.glob("*.part"))


def test_a_full_disk_loses_nothing(
    tmp_path: Path, small_backbone: Path, lean: PretrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    run(folder, small_backbone, lean, steps=3)
    replace = os.replace

    def full(part: Path, target: Path) -> None:
        if target.suffix == ".safetensors" and "moment2" in target.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(part, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(PhasenoPeftError, match=r"No space left.*checkpoint of step 3 is intact.*same command"):
            run(folder, small_backbone, lean, steps=5)
    assert [p.name for p in folder.glob("checkpoint-*")] == ["checkpoint-000000003"]
    assert run(folder, small_backbone, lean, steps=5).progress.step == 5
    run(tmp_path / "whole", small_backbone, lean, steps=5)
    _assert_same_checkpoint(tmp_path / "whole", folder)


def test_a_cooldown_ends_the_run_at_rate_zero(tmp_path: Path, small_backbone: Path, lean: PretrainingSettings) -> None:
    rows: list[Any] = []
    often = dataclasses.replace(lean, judge_every=1)
    run(tmp_path / "run", small_backbone, often, steps=2)
    made = run(tmp_path / "run", small_backbone, often, steps=6, cooldown=True, on_row=rows.append)
    rates = [row["learning_rate"] for row in rows if row["learning_rate"] is not None]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(lean.learning_rate / 4)  # the last of four steps; the next would have none
    assert made.progress.finished
    with pytest.raises(PhasenoPeftError, match="has ended with its cooldown after step 6"):
        run(tmp_path / "run", small_backbone, often, steps=9)
    assert run(tmp_path / "run", small_backbone, often, steps=1, restart=True).progress.step == 1


def test_at_a_run_s_end_weights_between_its_first_and_last_are_judged(
    tmp_path: Path, small_backbone: Path, lean: PretrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_backbone(small_backbone).state_dict()
    judged: list[dict[str, torch.Tensor]] = []

    def half_is_best(model: PhaseNO, *_: object) -> tuple[dict[str, float], dict[str, float]]:
        judged.append({key: t.clone() for key, t in model.state_dict().items()})
        return {"score": {4: 0.6}.get(len(judged), 0.5), "validation_loss": 0.1}, {"P": 0.4, "S": 0.3}

    monkeypatch.setattr(loop, "judged", half_is_best)
    made = run(tmp_path / "run", small_backbone, lean, steps=2, cooldown=True)
    assert len(judged) == 2 + len(loop.BETWEEN)  # the start, the end, and the parts
    last, half = judged[1], judged[3]
    for key, tensor in first.items():
        torch.testing.assert_close(half[key], (tensor + last[key]) / 2)
    assert (made.progress.best_step, made.progress.best_part) == (2, 0.5)
    kept = load_backbone(made.backbone).state_dict()
    assert all(torch.equal(kept[key], t) for key, t in half.items())
    assert "0.5 of the way from the first weights" in (made.backbone / "README.md").read_text()


def test_a_stretch_of_minutes_ends_in_time_and_is_continued(
    tmp_path: Path, small_backbone: Path, lean: PretrainingSettings
) -> None:
    first = run(tmp_path / "run", small_backbone, lean, steps=None, minutes=0.02)
    second = run(tmp_path / "run", small_backbone, lean, steps=None, minutes=0.02)
    assert second.progress.step > first.progress.step > 0
    assert second.progress.seconds < 60


def test_a_source_without_s_labels_is_judged_by_its_p_alone(
    tmp_path: Path, small_backbone: Path, labelled_folder: Path, lean: PretrainingSettings
) -> None:
    sources = Sources.of((SeisBenchSet.read(labelled_folder),), (), lean.seed)
    (windows,) = (w for name, w in held_out_windows(sources, lean).items() if name != "simulated")
    only_p = [dataclasses.replace(w, labels=tuple(x for x in w.labels if x.phase == 0)) for w in windows]
    model = load_backbone(small_backbone)
    verdict, _ = judged(model, {"both": windows, "one": only_p}, lean)
    row, _ = judged(model, {"one": only_p}, lean)
    assert {key for key in verdict if " S " in key} == {"both S 0.5 s", "both S 0.1 s"}
    assert row["score"] == (row["one P 0.5 s"] + row["one P 0.1 s"]) / 2
    rows = [{"step": k, "seen": k, "loss": 0.1, **verdict} for k in (1, 2)]
    assert draw_curve(tmp_path / "curve.png", rows, None).stat().st_size > 10_000


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_stations": 4}, r"but `settings\.batch_stations` is 4 now and was 3"),
        ({"seed": 9}, r"`settings\.seed` is 9 now and was 0"),
    ],
)
def test_another_run_is_not_continued(
    tmp_path: Path, small_backbone: Path, lean: PretrainingSettings, changed: dict[str, Any], message: str
) -> None:
    run(tmp_path / "run", small_backbone, lean, steps=1)
    with pytest.raises(PhasenoPeftError, match=message):
        run(tmp_path / "run", small_backbone, dataclasses.replace(lean, **changed), steps=2)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path, small_backbone: Path, lean: PretrainingSettings) -> None:
    run(tmp_path / "run", small_backbone, lean, steps=1)
    (checkpoint,) = checkpoints(tmp_path / "run")
    (checkpoint / "average-0.safetensors").write_bytes(b"nothing")
    with pytest.raises(PhasenoPeftError, match="not a checkpoint that can be continued"):
        run(tmp_path / "run", small_backbone, lean, steps=2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"steps": None}, "give either `minutes`"),
        ({"precision": "bf16"}, "precision 'bf16' is for CUDA"),
        ({"device": "cuda"}, "torch sees no CUDA GPU here"),
    ],
)
def test_impossible_wishes_are_refused(
    tmp_path: Path, small_backbone: Path, lean: PretrainingSettings, more: dict[str, Any], message: str
) -> None:
    if more.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(PhasenoPeftError, match=message):
        run(tmp_path / "run", small_backbone, lean, **more)


def test_mixed_precision_gives_nearly_the_same_gradient(
    small_backbone: Path, lean: PretrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path an accelerator takes, here on the CPU: whole tensors, products in bfloat16, loss in float32."""
    monkeypatch.setattr(parallel, "by_station", lambda _: False)
    batch = BatchDataset(Sources(), lean)[0]
    moved = {}
    for precision in ("float32", "bf16"):
        model, average = (load_backbone(small_backbone) for _ in range(2))
        trainee = Trainee.of(model, average, lean)
        loss, is_finite = step(trainee, batch, lean, precision, torch.device("cpu"), list(model.parameters()))  # type: ignore[arg-type]
        assert is_finite
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None and not p.is_complex()]
        moved[precision] = loss, torch.cat(gradients)
    assert moved["bf16"][0] == pytest.approx(moved["float32"][0], rel=0.02)
    assert torch.nn.functional.cosine_similarity(moved["bf16"][1], moved["float32"][1], dim=0) > 0.98


def test_a_gradient_that_is_not_finite_changes_nothing(small_backbone: Path, lean: PretrainingSettings) -> None:
    batch = BatchDataset(Sources(), lean)[0]
    batch.waveforms[0, 0, 0] = np.nan
    model, average = (load_backbone(small_backbone) for _ in range(2))
    trainee = Trainee.of(model, average, lean)
    before = [p.clone() for p in model.parameters()]
    _, is_finite = step(trainee, batch, lean, "float32", torch.device("cpu"), list(model.parameters()))
    assert not is_finite
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_random_weights_are_the_seed_s_and_expect_few_arrivals() -> None:
    first, again, other = (initial_weights(SCRATCH, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first.fc0.weight, again.fc0.weight)
    assert not torch.equal(first.fc0.weight, other.fc0.weight)
    assert float(first.fc2.bias.detach().sigmoid().max()) < 0.02


def test_the_rate_rises_then_falls_as_the_root_of_the_windows_seen() -> None:
    s = PretrainingSettings()
    assert s.rate(0, 0) == pytest.approx(s.learning_rate / 200)
    assert s.rate(200, 2400) == s.learning_rate
    assert s.rate(10**6, 8 * 10**5) == pytest.approx(s.learning_rate / 2, rel=1e-4)


def test_labels_narrow_to_the_paper_s_width() -> None:
    s = PretrainingSettings(widest_label_s=1.6, narrowing_steps=100)
    assert [round(s.half_base_samples(k)) for k in (0, 50, 100, 1000)] == [80, 40, 20, 20]
    assert PretrainingSettings().half_base_samples(0) == 20


def test_no_file_of_a_checkpoint_is_larger_than_15_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {f"t{k}": torch.zeros(1_000_000) for k in range(9)} | {"c": torch.zeros(10, dtype=torch.complex64)}
    made = shards(tensors)
    assert len(made) == 3
    assert all(sum(t.nbytes for t in shard.values()) <= LARGEST_FILE_BYTES for shard in made)
    assert "c" in made[-1]
    assert progress_module.LARGEST_FILE_BYTES < 16_000_000


def test_the_command_line_trains_continues_and_explains(
    tmp_path: Path, small_backbone: Path, labelled_folder: Path
) -> None:
    words = [
        "pretrain", tmp_path / "run", "--labelled", labelled_folder, "--init", small_backbone, "--batch", 3,
        "--most-stations", 2, "--workers", 1, "--json",
    ]  # fmt: skip

    def call(*more: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "phaseno_peft", *map(str, (*words, *more))]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    for steps in (2, 3):
        done = call("--steps", steps)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["step"] == steps
    assert "continuing at step 2" in done.stderr
    done = call("--steps", 4, "--seed", 5)
    assert done.returncode == 2
    assert "`settings.seed` is 5 now and was 0" in done.stderr
    assert "Traceback" not in done.stderr
