"""Rows of a text table, with the line each stands on."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from phaseno_peft.errors import CampaignError


def table_rows(name: str, lines: Iterable[str], delimiter: str, first_line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every row; `first_line` is the number of the first of `lines`.

    Raises `CampaignError` for what no table holds, naming the line. A cell of several lines is refused too: a stray
    quote makes one cell of all rows up to the next.
    """
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    n_lines = 0
    try:
        for row in rows:
            if rows.line_num > n_lines + 1:
                raise csv.Error(f"a quote opens there and closes {rows.line_num - n_lines - 1} lines later")
            n_lines = rows.line_num
            yield first_line - 1 + n_lines, row
    except csv.Error as error:  # also a NUL, or a field of more than 131,072 characters
        raise CampaignError(
            f"{name}: line {first_line + n_lines}: not a table ({error}). Check it for a stray quote."
        ) from error
