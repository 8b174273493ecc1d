"""Picks in fixed columns: HYPOINVERSE's archive (Y2000) and VELEST's CNV, which obspy does not read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick
from phaseno_peft.campaign.tally import NOWHERE, Hypocentre, Tally, event_of_picks
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_id_of

UNUSED_CODE = 4
"""Weight codes of HYPO71's family count down: 0 is full weight, 1 to 3 are quarters less, from 4 on it is none."""

_ARCHIVE_SUMMARY = re.compile(r"\d{8}[ \d]{6}[ \d]{2}[ \d]{2}[ NS][ \d]{4}[ \d]{3}[ EW]")
_ARCHIVE_STATION = re.compile(r"\S.{4}[\w ]{2} .[\w ]{3} .{4}\d{8}[ \d]{4}")
_VELEST_EVENT = re.compile(
    r" ?(\d{2}[ \d]{4}) ([ \d]{4}) ([ \d]{2}\.[\d ]{2}) ([ \d]{2}\.\d{4})([NS]) ([ \d]{3}\.\d{4})([EW])([ \-\d.]{7})"
)


def events_of_archive(name: str, text: str, tally: Tally) -> list[CatalogueEvent] | None:
    """Events of a HYPOINVERSE archive in its year-2000 columns (USGS Open-File Report 02-171, "Archive file").

    None where the text is none. Lines that begin with $ are shadows of the one above. A line has a P where its remark
    says so, an S likewise. Raises `CampaignError` naming a line that cannot be read.
    """
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if not _ARCHIVE_SUMMARY.match(first) or not any(map(_ARCHIVE_STATION.match, lines[:50])):
        return None
    made: list[CatalogueEvent] = []
    event_id, hypocentre, picks = "", NOWHERE, list[LabelledPick]()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("$"):
            continue
        try:
            if _ARCHIVE_SUMMARY.match(line):
                if picks:
                    made.append(event_of_picks(picks, tally, event_id, hypocentre))
                event_id, hypocentre, picks = _archive_event(line)
            elif line[0] != " ":  # a line that ends an event begins with blanks
                picks += _archive_picks(line, tally)
        except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
            raise CampaignError(
                f"{name}: line {number}: {line[:60]!r} is not in a HYPOINVERSE archive's columns ({error}). "
                "Correct it, or leave the line out."
            ) from error
    if picks:
        made.append(event_of_picks(picks, tally, event_id, hypocentre))
    return made


def _archive_event(line: str) -> tuple[str, Hypocentre, list[LabelledPick]]:
    """(id or "", hypocentre, no picks yet) of a summary line; degrees and minutes become degrees."""
    time = _minute(line[:12]) + _hundredths(line[12:16])
    latitude, longitude = (
        int(line[at : at + n]) + _hundredths(line[at + n + 1 : at + n + 5]) / 60 for at, n in ((16, 2), (23, 3))
    )
    number = line[136:146].strip()
    place = (latitude * (-1 if line[18] == "S" else 1), longitude * (1 if line[26] == "E" else -1))
    event_id = f"smi:local/hypoinverse/{number}" if number.isdigit() and int(number) else ""
    return event_id, (time, *place, 1000 * _hundredths(line[31:36])), []


def _archive_picks(line: str, tally: Tally) -> list[LabelledPick]:
    if not _ARCHIVE_STATION.match(line):
        raise ValueError("no station, channel and time stand where they should")
    station_id = station_id_of(line[5:7], line[:5], line[111:113] if len(line) > 111 else "")
    found = []
    for phase, remark, code, seconds in (
        ("P", line[13:15], line[16:17], line[29:34]),
        ("S", line[46:48], line[49:50], line[41:46]),
    ):
        if phase in remark.upper():
            found.append(_pick(station_id, phase, code, _minute(line[17:29]) + _hundredths(seconds), tally))
    return found


def events_of_velest(name: str, text: str, tally: Tally) -> list[CatalogueEvent] | None:
    """Events of VELEST's CNV (Kissling, VELEST user's guide, "earthquake data file"); None where the text is none.

    Six phases a line, each the station (4 characters, or 6), P or S, its weight, and the seconds since the origin.
    Years are of 1969 to 2068. Raises `CampaignError` naming a line that cannot be read.
    """
    lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines or not _VELEST_EVENT.match(lines[0][1]):
        return None
    made: list[CatalogueEvent] = []
    origin_time, hypocentre, picks = UTCDateTime(0), NOWHERE, list[LabelledPick]()
    for number, line in lines:
        try:
            if match := _VELEST_EVENT.match(line):
                if picks:
                    made.append(event_of_picks(picks, tally, hypocentre=hypocentre))
                origin_time, hypocentre = _velest_event(match)
                picks = []
            elif line.strip() not in ("9999", "0"):  # what ends the file
                picks += _velest_picks(line, origin_time, tally)
        except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
            raise CampaignError(
                f"{name}: line {number}: {line[:60]!r} is not in the columns of VELEST's CNV ({error}). "
                "Correct it, or leave the line out."
            ) from error
    if picks:
        made.append(event_of_picks(picks, tally, hypocentre=hypocentre))
    return made


def _velest_event(match: re.Match[str]) -> tuple[UTCDateTime, Hypocentre]:
    day, clock, seconds, latitude, south, longitude, west, depth_km = match.groups()
    year = int(day[:2])
    time = _minute(f"{2000 + year if year < 69 else 1900 + year}{day[2:]}{clock}") + float(seconds)
    place = (float(latitude) * (-1 if south == "S" else 1), float(longitude) * (-1 if west == "W" else 1))
    return time, (time, *place, 1000 * float(depth_km))


def _velest_picks(line: str, origin_time: UTCDateTime, tally: Tally) -> list[LabelledPick]:
    phase = r"([PpSs])(\d)([ \-\d]{3}\.[ \d]{2})"
    for width in (4, 6):
        blocks = [line[at : at + width + 8] for at in range(0, len(line), width + 8)]
        matches = [re.fullmatch(rf"(.{{{width}}}){phase}", block) for block in blocks]
        if all(matches):
            break
    else:
        raise ValueError("its phases are not station, P or S, weight, seconds")
    found = []
    for station, name, code, seconds in (match.groups() for match in matches if match):
        found.append(_pick(station_id_of("", station, ""), name.upper(), code, origin_time + float(seconds), tally))
    return found


def _pick(station_id: str, phase: str, code: str, time: UTCDateTime, tally: Tally) -> LabelledPick:
    tally.n_picks += 1
    number = int(code.strip() or 0)
    return LabelledPick(
        pick_id="",
        event_id="",
        station_id=station_id,
        phase=phase,
        time=time,
        uncertainty_s=None,
        usable=number < UNUSED_CODE,
        number=tally.n_picks,
        phase_name=phase,
        weight=max(0.0, 1 - number / UNUSED_CODE),
    )


def _minute(text: str) -> UTCDateTime:
    """YYYYMMDDHHMM, with spaces for zeros; HHMM may pass the end of the day."""
    digits: Sequence[str] = (text[:4], text[4:6], text[6:8], text[8:10], text[10:12])
    year, month, day, hour, minute = (int(part.replace(" ", "0")) for part in digits)
    return UTCDateTime(year, month, day) + 3600 * hour + 60 * minute


def _hundredths(text: str) -> float:
    """A field with two decimals, its point written or not; Fortran's blanks behind a number are zeros."""
    digits = text.lstrip().replace(" ", "0")
    return float(digits) if "." in digits else int(digits) / 100
