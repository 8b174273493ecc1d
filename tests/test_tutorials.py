"""The tutorials run from beginning to end as a reader runs them: simulated data, embedded backbone, their figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.library.standin_hub import StandInHub

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "tutorials.md").read_text(encoding="utf-8")


def run(script: str, *words: str, folder: Path, **variables: str) -> str:
    environment = {**os.environ, **variables, "PHASENO_PEFT_HOME": str(folder / "home"), "MPLBACKEND": "Agg"}
    command = [sys.executable, str(ROOT / "examples" / script), *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def figure_of(out: str, folder: Path) -> int:
    """Bytes of the figure that a tutorial says it has drawn."""
    found = re.search(r"^figure: (.+)$", out, re.M)
    assert found is not None, out
    return (folder / found[1]).stat().st_size


def test_first_adapter(tmp_path: Path) -> None:
    out = run("first_adapter.py", folder=tmp_path)
    assert re.search(r"^adapter: mean F1 within 0.5 s \d\.\d+", out, re.M)
    assert (tmp_path / "first-picks.xml").is_file()
    assert figure_of(out, tmp_path) > 5000


def test_peak_analyst(tmp_path: Path) -> None:
    out = run("peak_analyst.py", folder=tmp_path)
    medians = {tuple(m[:2]): abs(int(m[2])) for m in re.findall(r"^([PS]) (\w+), median ([+-]\d+) ms", out, re.M)}
    assert set(medians) == {(phase, model) for phase in "PS" for model in ("frozen", "adapter")}
    assert sum(medians[p, "adapter"] for p in "PS") < sum(medians[p, "frozen"] for p in "PS")
    assert figure_of(out, tmp_path) > 5000


def test_swap_adapters(tmp_path: Path) -> None:
    out = run("swap_adapters.py", folder=tmp_path)
    assert re.findall(r"^(\S+): \d+ picks", out, re.M) == ["ohio-frac", "bc-frac", "frozen"]
    assert figure_of(out, tmp_path) > 5000


def test_several_campaigns_in_one_batch(tmp_path: Path) -> None:
    out = run("several_campaigns_in_one_batch.py", folder=tmp_path)
    assert set(re.findall(r"with (\S+): (\d+) stations", out)) >= {("ohio-frac", "5")}
    assert "with bc-frac" in out
    assert figure_of(out, tmp_path) > 5000


def test_archive_on_a_cluster(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs dask.distributed, the extra `cluster`")
    out = run("archive_on_a_cluster.py", folder=tmp_path)
    assert re.search(r"^3 tasks, 2 of them now, 15 station-minutes$", out, re.M), out
    assert re.search(r"^[1-9]\d* picks, those of one pass: True, times at most [0-5] us apart$", out, re.M), out
    assert figure_of(out, tmp_path) > 5000


def test_pseudo_labels(tmp_path: Path) -> None:
    out = run("pseudo_labels.py", folder=tmp_path)
    precision = {m[0]: float(m[1]) for m in re.findall(r"^(\w+ [PS]) within 0.1 s: precision (\d\.\d+)", out, re.M)}
    assert precision["corrected P"] >= precision["automatic P"]
    assert precision["corrected S"] >= precision["automatic S"]
    assert "adapter: from-pseudo-labels" in out
    assert figure_of(out, tmp_path) > 5000


def test_map_of_a_campaign(tmp_path: Path) -> None:
    out = run("map_of_a_campaign.py", folder=tmp_path)
    assert re.search(r"^9 stations, [1-8] events$", out, re.M)
    assert figure_of(out, tmp_path) > 5000


def test_push_and_pull(tmp_path: Path) -> None:
    with StandInHub(organisation="my-lab").running() as server:
        client = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "writer"}
        client |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        out = run("push_and_pull.py", "ohio-frac", "--repo", "my-lab/phaseno-ohio-frac", folder=tmp_path, **client)
    assert "ready: ohio-frac-pulled" in out


@pytest.mark.parametrize("script", sorted(re.findall(r"`examples/(\w+\.py)`", PAGE)))
def test_the_page_names_scripts_that_are_run_here(script: str) -> None:
    assert f'"{script}"' in Path(__file__).read_text(encoding="utf-8")
    assert (ROOT / "examples" / script).is_file()
