"""The code blocks of the README, and those of pages that go on from it, run on a simulated campaign in a fresh folder.

Blocks 1 and 2 of the README set up an environment and run the demo and the tests: `.ci/run` executes them as they
stand. Here the first is checked for the commands it names. The others run as they stand, except that training is cut to
one epoch of one split and that the blocks about sharing talk to a stand-in for the Hub.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.library.standin_hub import StandInHub

ROOT = Path(__file__).resolve().parents[1]


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, code) of each fenced block of a page."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)


README, PYTHON, SHARING, NO_LABELS = map(
    blocks, ("README.md", "docs/python.md", "docs/sharing.md", "docs/no-labels.md")
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, campaign_folder: Path) -> Path:
    """A folder like the one the README's reader stands in, with `phaseno-peft` on the path."""
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(campaign_folder, folder, dirs_exist_ok=True)
    (folder / "bin").mkdir()
    command = folder / "bin" / "phaseno-peft"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m phaseno_peft "$@"\n')
    command.chmod(0o755)
    return folder


def run(workplace: Path, *command: str, **variables: str) -> str:
    environment = {
        **os.environ,
        **variables,
        "PATH": f"{workplace / 'bin'}:{os.environ['PATH']}",
        "PHASENO_PEFT_HOME": str(workplace / "home"),
    }
    done = subprocess.run(command, cwd=workplace, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_the_blocks_that_are_run_here() -> None:
    pages = (README, PYTHON, SHARING, NO_LABELS)
    languages = [" ".join(language for language, _ in page) for page in pages]
    assert languages == ["bash bash bash python", "python python", "bash python", "bash"]
    assert "phaseno-peft demo" in README[0][1]
    assert '".[test]"' in README[1][1]
    assert "pytest" in README[1][1]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_campaign_commands_run(workplace: Path) -> None:
    script = README[2][1].replace("train-adapter my-campaign", "train-adapter my-campaign --epochs 1 --folds 0")
    assert script.count("--epochs 1") == 1
    out = run(workplace, "bash", "-euo", "pipefail", "-c", script)
    assert "trainable parameters" in out
    assert "<q:quakeml" in (workplace / "new-picks.xml").read_text()[:500]
    assert (workplace / "judged" / "index.html").is_file()


@pytest.mark.parametrize("code", [README[3][1], PYTHON[0][1], PYTHON[1][1]], ids=["readme", "python", "peft"])
def test_the_python_blocks_run(code: str, workplace: Path) -> None:
    if not (workplace / "home" / "adapters" / "my-campaign").is_dir():
        test_the_campaign_commands_run(workplace)
    out = run(workplace, sys.executable, "-c", code)
    if "peft import PeftModel" in code:
        assert "trainable params: 85,426" in out
    else:
        assert (workplace / "picks-from-python.xml").is_file()


def test_the_sharing_blocks_run(workplace: Path, tmp_path: Path) -> None:
    if not (workplace / "home" / "adapters" / "my-campaign").is_dir():
        test_the_campaign_commands_run(workplace)
    with StandInHub(organisation="my-lab").running() as server:
        client = {
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(tmp_path),
            "HF_TOKEN": "writer",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }
        out = run(workplace, "bash", "-euo", "pipefail", "-c", SHARING[0][1], **client)
        repository = server.repositories["my-lab/phaseno-my-campaign"]
        assert f'load_adapter("my-lab/phaseno-my-campaign@{repository.tags["v1"]}")' in out
        assert "from-the-hub: whole" in out
        run(workplace, sys.executable, "-c", SHARING[1][1], **client)
    run(workplace, sys.executable, "-c", SHARING[1][1], **(client | {"HF_HUB_OFFLINE": "1"}))  # the server is gone


def test_the_block_without_labels_runs(workplace: Path) -> None:
    run(workplace, "bash", "-euo", "pipefail", "-c", NO_LABELS[0][1])
    assert (workplace / "ohio" / "picks.xml").is_file()
    assert "<q:quakeml" in (workplace / "automatic-picks.xml").read_text()[:500]
