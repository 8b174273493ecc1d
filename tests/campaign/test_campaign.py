"""A campaign from files to findings, and the errors of files that do not belong together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from obspy import Stream, UTCDateTime

from phaseno_peft.campaign import Campaign, Station, StationTable
from phaseno_peft.campaign.check import check_campaign
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, catalog, network_picks, pick, record, table, trace

ONSETS_S = [40.0, 1040.0, 2040.0]


def streams() -> dict[str, Stream]:
    rng = np.random.default_rng(0)
    return {f"e{i}": record(rng, [40.0], 90.0, T0 + 1000.0 * i) for i in range(3)}


def events() -> list[list]:
    return [network_picks(T0 + t) for t in ONSETS_S]


def test_files_become_recordings_with_their_picks(tmp_path) -> None:
    for name, stream in streams().items():
        stream.write(str(tmp_path / f"{name}.mseed"), "MSEED")
    seen: list[tuple[int, int]] = []
    campaign = Campaign.read(
        tmp_path,
        table(),
        catalog(events()),
        name="made-up",
        edge_limit_km=12.0,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [r.name for r in campaign.recordings] == ["e0", "e1", "e2"]
    assert [len(s.picks) for s in campaign.stretches()] == [8, 8, 8]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert campaign.frame.edge_limit_km == 12.0
    assert any("3 events with 12 P and 12 S picks on 4 recorded stations" in f.text for f in campaign.findings)
    assert any("S-P times are 1.00 to 1.00 s" in f.text for f in campaign.findings)
    assert not any("early" in f.text and f.severity == "warning" for f in campaign.findings)


def test_overlapping_files_are_one_recording_and_each_pick_counts_once() -> None:
    rng = np.random.default_rng(0)
    whole = record(rng, [40.0, 70.0], 120.0, T0)
    files = {"a": whole.slice(T0, T0 + 80), "b": whole.slice(T0 + 30, T0 + 120)}
    campaign = Campaign.read(files, table(), catalog([network_picks(T0 + 40), network_picks(T0 + 70)]))
    (recording,) = campaign.recordings
    assert recording.name == "a+b"
    reference = Campaign.read({"w": whole}, table(), catalog([network_picks(T0 + 40)])).recordings[0]
    np.testing.assert_array_equal(recording.samples, reference.samples)
    assert len(campaign.stretches()[0].picks) == 16


def test_one_file_with_many_triggers_is_many_recordings() -> None:
    together = Stream([t for s in streams().values() for t in s])
    campaign = Campaign.read({"all": together}, table(), catalog(events()))
    assert [r.name for r in campaign.recordings] == [f"all_20200101T00{m}" for m in ("0000", "1640", "3320")]


def test_files_that_follow_each_other_are_joined() -> None:
    whole = record(np.random.default_rng(0), [40.0], 120.0, T0)
    files = {"a": whole.slice(T0, T0 + 59.99), "b": whole.slice(T0 + 60, T0 + 120)}
    campaign = Campaign.read(files, table(), catalog([network_picks(T0 + 40)]))
    assert [r.n_samples for r in campaign.recordings] == [12000]
    assert campaign.recordings[0].recorded.all()


def test_a_pick_of_an_unlisted_station_is_refused_or_dropped() -> None:
    picks = events()
    picks[1].append(pick("FRAN", "P", T0 + 1041, network="NZ"))
    message = r"the catalogue: pick 17 is for station NZ\.FRAN: the station table does not list .*--skip-unknown"
    with pytest.raises(CampaignError, match=message):
        Campaign.read(streams(), table(), catalog(picks))
    campaign = Campaign.read(streams(), table(), catalog(picks), skip_unknown=True)
    assert any("1 picks of NZ.FRAN are dropped" in f.text for f in campaign.findings)
    assert len(campaign.catalogue.picks) == 24


def test_picks_without_location_code_find_the_sensor_that_recorded() -> None:
    picks = [[pick("S0", "P", T0 + 40, location=None), pick("S0", "P", T0 + 40.01, location="99")]]
    campaign = Campaign.read(streams(), table(), catalog(picks))
    assert [p.station_id for p in campaign.catalogue.picks] == ["XX.S0."]  # one station, one phase: one pick


def test_of_two_listed_sensors_the_one_that_recorded_gets_the_picks() -> None:
    both = StationTable([Station("XX.S0.00", 0.0, 10.0, 0.0), Station("XX.S0.10", 0.0, 10.0, 0.0)])
    rng = np.random.default_rng(0)
    stream = Stream([trace("S0", "HHZ", rng.standard_normal(9000), location="10")])
    campaign = Campaign.read({"a": stream}, both, catalog([[pick("S0", "P", T0 + 40, location=None)]]))
    assert [p.station_id for p in campaign.stretches()[0].picks] == ["XX.S0.10"]


def test_picks_of_other_years_are_refused_with_both_times() -> None:
    with pytest.raises(CampaignError, match=r"picks run from 2023-12-31.* to 2023-12-31.*waveforms from 2020-01-01T00"):
        Campaign.read(streams(), table(), catalog([network_picks(T0 + 4 * 365 * 86400)]))


def test_picks_on_stations_that_did_not_record_are_refused_by_name() -> None:
    with pytest.raises(CampaignError, match=r"none on a station that recorded then: the first is for XX\.S5\."):
        Campaign.read(streams(), table(6), catalog([[pick("S5", "P", T0 + 40)]]))


def test_a_file_of_unlisted_stations_is_left_out_with_a_finding_and_only_such_files_are_refused() -> None:
    rng = np.random.default_rng(0)
    unlisted = Stream([trace("ZZ", "HHZ", rng.standard_normal(3000), start=T0 + 9000)])
    campaign = Campaign.read({**streams(), "z": unlisted}, table(), catalog(events()))
    assert any(f.severity == "warning" and "z: no trace belongs" in f.text for f in campaign.findings)
    with pytest.raises(CampaignError, match="z: no trace belongs"):
        Campaign.read({"z": unlisted}, table(), catalog(events()))


def test_stray_and_doubtful_picks_are_found() -> None:
    picks = events()
    picks[0].append(pick("S5", "P", T0 + 5000))  # outside every waveform, and far from its event
    picks[1][0].time = T0 + 1042.0  # P after S on S0
    campaign = Campaign.read(streams(), table(6), catalog(picks, weights={12: 0.0}))
    texts = "\n".join(f.text for f in campaign.findings)
    assert "1 picks lie outside every waveform, the first at 2020-01-01T01:23:20" in texts
    assert "on 1 station records S is picked before P" in texts
    assert "1 picks have weight 0" in texts
    assert "2 listed stations have no waveform: XX.S4., XX.S5." in texts
    severities = [f.severity for f in campaign.findings]
    assert severities == sorted(severities, reverse=True)  # warnings first


def test_one_component_stations_rates_and_doublets_are_told() -> None:
    files = streams()
    for stream in files.values():
        for tr in [*stream.select(station="S1", channel="HHE"), *stream.select(station="S1", channel="HHN")]:
            stream.remove(tr)
        for tr in stream.select(station="S2"):
            tr.resample(200.0)
    campaign = Campaign.read(files, table(), catalog([*events(), network_picks(T0 + 40.7)]))
    texts = "\n".join(f.text for f in campaign.findings)
    assert "1 stations have one component" in texts
    assert "sampling rates of 100, 200 Hz" in texts
    assert "1 pairs of events follow within 3 s, the first 0 and 3" in texts


def test_completeness_is_handed_to_the_stretches() -> None:
    campaign = Campaign.read(streams(), table(), catalog(events()), complete="event")
    assert all(s.complete == "event" for s in campaign.stretches())
    assert not any(s.complete == "event" for s in dataclasses.replace(campaign, complete="no").stretches())
    with pytest.raises(CampaignError, match=r"`complete` should be one of no, station, event, .* but is 'all'"):
        Campaign.read(streams(), table(), catalog(events()), complete="all")  # type: ignore[arg-type]


def test_the_alpine_fault_campaign_is_read_whole(shared) -> None:
    folder = shared / "data" / "campaigns" / "samba-nz"
    campaign = Campaign.read(folder / "waveforms", folder / "stations.xml", folder / "picks.xml")
    # README of samba-nz: 32 events, 22 stations recorded, 149 P and 142 unique station-S; one doublet in two files.
    assert len(campaign.recordings) == 31
    assert len({i for r in campaign.recordings for i in r.station_ids}) == 22
    picks = [p for s in campaign.stretches() for p in s.picks]
    assert sum(p.phase == "P" for p in picks) == 149
    assert sum(p.phase == "S" for p in picks) == 142
    assert any("ZT.WZ07" in f.text for f in campaign.findings)


def test_stray_picks_are_sought_once_for_all_recordings(monkeypatch) -> None:
    # Comparing every pick with every recording made a regional catalogue cost minutes: few times are compared as such.
    campaign = Campaign.read(streams(), table(), catalog(events()))
    late = [pick("S0", "P", T0 + 5000 + i) for i in range(50)]
    more = Campaign.read(streams(), table(), catalog([*events(), *([p] for p in late)]))

    def check(campaign):
        parts = (campaign.stations, campaign.catalogue, campaign.recordings, campaign.stretches())
        return check_campaign(*parts, campaign.preprocessing.rate_hz)

    compared = []
    monkeypatch.setattr(UTCDateTime, "__lt__", lambda a, b: compared.append(1) or a.ns < b.ns)
    monkeypatch.setattr(UTCDateTime, "__le__", lambda a, b: compared.append(1) or a.ns <= b.ns)
    check(campaign)
    few = len(compared)
    found = check(more)
    assert len(compared) - few <= few
    assert any("50 picks lie outside every waveform" in f.text for f in found)


def test_records_of_two_epochs_stand_at_two_places() -> None:
    moved = StationTable(
        [
            Station("XX.S0.", 0.0, 10.0, 0.0, None, (T0 + 1500).ns),
            Station("XX.S0.", 0.02, 10.0, 0.0, (T0 + 1500).ns, None),
            *(s for s in table() if s.station_id != "XX.S0."),
        ]
    )
    campaign = Campaign.read(streams(), moved, catalog(events()))
    places = [{s.station_id: s.latitude_deg for s in r.stations}["XX.S0."] for r in campaign.recordings]
    assert places == [0.0, 0.0, 0.02]
    assert all(len(s.picks) == 8 for s in campaign.stretches())


def test_a_station_that_went_far_away_after_the_records_is_not_far_from_the_events() -> None:
    went = [Station("XX.S0.", 0.0, 10.0, 0.0, None, (T0 + 9e6).ns), Station("XX.S0.", 60.0, 7.0, 0.0, (T0 + 9e6).ns)]
    stations = StationTable([*went, *(s for s in table(2) if s.station_id != "XX.S0.")])
    campaign = Campaign.read(streams(), stations, catalog(events()), skip_unknown=True)
    assert not [f.text for f in campaign.findings if "epicentres" in f.text]


def test_picks_and_records_without_location_code_belong_to_a_site_of_two_and_far_ones_are_ambiguous() -> None:
    site = StationTable([Station(f"XX.S0.{c}", 0.0, 10.0, 0.0) for c in ("00", "10")], source="stations.xml")
    rng = np.random.default_rng(0)
    both = Stream([trace("S0", "HHZ", rng.standard_normal(9000), location=c) for c in ("00", "10")])
    one = catalog([[pick("S0", "P", T0 + 40, location=None)]])
    assert [p.station_id for p in Campaign.read({"a": both}, site, one).catalogue.picks] == ["XX.S0.00"]
    bare = Stream([trace("S0", "HHZ", rng.standard_normal(9000))])
    assert Campaign.read({"a": bare}, site, one).recordings[0].station_ids == ("XX.S0.00",)
    far = StationTable(
        [Station(f"XX.S0.{c}", 0.01 * i, 10.0, 0.0) for i, c in enumerate(("00", "10"))], source="stations.xml"
    )
    with pytest.raises(CampaignError, match=r"XX\.S0: stations\.xml lists several places for it \(XX\.S0\.00 at"):
        Campaign.read({"a": both}, far, one)


def test_findings_of_the_station_table_are_among_the_campaigns() -> None:
    doubtful = StationTable([*table(), Station("XX.ZERO.", 0.0, 0.0, 0.0)], source="stations.csv")
    campaign = Campaign.read(streams(), doubtful, catalog(events()))
    assert any("XX.ZERO. stands at latitude 0, longitude 0" in f.text for f in campaign.findings)
    assert campaign.frame == Campaign.read(streams(), table(), catalog(events())).frame


@pytest.mark.parametrize("hours", [-7, 2])
def test_picks_in_local_time_are_told_from_picks_of_another_day(hours: int) -> None:
    local = [network_picks(T0 + t + 3600.0 * hours) for t in ONSETS_S]
    with pytest.raises(
        CampaignError, match=rf"\{-hours:+d} hours later most of them would lie there: are they in local"
    ):
        Campaign.read(streams(), table(), catalog(local), name="made-up")
    elsewhere = [network_picks(T0 + t + 86400.0 * 40) for t in ONSETS_S]
    with pytest.raises(CampaignError, match="Give the files that belong together"):
        Campaign.read(streams(), table(), catalog(elsewhere), name="made-up")
