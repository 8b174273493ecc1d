"""Adapters ranked on a few labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from phaseno_peft.campaign import Campaign
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import suggest_adapters
from phaseno_peft.library import read_adapter, write_adapter
from phaseno_peft.library.card import Card
from phaseno_peft.picking import Picker


@pytest.fixture
def campaign(campaign_folder: Path) -> Campaign:
    return Campaign.read(
        campaign_folder / "waveforms", campaign_folder / "stations.xml", campaign_folder / "picks.xml", name="ohio"
    )


def test_the_ranking_prefers_what_fits_and_names_what_does_not(
    home: Path, campaign: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    tiny = read_adapter("tiny-ohio")

    def variant(name: str, factor: float, **changes: object) -> str:
        contract = dataclasses.replace(tiny.contract, **changes)  # type: ignore[arg-type]
        tensors = {key: factor * tensor for key, tensor in tiny.tensors.items()}
        card = Card(name, tiny.settings, contract, {}, {}, [])
        return str(write_adapter(tmp_path / name, tiny.settings, contract, tensors, card, {}))

    backwards = variant("backwards", -30.0, thresholds={"P": 0.0, "S": 0.0})
    foreign = variant("foreign", 1.0, backbone_fingerprint="0" * 64)
    tried: list[str] = []
    ranking, left_out = suggest_adapters(
        Picker.load(small_backbone), campaign, ["tiny-ohio", backwards, foreign], on_adapter=tried.append
    )
    assert tried == ["tiny-ohio", backwards, foreign]
    assert {each.name for each in ranking} == {"frozen", "tiny-ohio", backwards}
    by_name = {each.name: each for each in ranking}
    assert by_name["tiny-ohio"].loss < by_name["frozen"].loss < by_name[backwards].loss
    assert [round(each.score, 2) for each in ranking] == sorted((round(e.score, 2) for e in ranking), reverse=True)
    assert list(left_out) == [foreign]
    assert "was trained on backbone" in left_out[foreign]


def test_a_campaign_without_picks_is_refused(home: Path, campaign: Campaign, small_backbone: Path) -> None:
    events = tuple(dataclasses.replace(event, picks=()) for event in campaign.catalogue.events)
    bare = dataclasses.replace(campaign, catalogue=dataclasses.replace(campaign.catalogue, events=events))
    with pytest.raises(PhasenoPeftError, match="no usable picks"):
        suggest_adapters(Picker.load(small_backbone), bare, ["tiny-ohio"])
