"""Rows of a text table, with the line each stands on."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from phaseno_peft.errors import CampaignError


def table_rows(name: str, lines: Iterable[str], delimiter: str, first_line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every row; `first_line` is the number of the first of `lines`.

    Raises `CampaignError` for what no table holds, naming the line.
    """
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        for row in rows:
            yield first_line - 1 + rows.line_num, row
    except csv.Error as error:  # a NUL, or a field of more than 131,072 characters: an unclosed quote
        raise CampaignError(
            f"{name}: line {first_line - 1 + rows.line_num}: not a table ({error}). Check it for a stray quote."
        ) from error
