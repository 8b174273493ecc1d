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
    counts = {a["trainable_parameters"] for a in STORED["adapters"].values()}
    assert {int(n.replace(",", "")) for n in re.findall(r"(?<![\d,])(\d{2,3},\d{3}) parameters", text)} <= counts


def test_readme_and_scores_have_their_tables() -> None:
    readme, scores = ((numbers.ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/results.md"))
    assert {"short", "verdicts"} <= set(re.findall(r"<!-- numbers: ([a-z0-9-]+) -->", readme))
    assert set(numbers.REGIONS) - {"short", "verdicts"} <= set(re.findall(r"<!-- numbers: ([a-z0-9-]+) -->", scores))
    assert not re.search(r"<!-- numbers: \S+ -->\s*<!-- end -->", readme + scores), "a table is empty"
    sizes = sorted({a["weights_kb"] for a in STORED["adapters"].values()})
    assert f"{sizes[0]} to {sizes[-1]} kB" in readme


def test_what_was_measured_on_other_events_is_left_out() -> None:
    stale = copy.deepcopy(STORED)
    stale["adapters"]["iceland-vt"]["split_sha256"] = {"train": "another"}
    found = numbers.collect(stale)["adapters"]
    assert set(numbers.RIVALS) <= set(found["samba-nz"]["scores"])
    assert not set(numbers.RIVALS) & set(found["iceland-vt"]["scores"])


def test_a_changed_number_is_found() -> None:
    other = copy.deepcopy(STORED)
    other["adapters"]["samba-nz"]["scores"]["adapter"]["P"]["0.5"]["f1"] = 0.123456
    text = (numbers.ROOT / "README.md").read_text(encoding="utf-8")
    assert "**0.123**" in numbers.filled(text, other)
    assert numbers.filled(text, other) != text
