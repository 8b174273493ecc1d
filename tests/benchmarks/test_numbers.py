"""README, pages and `docs/numbers.json` tell the numbers that the shipped adapters' own files hold."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

from benchmarks import numbers

AGAIN = "run `python -m benchmarks.numbers`"
STORED = json.loads(numbers.NUMBERS.read_text(encoding="utf-8"))


def test_the_file_of_numbers_is_that_of_the_adapters() -> None:
    assert numbers.as_json(numbers.collect(STORED)) == numbers.NUMBERS.read_text(encoding="utf-8"), AGAIN


@pytest.mark.parametrize("page", numbers.pages(), ids=lambda path: str(path.relative_to(numbers.ROOT)))
def test_a_page_tells_the_numbers_of_the_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert numbers.filled(text, STORED) == text, AGAIN
    for parameters in re.findall(r"(8\d,\d{3}) parameters", text):
        assert {int(parameters.replace(",", ""))} == {a["trainable_parameters"] for a in STORED["adapters"].values()}


def test_readme_and_scores_have_their_tables() -> None:
    readme, scores = ((numbers.ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/results.md"))
    assert {"short", "verdicts"} <= set(re.findall(r"<!-- numbers: ([a-z-]+) -->", readme))
    assert {"full", "residuals"} <= set(re.findall(r"<!-- numbers: ([a-z-]+) -->", scores))
    assert {a["weights_kb"] for a in STORED["adapters"].values()} == {350}
    assert "350 kB" in readme


def test_what_was_measured_on_another_adapter_is_left_out() -> None:
    stale = copy.deepcopy(STORED)
    stale["adapters"]["samba-nz"]["weights_sha256"] = "another"
    stale["adapters"]["iceland-vt"]["test_sha256"] = "another"
    found = numbers.collect(stale)["adapters"]
    assert "verdict" not in found["samba-nz"]
    assert numbers.PHASENET in found["samba-nz"]["scores"]
    assert numbers.PHASENET not in found["iceland-vt"]["scores"]
    assert "verdict" in found["iceland-vt"]
    assert "`samba-nz`" not in numbers.verdicts({"adapters": found})


def test_a_changed_number_is_found() -> None:
    other = copy.deepcopy(STORED)
    other["adapters"]["samba-nz"]["scores"]["adapter"]["P"]["0.5"]["f1"] = 0.123456
    text = (numbers.ROOT / "README.md").read_text(encoding="utf-8")
    assert "**0.123**" in numbers.filled(text, other)
    assert numbers.filled(text, other) != text
