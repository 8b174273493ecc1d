"""Campaigns that have almost nothing: an adapter all the same, and a sentence on what it lacks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from phaseno_peft.campaign import Campaign, Recording
from phaseno_peft.evaluation import read_evaluation
from phaseno_peft.training import TrainedAdapter, train_adapter
from phaseno_peft.training import forgetting as forgetting_module
from tests.training.test_cross_fit import SHORT


@pytest.fixture(autouse=True)
def few_forgetting_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    few = forgetting_module.forgetting_windows()[:3]
    monkeypatch.setattr(forgetting_module, "forgetting_windows", lambda: few)


@pytest.fixture
def three(campaign: Campaign) -> Campaign:
    """Its first three records, one event each."""
    return dataclasses.replace(campaign, recordings=campaign.recordings[:3])


def trained(campaign: Campaign, folder: Path, backbone: Path) -> tuple[TrainedAdapter, str]:
    made = train_adapter(
        "bare",
        campaign,
        folder=folder,
        backbone=backbone,
        training=dataclasses.replace(SHORT, epochs=1),
        recipe="se-only",
    )
    return made, (made.folder / "README.md").read_text()


def test_fewer_events_than_folds_give_as_many_folds_as_events(
    three: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    made, card = trained(three, tmp_path, small_backbone)
    assert read_evaluation(made.folder / "evaluation.json").about["folds"]["events"] == [1, 1, 1]
    assert "(4 were asked for, the events cannot be parted further)" in made.contract.provenance.split
    assert "The scores are those of 3 adapters" in card


def test_one_station_alone_is_trained_on_and_the_card_says_what_that_lacks(
    three: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    def alone(recording: Recording) -> Recording:
        return dataclasses.replace(
            recording,
            stations=recording.stations[:1],
            samples=recording.samples[:1],
            recorded=recording.recorded[:1],
            components=recording.components[:1],
        )

    one = dataclasses.replace(three, recordings=tuple(alone(each) for each in three.recordings))
    made, card = trained(one, tmp_path, small_backbone)
    assert made.contract.provenance.train_events >= 1
    assert f"One station recorded, {one.recordings[0].station_ids[0]}: it has no neighbours to hear" in card


@pytest.mark.parametrize("phase", ["P", "S"])
def test_labels_of_one_phase_only_leave_the_other_as_the_backbone_has_it(
    three: Campaign, small_backbone: Path, tmp_path: Path, phase: str
) -> None:
    events = tuple(
        dataclasses.replace(event, picks=tuple(p for p in event.picks if p.phase == phase))
        for event in three.catalogue.events
    )
    half = dataclasses.replace(three, catalogue=dataclasses.replace(three.catalogue, events=events))
    made, card = trained(half, tmp_path, small_backbone)
    other = "S" if phase == "P" else "P"
    assert f"No {other} label: training holds {other} to what the frozen network says of it" in card
    assert made.contract.thresholds[other] == 0.3
    assert made.contract.pick_shift_s[other] == 0.0
