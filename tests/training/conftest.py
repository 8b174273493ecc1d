"""One small campaign, split once, and settings that make an epoch last half a second."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from phaseno_peft.campaign import Campaign
from phaseno_peft.training import TrainingSettings
from phaseno_peft.training.dataset import CampaignDataset

LEAN = TrainingSettings(
    epochs=3, learning_rate=0.01, windows_per_epoch=4, stations_per_window=3, judged_windows=3, patience=50
)


@pytest.fixture(scope="session")
def campaign(campaign_folder: Path) -> Campaign:
    return read(campaign_folder)


@pytest.fixture(scope="session")
def dataset(campaign: Campaign) -> CampaignDataset:
    return lean_dataset(campaign)


def read(folder: Path) -> Campaign:
    return Campaign.read(folder / "waveforms", folder / "stations.xml", folder / "picks.xml", name="ohio")


def lean_dataset(campaign: Campaign) -> CampaignDataset:
    """With three windows on each side."""
    whole = CampaignDataset.of(campaign, 0)
    return dataclasses.replace(whole, validation=whole.validation[:3], test=whole.test[:3])
