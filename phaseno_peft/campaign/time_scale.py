"""Which time scale k a campaign asks for: from its S-P times, its aperture and the frequencies of its arrivals.

Data declared k times slower and larger keep the apparent velocities that the network was trained on (docs: `time_scale`
in `Preprocessing`). k should bring short S-P times and high frequencies to what training had, and must leave the
network's 30 s window room for the events and its map room for the stations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from obspy import Stream

from phaseno_peft.campaign.catalog import Catalogue
from phaseno_peft.campaign.check import sp_times_s
from phaseno_peft.campaign.coordinates import local_km, scaled_coordinates
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.station_ids import station_fields

SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0)
SHORT_SP_S = 0.7
"""Network's time: nine of ten S-P times should be longer, so that the labels of P and S (0.4 s each) stand apart."""
LONGEST_EVENT_S = 20.0
"""Network's time: nine of ten events should last no longer from first to last pick, to fit into 30 s at any shift."""
WIDEST_KM = 80.0
"""Of the stretched network: the unit square of its coordinates is 111 km wide."""
LOWEST_HZ, HIGHEST_HZ = 2.5, 25.0
"""Network's time: where most of an arrival's energy should lie; training had 2 to 25 Hz."""
_ARRIVAL_S = 1.0
"""Of each P that the spectrum is taken of, real time; where that is more than `_MOST_SAMPLES`, so many."""
_FEWEST_SAMPLES, _MOST_SAMPLES = 32, 512
_MOST_ARRIVALS = 100


@dataclass(frozen=True)
class TimeScale:
    """A scale and what it follows from."""

    k: float
    at_least: float
    at_most: float
    why: str
    """The numbers, in a sentence."""


def suggest_time_scale(streams: Mapping[str, Stream], stations: StationTable, catalogue: Catalogue) -> TimeScale:
    """The smallest of `SCALES` that brings S-P times and frequencies to the network's, within what its window holds.

    `streams` are raw. What the data do not tell (no S picks, no record) sets no bound; 1 where nothing asks for more.
    """
    reasons, at_least, at_most = [], 1.0, SCALES[-1]
    sp_s = sp_times_s(catalogue)
    sp_s = sp_s[sp_s > 0]
    if len(sp_s):
        short_s = float(np.percentile(sp_s, 10))
        at_least = max(at_least, SHORT_SP_S / short_s)
        reasons.append(f"nine of ten S-P times are above {short_s:.3g} s")
    lengths_s = [max(p.time for p in e.picks) - min(p.time for p in e.picks) for e in catalogue.events if e.picks]
    if lengths_s and (long_s := float(np.percentile(lengths_s, 90))) > 0:
        at_most = min(at_most, LONGEST_EVENT_S / long_s)
        reasons.append(f"nine of ten events last up to {long_s:.3g} s")
    width_km = _width_km(stations)
    if width_km > 0:
        at_most = min(at_most, WIDEST_KM / width_km)
        reasons.append(f"the network is {width_km:.3g} km wide")
    centre_hz = _centre_hz(streams, catalogue)
    if centre_hz is not None:
        at_least = max(at_least, centre_hz / HIGHEST_HZ)
        at_most = min(at_most, centre_hz / LOWEST_HZ)
        reasons.append(f"half of the energy of P lies below {centre_hz:.3g} Hz")
    at_most = max(at_most, 1.0)
    fitting = [k for k in SCALES if k >= at_least * 0.99 and k <= at_most]
    k = fitting[0] if fitting else max(k for k in SCALES if k <= at_most)
    return TimeScale(k, at_least, at_most, "; ".join(reasons) or "nothing in the data asks for another")


def _width_km(stations: StationTable) -> float:
    """Largest distance between two stations, depths laid beside."""
    listed = tuple(stations)
    if len(listed) < 2:
        return 0.0
    places = local_km(scaled_coordinates(listed, stations.frame(), 1.0))
    return float(np.linalg.norm(places.max(0) - places.min(0)))


def _centre_hz(streams: Mapping[str, Stream], catalogue: Catalogue) -> float | None:
    """Median over P arrivals of the frequency below which half of their energy lies, noise before them taken off."""
    traces: dict[str, list[Any]] = {}
    for stream in streams.values():
        for trace in stream:
            if trace.stats.channel[-1:].upper() in ("Z", "3", "1") and trace.data.dtype.kind in "iuf":
                traces.setdefault(trace.stats.station, []).append(trace)
    picks = [p for p in catalogue.picks if p.usable and p.phase == "P"]
    centres: list[float] = []
    for pick in picks[:: max(1, len(picks) // _MOST_ARRIVALS)]:  # spread over the campaign's time
        listed = traces.get(station_fields(pick.station_id)[1], ())
        trace = next((t for t in listed if t.stats.starttime < pick.time < t.stats.endtime), None)
        if trace is not None and (centre := _half_energy_hz(trace, pick.time)) is not None:
            centres.append(centre)
    return float(np.median(centres)) if centres else None


def _half_energy_hz(trace: Any, time: Any) -> float | None:
    """Of the second after a P on an obspy Trace; None where it is not clear above the second before."""
    rate_hz = float(trace.stats.sampling_rate)
    x = np.ma.filled(np.ma.masked_invalid(np.ma.asarray(trace.data).astype(np.float64)), 0.0)
    at = round((time - trace.stats.starttime) * rate_hz)
    n = min(round(_ARRIVAL_S * rate_hz), _MOST_SAMPLES, at, len(x) - at)
    if n < _FEWEST_SAMPLES:
        return None
    taper = np.hanning(n)
    noise, arrival = (np.square(np.abs(np.fft.rfft(taper * (p - p.mean())))) for p in (x[at - n : at], x[at : at + n]))
    excess = np.maximum(arrival - noise, 0.0)
    if not excess.sum() > noise.sum():  # no clear arrival
        return None
    frequencies = np.fft.rfftfreq(n, 1 / rate_hz)
    return float(frequencies[np.searchsorted(np.cumsum(excess), 0.5 * excess.sum())])
