"""What was recorded when: channels with their gaps, picks in gaps, stations that one of the three files lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.plan import few
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.checking.delivery import Delivery
from phaseno_peft.contract import COMPONENTS

SHORTEST_GAP_S = 0.05
"""Shorter holes are what a clock leaves when it is set."""
MUCH_MISSING = 0.02
"""A channel that misses more than this part of its records between first and last samples has gaps to look at,"""
LONG_GAP_S = 1.0
"""and so has one with a gap this long."""


@dataclass(frozen=True)
class ChannelCoverage:
    """One component of one station over all recordings, laid end to end."""

    station_id: str
    component: str
    recorded_s: tuple[tuple[float, float], ...]
    """Begin and end of each recorded run, in seconds of record."""
    gaps_s: tuple[tuple[float, float], ...]
    """Begin and end of each hole between samples of one recording."""
    places: tuple[str, ...]
    """Recording and time of each gap."""

    @property
    def missing(self) -> float:
        """Part of the record between first and last samples that is missing."""
        lost = sum(b - a for a, b in self.gaps_s)
        held = sum(b - a for a, b in self.recorded_s)
        return lost / (lost + held) if lost + held else 0.0


@dataclass(frozen=True)
class Coverage:
    """Channels of all stations, and where each recording begins."""

    channels: tuple[ChannelCoverage, ...]
    bounds_s: tuple[float, ...]
    """Seconds of record at which each recording begins, and the end."""
    names: tuple[str, ...]


def measure_coverage(recordings: Sequence[Recording]) -> Coverage:
    """Runs and gaps of every component that was recorded at all."""
    runs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    gaps: dict[tuple[str, str], list[tuple[float, float]]] = {}
    places: dict[tuple[str, str], list[str]] = {}
    bounds = [0.0]
    for recording in recordings:
        begin = bounds[-1]
        for i, station_id in enumerate(recording.station_ids):
            for letter in recording.components[i]:
                key = (station_id, letter)
                held = _runs(recording.recorded[i, COMPONENTS.index(letter)]) / recording.rate_hz
                runs.setdefault(key, []).extend((begin + a, begin + b) for a, b in held)
                for (_, end), (start, _) in pairwise(held):
                    if start - end >= SHORTEST_GAP_S:
                        gaps.setdefault(key, []).append((begin + end, begin + start))
                        places.setdefault(key, []).append(f"{recording.name} {recording.start + float(end)}")
        bounds.append(begin + recording.duration_s)
    return Coverage(
        tuple(
            ChannelCoverage(*key, tuple(runs[key]), tuple(gaps.get(key, ())), tuple(places.get(key, ())))
            for key in sorted(runs, key=lambda k: (k[0], COMPONENTS[::-1].index(k[1])))
        ),
        tuple(bounds),
        tuple(r.name for r in recordings),
    )


def coverage_findings(delivery: Delivery, coverage: Coverage) -> list[Finding]:
    """Gaps, picks in gaps and without waveforms, stations without coordinates, picks or waveforms."""
    return [*_gaps(coverage), *_picks_in_gaps(delivery), *_files_apart(delivery)]


def _gaps(coverage: Coverage) -> Iterable[Finding]:
    by_station: dict[str, list[ChannelCoverage]] = {}
    for channel in coverage.channels:
        if channel.gaps_s:
            by_station.setdefault(channel.station_id, []).append(channel)
    for station_id, channels in by_station.items():
        worst = max(channels, key=lambda c: c.missing)
        lost = sum(b - a for a, b in worst.gaps_s)
        longest = max(b - a for a, b in worst.gaps_s)
        letters = "".join(c.component for c in channels)
        gaps = "1 gap" if len(worst.gaps_s) == 1 else f"{len(worst.gaps_s)} gaps"
        yield Finding(
            "warning" if worst.missing > MUCH_MISSING or longest >= LONG_GAP_S else "note",
            f"{station_id}: {letters} has {gaps}, {lost:.1f} s or {100 * worst.missing:.1f} % of its record.",
            "gap",
            worst.places[0].split(" ")[0],
            f"{station_id} {letters} from {worst.places[0].split(' ')[1]}",
            f"{lost:.1f} s",
            "Fetch the record again if the station was running; nothing is learnt or judged in a gap.",
        )


def _picks_in_gaps(delivery: Delivery) -> Iterable[Finding]:
    campaign = delivery.campaign
    for stretch in campaign.stretches() if campaign is not None else ():
        recording = stretch.recording
        rows = {station_id: i for i, station_id in enumerate(recording.station_ids)}
        for pick in stretch.picks:
            sample = round(recording.index_of(pick.time))
            if pick.usable and not np.any(recording.recorded[rows[pick.station_id], :, sample]):
                yield Finding(
                    "warning",
                    f"{pick.phase} on {pick.station_id} is picked in a gap of its record.",
                    "pick without waveforms",
                    recording.name,
                    f"pick {pick.number}, {pick.station_id} {pick.time}",
                    "no samples",
                    "Fetch the record again, or delete the pick.",
                )


def _files_apart(delivery: Delivery) -> Iterable[Finding]:
    """Stations and picks that one of the three files has and another lacks, where no campaign could tell."""
    table, catalogue, campaign = delivery.stations, delivery.catalogue, delivery.campaign
    if campaign is not None or catalogue is None:
        return
    strangers = sorted(
        {p.station_id for p in catalogue.picks if table is not None and table.find(p.station_id) is None}
    )
    if strangers and table is not None:
        yield Finding(
            "warning",
            f"{len(strangers)} stations of the picks have no coordinates: {few(strangers)}.",
            "station without coordinates",
            catalogue.source,
            ", ".join(strangers),
            f"{len(strangers)} stations",
            f"Add them to {table.source}.",
        )


def _runs(mask: np.ndarray) -> np.ndarray:
    """Half-open runs [run, 2] of True."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return steps.reshape(-1, 2)
