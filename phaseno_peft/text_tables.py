"""Tables of texts: one table for a terminal, where rich draws it, and for Markdown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class TextTable:
    """Rows of texts under names of columns. Printing it on a rich console draws it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    """One text, or what `str` makes one of, for each column."""
    title: str = ""
    """Shown above a drawn table; Markdown has its own headings."""
    n_left: int = 1
    """So many columns, the first ones, are aligned left, the others right."""
    group_size: int = 0
    """In a terminal a line is drawn after each group of so many rows; 0 for none."""
    keep_lines: bool = True
    """Whether numbers, aligned right, stay on one line where the terminal is too narrow: the names before them fold."""
    bold: Collection[tuple[int, int]] = ()
    """(row, column) of cells that stand out in a terminal."""

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, object]], title: str = "") -> TextTable:
        """A table of rows that name their columns; all columns are aligned left."""
        columns = list(rows[0]) if rows else ["none"]
        return cls(columns, [list(row.values()) for row in rows], title, n_left=len(columns), keep_lines=False)

    def markdown(self) -> str:
        """The table in Markdown; a bar within a cell is escaped. Ends with a line break."""
        rule = "".join("---|" if k < self.n_left else "---:|" for k in range(len(self.columns)))
        lines = [_line(self.columns), f"|{rule}", *map(_line, self.rows)]
        return "\n".join(lines) + "\n"

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        title = Text(self.title) if self.title else None  # texts, not markup: an interval is in square brackets
        table = Table(title=title, title_justify="left", title_style="", pad_edge=False)
        for k, name in enumerate(self.columns):
            is_name = k < self.n_left
            table.add_column(
                Text(name),
                justify="left" if is_name else "right",
                no_wrap=self.keep_lines and not is_name,
                overflow="fold" if is_name and self.keep_lines else "ellipsis",
            )
        for number, row in enumerate(self.rows):
            texts = [Text(str(cell), style="bold" if (number, k) in self.bold else "") for k, cell in enumerate(row)]
            table.add_row(*texts, end_section=bool(self.group_size) and (number + 1) % self.group_size == 0)
        return table


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"
