"""Which picks belong together: hand-made arrivals of known events, and picks that must not become labels."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy import UTCDateTime

from phaseno_peft.campaign import Station, StationTable
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.events import AssociatedEvent
from phaseno_peft.labelling import Coincidence, coincide
from phaseno_peft.picks import Pick

T0 = UTCDateTime(2024, 5, 1)
VP, VS = 5.8, 3.35
KM = 111.195
PLACES = {"A": (0.0, 0.0), "B": (10.0, 0.0), "C": (0.0, 10.0), "D": (-10.0, -5.0), "E": (12.0, 12.0)}
"""Station -> km east and north of 0, 0 on the equator."""


def table(codes: str = "ABCDE") -> StationTable:
    return StationTable([Station(f"XX.{c}.", PLACES[c][1] / KM, PLACES[c][0] / KM, 0.0) for c in codes], source="table")


def pick(code: str, phase: str, time_s: float, probability: float = 0.8) -> Pick:
    return Pick(f"XX.{code}.", phase, T0 + time_s, probability, 0.05)


def event(origin_s: float, place: tuple[float, float, float] = (2.0, 3.0, 8.0), codes: str = "ABCDE") -> list[Pick]:
    """P and S at every station of an event at km east, north, down in a homogeneous space."""
    picks = []
    for code in codes:
        km = math.dist((*PLACES[code], 0.0), place)
        picks += [pick(code, "P", origin_s + km / VP), pick(code, "S", origin_s + km / VS)]
    return picks


def times(found: AssociatedEvent) -> set[tuple[str, str, float]]:
    return {(p.trace_id[3], p.phase, round(p.time - T0, 3)) for p in found.picks}


def as_set(picks: list[Pick]) -> set[tuple[str, str, float]]:
    return {(p.trace_id[3], p.phase, round(p.time - T0, 3)) for p in picks}


def test_all_picks_of_an_event_are_labels_and_its_origin_time_is_near() -> None:
    (found,) = coincide(event(100.0), table())
    assert times(found) == as_set(event(100.0))
    assert found.ambiguous == ()
    assert abs(found.origin_time - (T0 + 100.0)) < 0.2
    assert not found.is_located
    first = min(event(100.0), key=lambda p: p.time)
    assert found.picks[0] == first
    assert found.station_ids == tuple(f"XX.{c}." for c in "ABCDE")


def test_picks_that_nothing_supports_are_no_labels() -> None:
    alone = [pick("A", "P", 20.0), pick("B", "S", 45.0), pick("C", "P", 170.0), pick("D", "S", 230.0)]
    (found,) = coincide([*event(100.0), *alone], table())
    assert times(found) == as_set(event(100.0))
    assert coincide(alone, table()) == []
    assert coincide([], table()) == []


@pytest.mark.parametrize(
    ("p_s", "s_s", "counts"),
    [(10.0, 12.0, True), (10.0, 10.05, False), (12.0, 10.0, False), (10.0, 90.0, False)],
    ids=["possible", "too short", "S before P", "too long"],
)
def test_one_station_counts_where_s_follows_p_within_the_possible_span(p_s: float, s_s: float, counts: bool) -> None:
    found = coincide([pick("A", "P", p_s), pick("A", "S", s_s)], table())
    assert len(found) == int(counts)


def test_the_span_of_s_minus_p_follows_from_the_network_or_is_given() -> None:
    """8 km a second of S-P: alone, a station hears events up to 30 km away, 3.75 s."""
    for sp_s, default, within_3_s in ((3.7, 1, 0), (3.8, 0, 0), (2.9, 1, 1)):
        picks = [pick("A", "P", 0.0), pick("A", "S", sp_s)]
        assert len(coincide(picks, table())) == default
        assert len(coincide(picks, table(), Coincidence(longest_sp_s=3.0))) == within_3_s


@pytest.mark.parametrize("phase", ["P", "S"])
def test_three_stations_with_one_phase_count_and_two_do_not(phase: str) -> None:
    picks = [p for p in event(50.0, codes="ABC") if p.phase == phase]
    (found,) = coincide(picks, table())
    assert times(found) == as_set(picks)
    assert coincide(picks[:2], table()) == []
    (four,) = coincide([p for p in event(50.0, codes="ABCD") if p.phase == phase], table(), Coincidence(4))
    assert len(four.picks) == 4
    assert coincide(picks, table(), Coincidence(fewest_stations=4)) == []


def test_three_stations_farther_apart_in_time_than_waves_need_do_not_count() -> None:
    """Control: A and B are 10 km apart, so that P needs 5 s at the slowest velocity, and 0.5 s is slack."""
    for late_s, count in ((5.4, 1), (5.6, 0)):
        picks = [pick("A", "P", 0.0), pick("B", "P", late_s), pick("C", "P", 2.0)]
        assert len(coincide(picks, table())) == count


def test_a_single_phase_of_an_event_is_ambiguous_where_too_few_stations_have_it() -> None:
    picks = [p for p in event(50.0, codes="ABC") if p.phase == "P"]
    unsupported = event(50.0, codes="AB")[3]
    pair = event(50.0, codes="D")
    (found,) = coincide([*picks, *pair], table())
    assert times(found) == as_set([*picks, *pair])
    (found,) = coincide([*event(50.0, codes="A"), unsupported], table())
    assert unsupported.phase == "S"
    assert times(found) == as_set(event(50.0, codes="A"))
    assert found.ambiguous == (unsupported,)


def test_of_two_readings_of_a_station_the_clearly_stronger_is_the_label_and_else_neither() -> None:
    others = [p for p in event(50.0, codes="ABCD") if p.phase == "P"]
    e = next(p for p in event(50.0, codes="E") if p.phase == "P")
    for second, kept in ((0.5, True), (0.7, False), (0.8, False)):
        rival = pick("E", "P", e.time - T0 + 1.0, second)
        (found,) = coincide([*others, e, rival], table())
        assert ("E" in {p.trace_id[3] for p in found.picks}) == kept
        assert list(found.ambiguous) == ([rival] if kept else [e, rival])
        if kept:
            assert e in found.picks


def test_two_events_in_one_record_are_two() -> None:
    second = event(112.0, (-6.0, 5.0, 10.0))
    found = coincide([*event(100.0), *second], table())
    assert [times(one) for one in found] == [as_set(event(100.0)), as_set(second)]


def test_a_crowded_record_is_parted_between_events() -> None:
    """60 events without a pause that would part them, and noise: 600 picks and 60 more."""
    rng = random.Random(1)
    events = [event(20.0 * i, (rng.uniform(-8, 8), rng.uniform(-8, 8), 8.0)) for i in range(60)]
    noise = [pick(rng.choice("ABCDE"), rng.choice("PS"), 20.0 * i + rng.uniform(12, 14), 0.2) for i in range(60)]
    found = coincide([*(p for one in events for p in one), *noise], table())
    whole = [as_set(one) for one in events]
    assert sum(times(one) in whole for one in found) >= 58
    assert sum(len(times(one)) > 2 for one in found) == 60


def test_a_reading_that_fits_two_events_is_a_label_of_neither() -> None:
    """Two P events of three stations each, too far apart to be one, and one P at D in between."""
    close = StationTable(
        [Station(f"XX.{c}.", 0.001 * i, 0.0, 0.0) for i, c in enumerate("ABC")]  # 0.1 km apart: 0.06 s and slack
        + [Station("XX.D.", 0.05, 0.0, 0.0)]  # 5 km away
        + [Station(f"XX.{c}.", 0.1 + 0.001 * i, 0.0, 0.0) for i, c in enumerate("EFG")]
    )
    picks = [pick(c, "P", 10.0) for c in "ABC"] + [pick(c, "P", 18.0) for c in "EFG"]
    between = pick("D", "P", 13.15)
    found = coincide([*picks, between], close)
    assert [{p.trace_id[3] for p in one.picks} for one in found] == [set("ABCD"), set("EFG")]  # 18 is too late for D
    picks = [pick(c, "P", 10.0) for c in "ABC"] + [pick(c, "P", 16.3) for c in "EFG"]
    found = coincide([*picks, between], close)
    assert [{p.trace_id[3] for p in one.picks} for one in found] == [set("ABC"), set("EFG")]
    assert sum(between in one.ambiguous for one in found) == 1


def test_an_event_far_off_in_origin_time_is_not_joined() -> None:
    """Control: the same P times with S-P of another distance are another event's."""
    good = event(50.0, codes="ABCD")
    e_p, e_s = event(50.0, codes="E")
    wrong_s = pick("E", "S", e_p.time - T0 + 6.0)
    (found,) = coincide([*good, e_p, e_s], table())
    assert e_s in found.picks
    found_all = coincide([*good, e_p, wrong_s], table())
    assert not any(e_p in one.picks and good[0] in one.picks for one in found_all)
    assert any(good[0] in one.picks for one in found_all)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.floats(0.0, 300.0), min_size=1, max_size=4), st.integers(0, 12))
