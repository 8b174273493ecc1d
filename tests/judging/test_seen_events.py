"""Events that trained an adapter do not judge it, under whatever names they come back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from obspy import UTCDateTime, read_events

from phaseno_peft import evaluate
from phaseno_peft.campaign import Campaign, known_events, pick_times_sha256, split_campaign
from phaseno_peft.errors import AdapterError, CampaignError
from phaseno_peft.library import read_adapter


@pytest.fixture(scope="module")
def campaign(campaign_folder: Path) -> Campaign:
    return Campaign.read(*files_of(campaign_folder), name="ohio")


def files_of(folder: Path) -> tuple[Path, Path, Path]:
    return folder / "waveforms", folder / "stations.xml", folder / "picks.xml"


def renamed(picks: Path, target: Path, keep: slice = slice(None)) -> Path:
    """The catalogue with other ids for events and picks."""
    catalogue = read_events(str(picks))[keep]
    for number, event in enumerate(catalogue):
        event.resource_id = f"smi:local/again/{number}"
        for pick in event.picks:
            pick.resource_id = f"{pick.resource_id.id}/again"
        for arrival in (a for origin in event.origins for a in origin.arrivals):
            arrival.pick_id = f"{arrival.pick_id.id}/again"
    catalogue.write(str(target), "QUAKEML")
    return target


def test_events_are_known_by_their_times_and_not_by_their_ids(campaign: Campaign) -> None:
    split = split_campaign(campaign, 0)
    digests = pick_times_sha256(split.train)
    trained = {event for stretch in split.train for event in stretch.event_ids}
    assert known_events(campaign.stretches(), digests) == trained
    assert known_events(campaign.stretches(), []) == frozenset()

    def moved(seconds: float) -> frozenset[str]:
        stretches = [
            dataclasses.replace(
                stretch,
                picks=tuple(
                    dataclasses.replace(p, event_id=f"new {p.event_id}", station_id="", time=p.time + seconds)
                    for p in stretch.picks
                ),
            )
            for stretch in campaign.stretches()
        ]
        return known_events(stretches, digests)

    for seconds in (0.0, 0.4, -1.5):  # picked again, to peaks, by a clock that was set right
        assert moved(seconds) == {f"new {event}" for event in trained}
    assert moved(UTCDateTime("2013-01-01") - UTCDateTime("2012-01-01")) == frozenset()


def test_renamed_events_that_trained_are_left_out_and_the_others_are_scored(
    adapter_home: Path, small_backbone: Path, campaign_folder: Path, campaign: Campaign, tmp_path: Path
) -> None:
    adapter = adapter_home / "adapters" / "tiny-ohio"
    waveforms, stations, picks = files_of(campaign_folder)
    again = renamed(picks, tmp_path / "again.xml")
    made = evaluate(adapter, waveforms, stations, again, backbone=small_backbone)
    test = split_campaign(campaign, 0).test
    n_test = len({event for stretch in test for event in stretch.event_ids})
    assert f"{n_test} events of 12: the others trained the adapter" in made.about["events"]
    own = evaluate(adapter, waveforms, stations, picks, backbone=small_backbone)
    for phase in ("P", "S"):
        assert made.scores["adapter"].n_labels(phase) == own.scores["adapter"].n_labels(phase) > 0


def test_a_catalogue_of_events_that_all_trained_decides_nothing(
    adapter_home: Path, small_backbone: Path, campaign_folder: Path, campaign: Campaign, tmp_path: Path
) -> None:
    adapter = adapter_home / "adapters" / "tiny-ohio"
    waveforms, stations, picks = files_of(campaign_folder)
    trained = {event for stretch in split_campaign(campaign, 0).train for event in stretch.event_ids}
    catalogue = read_events(str(picks))
    catalogue.events = [event for event in catalogue if event.resource_id.id in trained]
    catalogue.write(str(tmp_path / "trained.xml"), "QUAKEML")
    again = renamed(tmp_path / "trained.xml", tmp_path / "again.xml")
    made = evaluate(adapter, waveforms, stations, again, backbone=small_backbone)
    assert "this catalogue, which it was trained on: these scores flatter" in made.about["events"]
    assert made.about["verdict"]["verdict"] == "not enough evidence"
    assert made.about["verdict"]["reason"].startswith("the adapter was trained on the events that it is scored on")


def test_an_adapter_of_another_backbone_a_catalogue_elsewhere_and_one_without_labels_are_refused(
    adapter_home: Path, small_backbone: Path, campaign_folder: Path, tmp_path: Path
) -> None:
    adapter = adapter_home / "adapters" / "tiny-ohio"
    waveforms, stations, picks = files_of(campaign_folder)
    with pytest.raises(
        AdapterError, match=r"was trained on backbone .small-backbone. .*this picker has .phaseno-open."
    ):
        evaluate(adapter, waveforms, stations, picks)  # the embedded backbone
    catalogue = read_events(str(picks))
    for event in catalogue:
        for pick in event.picks:
            pick.time += 86400 * 365
    catalogue.write(str(tmp_path / "later.xml"), "QUAKEML")
    with pytest.raises(
        CampaignError, match=r"no pick of later\.xml lies in the time of any waveform: the picks run from 20"
    ):
        evaluate(adapter, waveforms, stations, tmp_path / "later.xml", backbone=small_backbone)
    for event in catalogue:
        event.picks, event.origins = [], []
    catalogue.write(str(tmp_path / "empty.xml"), "QUAKEML")
    with pytest.raises(CampaignError, match=r"empty\.xml: 12 events and no picks\. Give a catalogue"):
        evaluate(adapter, waveforms, stations, tmp_path / "empty.xml", backbone=small_backbone)


def test_a_contract_tells_when_its_events_were_only_by_digests(adapter_home: Path) -> None:
    digests = read_adapter(adapter_home / "adapters" / "tiny-ohio").contract.provenance.pick_times_sha256
    assert digests == sorted(set(digests))
    assert {len(digest) for digest in digests} == {12}


def test_simulated_and_automatic_picks_are_known_as_such_on_another_campaign(
    adapter_home: Path, small_backbone: Path, campaign_folder: Path, tmp_path: Path
) -> None:
    adapter = adapter_home / "adapters" / "tiny-ohio"
    waveforms, stations, picks = files_of(campaign_folder)
    found = {}
    for made_by in ("simulated", "automatic", "unknown"):
        catalogue = read_events(str(picks))
        catalogue.events = catalogue.events[:6]
        for pick in (pick for event in catalogue for pick in event.picks if made_by != "simulated"):
            pick.method_id, pick.evaluation_mode = None, "automatic" if made_by == "automatic" else "manual"
        catalogue.write(str(tmp_path / f"{made_by}.xml"), "QUAKEML")
        made = evaluate(adapter, waveforms, stations, tmp_path / f"{made_by}.xml", backbone=small_backbone)
        found[made_by] = made.about["verdict"]["evidence"]["label_source"]
    assert found == {name: name for name in found}
