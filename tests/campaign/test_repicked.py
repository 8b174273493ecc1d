"""Events that a later catalogue picks again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from obspy import UTCDateTime, read_events
from obspy.core.event import ResourceIdentifier

from phaseno_peft.campaign import Campaign, Catalogue
from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick
from phaseno_peft.campaign.catalog_files import joined_catalogue
from phaseno_peft.campaign.repicked import repicked_as_one, told_apart

T0 = UTCDateTime(2024, 5, 1)


def event(name: str, *picks: tuple[str, str, float], usable: bool = True) -> CatalogueEvent:
    made = tuple(
        LabelledPick(f"{name}/{i}", name, f"XX.{station}.", phase, T0 + t, None, usable)
        for i, (station, phase, t) in enumerate(picks)
    )
    return CatalogueEvent(name, None, 50.0, 6.0, None, made)


def joined(*parts: list[CatalogueEvent], time_scale: float = 1.0) -> Catalogue:
    apart = told_apart([Catalogue(tuple(part)) for part in parts])
    return repicked_as_one(joined_catalogue(apart.catalogues), apart, time_scale)


def times(found: CatalogueEvent) -> dict[str, float]:
    return {f"{p.station_id} {p.phase}": round(p.time - T0, 3) for p in found.picks}


FIRST = event("first", ("A", "P", 1.0), ("A", "S", 2.0), ("B", "P", 1.5), ("B", "S", 3.0))


def test_later_picks_take_the_place_of_earlier_ones_and_what_one_lacks_is_kept() -> None:
    again = event("again", ("A", "P", 1.08), ("B", "P", 1.4), ("C", "P", 1.9))
    other = event("other", ("A", "P", 9.0), ("B", "P", 9.5))
    found = joined([FIRST], [again, other])
    assert [each.event_id for each in found.events] == ["first", "other"]
    assert times(found.events[0]) == {
        "XX.A. P": 1.08, "XX.A. S": 2.0, "XX.B. P": 1.4, "XX.B. S": 3.0, "XX.C. P": 1.9,
    }  # fmt: skip
    assert {pick.event_id for pick in found.events[0].picks} == {"first"}
    assert found.events[0].latitude_deg == 50.0
    assert [f.text for f in found.findings] == [
        "1 added events are events of the campaign that were picked again: each is kept once, with the added picks "
        "where both have one."
    ]


def test_doubtful_arrivals_of_a_labelled_event_leave_its_picks_as_they_are() -> None:
    found = joined([FIRST], [event("doubt", ("A", "S", 2.2), usable=False)])
    assert [times(each) for each in found.events] == [times(FIRST)]
    assert all(pick.usable for pick in found.picks)


def test_neighbours_and_events_of_one_catalogue_stay_apart() -> None:
    neighbour = event("neighbour", ("A", "P", 1.1), ("B", "P", 2.4), ("C", "P", 4.0))
    assert [e.event_id for e in joined([FIRST], [neighbour]).events] == ["first", "neighbour"]
    twin = event("twin", ("A", "P", 1.1), ("A", "S", 2.1))
    assert len(joined([FIRST, twin]).events) == 2
    assert len(joined([FIRST], [twin]).events) == 1
    assert len(joined([FIRST], [twin], time_scale=10.0).events) == 2  # 0.1 s are a second there
    assert not joined([FIRST], [neighbour]).findings


def test_a_third_catalogue_counts_before_the_second() -> None:
    second, third = (event(name, ("A", "P", t)) for name, t in (("second", 1.1), ("third", 1.2)))
    found = joined([FIRST], [second], [third])
    assert len(found.events) == 1
    assert times(found.events[0])["XX.A. P"] == 1.2


def test_an_event_that_keeps_its_id_is_one_unless_it_is_of_another_time() -> None:
    again = event("first", ("A", "P", 1.9), ("B", "P", 2.6))  # 0.9 s and 1.1 s later, and nothing else
    found = joined([FIRST], [again])
    assert [each.event_id for each in found.events] == ["first"]
    assert times(found.events[0])["XX.A. P"] == 1.9
    elsewhen = event("first", ("A", "P", 500.0), ("B", "P", 501.0))  # numbered anew
    assert [each.event_id for each in joined([FIRST], [elsewhen]).events] == ["first", "first#2"]
    assert joined([FIRST], [FIRST]).events == (FIRST,)


def test_an_event_that_stood_in_pieces_is_one() -> None:
    whole = event("whole", ("A", "P", 1.05), ("A", "S", 2.05), ("B", "P", 1.55), ("B", "S", 3.05))
    pieces = [
        event("P", ("A", "P", 1.0), ("B", "P", 1.5)),
        event("S", ("A", "S", 2.0), ("B", "S", 3.0), ("C", "S", 4.0)),
    ]
    found = joined(pieces, [whole])
    assert len(found.events) == 1
    assert times(found.events[0]) == {**times(whole), "XX.C. S": 4.0}
    assert {pick.event_id for pick in found.picks} == {found.events[0].event_id}


def test_a_campaign_whose_events_are_picked_again_in_an_added_folder_has_each_once(
    campaign_folder: Path, tmp_path: Path
) -> None:
    before = Campaign.read(
        campaign_folder / "waveforms", campaign_folder / "stations.xml", campaign_folder / "picks.xml"
    )
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy(campaign_folder / "stations.xml", more)
    (more / "waveforms").symlink_to(campaign_folder / "waveforms")
    moved = read_events(str(campaign_folder / "picks.xml"))
    for number, each in enumerate(moved):
        if number % 2:  # the others keep their ids
            each.resource_id = ResourceIdentifier(f"{each.resource_id.id}-again")
        for pick in each.picks:
            pick.time += 0.08
    moved.write(str(more / "picks.xml"), "QUAKEML")
    after = Campaign.read(
        campaign_folder / "waveforms", campaign_folder / "stations.xml", campaign_folder / "picks.xml", more=[more]
    )
    assert len(after.catalogue.events) == len(before.catalogue.events)
    late = [b.time - a.time for a, b in zip(before.catalogue.picks, after.catalogue.picks, strict=True)]
    assert late == pytest.approx([0.08] * len(late))
    assert any("picked again" in finding.text for finding in after.findings)
