"""Preprocessing upstream-v1: upstream's own numbers where they lie beside the project, its flaws pinned always."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from obspy import Stream, UTCDateTime
from safetensors.numpy import load_file

from phaseno_peft.campaign import Station, StationTable, merge_upstream, upstream_windows
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, table, trace

CENTER = (-117.6, 35.8)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="session")
def golden(shared: Path) -> dict[str, np.ndarray]:
    return load_file(shared / "golden" / "preprocessing.safetensors")


@pytest.fixture
def golden_stream(golden: dict[str, np.ndarray]) -> Stream:
    stream = Stream()
    for name, samples in golden.items():
        if name.startswith("raw."):
            _, station, channel, first = name.split(".")
            start = UTCDateTime("2019-07-06T08:00:00") + int(first) / 100
            stream += trace(station, channel, samples.astype(np.int32), 100.0, start)
            stream[-1].stats.network = "XX"
    return stream


@pytest.fixture
def golden_stations(shared: Path) -> StationTable:
    listed = json.loads((shared / "golden" / "preprocessing.json").read_text())["stream"]["stations"]
    return StationTable([Station(f"XX.{s['station']}.", s["latitude"], s["longitude"], 0.0) for s in listed])


def test_windows_graph_and_merging_equal_upstreams(
    golden: dict[str, np.ndarray], golden_stream: Stream, golden_stations: StationTable
) -> None:
    seen = upstream_windows(golden_stream, golden_stations, center=CENTER)
    assert list(seen.starts) == golden["window_starts"].tolist()
    assert np.array_equal(seen.coordinates, golden["station_coords"])
    assert np.array_equal(seen.edges, golden["edge_index"][:2])
    # Upstream's order of BBB's channels, all with gaps, hung on memory addresses: E, Z, N in this run.
    waveforms = seen.waveforms.copy()
    waveforms[:, 1] = waveforms[:, 1, [0, 2, 1]]
    assert np.array_equal(waveforms, golden["window_waveforms"])
    merged = merge_upstream(seen.starts, golden["window_probabilities"].astype(float))
    assert np.array_equal(merged, golden["merged_probabilities"])


def test_accelerometers_equal_upstreams(
    golden: dict[str, np.ndarray], golden_stream: Stream, golden_stations: StationTable
) -> None:
    seen = upstream_windows(golden_stream, golden_stations, center=CENTER, accelerometers=("XX.BBB.", "XX.CCC."))
    first = seen.waveforms[0].copy()
    assert np.abs(first - golden["acc.window0_waveforms"]).max() < 1e-6


def test_windows_begin_ten_milliseconds_late() -> None:
    samples = RNG.standard_normal(7000)
    seen = upstream_windows(Stream([trace("S0", "HHZ", samples, 100.0)]), table())
    assert seen.starts == (0, 2000, 4000, 6000)
    filtered = seen.recording.samples[0, 0].astype(float)
    part = filtered[2001:5001]
    assert np.allclose(seen.waveforms[1, 0, 0], (part - part.mean()) / (part.std() + 1e-6) / 10, atol=1e-6)
    assert np.array_equal(seen.waveforms[:, :, 0], seen.waveforms[:, :, 2])  # one component, three times


def test_a_component_with_a_gap_comes_first() -> None:
    pieces = [trace("S0", "HHN", RNG.standard_normal(n), 100.0, T0 + at) for n, at in ((2000, 0.0), (3000, 30.0))]
    others = [trace("S0", f"HH{c}", RNG.standard_normal(6000), 100.0) for c in "ZE"]
    seen = upstream_windows(Stream(pieces + others), table())
    assert seen.recording.components == ("NEZ",)


def test_the_stream_is_left_as_it_was() -> None:
    stream = Stream([trace("S0", "HHZ", RNG.standard_normal(4000), 100.0, T0)])
    before = stream.copy()
    upstream_windows(stream, table())
    assert stream == before


def test_what_upstream_could_not_take_is_refused() -> None:
    with pytest.raises(CampaignError, match="250 Hz, upstream-v1 takes 100 Hz"):
        upstream_windows(Stream([trace("S0", "HHZ", RNG.standard_normal(4000), 250.0)]), table())
    with pytest.raises(CampaignError, match="no trace of the stations"):
        upstream_windows(Stream([trace("NOPE", "HHZ", RNG.standard_normal(4000), 100.0)]), table())
    four = [trace("S0", code, RNG.standard_normal(4000), 100.0) for code in ("HHE", "HHN", "HHZ", "HNZ")]
    with pytest.raises(CampaignError, match="4 channels"):
        upstream_windows(Stream(four), table())
