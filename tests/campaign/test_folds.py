"""Folds share neither an event nor a sample, and together hold all of both."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phaseno_peft.campaign import Folds, all_events_sha256, fold_campaign
from phaseno_peft.errors import CampaignError
from tests.campaign.test_splits import empty_recording, event, made_up


def events_of(folds: Folds) -> list[set[str]]:
    return [{e for stretch in part for e in stretch.event_ids} for part in folds.parts]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9), n=st.integers(2, 40), doubles=st.integers(0, 4), k=st.integers(2, 6))
def test_every_event_is_in_one_fold_of_about_the_same_size(seed: int, n: int, doubles: int, k: int) -> None:
    recordings = [empty_recording(f"r{i}", 100.0 * i, 60.0) for i in range(n)]
    events = [event(i, [100.0 * i + 10, 100.0 * i + 12]) for i in range(n)]
    events += [event(n + i, [100.0 * i + 11, 100.0 * i + 13]) for i in range(min(doubles, n))]
    folds = fold_campaign(made_up(recordings, events), k, seed)
    held = events_of(folds)
    assert len(folds.parts) == min(k, n)
    assert sum(map(len, held)) == len(set().union(*held)) == len(events)
    assert min(map(len, held)) >= 1
    assert max(map(len, held)) - min(map(len, held)) <= 2
    names = [stretch.recording.name for part in folds.parts for stretch in part]
    assert sorted(names) == sorted(r.name for r in recordings)
    for i, own in enumerate(held):
        split = folds.without(i)
        assert {e for s in split.validation for e in s.event_ids} == own
        assert {e for s in split.train for e in s.event_ids} == set().union(*held) - own
        assert not split.test
    assert f"{len(events)} events" in folds.how


def test_events_that_share_a_recording_that_cannot_be_cut_stay_together() -> None:
    recordings = [empty_recording("long", 0.0, 60.0), *(empty_recording(f"r{i}", 100.0 * i, 60.0) for i in (1, 2, 3))]
    family = [event(i, [10.0 + 0.5 * i, 14.0 + 0.5 * i]) for i in range(4)]
    others = [event(10 + i, [100.0 * i + 10, 100.0 * i + 12]) for i in (1, 2, 3)]
    folds = fold_campaign(made_up(recordings, [*family, *others]), 3, 0)
    assert {"0", "1", "2", "3"} in events_of(folds)


def test_fewer_events_than_folds_and_events_that_cannot_be_parted_are_said() -> None:
    recordings = [empty_recording(f"r{i}", 100.0 * i, 60.0) for i in range(3)]
    three = fold_campaign(made_up(recordings, [event(i, [100.0 * i + 10, 100.0 * i + 12]) for i in range(3)]), 5, 0)
    assert [len(part) for part in events_of(three)] == [1, 1, 1]
    assert "5 were asked for, the events cannot be parted further" in three.how
    one = fold_campaign(made_up(recordings[:1], [event(i, [10.0 + i, 14.0 + i]) for i in range(6)]), 4, 0)
    assert len(one.parts) == 1
    assert "cannot be parted" in one.how
    assert one.without(0).train == one.without(0).validation


def test_no_event_and_one_fold_are_refused() -> None:
    campaign = made_up([empty_recording("r", 0.0, 60.0)], [])
    with pytest.raises(CampaignError, match="no event has a usable pick"):
        fold_campaign(campaign, 4, 0)
    with pytest.raises(CampaignError, match="`folds` should be at least 2 but is 1"):
        fold_campaign(campaign, 1, 0)


def test_the_digest_of_all_events_does_not_depend_on_the_folds() -> None:
    recordings = [empty_recording(f"r{i}", 100.0 * i, 60.0) for i in range(8)]
    campaign = made_up(recordings, [event(i, [100.0 * i + 10, 100.0 * i + 12]) for i in range(8)])
    digests = {fold_campaign(campaign, k, k).whole.sha256()["train"] for k in (2, 3, 4)}
    assert digests == {all_events_sha256(campaign)}
