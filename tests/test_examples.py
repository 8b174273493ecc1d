"""Every file of `examples/` runs, on a small simulated campaign and a small backbone."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phaseno_peft.library import list_adapters
from tests.library.machines import Machine
from tests.library.standin_hub import StandInHub

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
Run = Callable[..., str]


@pytest.fixture
def run(
    machine: Machine, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """An example as a script in a folder of its own, with the adapter `tiny-ohio` in the library."""
    machine.own(tiny, "tiny-ohio")
    monkeypatch.chdir(tmp_path)

    def run(name: str, *words: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def ohio(campaign_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(campaign_folder, tmp_path / "ohio"))


def test_train_on_a_folder(run: Run, ohio: Path, small_backbone: Path) -> None:
    out = run("train_on_a_folder.py", ohio, "--name", "new-one", "--epochs", 0, "--backbone", small_backbone)
    assert "adapter: mean F1 within 0.5 s" in out
    assert list_adapters() == ["new-one", "tiny-ohio"]


def test_pick_a_stream(run: Run, ohio: Path, small_backbone: Path) -> None:
    words = (ohio, "--adapter", "tiny-ohio", "--backbone", small_backbone, "--threshold", 0.01)
    found = re.search(r"^(\d+) picks", run("pick_a_stream.py", *words), re.M)
    assert found is not None
    rows = (ohio / "new-picks.csv").read_text().splitlines()
    assert len(rows) - 1 == int(found[1]) > 0
    assert (ohio / "new-picks.xml").is_file()


def test_swap_adapters(run: Run, ohio: Path, machine: Machine, tiny: Path, small_backbone: Path) -> None:
    machine.own(tiny, "other-one")
    out = run("swap_adapters.py", ohio, "tiny-ohio", "other-one", "--backbone", small_backbone)
    lines = [line.split(": ")[0] for line in out.splitlines()]
    assert lines == ["tiny-ohio", "other-one", "frozen", "in force again", "figure"]
    assert "in force again: other-one\n" in out


def test_several_campaigns_in_one_batch(
    run: Run, ohio: Path, machine: Machine, tiny: Path, small_backbone: Path
) -> None:
    machine.own(tiny, "other-one")
    words = (f"{ohio}=tiny-ohio", f"{ohio}=other-one", "--backbone", small_backbone)
    out = run("several_campaigns_in_one_batch.py", *words)
    used = re.findall(r"with ([\w-]+): 5 stations", out)
    assert used.count("tiny-ohio") == used.count("other-one") > 0
    numbers = re.findall(r"probability (.+)", out)
    assert numbers[: len(used) // 2] == numbers[len(used) // 2 :]  # two copies of one adapter on the same windows


def test_push_and_pull(run: Run, hub: StandInHub, small_backbone: Path) -> None:
    repo = "lab/phaseno-tiny-ohio"
    out = run("push_and_pull.py", "tiny-ohio", "--repo", repo, "--backbone", small_backbone)
    assert f"v1: {hub.repositories[repo].tags['v1']}" in out
    assert "ready: tiny-ohio-pulled" in out
    assert list_adapters() == ["tiny-ohio", "tiny-ohio-pulled"]


@pytest.mark.network
def test_fdsn_to_picks(run: Run, tmp_path: Path) -> None:
    from obspy.clients.fdsn import Client

    try:
        Client("NCEDC", timeout=10)
    except Exception as error:  # whatever keeps the data centre away, the example cannot run
        pytest.skip(f"needs the data centre NCEDC, which does not answer ({type(error).__name__})")
    assert re.search(r"\d+ picks", run("fdsn_to_picks.py", "--minutes", 2))
    assert (tmp_path / "fdsn-picks.xml").is_file()


def test_every_example_is_listed_tested_and_says_how_it_is_run() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tests = "".join(
        path.read_text(encoding="utf-8") for path in (Path(__file__), Path(__file__).with_name("test_tutorials.py"))
    )
    for path in EXAMPLES.glob("*.py"):
        assert f"`{path.name}" in listed
        assert f'"{path.name}"' in tests
        assert f"\npython examples/{path.name}" in path.read_text(encoding="utf-8")
