"""Numbers as tables write them: decimal commas, units, and coordinates in degrees, minutes and seconds."""

from __future__ import annotations

import re

METRES = {"": 1.0, "m": 1.0, "masl": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0, "km": 1000.0}
METRES |= {"ft": 0.3048, "feet": 0.3048, "foot": 0.3048, "usft": 1200 / 3937}
SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6}
MISSING = frozenset(("", "nan", "nat", "null", "none", "na", "n/a", "#n/a", "<na>", "-", "--", "?", "nil", "missing"))
"""What stands in a cell that says nothing, in lower case."""
_NUMBER = r"[+-]?\d+(?:\.\d*)?|[+-]?\.\d+"
_GROUPS = re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d+|[+-]?\d{1,3}(,\d{3}){2,}")
_ONE_GROUP = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_SIDE = {"n": 1, "e": 1, "s": -1, "w": -1, "o": 1}
_DEGREES = re.compile(
    rf"(?P<before>[NSEWO])?\s*(?P<degree>{_NUMBER})\s*(?:°|º|deg|d|:|\s|-(?=\d))?\s*"
    r"(?:(?P<minute>\d{1,2}(?:\.\d*)?)\s*(?:'|′|’|m|:|\s|-(?=\d))?\s*)?"
    r"(?:(?P<second>\d{1,2}(?:\.\d*)?)\s*(?:\"|″|”|''|s(?!\w))?\s*)?(?P<behind>[NSEWO])?",
    re.IGNORECASE,
)


def is_missing(text: str) -> bool:
    """True for an empty cell and for the words that stand for one."""
    return text.strip().lower() in MISSING


def number(text: str) -> float:
    """A number with a decimal point or comma. Raises `ValueError`."""
    text = text.strip().replace("\u2212", "-")
    if _GROUPS.fullmatch(text):  # 4,512,345.6
        text = text.replace(",", "")
    elif text.count(",") == 1:
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


def refuse_group(text: str, delimiter: str) -> None:
    """Raise `ValueError` for 1,120 in a table parted by commas: who quotes numbers there may group thousands."""
    text = text.strip()
    if delimiter == "," and _ONE_GROUP.fullmatch(text):
        plain = text.replace(",", "")
        raise ValueError(f"{text!r} may be {plain} or {text.replace(',', '.')}; write it without the comma")


def degrees(text: str) -> float:
    """Degrees of a coordinate: decimal, with a letter of its side, or in degrees, minutes and seconds.

    Raises `ValueError`.
    """
    text = text.strip().replace("\u2212", "-")
    try:
        return number(text)
    except ValueError:
        pass
    match = _DEGREES.fullmatch(text.replace(",", ".") if text.count(",") == 1 else text)
    if match is None or (match["before"] and match["behind"]):
        raise ValueError(f"{text!r} is no coordinate in degrees")
    minute, second = float(match["minute"] or 0), float(match["second"] or 0)
    degree = float(match["degree"])
    if minute >= 60 or second >= 60 or (match["minute"] and degree % 1):
        raise ValueError(f"{text!r} is no coordinate in degrees")
    size = abs(degree) + minute / 60 + second / 3600
    side = (match["before"] or match["behind"] or "").lower()
    if match["degree"].startswith("-"):
        if side:
            raise ValueError(f"{text!r} has both a sign and a side")
        return -size
    return size * _SIDE.get(side, 1)


def factor(unit: str, heading: str, units: dict[str, float]) -> float:
    """What a column's numbers are multiplied with. Raises `ValueError` for a unit that is not known."""
    key = re.sub(r"[^a-z]", "", unit.lower())
    key = "m" if key.startswith("ma") or key in ("mbsl", "amsl") else key
    if key not in units:
        raise ValueError(
            f"the unit of column {heading!r} is not known. Give it in one of {', '.join(u for u in units if u)}."
        )
    return units[key]
