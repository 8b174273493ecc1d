"""Archives are opened within limits, and only named formats are tried on what they hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from obspy import Inventory, Stream, Trace
from obspy.core.inventory import Network
from obspy.core.inventory import Station as Site

from phaseno_peft.campaign import read_catalogue, read_stations, read_waveforms, unpack
from phaseno_peft.campaign.unpack import obspy_format, plain_files, unpacked
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, catalog, pick, trace

TEXT = b"some plain content\n" * 40


def tar(members: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


WRAPPINGS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda content: zipped({"a.txt": content}),
    "zip-stored": lambda content: zipped({"a.txt": content}, zipfile.ZIP_STORED),
    "tar": lambda content: tar({"a.txt": content}),
    "tar.gz": lambda content: gzip.compress(tar({"a.txt": content})),
    "tar.bz2": lambda content: tar({"a.txt": content}, "w:bz2"),
    "tar.xz": lambda content: lzma.compress(tar({"a.txt": content})),
    "gz in tar in zip": lambda content: zipped({"b": tar({"a.gz": gzip.compress(content)})}),
}


@pytest.mark.parametrize("kind", WRAPPINGS)
def test_every_wrapping_gives_the_plain_content_whatever_the_file_is_called(kind, tmp_path) -> None:
    path = tmp_path / "day.mseed"
    path.write_bytes(WRAPPINGS[kind](TEXT))
    assert [content for _, content in unpacked(path)] == [TEXT]
    with plain_files(path) as files:
        for _, plain in files:
            assert plain != path
            assert plain.read_bytes() == TEXT
    assert not plain.exists()


def test_a_plain_file_gives_itself(tmp_path) -> None:
    path = tmp_path / "day.tar"
    path.write_bytes(TEXT)
    assert list(unpacked(path)) == [("day.tar", TEXT)]
    with plain_files(path) as files:
        assert list(files) == [("day.tar", path)]


def test_all_members_come_but_links_folders_and_empty_files_do_not(tmp_path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("dir", tarfile.DIRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        for name, content in (("../../a", b"one"), ("empty", b""), ("b", b"two")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    path = tmp_path / "all.tar"
    path.write_bytes(buffer.getvalue())
    with plain_files(path) as files:
        assert [(name, plain.read_bytes()) for name, plain in files] == [
            ("all.tar/../../a", b"one"),
            ("all.tar/b", b"two"),
        ]
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip", "tar.gz", "tar.xz", "gz in tar in zip"])
def test_a_bomb_is_refused_before_it_is_unpacked(kind, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(unpack, "FREE_BYTES", 1 << 18)
    path = tmp_path / "bomb.mseed"
    path.write_bytes(WRAPPINGS[kind](bytes(2 << 20)))
    with pytest.raises(CampaignError, match=r"bomb\.mseed: unpacks to more than \d+ MB"):
        list(unpacked(path))


def test_many_modest_members_are_counted_together(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(unpack, "MAX_UNPACKED_BYTES", 1 << 20)
    path = tmp_path / "many.zip"
    path.write_bytes(zipped({str(i): bytes(1 << 18) for i in range(8)}))
    with pytest.raises(CampaignError, match="unpacks to more than 1 MB"):
        list(unpacked(path))
    monkeypatch.setattr(unpack, "MAX_MEMBERS", 3)
    with pytest.raises(CampaignError, match="holds more than 3 files"):
        list(unpacked(path))


def test_archives_without_end_inside_each_other_are_refused(tmp_path) -> None:
    content = TEXT
    for _ in range(5):
        content = gzip.compress(content)
    (tmp_path / "deep.gz").write_bytes(content)
    with pytest.raises(CampaignError, match="archives more than 4 deep"):
        list(unpacked(tmp_path / "deep.gz"))


@pytest.mark.parametrize("kind", WRAPPINGS)
def test_cut_and_altered_archives_are_refused_in_words_or_read(kind, tmp_path) -> None:
    whole = WRAPPINGS[kind](TEXT)
    path = tmp_path / "cut"
    for content in [whole[: len(whole) * part // 8] for part in range(1, 8)] + [
        bytes(byte ^ (255 if i == at else 0) for i, byte in enumerate(whole)) for at in range(6, len(whole), 131)
    ]:
        path.write_bytes(content)
        with suppress(CampaignError):
            list(unpacked(path))


def test_an_encrypted_zip_is_refused_in_words(tmp_path) -> None:
    content = bytearray(zipped({"a": TEXT}))
    content[6] |= 1  # flag bit 0 of the local header and, below, of the directory: encrypted
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "secret.zip").write_bytes(content)
    with pytest.raises(CampaignError, match=r"secret\.zip: damaged or encrypted archive"):
        list(unpacked(tmp_path / "secret.zip"))


def test_only_the_allowed_formats_are_asked(tmp_path) -> None:
    stream = Stream([Trace(np.ones(10, np.int32))])
    stream.write(str(tmp_path / "a"), "MSEED")
    stream.write(str(tmp_path / "b"), "PICKLE")
    assert obspy_format("waveform", tmp_path / "a", ("SAC", "MSEED")) == "MSEED"
    assert obspy_format("waveform", tmp_path / "a", ("SAC",)) is None
    assert obspy_format("waveform", tmp_path / "b", ("SAC", "MSEED")) is None


def test_a_workbook_is_no_archive_of_files(tmp_path) -> None:
    path = tmp_path / "letter.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "<?xml version='1.0'?><Types/>")
        archive.writestr("word/document.xml", "<?xml version='1.0'?><document/>")
    assert [name for name, _ in unpacked(path)] == ["letter.docx"]
    for read in (read_catalogue, read_stations):
        with pytest.raises(CampaignError, match=r"letter\.docx: is an office document, but no Excel workbook"):
            read(path)


def test_a_workbook_that_defines_entities_is_refused(tmp_path) -> None:
    path = tmp_path / "picks.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "<?xml version='1.0'?><Types/>")
        archive.writestr("xl/workbook.xml", "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><workbook/>")
    with pytest.raises(CampaignError, match=r"picks\.xlsx: declares a document type"):
        read_catalogue(path)


def test_a_name_that_looks_like_a_pattern_reads_that_file_and_no_other(tmp_path, monkeypatch) -> None:
    """Browsers call a second download picks[1].xml, and obspy's readers take such a name for a pattern."""
    monkeypatch.chdir(tmp_path)
    for name, code in (("right", "S0"), ("wrong", "S1")):
        catalog([[pick(code, "P", T0)]]).write(f"{name}.xml", "QUAKEML")
        inventory = Inventory([Network("XX", [Site(code, 10.0, 10.0, 0.0)])])
        inventory.write(f"{name}.inventory.xml", "STATIONXML")
        (day := trace(code, "HHZ", np.arange(500, dtype=np.float32))).write(f"{name}.mseed", "MSEED")
        day.stats.sac = {"b": 0.0, "a": 5.0}
        day.write(f"{name}.sac", "SAC")
    for ending in ("xml", "inventory.xml", "mseed", "sac"):
        os.rename(f"right.{ending}", f"x[1].{ending}")
        os.rename(f"wrong.{ending}", f"x1.{ending}")
    (event,) = read_catalogue("x[1].xml").events
    (of_sac,) = read_catalogue("x[1].sac").events
    assert [p.station_id for p in (*event.picks, *of_sac.picks)] == ["XX.S0.", "XX.S0."]
    assert read_stations("x[1].inventory.xml").station_ids == ("XX.S0.",)
    ((day,),) = read_waveforms("x[1].mseed").values()
    assert day.stats.station == "S0"


def test_a_pipe_is_refused_instead_of_read_from_its_middle_on(tmp_path) -> None:
    """`--picks <(zcat picks.gz)`: what tells the format would be gone when the picks are read."""
    os.mkfifo(tmp_path / "pipe")
    for read in (read_catalogue, read_stations, read_waveforms):
        with pytest.raises(CampaignError, match="pipe"):
            read(tmp_path / "pipe")
