"""One table for the terminal and for Markdown."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from phaseno_peft.evaluation import comparison_markdown, read_evaluation
from phaseno_peft.paths import shipped_folder
from phaseno_peft.text_tables import TextTable

TABLE = TextTable(("model", "F1 [95 %]"), [("a|b", 1), ("[red]c", "0.5")], "title [x]", group_size=1, bold={(0, 1)})


def drawn(table: TextTable, width: int = 60, **options: bool) -> str:
    out = io.StringIO()
    Console(file=out, width=width, **options).print(table)
    return out.getvalue()


def test_markdown_aligns_numbers_right_and_escapes_bars() -> None:
    assert TABLE.markdown() == "| model | F1 [95 %] |\n|---|---:|\n| a\\|b | 1 |\n| [red]c | 0.5 |\n"
    assert TextTable.of([{"a": 1, "b": 2}]).markdown() == "| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert TextTable.of([]).markdown() == "| none |\n|---|\n"


def test_a_terminal_shows_texts_as_they_stand_and_a_line_after_each_group() -> None:
    lines = drawn(TABLE).splitlines()
    assert lines[0].rstrip() == "title [x]"
    assert sum("[red]c" in line for line in lines) == 1
    assert lines[5].startswith("├")
    assert "├" not in drawn(TextTable(TABLE.columns, TABLE.rows))


def test_what_is_bold_is_bold_and_nothing_else() -> None:
    coloured = drawn(TextTable(("a", "b"), [("1", "2"), ("3", "4")], bold={(1, 0)}), force_terminal=True)
    rows = [line for line in coloured.splitlines() if "│" in line]
    assert "\x1b[1m" not in rows[0]
    assert "\x1b[1m3" in rows[1]


@pytest.mark.parametrize("name", ["ohio-frac", "samba-nz"])
def test_the_table_on_a_shipped_card_is_the_one_its_scores_give(name: str) -> None:
    folder = shipped_folder("adapters") / name
    made = comparison_markdown(read_evaluation(folder / "evaluation.json").scores)
    assert made in (folder / "README.md").read_text(encoding="utf-8")
