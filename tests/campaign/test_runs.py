"""One preparation for files, streams and chunks: the same samples however a record is cut, stored and read."""

from __future__ import annotations

import gzip
import itertools
import random
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from obspy import Stream, UTCDateTime

from phaseno_peft.campaign import Station, StationTable, prepare
from phaseno_peft.campaign import long_run as long_run_module
from phaseno_peft.campaign import runs as runs_module
from phaseno_peft.campaign import sources as sources_module
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.campaign.sources import Source
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, table, trace

LENGTH_S = 400


def network() -> Stream:
    """Off-grid starts, three rates, a gap, a stuck stretch, a dead and a slow channel, and a second sensor."""
    rng = np.random.default_rng(1)

    def noise(rate_hz: float) -> np.ndarray:
        return np.round(1000 * rng.standard_normal(round(LENGTH_S * rate_hz)).cumsum() + 5e5).astype(np.int32)

    stream = Stream([trace("S0", f"HH{c}", noise(125.0), 125.0) for c in "ZNE"])
    stream += Stream([trace("S0", "HNZ", noise(100.0)), trace("S0", "LHZ", noise(1.0), 1.0)])
    stuck = noise(100.0)
    stuck[5_700:6_400] = stuck[5_700]
    stream += Stream([trace("S1", "HHZ", stuck, 100.0, T0 + 0.003), trace("S1", "HHN", 0 * stuck + 7)])
    late = trace("S2", "HHZ", noise(200.0), 200.0, T0 + 0.001)
    stream += Stream([late.slice(endtime=T0 + 150), late.slice(starttime=T0 + 163.2)])
    return stream


def written(folder: Path, stream: Stream, n_pieces: int) -> Path:
    """The stream as so many MiniSEED files of equal length, under shuffled names."""
    folder.mkdir()
    names = [f"f{i:04d}.mseed" for i in range(n_pieces)]
    random.Random(0).shuffle(names)
    for i, piece in enumerate(pieces_of(stream, n_pieces)):
        piece.write(str(folder / names[i]), "MSEED")
    return folder


def pieces_of(stream: Stream, n_pieces: int) -> list[Stream]:
    edges = [T0 + LENGTH_S * i / n_pieces for i in range(n_pieces)] + [T0 + LENGTH_S + 10]
    pieces = []
    for begin, end in itertools.pairwise(edges):
        cut = [t.slice(begin, end - t.stats.delta / 1e3, nearest_sample=False) for t in stream]
        pieces.append(Stream([t for t in cut if t.stats.npts]))
    return [piece for piece in pieces if piece]


def prepared(source: Source, **options: object) -> tuple[Runs, np.ndarray, np.ndarray]:
    """The runs, and samples and masks of the only one."""
    runs = Runs(source, table(), Preprocessing(), **options)  # type: ignore[arg-type]
    (run,) = (pieces := [(run, list(run.pieces())) for run in runs])
    del pieces
    found = run[1]
    assert [p.first_sample for p in found] == list(np.cumsum([0, *(p.n_samples for p in found)]))[:-1]
    assert sum(p.n_samples for p in found) == run[0].n_samples
    assert found[0].start == run[0].start
    return runs, np.concatenate([p.samples for p in found], -1), np.concatenate([p.recorded for p in found], -1)


