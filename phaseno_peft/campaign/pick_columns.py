"""Which columns of a table of picks are which: our names, those of other pickers and associators, and usual ones."""

from __future__ import annotations

import re

from phaseno_peft.campaign.table_headings import Headings

COLUMNS = {
    "id": ("trace_id", "station_id", "id", "seed_id", "nslc", "channel_id", "stream_id", "waveform_id"),
    "network": ("network", "net", "network_code", "station_network_code", "net_code", "knetwk"),
    "station": (
        *("station", "sta", "station_code", "sta_code", "stat", "stn", "station_name", "kstnm", "site", "site_code"),
        *("receiver", "geophone", "sensor", "node"),
    ),
    "location": ("location", "loc", "location_code", "station_location_code", "loc_code"),
    "phase": (
        *("phase", "phase_type", "type", "phase_hint", "phase_name", "phase_label", "pick_type", "arrival_type"),
        *("wave", "wave_type", "iphase", "pha"),
    ),
    "time": (
        *("time", "phase_time", "timestamp", "picktime", "pick_time", "peak_time", "arrival_time", "datetime"),
        *(
            "date_time",
            "utc_time",
            "utc_datetime",
            "onset_time",
            "arrival",
            "onset",
            "pick",
            "observed_time",
            "obs_time",
        ),
    ),
    "probability": ("probability", "prob", "phase_score", "score", "confidence", "phase_prob", "pick_prob"),
    "uncertainty_s": (
        *("uncertainty_s", "uncertainty", "pickerror", "time_uncertainty", "pick_uncertainty", "time_error", "error"),
        *("sigma", "unc", "std"),
    ),
    "event": (
        *("event_index", "event_idx", "event_id", "event", "evid", "evt_id", "ev_id", "event_no", "event_number"),
        *("event_name", "orid", "origin_id"),
    ),
    "status": ("status", "evaluation_mode", "mode", "pick_status"),
}
"""Our names of columns, and those of SeisBench, PhaseNet, GaMMA, PyOcto and QuakeMigrate, Antelope and SAC."""
DATE_AND_CLOCK = {"date": ("date", "pick_date", "phase_date", "arrival_date", "ymd", "yyyymmdd")}
"""Where the time's column holds the time of day only."""
PARTS_OF_A_TIME = {
    "year": ("year", "yr", "yyyy"),
    "month": ("month", "mon", "mo", "mm"),
    "day": ("day", "dd"),
    "doy": ("doy", "julday", "jday", "julian_day", "day_of_year"),
    "hour": ("hour", "hr", "hh", "h"),
    "minute": ("minute", "min", "mi"),
    "second": ("second", "sec", "ss", "seconds"),
}
PARTS_OF_A_SECOND = {
    "millisecond": ("millisecond", "milliseconds", "msec", "msecs", "ms", "millis"),
    "microsecond": ("microsecond", "microseconds", "usec", "us", "micros"),
    "fraction": ("fraction", "frac", "fsec", "second_fraction", "sec_fraction", "fractional_second"),
}
"""Beside times of whole seconds; a column "ms" may also be a magnitude, and is no part of times that have decimals."""
ZONE = {"zone": ("utc_offset", "timezone", "time_zone", "tz", "gmt_offset", "zone", "tzone")}
S_MINUS_P = re.compile(r"s[\W_]*(minus|-)?[\W_]*p([\W_]*(time|s|sec))?|t?s[\W_]*t?p|sp[\W_]*time")
"""Headings of S-P times, which are no times of S."""
PHASE_TIMES = {
    phase: {
        "time": tuple(
            text.format(p=phase.lower())
            for text in (
                *("{p}_arrival_time", "{p}_time", "time_{p}", "{p}_pick_time", "{p}_pick", "pick_{p}", "{p}_arrival"),
                *("arrival_{p}", "{p}_onset_time", "{p}_phase_time", "t_{p}", "{p}"),
            )
        ),
        "hour": tuple(text.format(p=phase.lower()) for text in ("hour_{p}", "{p}_hour")),
        "minute": tuple(text.format(p=phase.lower()) for text in ("minute_{p}", "{p}_minute", "min_{p}", "{p}_min")),
        "second": tuple(
            text.format(p=phase.lower()) for text in ("{p}_arr_sec", "sec_{p}", "{p}_sec", "second_{p}", "{p}_second")
        ),
        "probability": tuple(text.format(p=phase.lower()) for text in ("{p}_probability", "{p}_prob", "{p}_score")),
    }
    for phase in ("P", "S")
}
"""One row a station with a column for each phase, as in EQTransformer's X_prediction_results.csv. Its uncertainties
are of the probabilities, not of the times."""
ARRIVAL_SAMPLE = re.compile(r"trace_(\w+)_arrival_sample")
"""Columns of SeisBench's metadata, one row a trace: samples since trace_start_time."""


def names_a_station(headings: Headings) -> bool:
    """Whether a column holds stations or ids of traces."""
    return bool({"id", "station"} & set(headings.columns(COLUMNS)))


def has_times(headings: Headings) -> bool:
    """Whether times stand in one column or in their parts."""
    parts = set(headings.columns(PARTS_OF_A_TIME))
    in_parts = {"year", "hour", "minute", "second"} <= parts and ("doy" in parts or {"month", "day"} <= parts)
    return in_parts or "time" in headings.columns(COLUMNS)


def phase_columns(headings: Headings) -> dict[str, dict[str, int]]:
    """Phase -> our column -> position, of tables with a time for each phase, in one column or in parts."""
    found = {phase: headings.columns(aliases) for phase, aliases in PHASE_TIMES.items()}
    days = {"year", "month", "day"} <= set(headings.columns(PARTS_OF_A_TIME))
    return {
        phase: columns
        for phase, columns in found.items()
        if "time" in columns or (days and {"hour", "minute", "second"} <= set(columns))
    }


def is_seisbench(headings: Headings) -> bool:
    """Whether the columns are those of SeisBench's metadata."""
    return any(ARRIVAL_SAMPLE.fullmatch(heading) for heading in headings.raw) or "trace_start_time" in headings.raw


def is_header_of_picks(headings: Headings) -> bool:
    """Whether a line is the header of a table of picks that can be read."""
    if not names_a_station(headings):
        return False
    one_pick = "phase" in headings.columns(COLUMNS) and has_times(headings)
    return one_pick or bool(phase_columns(headings)) or is_seisbench(headings)
