"""Preprocessing campaign-v1: timing, gaps, sensors, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy import Stream

from phaseno_peft.campaign import Recording, Station, StationTable, prepare
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, pulse, table, trace

RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal(6000)


def delay_s(recording: Recording, peak_s: float) -> float:
    """Delay of the first station's Z against a pulse at `peak_s` after T0, high-passed at the grid's rate."""
    rate_hz = recording.rate_hz
    t = (recording.start - T0) + np.arange(recording.n_samples) / rate_hz
    corner_hz = rate_hz / 100.0
    sos = scipy.signal.butter(4, corner_hz, "highpass", fs=rate_hz, output="sos")
    reference = np.fft.rfft(scipy.signal.sosfilt(sos, pulse(t - peak_s)))
    found = np.fft.rfft(recording.samples[0, 2].astype(float))
    f = np.fft.rfftfreq(recording.n_samples, 1 / rate_hz)
    band = (f > 5) & (f < 12)
    phase = np.unwrap(np.angle(found[band] * np.conj(reference[band])))
    return float(-np.polyfit(2 * np.pi * f[band], phase, 1, w=np.abs(reference[band]))[0])


@settings(max_examples=40, deadline=None)
@given(
    rate_hz=st.sampled_from([80.0, 99.99, 100.0, 120.0, 125.0, 200.0, 250.0, 500.0, 1000.0]),
    start_s=st.floats(0, 0.05),
    peak_s=st.floats(8, 12),
    time_scale=st.sampled_from([1.0, 1.0, 0.8, 2.5]),
)
def test_a_pulse_stays_on_its_time_within_a_millisecond(rate_hz, start_s, peak_s, time_scale) -> None:
    if rate_hz < 80 * time_scale:
        rate_hz *= 4
    start = T0 + start_s
    t = (start - T0) + np.arange(round(20 * rate_hz)) / rate_hz
    on_grid = trace("S1", "HHZ", RNG.standard_normal(round(25 * rate_hz)), rate_hz)  # decides where the grid lies
    stream = Stream([trace("S0", "HHZ", 1e4 * pulse(t - peak_s), rate_hz, start), on_grid])
    recording = prepare(stream, table(), Preprocessing(time_scale=time_scale))
    assert recording.rate_hz == 100.0 * time_scale
    assert abs(delay_s(recording, peak_s)) < 1e-3


def test_forty_hertz_data_are_brought_up_to_a_hundred_with_the_pulse_in_place() -> None:
    t = np.arange(40 * 60) / 40.0
    recording = prepare(Stream([trace("S0", "HHZ", pulse(t - 20.003), 40.0)]), table())
    assert recording.rate_hz == 100.0
    assert abs(delay_s(recording, 20.003)) < 1.2e-3  # the filter's own phase at 40 Hz is 0.8 ms off that at 100 Hz


def test_plain_hundred_hertz_data_are_only_demeaned_and_filtered() -> None:
    recording = prepare(Stream([trace("S0", "HHZ", 5e5 + NOISE)]), table())
    sos = scipy.signal.butter(4, 1.0, "highpass", fs=100.0, output="sos")
    expected = scipy.signal.sosfilt(sos, NOISE - NOISE.mean())
    assert recording.n_samples == len(NOISE)
    np.testing.assert_allclose(recording.samples[0, 2, 500:], expected[500:], atol=1e-4)  # after the start has settled


def test_a_step_across_a_gap_rings_on_neither_side() -> None:
    stream = Stream([trace("S0", "HHZ", 1e6 + NOISE[:2000]), trace("S0", "HHZ", -3e6 + NOISE[2100:], start=T0 + 21)])
    recording = prepare(stream, table())
    assert np.abs(recording.samples).max() < 6.0
    assert not recording.recorded[0, 2, 2000:2100].any()
    assert recording.recorded[0, 2].sum() == 5900
    assert (recording.samples[~recording.recorded] == 0).all()


@settings(max_examples=25, deadline=None)
@given(
    rate_hz=st.sampled_from([50.0, 100.0, 250.0]),
    gaps=st.lists(st.tuples(st.integers(0, 1900), st.integers(1, 90)), max_size=4),
    how=st.sampled_from(["masked", "nan", "segments"]),
)
def test_exactly_the_recorded_samples_count_as_recorded(rate_hz, gaps, how) -> None:
    n = round(20 * rate_hz)
    samples = RNG.standard_normal(n)
    missing = np.zeros(n, bool)
    for first, length in gaps:
        missing[round(first / 2000 * n) :][:length] = True
    missing[:3] = missing[-3:] = False
    other = trace("S1", "HHZ", RNG.standard_normal(n), rate_hz)
    if how == "masked":
        stream = Stream([trace("S0", "HHZ", samples, rate_hz), other])
        stream[0].data = np.ma.masked_array(samples, mask=missing)
    elif how == "nan":
        stream = Stream([trace("S0", "HHZ", np.where(missing, np.nan, samples), rate_hz), other])
    else:
        masked = trace("S0", "HHZ", samples, rate_hz)
        masked.data = np.ma.masked_array(samples, mask=missing)
        stream = Stream([*Stream([masked]).split(), other])
    recording = prepare(stream, table())
    # A grid point is recorded where it lies between two neighbouring recorded raw samples.
    t = np.arange(recording.n_samples) / 100.0 * rate_hz
    low, high = np.floor(t + 1e-6).astype(int), np.ceil(t - 1e-6).astype(int)
    good = ~missing
    lone = good & ~np.concatenate([[False], good[:-1]]) & ~np.concatenate([good[1:], [False]])
    good &= ~lone  # a single sample between gaps has no mean and is not kept
    np.testing.assert_array_equal(recording.recorded[0, 2], good[low] & good[np.minimum(high, n - 1)])
    assert np.isfinite(recording.samples).all()
    assert recording.recorded[1, 2].all()  # one broken trace does not blank the network


def test_where_segments_overlap_the_first_stays() -> None:
    stream = Stream(
        [trace("S0", "HHZ", NOISE[:3000]), trace("S0", "HHZ", np.r_[9 + NOISE[2000:3000], NOISE[3000:]], start=T0 + 20)]
    )
    whole = prepare(Stream([trace("S0", "HHZ", NOISE)]), table())
    np.testing.assert_array_equal(prepare(stream, table()).samples, whole.samples)


def test_a_late_station_starts_late_and_leaves_the_others_alone() -> None:
    late = trace("S1", "HHZ", NOISE[:3000], start=T0 + 25.004)
    alone = prepare(Stream([trace("S0", "HHZ", NOISE)]), table())
    both = prepare(Stream([trace("S0", "HHZ", NOISE), late]), table())
    np.testing.assert_array_equal(both.samples[0], alone.samples[0])
    assert np.flatnonzero(both.recorded[1, 2])[0] == 2501  # the first grid point at or after 25.004 s
    assert both.station_ids == ("XX.S0.", "XX.S1.")


def test_the_callers_stream_is_left_as_it_was() -> None:
    stream = Stream([trace("S0", "HHZ", NOISE[:3000].astype(np.float32), 250.0)])
    before = stream.copy()
    prepare(stream, table())
    assert stream == before
    np.testing.assert_array_equal(stream[0].data, before[0].data)


def test_counts_and_metres_per_second_give_the_same_up_to_the_factor() -> None:
    counts = prepare(Stream([trace("S0", "HHZ", NOISE, 125.0)]), table()).samples
    metres = prepare(Stream([trace("S0", "HHZ", 1e-9 * NOISE, 125.0)]), table()).samples
    np.testing.assert_allclose(metres * 1e9, counts, rtol=1e-4, atol=1e-5)


def as_vertical(stream: Stream) -> Stream:
    """The same samples under a code that says Z."""
    renamed = stream.copy()
    for one in renamed:
        one.stats.channel = "HHZ"
    return renamed


def sensor(codes: str, location: str = "", dead: str = "") -> list:
    return [
        trace("S0", code, np.full(6000, 7.0) if code in dead.split() else RNG.standard_normal(6000), location=location)
        for code in codes.split()
    ]


@pytest.mark.parametrize(
    ("codes", "dead", "components", "used"),
    [
        ("HHE HHN HHZ", "", "ENZ", ("HHE", "HHN", "HHZ")),
        ("EH1 EH2 EHZ", "", "ENZ", ("EH2", "EH1", "EHZ")),
        ("SH1 SH2 SH3", "", "ENZ", ("SH3", "SH2", "SH1")),
        ("SHE SHN SHZ SH1 SH2 SH3", "SHE SHN SHZ", "ENZ", ("SH3", "SH2", "SH1")),
        ("SHE SHN SHZ SH1 SH2 SH3", "", "ENZ", ("SHE", "SHN", "SHZ")),
        ("ENE ENN ENZ HHE HHN HHZ", "", "ENZ", ("HHE", "HHN", "HHZ")),
        ("HNE HNN HNZ HHZ", "", "ENZ", ("HNE", "HNN", "HNZ")),
        ("HHE HHN HHZ", "HHE", "NZ", (None, "HHN", "HHZ")),
        ("EHZ", "", "Z", (None, None, "EHZ")),
        ("hhe hhn hhz", "", "ENZ", ("hhe", "hhn", "hhz")),
    ],
)
def test_the_most_complete_living_sensor_is_used_in_e_n_z_order(codes, dead, components, used) -> None:
    stream = Stream(sensor(codes, dead=dead))
    recording = prepare(stream, table())
    assert recording.components == (components,)
    for slot, code in enumerate(used):
        if code is not None:
            alone = prepare(as_vertical(stream.select(channel=code)), table()).samples[0]
            np.testing.assert_array_equal(recording.samples[0, slot], alone[alone.any(-1)][0])


def test_the_inventorys_dip_and_azimuth_find_the_directions() -> None:
    stations = StationTable(
        [Station("XX.S0.", 0, 0, 0)],
        {"XX.S0..SH1": (100.0, 0.0), "XX.S0..SH2": (0.0, -90.0), "XX.S0..SH3": (10.0, 2.0)},
    )
    stream = Stream(sensor("SH1 SH2 SH3"))
    recording = prepare(stream, stations)
    assert not recording.findings
    for slot, i in enumerate((0, 2, 1)):  # SH1 points east, SH3 north, SH2 up
        np.testing.assert_array_equal(
            recording.samples[0, slot], prepare(as_vertical(stream[i : i + 1]), table()).samples.sum((0, 1))
        )


def test_assumed_directions_dropped_sensors_and_dead_channels_are_told() -> None:
    texts = [f.text for f in prepare(Stream(sensor("SH1 SH2 SH3 HNZ", dead="SH2")), table()).findings]
    assert any("SH2 is constant" in t for t in texts)
    assert any("SH1, SH3 have no dip" in t for t in texts)
    assert any("HNZ left out" in t for t in texts)


def test_a_location_code_the_inventory_does_not_have_is_forgiven() -> None:
    recording = prepare(Stream([*sensor("HHE HHN HHZ", "00"), *sensor("HHZ", "10")]), table())
    assert recording.station_ids == ("XX.S0.",)
    assert recording.components == ("ENZ",)


def test_clipped_traces_are_kept_and_told() -> None:
    clipped = np.clip(1000 * NOISE, -1500, 1500).astype(np.int32)
    clipped = np.repeat(clipped, 4)  # plateaus of four samples
    recording = prepare(Stream([trace("S0", "HHZ", clipped)]), table())
    assert any("clipped" in f.text for f in recording.findings)
    assert recording.recorded.any()
    coarse = np.repeat(np.round(NOISE).astype(np.int32), 4)  # a few counts only: no saturation
    assert not prepare(Stream([trace("S0", "HHZ", coarse)]), table()).findings


def test_a_gap_filled_with_a_constant_is_a_gap() -> None:
    filled = NOISE.copy()
    filled[2000:2500] = filled[1999]
    recording = prepare(Stream([trace("S0", "HHZ", filled)]), table())
    assert not recording.recorded[0, 2, 2000:2500].any()
    assert any("stands still" in f.text for f in recording.findings)
    spike = np.zeros(6000)
    spike[3000] = 1.0  # mostly zeros: a made-up record, not gaps
    assert prepare(Stream([trace("S0", "HHZ", spike)]), table()).recorded[0, 2].all()


def test_slow_and_text_channels_do_not_disturb() -> None:
    log = trace("S0", "LOG", np.frombuffer(b"state of health", "S1"))
    log.stats.__dict__["sampling_rate"] = 0.0
    recording = prepare(Stream([*sensor("HHE HHN HHZ"), trace("S0", "LHZ", NOISE[:60], 1.0), log]), table())
    assert recording.components == ("ENZ",)


def test_streams_that_cannot_be_used_are_refused_in_words() -> None:
    with pytest.raises(CampaignError, match="the stream is empty"):
        prepare(Stream(), table())
    with pytest.raises(CampaignError, match=r"The traces are XX\.ZZ\.; the stations are XX\.S0\., XX\.S1\."):
        prepare(Stream([trace("ZZ", "HHZ", NOISE)]), table())
    with pytest.raises(CampaignError, match="every trace is constant"):
        prepare(Stream([trace("S0", "HHZ", np.ones(500))]), table())
    with pytest.raises(CampaignError, match="do not make one recording"):
        prepare(Stream([trace("S0", "HHZ", NOISE), trace("S0", "HHZ", NOISE, start=T0 + 1e9)]), table())
    broken = trace("S0", "HHZ", NOISE)
    broken.stats.__dict__["sampling_rate"] = 0.0
    with pytest.raises(CampaignError, match=r"XX\.S0\.\.HHZ are left out: their sampling rate is 0\.0 Hz"):
        prepare(Stream([broken]), table())


def test_a_slice_shares_samples_and_knows_its_place() -> None:
    recording = prepare(Stream([trace("S0", "HHZ", NOISE)]), table())
    piece = recording.slice(1000, 2500).slice(100, 200)
    assert piece.start == T0 + 11.0
    assert piece.first_sample == 1100
    assert piece.index_of(T0 + 11.255) == pytest.approx(25.5)
    assert np.shares_memory(piece.samples, recording.samples)
    assert recording.end == T0 + 60.0
    with pytest.raises(CampaignError, match="slice 5000:7000"):
        recording.slice(5000, 7000)
