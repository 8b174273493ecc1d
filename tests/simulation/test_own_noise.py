"""The user's own noise: reading, levels, joins, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy import Stream, Trace, UTCDateTime

from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation import read_own_noise, simulate_campaign, simulate_network_windows
from phaseno_peft.simulation.own_noise import cut_own_noise

START = UTCDateTime(2020, 1, 1)


def write(path: Path, rate_hz: float = 100.0, seconds: float = 40.0, channels: str = "ENZ") -> Path:
    """One station whose components hum at 5 Hz with amplitude 1000, on an offset, from staggered starts."""
    stream = Stream()
    for k, code in enumerate(channels):
        late = round(0.5 * k * rate_hz)
        t = (np.arange(round(seconds * rate_hz) - late) + late) / rate_hz
        samples = np.round(1000 * np.sin(2 * np.pi * 5 * t) + 5000).astype(np.int32)
        header = {"network": "XX", "station": "A", "channel": f"HH{code}", "sampling_rate": rate_hz}
        stream.append(Trace(samples, header | {"starttime": START + late / rate_hz}))
    stream.write(str(path), format="MSEED")
    return path


def test_components_are_cut_to_their_common_span_and_resampled(tmp_path: Path) -> None:
    (record,) = read_own_noise(write(tmp_path / "noise.mseed"), 250.0)
    assert record.shape[0] == 3
    assert record.shape[1] == pytest.approx(39 * 250, abs=3)
    middle = record[:, 1000:-1000]
    np.testing.assert_allclose(middle[0], middle[2], atol=30)  # the same hum at the same time
    assert np.abs(middle).max() == pytest.approx(1000, rel=0.03)
    assert np.abs(middle.mean(axis=-1)).max() < 20  # the offset is gone
    spectrum = np.abs(np.fft.rfft(middle[2]))
    assert np.argmax(spectrum) * 250 / middle.shape[1] == pytest.approx(5.0, abs=0.05)


def test_a_gap_makes_two_records_and_short_rests_are_left_out(tmp_path: Path) -> None:
    stream = obspy.read(write(tmp_path / "whole.mseed", seconds=60))
    z = stream.select(channel="HHZ")[0]
    gappy = stream.select(channel="HH[EN]") + Stream([z.slice(START, START + 25), z.slice(START + 30, START + 60)])
    (tmp_path / "folder").mkdir()
    gappy.write(str(tmp_path / "folder" / "gap.mseed"), format="MSEED")
    assert [round(r.shape[1] / 100) for r in read_own_noise(tmp_path / "folder", 100.0)] == [24, 30]


def test_numbered_horizontals_serve(tmp_path: Path) -> None:
    assert len(read_own_noise(write(tmp_path / "12.mseed", channels="12Z"), 100.0)) == 1


@pytest.mark.parametrize(
    ("changes", "seen"), [({"seconds": 8.0}, "is 7 s"), ({"channels": "Z"}, "is 0 s"), ({"rate_hz": 20.0}, "is 0 s")]
)
def test_what_cannot_serve_is_refused_with_what_was_seen(tmp_path: Path, changes: dict, seen: str) -> None:
    path = write(tmp_path / "noise.mseed", **changes)
    with pytest.raises(CampaignError, match=f"noise.mseed: holds no noise to use.*{seen}"):
        read_own_noise(path, 250.0)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="absent"):
        read_own_noise(tmp_path / "absent", 100.0)


def test_level_is_set_between_2_and_40_hz_whatever_the_microseism() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(6000) / 100
    local = rng.standard_normal((3, 6000))
    for swell in (0.0, 100.0):
        record = local + swell * np.sin(2 * np.pi * 0.15 * t)
        got = cut_own_noise(rng, [record], np.array([2e-7]), 3000, 100.0)[0]
        spectrum = np.abs(np.fft.rfft(got * np.hanning(3000), axis=-1)) ** 2
        f = np.fft.rfftfreq(3000, 0.01)
        inside = np.sqrt(2 * spectrum[:, (f > 2) & (f < 40)].sum(axis=-1).mean() / 3000 / np.sum(np.hanning(3000) ** 2))
        assert inside == pytest.approx(2e-7, rel=0.1)


def test_short_records_are_joined_without_steps_or_holes() -> None:
    rng = np.random.default_rng(1)
    record = rng.standard_normal((3, 1500))
    got = cut_own_noise(rng, [record], np.array([1.0]), 10_000, 100.0)[0]
    level = np.sqrt(np.mean(got.reshape(3, -1, 100) ** 2, axis=(0, 2)))  # each second
    assert level.min() > 0.6 * np.median(level)
    assert level.max() < 1.6 * np.median(level)


def test_a_campaign_on_own_noise_keeps_its_spectrum_and_has_false_triggers(tmp_path: Path) -> None:
    noise = read_own_noise(write(tmp_path / "noise.mseed", seconds=30), 250.0)
    made = simulate_campaign("ohio-frac", tmp_path / "made", seed=1, events=1, false_triggers=1, own_noise=noise)
    trace = obspy.read(made.waveforms / f"{made.events[0].stem}.mseed")[0]
    spectrum = np.abs(np.fft.rfft(trace.data[: 20 * 250]))
    assert np.argmax(spectrum[1:]) + 1 == 5 * 20
    assert len(made.false_triggers) == 1


def test_windows_refuse_dead_and_empty_noise() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(CampaignError, match="own_noise is empty"):
        simulate_network_windows(rng, None, 1, own_noise=[])
    with pytest.raises(CampaignError, match=r"own_noise\[1\] is constant"):
        simulate_network_windows(rng, None, 1, own_noise=[rng.standard_normal((3, 3000)), np.ones((3, 3000))])
