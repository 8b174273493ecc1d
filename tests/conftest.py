"""Shared fixtures. Recordings beside the project are used where they are; without them the tests skip and say why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.library.machines import Machine
    from tests.library.standin_hub import StandInHub

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the tests' networks are too small to share

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def no_shipped_adapters(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hides the checkout's own `adapters/`, so that tests of libraries do not depend on what the project ships."""
    from phaseno_peft import paths
    from phaseno_peft.library import resolve

    own = Path(__file__).resolve().parents[1] / "adapters"
    nowhere = tmp_path_factory.getbasetemp() / "no-adapters"

    def shipped_folder(name: str) -> Path:
        folder = paths.shipped_folder(name)
        return nowhere if folder == own else folder

    monkeypatch.setattr(resolve, "shipped_folder", shipped_folder)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings and golden vectors that lies beside the project in some places."""
    if not (SHARED / "data" / "README.md").is_file():
        pytest.skip("needs the recordings in the folder `shared` beside the project, which is not there")
    return SHARED


@pytest.fixture(scope="session")
def small_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PhaseNO of width 8 with random weights, saved: it picks nothing, but every path runs in milliseconds."""
    import torch

    from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, save_backbone

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("backbone") / "small-backbone"
    return save_backbone(PhaseNO(PhaseNOConfig(width=8, modes=6)), folder, "small-backbone", {"P": 0.3, "S": 0.3})


@pytest.fixture(scope="session")
def campaign_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated campaign of twelve events with two minutes of continuous record, as a company delivers it."""
    from phaseno_peft.simulation import simulate_campaign

    folder = tmp_path_factory.mktemp("campaign") / "ohio"
    # with this seed one epoch on the random backbone of `adapter_home` is better than none, so that it is kept
    made = simulate_campaign("ohio-frac", folder, seed=5, events=12, continuous_minutes=2, continuous_events=3)
    return made.folder


@pytest.fixture(scope="session")
def adapter_home(tmp_path_factory: pytest.TempPathFactory, campaign_folder: Path, small_backbone: Path) -> Path:
    """A home with one adapter, `tiny-ohio`, trained for one epoch on the small backbone."""
    from phaseno_peft.campaign import Campaign
    from phaseno_peft.training import TrainingSettings, train_adapter

    home = tmp_path_factory.mktemp("home")
    campaign = Campaign.read(
        campaign_folder / "waveforms", campaign_folder / "stations.xml", campaign_folder / "picks.xml", name="ohio"
    )
    train_adapter(
        "tiny-ohio",
        campaign,
        folder=home / "adapters",
        backbone=small_backbone,
        training=TrainingSettings(epochs=1),
        folds=0,
        label_source="simulated",
    )
    return home


@pytest.fixture
def home(adapter_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`adapter_home` as the user's library."""
    monkeypatch.setenv("PHASENO_PEFT_HOME", str(adapter_home))
    return adapter_home


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    """A fresh stand-in Hub that `huggingface_hub` takes for the real one."""
    from tests.library.machines import client_of
    from tests.library.standin_hub import StandInHub

    with StandInHub().running() as server, client_of(server, monkeypatch):
        yield server


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """The computer that the test sits at, with a token that may write, and `use` to change places."""
    from tests.library.machines import Machine

    made = Machine(monkeypatch, tmp_path)
    made.use()
    return made


@pytest.fixture
def tiny(adapter_home: Path) -> Path:
    """Folder of the adapter `tiny-ohio`."""
    return adapter_home / "adapters" / "tiny-ohio"
