"""Adapters that come with the package: found in a checkout and in a wheel, whole, and with cards that regenerate."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phaseno_peft import paths
from phaseno_peft.backbone import backbone_info
from phaseno_peft.errors import AdapterError
from phaseno_peft.library import (
    adapter_info,
    find_adapter,
    library_folder,
    list_adapters,
    read_adapter,
    remove_adapter,
    verify_adapters,
)
from phaseno_peft.library.resolve import names_in
from phaseno_peft.library.store import render_card
from tests.library.machines import Machine

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = names_in(ROOT / "adapters")


@pytest.fixture
def assets(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that ships `ohio-shipped`."""
    folder = tmp_path / "site-packages" / "phaseno_peft" / "assets"
    shutil.copytree(tiny, folder / "adapters" / "ohio-shipped")
    monkeypatch.setattr(paths, "ASSETS", folder)
    return folder


def test_a_shipped_adapter_is_found_by_name_and_one_of_the_library_goes_first(
    assets: Path, machine: Machine, tiny: Path
) -> None:
    assert list_adapters() == ["ohio-shipped"]
    assert (adapter_info("ohio-shipped").place, read_adapter("ohio-shipped").name) == ("shipped", "ohio-shipped")
    with pytest.raises(AdapterError, match=r"is shipped at .* Nothing removed"):
        remove_adapter("ohio-shipped")
    own = machine.own(tiny, "ohio-shipped")
    assert find_adapter("ohio-shipped").folder == own
    assert list_adapters() == ["ohio-shipped"]
    assert remove_adapter("ohio-shipped") == own
    assert find_adapter("ohio-shipped").place == "shipped"


def test_a_checkout_ships_what_lies_at_its_top(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paths, "ASSETS", tmp_path / "phaseno_peft" / "assets")
    assert paths.shipped_folder("adapters") == tmp_path / "adapters"
    (tmp_path / "phaseno_peft" / "assets" / "adapters").mkdir(parents=True)
    assert paths.shipped_folder("adapters") == tmp_path / "phaseno_peft" / "assets" / "adapters"


def test_half_written_and_badly_named_folders_are_not_listed(machine: Machine, tiny: Path) -> None:
    for name in (".tiny-ohio.x1y2", "Tiny Ohio", "edge"):
        machine.own(tiny, name)
    (library_folder() / "empty-one").mkdir()
    assert list_adapters() == []


def test_the_wheel_holds_adapters_template_and_backbone(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "phaseno_peft/assets/cards/TEMPLATE.md" in names
    assert "phaseno_peft/assets/phaseno-open/model.safetensors" in names
    for name in SHIPPED:
        assert f"phaseno_peft/assets/adapters/{name}/adapter_model.safetensors" in names
    assert not [name for name in names if name.endswith((".mseed", ".ckpt", ".bin"))]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_adapter_is_whole_evaluated_and_fits_the_embedded_backbone(name: str) -> None:
    assert [v.problems for v in verify_adapters([ROOT / "adapters" / name])] == [()]
    known = adapter_info(ROOT / "adapters" / name)
    assert known.is_evaluated
    assert known.contract.backbone_fingerprint == backbone_info().fingerprint
    assert known.contract.provenance.label_source != "unknown"


@pytest.mark.parametrize("name", SHIPPED)
def test_cards_of_shipped_adapters_regenerate_unchanged(name: str) -> None:
    folder = ROOT / "adapters" / name
    assert (folder / "README.md").read_text() == render_card(folder, name)
    assert (ROOT / "cards" / f"{name}.md").read_text() == render_card(folder, name, f"../adapters/{name}/")


def test_no_card_is_left_without_its_adapter() -> None:
    assert {path.stem for path in (ROOT / "cards").glob("*.md")} == {*SHIPPED, "TEMPLATE"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "ohio-frac" else pytest.mark.slow)
        for name in SHIPPED
        if name.endswith(("-frac", "-industrial"))
    ],
)
def test_a_shipped_adapter_reproduces_the_scores_on_its_card(name: str, tmp_path: Path) -> None:
    from phaseno_peft.evaluation import read_evaluation
    from phaseno_peft.evaluation.judge import judge
    from phaseno_peft.picking import load_adapter

    script = runpy.run_path(str(ROOT / "adapters" / "retrain.py"))
    folder = ROOT / "adapters" / name
    judged = judge(load_adapter(folder), script["CAMPAIGNS"][name].read(name, tmp_path))
    assert "held-out test events of the adapter's own campaign" in judged.events
    promised = read_evaluation(folder / "evaluation.json").scores["adapter"]
    assert judged.scores["adapter"].mean_f1(0.5) == pytest.approx(promised.mean_f1(0.5), abs=0.02)