def test_no_pick_is_used_twice_and_order_does_not_matter(seed: int, origins: list[float], noise: int) -> None:
    rng = random.Random(seed)
    picks = [p for t in origins for p in event(t, (rng.uniform(-8, 8), rng.uniform(-8, 8), 8.0)) if rng.random() < 0.8]
    picks += [pick(rng.choice("ABCDE"), rng.choice("PS"), rng.uniform(0, 300), rng.random()) for _ in range(noise)]
    found = coincide(picks, table())
    used = [p for one in found for p in (*one.picks, *one.ambiguous)]
    assert len(used) == len({id(p) for p in used}) <= len(picks)
    for one in found:
        keys = [(p.trace_id, p.phase) for p in one.picks]
        assert len(keys) == len(set(keys))
        stations = {p: {q.trace_id for q in one.picks if q.phase == p} for p in "PS"}
        assert max(len(s) for s in stations.values()) >= 3 or stations["P"] & stations["S"]
    shuffled = sorted(picks, key=lambda _: rng.random())
    assert [times(one) for one in coincide(shuffled, table())] == [times(one) for one in found]


def test_a_faster_campaign_gets_a_tighter_rule() -> None:
    rule = Coincidence().for_time_scale(5.0)
    assert (rule.slack_s, rule.shortest_sp_s) == (0.1, 0.02)
    assert rule.slowest_km_s == Coincidence().slowest_km_s


def test_an_unknown_station_and_an_impossible_rule_are_refused() -> None:
    with pytest.raises(CampaignError, match=r"picks of XX\.E\. cannot be associated: table does not list"):
        coincide(event(0.0), table("ABCD"))
    for wrong in ({"fewest_stations": 1}, {"slack_s": -1.0}, {"longest_sp_s": 0.05}, {"slowest_km_s": (0.0, 1.0)}):
        with pytest.raises(PhasenoPeftError, match="cannot be a rule"):
            Coincidence(**wrong)  # type: ignore[arg-type]
