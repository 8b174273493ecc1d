"""Where a table's header stands, what parts its cells, and which of its columns is which, in what unit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from phaseno_peft.campaign.table_rows import table_rows
from phaseno_peft.errors import CampaignError

SEARCHED_LINES = 30
"""A header stands among the first; titles and comments may stand above it."""
LONGEST_HEADER = 10_000
"""Characters; a longer line is no table's header."""
_UNIT_ENDINGS = frozenset(
    ("m", "km", "ft", "masl", "deg", "dd", "degrees", "wgs84", "s", "sec", "seconds", "ms", "us", "utc", "iso", "gmt")
)
_SPACED_TIME = re.compile(r"(\d{4}[-/]\d\d?[-/]\d\d?|\d\d?[./]\d\d?[./]\d{4}) +(\d\d?:\d\d)")
BRACKET = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
"""As of a unit; no bracket within, so that thousands of open ones are gone through once."""
Aliases = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Headings:
    """The header of a table, and its rows below."""

    name: str
    first_line: int
    """Number of the header's line in the file, counted from 1."""
    delimiter: str
    """ "" where blanks part the cells."""
    raw: tuple[str, ...]
    """As written, in lower case."""
    lines: Sequence[str]
    """Below the header."""
    units: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Our column -> its unit and its heading as written."""
    title: tuple[str, ...] = ()
    """Lines above the header."""

    def columns(self, aliases: Aliases) -> dict[str, int]:
        """Our column -> position; the first of several names of one wins. Units are noted."""
        keys = [_key(heading) for heading in self.raw]
        ended = [list(_ended(heading)) for heading in self.raw]
        found: dict[str, int] = {}
        for ours, names in aliases.items():
            for alias in names:
                wanted = alias.replace("_", "")
                at = next((i for i, (key, _) in enumerate(keys) if key == wanted), None)
                unit = keys[at][1] if at is not None else ""
                if at is None:
                    at, unit = next(
                        ((i, u) for i, found_there in enumerate(ended) for k, u in found_there if k == wanted),
                        (None, ""),
                    )
                if at is not None and at not in found.values():
                    found[ours] = at
                    self.units[ours] = (unit, self.raw[at])
                    break
        return found

    def of_angle(self, names: Sequence[str], sides: Sequence[str]) -> dict[str, int]:
        """ "minute", "second" and "side" -> position, of a coordinate that has columns of its own for them."""
        squeezed = [re.sub(r"[\W_]+", "", heading) for heading in self.raw]
        wanted = {
            "minute": {f"{name}{unit}" for name in names for unit in ("min", "mins", "minute", "minutes", "m")},
            "second": {f"{name}{unit}" for name in names for unit in ("sec", "secs", "second", "seconds", "s")},
            "side": {
                *sides,
                *(f"{name}{side}" for name in names for side in ("dir", "hem", "hemisphere", "side", *sides)),
            },
        }
        found = {part: next((i for i, k in enumerate(squeezed) if k in keys), None) for part, keys in wanted.items()}
        return {part: i for part, i in found.items() if i is not None}

    def refuse_doubles(self, used: Iterable[int]) -> None:
        """Raise `CampaignError` where the heading of one of these columns stands twice: one would be passed over."""
        for at in used:
            if self.raw.count(self.raw[at]) > 1:
                raise CampaignError(
                    f"{self.name}: line {self.first_line}: the heading {self.raw[at]!r} stands "
                    f"{self.raw.count(self.raw[at])} times. Give each column a name of its own, and each pick a row."
                )

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line number, cells) of the rows below the header."""
        first = self.first_line + 1
        if self.delimiter:
            for number, row in table_rows(self.name, self.lines, self.delimiter, first):
                if self.delimiter == "," and any(cell.strip().isdigit() for cell in row[len(self.raw) :]):
                    raise CampaignError(
                        f"{self.name}: line {number} has {len(row)} cells, the header {len(self.raw)}. Where commas "
                        "are decimal, part the cells by semicolons, or quote these numbers."
                    )
                yield number, row
            return
        has_date = any(heading in ("date", "day") for heading in self.raw)
        for number, line in enumerate(self.lines, start=first):
            yield number, (line if has_date else _SPACED_TIME.sub(r"\1T\2", line)).split()


def find_headings(name: str, text: str, is_header: Callable[[Headings], bool], first_line: int = 1) -> Headings | None:
    """The first line of `text` that is a header by `is_header`, among the first `SEARCHED_LINES`; None for none."""
    lines = text.splitlines()
    tried = 0
    for i, line in enumerate(lines):
        stripped = line.strip().lstrip("#").strip() if line.lstrip().startswith("#") else line.strip()
        if not stripped:
            continue
        tried += 1
        if tried > SEARCHED_LINES or len(stripped) > LONGEST_HEADER:
            return None
        delimiter = delimiter_of(stripped)
        if delimiter:
            _, cells = next(
                table_rows(
                    name, [line.lstrip().lstrip("#") if stripped is not line else line], delimiter, first_line + i
                ),
                (1, []),
            )
        else:
            cells = stripped.split()
        raw = tuple(cell.strip().strip('"').lower() for cell in cells)
        headings = Headings(name, first_line + i, delimiter, raw, lines[i + 1 :], title=tuple(lines[:i]))
        if is_header(headings):
            return headings
    return None


def delimiter_of(line: str) -> str:
    """The most frequent of comma, semicolon, tab and bar; "" where there is none and blanks part the cells."""
    best = max(",;\t|", key=line.count)
    return best if best in line else ""


def _key(heading: str) -> tuple[str, str]:
    """(letters and digits only, unit in brackets) of a heading."""
    unit = BRACKET.search(heading)
    plain = BRACKET.sub(" ", heading)
    return re.sub(r"[\W_]+", "", plain), unit[1].strip() if unit else ""


def _ended(heading: str) -> Iterator[tuple[str, str]]:
    """(key, unit) of a heading that ends in its unit: elevation_km, Depth m."""
    words = re.split(r"[\W_]+", BRACKET.sub(" ", heading).strip())
    if len(words) > 1 and words[-1] in _UNIT_ENDINGS:
        yield "".join(words[:-1]), words[-1]
