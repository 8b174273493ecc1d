"""An archive's tasks give the picks of one pass, however they are cut, stopped, killed and shared out."""

from __future__ import annotations

import dataclasses
import gzip
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from obspy import Stream

from phaseno_peft.archive import ArchiveSummary, pick_archive, read_picks
from phaseno_peft.archive.picks_folder import MANIFEST, read_parquet, write_parquet
from phaseno_peft.campaign import StationTable
from phaseno_peft.errors import BusyError, CampaignError, PhasenoPeftError
from phaseno_peft.files.atomic import lock
from phaseno_peft.picking import Picker, PickList
from phaseno_peft.picks import Pick
from tests.archive.small_archive import BEGIN, LENGTH_S, LEVELS, archive, assert_same, stream, table, write_sds
from tests.campaign.synthetic_network import T0, trace

__all__ = ["archive"]


@pytest.fixture(scope="module")
def picker(small_backbone: Path) -> Picker:
    return Picker.load(small_backbone)


@pytest.fixture(scope="module")
def one_pass(picker: Picker) -> PickList:
    """Of the whole stream, held in memory."""
    found = picker.classify(stream(), table(), **LEVELS)
    assert len(found) > 200
    return found


def picked(archive: Path, folder: Path, picker: Picker, **options: Any) -> ArchiveSummary:
    settings = {"block_hours": 1, "group_stations": 3, **LEVELS, **options}
    return pick_archive(archive, settings.pop("stations", table()), folder, picker, **settings)


def test_tasks_give_the_picks_of_one_pass(archive: Path, picker: Picker, one_pass: PickList, tmp_path: Path) -> None:
    summary = picked(archive, tmp_path / "picks", picker)
    assert_same(read_picks(tmp_path / "picks"), one_pass)
    assert (summary.tasks, summary.picked_now, summary.stations) == (8, 8, 4)  # 23:58:45 to 00:01:15, two groups
    assert summary.gaps == 3
    assert summary.station_hours == pytest.approx((4 * LENGTH_S - 11 - 2 * 15) / 3600, abs=2e-3)
    assert summary.picks == {phase: len(one_pass.select(phase=phase)) for phase in "PS"}
    assert not summary.failures
    assert {path.parent.name for path in (tmp_path / "picks").glob("*/*")} == {"day=2019-12-31", "day=2020-01-01"}
    for hours, stations in ((2, 50), (4, 3)):
        cut = tmp_path / f"{hours}"
        picked(archive, cut, picker, block_hours=hours, group_stations=stations)
        assert_same(read_picks(cut), one_pass)


def test_parquet_keeps_every_number_of_a_pick(tmp_path: Path) -> None:
    kept = [Pick("XX.S0.", "P", T0 + 0.123456789, 0.1 + 0.2, 0.05, 0.01), Pick("XX.S1.00", "S", T0, 0.5, 0.0, 0.02)]
    assert read_parquet(write_parquet(tmp_path / "day=2020-01-01" / "a.parquet", kept)) == kept


