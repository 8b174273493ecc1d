"""Times as tables write them: ISO 8601 and its neighbours, days of the year, national dates, seconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

from obspy import UTCDateTime

DayOrder = Literal["day first", "month first"]

_CLOCK = (
    r"(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d?)(?:[.,](?P<fraction>\d+))?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_ZONE = r"\s*(?P<zone>Z|z|UTC|utc|GMT|gmt|[+-]\d\d(?::?\d\d)?)?"
_FORMS = tuple(
    re.compile(date + clock + _ZONE)
    for date, clock in (
        (r"(?P<year>\d{4})[-/.](?P<month>\d\d?)[-/.](?P<day>\d\d?)(?:[T_:]|\s+)", _CLOCK),
        (
            r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)[T_\s]?",
            r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?",
        ),
        (r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?:[T_]|\s+)", _CLOCK),
        (r"(?P<year>\d{4})[-/., ]?(?P<doy>\d{3})(?:[T_:,]|\s+)", _CLOCK),
        (r"(?P<day>\d\d?)\.(?P<month>\d\d?)\.(?P<year>\d{4})(?:[T_,]|,?\s+)", _CLOCK),
        (r"(?P<first>\d\d?)[/-](?P<then>\d\d?)[/-](?P<year>\d{4})(?:[T_,]|,?\s+)", _CLOCK),
        (r"(?P<day>\d\d?)[-/. ](?P<name>[A-Za-z]{3})[a-z]*[-/.,]? ?(?P<year>\d{4})(?:[T_:,]|,?\s+)", _CLOCK),
        (r"(?P<name>[A-Za-z]{3})[a-z]*\.? (?P<day>\d\d?),? (?P<year>\d{4}),?\s+", _CLOCK),
    )
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EITHER_ORDER = re.compile(r"(\d\d?)[/-](\d\d?)[/-]\d{4}\b")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_EPOCH_DIGITS = {9: 0, 10: 0, 12: 3, 13: 3, 15: 6, 16: 6, 18: 9, 19: 9}
"""Digits before the point of seconds, ms, us and ns since 1970 (for 1973 to 2286) -> decimals that they hold."""
_CLOCK_ONLY = re.compile(r"\d\d?:\d\d(:\d\d?([.,]\d+)?)?")
_CLOCK_DIGITS = re.compile(r"(\d\d)(\d\d)(\d\d(?:[.,]\d+)?)")
_MIDNIGHT = re.compile(r"[T ]00:00(:00([.,]0+)?)?$")
LIKE = "time should be like 2013-09-05T02:08:14.120000Z"


def day_order(texts: Iterable[str]) -> DayOrder | None:
    """Whether 3/4/2020 is the third of April: told by the first of these times that allows one order only."""
    for text in texts:
        if match := _EITHER_ORDER.match(text.strip()):
            if int(match[1]) > 12:
                return "day first"
            if int(match[2]) > 12:
                return "month first"
    return None


def is_of_either_order(text: str) -> bool:
    """Whether a time begins with two numbers that may be day and month, or month and day."""
    return _EITHER_ORDER.match(text.strip()) is not None


def time_of(text: str, order: DayOrder | None = None) -> UTCDateTime:
    """The time a cell holds; without a zone it is UTC. Raises `ValueError` with the next step."""
    text = text.strip()
    for form in _FORMS:
        if match := form.fullmatch(text):
            return _of_parts({k: v for k, v in match.groupdict().items() if v is not None}, text, order)
    if _NUMBER.fullmatch(text):
        return _of_number(text)
    if _CLOCK_ONLY.fullmatch(text):
        raise ValueError(f"{LIKE} but is {text!r}, which has no date. Add a column 'date', or write both in one.")
    if re.fullmatch(r"\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[./-]\d\d?[./-]\d{4}|\d{4}[-/.]?\d{3}", text):
        raise ValueError(f"{LIKE} but is {text!r}, which has no time of day.")
    raise ValueError(f"{LIKE} but is {text!r}.")


def joined(date: str, clock: str) -> str:
    """One text of a date's cell and a clock's; the clock alone where it holds the date too."""
    clock = clock.strip()
    if match := _CLOCK_DIGITS.fullmatch(clock):
        clock = ":".join(match.groups())
    date = _MIDNIGHT.sub("", date.strip())
    return f"{date} {clock}" if date and re.match(r"\d\d?:\d\d", clock) else clock


def _of_parts(part: dict[str, str], text: str, order: DayOrder | None) -> UTCDateTime:
    if "second" not in part:
        raise ValueError(
            f"{LIKE} but is {text!r}, which has no seconds. Excel leaves them out unless cells are formatted as "
            "yyyy-mm-dd hh:mm:ss.000."
        )
    if "first" in part:
        if order is None:
            raise ValueError(
                f"{text!r} may be day/month or month/day, and no other row tells. Write 2020-01-31T12:34:56.7."
            )
        part["day"], part["month"] = (
            (part["first"], part["then"]) if order == "day first" else (part["then"], part["first"])
        )
    if "name" in part:
        if part["name"].lower() not in _MONTHS:
            raise ValueError(f"{LIKE} but is {text!r}.")
        part["month"] = str(1 + _MONTHS.index(part["name"].lower()))
    hour, minute, second = (int(part[name]) for name in ("hour", "minute", "second"))
    if "half" in part:
        if not 1 <= hour <= 12:
            raise ValueError(f"{LIKE} but is {text!r}.")
        hour = hour % 12 + (12 if part["half"][0] in "Pp" else 0)
    if hour > 24 or minute > 59 or second > 60:
        raise ValueError(f"{LIKE} but is {text!r}.")
    try:
        if "doy" in part:
            if not 1 <= int(part["doy"]) <= 366:
                raise ValueError
            day = datetime(int(part["year"]), 1, 1, tzinfo=UTC) + timedelta(days=int(part["doy"]) - 1)
        else:
            day = datetime(int(part["year"]), int(part["month"]), int(part["day"]), tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{LIKE} but is {text!r}, which is no day.") from error
    ns = (round(day.timestamp()) + 3600 * hour + 60 * minute + second - _zone_s(part.get("zone", ""))) * 10**9
    return UTCDateTime(ns=ns + int(part.get("fraction", "0")[:9].ljust(9, "0")))


def _zone_s(zone: str) -> int:
    digits = re.sub(r"\D", "", zone)
    if not digits:
        return 0
    seconds = 3600 * int(digits[:2]) + 60 * int(digits[2:] or 0)
    return -seconds if zone.startswith("-") else seconds


def _of_number(text: str) -> UTCDateTime:
    if re.search("[eE]", text):
        whole = str(int(float(text))) if abs(float(text)) < 1e20 else ""
        if _EPOCH_DIGITS.get(len(whole)) == 0:
            return UTCDateTime(float(text))
    else:
        whole, _, decimals = text.lstrip("+").partition(".")
        if (held := _EPOCH_DIGITS.get(len(whole))) is not None:
            return UTCDateTime(ns=int(whole) * 10 ** (9 - held) + int(decimals[: 9 - held].ljust(9 - held, "0") or 0))
    if re.fullmatch(r"\d{5,7}(\.\d*)?", text):
        raise ValueError(f"{LIKE} but is {text!r}: days since a date that is not said. Format the cells as times.")
    raise ValueError(f"{LIKE} but is {text!r}, which is no absolute time.")
