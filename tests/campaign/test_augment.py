"""Augmentation changes the record and never the arrivals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phaseno_peft.campaign import Window, cut_window, prepare, read_catalogue
from phaseno_peft.campaign.augment import (
    Augmentation,
    compose,
    drop_components,
    drop_stations,
    flip_polarity,
    limit_stations,
    rotate_horizontals,
    superpose_noise,
)
from phaseno_peft.campaign.stretch import make_stretch
from phaseno_peft.contract import Frame, Preprocessing
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, catalog, network_picks, record, table


def made_up_windows() -> tuple[Window, Window]:
    stream = record(np.random.default_rng(0), [100.0], 200.0, T0)
    for tr in [*stream.select(station="S1", channel="HHE"), *stream.select(station="S1", channel="HHN")]:
        stream.remove(tr)
    for tr in stream.select(station="S2", channel="HHN"):
        stream.remove(tr)
    for tr in stream.select(station="S3"):
        tr.trim(T0 + 95.0)
    stretch = make_stretch(prepare(stream, table()), read_catalogue(catalog([network_picks(T0 + 100)])).picks)
    frame = Frame(0.15, 10.0)
    return cut_window(stretch, 9000, frame, Preprocessing()), cut_window(stretch, 1000, frame, Preprocessing())


WINDOW, NOISE = made_up_windows()
SEEDS = st.integers(0, 2**31)


def labels_by_station(window: Window) -> dict[tuple[str, int], float]:
    return {(window.station_ids[x.station], x.phase): x.sample for x in window.labels}


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_labels_targets_and_masks_stay_with_their_station(seed: int) -> None:
    always = Augmentation(1.0, 1.0, 1.0, 1.0, 1.0)
    before = {k: v.copy() for k, v in vars(WINDOW).items() if isinstance(v, np.ndarray)}
    result = compose(np.random.default_rng(seed), WINDOW, [NOISE], always)
    rows = [WINDOW.station_ids.index(s) for s in result.station_ids]
    np.testing.assert_array_equal(result.targets, WINDOW.targets[rows])
    np.testing.assert_array_equal(result.known, WINDOW.known[rows])
    np.testing.assert_array_equal(result.coordinates, WINDOW.coordinates[rows])
    expected = {k: v for k, v in labels_by_station(WINDOW).items() if k[0] in result.station_ids}
    assert labels_by_station(result) == expected
    assert len(result.labels) >= 1
    assert result.waveforms.dtype == np.float32
    assert np.isfinite(result.waveforms).all()
    assert result.waveforms.any(-1).any(-1).all()  # no station died
    lost = (WINDOW.waveforms == 0)[rows].all(1) & (result.waveforms != 0).any(1)
    assert not lost.any()  # what no component recorded stays unrecorded
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(WINDOW, name), array)


def test_the_same_generator_state_gives_the_same_window() -> None:
    a, b = (compose(np.random.default_rng(7), WINDOW, [NOISE]) for _ in range(2))
    np.testing.assert_array_equal(a.waveforms, b.waveforms)
    assert a.station_ids == b.station_ids


def test_polarity_turns_whole_stations() -> None:
    flipped = flip_polarity(np.random.default_rng(0), WINDOW).waveforms
    signs = [np.allclose(a, b) - np.allclose(a, -b) for a, b in zip(flipped, WINDOW.waveforms, strict=True)]
    assert set(signs) == {1, -1}


def test_rotation_turns_pairs_by_one_azimuth_and_spares_incomplete_stations() -> None:
    rotated = rotate_horizontals(np.random.default_rng(3), WINDOW).waveforms
    np.testing.assert_array_equal(rotated[1], WINDOW.waveforms[1])  # S1 has one trace in all slots
    np.testing.assert_array_equal(rotated[2], WINDOW.waveforms[2])  # S2 has no N
    np.testing.assert_allclose(rotated[:, 2], WINDOW.waveforms[:, 2], atol=1e-6)
    azimuth = np.random.default_rng(3).uniform(0, 2 * np.pi)
    e, n = WINDOW.waveforms[0, :2]
    assert np.corrcoef(rotated[0, 0], np.cos(azimuth) * e + np.sin(azimuth) * n)[0, 1] > 0.9999
    assert np.corrcoef(rotated[0, 1], np.cos(azimuth) * n - np.sin(azimuth) * e)[0, 1] > 0.9999
    assert rotated[0, :2].std(-1) == pytest.approx([0.1, 0.1], rel=1e-3)


def test_labels_on_peaks_or_troughs_keep_the_sign_of_what_they_sit_on() -> None:
    east = WINDOW.waveforms[:, :1]
    linear = np.concatenate([east, 0.2 * east, WINDOW.waveforms[:, 2:]], axis=1)
    motion = dataclasses.replace(WINDOW, waveforms=linear)
    for seed in range(40):
        chances = Augmentation(1.0, 1.0, 0.0, 0.0, 0.0, keeps_polarity=True)
        kept = compose(np.random.default_rng(seed), motion, [], chances).waveforms
        np.testing.assert_allclose(kept[:, 2], motion.waveforms[:, 2], atol=1e-6)
        assert np.sum(kept[0, 0] * motion.waveforms[0, 0]) > 0
    reversed_east = [
        np.sum(rotate_horizontals(np.random.default_rng(seed), motion).waveforms[0, 0] * motion.waveforms[0, 0]) < 0
        for seed in range(40)
    ]
    assert 10 < sum(reversed_east) < 30


def test_noise_lowers_the_signal_to_noise_ratio_and_keeps_single_traces_single() -> None:
    rng = np.random.default_rng(1)
    noise = dataclasses.replace(NOISE, waveforms=0.1 * rng.standard_normal(NOISE.waveforms.shape).astype(np.float32))
    noisy = superpose_noise(rng, WINDOW, noise)
    np.testing.assert_array_equal(noisy.waveforms[1, 0], noisy.waveforms[1, 2])
    before_p = slice(0, 900)
    assert noisy.waveforms[0, 2, before_p].std() > 1.2 * WINDOW.waveforms[0, 2, before_p].std()
    assert noisy.waveforms[0, 2].std() == pytest.approx(0.1, rel=1e-3)
    with pytest.raises(CampaignError, match="holds an event"):
        superpose_noise(np.random.default_rng(0), WINDOW, WINDOW)


@given(SEEDS)
def test_a_station_with_a_label_is_left(seed: int) -> None:
    result = drop_stations(np.random.default_rng(seed), WINDOW, part=0.95)
    assert result.labels
    assert drop_stations(np.random.default_rng(seed), NOISE, part=0.95).station_ids


def test_dropped_components_leave_one_trace_in_all_slots_or_a_zero_slot() -> None:
    for seed in range(20):
        result = drop_components(np.random.default_rng(seed), WINDOW, part=1.0).waveforms
        living = result[0].any(-1).sum()
        assert living == 2 or (result[0] == WINDOW.waveforms[0, 2]).all()
        np.testing.assert_array_equal(result[2], WINDOW.waveforms[2])  # already incomplete


def test_without_noise_windows_and_with_all_chances_zero_nothing_changes() -> None:
    result = compose(np.random.default_rng(0), WINDOW, [], Augmentation(0, 0, 0, 0, 0))
    np.testing.assert_array_equal(result.waveforms, WINDOW.waveforms)
    assert dataclasses.astuple(Augmentation())[2] == 0.5
    with pytest.raises(CampaignError, match="`noise` should be a probability but is 2"):
        Augmentation(noise=2.0)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_limiting_stations_keeps_labelled_ones_first(most: int) -> None:
    few = limit_stations(np.random.default_rng(most), WINDOW, most)
    labelled = {station for station, _ in labels_by_station(WINDOW)}
    assert len(few.station_ids) == most
    assert len(set(few.station_ids) & labelled) == min(most, len(labelled))
    expected = {k: v for k, v in labels_by_station(WINDOW).items() if k[0] in few.station_ids}
    assert labels_by_station(few) == expected
    assert limit_stations(np.random.default_rng(0), WINDOW, len(WINDOW.station_ids)) is WINDOW
