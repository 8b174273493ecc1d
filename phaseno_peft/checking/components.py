"""Are components what their codes say? The first P moves up and away from its source, or down and towards it.

Whatever the mechanism, the vertical of P and the horizontal that points away from the source go together. A vertical
that goes against it, in event after event, is upside down; exchanged or reversed horizontals fit after they are put
right. And the vertical has more of P and less of S than a horizontal: where another component does, codes are swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phaseno_peft.campaign.catalog import LabelledPick
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.stretch import Stretch

P_BEFORE_SAMPLES, P_AFTER_SAMPLES = 5, 25
"""The P wave train used, in the network's time: 0.05 s before the pick to 0.25 s after it."""
NOISE_SAMPLES = (150, 20)
"""Noise: 1.5 to 0.2 s before the pick."""
SNR = 3.0
SHORTEST_SP_SAMPLES = 35
FEWEST_EVENTS = 5
STEEPEST = 0.15
"""Epicentral distance over depth below which P comes from below and has hardly a horizontal."""
WELL, ILL = 0.5, -0.1
"""Agreement of polarisation with the direction from the source (cosine) that counts as right, and as wrong."""
GAIN = 0.7
"""How much better a repaired station must agree."""
RATIO_DB, RATIO_ABOVE_DB = 1.5, 5.0
"""A horizontal has more P over S than Z: by this much, and by this much more than in the network's median station."""
CHANCE, CHANCE_OF_A_TURN = 2.8, 2.45
"""What is put right must agree better than directions at random do after one of `REPAIRS`, or after a turn that is
fitted, at one of four hundred stations: so many times 1 / sqrt(2 n), and 1 / sqrt(n), of n events."""
SMALLEST_TURN_DEG = 30.0
"""Less is within what a layered ground does to directions."""
REPAIRS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "vertical reversed (or both horizontals)": lambda h: -h,
    "north reversed": lambda h: h * (1.0, -1.0),
    "east reversed": lambda h: h * (-1.0, 1.0),
    "north and east swapped": lambda h: h[:, ::-1],
}
"""What could be wrong, and what makes (east, north) polarisation right again."""


@dataclass(frozen=True)
class Polarisation:
    """One station over its events."""

    station_id: str
    agreement: float
    """Mean cosine between horizontal P motion, its sign from the vertical, and the way from the source; 1 is right."""
    repaired: Mapping[str, float]
    """The same after each of `REPAIRS`."""
    n: int
    ratio_db: tuple[float, float]
    """Median P-over-S energy of E and of N against Z; negative is right."""
    swapped_part: float
    """Part of the events in which a horizontal has more P over S than Z."""
    n_ratio: int


def measure_polarisation(
    stretches: Sequence[Stretch], places: Mapping[str, np.ndarray], sources: Mapping[str, np.ndarray]
) -> list[Polarisation]:
    """Stations that have three components and clear P picks of located events.

    `places` and `sources` are (east, north, down) in km of stations and events.
    """
    motions: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    ratios: dict[str, list[np.ndarray]] = {}
    for stretch in stretches:
        rows = {i: k for k, i in enumerate(stretch.recording.station_ids)}
        s_times = {(p.event_id, p.station_id): p for p in stretch.picks if p.phase == "S" and p.usable}
        for pick in stretch.picks:
            row = rows[pick.station_id]
            if pick.phase != "P" or not pick.usable or len(stretch.recording.components[row]) < 3:
                continue
            measured = _motion(stretch, row, pick)
            source, place = sources.get(pick.event_id), places.get(pick.station_id)
            if measured is not None and source is not None and place is not None:
                away = place[:2] - source[:2]
                distance = float(np.hypot(*away))
                if distance > STEEPEST * max(float(source[2] - place[2]), 0.0) and distance > 0:
                    motions.setdefault(pick.station_id, []).append((measured, away / distance))
            ratio = _energy_ratio(stretch, row, pick, s_times.get((pick.event_id, pick.station_id)))
            if ratio is not None:
                ratios.setdefault(pick.station_id, []).append(ratio)
    return [
        _of_station(station_id, motions.get(station_id, []), ratios.get(station_id, []))
        for station_id in sorted({*motions, *ratios})
    ]


def component_findings(stations: Sequence[Polarisation], source: str) -> list[Finding]:
    """Stations whose components are not what their codes say, where most of the network's are."""
    return [*_reversed(stations, source), *_swapped(stations, source)]


def _reversed(stations: Sequence[Polarisation], source: str) -> Iterator[Finding]:
    able = [s for s in stations if s.n >= FEWEST_EVENTS]
    if len(able) < 3 or np.median([s.agreement for s in able]) < WELL / 2:
        return  # directions say nothing here
    for s in able:
        best = max(s.repaired, key=lambda name: s.repaired[name])
        chance = CHANCE_OF_A_TURN / np.sqrt(s.n) if "turned" in best else CHANCE / np.sqrt(2 * s.n)
        if s.agreement > ILL or s.repaired[best] < max(WELL, chance) or s.repaired[best] - s.agreement < GAIN:
            continue
        also = [name for name, value in s.repaired.items() if name != best and s.repaired[best] - value < 0.1]
        yield Finding(
            "warning",
            f"{s.station_id}: {' or '.join([best, *also])}: in {s.n} events P moves against the way from the source "
            f"(mean cosine {s.agreement:+.2f}, {s.repaired[best]:+.2f} once put right).",
            "swapped components" if "swapped" in best else "reversed component",
            source,
            s.station_id,
            f"{s.agreement:+.2f}",
            "Check the station's wiring and orientation, and correct the samples or the codes.",
        )


