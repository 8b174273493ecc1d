"""Times as tables write them: ISO 8601 and its neighbours, days of the year, national dates, seconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

from obspy import UTCDateTime

from phaseno_peft.campaign.table_headings import BRACKET

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
        (
            r"(?P<year>(?:19[5-9]|20\d)\d)(?P<doy>[0-3]\d\d)",  # such milliseconds since 1970 lie after 2031
            r"(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)(?P<second>[0-5]\d)(?:[.,](?P<fraction>\d+))?",
        ),
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
_DAY_AND_CLOCK = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d"
_COMPACT = re.compile(rf"\d\d{_DAY_AND_CLOCK}(?:[0-5]\d)?(?:\.\d*)?|(?:19|20)\d\d{_DAY_AND_CLOCK}")
"""YYMMDDhhmm, YYMMDDhhmmss and YYYYMMDDhhmm, which may be seconds or milliseconds since 1970 as well."""
_ZONES = frozenset(
    (
        *("local", "localtime", "mst", "mdt", "pst", "pdt", "cst", "cdt", "edt", "akst", "akdt", "hst", "cet", "cest"),
        *("eet", "eest", "msk", "jst", "kst", "ist", "sgt", "hkt", "aest", "aedt", "acst", "acdt", "awst", "nzst"),
        *("nzdt", "sast", "brt"),
    )
)
_ZONES_IN_BRACKETS = _ZONES | frozenset(
    ("est", "ast", "adt", "nst", "ndt", "bst", "wet", "west", "lt", "lmt", "wat", "cat")
)
"""Words for times that are not UTC; the shorter ones mean other things too."""
_OFFSET = re.compile(r"(?:utc|gmt|z)?\s*([+-])\s*(\d{1,2})(?::?(\d\d))?(?!\d)", re.IGNORECASE)
_ZONE_WITH_OFFSET = re.compile(r"(?:utc|gmt)\s*[+-]\s*\d{1,2}(?::?\d\d)?")
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


def are_compact(texts: Iterable[str]) -> bool:
    """Whether all of these times are numbers that may be a date and a clock as well as an epoch: nobody can tell."""
    found = [text for text in (each.strip() for each in texts) if text]
    return bool(found) and all(_COMPACT.fullmatch(text) for text in found)


def zone_told(heading: str) -> str | None:
    """The word or offset in a heading that says another zone than UTC; None where it says none."""
    lower = heading.lower()
    if match := _ZONE_WITH_OFFSET.search(lower):
        return None if _is_zero(match[0]) else match[0]
    bracket = BRACKET.search(lower)
    words = re.split(r"[^a-z]+", lower)
    inside = re.split(r"[^a-z]+", bracket[1]) if bracket else []
    return next((w for w in words if w in _ZONES), None) or next((w for w in inside if w in _ZONES_IN_BRACKETS), None)


def zone_told_above(title: str) -> str | None:
    """As `zone_told`, of a line above a table: "times are local (UTC-7)", and no local magnitude."""
    lower = title.lower()
    if "time" not in lower:
        return None
    if match := _ZONE_WITH_OFFSET.search(lower):
        return None if _is_zero(match[0]) else match[0]
    match = re.search(r"\blocal (?:standard )?time|\btimes?\b[^.;,]{0,20}\blocal\b", lower)
    return match[0] if match else None


def offset_of(text: str) -> str | None:
    """A cell of a column of time zones, as an offset to write behind a time: "" for UTC, None where it is no offset."""
    text = text.strip()
    if text.lower() in ("", "utc", "gmt", "z", "ut", "0", "etc/utc", "zulu"):
        return ""
    match = _OFFSET.fullmatch(text)
    if match is None or int(match[2]) > 14:
        return None
    return f"{match[1]}{int(match[2]):02d}:{match[3] or '00'}"


def has_zone(text: str) -> bool:
    """Whether a time says its zone itself."""
    return re.search(r"(?:z|utc|gmt|\d[+-]\d\d(?::?\d\d)?)$", text.strip().lower()) is not None


def _is_zero(offset: str) -> bool:
    return not any(digit in "123456789" for digit in offset)


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
