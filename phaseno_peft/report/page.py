"""A page of findings, figures and tables: what stands on it, and how it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from phaseno_peft.campaign.findings import SEVERITIES, Finding
from phaseno_peft.files import write_file

if TYPE_CHECKING:
    from jinja2 import Environment

OPEN_FINDINGS = 4
"""Of one kind, so many are shown at once; the others unfold."""
MARKS = {"error": "✕", "warning": "!", "note": "i", "good": "✓"}
PRINTED_ROWS = 60
"""Of a long table; on paper the rest is left out."""


@dataclass(frozen=True)
class Link:
    """A cell of a table that leads to another place of the page."""

    text: str
    anchor: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Picture:
    """A figure and what it shows."""

    svg: str
    """From `inline_svg`."""
    caption: str
    is_wide: bool = False
    """Takes the whole width, and scrolls on a narrow screen instead of shrinking out of sight."""
    least_rem: float = 0.0
    """Narrower than this (in heights of the page's letters) it scrolls instead of shrinking."""


@dataclass(frozen=True)
class Table:
    """Rows of text; columns of numbers are set right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    numeric: Sequence[int] = ()
    """Positions of the columns that hold numbers."""
    is_long: bool = False
    """Scrolls in a box of its own, and is cut short on paper."""


@dataclass(frozen=True)
class Leaf:
    """One of many pictures that are looked at one at a time."""

    anchor: str
    title: str
    svg: str
    caption: str = ""
    is_printed: bool = False
    """Also on paper, where one cannot leaf."""


@dataclass(frozen=True)
class Section:
    """A heading with some sentences, figures and tables."""

    title: str
    text: Sequence[str] = ()
    """Paragraphs."""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    links: Sequence[Link] = ()
    """Shown in a row above the leaves."""
    leaves: Sequence[Leaf] = ()
    """The first one is open; each leads to the one before and the one after."""

    @property
    def anchor(self) -> str:
        """For links to it."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


@dataclass(frozen=True)
class Tile:
    """One number that matters, above everything else."""

    value: str
    label: str


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    verdict: str
    """One sentence: what the reader should do."""
    severity: str
    """Of the verdict: "error", "warning", "note" or "good"."""
    lead: str = ""
    """What the verdict is about, above it."""
    remarks: Sequence[str] = ()
    """Sentences below the verdict."""
    tiles: Sequence[Tile] = ()
    findings: Sequence[Finding] = ()
    sections: Sequence[Section] = ()
    footer: str = ""
    glossary: Sequence[tuple[str, str]] = field(default=())
    """Words and what they mean here."""


def write_page(page: Page, path: str | Path) -> Path:
    """Write the page, whole or not at all."""
    return write_file(path, render_page(page))


def render_page(page: Page) -> str:
    """The page as HTML. It refers to nothing outside itself and runs nothing; all texts are escaped."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in page.findings:
        groups.setdefault((finding.severity, finding.kind or "reading the files"), []).append(finding)
    ordered = sorted(groups.items(), key=lambda item: SEVERITIES.index(item[0][0]))
    return (
        _environment()
        .get_template("page.html.j2")
        .render(page=page, groups=ordered, marks=MARKS, most_open=OPEN_FINDINGS, printed_rows=PRINTED_ROWS)
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("phaseno_peft.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
