"""Triangles, what is known, and the offset of a catalogue's picks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phaseno_peft.campaign import (
    Campaign,
    Stretch,
    known_samples,
    measure_label_offset,
    prepare,
    read_catalogue,
    suggest_convention,
    triangles,
)
from phaseno_peft.contract import LabelOffset
from tests.campaign.synthetic_network import T0, catalog, network_picks, record, table


@given(st.lists(st.floats(-100, 3100), max_size=5))
def test_targets_are_triangles_of_base_forty_samples_and_the_largest_wins(arrivals: list[float]) -> None:
    t = np.arange(3000)
    expected = np.zeros(3000)
    for arrival in arrivals:
        expected = np.maximum(expected, np.maximum(0, 1 - np.abs(t - arrival) / 20))  # golden/README.md, loss
    np.testing.assert_allclose(triangles(arrivals, 3000), expected, atol=1e-7)


def test_a_labelled_station_phase_is_known_everywhere() -> None:
    assert known_samples(3000, [700.0], [], []).all()


def test_nothing_is_known_within_a_second_of_a_doubtful_pick() -> None:
    known = known_samples(3000, [700.0], [1500.5], [])
    np.testing.assert_array_equal(np.flatnonzero(~known), np.arange(1401, 1601))


def test_without_a_label_noise_is_known_until_a_second_before_the_first_pick() -> None:
    known = known_samples(3000, [], [], [(1000.0, 1300.0)])
    np.testing.assert_array_equal(np.flatnonzero(~known), np.arange(900, 3000))


def test_beside_another_events_label_the_unlabelled_event_is_unknown_only_while_it_lasts() -> None:
    # picks at 1000 to 1300 samples, over at 1300 + max(200, 300); the own label at 1100 stays known with its triangle
    known = known_samples(3000, [1100.0], [], [(1000.0, 1300.0)])
    unknown = set(range(900, 1601)) - set(range(1080, 1121))
    assert set(np.flatnonzero(~known)) == unknown


def test_an_event_just_before_the_window_leaves_its_beginning_unknown() -> None:
    known = known_samples(3000, [], [], [(-300.0, -50.0)])
    np.testing.assert_array_equal(np.flatnonzero(~known), np.arange(0, 201))
    assert known_samples(3000, [], [], [(-900.0, -600.0)]).all()


def test_a_pick_just_outside_the_window_is_neither_label_nor_noise() -> None:
    known = known_samples(3000, [-5.0], [], [])
    np.testing.assert_array_equal(np.flatnonzero(~known), np.arange(0, 96))


def stretch_with_shifted_picks(shift_s: float) -> Stretch:
    rng = np.random.default_rng(1)
    recording = prepare(record(rng, [30.0, 60.0, 90.0], 120.0, T0), table())
    events = [[*network_picks(T0 + onset)] for onset in (30.0, 60.0, 90.0)]
    picks = tuple(dataclasses.replace(p, time=p.time + shift_s) for p in read_catalogue(catalog(events)).picks)
    return Stretch(recording, picks, ("0", "1", "2"))


@pytest.mark.parametrize(("shift_s", "convention"), [(0.0, "onset"), (-0.11, "unknown"), (0.06, "unknown")])
def test_the_offset_of_shifted_picks_is_found(shift_s: float, convention: str) -> None:
    for offset in measure_label_offset([stretch_with_shifted_picks(shift_s)]).values():
        assert offset.n >= 8
        assert offset.median_s == pytest.approx(-shift_s, abs=0.01)  # one sample
        assert suggest_convention(offset) == convention


def test_without_clear_arrivals_there_is_no_offset() -> None:
    rng = np.random.default_rng(2)
    recording = prepare(record(rng, [], 120.0, T0), table())
    stretch = dataclasses.replace(stretch_with_shifted_picks(0.0), recording=recording)
    offsets = measure_label_offset([stretch])
    assert offsets["P"].n <= 1  # noise passes the test once in a while
    assert suggest_convention(LabelOffset(0, None, None)) == "unknown"


def test_the_early_picks_of_the_alpine_fault_are_measured(shared) -> None:
    folder = shared / "data" / "campaigns" / "samba-nz"
    campaign = Campaign.read(folder / "waveforms", folder / "stations.xml", folder / "picks.xml")
    for offset in measure_label_offset(campaign.stretches()).values():
        assert offset.n > 50
        assert 0.09 < offset.median_s < 0.13  # 0.112 and 0.113 s in the README of samba-nz
    assert sum("early of the onsets" in f.text for f in campaign.findings) == 2
