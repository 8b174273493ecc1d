"""`phaseno-peft simulate`: its options reach the files, and mistakes end in one sentence and code 2."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import obspy
import pytest

from phaseno_peft.cli.app import main


def simulate(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["phaseno-peft", "simulate", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_options_reach_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], campaign_folder: Path
) -> None:
    noise = next((campaign_folder / "waveforms").iterdir())
    code = simulate(
        monkeypatch, "ohio-frac", "--out", tmp_path / "made", "--events", 2, "--false-triggers", 1, "--noise", noise,
        "--picked-on", "onset", "--reversed-verticals", 2, "--continuous-minutes", 1, "--continuous-events", 1,
    )  # fmt: skip
    assert code == 0
    assert "2 events" in capsys.readouterr().out
    assert len(list((tmp_path / "made" / "waveforms").iterdir())) == 3
    assert len(obspy.read(next((tmp_path / "made" / "continuous").glob("*.mseed")))) == 15
    with (tmp_path / "made" / "sensors.csv").open() as stream:
        assert [row["vertical_polarity"] for row in csv.DictReader(stream)].count("-1") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--noise", "nowhere"], "nowhere: no such waveform file"),
        (["--reversed-verticals", 9], "reversed_verticals is 9; ohio-frac has 5 stations; give 0 to that."),
        (["--continuous-minutes", 0.5], "continuous_events is 0 in 0.5 minutes"),
        (["--continuous-minutes", 2, "--continuous-events", 40], "continuous_events is 40 in 2 minutes"),
        (["--picked-on", "middle"], "'onset', 'peak', 'trough'"),
        (["--orientation-error", 200], "--orientation-error"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[object],
    message: str,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert simulate(monkeypatch, "ohio-frac", "--out", tmp_path / "made", *words) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
