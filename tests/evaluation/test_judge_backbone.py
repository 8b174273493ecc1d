"""The benchmark that judges a backbone: its own arithmetic, on hand-made windows and on the records it reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from obspy import UTCDateTime

from benchmarks.judge_backbone import cross_fitted, degraded, joined, ncedc, only, ridgecrest, vertical_only
from phaseno_peft.campaign import normalise
from phaseno_peft.evaluation import score
from tests.evaluation.handmade_windows import SAMPLES, probability, window

AT = {"P": 0.3, "S": 0.3}


def test_joined_scores_are_those_of_all_windows_at_once() -> None:
    windows = [window({(0, "P"): [300], (1, "S"): [500]}), window({(1, "P"): [200]}), window(is_noise=True)]
    found = [probability({(0, "P"): [305], (1, "S"): [530]}), probability({(1, "P"): [900]}), probability()]
    whole = score(windows, found, AT)
    parts = joined(score(windows[:1], found[:1], AT), score(windows[1:], found[1:], AT))
    assert parts == whole
    assert (parts.phase("P").tp, parts.phase("P").fp, parts.phase("P").fn) == (1, 1, 1)


def test_each_half_is_picked_at_the_thresholds_of_the_other() -> None:
    """Even windows are right above 0.6 with false picks at 0.5; odd ones are right at 0.4."""
    even = window({(0, "P"): [300]}, stations=1), probability({(0, "P"): [300]}, stations=1, height=0.7)
    false = probability({(0, "P"): [800]}, stations=1, height=0.5)
    odd = window({(0, "P"): [300]}, stations=1), probability({(0, "P"): [300]}, stations=1, height=0.4)
    windows = [even[0], odd[0]] * 3
    found = [np.maximum(even[1], false), odd[1]] * 3
    scores = cross_fitted(windows, found).phase("P")
    assert (scores.tp, scores.fp, scores.fn) == (3, 3, 3)  # the wrong thresholds for either half, as it must be


def test_stations_are_chosen_with_their_labels() -> None:
    whole = window({(0, "P"): [300], (2, "S"): [500]}, stations=3)
    some = only(whole, [2, 1])
    assert some.station_ids == ("XX.S2.", "XX.S1.")
    assert [(x.station, x.phase, x.sample) for x in some.labels] == [(0, 1, 500.0)]


def test_added_noise_buries_arrivals_and_leaves_labels_and_gaps() -> None:
    rng = np.random.default_rng(0)
    x = 0.01 * rng.standard_normal((2, 3, SAMPLES))
    x[:, :, 500:520] += 5.0
    recorded = np.ones(x.shape, bool)
    recorded[0, :, :100] = False
    event = dataclasses.replace(window({(0, "P"): [500], (1, "P"): [500]}), waveforms=normalise(x, recorded))
    noise = dataclasses.replace(
        window(is_noise=True), waveforms=normalise(rng.standard_normal((2, 3, SAMPLES)), np.ones(x.shape, bool))
    )
    made = degraded(event, [noise], rng)
    assert made.labels == event.labels
    assert not made.waveforms[0, :, :100].any()
    before, after = (w.waveforms[1, 2] for w in (event, made))
    snr = [np.abs(t[500:520]).max() / t[:450].std() for t in (before, after)]
    assert snr[0] > 100
    assert 4 < snr[1] < 50
    assert (vertical_only(made).waveforms[:, 0] == made.waveforms[:, 2]).all()


def test_the_records_are_read_as_they_are_labelled(shared: Path) -> None:
    pytest.importorskip("h5py", reason="needs h5py")
    records = ncedc(shared / "data")
    assert len(records) == 25
    assert all([p.phase for p in r.picks] == ["P", "S"] for r in records)
    assert all(abs(r.picks[0].time - UTCDateTime(2000, 1, 1) - 30.0) < 1e-6 for r in records)  # its README
    windows, _ = ridgecrest(shared / "data")
    assert len(windows) == 18
    labels = [x for w in windows for x in w.labels]
    assert 0.1 < len(labels) / 1075 < 0.25  # of the hour's published picks, in its last 15 %
    assert all(0 <= x.sample <= 2999 for x in labels)
