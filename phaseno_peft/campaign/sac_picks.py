"""Picks in headers of SAC files: a and t0 to t9, named by ka and kt0 to kt9, in seconds since the reference time."""

from __future__ import annotations

import re
from pathlib import Path

from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import LabelledPick, phase_of
from phaseno_peft.campaign.tally import Hypocentre, Tally
from phaseno_peft.campaign.unpack import obspy_format, obspy_path
from phaseno_peft.errors import CampaignError
from phaseno_peft.station_ids import station_id_of

UNDEFINED = -12345.0
_FIELDS = ("a", *(f"t{i}" for i in range(10)))
_LONGEST_S = 30 * 86_400.0
"""Longer after the reference time is no pick but damage."""


def tally_sac_picks(name: str, path: Path, tally: Tally) -> bool:
    """Put the picks of a plain file with the tally, by event; False where it is no SAC file.

    A name may be plain (P, Sg) or HYPO71's of four characters (IPU0: onset, phase, polarity, weight, where weight 4
    means unused). A field `a` without a name is a P: SAC defines it as the first arrival. Picks of files that agree on
    the event's name, or else on its origin time, are of one event. Raises `CampaignError` for a damaged header.
    """
    if obspy_format("waveform", path, ("SAC",)) is None:
        return False
    from obspy import read

    try:
        (trace,) = read(obspy_path(path), format="SAC", headonly=True, check_compression=False)
        header = trace.stats.sac
        if header.get("nzyear", UNDEFINED) == UNDEFINED:
            raise ValueError("its header has no reference time")
        begin_ns = trace.stats.starttime.ns - round(float(header.get("b", 0.0)) * 1e9)
        reference = UTCDateTime(ns=round(begin_ns / 1e6) * 1_000_000)  # the header gives milliseconds
        station_id = station_id_of(trace.stats.network, trace.stats.station, trace.stats.location)
    except CampaignError:
        raise
    except Exception as error:  # obspy's readers raise whatever their parsers do
        raise CampaignError(f"{name}: not readable as SAC ({error}). Fetch it again, or leave it out.") from error
    picks = []
    for field in _FIELDS:
        seconds = float(header.get(field, UNDEFINED))
        if seconds == UNDEFINED:
            continue
        tally.n_picks += 1
        if not abs(seconds) <= _LONGEST_S:
            raise CampaignError(
                f"{name}: its header field {field} is {seconds:g} s. Correct it, or leave the file out."
            )
        written = str(header.get(f"k{field}", "")).strip()
        if not trace.stats.station.strip():
            tally.incomplete["no station"] += 1
        elif not written and field != "a":
            tally.incomplete["no phase"] += 1
        elif (named := _phase(written or "P")) is None:
            tally.ignored[written] += 1
        else:
            phase, phase_name, is_used = named
            if not written:
                tally.counts["are a first arrival without a name (SAC's field a) and count as P"] += 1
            picks.append(
                LabelledPick(
                    pick_id="",
                    event_id="",
                    station_id=station_id,
                    phase=phase,
                    time=reference + seconds,
                    uncertainty_s=None,
                    usable=is_used,
                    number=tally.n_picks,
                    phase_name=phase_name,
                )
            )
    if not picks:
        return True
    origin_s = float(header.get("o", UNDEFINED))
    at = reference + origin_s if origin_s != UNDEFINED and abs(origin_s) <= _LONGEST_S else None
    event = str(header.get("kevnm", "")).strip()
    if not event and at is None:
        tally.loose += picks
        return True
    # The depth (evdp) is in kilometres or metres, as the writer pleased.
    hypocentre: Hypocentre = (at, _defined(header.get("evla")), _defined(header.get("evlo")), None)
    # Origin times are floats of single precision; millisecond differences are none.
    key = f"{event} {'' if at is None else round(at.timestamp, 2)}"
    tally.by_event.setdefault(key, (hypocentre, []))[1].extend(picks)
    return True


def _phase(written: str) -> tuple[str, str, bool] | None:
    """("P" or "S", name, is used) of a plain name or HYPO71's four characters; None for other phases."""
    if match := re.fullmatch(r"[IE ]?([PS])[UDC+\-. ]([0-4])", written, re.IGNORECASE):
        return match[1].upper(), match[1].upper(), match[2] != "4"
    name = re.sub(r"^[IEie](?=[PSps])", "", written)
    phase = phase_of(name)
    return None if phase is None else (phase, name, True)


def _defined(value: object) -> float | None:
    number = UNDEFINED if value is None else float(str(value))
    return None if number == UNDEFINED else number