def test_pandas_reads_the_folder(archive: Path, picker: Picker, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    picked(archive, tmp_path / "picks", picker)
    found = pandas.read_parquet(tmp_path / "picks")
    assert len(found) == len(read_picks(tmp_path / "picks"))
    assert set(found.columns) == {
        "station",
        "phase",
        "time",
        "probability",
        "uncertainty_s",
        "spread_s",
        "day",
    }


def test_a_time_gives_its_picks_and_another_time_adds_to_them(
    archive: Path, picker: Picker, one_pass: PickList, tmp_path: Path
) -> None:
    folder, middle = tmp_path / "picks", T0 + 17.3
    picked(archive, folder, picker, starttime=BEGIN + 40, endtime=middle)
    assert_same(read_picks(folder), one_pass.between(BEGIN + 40, middle))
    picked(archive, folder, picker, starttime=middle - 5, endtime=T0 + 40)
    assert_same(read_picks(folder), one_pass.between(BEGIN + 40, T0 + 40))
    assert picked(archive, folder, picker, starttime=middle, endtime=T0 + 30).picked_now == 0
    picked(archive, folder, picker)
    assert_same(read_picks(folder), one_pass)
    found = picker.classify(archive, table(), starttime=BEGIN + 40, endtime=middle, **LEVELS)
    assert_same(found, one_pass.between(BEGIN + 40, middle))


def test_the_same_command_goes_on_where_it_was_killed(
    archive: Path, picker: Picker, one_pass: PickList, tmp_path: Path
) -> None:
    folder = tmp_path / "picks"

    def until_killed(after: int) -> None:
        picked(
            archive, folder, picker, progress=lambda done: done.tasks < after or os.kill(os.getpid(), signal.SIGKILL)
        )

    for after in (2, 5):
        child = multiprocessing.get_context("fork").Process(target=until_killed, args=(after,))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
        assert len((folder / MANIFEST).read_text().splitlines()) == after + 1
    with (folder / MANIFEST).open("a") as file:
        file.write('{"key": "cut o')  # a kill in the middle of a line
    orphan = folder / "day=2020-01-01" / "0123456789abcdef.parquet"
    orphan.parent.mkdir(exist_ok=True)
    shutil.copy(next(folder.glob("day=*/*.parquet")), orphan)  # and before one
    summary = picked(archive, folder, picker)
    assert (summary.tasks, summary.picked_now) == (8, 3)
    assert_same(read_picks(folder), one_pass)
    assert not orphan.exists()
    assert picked(archive, folder, picker).picked_now == 0
    with lock(folder, "picking"):
        pass
    lines = (folder / MANIFEST).read_bytes().splitlines(keepends=True)
    (folder / MANIFEST).write_bytes(b"".join([*lines[:3], lines[3][:20] + b"\xff\n", *lines[4:]]))
    kept = sorted(folder.glob("day=*/*.parquet"))
    with pytest.raises(PhasenoPeftError, match=r"line 4 is damaged"):
        picked(archive, folder, picker)
    assert sorted(folder.glob("day=*/*.parquet")) == kept


def test_a_second_process_is_told_of_the_first(archive: Path, picker: Picker, tmp_path: Path) -> None:
    refused = pytest.raises(BusyError, match="picking")
    with multiprocessing.get_context("fork").Pool(1) as pool, lock(tmp_path / "picks", "picking"), refused:
        pool.apply(picked, (archive, tmp_path / "picks", picker))


def test_a_full_disk_keeps_what_is_finished(archive: Path, picker: Picker, one_pass: PickList, tmp_path: Path) -> None:
    folder = tmp_path / "picks"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done: Any) -> None:
        if done.tasks == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))

    try:
        with pytest.raises(PhasenoPeftError, match=f"{folder}.* cannot be written: (File too large|No space left)"):
            picked(archive, folder, picker, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert picked(archive, folder, picker).picked_now == 5
    assert_same(read_picks(folder), one_pass)
    assert not list(folder.rglob("*.tmp"))


def test_a_damaged_day_is_told_skipped_and_done_again_on_request(
    archive: Path, picker: Picker, one_pass: PickList, tmp_path: Path
) -> None:
    folder = tmp_path / "picks"
    header, samples = sorted(archive.rglob("*S1*HHZ*001")) + sorted(archive.rglob("*S4*HHE*001"))
    sound = {path: path.read_bytes() for path in (header, samples)}
    header.write_bytes(gzip.compress(sound[header])[:-100])
    broken = bytearray(sound[samples])
    broken[4096 + 52] = 77  # an encoding that the samples of this record cannot have
    samples.write_bytes(broken)
    told: list[str] = []
    summary = picked(archive, folder, picker, on_findings=lambda findings: told.extend(f.text for f in findings))
    assert len(summary.failures) == 2
    assert any(header.name in text for text in told)
    assert all(any(path.name in why for why in summary.failures) for path in sound)
    again = picked(archive, folder, picker)
    assert (again.picked_now, again.failures) == (0, summary.failures)
    for path, content in sound.items():
        stat = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    repaired = picked(archive, folder, picker, retry=True)
    assert repaired.picked_now
    assert not repaired.failures
    assert_same(read_picks(folder), one_pass)


def test_a_restored_day_of_the_same_size_and_time_is_read_again_on_request(
    archive: Path, picker: Picker, one_pass: PickList, tmp_path: Path
) -> None:
    """As a mirror brings it back with its times: the headers that were kept are those of the damage."""
    day = sorted(archive.rglob("*S4*HHE*001"))[0]
    sound, stat = day.read_bytes(), day.stat()
    broken = bytearray(sound)
    broken[4096:6144] = bytes(2048)  # four records that are none
    broken[8192 + 52] = 77  # an encoding that the samples of this record cannot have: told when they are read
    day.write_bytes(broken)
    os.utime(day, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert picked(archive, tmp_path / "picks", picker).failures
    day.write_bytes(sound)
    os.utime(day, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    repaired = picked(archive, tmp_path / "picks", picker, retry=True)
    assert not repaired.failures
    assert_same(read_picks(tmp_path / "picks"), one_pass)


@pytest.mark.parametrize("content", [b"", b"<html>gone</html>", bytes(512)])
def test_a_day_that_is_no_waveform_file_any_more_is_a_failure(
    content: bytes, archive: Path, picker: Picker, tmp_path: Path
) -> None:
    day = sorted(archive.rglob("*S1*HHZ*001"))[0]
    day.write_bytes(content)
    for _ in range(2):
        summary = picked(archive, tmp_path / "picks", picker)
        assert any(day.name in why and "is called a waveform file" in why for why in summary.failures)


def test_a_corrected_place_of_an_earlier_epoch_is_noticed(archive: Path, picker: Picker, tmp_path: Path) -> None:
    first, *others = table()
    later = dataclasses.replace(first, start_ns=(T0 + 10 * 86400).ns)

    def pick_with(latitude_deg: float) -> int:
        earlier = dataclasses.replace(first, latitude_deg=latitude_deg, end_ns=later.start_ns)
        stations = StationTable([earlier, later, *others])
        return picked(archive, tmp_path / "picks", picker, stations=stations).picked_now

    assert pick_with(0.0)
    assert pick_with(0.0) == 0
    assert pick_with(0.05) > 0


def test_a_task_that_fails_is_kept_as_failed_and_done_again_on_request(
    archive: Path, picker: Picker, one_pass: PickList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phaseno_peft.archive import task

    real = task.run_task

    def run_task(one: task.Task, by: task.ArchivePicker) -> task.TaskResult:
        if one.begin_ns == T0.ns:
            raise MemoryError("no room for 3 GB")
        return real(one, by)

    with monkeypatch.context() as patch:
        patch.setattr(task, "run_task", run_task)
        summary = picked(archive, tmp_path / "picks", picker)
    assert len(summary.failures) == 2
    assert "2020-01-01T00:00:00.000000Z to 2020-01-01T00:01:00.000000Z: MemoryError: no room" in summary.failures[0]
    assert picked(archive, tmp_path / "picks", picker).picked_now == 0
    assert picked(archive, tmp_path / "picks", picker, retry=True).picked_now == 2
    assert_same(read_picks(tmp_path / "picks"), one_pass)


def test_what_changes_is_picked_again_and_nothing_is_there_twice(
    archive: Path, picker: Picker, one_pass: PickList, tmp_path: Path
) -> None:
    folder = tmp_path / "picks"
    late = sorted(archive.rglob("*.2020.001"))
    away = tmp_path / "away"
    for path in late:
        (away / path.relative_to(archive)).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, away / path.relative_to(archive))
    picked(archive, folder, picker)
    shutil.copytree(away, archive, dirs_exist_ok=True)
    summary = picked(archive, folder, picker)
    assert summary.tasks == 8
    assert_same(read_picks(folder), one_pass)
    changed = next(archive.rglob("*S3*.2020.001"))
    os.utime(changed, ns=(1, 1))
    assert picked(archive, folder, picker).picked_now == 4  # of the network of S3 alone
    assert_same(read_picks(folder), one_pass)
    fewer = [station for station in table() if station.station_id != "XX.S4."]
    stations = type(table())(fewer, source="fewer")
    picked(archive, folder, picker, stations=stations)
    expected = picker.classify(stream(), stations, **LEVELS)
    assert_same(read_picks(folder), expected)


def test_headers_are_read_once_until_a_file_changes(
    archive: Path, picker: Picker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phaseno_peft.archive import header_cache

    read: list[str] = []
    real = header_cache.read_headers

    def read_headers(file: Path, *given: Any, **options: Any) -> Any:
        read.append(file.name)
        return real(file, *given, **options)

    monkeypatch.setattr(header_cache, "read_headers", read_headers)
    rate_hz = picker.preprocessing.rate_hz
    first = header_cache.read_archive_headers(archive, rate_hz)
    assert len(read) == len(first) == 24
    assert header_cache.read_archive_headers(archive, rate_hz) == first
    assert len(read) == 24
    path = first[3].path
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert header_cache.read_archive_headers(archive, rate_hz)[3].headers == first[3].headers
    assert read[24:] == [path.name]
    (cache,) = (tmp_path / "home" / "cache" / "headers").iterdir()
    cache.write_bytes(cache.read_bytes()[:-40])
    header_cache.read_archive_headers(archive, rate_hz)
    assert read[25:] == [path.name]
    late = (T0 + 1.5 * 86400).ns
    assert {file.path.suffix for file in header_cache.read_archive_headers(archive, rate_hz, begin_ns=late)} == {".001"}
    with pytest.raises(CampaignError, match="none of the archive's 24 files is of the time that is asked for"):
        header_cache.read_archive_headers(archive, rate_hz, begin_ns=(T0 + 3 * 86400).ns)


def test_what_cannot_be_picked_is_refused_in_a_sentence(
    archive: Path, picker: Picker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "picks"
    (tmp_path / "nothing").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no waveforms")
    for wrong, message in (("none", "no such archive"), ("nothing", "is empty"), ("text", "none of its 1 files")):
        with pytest.raises(CampaignError, match=message):
            picked(tmp_path / wrong, folder, picker)
    with pytest.raises(CampaignError, match="holds nothing of the time that is asked for"):
        picked(archive, folder, picker, starttime=T0 + 3600)
    with pytest.raises(CampaignError, match="no trace belongs to a station"):
        picked(archive, tmp_path / "other", picker, stations=type(table())([], source="empty.csv"))
    with pytest.raises(PhasenoPeftError, match="whole part of a day but is 5"):
        picked(archive, folder, picker, block_hours=5)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(PhasenoPeftError, match="is not a folder of picks"):
        picked(archive, tmp_path / "full", picker)
    picked(archive, folder, picker, endtime=BEGIN + 40)
    with pytest.raises(PhasenoPeftError, match="another thresholds"):
        picked(archive, folder, picker, P_threshold=0.6)
    manifest = (folder / MANIFEST).read_text().replace('"version":1', '"version":9', 1)
    (folder / MANIFEST).write_text(manifest)
    with pytest.raises(PhasenoPeftError, match="its version is 9"):
        read_picks(folder)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PhasenoPeftError, match=r"pip install 'phaseno-peft\[archive\]'"):
        picked(archive, folder, picker)


def test_a_station_without_coordinates_in_the_middle_is_told_and_the_rest_picked(
    archive: Path, picker: Picker, one_pass: PickList, tmp_path: Path
) -> None:
    samples = np.random.default_rng(1).integers(-99, 99, 6000).astype(np.int32)
    write_sds(archive, Stream([trace("NEW", "HHZ", samples, start=BEGIN + 40)]))
    told: list[str] = []
    picked(archive, tmp_path / "picks", picker, on_findings=lambda findings: told.extend(f.text for f in findings))
    assert [text for text in told if "traces of XX.NEW. are left out" in text]
    assert_same(read_picks(tmp_path / "picks"), one_pass)


def test_files_that_disagree_are_told_and_the_earlier_one_counts(archive: Path, picker: Picker, tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(-9999, 9999, 6000).astype(np.int32)
    other = trace("S0", "HHZ", samples[:2000], start=T0 + 40)
    other.write(str(archive / "S0-from-the-backup.mseed"), "MSEED")
    picked(archive, tmp_path / "picks", picker)
    assert_same(read_picks(tmp_path / "picks"), picker.classify(archive, table(), **LEVELS))
    lines = [json.loads(line) for line in (tmp_path / "picks" / MANIFEST).read_text().splitlines()[1:]]
    warnings = [text for line in lines for text in line["findings"]]
    assert any("XX.S0.: HHZ: traces overlap under one id with different samples" in text for text in warnings)
