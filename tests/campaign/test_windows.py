"""Windows: normalisation, labels on their sample, fixed windows and the training sampler."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from obspy import Stream

from phaseno_peft.campaign import (
    Stretch,
    WindowSampler,
    cut_window,
    fixed_windows,
    further_noise_windows,
    noise_intervals,
    normalise,
    prepare,
    read_catalogue,
)
from phaseno_peft.campaign.labels import EVENT_TAIL_SAMPLES, HALF_BASE_SAMPLES, NEIGHBOURHOOD_SAMPLES
from phaseno_peft.campaign.stretch import make_stretch
from phaseno_peft.campaign.windows import recorded_hours
from phaseno_peft.contract import Frame, Preprocessing
from tests.campaign.synthetic_network import T0, catalog, network_picks, pick, record, table, trace

FRAME, PREPROCESSING = Frame(0.15, 10.0), Preprocessing()
RNG = np.random.default_rng(0)


def quiet_stretch(events_s: list[float], duration_s: float = 200.0, **changes: object) -> Stretch:
    recording = prepare(record(np.random.default_rng(3), events_s, duration_s, T0), table(), name="rec")
    events = [network_picks(T0 + onset) for onset in events_s]
    picks = read_catalogue(catalog(events)).picks if events else ()
    return dataclasses.replace(make_stretch(recording, picks), **changes)


ONE = quiet_stretch([100.0])
TWO = quiet_stretch([100.0, 100.7])
BARE = quiet_stretch([])


def test_a_trace_is_scaled_to_a_tenth_over_its_recorded_samples() -> None:
    samples = RNG.normal(5.0, 3.0, (2, 3, 3000)).astype(np.float32)
    recorded = np.ones(samples.shape, bool)
    recorded[0, 1, 1000:] = False
    waveforms = normalise(samples, recorded)
    x = samples[0, 1, :1000].astype(float)
    np.testing.assert_allclose(waveforms[0, 1, :1000], (x - x.mean()) / x.std() / 10, atol=1e-5)
    assert (waveforms[0, 1, 1000:] == 0).all()
    assert waveforms.dtype == np.float32


@given(exponent=st.floats(-30, 12))
def test_normalisation_does_not_see_the_unit(exponent: float) -> None:
    samples = np.random.default_rng(1).standard_normal((1, 3, 500))
    recorded = np.ones(samples.shape, bool)
    np.testing.assert_allclose(normalise(samples * 10.0**exponent, recorded), normalise(samples, recorded), atol=1e-6)


def test_one_component_fills_all_slots_and_two_leave_the_third_empty() -> None:
    samples = RNG.standard_normal((3, 3, 3000)).astype(np.float32)
    recorded = np.ones(samples.shape, bool)
    recorded[0, :2] = False
    recorded[1, 1] = False
    samples[2] = 0.0  # dead
    waveforms = normalise(samples, recorded)
    np.testing.assert_array_equal(waveforms[0, 0], waveforms[0, 2])
    np.testing.assert_array_equal(waveforms[0, 1], waveforms[0, 2])
    assert waveforms[0].any()
    assert not waveforms[1, 1].any()
    assert (waveforms[1, [0, 2]].std(-1) > 0.09).all()
    assert not waveforms[2].any()


@settings(max_examples=30, deadline=None)
@given(
    rate_hz=st.sampled_from([100.0, 200.0, 250.0, 99.99]),
    start_s=st.floats(0, 0.1),
    first=st.integers(-500, 1900),
    into_s=st.floats(6.0, 29.0),
)
def test_labels_land_on_the_arrival_after_resampling(rate_hz, start_s, first, into_s) -> None:
    n, spike_s = round(60 * rate_hz), first / 100 + into_s
    samples = 1e-3 * np.random.default_rng(0).standard_normal(n)
    raw = round((spike_s - start_s) * rate_hz)
    samples[raw] = 1e3
    arrival = T0 + start_s + raw / rate_hz
    stream = Stream([trace("S0", "HHZ", samples, rate_hz, T0 + start_s)])
    picks = read_catalogue(catalog([[pick("S0", "P", arrival)]])).picks
    window = cut_window(make_stretch(prepare(stream, table()), picks), first, FRAME, PREPROCESSING)
    (label,) = window.labels
    # The largest sample lies within half a sample; the target's and the label's too.
    assert abs(np.argmax(np.abs(window.waveforms[0, 2])) - label.sample) <= 0.51
    assert abs(int(np.argmax(window.targets[0, 0])) - label.sample) <= 0.51
    assert (window.start + label.sample / window.rate_hz) - arrival == pytest.approx(0.0, abs=1e-6)


def test_time_scale_puts_labels_on_the_scaled_sample() -> None:
    preprocessing = Preprocessing(time_scale=2.0)
    stream = Stream([trace("S0", "HHZ", RNG.standard_normal(60 * 500), 500.0)])
    picks = read_catalogue(catalog([[pick("S0", "S", T0 + 20.0)]])).picks
    stretch = make_stretch(prepare(stream, table(), preprocessing), picks)
    window = cut_window(stretch, 2000, FRAME, preprocessing)
    assert window.rate_hz == 200.0
    assert window.waveforms.shape == (1, 3, 3000)
    assert window.labels[0].sample == pytest.approx(2000.0)
    assert np.count_nonzero(window.targets[0, 1]) == 39  # 0.4 s of the network's time, ends excluded


def test_a_window_past_the_ends_is_padded_with_zeros() -> None:
    before, after = cut_window(ONE, -1000, FRAME, PREPROCESSING), cut_window(ONE, 19000, FRAME, PREPROCESSING)
    assert not before.waveforms[..., :1000].any()
    assert before.waveforms[..., 1000:].all(-1).mean() > 0.9
    assert not after.waveforms[..., 1000:].any()
    assert before.start == T0 - 10.0
    short = quiet_stretch([5.0], 12.0)
    assert cut_window(short, 0, FRAME, PREPROCESSING).waveforms.shape == (4, 3, 3000)


def test_only_stations_that_live_in_the_window_are_in_it() -> None:
    stream = record(np.random.default_rng(0), [], 100.0, T0)
    for tr in stream.select(station="S2"):
        tr.trim(T0 + 50)
    stretch = make_stretch(prepare(stream, table()), ())
    assert cut_window(stretch, 0, FRAME, PREPROCESSING).station_ids == ("XX.S0.", "XX.S1.", "XX.S3.")
    late = cut_window(stretch, 4000, FRAME, PREPROCESSING)
    assert len(late.station_ids) == 4
    assert late.coordinates.shape == (4, 2)
    assert late.targets.shape == late.known.shape == (4, 2, 3000)


def test_a_label_in_a_gap_is_no_label_and_its_neighbourhood_unknown() -> None:
    stream = record(np.random.default_rng(0), [], 100.0, T0)
    for tr in stream.select(station="S0"):
        tr.data = np.ma.masked_array(tr.data, mask=np.zeros(len(tr.data), bool))
        tr.data[4000:4200] = np.ma.masked
    picks = read_catalogue(catalog([[pick("S0", "P", T0 + 41.0)]])).picks
    window = cut_window(make_stretch(prepare(stream, table()), picks), 3000, FRAME, PREPROCESSING)
    assert not window.labels
    assert not window.targets.any()
    assert not window.known[0, 0, 1000:1201].any()
    assert not window.is_noise


def test_unlabelled_station_phases_are_unknown_unless_the_catalogue_is_complete() -> None:
    picks = tuple(p for p in ONE.picks if p.station_id != "XX.S3.")
    window = cut_window(dataclasses.replace(ONE, picks=picks), 9000, FRAME, PREPROCESSING)
    assert window.known[:3].all()
    np.testing.assert_array_equal(np.flatnonzero(~window.known[3, 0]), np.arange(900, 3000))
    complete = cut_window(dataclasses.replace(ONE, picks=picks, complete="event"), 9000, FRAME, PREPROCESSING)
    assert complete.known.all()


def test_a_missing_phase_is_absent_where_the_station_is_complete_and_its_other_phase_is_picked() -> None:
    """XX.S3. has no pick of the event, XX.S2. only its P."""
    picks = tuple(p for p in ONE.picks if p.station_id != "XX.S3." and (p.station_id, p.phase) != ("XX.S2.", "S"))
    known = {
        complete: cut_window(
            dataclasses.replace(ONE, picks=picks, complete=complete), 9000, FRAME, PREPROCESSING
        ).known.all(axis=-1)
        for complete in ("no", "station", "event")
    }
    assert known["no"].tolist() == [[True, True], [True, True], [True, False], [False, False]]
    assert known["station"].tolist() == [[True, True], [True, True], [True, True], [False, False]]
    assert known["event"].all()


def test_noise_comes_from_the_times_that_are_given() -> None:
    # picks of ONE run from 100.0 to 101.6 s; without times its noise is 0 to 95 and 121.6 to 200 s
    def piece(begin_s: float, end_s: float) -> tuple[int, int]:
        return ((T0 + begin_s).ns, (T0 + end_s).ns)

    times = (piece(-50, 20), piece(60, 130), piece(150, 160), piece(170, 400))
    given = dataclasses.replace(ONE, noise_times=times)
    assert noise_intervals(given, PREPROCESSING) == [(0, 2000), (6000, 9500), (17000, 20000)]  # 150 to 160 s is short
    assert noise_intervals(dataclasses.replace(ONE, noise_times=()), PREPROCESSING) == []
    starts = [int(w.name.split("@")[1]) for w in fixed_windows([given], FRAME, PREPROCESSING, 0, 100) if w.is_noise]
    assert len(starts) == 3
    assert all(s == 0 or 6000 <= s <= 6500 or s == 17000 for s in starts)


@pytest.mark.parametrize("seed", range(3))
def test_further_noise_lies_beside_the_noise_of_the_fixed_windows_up_to_so_many_hours(seed: int) -> None:
    stretches = [ONE, BARE]
    fixed = fixed_windows(stretches, FRAME, PREPROCESSING, seed)
    noise = [w.name for w in fixed if w.is_noise]
    everything = further_noise_windows(stretches, FRAME, PREPROCESSING, seed, 1.0)
    assert all(w.is_noise for w in everything)
    assert sorted([*noise, *(w.name for w in everything)]) == sorted(
        w.name for w in fixed_windows(stretches, FRAME, PREPROCESSING, seed, 1e3) if w.is_noise
    )
    so_far = sum(recorded_hours(w) for w in fixed if w.is_noise)
    some = further_noise_windows(stretches, FRAME, PREPROCESSING, seed, so_far + 0.4 * PREPROCESSING.window_s / 3600)
    assert len(some) == 1  # 12 s were missing
    assert {w.name for w in some} <= {w.name for w in everything}
    assert further_noise_windows(stretches, FRAME, PREPROCESSING, seed, so_far) == []
    assert further_noise_windows(stretches, FRAME, PREPROCESSING, seed, 0.0) == []


def test_half_recorded_noise_counts_by_what_was_recorded() -> None:
    recording = BARE.recording
    recorded, samples = recording.recorded.copy(), recording.samples.copy()
    for first in range(0, recorded.shape[-1], 3000):  # of each window 20 s are missing at all stations
        recorded[..., first + 500 : first + 2500], samples[..., first + 500 : first + 2500] = False, 0.0
    holed = dataclasses.replace(BARE, recording=dataclasses.replace(recording, recorded=recorded, samples=samples))
    fixed = fixed_windows([ONE, holed], FRAME, PREPROCESSING, 0)
    held = [*(w for w in fixed if w.is_noise), *further_noise_windows([ONE, holed], FRAME, PREPROCESSING, 0, 1.0)]
    hours = 0.5 * sum(map(recorded_hours, held))
    both = [*(w for w in fixed if w.is_noise), *further_noise_windows([ONE, holed], FRAME, PREPROCESSING, 0, hours)]
    assert hours - 1e-9 <= sum(map(recorded_hours, both)) < hours + PREPROCESSING.window_s / 3600
    assert len(both) * PREPROCESSING.window_s / 3600 > 1.2 * hours  # by windows it would have stopped earlier


def test_noise_intervals_keep_five_seconds_before_and_twenty_after_the_picks() -> None:
    # picks of ONE run from 100.0 (P on S0) to 101.6 s (S on S3)
    assert noise_intervals(ONE, PREPROCESSING) == [(0, 9500), (12160, 20000)]
    assert noise_intervals(BARE, PREPROCESSING) == [(0, 20000)]


def test_an_event_window_holds_all_picks_a_second_from_its_ends() -> None:
    positions = set()
    for seed in range(20):
        (window,) = [w for w in fixed_windows([ONE], FRAME, PREPROCESSING, seed) if not w.is_noise]
        samples = [label.sample for label in window.labels]
        assert len(samples) == 8
        assert min(samples) >= 100
        assert max(samples) <= 2899
        positions.add(round(min(samples)))
    assert len(positions) > 15


def test_a_doublet_shares_one_window_with_all_labels() -> None:
    (window,) = [w for w in fixed_windows([TWO], FRAME, PREPROCESSING, 0) if not w.is_noise]
    assert len(window.labels) == 16
    assert {label.event_id for label in window.labels} == {"smi:local/event/0", "smi:local/event/1"}


def test_fixed_windows_are_the_same_for_the_same_seed_and_noise_does_not_overlap() -> None:
    windows = fixed_windows([ONE, BARE], FRAME, PREPROCESSING, 5, noise_per_event=100)
    again = fixed_windows([ONE, BARE], FRAME, PREPROCESSING, 5, noise_per_event=100)
    assert [w.name for w in windows] == [w.name for w in again]
    noise = [w for w in windows if w.is_noise]
    assert len(noise) == 3 + 2 + 6  # 95 s, 78.4 s and 200 s hold that many windows of 30 s
    for w in noise:
        assert not w.labels
        assert w.known.all()
        assert not w.targets.any()
    starts = {}
    for w in noise[:5]:
        starts.setdefault(w.name.split("@")[0], []).append(int(w.name.split("@")[1]))
    for places in starts.values():
        assert (np.diff(sorted(places)) >= 3000).all()
        assert all(s + 3000 <= 9500 or s >= 12160 for s in places)


def test_an_epoch_is_half_noise_balanced_and_repeatable() -> None:
    sampler = WindowSampler([ONE, TWO, BARE], FRAME, PREPROCESSING, seed=1)
    assert sampler.n_events == 3
    assert sampler.noise_s == pytest.approx(95 + 78.4 + 95 + 77.7 + 200, abs=0.1)
    first, second = sampler.epoch(24), sampler.epoch(24)
    assert len(first) == 24
    assert sum(w.is_noise for w in first) == 12
    assert [w.name for w in first] != [w.name for w in second]
    assert [w.name for w in sampler.epoch(24, number=0)] == [w.name for w in first]
    other = WindowSampler([ONE, TWO, BARE], FRAME, PREPROCESSING, seed=2)
    assert [w.name for w in other.epoch(24)] != [w.name for w in first]


def test_some_event_windows_cut_their_event_off() -> None:
    windows = WindowSampler([ONE], FRAME, PREPROCESSING, seed=0).epoch(400)
    events = [w for w in windows if not w.is_noise]
    partial = sum(len(w.labels) < 8 for w in events)
    assert 0 < partial < 0.25 * len(events)
    assert all(w.labels for w in events)


def test_without_noise_an_epoch_holds_events_and_without_events_noise() -> None:
    crowded = quiet_stretch([4.0], 15.0)
    assert not any(w.is_noise for w in WindowSampler([crowded], FRAME, PREPROCESSING, 0).epoch(6))
    assert all(w.is_noise for w in WindowSampler([BARE], FRAME, PREPROCESSING, 0).epoch(6))
    assert WindowSampler([], FRAME, PREPROCESSING, 0).epoch(6) == []


@settings(max_examples=40, deadline=None)
@given(first=st.integers(-2500, 19000))
@example(first=7001)  # a pick 70 samples behind the end, a label on the last sample
@example(first=6901)  # noise, and a pick one second behind the end
@example(first=10231)  # no label, but the tail of the last event
@example(first=10432)  # noise just behind that
def test_every_pick_on_the_window_is_a_label_and_nothing_else(first: int) -> None:
    window = cut_window(TWO, first, FRAME, PREPROCESSING)
    samples = {p.pick_id: TWO.recording.index_of(p.time) - first for p in TWO.picks}
    assert len(window.labels) == sum(0 <= s <= 2999 for s in samples.values())
    is_heard = any(
        -EVENT_TAIL_SAMPLES < s <= 2999 for s in samples.values()
    )  # neither event lasts longer than its tail
    assert window.is_noise == (not is_heard)
    time = np.arange(3000)
    known = np.ones_like(window.known)  # but within 1 s of a pick outside, labels excepted
    for p in TWO.picks:
        station, phase, sample = window.station_ids.index(p.station_id), "PS".index(p.phase), samples[p.pick_id]
        if not 0 <= sample <= 2999:
            known[station, phase] &= np.abs(time - sample) > NEIGHBOURHOOD_SAMPLES
    for label in window.labels:
        known[label.station, label.phase] |= np.abs(time - label.sample) <= HALF_BASE_SAMPLES
    np.testing.assert_array_equal(window.known, known)
    assert not (window.targets * ~window.known).any()