@pytest.fixture(params=[1800.0, 61.0], ids=["held", "span by span"])
def inspected(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    for module in (long_run_module, runs_module):
        monkeypatch.setattr(module, "INSPECTED_S", request.param)
    monkeypatch.setattr(sources_module, "PART_BYTES", 50_000)
    return float(request.param)


def test_the_samples_do_not_depend_on_how_the_record_is_stored(tmp_path: Path, inspected: float) -> None:
    stream = network()
    whole = prepare(stream, table())
    sources: list[Source] = [
        stream,
        written(tmp_path / "one", stream, 1),
        written(tmp_path / "some", stream, 24),
        sorted(written(tmp_path / "many", stream, 67).iterdir(), reverse=True),
        (piece for piece in pieces_of(stream, 7)),
        iter(reversed(pieces_of(stream, 7))),
    ]
    for source in sources:
        runs, samples, recorded = prepared(source)
        assert runs.prepared[0].station_ids == whole.station_ids
        np.testing.assert_array_equal(samples, whole.samples)
        np.testing.assert_array_equal(recorded, whole.recorded)
        texts = {f.text for f in runs.findings}
        assert any("HHN is constant and counts as dead" in text for text in texts)
        assert any("HNZ, LHZ left out (one sensor" in text or "HNZ left out (one sensor" in text for text in texts)
    assert not recorded[1, 2, 5_702:6_398].any()  # the stuck stretch, across a boundary of spans
    assert inspected > 1000 or len(list(Runs(stream, table(), Preprocessing()))) == 1


def test_a_longer_sensor_is_heard_although_the_other_one_begins_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (long_run_module, runs_module):
        monkeypatch.setattr(module, "INSPECTED_S", 60.0)
    noise = np.random.default_rng(0).standard_normal(40_000)
    stuck = noise.copy()
    stuck[1000:] = 3.0
    stream = Stream([trace("S0", "HHZ", stuck), trace("S0", "HNZ", noise, start=T0 + 30)])
    _, samples, recorded = prepared(stream)
    (alone,) = prepare(stream[1:], table()).samples[:, 2]
    assert not recorded[0, 2, : -len(alone)].any()
    np.testing.assert_array_equal(samples[0, 2, -len(alone) :], alone)


def test_records_apart_are_runs_of_their_own_and_useless_ones_are_told() -> None:
    noise = np.random.default_rng(0).standard_normal(3000)
    days = [trace("S0", "HHZ", noise, start=T0 + 86400.0 * day) for day in range(3)]
    unlisted = trace("ZZ", "HHZ", noise, start=T0 + 86400.0 * 9)
    told: list[str] = []
    runs = Runs(
        {"a": Stream([*days, unlisted])},
        table(),
        Preprocessing(),
        on_findings=lambda findings: told.extend(f.text for f in findings),
    )
    assert [run.start for run in runs] == [t.stats.starttime for t in days]
    assert [run.name for run in runs.prepared] == [f"a_202001{day:02d}T000000" for day in (1, 2, 3)]
    assert any(f.text.startswith("left out: a_20200110T000000: no trace belongs") for f in runs.findings)
    assert any(text.startswith("left out: a_20200110T000000") for text in told)
    with pytest.raises(CampaignError, match="no trace belongs to a station"):
        list(Runs(Stream([unlisted]), table(), Preprocessing()))
    with pytest.raises(CampaignError, match="the waveforms cannot be used"):
        Runs(Stream(), table(), Preprocessing())
    with pytest.raises(CampaignError, match="the list of waveforms is empty"):
        Runs(iter(()), table(), Preprocessing())
    with pytest.raises(CampaignError, match="chunk 1 of the waveforms is a Trace"):
        Runs(iter([Stream(days), days[0]]), table(), Preprocessing())  # type: ignore[list-item]


@pytest.mark.parametrize("where", ["header", "samples"])
def test_a_file_that_cannot_be_read_is_named_and_skipped_only_on_request(
    where: str, tmp_path: Path, inspected: float
) -> None:
    stream = network()
    folder = written(tmp_path / "day", stream[:1], 8)
    victim = next(p for p in folder.iterdir() if header_start(p) == T0 + 3 * LENGTH_S / 8)
    content = bytearray(victim.read_bytes())
    if where == "header":
        victim.write_bytes(gzip.compress(content)[:-100])
    else:
        content[4096 + 52] = 77  # an encoding that the second record's samples cannot have
        victim.write_bytes(content)
    stream[5:7].write(str(folder / "other.mseed"), "MSEED")
    with pytest.raises(CampaignError, match=rf"{victim.name}: .*--skip-unreadable"):
        prepared(folder)
    runs, samples, recorded = prepared(folder, skip_unreadable=True)
    assert [f.severity for f in runs.findings if victim.name in f.text] == ["warning"]
    assert not recorded[0, 2, 15_010:19_990].any()
    assert recorded[0, 2, :14_990].all()
    assert recorded[0, 2, 20_010:39_990].all()
    del inspected, samples


def header_start(path: Path) -> UTCDateTime:
    from obspy import read

    return read(str(path), headonly=True)[0].stats.starttime


def test_of_two_files_that_disagree_the_earlier_one_wins_in_any_order(tmp_path: Path, inspected: float) -> None:
    noise = np.random.default_rng(0).standard_normal((3, 20_000)).astype(np.float32)
    first, second = trace("S0", "HHZ", noise[0]), trace("S0", "HHZ", noise[1], start=T0 + 120)
    rest = trace("S0", "HHZ", noise[2], start=T0 + 300)
    for name, one in (("z", first), ("a", second), ("m", rest)):
        one.write(str(tmp_path / f"{name}.mseed"), "MSEED")
    files = sorted(tmp_path.iterdir())
    found = [prepared(source) for source in (files, files[::-1], tmp_path, Stream([rest, first, second]))]
    for runs, samples, _ in found:
        np.testing.assert_array_equal(samples, found[0][1])
        (message,) = [f.text for f in runs.findings if "different samples" in f.text]
        assert "starts first is used" in message
        assert "for 100 s" in message  # 80 s of the second file and 20 s of the third
    alone = prepare(Stream([first]), table()).samples
    np.testing.assert_array_equal(found[0][1][..., :20_000], alone)


def test_a_clock_that_jumps_back_keeps_what_came_first(tmp_path: Path, inspected: float) -> None:
    noise = np.random.default_rng(0).standard_normal(40_000).astype(np.float32)
    before = trace("S0", "HHZ", noise[:20_000])
    after = trace("S0", "HHZ", noise[20_000:], start=T0 + 195.5)
    (tmp_path / "x.mseed").write_bytes(b"")
    Stream([before, after]).write(str(tmp_path / "x.mseed"), "MSEED")
    runs, samples, recorded = prepared(tmp_path / "x.mseed")
    assert recorded[0, 2].all()
    assert samples.shape[-1] == 39_550
    np.testing.assert_array_equal(samples[..., :20_000], prepare(Stream([before]), table()).samples)
    assert any("different samples for 4.5 s" in f.text for f in runs.findings)


def test_only_the_parts_of_a_file_that_a_span_needs_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inspected: float
) -> None:
    file = next(written(tmp_path / "one", network(), 1).iterdir())
    sizes: list[int] = []
    real = sources_module.read_span

    def read_span(path: Path, span: tuple[int, int], *, headers_only: bool = False) -> Stream:
        sizes.append(span[1])
        return real(path, span, headers_only=headers_only)

    monkeypatch.setattr(sources_module, "read_span", read_span)
    prepared(file)
    assert max(sizes) <= 50_000 < file.stat().st_size / 5


