"""`evaluate --rivals`: rows for other pickers, and refusals before anything is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import run


def test_evaluate_scores_rivals_on_the_same_windows(home: Path, campaign_folder: Path, small_backbone: Path) -> None:
    files = (
        "--waveforms",
        campaign_folder / "waveforms",
        "--stations",
        campaign_folder / "stations.xml",
        "--picks",
        campaign_folder / "picks.xml",
    )
    done = run("evaluate", "tiny-ohio", *files, "--backbone", small_backbone, "--rivals", "stalta", "--json", home=home)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    assert list(scores) == ["frozen", "adapter", "STA/LTA + AIC"]
    labels = {scores[model][phase]["0.5"]["n_labels"] for model in scores for phase in ("P",)}
    assert len(labels) == 1
    assert scores["STA/LTA + AIC"]["P"]["0.5"]["tp"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rivals", "sta-lta"), "no rival is called 'sta-lta'"),
        (("--rivals", "phasenet", "--phasenet-weights", "nowhere.safetensors"), "nowhere.safetensors: no such file"),
        (("--phasenet-weights", "original"), "--phasenet-weights goes with a rival"),
    ],
)
def test_mistakes_in_rivals_end_with_one_sentence(home: Path, options: tuple[str, ...], words: str) -> None:
    files = ("--waveforms", "w", "--stations", "s", "--picks", "p")
    done = run("evaluate", "tiny-ohio", *files, *options, home=home)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
