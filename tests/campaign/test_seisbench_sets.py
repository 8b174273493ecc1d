"""Data sets in SeisBench's format: read as a campaign whatever their layout, written so that SeisBench reads them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from obspy import Stream, UTCDateTime
from typer.testing import CliRunner

from phaseno_peft.campaign import Campaign, read_catalogue, read_stations, read_waveforms
from phaseno_peft.campaign.seisbench_export import ExportedSet, export_dataset
from phaseno_peft.campaign.sources import Index
from phaseno_peft.checking import check
from phaseno_peft.cli.app import app
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from tests.campaign.synthetic_network import T0, catalog, pick, pulse, table, trace

h5py = pytest.importorskip("h5py", reason="needs h5py, the extra `datasets`")
RATE_HZ, SAMPLES = 100.0, 3000


def record(event: int, station: int) -> np.ndarray:
    """[Z, N, E, sample] of a made-up record: noise, and an onset at sample 1500."""
    x = np.random.default_rng([event, station]).standard_normal((3, SAMPLES))
    x[:, 1500:] *= 9
    return x.astype(np.float32)


def row(event: int, station: int, **more: Any) -> dict[str, Any]:
    return {
        "source_id": f"ev{event}",
        "source_origin_time": str(T0 + 600 * event + 10),
        "source_latitude_deg": 0.1,
        "source_longitude_deg": 10.0,
        "source_depth_km": 4.5,
        "station_network_code": "XX",
        "station_code": f"S{station}",
        "station_location_code": "",
        "station_latitude_deg": 0.1 * station,
        "station_longitude_deg": 10.0,
        "station_elevation_m": 20.0,
        "trace_channel": "HH",
        "trace_start_time": str(T0 + 600 * event),
        "trace_sampling_rate_hz": RATE_HZ,
        "trace_P_arrival_sample": 1500.0,
        "trace_S_arrival_sample": 1800.5 if station else "",
        "trace_P_status": "manual",
    } | more


def write_set(
    folder: Path,
    *,
    dimensions: str = "CW",
    order: str = "ZNE",
    order_in: str = "data_format",
    buckets: bool = False,
    chunks: tuple[str, ...] = ("",),
    rows: dict[str, Any] | None = None,
) -> Path:
    """Two events at three stations; the events go to the chunks in turn."""
    folder.mkdir()
    for number, chunk in enumerate(chunks):
        events = [e for e in range(2) if e % len(chunks) == number]
        rows_of_chunk = []
        with h5py.File(folder / f"waveforms{chunk}.hdf5", "w") as file:
            file["data_format/dimension_order"] = f"N{dimensions}" if buckets else dimensions
            if order_in == "data_format":
                file["data_format/component_order"] = order
            for event in events:
                stored = []
                for station in range(3):
                    x = record(event, station)[["ZNE".index(c) for c in order.translate(str.maketrans("12", "NE"))]]
                    stored.append(x if dimensions == "CW" else x.T)
                    name = f"t{event}{station}"
                    if buckets:
                        a, b = stored[-1].shape
                        name = f"bucket{event}${station},:{a},:{b}"
                    else:
                        file[f"data/{name}"] = stored[-1]
                    rows_of_chunk.append({"trace_name": name, **row(event, station), **(rows or {})})
                    if order_in == "metadata":
                        rows_of_chunk[-1]["trace_component_order"] = order
                if buckets:
                    file[f"data/bucket{event}"] = np.stack(stored)
        with (folder / f"metadata{chunk}.csv").open("w", newline="") as text:
            writer = csv.DictWriter(text, list(rows_of_chunk[0]))
            writer.writeheader()
            writer.writerows(rows_of_chunk)
    return folder


LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "samples first": {"dimensions": "WC"},
    "E first": {"order": "ENZ"},
    "numbered, declared a row": {"order": "Z12", "order_in": "metadata"},
    "samples first, vertical last": {"dimensions": "WC", "order": "NEZ", "order_in": "metadata"},
    "buckets": {"buckets": True},
    "buckets, samples first": {"buckets": True, "dimensions": "WC"},
    "chunks": {"chunks": ("_a", "_b")},
    "chunks of buckets": {"chunks": ("_a", "_b"), "buckets": True, "order": "ENZ"},
    "the period instead of the rate": {"rows": {"trace_sampling_rate_hz": "", "trace_dt_s": 0.01}},
    "slashes in dates": {"rows": {"trace_start_time": str(T0).replace("-", "/")}},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_gives_the_same_records_stations_and_picks(tmp_path: Path, layout: dict[str, Any]) -> None:
    folder = write_set(tmp_path / "set", **layout)
    traces = {
        (t.stats.starttime.ns, t.stats.station, t.stats.channel[-1]): t
        for s in read_waveforms(folder).values()
        for t in s
    }
    one_time = "trace_start_time" in layout.get("rows", {})
    for event in (1,) if one_time else (0, 1):
        for station in range(3):
            for k, component in enumerate("ZNE"):
                letter = component if component in layout.get("order", "ZNE") else {"N": "1", "E": "2"}[component]
                found = traces[(T0 + (0 if one_time else 600 * event)).ns, f"S{station}", letter]
                np.testing.assert_array_equal(found.data, record(event, station)[k])
                assert found.stats.sampling_rate == RATE_HZ
    assert read_stations(folder).station_ids == ("XX.S0.", "XX.S1.", "XX.S2.")
    picks = read_catalogue(folder).picks
    assert len(picks) == (5 if one_time else 10)
    assert {p.phase: (p.time.ns - T0.ns) * 1e-9 % 600 for p in picks} == pytest.approx({"P": 15.0, "S": 18.005})


def test_a_set_is_a_campaign_with_its_own_stations_and_picks(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", chunks=("_a", "_b"))
    campaign = Campaign.read(folder)
    assert [len(s.picks) for s in campaign.stretches()] == [5, 5]
    event = campaign.catalogue.events[0]
    assert (event.latitude_deg, event.depth_m, event.origin_time) == (0.1, 4500.0, T0 + 10)
    assert not campaign.catalogue.picks[0].is_automatic
    by_file = Campaign.read(folder / "waveforms_a.hdf5", folder / "metadata_a.csv", folder / "metadata_a.csv")
    assert [len(s.picks) for s in by_file.stretches()] == [5]


def test_headers_alone_say_what_the_samples_are(tmp_path: Path) -> None:
    """What picking reads: headers first, samples block by block."""
    folder = write_set(tmp_path / "set", buckets=True, dimensions="WC")
    index = Index(folder, 100.0)
    assert len(index.headers) == 18
    assert {h.n_samples for h in index.headers} == {SAMPLES}
    first = index.headers[0]
    (samples,) = index.read(first.places)
    np.testing.assert_array_equal(samples, record(0, int(first.seed_id[4]))["ZNE".index(first.seed_id[-1])])


def test_a_hydrophone_is_no_component_of_ground_motion(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_set(folder)
    with h5py.File(folder / "waveforms.hdf5", "a") as file:
        for name in list(file["data"]):
            x = file[f"data/{name}"][()]
            del file[f"data/{name}"]
            file[f"data/{name}"] = np.concatenate([x, x[:1]])
        del file["data_format/component_order"]
        file["data_format/component_order"] = "ZNEH"
    assert {t.stats.channel for s in read_waveforms(folder).values() for t in s} == {"HHZ", "HHN", "HHE"}


BROKEN = {
    "no metadata of a chunk": ("chunks", "metadata_c.csv: no such file, but the file chunks lists it"),
    "no start time": ({"trace_start_time": ""}, r"line 2: t00 has trace_start_time ''"),
    "no rate": ({"trace_sampling_rate_hz": ""}, r"line 2: t00 has sampling rate None Hz"),
    "no station": ({"station_code": ""}, r"line 2: t00 names no station"),
    "an order that does not fit": ({"trace_component_order": "ZNEH"}, r"but its component order is 'ZNEH'"),
    "a name that is not there": ({"trace_name": "elsewhere"}, r"no waveform 'elsewhere', but metadata\.csv lists it"),
    "a row outside its bucket": ({"trace_name": "t00$7,:3,:3000"}, r"no waveform 't00\$7,:3,:3000'"),
    "words for numbers": ({"trace_name": "t00$a,b"}, r"no waveform 't00\$a,b'"),
    "a truncated file": ("cut", r"waveforms\.hdf5: not SeisBench waveforms"),
    "an unknown dimension": ("dimension", r"dimension_order is 'XW'"),
}


@pytest.mark.parametrize(("how", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_set_is_told_with_file_and_line(tmp_path: Path, how: Any, message: str) -> None:
    folder = write_set(tmp_path / "set", rows=how if isinstance(how, dict) else None)
    waveforms = folder / "waveforms.hdf5"
    if how == "chunks":
        (folder / "chunks").write_text("\n_c\n")
    elif how == "cut":
        waveforms.write_bytes(waveforms.read_bytes()[:3000])
    elif how == "dimension":
        with h5py.File(waveforms, "a") as file:
            del file["data_format/dimension_order"]
            file["data_format/dimension_order"] = "XW"
    with pytest.raises(CampaignError, match=message):
        read_waveforms(folder)


def test_without_stations_or_picks_only_a_set_will_do(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="no stations were given"):
        Campaign.read(tmp_path)
    lone = tmp_path / "other.h5"
    lone.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(CampaignError, match=r"other\.h5: HDF5 without its metadata\.csv"):
        read_waveforms(lone)


def delivered() -> tuple[dict[str, Stream], Any, Any]:
    """Eight events on three stations at 200 Hz, whole counts; one pick of weight 0, one event without a pick at S2."""
    rng = np.random.default_rng(5)
    streams, picked = {}, []
    for event in range(8):
        start = T0 + 1000 * event
        stream, picks = Stream(), []
        for station in range(3):
            p, s = 40.0 + station, 43.0 + 2.0 * station
            for component in "ZNE":
                x = 100 * rng.standard_normal(14_000)
                for onset, size in ((p, 3000), (s, 5000)):
                    x += size * pulse(np.arange(14_000) / 200 - onset)
                stream += trace(f"S{station}", f"HH{component}", x.astype(np.int32), 200.0, start)
            if (event, station) != (7, 2):
                picks += [pick(f"S{station}", "P", start + p), pick(f"S{station}", "S", start + s)]
        streams[f"e{event}"] = stream
        picked.append(picks)
    return streams, table(3), catalog(picked, weights={2: 0.0})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportedSet, Campaign]:
    files = delivered()
    return export_dataset(tmp_path_factory.mktemp("exported") / "set", *files), Campaign.read(*files)


def labels(campaign: Campaign) -> set[tuple[str, str, str]]:
    """(station, phase, time to the millisecond) of all usable picks that lie in a record."""
    return {
        (p.station_id, p.phase, str(UTCDateTime(round(p.time.timestamp, 3))))
        for s in campaign.stretches()
        for p in s.picks
        if p.usable
    }


def test_an_exported_campaign_comes_back_with_its_labels_and_samples(exported: tuple[ExportedSet, Campaign]) -> None:
    made, campaign = exported
    again = Campaign.read(made.folder)
    assert labels(again) == labels(campaign)
    assert (made.records, made.events, dict(made.picks)) == (23, 8, {"P": 23, "S": 22})
    assert len(again.catalogue.events) == 8
    assert "1 picks that the catalogue does not use are left out." in {f.text for f in made.findings}
    for recording in again.recordings:
        whole = next(r for r in campaign.recordings if r.start <= recording.start and recording.end <= r.end + 0.01)
        at = round(whole.index_of(recording.start))
        for station_id, ours in zip(recording.station_ids, recording.samples, strict=True):
            theirs = whole.samples[whole.station_ids.index(station_id), :, at : at + recording.n_samples]
            settled = slice(300, min(ours.shape[1], theirs.shape[1]) - 50)
            np.testing.assert_allclose(ours[:, settled], theirs[:, settled], atol=0.02 * np.abs(theirs).max())


def test_the_split_of_an_exported_set_is_that_of_training(exported: tuple[ExportedSet, Campaign]) -> None:
    made, campaign = exported
    from phaseno_peft.campaign import split_campaign

    with (made.folder / "metadata.csv").open() as text:
        sides = {r["source_id"]: r["split"] for r in csv.DictReader(text)}
    split = split_campaign(campaign, 0)
    assert {e for e, side in sides.items() if side == "test"} == {e for s in split.test for e in s.event_ids}
    assert set(sides.values()) == {"train", "dev", "test"}


def test_seisbench_reads_what_is_exported(exported: tuple[ExportedSet, Campaign]) -> None:
    data = pytest.importorskip("seisbench.data", reason="needs seisbench, the extra `rivals`")
    made, _ = exported
    theirs = data.WaveformDataset(made.folder)
    assert len(theirs) == made.records
    assert theirs.metadata["trace_P_arrival_sample"].notna().sum() == made.picks["P"]
    assert len(theirs.train()) + len(theirs.dev()) + len(theirs.test()) == made.records
    traces = {
        (t.stats.starttime.ns, t.stats.station, t.stats.channel[-1]): t.data
        for s in read_waveforms(made.folder).values()
        for t in s
    }
    for i in range(0, made.records, 7):
        waveforms, metadata = theirs.get_sample(i)
        start = UTCDateTime(metadata["trace_start_time"]).ns
        for component, samples in zip("ZNE", waveforms, strict=True):
            if (start, metadata["station_code"], component) in traces:
                np.testing.assert_array_equal(samples, traces[start, metadata["station_code"], component])


def test_the_commands_take_a_set_alone_and_write_one(exported: tuple[ExportedSet, Campaign], tmp_path: Path) -> None:
    made, _ = exported
    result = check(made.folder)
    assert result.delivery.campaign is not None
    assert not [f for f in result.findings if f.severity == "error" or f.kind == "not given"]
    run = CliRunner().invoke(
        app, ["export-dataset", str(tmp_path / "again"), "--waveforms", str(made.folder), "--json"]
    )
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert (told["records"], told["events"]) == (made.records, made.events)
    with pytest.raises(PhasenoPeftError, match="exists already"):
        export_dataset(tmp_path / "again", made.folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for taken, said in (("mine", "holds no data set"), ("mine/thesis.txt", "is no folder")):
        with pytest.raises(PhasenoPeftError, match=said):
            export_dataset(tmp_path / taken, made.folder, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("kind", ["external link", "external file", "virtual", "huge", "huge word"])
def test_a_set_whose_samples_lie_in_another_file_or_nowhere_is_refused(tmp_path: Path, kind: str) -> None:
    """HDF5 knows links to other files, and data sets made of any file's bytes: a stranger's set could name yours."""
    secret = write_set(tmp_path / "secret", rows={}) / "waveforms.hdf5"
    (tmp_path / "diary.txt").write_bytes(bytes(range(256)) * 600)
    folder = write_set(tmp_path / "set")
    with h5py.File(folder / "waveforms.hdf5", "r+") as file:
        name = next(iter(file["data"]))
        del file[f"data/{name}"]
        if kind == "external link":
            file[f"data/{name}"] = h5py.ExternalLink(str(secret), f"data/{name}")
        elif kind == "external file":
            where = [(str(tmp_path / "diary.txt"), 0, 36_000)]
            file["data"].create_dataset(name, (3, SAMPLES), "f4", external=where)
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, SAMPLES), "f4")
            layout[:] = h5py.VirtualSource(str(secret), f"data/{name}", (3, SAMPLES))
            file["data"].create_virtual_dataset(name, layout)
        elif kind == "huge":
            file["data"].create_dataset(name, (3, 10**12), "f4", chunks=(3, 1000))
        else:
            del file["data_format/component_order"]
            file["data_format"].create_dataset("component_order", (10**12,), "f4", chunks=(1000,))
    said = "another file, which could be any file of yours" if "huge" not in kind else r"announces|values"
    with pytest.raises(CampaignError, match=said):
        read_waveforms(folder)


def test_a_word_whose_length_is_damaged_is_refused_before_room_is_made_for_it(tmp_path) -> None:
    """HDF5 would make room for 3 GB first, and look for the letters afterwards."""
    folder = write_set(tmp_path / "set")
    with h5py.File(folder / "waveforms.hdf5") as file:
        offset = file["data_format/component_order"].id.get_offset()
    content = bytearray((folder / "waveforms.hdf5").read_bytes())
    content[offset : offset + 4] = (3 << 30).to_bytes(4, "little")
    (folder / "waveforms.hdf5").write_bytes(content)
    with pytest.raises(CampaignError, match="component_order has more than 1000 values or letters"):
        read_waveforms(folder)


@pytest.mark.parametrize("sample", ["1e300", "-9e99", "inf"])
def test_an_arrival_at_a_sample_that_no_record_has_is_refused(sample: str, tmp_path: Path) -> None:
    table = tmp_path / "metadata.csv"
    table.write_text(
        "trace_name,station_code,trace_start_time,trace_sampling_rate_hz,trace_P_arrival_sample\n"
        f"a,ABC,2020-01-31T12:34:56,100,{sample}\n"
    )
    with pytest.raises(CampaignError, match=r"line 2: trace_p_arrival_sample is .* at a sampling rate of '100' Hz"):
        read_catalogue(table)
