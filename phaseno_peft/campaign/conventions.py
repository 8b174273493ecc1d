"""Where on the wavelet a catalogue's picks sit (onset, peak, trough), how certain that is; and picks moved elsewhere.

Extrema are sought without the delay of the high-pass: it is run once more, backwards, which makes its phase zero.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.signal

from phaseno_peft.campaign.catalog import Catalogue, one_per_station_and_phase
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.labels import ONSET_TOLERANCE_S, ClearArrival, clear_arrivals
from phaseno_peft.campaign.stretch import Stretch
from phaseno_peft.contract import PHASES, LabelConvention, Preprocessing
from phaseno_peft.errors import CampaignError

Target = Literal["onset", "peak", "trough"]
EXTREMA = ("peak", "trough")
"""Conventions whose labels are wrong on a reversed trace, at least where one sign is meant."""
CLEAR_PART = 0.4
"""An extremum is clear from this part of the largest amplitude around the pick on."""
ON_EXTREMUM = 0.25
"""Picks sit on extrema where half of them lie nearer than this part of a quarter period (picks at random: 0.5)."""
ONE_SIGN = 0.8
"""From this part of troughs among their extrema on, picks are on troughs; else on peaks, of either sign."""
CERTAIN = 0.9
"""From this certainty on, a convention is written into an adapter's contract."""
DRAWS = 200
FEWEST = 5
"""Clear arrivals below which nothing is said and no pick is moved."""


@dataclass(frozen=True, slots=True)
class FoundConvention:
    """What the picks of one phase follow."""

    convention: LabelConvention
    certainty: float
    """Part of `DRAWS` random draws of the picks, with replacement, that follow the same."""
    n: int
    """Clear arrivals."""
    from_onset_s: float
    """Median of pick minus onset, real time."""
    from_extremum: float
    """Median distance to the nearest clear extremum, in quarter periods."""


def measure_conventions(stretches: Iterable[Stretch], seed: int = 0) -> dict[str, FoundConvention]:
    """Phase -> convention of its usable picks on clear arrivals; phases with fewer than `FEWEST` are left out.

    Picks follow extrema where half of them lie near one and few lie as near to the onset; they follow onsets where
    their median lies within 0.02 s of it; else it is unknown. The onset is that of `measure_label_offset`.
    """
    rows: dict[str, list[tuple[float, float, float, float]]] = {phase: [] for phase in PHASES}
    for pick, arrival in clear_arrivals(stretches):
        x = _without_delay(arrival)
        places, signs = _clear_extrema(x)
        if len(places):
            i = int(np.argmin(np.abs(places - arrival.pick_sample)))
            quarter = _quarter_period(x)
            from_onset = arrival.pick_sample - arrival.onset_sample
            rows[pick.phase].append(
                (
                    from_onset / arrival.rate_hz,
                    abs(from_onset) / quarter,
                    abs(arrival.pick_sample - places[i]) / quarter,
                    signs[i],
                )
            )
    rng, found = np.random.default_rng(seed), {}
    for phase in PHASES:
        if len(rows[phase]) >= FEWEST:
            table = np.array(rows[phase])
            convention = _decide(table)
            draws = Counter(_decide(table[rng.integers(len(table), size=len(table))]) for _ in range(DRAWS))
            from_onset_s, _, from_extremum, _ = np.median(table, axis=0)
            found[phase] = FoundConvention(
                convention, draws[convention] / DRAWS, len(table), float(from_onset_s), float(from_extremum)
            )
    return found


def convention_findings(found: dict[str, FoundConvention], source: str) -> list[Finding]:
    """A note a phase."""
    where = {"onset": "on onsets", "peak": "on peaks", "trough": "on troughs", "unknown": "on no fixed place"}
    return [
        Finding(
            "note",
            f"{phase} picks sit {where[each.convention]} ({100 * each.certainty:.0f} % of {DRAWS} draws of {each.n} "
            f"clear arrivals say so; median {1000 * each.from_onset_s:+.0f} ms from the onset, "
            f"{each.from_extremum:.2f} quarter periods from the next extremum).",
            kind="label convention",
            file=source,
            place=phase,
            value=each.convention,
        )
        for phase, each in found.items()
    ]


