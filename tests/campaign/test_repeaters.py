"""Events with the same waveforms are found, and are never on two sides."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from phaseno_peft.campaign import Campaign, Recording, fold_campaign, split_campaign
from phaseno_peft.campaign.catalog import Catalogue, CatalogueEvent, LabelledPick
from phaseno_peft.campaign.repeaters import families, repeats
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, table

STATIONS = table(4)
LENGTH = 1000


def campaign_of(kinds: str, stations: int = 4, noise: float = 0.05, phase: str = "P") -> Campaign:
    """One record of 10 s for each letter; records of one letter hold the same waveforms, a little moved, in noise."""
    rng = np.random.default_rng(8)
    waves = {kind: rng.standard_normal((4, 3, LENGTH)) for kind in sorted(set(kinds))}
    recordings, events = [], []
    for i, kind in enumerate(kinds):
        start, late = T0 + 100.0 * i, i % 3
        samples = np.roll(waves[kind], late, axis=2) + noise * rng.standard_normal((4, 3, LENGTH))
        recorded = np.ones(samples.shape, bool)
        own = samples.astype(np.float32)
        recordings.append(Recording(f"r{i}", start, 100.0, tuple(STATIONS), own, recorded, ("ENZ",) * 4))
        at = start + 4.0 + 0.01 * (i % 5)  # picks of one waveform differ, too
        picks = tuple(LabelledPick(f"{i}/{k}", str(i), f"XX.S{k}.", phase, at, None, True) for k in range(stations))
        events.append(CatalogueEvent(str(i), None, None, None, None, picks))
    return Campaign("made-up", STATIONS, Catalogue(tuple(events)), tuple(recordings), Preprocessing(), STATIONS.frame())


@pytest.mark.parametrize(("stations", "phase"), [(1, "P"), (2, "P"), (4, "P"), (4, "S")])
def test_repeats_are_found_station_by_station_in_noise(stations: int, phase: str) -> None:
    found = repeats(campaign_of("abacda", stations, phase=phase).stretches())
    assert {(pair.event_id, pair.other_id) for pair in found} == {("2", "0"), ("5", "0"), ("5", "2")}
    assert all(pair.common == stations for pair in found)
    assert families(found) == {"0": "0", "2": "0", "5": "0"}


def test_different_events_and_events_that_are_alike_at_few_stations_are_no_family() -> None:
    campaign = campaign_of("abcdef")
    assert repeats(campaign.stretches()) == []
    first = campaign.recordings[0].samples
    alike = campaign.recordings[1].samples.copy()
    alike[:2] = first[:2]  # two of four stations
    recordings = (campaign.recordings[0], dataclasses.replace(campaign.recordings[1], samples=alike))
    assert repeats(dataclasses.replace(campaign, recordings=recordings).stretches()) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_family_is_in_one_fold_and_on_one_side(seed: int) -> None:
    campaign = campaign_of("aabbcdefghij")
    folds = fold_campaign(campaign, 4, seed)
    parts = [{e for s in part for e in s.event_ids} for part in folds.parts]
    assert len(parts) == 4
    assert all(family <= part or not family & part for family in ({"0", "1"}, {"2", "3"}) for part in parts)
    assert "the 2 families of 4 events with the same waveforms" in folds.how
    split = split_campaign(campaign, seed)
    sides = [{e for s in side for e in s.event_ids} for side in (split.train, split.validation, split.test)]
    assert all(family <= side or not family & side for family in ({"0", "1"}, {"2", "3"}) for side in sides)


def test_one_family_alone_holds_no_event_out_and_says_so() -> None:
    campaign = campaign_of("aaaaaaaa")
    folds = fold_campaign(campaign, 4, 0)
    assert len(folds.parts) == 1
    assert "all have the same waveforms" in folds.how
    with pytest.raises(CampaignError, match="8 of them have the waveforms of another"):
        split_campaign(campaign, 0)


def test_an_event_that_is_listed_twice_is_no_repeat() -> None:
    campaign = campaign_of("abc")
    again = dataclasses.replace(
        campaign.catalogue.events[0],
        event_id="again",
        picks=tuple(
            dataclasses.replace(p, pick_id=f"again/{p.pick_id}", event_id="again", time=p.time + 0.03)
            for p in campaign.catalogue.events[0].picks
        ),
    )
    twice = dataclasses.replace(campaign, catalogue=Catalogue((*campaign.catalogue.events, again)))
    assert repeats(twice.stretches()) == []
