"""A simulated campaign as files: what obspy reads back, determinism, conventions, refusals."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy import UTCDateTime

from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.simulation import PRESETS, SimulatedCampaign, noise, simulate_campaign
from phaseno_peft.simulation.campaign import P_EARLIEST_S, P_LATEST_S


@pytest.fixture(scope="module")
def ohio(tmp_path_factory: pytest.TempPathFactory) -> SimulatedCampaign:
    folder = tmp_path_factory.mktemp("simulated") / "ohio one"
    return simulate_campaign(
        "ohio-frac", folder, seed=10, events=4, false_triggers=1, continuous_minutes=2, continuous_events=3
    )


def test_presets_have_the_published_geometry() -> None:
    # arXiv 2512.13197 section "data": stations, area (km2), least, greatest and mean depth (km), rate (Hz)
    published = {
        "bc-frac": (9, 100, 1.7, 2.4, 2.1, 250),
        "ohio-frac": (5, 25, 2.8, 3.4, 3.1, 250),
        "us-industrial": (11, 800, None, None, None, 500),
    }
    assert set(PRESETS) == set(published)
    rng = np.random.default_rng(0)
    for name, (stations, area, top, bottom, mean, rate) in published.items():
        preset = PRESETS[name]
        assert len(preset.station_code) == len(set(preset.station_code)) == stations
        assert preset.area_km2 == pytest.approx(area, rel=0.05)
        assert preset.rate_hz == rate
        depths = [preset.draw_source(rng).depth_km for _ in range(1000)]
        assert preset.depth_min_km <= min(depths)
        assert max(depths) <= preset.depth_max_km
        if top is not None:
            assert (preset.depth_min_km, preset.depth_max_km) == (top, bottom)
            assert np.mean(depths) == pytest.approx(mean, abs=0.02)
    assert PRESETS["us-industrial"].false_trigger_fraction == 0.5


def test_magnitudes_follow_gutenberg_richter() -> None:
    preset = replace(PRESETS["ohio-frac"], mw_max=6.0)
    rng = np.random.default_rng(1)
    excess = np.array([preset.draw_source(rng).magnitude_mw for _ in range(4000)]) - preset.mw_min
    assert np.log10(np.e) / excess.mean() == pytest.approx(preset.b_value, rel=0.06)  # Aki 1965


def test_obspy_reads_everything_back_and_ids_match(ohio: SimulatedCampaign) -> None:
    inventory = obspy.read_inventory(ohio.stations)
    catalog = obspy.read_events(ohio.picks)
    assert len(catalog) == len(ohio.events) == 4
    assert len(list(ohio.waveforms.glob("*.mseed"))) == 5
    n = 0
    for event in catalog:
        stem = event.resource_id.id.split("/")[-1]
        assert event.resource_id.id == f"smi:local/event/ohio-one/{stem}"
        stream = obspy.read(ohio.waveforms / f"{stem}.mseed")
        assert len(stream) == 15
        assert {t.stats.npts for t in stream} == {15000}
        assert {t.data.dtype.kind for t in stream} == {"i"}
        assert {t.stats.sampling_rate for t in stream} == {250.0}
        assert {t.stats.mseed.encoding for t in stream} == {"STEIM2"}
        ids = {t.id for t in stream}
        assert event.preferred_origin().time > stream[0].stats.starttime
        assert 2800 <= event.preferred_origin().depth <= 3400
        assert {a.pick_id.id for a in event.preferred_origin().arrivals} == {p.resource_id.id for p in event.picks}
        for pick in event.picks:
            assert pick.waveform_id.id in ids
            assert stream[0].stats.starttime < pick.time < stream[0].stats.endtime
            assert inventory.get_orientation(pick.waveform_id.id, pick.time)["azimuth"] in (0, 90)
            n += 1
        onsets = [a.onset_time for a in ohio.truth if a.event == stem and a.phase == "P"]
        assert P_EARLIEST_S - 0.1 <= min(onsets) - stream[0].stats.starttime <= P_LATEST_S + 0.1  # statics
    assert n == ohio.p_picks + ohio.s_picks > 12


def test_response_in_stationxml_turns_counts_back_into_ground_velocity(ohio: SimulatedCampaign) -> None:
    response = obspy.read_inventory(ohio.stations)[0][0][0].response
    gain = abs(response.get_evalresp_response_for_frequencies(np.array([40.0]), output="VEL")[0])
    assert gain == pytest.approx(ohio.preset.geophone.counts_per_m_s, rel=1e-3)  # 40 Hz is far above 4.5 Hz
    stream = obspy.read(next(iter(sorted(ohio.waveforms.glob("*.mseed")))))
    rms = np.median([np.std(t.data) for t in stream]) / gain
    assert 3e-8 < rms < 3e-6  # quiet to noisy surface station, 1-100 Hz


def test_events_table_and_truth_table_agree_with_the_catalogue(ohio: SimulatedCampaign) -> None:
    with ohio.events_table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [r["kind"] for r in rows].count("earthquake") == 4
    assert len(rows) == 5
    assert sum(int(r["n_p"]) for r in rows) == ohio.p_picks
    assert {r["event"] for r in rows if r["kind"].startswith("false:")} == set(ohio.false_triggers)
    with ohio.truth_table.open() as stream:
        truth = list(csv.DictReader(stream))
    assert len(truth) == 4 * 5 * 2 == len(ohio.truth)
    picked = [r for r in truth if r["pick_time"]]
    assert len(picked) == ohio.p_picks + ohio.s_picks < len(truth)
    catalogue = {
        (p.waveform_id.station_code, p.phase_hint, str(p.time)) for e in obspy.read_events(ohio.picks) for p in e.picks
    }
    assert catalogue == {(r["station"].split(".")[1], r["phase"], r["pick_time"]) for r in picked}
    for row in picked:
        assert abs(UTCDateTime(row["pick_time"]) - UTCDateTime(row["onset_time"])) < 0.4
    analyst = ohio.preset.analyst
    limits = {"P": analyst.snr_limit_p, "S": analyst.snr_limit_s}
    assert all(float(r["snr"]) >= limits[r["phase"]] - 1e-3 for r in picked)


def test_record_is_louder_after_a_clear_true_onset_than_before(ohio: SimulatedCampaign) -> None:
    clear = [a for a in ohio.truth if a.snr > 6]
    assert clear
    for arrival in clear:
        stream = obspy.read(ohio.waveforms / f"{arrival.event}.mseed")
        trace = stream.select(id=f"{arrival.station_id}.{arrival.channel}")[0]
        trace.filter("bandpass", freqmin=3, freqmax=45)
        after = trace.slice(arrival.onset_time, arrival.onset_time + 0.3).data
        before = trace.slice(arrival.onset_time - 0.35, arrival.onset_time - 0.05).data
        assert np.std(after) > 2 * np.std(before)


def test_triggered_records_never_overlap(ohio: SimulatedCampaign) -> None:
    spans = sorted(
        (s[0].stats.starttime, s[0].stats.endtime) for s in (obspy.read(p) for p in ohio.waveforms.glob("*.mseed"))
    )
    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))


def test_continuous_stretch_holds_its_events_one_by_one(ohio: SimulatedCampaign) -> None:
    assert ohio.continuous is not None
    assert ohio.continuous_truth is not None
    stream = obspy.read(ohio.continuous)
    assert {t.stats.npts for t in stream} == {2 * 60 * 250}
    assert len(stream) == 15
    assert ohio.continuous.stem == stream[0].stats.starttime.strftime("%Y%m%dT%H%M%S")
    with ohio.continuous_truth.open() as table:
        rows = list(csv.DictReader(table))
    assert len({r["event"] for r in rows}) == 3 == len(ohio.continuous_events)
    for row in rows:
        assert stream[0].stats.starttime < UTCDateTime(row["onset_time"]) < stream[0].stats.endtime
    assert not {e.stem for e in ohio.continuous_events} & {e.stem for e in ohio.events}


def test_same_seed_same_samples_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (
        simulate_campaign("ohio-frac", tmp_path / name, seed=seed, events=1, false_triggers=1)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert sorted(p.name for p in first.waveforms.iterdir()) == sorted(p.name for p in again.waveforms.iterdir())
    for path in first.waveforms.iterdir():
        assert path.read_bytes() == (again.waveforms / path.name).read_bytes()
    assert first.truth == again.truth
    assert first.truth[0].onset_time != other.truth[0].onset_time


def test_convention_changes_the_picks_and_nothing_else(tmp_path: Path) -> None:
    preset = PRESETS["ohio-frac"]
    exact = replace(
        preset,
        analyst=replace(preset.analyst, scatter_p_s=0, scatter_s_s=0, cycle_skip_fraction=0, overlooked_fraction=0),
    )
    onset, peak = (
        simulate_campaign(exact, tmp_path / kind, seed=5, events=2, false_triggers=0, label_convention=kind)
        for kind in ("onset", "peak")
    )
    for path in onset.waveforms.iterdir():
        assert path.read_bytes() == (peak.waveforms / path.name).read_bytes()
    offsets = []
    for a, b in zip(onset.truth, peak.truth, strict=True):
        assert a.onset_time == b.onset_time
        assert (a.pick_time is None) == (b.pick_time is None)
        if a.pick_time is not None and b.pick_time is not None:
            assert abs(a.pick_time - a.onset_time) < 1e-3
            offsets.append(b.pick_time - b.onset_time)
    assert min(offsets) > 0
    assert 0.005 < np.median(offsets) < 0.1


def test_half_of_the_industrial_triggers_are_false(tmp_path: Path) -> None:
    campaign = simulate_campaign("us-industrial", tmp_path / "us", seed=2, events=2)
    assert len(campaign.false_triggers) == 2
    assert not {e.resource_id.id.split("/")[-1] for e in obspy.read_events(campaign.picks)} & set(
        campaign.false_triggers
    )
    assert obspy.read(campaign.waveforms / f"{campaign.false_triggers[0]}.mseed")[0].stats.sampling_rate == 500.0


def test_numbered_horizontals_are_turned_as_declared(tmp_path: Path) -> None:
    preset = replace(PRESETS["bc-frac"], orientation_error_deg=0.0)
    plain = replace(preset, horizontal_1_azimuth_deg=())
    turned, straight = (
        simulate_campaign(p, tmp_path / name, seed=1, events=1, false_triggers=0)
        for p, name in ((preset, "turned"), (plain, "straight"))
    )
    a = obspy.read(next(turned.waveforms.iterdir())).select(station="BF06")
    b = obspy.read(next(straight.waveforms.iterdir())).select(station="BF06")
    assert sorted(t.stats.channel for t in a) == ["DP1", "DP2", "DPZ"]
    a.rotate("->ZNE", inventory=obspy.read_inventory(turned.stations))
    for component in "ENZ":
        x, y = (s.select(component=component)[0].data.astype(float) for s in (a, b))
        assert np.abs(x - y).max() <= 2.0  # rounding to counts, twice


def test_own_noise_is_used_and_checked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(60 * 250 + 500) / 250
    hum = np.stack([np.sin(2 * np.pi * 20 * t + k) for k in range(3)]) + 0.01 * rng.standard_normal((3, len(t)))
    campaign = simulate_campaign("ohio-frac", tmp_path / "own", seed=1, events=1, false_triggers=0, own_noise=[hum])
    trace = obspy.read(next(campaign.waveforms.iterdir()))[0].slice(endtime=None)
    spectrum = np.abs(np.fft.rfft(trace.data[: 20 * 250]))
    assert np.argmax(spectrum) == 20 * 20
    with pytest.raises(CampaignError, match=r"own_noise\[0\] has shape \(3, 100\)"):
        simulate_campaign("ohio-frac", tmp_path / "short", seed=1, events=1, own_noise=[hum[:, :100]])
    assert not (tmp_path / "short").exists()


def test_pump_noise_is_coherent_between_stations_and_local_noise_is_not() -> None:
    preset = PRESETS["ohio-frac"]
    east, north = np.array([-0.2, 0.2]), np.array([1.0, 1.0])  # equally far from the pad
    coherences = []
    for pump in (0.0, 3e-6):
        noise_model = replace(
            preset.noise, pad_east_km=0.0, pad_north_km=0.0, pump_rms_m_s=pump, bursts_per_minute=0, spikes_per_hour=0
        )
        rng = np.random.default_rng(0)
        stations = noise.draw_station_noise(rng, noise_model, east, north)
        record = noise.ambient_noise(rng, noise_model, stations, 15000, 250.0)[:, 2]
        coherences.append(np.abs(np.corrcoef(record)[0, 1]))
    assert coherences[0] < 0.1
    assert coherences[1] > 0.4


def test_false_triggers_of_every_kind_rise_above_the_noise() -> None:
    preset = PRESETS["ohio-frac"]
    east, north = np.asarray(preset.east_km), np.asarray(preset.north_km)
    kinds = set()
    for seed in range(25):
        quiet = np.zeros((5, 3, 15000), dtype=np.float32)
        kinds.add(noise.false_trigger(np.random.default_rng(seed), preset.noise, quiet, east, north, 30.0, 250.0))
        assert np.abs(quiet).max() > 3 * preset.noise.rms_m_s
        assert np.isfinite(quiet).all()
    assert kinds == {"vehicles", "electrical", "air-wave", "handling"}


def test_progress_counts_to_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    simulate_campaign(
        "ohio-frac",
        tmp_path / "p",
        seed=1,
        events=2,
        false_triggers=1,
        continuous_minutes=1,
        continuous_events=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_senseless_requests_are_refused_in_a_sentence(tmp_path: Path) -> None:
    def refused(match: str, preset: str = "ohio-frac", **changes: object) -> None:
        arguments: dict[str, object] = {"seed": 1, "events": 1, **changes}
        with pytest.raises(CampaignError, match=match):
            simulate_campaign(preset, tmp_path / "x", **arguments)  # type: ignore[arg-type] # wrong on purpose
        assert not (tmp_path / "x").exists()

    refused("bc-frac, ohio-frac, us-industrial", preset="texas")
    refused("events is 0", events=0)
    refused("false_triggers is -1", false_triggers=-1)
    refused("continuous_events is 12 in 1 minutes", continuous_minutes=1, continuous_events=12)
    refused("label_convention is 'zero'", label_convention="zero")
    refused("orientation_error_deg is 200", orientation_error_deg=200.0)
    refused("reversed_verticals is 6; ohio-frac has 5 stations", reversed_verticals=6)


def test_a_folder_in_use_is_left_alone_unless_forced_and_then_only_our_files(tmp_path: Path) -> None:
    simulate_campaign("ohio-frac", tmp_path, seed=1, events=1, false_triggers=0)
    (tmp_path / "notes.txt").write_text("mine")
    before = sorted(p.name for p in (tmp_path / "waveforms").iterdir())
    with pytest.raises(CampaignError, match="not an empty folder"):
        simulate_campaign("ohio-frac", tmp_path, seed=2, events=1, false_triggers=0)
    assert sorted(p.name for p in (tmp_path / "waveforms").iterdir()) == before
    simulate_campaign("ohio-frac", tmp_path, seed=2, events=1, false_triggers=0, force=True)
    assert sorted(p.name for p in (tmp_path / "waveforms").iterdir()) != before
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "truth.csv").unlink()  # as in a real campaign's folder
    with pytest.raises(CampaignError, match=r"waveforms: is of no simulation, since truth\.csv is not beside it"):
        simulate_campaign("ohio-frac", tmp_path, seed=3, events=1, false_triggers=0, force=True)
    with pytest.raises(PhasenoPeftError, match="is no folder"):
        simulate_campaign("ohio-frac", tmp_path / "notes.txt", seed=3, events=1, force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.parent.glob(".*partial*"))


def test_an_unwritable_place_is_named_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PhasenoPeftError, match="cannot be written"):
        simulate_campaign("ohio-frac", tmp_path / "file" / "campaign", seed=1, events=1)


def test_a_failure_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_campaign("ohio-frac", tmp_path / "half", seed=1, events=2, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_sensor_errors_on_request_are_in_the_records_and_in_the_truth(tmp_path: Path) -> None:
    def make(name: str, **changes: object) -> SimulatedCampaign:
        return simulate_campaign("ohio-frac", tmp_path / name, seed=4, events=1, false_triggers=0, **changes)  # type: ignore[arg-type]

    right = make("right", orientation_error_deg=0.0, reversed_verticals=0)
    wrong = make("wrong", orientation_error_deg=20.0, reversed_verticals=2)
    a, b = (obspy.read(next(c.waveforms.iterdir())) for c in (right, wrong))
    with wrong.sensors_table.open() as stream:
        sensors = {row["station"].split(".")[1]: row for row in csv.DictReader(stream)}
    assert sorted(row["vertical_polarity"] for row in sensors.values()) == ["-1", "-1", "1", "1", "1"]
    assert np.std([float(row["horizontal_azimuth_error_deg"]) for row in sensors.values()]) > 5
    for code, row in sensors.items():
        true, got = (
            np.stack([s.select(station=code, component=c)[0].data.astype(float) for c in "ENZ"]) for s in (a, b)
        )
        np.testing.assert_allclose(got[2], int(row["vertical_polarity"]) * true[2], atol=1.01)
        angle = np.radians(float(row["horizontal_azimuth_error_deg"]))
        north = np.sin(angle) * true[0] + np.cos(angle) * true[1]  # the sensor's north points to azimuth `angle`
        np.testing.assert_allclose(got[1], north, atol=2 + 2e-4 * np.abs(true[:2]).max())
    with right.sensors_table.open() as stream:
        assert {float(row["horizontal_azimuth_error_deg"]) for row in csv.DictReader(stream)} == {0.0}


def test_continuous_events_that_fit_are_taken_where_nobody_says_how_many(tmp_path: Path) -> None:
    made = simulate_campaign("ohio-frac", tmp_path / "two", seed=1, events=1, false_triggers=0, continuous_minutes=2)
    assert len(made.continuous_events) == 4  # 20 s each and 40 s besides