def test_a_piece_lives_no_longer_than_whoever_took_it_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (long_run_module, runs_module):
        monkeypatch.setattr(module, "INSPECTED_S", 61.0)
    (run,) = Runs(network(), table(), Preprocessing())
    pieces = run.pieces()
    piece = next(pieces)
    canvas = weakref.ref(piece.samples.base)
    assert canvas() is not None
    del piece
    assert canvas() is None


def test_temporary_files_of_chunks_are_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def chunks() -> Iterator[Stream]:
        yield from pieces_of(network(), 5)

    runs = Runs(chunks(), table(), Preprocessing())
    assert list(tmp_path.iterdir())
    for run in runs:
        next(run.pieces())
    assert not list(tmp_path.iterdir())


def test_doubtful_stations_clocks_that_were_reset_and_complex_samples_are_told() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal(3000) for _ in range(4)]
    stream = Stream([trace("S0", "HHZ", noise[0]), trace("S1", "HHZ", noise[1].astype(np.complex64))])
    stream += Stream([trace("S2", "HHZ", noise[2]), trace("S3", "HHZ", noise[3], start=UTCDateTime(1970, 1, 1))])
    absurd = Station("XX.S9.", 0.2, 10.0, -99_999.0)
    runs = Runs(stream, StationTable([*table(), absurd], source="stations.csv"), Preprocessing())
    assert [run.station_ids for run in runs] == [("XX.S3.",), ("XX.S0.", "XX.S2.")]
    told = [f.text for f in runs.findings if f.severity == "warning"]
    assert any("traces XX.S1..HHZ are left out: their samples are of the kind complex64" in text for text in told)
    assert any("lie 50 years before those from 2020-01-01" in text and "clock was reset" in text for text in told)
    assert any(text.startswith("stations.csv: station XX.S9. has an elevation of -99999 m") for text in told)
