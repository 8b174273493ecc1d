"""A small made-up network with known arrivals, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from obspy import Stream, Trace, UTCDateTime
from obspy.core.event import Arrival, Catalog, Event, Origin, Pick, QuantityError, WaveformStreamID

from phaseno_peft.campaign import Station, StationTable

T0 = UTCDateTime(2020, 1, 1)


def table(n: int = 4) -> StationTable:
    """Stations XX.S0. to XX.S<n-1>., 11 km apart on a meridian."""
    return StationTable([Station(f"XX.S{i}.", 0.1 * i, 10.0, 0.0) for i in range(n)])


def trace(
    station: str, channel: str, samples: np.ndarray, rate_hz: float = 100.0, start: UTCDateTime = T0, location: str = ""
) -> Trace:
    header = {
        "network": "XX",
        "station": station,
        "location": location,
        "channel": channel,
        "sampling_rate": rate_hz,
        "starttime": start,
    }
    return Trace(np.array(samples), header)


def pulse(t: np.ndarray, frequency_hz: float = 8.0, width_s: float = 0.03) -> np.ndarray:
    """Band-limited pulse with its peak at t = 0; nothing above 30 Hz, so that every rate from 80 Hz up carries it."""
    return np.exp(-0.5 * (t / width_s) ** 2) * np.cos(2 * np.pi * frequency_hz * t)


def pick(station: str, phase: str | None, time: UTCDateTime, *, location: str | None = "", network: str = "XX") -> Pick:
    return Pick(
        time=time,
        phase_hint=phase,
        waveform_id=WaveformStreamID(network, station, location, "HHZ"),
        time_errors=QuantityError(uncertainty=0.05),
    )


def catalog(events: Iterable[Sequence[Pick]], weights: dict[int, float] | None = None) -> Catalog:
    """Events in order; `weights` are arrival weights by pick number, counted from 1 over all events."""
    result, number = Catalog(), 0
    for i, picks in enumerate(events):
        event = Event(resource_id=f"smi:local/event/{i}", picks=list(picks))
        origin = Origin(time=min((p.time for p in picks), default=T0), latitude=0.1, longitude=10.0, depth=5000.0)
        for p in picks:
            number += 1
            origin.arrivals.append(
                Arrival(pick_id=p.resource_id, phase=p.phase_hint or "P", time_weight=(weights or {}).get(number, 1.0))
            )
        event.origins = [origin]
        result.append(event)
    return result


def record(
    rng: np.random.Generator,
    onsets_s: Sequence[float],
    duration_s: float,
    start: UTCDateTime,
    n_stations: int = 4,
    rate_hz: float = 100.0,
) -> Stream:
    """Noise of unit variance with decaying arrivals: P at each onset plus 0.2 s a station, S another second later."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    stream = Stream()
    for i in range(n_stations):
        for component in "ENZ":
            x = rng.standard_normal(len(t))
            for onset_s in onsets_s:
                for delay_s, amplitude in ((0.2 * i, 40.0 if component == "Z" else 8.0), (0.2 * i + 1.0, 90.0)):
                    late = t - onset_s - delay_s
                    coda = np.exp(-np.clip(late, 0, None) / 0.3) * np.sin(2 * np.pi * 9.0 * late + 1.2)
                    x += amplitude * np.where(late >= 0, coda, 0.0)
            stream += trace(f"S{i}", f"HH{component}", x, rate_hz, start)
    return stream


def network_picks(onset: UTCDateTime, n_stations: int = 4) -> list[Pick]:
    """The true P and S times of one event of `record`."""
    return [
        pick(f"S{i}", phase, onset + 0.2 * i + delay)
        for i in range(n_stations)
        for phase, delay in (("P", 0.0), ("S", 1.0))
    ]
