"""Splits share neither an event nor a sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phaseno_peft.campaign import Campaign, Recording, split_campaign
from phaseno_peft.campaign.catalog import Catalogue, CatalogueEvent, LabelledPick
from phaseno_peft.campaign.splits import SIDES, Split
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, table

STATIONS = table(2)


def empty_recording(name: str, start_s: float, duration_s: float) -> Recording:
    shape = (2, 3, round(100 * duration_s))
    samples, recorded = np.zeros(shape, np.float32), np.ones(shape, bool)
    return Recording(name, T0 + start_s, 100.0, tuple(STATIONS), samples, recorded, ("ENZ", "ENZ"))


def event(number: int, times_s: list[float]) -> CatalogueEvent:
    picks = tuple(
        LabelledPick(f"{number}/{i}", str(number), f"XX.S{i % 2}.", "PS"[i // 2 % 2], T0 + t, None, True)
        for i, t in enumerate(times_s)
    )
    return CatalogueEvent(str(number), None, None, None, None, picks)


def made_up(recordings: list[Recording], events: list[CatalogueEvent]) -> Campaign:
    return Campaign("made-up", STATIONS, Catalogue(tuple(events)), tuple(recordings), Preprocessing(), STATIONS.frame())


def check_disjoint(split: Split, campaign: Campaign) -> None:
    taken: dict[str, set[int]] = {}
    usable: dict[str, str] = {}
    listed: dict[str, str] = {}
    for side in SIDES:
        for stretch in getattr(split, side):
            r = stretch.recording
            samples = set(range(r.first_sample, r.first_sample + r.n_samples))
            assert not samples & taken.setdefault(r.name, set())
            taken[r.name] |= samples
            for e in stretch.event_ids:
                assert listed.setdefault(e, side) == side
            for p in stretch.picks:
                assert r.start <= p.time < r.end
                if p.usable:
                    assert usable.setdefault(p.event_id, side) == side
                    assert p.event_id in stretch.event_ids
    for r in campaign.recordings:
        assert taken[r.name] == set(range(r.n_samples))  # nothing is lost


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9), n=st.integers(6, 60), doubles=st.integers(0, 4))
def test_separate_recordings_are_drawn_near_the_wished_parts(seed: int, n: int, doubles: int) -> None:
    recordings = [empty_recording(f"r{i}", 100.0 * i, 10.0) for i in range(n)]
    events = [event(i, [100.0 * i + 2, 100.0 * i + 3, 100.0 * i + 4]) for i in range(n)]
    events += [event(1000 + i, [100.0 * i + 2.7, 100.0 * i + 3.7]) for i in range(min(doubles, n))]
    campaign = made_up(recordings, events)
    split = split_campaign(campaign, seed)
    check_disjoint(split, campaign)
    total = len(events)
    counts = {side: len({e for s in getattr(split, side) for e in s.event_ids}) for side in SIDES}
    assert sum(counts.values()) == total
    for side, part in zip(SIDES, (0.6, 0.15, 0.25), strict=True):
        assert abs(counts[side] - part * total) <= 2
        assert counts[side] >= 1
        assert f"{counts[side]} {side}" in split.how


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9), gaps=st.lists(st.floats(4.0, 60.0), min_size=6, max_size=25), stray=st.booleans())
def test_one_long_recording_is_cut_between_events(seed: int, gaps: list[float], stray: bool) -> None:
    onsets = 10.0 + np.cumsum(gaps)
    campaign_events = [event(i, [t, t + 0.3, t + 1.0, t + 1.2]) for i, t in enumerate(onsets)]
    if stray:  # an outlying pick of the first event at the far end
        campaign_events[0] = event(0, [onsets[0] + d for d in (0, 0.3, 1.0, 1.2, 1.3, 1.4)] + [float(onsets[-1] + 3)])
    campaign = made_up([empty_recording("long", 0.0, float(onsets[-1]) + 20.0)], campaign_events)
    split = split_campaign(campaign, seed)
    check_disjoint(split, campaign)
    assert "cut in time into" in split.how
    assert all(getattr(split, side) for side in SIDES)


def test_an_event_in_two_recordings_keeps_them_together() -> None:
    recordings = [empty_recording(f"r{i}", 20.0 * i, 20.0) for i in range(20)]
    events = [event(i, [20.0 * i + 5, 20.0 * i + 6]) for i in range(20)]
    events += [
        event(100 + i, [20.0 * i + 19.5, 20.0 * i + 20.5]) for i in range(0, 20, 4)
    ]  # over the end of r0, r4, ...
    campaign = made_up(recordings, events)
    for seed in range(5):
        split = split_campaign(campaign, seed)
        check_disjoint(split, campaign)


def test_the_seed_decides_the_split_and_the_digest_tells() -> None:
    recordings = [empty_recording(f"r{i}", 100.0 * i, 10.0) for i in range(20)]
    campaign = made_up(recordings, [event(i, [100.0 * i + 2]) for i in range(20)])
    assert split_campaign(campaign, 1).sha256() == split_campaign(campaign, 1).sha256()
    assert split_campaign(campaign, 1).sha256() != split_campaign(campaign, 2).sha256()
    assert len(split_campaign(campaign, 1).sha256()["test"]) == 64


def test_recordings_without_events_are_shared_out_too() -> None:
    recordings = [empty_recording(f"r{i}", 100.0 * i, 10.0) for i in range(40)]
    campaign = made_up(recordings, [event(i, [100.0 * i + 2]) for i in range(20)])
    split = split_campaign(campaign, 0)
    check_disjoint(split, campaign)
    assert all(any(not s.event_ids for s in getattr(split, side)) for side in SIDES)


def test_too_few_events_and_impossible_parts_are_refused_with_a_next_step() -> None:
    recordings = [empty_recording(f"r{i}", 100.0 * i, 10.0) for i in range(5)]
    campaign = made_up(recordings, [event(i, [100.0 * i + 2]) for i in range(5)])
    with pytest.raises(CampaignError, match=r"5 events.*need 6.*Train in folds.*label more events"):
        split_campaign(campaign, 0)
    with pytest.raises(CampaignError, match="leave no training"):
        split_campaign(campaign, 0, validation=0.5, test=0.5)


def test_events_on_top_of_each_other_cannot_be_parted() -> None:
    campaign = made_up([empty_recording("r", 0, 60.0)], [event(i, [20 + 0.1 * i, 30 + 0.1 * i]) for i in range(8)])
    with pytest.raises(CampaignError, match="cannot be parted"):
        split_campaign(campaign, 0)


def test_the_dyke_intrusions_overlapping_files_are_parted(shared) -> None:
    folder = shared / "data" / "campaigns" / "iceland-vt"
    campaign = Campaign.read(folder / "waveforms", folder / "stations.xml", folder / "picks.xml")
    assert len(campaign.recordings) == 2  # 22 files; the last begins after the chain of the others has ended
    for seed in range(3):
        split = split_campaign(campaign, seed)
        check_disjoint(split, campaign)
        assert all(sum(len(s.event_ids) for s in getattr(split, side)) >= 2 for side in SIDES)
