"""`phaseno-peft compare` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import inputs, run


def test_compare_writes_its_folder_and_goes_on_where_it_was(
    tmp_path: Path, campaign_folder: Path, small_backbone: Path
) -> None:
    words = ["compare", "ohio", *inputs(campaign_folder), "--backbone", small_backbone, "--epochs", 0, "--json"]
    done = run(*words, "--recipes", "frozen,se-only", home=tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    folder = tmp_path / "ohio-comparison"
    assert made["folder"] == "ohio-comparison"
    assert [row["recipe"] for row in made["rows"]] == ["frozen", "se-only"]
    frozen, se_only = made["rows"]
    assert se_only["mean"]["test F1"] == frozen["mean"]["test F1"]  # not trained: the same network, bit for bit
    assert {path.name for path in folder.iterdir()} == {
        "comparison.json",
        "comparison.md",
        "runs.csv",
        "runs",
        "f1-against-parameters.png",
    }
    done = run(*words, "--recipes", "frozen,se-only,head", home=tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("finished earlier") == 2
    assert [row["recipe"] for row in json.loads(done.stdout)["rows"]] == ["frozen", "se-only", "head"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipes", "frozen,magic"], "there is no recipe 'magic'"),
        (["--labels", "ten"], "--labels 'ten' should be comma-separated numbers"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    words: list[str], message: str, campaign_folder: Path, tmp_path: Path
) -> None:
    done = run("compare", "ohio", *inputs(campaign_folder), *words, home=tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_train_adapter_refuses_a_recipe_that_makes_no_adapter(campaign_folder: Path, tmp_path: Path) -> None:
    done = run("train-adapter", "ohio", *inputs(campaign_folder), "--recipe", "scratch", home=tmp_path)
    assert done.returncode == 2
    assert "recipe 'scratch' makes no CR-LoRA adapter" in done.stderr
    assert not list(tmp_path.iterdir())