def moved_catalogue(
    catalogue: Catalogue, stretches: Sequence[Stretch], target: Target
) -> tuple[Catalogue, list[Finding]]:
    """The catalogue with its picks moved to the onset, or from the onset to the next clear peak or trough.

    A peak is the next clear extremum of either sign, a trough the next clear minimum. Picks of arrivals that are not
    clear move by the median of the clear ones of their phase. Raises `CampaignError` for a phase with fewer than
    `FEWEST` clear arrivals: nothing says where its picks should go.
    """
    shifts_s: dict[str, dict[str, float]] = {phase: {} for phase in PHASES}
    for pick, arrival in clear_arrivals(stretches):
        place = arrival.onset_sample if target == "onset" else _next_extremum(arrival, target)
        if place is not None:
            shifts_s[pick.phase][pick.pick_id] = (place - arrival.pick_sample) / arrival.rate_hz
    medians_s, findings = {}, []
    for phase in PHASES:
        n = sum(p.phase == phase for p in catalogue.picks)
        clear = shifts_s[phase]
        if n and len(clear) < FEWEST:
            raise CampaignError(
                f"{catalogue.source}: {len(clear)} of {n} {phase} picks are of clear arrivals; moving picks to the "
                f"{target} needs {FEWEST}. Leave the picks where they are."
            )
        if n:
            medians_s[phase] = float(np.median(list(clear.values())))
            text = (
                f"{len(clear)} {phase} picks are moved to the {target} (median {1000 * medians_s[phase]:+.0f} ms), and "
                f"{n - len(clear)} that are not clear by that median."
            )
            findings.append(Finding("note", text, kind="picks moved", file=catalogue.source, place=phase))
    events = []
    for event in catalogue.events:
        moved = (
            dataclasses.replace(p, time=p.time + shifts_s[p.phase].get(p.pick_id, medians_s[p.phase]))
            for p in event.picks
        )
        events.append(dataclasses.replace(event, picks=one_per_station_and_phase(moved)))
    return dataclasses.replace(catalogue, events=tuple(events)), findings


def _decide(table: np.ndarray) -> LabelConvention:
    """Of rows (pick minus onset in s, the same and the distance to an extremum in quarter periods, its sign)."""
    from_onset_s, onset_quarters, extremum_quarters, _ = np.median(table, axis=0)
    if extremum_quarters < min(ON_EXTREMUM, onset_quarters):
        return "trough" if np.mean(table[:, 3] < 0) >= ONE_SIGN else "peak"
    return "onset" if abs(from_onset_s) < ONSET_TOLERANCE_S else "unknown"


def _without_delay(arrival: ClearArrival) -> np.ndarray:
    """The piece of the arrival high-passed backwards too."""
    corner_hz, rate_hz = Preprocessing().highpass_hz, Preprocessing().network_rate_hz
    high_pass = scipy.signal.butter(4, corner_hz, "highpass", fs=rate_hz, output="sos")
    backwards = scipy.signal.sosfilt(high_pass, arrival.later[::-1].astype(np.float64))
    return np.asarray(backwards[::-1][: len(arrival.samples)])


def _clear_extrema(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(fractional sample, sign) of the clear maxima above and minima below zero, parabolas through three samples."""
    middle, before, after = x[1:-1], x[:-2], x[2:]
    sign = np.sign(middle)
    is_extremum = (sign * (middle - before) > 0) & (sign * (middle - after) >= 0)
    is_extremum &= np.abs(middle) >= CLEAR_PART * np.abs(x).max()
    at = np.flatnonzero(is_extremum)
    curvature = before[at] - 2 * middle[at] + after[at]
    shift = 0.5 * (before[at] - after[at]) / np.where(curvature == 0, 1.0, curvature)
    return at + 1 + shift, sign[at]


def _quarter_period(x: np.ndarray) -> float:
    """In samples, of the mean frequency of the piece weighted by its energy."""
    power = np.square(np.abs(np.fft.rfft(x * np.hanning(len(x)))))
    frequency = float(np.sum(power * np.fft.rfftfreq(len(x))) / power.sum())
    return 0.25 / max(frequency, 1 / len(x))


def _next_extremum(arrival: ClearArrival, target: Target) -> float | None:
    places, signs = _clear_extrema(_without_delay(arrival))
    later = places > arrival.pick_sample
    if target == "trough":
        later &= signs < 0
    return float(places[later][0]) if later.any() else None
