"""Which times of headers and catalogues can be believed."""

from __future__ import annotations

FIRST_YEAR, LAST_YEAR = 1900, 2100
"""A trace that starts outside, or a pick there, comes of a damaged header or line."""
_YEAR_NS = 31_556_952 * 10**9
"""Mean year; obspy cannot name the year of the most absurd times a header holds."""


def year_of(time_ns: int) -> int:
    """Year of a time in nanoseconds since 1970, right but for some hours around New Year."""
    return 1970 + time_ns // _YEAR_NS


def is_believable(time_ns: int) -> bool:
    """True for times of `FIRST_YEAR` to `LAST_YEAR`."""
    return FIRST_YEAR <= year_of(time_ns) <= LAST_YEAR
