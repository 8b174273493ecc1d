"""Which codes are which components, what is asked for, and what traces under one id contradict each other in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from obspy import Stream, UTCDateTime

from phaseno_peft.campaign import StationTable, prepare, prepare_recordings
from phaseno_peft.campaign.channels import read_channel
from phaseno_peft.campaign.station import Station
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, table, trace

RNG = np.random.default_rng(1)
LOUDNESS = {"Z": 1.0, "N": 10.0, "E": 100.0}
"""Each direction has its own amplitude, so that a mixed-up component is seen."""


def stream_of(codes: dict[str, str], station: str = "S0") -> Stream:
    return Stream([trace(station, code, LOUDNESS[slot] * RNG.standard_normal(3000)) for slot, code in codes.items()])


@pytest.mark.parametrize(
    "codes",
    [
        "HHZ HHN HHE", "hhz hhn hhe", "Z N E", "HHZ HH1 HH2", "HHZ HH2 HH3", "HH1 HH2 HH3", "EH0 EH1 EH2", "0 1 2",
        "DP2 DP3 DP4", "UD NS EW", "UD1 NS1 EW1", "ud2 ns2 ew2", "HHZ HHY HHX", "HHZ HHR HHT", "U N E",
        "H_H_Z H_H_N H_H_E", "DPZ DPN DPE",
    ],
)  # fmt: skip
def test_known_families_are_read_by_their_convention(codes) -> None:
    recording = prepare(stream_of(dict(zip("ZNE", codes.split(), strict=True))), table())
    assert recording.components == ("ENZ",)
    e, n, z = recording.samples[0].std(-1)
    assert z < n / 5 < e / 25


@pytest.mark.parametrize(
    "codes",
    ["BHW BHV BHU", "BHA BHB BHC", "EH3 EH4 EH5", "EH1 EH2 EH0 EH3", "HH1 HH3", "HH2", "HDH", "BHZ00 BHN00", ""],
)
def test_unknown_and_ambiguous_codes_are_asked_for_and_cost_only_their_station(codes) -> None:
    stream = Stream([trace("S0", code, RNG.standard_normal(3000)) for code in (codes.split() or [""])])
    with pytest.raises(CampaignError, match=r"not known to be Z, N or E\. Say what they are with --channels, as in"):
        prepare(stream, table())
    recording = prepare(stream + stream_of(dict(zip("ZNE", ("HHZ", "HHN", "HHE"), strict=True)), "S1"), table())
    assert recording.station_ids == ("XX.S1.",)
    assert [f.severity for f in recording.findings if "--channels" in f.text] == ["warning"]


def test_a_missing_component_under_a_code_of_its_own_is_asked_for() -> None:
    """Geophones with channels V, H1 and H2 (obspy's Syscom reader, GFZ's short codes): V is no second sensor."""
    recording = prepare(stream_of({"Z": "V", "N": "H1", "E": "H2"}), table())
    assert recording.components == ("EN",)
    (finding,) = [f for f in recording.findings if f.severity == "warning"]
    assert finding.text.startswith("XX.S0.: 'V' left out, not known to be Z, N or E. Say what they are with --channels")


def test_a_dead_channel_still_decides_the_component_family() -> None:
    stream = stream_of({"Z": "EH0", "N": "EH1", "E": "EH2"})
    stream[0].data[:] = 3.0
    recording = prepare(stream, table())
    assert recording.components == ("EN",)
    assert recording.samples[0, 0].std() > 5 * recording.samples[0, 1].std()


def test_borehole_and_surface_sensors_of_kik_net_are_not_mixed() -> None:
    stream = stream_of({"Z": "UD1", "N": "NS1", "E": "EW1"}) + stream_of({"Z": "UD2", "N": "NS2", "E": "EW2"})
    (finding,) = (f.text for f in prepare(stream, table()).findings if "one sensor a station" in f.text)
    assert "EW1, NS1, UD1 used" in finding


def test_directions_of_unknown_component_codes_come_from_the_inventory() -> None:
    place = [Station("XX.S0.", 0, 0, 0)]
    stream = stream_of({"Z": "BHV", "N": "BHU", "E": "BHW"})
    known = {"XX.S0..BHV": (0.0, -90.0), "XX.S0..BHU": (5.0, 0.0), "XX.S0..BHW": (95.0, 0.0)}
    assert prepare(stream, StationTable(place, known)).components == ("ENZ",)
    inclined = {"XX.S0..BHV": (0.0, -35.3), "XX.S0..BHU": (120.0, -35.3), "XX.S0..BHW": (240.0, -35.3)}
    with pytest.raises(CampaignError, match="--channels"):
        prepare(stream, StationTable(place, inclined))


def test_a_dot_in_a_station_code_is_no_other_station() -> None:
    for codes in ("HHZ HHN HHE", "HHZ HH1 HH2"):
        named = stream_of(dict(zip("ZNE", codes.split(), strict=True)), "S0.1")
        recording = prepare(named + stream_of({"Z": "HHZ"}, "S1"), table())
        assert recording.station_ids == ("XX.S1.",)
        assert any("'S0.1' is no code, it holds a dot" in f.text for f in recording.findings)
        with pytest.raises(CampaignError, match="holds a dot"):
            prepare(named, table())


def test_other_samples_under_one_id_are_told_and_the_same_samples_are_not() -> None:
    x = RNG.standard_normal(3000)
    once = Stream([trace("S0", "HHZ", x)])
    assert not prepare(once + once.copy(), table()).findings
    part = Stream([trace("S0", "HHZ", x[1000:2000], start=T0 + 10)])
    assert not prepare(once + part, table()).findings
    other = Stream([trace("S0", "HHZ", x[::-1])])
    (finding,) = prepare(once + other, table()).findings
    assert finding.severity == "warning"
    assert "overlap under one id with different samples for 30 s" in finding.text
    np.testing.assert_array_equal(prepare(once + other, table()).samples, prepare(once, table()).samples)
    other[0].stats.sampling_rate = 50.0
    assert any("different samples" in f.text for f in prepare(once + other, table()).findings)


def test_three_traces_without_a_code_are_refused_as_a_conflict() -> None:
    stream = Stream([trace("S0", "", RNG.standard_normal(3000)) for _ in range(3)])
    with pytest.raises(CampaignError, match=r"not known to be Z, N or E.*overlap under one id with different samples"):
        prepare(stream, table())


def test_pieces_that_touch_are_joined_however_many() -> None:
    pieces = [trace("S0", "HHZ", np.arange(2.0), start=T0 + i * 0.02) for i in range(5000)]
    channel = read_channel("XX.S0..HHZ", pieces)
    assert [len(s.samples) for s in channel.segments] == [10_000]


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, np.nan, np.inf, 1e12])
def test_a_bad_trace_costs_only_itself(rate_hz) -> None:
    good = stream_of({"Z": "HHZ", "N": "HHN", "E": "HHE"})
    bad = trace("S0", "SOH", np.arange(40.0))
    bad.stats.__dict__["sampling_rate"] = rate_hz
    late, empty = trace("S1", "HHZ", np.arange(40.0)), trace("S1", "HHN", np.zeros(0))
    late.stats.starttime += 4e9
    never = trace("S2", "HHZ", np.arange(40.0), start=UTCDateTime(ns=10**21))  # MiniSEED holds years up to 65535
    recording = prepare(good + Stream([bad, late, empty, never]), table())
    np.testing.assert_array_equal(recording.samples, prepare(good, table()).samples)
    texts = [f.text for f in recording.findings]
    assert any("XX.S0..SOH are left out: their sampling rate is" in t for t in texts)
    assert any("XX.S1..HHZ are left out: they start in the year 2146" in t for t in texts)
    assert any("XX.S2..HHZ are left out: they start in the year 33658" in t for t in texts)
    (alone,), findings = prepare_recordings({"a": good, "b": Stream([bad])}, table(), Preprocessing())
    np.testing.assert_array_equal(alone.samples, recording.samples)
    assert any(f.text.startswith("b: traces XX.S0..SOH are left out") for f in findings)


def test_day_files_that_overlap_by_seconds_stay_apart_and_share_no_sample() -> None:
    day = RNG.standard_normal(3 * 36_000 + 40)
    streams = {
        f"day{i}": Stream([trace("S0", "HHZ", day[i * 36_000 : (i + 1) * 36_000 + 40], 10.0, T0 + i * 3600)])
        for i in range(3)
    }
    recordings, findings = prepare_recordings(streams, table(), Preprocessing())
    assert [round(r.duration_s / 3600, 2) for r in recordings] == [1.0, 1.0, 1.0]
    for before, after in pairwise(recordings):
        assert 0.0 <= after.start - before.end < 0.2
    assert not [f for f in findings if f.severity == "warning"]


def test_pieces_a_month_apart_are_no_recording_of_a_month() -> None:
    pieces = Stream([trace("S0", "HHZ", RNG.standard_normal(500), start=T0 + i * 2.6e6) for i in range(2)])
    with pytest.raises(CampaignError, match="its traces hold 10 s within 2600005 s"):
        prepare(pieces, table())
