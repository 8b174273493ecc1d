"""docs/architecture.md shows the rooms that there are, in the order the imports have, and names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_imports_point_one_way import ORDER, PACKAGE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")


def tree() -> dict[str, str]:
    """Room -> what the page says of it, from the page's drawing."""
    drawing = TEXT.split("```text\n", 1)[1].split("```", 1)[0]
    return {match[1]: match[2] for match in re.finditer(r"^  (\S+)\s+(\S.*)$", drawing, re.MULTILINE)}


def test_the_drawing_has_every_folder_and_file_of_the_package_and_no_other() -> None:
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if any(path.glob("*.py"))}
    files = {path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py"}
    assert set(tree()) == folders | files


def test_the_drawing_is_in_the_order_of_the_imports_and_every_room_has_its_line() -> None:
    assert tuple(name.rstrip("/").removesuffix(".py") for name in tree()) == ORDER
    assert all(8 < len(line) <= 110 for line in tree().values())


def test_the_walks_name_files_that_exist() -> None:
    named = set(re.findall(r"`((?:[a-z0-9_]+/)*[a-z0-9_]+\.py)`", TEXT)) - {"tests/test_imports_point_one_way.py"}
    assert len(named) > 30
    assert [name for name in sorted(named) if not (PACKAGE / name).is_file()] == []
    assert (PACKAGE.parent / "tests" / "test_imports_point_one_way.py").is_file()


def test_each_walk_fits_on_a_screen() -> None:
    for walk in TEXT.split("\n## ")[2:]:
        assert len(walk.splitlines()) <= 45, walk.splitlines()[0]
    assert max(map(len, TEXT.splitlines())) <= 130
