"""`phaseno-peft pick ARCHIVE --out FOLDER`: a folder of picks, files made of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from phaseno_peft.archive import read_picks
from phaseno_peft.cli.app import app
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picks import PickList
from tests.archive.small_archive import archive, table
from tests.campaign.synthetic_network import T0

__all__ = ["archive"]


@pytest.fixture
def words(archive: Path, small_backbone: Path, tmp_path: Path) -> list[str]:
    stations = tmp_path / "stations.csv"
    rows = [f"XX,{s.station_id.split('.')[1]},{s.latitude_deg},{s.longitude_deg}" for s in table()]
    stations.write_text("\n".join(["network,station,latitude,longitude", *rows]))
    given = ["pick", archive, "--stations", stations, "--frozen", "--backbone", small_backbone]
    return [*map(str, given), "--p-threshold", "0.5", "--s-threshold", "0.5", "--quiet"]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_folder_of_picks_and_the_files_made_of_it(words: list[str], tmp_path: Path) -> None:
    folder, table_of_all, catalogue = tmp_path / "picks", tmp_path / "all.csv", tmp_path / "all.xml"
    end = ("--to", T0 + 10)
    done = run(*words, "--out", folder, *end, "--also", table_of_all, "--also", catalogue, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["picked_now"] == summary["tasks"] > 0
    assert summary["failures"] == []
    picks = PickList.from_csv(table_of_all)
    assert len(picks) == summary["picks"]["P"] + summary["picks"]["S"] == len(read_picks(folder))
    assert b"<pick " in catalogue.read_bytes()
    one = run(*words, "--out", tmp_path / "one.csv", *end)
    assert one.exit_code == 0, one.output
    assert [p.trace_id for p in PickList.from_csv(tmp_path / "one.csv")] == [p.trace_id for p in picks]
    again = run(*words, "--out", folder, *end)
    assert "(0 now)" in again.stdout
    assert "no failures" in again.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--out", "x.csv", "--cluster", "local"), "are for a folder of picks"),
        (("--out", "x", "--also", "y.doc"), "unknown ending '.doc'"),
        (("--out", "x", "--from", "yesterday"), "--from should be a time such as"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], more: tuple[str, ...], message: str) -> None:
    done = run(*words, *more)
    assert isinstance(done.exception, PhasenoPeftError)
    assert message in str(done.exception)
