"""The comparison as table, Markdown and evaluation.json."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation.metrics import score
from phaseno_peft.evaluation.report import (
    Evaluation,
    comparison_markdown,
    comparison_rows,
    comparison_table,
    header,
    read_evaluation,
    write_evaluation,
)
from phaseno_peft.evaluation.scores import Scores
from tests.evaluation.handmade_windows import probability, window

THRESHOLDS = {"P": 0.3, "S": 0.3}
WINDOWS = [window({(0, "P"): [300], (1, "P"): [320], (0, "S"): [500]}), window(is_noise=True)]


@pytest.fixture
def two() -> dict[str, Scores]:
    """Frozen: one P 30 samples early, one missed, a false one in noise. Adapter: both P exact. Neither picks S."""
    frozen = [probability({(0, "P"): [270]}), probability({(1, "P"): [400]})]
    adapter = [probability({(0, "P"): [300], (1, "P"): [320]}), probability()]
    return {"frozen": score(WINDOWS, frozen, THRESHOLDS), "adapter": score(WINDOWS, adapter, THRESHOLDS)}


def test_rows_are_phases_by_tolerances_by_models_with_the_hand_made_numbers(two: dict[str, Scores]) -> None:
    rows = comparison_rows(two)
    assert [(r["phase"], r["within"], r["model"]) for r in rows] == [
        (phase, within, model) for phase in "PS" for within in ("0.5 s", "0.1 s") for model in ("frozen", "adapter")
    ]
    frozen, adapter = rows[:2]
    assert (frozen["precision"], frozen["recall"], frozen["TP"], frozen["FP"], frozen["FN"]) == (
        "0.500",
        "0.500",
        "1",
        "1",
        "1",
    )
    assert frozen["F1 [95 %]"].startswith("0.500 [")
    assert (frozen["median ms"], frozen["MAD ms"]) == ("-300", "0")
    assert (adapter["precision"], adapter["median ms"]) == ("1.000", "0")
    silent = rows[4]
    assert (silent["precision"], silent["recall"], silent["median ms"], silent["FN"]) == ("-", "0.000", "-", "1")


def test_header_counts_windows_noise_and_labels(two: dict[str, Scores]) -> None:
    assert header(two).startswith("2 windows, 1 of them noise; 2 P and 1 S labels;")
    fast = score([window(rate_hz=500.0)], [probability()], THRESHOLDS)
    assert "5 times slower" in header({"frozen": fast})


def test_markdown_is_a_table_with_a_row_per_comparison(two: dict[str, Scores]) -> None:
    lines = comparison_markdown(two).splitlines()
    assert lines[2].startswith("| phase | within | model | precision |")
    assert len(lines) == 4 + 8
    assert len({line.count("|") for line in lines[2:]}) == 1


def test_rich_table_shows_every_number_and_its_brackets(two: dict[str, Scores]) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(comparison_table(two))
    text = console.export_text()
    assert "F1 [95 %]" in text
    for row in comparison_rows(two):
        assert row["F1 [95 %]"] in text
    assert text.count("frozen") == text.count("adapter") == 4
    console.print(comparison_table({"frozen": two["frozen"]}))
    assert console.export_text().count("frozen") == 4


def test_a_models_name_is_no_markup(two: dict[str, Scores]) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(comparison_table({f"[/x]{name}": scores for name, scores in two.items()}))
    assert "[/x]frozen" in console.export_text()


def test_scores_of_different_windows_are_not_compared(two: dict[str, Scores]) -> None:
    other = score(WINDOWS[:1], [probability()], THRESHOLDS)
    with pytest.raises(PhasenoPeftError, match="frozen and other were not scored on the same windows"):
        comparison_rows({"frozen": two["frozen"], "other": other})
    with pytest.raises(PhasenoPeftError, match="no scores"):
        comparison_table({})


def test_evaluation_survives_its_file(tmp_path: Path, two: dict[str, Scores]) -> None:
    evaluation = Evaluation(two, {"campaign": "samba-nz", "adapter": "größer", "windows": [1, 2]})
    path = write_evaluation(tmp_path / "evaluation.json", evaluation)
    assert read_evaluation(path) == evaluation
    assert list(read_evaluation(path).scores) == ["frozen", "adapter"]
    assert json.loads(path.read_text())["scores"]["frozen"]["summary"]["P"]["0.5"]["f1"] == 0.5


def test_evaluation_that_json_cannot_hold_is_refused_and_leaves_nothing(tmp_path: Path, two: dict[str, Scores]) -> None:
    for about in ({"f1": math.nan}, {"path": tmp_path}):
        with pytest.raises(PhasenoPeftError, match=r"evaluation\.json"):
            write_evaluation(tmp_path / "evaluation.json", Evaluation(two, about))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "holds a list"),
        ("[" * 60_000, "too deep"),
        ('{"evaluation_version": 99}', "version is 99"),
        ('{"evaluation_version": 1, "scores": {}}', "damaged"),
        ('{"evaluation_version": 1, "about": {}, "scores": {"frozen": {}}}', "damaged"),
    ],
)
def test_damaged_or_newer_evaluation_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(PhasenoPeftError, match=rf"evaluation\.json: .*{message}"):
        read_evaluation(path)
    with pytest.raises(PhasenoPeftError, match="cannot be read"):
        read_evaluation(tmp_path / "absent.json")
