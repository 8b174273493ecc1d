"""The benchmark that judges a backbone: its own arithmetic, on hand-made windows and on the records it reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from obspy import UTCDateTime

from benchmarks.judge_backbone import degraded, ncedc, only, ridgecrest, vertical_only
from phaseno_peft.campaign import normalise
from tests.evaluation.handmade_windows import SAMPLES, window


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
