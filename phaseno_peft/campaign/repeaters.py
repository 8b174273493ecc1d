"""Events whose records are alike: doublets, repeating earthquakes, and one record under two times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.campaign.stretch import Stretch

WAVE_SAMPLES = (-20, 200)
"""The stretch of record around the pick that is compared, in the network's time."""
SHIFT_SAMPLES = 20
"""Picks of one waveform may differ by this."""
ALIKE = 0.97
"""Correlation from which two records are the same earthquake for all a network can tell."""
ALIKE_STATIONS = 3
"""So many stations must have recorded both, or all there are."""
MOST_EVENTS = 1000
"""Only the first so many are compared: the pairs of more take minutes."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """An event whose waveforms are those of an earlier one."""

    event_id: str
    other_id: str
    stations: int
    """On which the correlation of the verticals is above `ALIKE`: more than half of `common`."""
    common: int
    """Stations with picks of both."""


def repeats(stretches: Sequence[Stretch]) -> list[Repeat]:
    """Return every pair of alike events, the later one first; events without P picks are like none.

    An event that is listed twice is no repeat of itself: its picks are of one record. The verticals around P, or around
    S where nobody picked P, are compared by normalised correlation, station by station, at the best of shifts up to
    0.2 s of the network's time (Geller & Mueller 1980).
    """
    waves, times = _waves(stretches)
    events = list(waves)
    n, stations = len(events), sorted({station for own in waves.values() for station in own})
    alike, common = np.zeros((n, n), np.int16), np.zeros((n, n), np.int16)
    for station in stations:
        rows = np.array([i for i, event in enumerate(events) if station in waves[event]])
        found = _correlations(np.stack([waves[events[i]][station] for i in rows]))
        alike[np.ix_(rows, rows)] += found > ALIKE
        common[np.ix_(rows, rows)] += 1
    needed = min(ALIKE_STATIONS, len(stations))
    at = np.array([times[event] for event in events])
    is_apart = np.abs(at[:, None] - at[None, :]) > WAVE_SAMPLES[1] - WAVE_SAMPLES[0]
    pairs = np.argwhere(np.tril((common >= needed) & (2 * alike > common) & is_apart, -1))
    return [Repeat(events[i], events[j], int(alike[i, j]), int(common[i, j])) for i, j in pairs.tolist()]


def families(found: Sequence[Repeat]) -> dict[str, str]:
    """Return event -> the first event of its family, for events that repeat another or are repeated."""
    first: dict[str, str] = {}
    for pair in found:
        mine, other = (first.setdefault(event, event) for event in (pair.event_id, pair.other_id))
        first |= {event: other for event, root in first.items() if root == mine}
    return first


def _waves(
    stretches: Sequence[Stretch],
) -> tuple[dict[str, dict[str, NDArray[np.float32]]], dict[str, float]]:
    """Event -> station -> vertical around P, with room for the shifts, in time order; event -> sample of its first P,
    counted from the first record on. Of a catalogue without P the same around S."""
    has_P = any(pick.phase == "P" and pick.usable for stretch in stretches for pick in stretch.picks)
    waves: dict[str, dict[str, NDArray[np.float32]]] = {}
    times: dict[str, float] = {}
    begin = min((s.recording.start for s in stretches), default=None)
    for stretch in sorted(stretches, key=lambda s: s.recording.start):
        recording = stretch.recording
        rows = {station: i for i, station in enumerate(recording.station_ids)}
        for pick in stretch.picks:
            if pick.phase != ("P" if has_P else "S") or not pick.usable:
                continue
            at = round(recording.index_of(pick.time))
            first, last = at + WAVE_SAMPLES[0] - SHIFT_SAMPLES, at + WAVE_SAMPLES[1] + SHIFT_SAMPLES
            if first < 0 or last > recording.n_samples or (pick.event_id not in waves and len(waves) == MOST_EVENTS):
                continue
            piece = recording.samples[rows[pick.station_id], 2, first:last].astype(np.float32)
            if piece.std() > 0 and recording.recorded[rows[pick.station_id], 2, first:last].all():
                waves.setdefault(pick.event_id, {})[pick.station_id] = piece
                sample = (pick.time - begin) * recording.rate_hz
                times[pick.event_id] = min(sample, times.get(pick.event_id, sample))
    return waves, times


def _correlations(waves: NDArray[np.float32]) -> NDArray[np.float32]:
    """[event, event] largest normalised correlation of the middle of one with another's piece as long."""
    length = waves.shape[1] - 2 * SHIFT_SAMPLES
    middle = _normalised(waves[:, SHIFT_SAMPLES:-SHIFT_SAMPLES])
    best = np.zeros((len(waves), len(waves)), np.float32)
    for shift in range(2 * SHIFT_SAMPLES + 1):
        np.maximum(best, middle @ _normalised(waves[:, shift : shift + length]).T, out=best)
    return np.maximum(best, best.T)


def _normalised(waves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without mean, of unit length; zeros where nothing moves."""
    centred = waves - waves.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0))
