"""Waveform files: which formats are read, out of which wrappings, and that nothing in a file is run or followed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from obspy import Stream, Trace, read
from obspy.core.util.base import ENTRY_POINTS

from phaseno_peft.campaign import StationTable, prepare, read_waveforms
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.waveform_files import FORMATS, POINTER_FORMATS, read_channels, rename_channels
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, trace

NOISE = np.random.default_rng(0).standard_normal(6000)


def test_waveform_files_are_read_by_stem_and_others_passed_over(tmp_path) -> None:
    for name in ("b", "a[1]"):  # a bracket is a wildcard to obspy
        Stream([trace("S0", "HHZ", NOISE)]).write(str(tmp_path / f"{name}.mseed"), "MSEED")
    (tmp_path / "README.txt").write_text("about the data")
    assert list(read_waveforms(tmp_path)) == ["a[1]", "b"]
    assert len(read_waveforms([tmp_path / "b.mseed"])["b"]) == 1


def test_waveform_paths_that_cannot_be_used_are_refused_in_words(tmp_path) -> None:
    with pytest.raises(CampaignError, match=r"no\.mseed: no such waveform file"):
        read_waveforms(tmp_path / "no.mseed")
    (tmp_path / "notes.txt").write_text("about the data")
    with pytest.raises(CampaignError, match="none of its 1 files is a waveform file"):
        read_waveforms(tmp_path)
    with pytest.raises(CampaignError, match=r"notes\.txt: not a waveform format"):
        read_waveforms(tmp_path / "notes.txt")
    Stream([trace("S0", "HHZ", NOISE)]).write(str(tmp_path / "p.pickle"), "PICKLE")
    with pytest.raises(CampaignError, match="pickle, which could run code"):
        read_waveforms(tmp_path / "p.pickle")


def tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("a.mseed", "b.mseed"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.mseed", content)
        archive.comment = b"obspy_no_uncompress"
    return buffer.getvalue()


WRAPPINGS = {
    "plain": lambda content: content,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "tar": tar,
    "tar.gz": lambda content: gzip.compress(tar(content)),
    "tar.bz2": lambda content: bz2.compress(tar(content)),
    "tar.xz": lambda content: lzma.compress(tar(content)),
    "zip in tar": lambda content: tar(zipped(content)),
    "gz in zip in tar.gz": lambda content: gzip.compress(tar(zipped(gzip.compress(content)))),
}


class RunsOnUnpickling:
    def __init__(self, trace_of_it: Path) -> None:
        self.trace_of_it = trace_of_it

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace_of_it,)


@pytest.mark.parametrize("name", ["day.mseed", "day.tar.gz"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_no_wrapping_brings_a_pickle_to_run(wrapping, name, tmp_path) -> None:
    ran = tmp_path / "ran"
    folder = tmp_path / "waveforms"
    folder.mkdir()
    plain = pickle.dumps(RunsOnUnpickling(ran), 2)
    named = b"\x80\x02cobspy.core.stream\nStream\n0" + plain[2:]  # what obspy takes for a stream of its own
    for content in (named, plain):
        (folder / name).write_bytes(WRAPPINGS[wrapping](content))
        for path in (folder, folder / name):
            with pytest.raises(CampaignError):
                read_waveforms(path)
    assert not ran.exists()
    pickle.loads(plain)
    assert ran.exists()  # it would have run


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_records_come_out_of_every_wrapping_whatever_the_file_is_called(wrapping, tmp_path) -> None:
    stream = Stream([trace("S0", "HHZ", NOISE)])
    stream.write(str(tmp_path / "plain"), "MSEED")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "day.mseed"
    path.write_bytes(WRAPPINGS[wrapping]((tmp_path / "plain").read_bytes()))
    (found,) = read_waveforms(tmp_path / "in").values()
    assert len(found) == (2 if "tar" in wrapping else 1)
    for one in found:
        np.testing.assert_array_equal(one.data, NOISE)


def test_an_archive_of_waveforms_and_notes_gives_the_waveforms(tmp_path) -> None:
    buffer = io.BytesIO()
    Stream([trace("S0", "HHZ", NOISE)]).write(str(tmp_path / "plain"), "MSEED")
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("README", "about the data")
        archive.write(tmp_path / "plain", "day.mseed")
    (tmp_path / "all.zip").write_bytes(buffer.getvalue())
    assert len(read_waveforms(tmp_path / "all.zip")["all"]) == 1


def test_every_waveform_format_of_obspy_is_decided_on() -> None:
    own = {name for name, entry in ENTRY_POINTS["waveform"].items() if entry.dist.name == "obspy"}
    assert own == FORMATS | POINTER_FORMATS | {"PICKLE"}


def test_a_list_of_other_files_does_not_open_them(tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(100, dtype=">i4").tobytes())
    line = bytearray(b" " * 283)
    for at, text in (
        (0, "AAA"), (7, "HHZ"), (16, "1388534400.00000"), (61, "1388534401.00000"), (79, "     100"),
        (88, "100.0000"), (100, "1.0"), (117, "1.0"), (143, "s4"), (148, ".."),
        (213, "secret"), (246, "         0"),
    ):  # fmt: skip
        line[at : at + len(text)] = text.encode()
    folder = tmp_path / "waveforms"
    folder.mkdir()
    (folder / "list.wfdisc").write_bytes(bytes(line) + b"\n")
    assert len(read(str(folder / "list.wfdisc"))[0].data) == 100  # obspy follows it
    with pytest.raises(CampaignError, match=r"list\.wfdisc: is a CSS list of other files"):
        read_waveforms(folder)


def test_a_header_that_announces_two_thousand_million_samples_costs_nothing(tmp_path) -> None:
    Stream([trace("S0", "HHZ", NOISE.astype(np.int32))]).write(str(tmp_path / "a.gse"), "GSE2")
    content = bytearray((tmp_path / "a.gse").read_bytes())
    at = content.index(b"    6000")
    content[at : at + 8] = b"99999999"
    (tmp_path / "a.gse").write_bytes(content)
    with pytest.raises(CampaignError, match=r"a\.gse: damaged or not readable .*announces 99999999 samples"):
        read_waveforms(tmp_path / "a.gse")


@pytest.mark.parametrize("given", ["EH0=Z,EH1=N,EH2=E", {"EH0": "Z", "EH1": "N", "EH2": "E"}, "file"])
def test_codes_are_put_right_on_request(given, tmp_path) -> None:
    Stream([trace("S0", f"EH{i}", NOISE + i) for i in range(3)]).write(str(tmp_path / "a.mseed"), "MSEED")
    if given == "file":
        given = tmp_path / "codes.txt"
        given.write_text("# our recorders\nEH0 = z\nEH1 = n, EH2=e\n")
    (stream,) = read_waveforms(tmp_path / "a.mseed", given).values()
    assert [t.stats.channel for t in stream] == ["EHZ", "EHN", "EHE"]


def test_codes_without_a_common_stem_become_one_sensor() -> None:
    stream = Stream([trace("S0", code, NOISE) for code in ("V", "H1", "H2")])
    rename_channels(stream, read_channels("V=Z,H1=N,H2=E"))
    assert [t.stats.channel for t in stream] == ["Z", "N", "E"]


def test_a_code_of_one_station_goes_before_the_code_of_all() -> None:
    stream = Stream([trace(s, "EH0", NOISE) for s in ("S0", "S1", "S2")])
    rename_channels(stream, read_channels("EH0=Z,S1.EH0=N,XX.S2..EH0=HHE"))
    assert [t.stats.channel[-1] for t in stream] == ["Z", "N", "E"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("EH0=X", "EH0=X does not say Z, N or E"),
        ("EH0", "neither CODE=COMPONENT"),
        ("EH0=Z,EH1", "'EH1' is not CODE=COMPONENT"),
        ("EH0=Z,EH0=N", "EH0 is given as Z and as N"),
        ("EH0=AAA.Z", "EH0=AAA.Z renames a station"),
        ("0=AAA.Z", "0=AAA.Z renames a station"),
    ],
)
def test_codes_that_cannot_be_meant_are_refused_in_words(given, told) -> None:
    with pytest.raises(CampaignError, match=told):
        read_channels(given)


def test_traces_of_a_segy_file_are_used_by_their_numbers(tmp_path) -> None:
    path = tmp_path / "shot.sgy"
    traces = [Trace((100 * NOISE + i).astype(np.float32), {"sampling_rate": 500, "starttime": T0}) for i in range(4)]
    Stream(traces).write(str(path), "SEGY", data_encoding=5)
    stations = StationTable([Station("XX.G01.", 10, 10, 0), Station("XX.G02.00", 10, 10, 0)], source="stations.csv")
    with pytest.raises(CampaignError, match=r"SEG-Y, SU and SEG-2 .* --channels 1=STATION\.Z"):
        prepare(read_waveforms(path)["shot"], stations)
    named = read_waveforms(path, "1=G01.Z,2=G01.N,3=G01.E,4=XX.G02.00.HHZ")["shot"]
    recording = prepare(named, stations)
    assert recording.station_ids == ("XX.G01.", "XX.G02.00")
    assert recording.components == ("ENZ", "Z")


def test_a_gse2_line_that_would_overflow_the_decoder_is_refused_before_it_runs(tmp_path) -> None:
    path = tmp_path / "day.gse2"
    Stream([trace("XX.A", "Z", np.arange(4000, dtype=np.int32) % 977)]).write(str(path), format="GSE2")
    assert len(next(iter(read_waveforms(path).values()))[0]) == 4000
    header, samples = path.read_bytes().split(b"DAT2\n")
    path.write_bytes(header + b"DAT2\n" + samples.replace(b"\n", b"+", 3))  # four lines in one
    with pytest.raises(CampaignError, match=r"day\.gse2: damaged, line \d has 32\d characters, where at most 82"):
        read_waveforms(path)


@pytest.mark.parametrize(
    ("lost", "message"),
    [(b"DAT2\n", r"the trace before line \d+ has no samples"), (b"CHK2", r"its last trace has no checksum")],
)
def test_gse2_samples_without_beginning_or_end_are_refused_before_they_are_decoded(lost, message, tmp_path) -> None:
    path = tmp_path / "day.gse2"
    Stream([trace("XX.A", "Z", np.arange(4000, dtype=np.int32) % 977)]).write(str(path), format="GSE2")
    path.write_bytes(path.read_bytes().replace(lost, b"") + b"x" * 300)
    with pytest.raises(CampaignError, match=rf"day\.gse2: damaged, ({message}|line \d+ has 30\d characters)"):
        read_waveforms(path)


def test_long_lines_of_uncompressed_gse2_are_read(tmp_path) -> None:
    path = tmp_path / "day.gse2"
    samples = np.arange(200) % 50
    Stream([trace("XX.A", "Z", samples.astype(np.int32))]).write(str(path), format="GSE2")
    header, rest = path.read_bytes().split(b"DAT2\n")
    path.write_bytes(
        header.replace(b"CM6 ", b"INT ")
        + b"DAT2\n"
        + " ".join(map(str, samples)).encode()
        + b"\n"
        + rest[rest.index(b"CHK2") :]
    )
    np.testing.assert_array_equal(next(iter(read_waveforms(path).values()))[0].data, samples)


@pytest.mark.parametrize("announced", [2**24 + 10, 11])
def test_an_rg16_header_with_more_records_than_the_file_holds_is_refused(announced, tmp_path) -> None:
    path = tmp_path / "node.fcnt"
    sets, rest, samples = 2, 3, 4
    header = bytearray(32 * (2 + sets + rest))
    header[0:4] = b"\x00\x01\x80\x58"  # its format code, 8058, in decimal digits
    header[16], header[22], header[28], header[38] = 0x20, 16, sets, rest  # maker, 1 kHz, sets, extended headers
    header[42:44] = (262).to_bytes(2, "big")
    header[64 + 30], header[96 + 30] = 2, 3  # channels
    header[32 * (3 + sets) + 16 : 32 * (3 + sets) + 20] = announced.to_bytes(4, "big")  # time slices
    record = bytearray(20 + 32 * 3 + 4 * samples)
    record[9] = 3
    record[27:30] = samples.to_bytes(3, "big")
    path.write_bytes(bytes(header) + bytes(record) * 20)  # ten slices of two channels
    with pytest.raises(CampaignError, match=rf"its header announces {2 * announced} records, but it ends after 20"):
        read_waveforms(path)


@pytest.mark.parametrize("name", ["a.mseed", "XX.A..HHZ.D.2024.001", "b.SAC.gz"])
@pytest.mark.parametrize(
    ("content", "why"), [(b"", "is empty"), (b"<html>", "begins with b'<html>'"), (bytes(99), "zeros")]
)
def test_what_is_called_a_waveform_file_and_is_none_is_told(
    name: str, content: bytes, why: str, tmp_path: Path
) -> None:
    Stream([trace("XX.A", "Z", np.arange(200, dtype=np.int32))]).write(str(tmp_path / "good.mseed"), format="MSEED")
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CampaignError, match=rf"{re.escape(name)}: is called a waveform file, but .*{re.escape(why)}"):
        read_waveforms(tmp_path)
    (tmp_path / name).unlink()
    assert set(read_waveforms(tmp_path)) == {"good"}


def test_a_long_list_of_channels_is_no_file_name() -> None:
    given = ",".join(f"{k}=S{k:03d}.Z" for k in range(1, 60))
    assert len(read_channels(given)) == 59
