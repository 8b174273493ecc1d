"""From a raw window to network input: which arrivals are labels, and what is not known."""

from __future__ import annotations

import dataclasses

import numpy as np

from phaseno_peft.campaign.raw_window import Arrival, RawWindow, as_window

N = 3000


def three_arrivals() -> RawWindow:
    """P at one station: a strong one, a weak one 0.5 s later, and a middling one far from both."""
    return RawWindow(
        kind="made",
        samples=np.random.default_rng(0).standard_normal((1, 3, N)),
        recorded=np.ones((1, 3, N), bool),
        coordinates_km=np.zeros((1, 2)),
        arrivals=(Arrival(0, 0, 1000.0, 20.0), Arrival(0, 0, 1050.0, 1.0), Arrival(0, 0, 2000.0, 2.0)),
        known=np.ones((1, 2, N), bool),
    )


def test_arrivals_from_the_weakest_ratio_on_are_labels_and_weaker_ones_are_masked() -> None:
    window = as_window(three_arrivals(), "a")
    assert [x.sample for x in window.labels] == [2000.0]
    assert not window.known[0, 0, 1050]
    assert window.targets[0, 0, 1000] == window.targets[0, 0, 2000] == 1.0
    assert window.targets[0, 0, 1050] == 0.0
    strict = as_window(dataclasses.replace(three_arrivals(), weakest_snr=3.0), "a")
    assert strict.labels == ()
    assert not strict.known[0, 0, 2000]
    assert strict.targets[0, 0, 2000] == 0.0


def test_a_label_beside_a_weaker_arrival_stays_where_it_is_asked_for() -> None:
    window = as_window(three_arrivals(), "a", masked_labels=True)
    assert [x.sample for x in window.labels] == [1000.0, 2000.0]
    assert not window.known[0, 0, 1000]