class Retrained:
    """`adapters/retrain.py` in a folder of its own, with training replaced by a copy of a small adapter."""

    def __init__(self, tiny: Path, root: Path) -> None:
        self.script: dict[str, Any] = runpy.run_path(str(ROOT / "adapters" / "retrain.py"))
        self.root, self.tiny = root, tiny
        self.asked: list[dict[str, Any]] = []
        for part in ("adapters", "cards"):
            (root / part).mkdir()
        self.globals = self.script["main"].__globals__
        self.globals.update(
            ADAPTERS=root / "adapters",
            CARDS=root / "cards",
            train_adapter=self.train,
            simulate_campaign=lambda _, folder, **__: SimpleNamespace(
                waveforms=folder / "waveforms", stations=folder / "stations.xml", picks=folder / "picks.xml"
            ),
            Campaign=SimpleNamespace(read=lambda *files, name: (*files, name)),
        )

    def train(self, name: str, campaign: Any, **settings: Any) -> Any:
        self.asked.append({"name": name, "campaign": campaign, **settings})
        folder = Path(shutil.copytree(self.tiny, settings["folder"] / name, dirs_exist_ok=True))
        from phaseno_peft.evaluation import read_evaluation

        return SimpleNamespace(folder=folder, scores=read_evaluation(folder / "evaluation.json").scores)

    def run(self, *words: str) -> None:
        argv, sys.argv = sys.argv, ["retrain.py", *words]
        try:
            self.script["main"]()
        finally:
            sys.argv = argv


@pytest.fixture
def retrained(tiny: Path, tmp_path: Path) -> Retrained:
    return Retrained(tiny, tmp_path)


def test_one_command_retrains_all_and_writes_their_cards(retrained: Retrained, tmp_path: Path) -> None:
    retrained.run("--recordings", str(tmp_path / "recordings"))
    assert {one["name"]: one["label_source"] for one in retrained.asked} == {
        "ohio-frac": "simulated",
        "bc-frac": "simulated",
        "us-industrial": "simulated",
        "samba-nz": "analyst",
        "iceland-vt": "automatic",
    }
    samba = tmp_path / "recordings" / "samba-nz"
    assert retrained.asked[3]["campaign"][:2] == (samba / "waveforms", samba / "stations.xml")
    for name in names_in(tmp_path / "adapters"):
        card = (tmp_path / "cards" / f"{name}.md").read_text()
        assert f"](../adapters/{name}/figures/scores.png)" in card
    assert "nobody has checked them one by one" in (tmp_path / "adapters" / "iceland-vt" / "README.md").read_text()
    assert "not a picker for real earthquakes" in (tmp_path / "cards" / "ohio-frac.md").read_text()
    assert all(not v.problems for v in verify_adapters((tmp_path / "adapters").iterdir()))


def test_recordings_must_be_named_and_cards_alone_train_nothing(retrained: Retrained, tmp_path: Path) -> None:
    retrained.run()
    assert [one["name"] for one in retrained.asked] == ["ohio-frac", "bc-frac", "us-industrial"]
    for words, message in ((("samba-nz",), "--recordings FOLDER"), (("texas",), "is none of ohio-frac")):
        with pytest.raises(SystemExit, match=message):
            retrained.run(*words)
    (tmp_path / "cards" / "ohio-frac.md").unlink()
    retrained.run("--cards")
    assert len(retrained.asked) == 3
    assert (tmp_path / "cards" / "ohio-frac.md").is_file()
