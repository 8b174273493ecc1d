"""Earthquakes that the catalogue does not list, in the windows that would be cut around those it does.

Where a station has a label, its window teaches that nothing else arrives. A second event in it teaches a wrong thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from obspy import UTCDateTime
from scipy.ndimage import uniform_filter1d

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.labels import event_end
from phaseno_peft.campaign.stretch import Stretch
from phaseno_peft.checking.arrivals import short_event

SHORT_SAMPLES, LONG_SAMPLES = 30, 300
"""Averages after and before each sample, in the network's time: 0.3 s and 3 s."""
RISE = 4.0
"""Amplitude after over before that begins an arrival; noise bursts of one station reach it too, but alone."""
APART_SAMPLES = 100
FEWEST_STATIONS = 4
STATION_PART = 0.6
"""An event is one where this part of the stations rises together that a catalogued event is picked on (median)."""
SLACK_SAMPLES = 50
CLEAR_SAMPLES = 100
"""Around a catalogued event's picks nothing is looked for."""
WIDEST_SAMPLES = 1000


@dataclass(frozen=True)
class HiddenEvent:
    """Arrivals at many stations within the time an event takes to pass the network, and no pick."""

    time: UTCDateTime
    station_ids: tuple[str, ...]
    recording: str
    near_event_id: str
    """The catalogued event whose window it lies in."""
    delay_s: float
    """After that event's first pick."""


def find_hidden_events(stretches: Sequence[Stretch], window_samples: int) -> list[HiddenEvent]:
    """Coincident rises of amplitude within a window's length of catalogued events, away from all of their arrivals."""
    spans = [last - first for s in stretches for first, last in _events(s).values() if last > first]
    heard: dict[str, set[str]] = {}
    for pick in (p for s in stretches for p in s.picks):
        heard.setdefault(pick.event_id, set()).add(pick.station_id)
    if not spans:
        return []
    span = min(float(np.percentile(spans, 90)) + SLACK_SAMPLES, WIDEST_SAMPLES)
    needed = max(FEWEST_STATIONS, int(np.ceil(STATION_PART * np.median([len(found) for found in heard.values()]))))
    return [found for s in stretches if s.event_ids for found in _in_stretch(s, span, needed, window_samples)]


def hidden_event_findings(found: Sequence[HiddenEvent]) -> list[Finding]:
    """One finding an event."""
    return [
        Finding(
            "warning",
            f"{len(h.station_ids)} stations rise together {abs(h.delay_s):.1f} s "
            f"{'after' if h.delay_s > 0 else 'before'} event {short_event(h.near_event_id)}, where "
            "the catalogue has no pick: another event under its window.",
            "another event",
            h.recording,
            f"{h.time}, first on {h.station_ids[0]}",
            f"{len(h.station_ids)} stations",
            "Pick it too, or cut the record before it.",
        )
        for h in found
    ]


def _events(stretch: Stretch) -> dict[str, tuple[float, float]]:
    """First and last pick in samples of each event."""
    times: dict[str, list[float]] = {}
    for pick in stretch.picks:
        times.setdefault(pick.event_id, []).append(stretch.recording.index_of(pick.time))
    return {event_id: (min(t), max(t)) for event_id, t in times.items()}


def _in_stretch(stretch: Stretch, span: float, needed: int, window_samples: int) -> Iterator[HiddenEvent]:
    recording = stretch.recording
    events = _events(stretch)
    onsets: list[tuple[int, int]] = []  # (sample, station)
    for i in range(len(recording.stations)):
        alive = recording.recorded[i].all(axis=0) if len(recording.components[i]) == 3 else recording.recorded[i, 2]
        amplitude = np.sqrt(np.square(recording.samples[i]).sum(axis=0, dtype=np.float64))
        onsets += [(k, i) for k in _rises(amplitude, alive)]
    onsets = sorted(
        (k, i)
        for k, i in onsets
        if not any(a - CLEAR_SAMPLES <= k <= event_end(a, b) + CLEAR_SAMPLES for a, b in events.values())
    )
    after = -np.inf
    for k, _ in onsets:
        if k < after:
            continue
        together = list(dict.fromkeys(i for other, i in onsets if k <= other <= k + span))
        near = min(events, key=lambda e: abs(events[e][0] - k))
        if len(together) >= needed and abs(events[near][0] - k) <= window_samples:
            after = k + span + 2 * LONG_SAMPLES
            yield HiddenEvent(
                recording.start + k / recording.rate_hz,
                tuple(recording.station_ids[i] for i in together),
                recording.name,
                near,
                (k - events[near][0]) / recording.rate_hz,
            )


def _rises(amplitude: np.ndarray, alive: np.ndarray) -> list[int]:
    """Samples at which the amplitude begins to be `RISE` times what it was, the largest within `APART_SAMPLES`."""
    n = len(amplitude)
    if n < 2 * (SHORT_SAMPLES + LONG_SAMPLES):
        return []
    after, before = _means(np.square(amplitude))
    whole_after, whole_before = _means(alive.astype(np.float64))
    usable = (before > 0) & (whole_after > 0.999) & (whole_before > 0.999)  # no gap, and not over an edge
    ratio = np.sqrt(np.divide(after, before, out=np.zeros(n), where=usable))
    found = []
    while (k := int(np.argmax(ratio))) and ratio[k] > RISE:
        found.append(k)
        ratio[max(0, k - APART_SAMPLES) : k + APART_SAMPLES] = 0.0
    return found


def _means(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over the `SHORT_SAMPLES` from each sample on and over the `LONG_SAMPLES` before it; 0 beyond the ends."""
    # uniform_filter1d is centred; its origin moves it
    after = uniform_filter1d(x, SHORT_SAMPLES, origin=-(SHORT_SAMPLES // 2), mode="constant")
    before = uniform_filter1d(x, LONG_SAMPLES, origin=LONG_SAMPLES // 2 - 1, mode="constant")
    return after, before
