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
    done = run(*words, "--recipes", "frozen", home=tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["folder"] == "ohio-comparison"
    done = run(*words, "--recipes", "frozen,se-only", home=tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("finished earlier") == 1
    folder, rows = tmp_path / "ohio-comparison", json.loads(done.stdout)["rows"]
    assert [row["recipe"] for row in rows] == ["frozen", "se-only"]
    frozen, se_only = rows
    assert se_only["mean"]["test F1"] == frozen["mean"]["test F1"]  # not trained: the same network, bit for bit
    assert {path.name for path in folder.iterdir()} == {
        "comparison.json",
        "comparison.md",
        "runs.csv",
        "f1-of-recipes.png",
        "runs",
        "f1-against-parameters.png",
    }


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