def _swapped(stations: Sequence[Polarisation], source: str) -> Iterator[Finding]:
    able = [s for s in stations if s.n_ratio >= FEWEST_EVENTS]
    usual = float(np.median([max(s.ratio_db) for s in able])) if able else 0.0
    if len(able) < 3 or usual > 0:
        return  # P is not on the vertical in this network
    for s in able:
        worst = int(np.argmax(s.ratio_db))
        if s.ratio_db[worst] > max(RATIO_DB, usual + RATIO_ABOVE_DB) and s.swapped_part > 0.7:
            letter = "EN"[worst]
            yield Finding(
                "warning",
                f"{s.station_id}: Z and {letter} look swapped: {letter} has {s.ratio_db[worst]:.0f} dB more of P over "
                f"S than Z (median of {s.n_ratio} events).",
                "swapped components",
                source,
                f"{s.station_id} Z, {letter}",
                f"+{s.ratio_db[worst]:.0f} dB",
                f"Check the wiring; --channels can exchange codes, as in {s.station_id.split('.')[1]}.HHZ={letter}.",
            )


def _of_station(
    station_id: str, motions: Sequence[tuple[np.ndarray, np.ndarray]], ratios: Sequence[np.ndarray]
) -> Polarisation:
    h = np.array([m for m, _ in motions]).reshape(-1, 2)
    away = np.array([a for _, a in motions]).reshape(-1, 2)
    weight = float(np.linalg.norm(h, axis=1).sum()) or 1.0
    stacked = np.array(ratios).reshape(-1, 2)
    repaired = {name: float((repair(h) * away).sum() / weight) for name, repair in REPAIRS.items()}
    # the one turn that suits all events best, by complex numbers east + i north
    turn = complex(np.sum((away @ (1, 1j)) * np.conj(h @ (1, 1j))))
    angle_deg = -np.degrees(np.angle(turn))  # azimuths run clockwise
    if SMALLEST_TURN_DEG < abs(angle_deg) < 180 - SMALLEST_TURN_DEG:
        repaired[f"horizontals turned by about {angle_deg % 360:.0f} degrees"] = abs(turn) / weight
    return Polarisation(
        station_id,
        float((h * away).sum() / weight),
        repaired,
        len(h),
        (float(np.median(stacked[:, 0])), float(np.median(stacked[:, 1]))) if len(stacked) else (np.nan, np.nan),
        float((stacked.max(axis=1) > 0).mean()) if len(stacked) else 0.0,
        len(stacked),
    )


def _piece(stretch: Stretch, row: int, first: int, last: int) -> np.ndarray | None:
    """[component, sample] where all of it is recorded."""
    recording = stretch.recording
    if first < 0 or last > recording.n_samples or not recording.recorded[row, :, first:last].all():
        return None
    piece = recording.samples[row, :, first:last].astype(np.float64)
    return np.asarray(piece - piece.mean(axis=1, keepdims=True))


def _motion(stretch: Stretch, row: int, pick: LabelledPick) -> np.ndarray | None:
    """Correlation of (east, north) with the vertical over the P wave train; None where P is not clear."""
    at = round(stretch.recording.index_of(pick.time))
    wave = _piece(stretch, row, at - P_BEFORE_SAMPLES, at + P_AFTER_SAMPLES)
    noise = _piece(stretch, row, at - NOISE_SAMPLES[0], at - NOISE_SAMPLES[1])
    if wave is None or noise is None or wave[2].std() < SNR * noise[2].std():
        return None
    horizontal = float(np.sqrt(np.square(wave[:2]).sum()))
    vertical = float(np.sqrt(np.square(wave[2]).sum()))
    return np.asarray(wave[:2] @ wave[2] / (horizontal * vertical)) if horizontal * vertical > 0 else None


def _energy_ratio(stretch: Stretch, row: int, p: LabelledPick, s: LabelledPick | None) -> np.ndarray | None:
    """(E, N) P-over-S energy against that of Z, in dB; None where P or S is missing or not clear."""
    if s is None:
        return None
    at_p, at_s = (round(stretch.recording.index_of(pick.time)) for pick in (p, s))
    length = min(at_s - at_p - P_BEFORE_SAMPLES, 2 * P_AFTER_SAMPLES)
    if at_s - at_p < SHORTEST_SP_SAMPLES:
        return None
    windows = [_piece(stretch, row, at - P_BEFORE_SAMPLES, at + length) for at in (at_p, at_s)]
    noise = _piece(stretch, row, at_p - NOISE_SAMPLES[0], at_p - NOISE_SAMPLES[1])
    if noise is None or any(w is None for w in windows):
        return None
    floor = np.square(noise).mean(axis=1)
    if not floor.all():
        return None
    p_energy, s_energy = (np.square(w).mean(axis=1) for w in windows if w is not None)
    if max(p_energy / floor) < SNR**2 or max(s_energy / floor) < SNR**2:
        return None
    ratio = 10 * np.log10(np.maximum(p_energy - floor, 0.1 * floor) / np.maximum(s_energy - floor, 0.1 * floor))
    return np.asarray(ratio[:2] - ratio[2])
