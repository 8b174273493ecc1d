"""Every label and every pick of a model as one row: found, missed, false or not judged, with what may explain it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign import Campaign, Station, Window
from phaseno_peft.campaign.station_checks import distance_km
from phaseno_peft.contract import NETWORK_RATE_HZ, NO_SHIFT_S, PHASES
from phaseno_peft.evaluation import Predictions
from phaseno_peft.evaluation.metrics import phase_curves
from phaseno_peft.evaluation.scores import Scores

Outcome = Literal["found", "missed", "false", "not judged"]
SIGNAL_S, NOISE_S, GUARD_S = 0.5, 2.0, 0.1
"""SNR: the rms from the arrival on against that before it, up to a guard before it (network's time)."""


@dataclass(frozen=True, slots=True)
class JudgedPick:
    """One label, one pick, or a pair of both within the tolerance. Samples are the network's; NaN is absent."""

    window: int
    station: int
    """Row of the window."""
    phase: str
    outcome: Outcome
    """"not judged": a pick where the catalogue's silence means nothing."""
    label_sample: float
    pick_sample: float
    probability: float
    half_width_s: float
    """Of the probability's peak at half height, real seconds."""
    event_id: str
    """Of the label; of a false pick in a window of one event that event's; else empty."""
    snr_db: float
    distance_km: float
    """Epicentral, where the catalogue has the epicentre."""
    sp_s: float
    """S minus P label of the event at this station, real seconds."""
    n_stations: int
    """Living stations of the window."""

    @property
    def sample(self) -> float:
        """Where it lies: the label's sample, or the pick's where there is no label."""
        return self.pick_sample if math.isnan(self.label_sample) else self.label_sample

    @property
    def residual_samples(self) -> float:
        """Pick minus label; NaN unless found."""
        return self.pick_sample - self.label_sample


def judged_picks(
    predictions: Predictions,
    scores: Scores,
    distances_km: Mapping[tuple[str, str], float],
    tolerance_s: float = 0.5,
    pick_shifts_s: Sequence[Mapping[str, float]] = (),
) -> list[JudgedPick]:
    """Return the rows behind `scores` at a tolerance in the network's time, by window, station, phase and time.

    `distances_km` is of (event id, station id), see `epicentral_distances_km`. `pick_shifts_s` [window] is what the
    labels of each window were moved by (none if empty): rows lie where picks are given out and labels were picked. The
    counts of "found", "missed" and "false" are TP, FN and FP of the scores.
    """
    rows: list[JudgedPick] = []
    curves = phase_curves(
        predictions.windows,
        predictions.probabilities,
        scores.window_thresholds,
        scores.min_distance_s,
        scores.widest_tolerance_s,
    )
    shifts_s = pick_shifts_s or [NO_SHIFT_S] * len(predictions.windows)
    sp_s = [_sp_seconds(window, own) for window, own in zip(predictions.windows, shifts_s, strict=True)]
    events = [{label.event_id for label in window.labels} for window in predictions.windows]
    for curve in curves:
        window, phase = predictions.windows[curve.window], PHASES[curve.phase]
        station_id = window.station_ids[curve.station]
        matching = curve.match(tolerance_s)
        later = shifts_s[curve.window][phase] * window.rate_hz
        event_of = {x.sample: x.event_id for x in window.labels if (x.station, x.phase) == (curve.station, curve.phase)}
        only = next(iter(events[curve.window])) if len(events[curve.window]) == 1 else ""
        places: list[tuple[Outcome, int | None, int | None]] = [
            *(("found", label, pick) for pick, label in matching.pairs),
            *(("missed", label, None) for label in matching.unmatched_labels),
            *(("false" if curve.is_judged[pick] else "not judged", None, pick) for pick in matching.unmatched_picks),
        ]
        made = []
        for outcome, label, pick in places:
            at = float(curve.labels[label]) + later if label is not None else math.nan
            picked = float(curve.samples[pick]) + later if pick is not None else math.nan
            event_id = event_of[float(curve.labels[label])] if label is not None else only
            made.append(
                JudgedPick(
                    curve.window,
                    curve.station,
                    phase,
                    outcome,
                    at,
                    picked,
                    float(curve.heights[pick]) if pick is not None else math.nan,
                    float(curve.half_widths[pick]) / window.rate_hz if pick is not None else math.nan,
                    event_id,
                    snr_db(window, curve.station, curve.phase, picked if label is None else at),
                    distances_km.get((event_id, station_id), math.nan),
                    sp_s[curve.window].get((event_id, curve.station), math.nan),
                    len(window.station_ids),
                )
            )
        rows += sorted(made, key=lambda row: row.sample)
    return rows


def snr_db(window: Window, station: int, phase: int, sample: float) -> float:
    """Return 20 log10 of the rms in 0.5 s after a sample over that in 2 s before it (network's time).

    On the vertical for P, on both horizontals for S, high-passed as the network sees them. NaN where less than half of
    the noise is recorded.
    """
    at = round(sample)
    signal_n, noise_n, guard_n = (round(s * NETWORK_RATE_HZ) for s in (SIGNAL_S, NOISE_S, GUARD_S))
    components = [2] if phase == 0 else [0, 1]
    traces = window.waveforms[station][components]
    noise = traces[:, max(0, at - guard_n - noise_n) : max(0, at - guard_n)]
    signal = traces[:, max(0, at) : at + signal_n]
    living = noise[noise != 0]
    if living.size < 0.5 * noise_n * len(components) or not signal.any():
        return math.nan
    return float(10 * np.log10(np.mean(np.square(signal, dtype=np.float64)) / np.mean(np.square(living.astype(float)))))


def epicentral_distances_km(campaign: Campaign) -> dict[tuple[str, str], float]:
    """Return the distance of (event id, station id) on the plane, for events whose epicentre the catalogue has."""
    distances = {}
    for event in campaign.catalogue.events:
        if event.latitude_deg is None or event.longitude_deg is None:
            continue
        epicentre = Station("", event.latitude_deg, event.longitude_deg, 0.0)
        for station in campaign.stations:
            distances[event.event_id, station.station_id] = distance_km(epicentre, station)
    return distances


def pick_rows(model: str, rows: Sequence[JudgedPick], windows: Sequence[Window]) -> list[dict[str, Any]]:
    """Return the rows as plain values for a file: times in UTC, residuals and widths in real seconds."""
    table = []
    for row in rows:
        window = windows[row.window]

        table.append(
            {
                "model": model,
                "outcome": row.outcome,
                "phase": row.phase,
                "station": window.station_ids[row.station],
                "label_time": _time(window, row.label_sample),
                "pick_time": _time(window, row.pick_sample),
                "residual_s": _rounded(row.residual_samples / window.rate_hz, 4),
                "probability": _rounded(row.probability, 4),
                "half_width_s": _rounded(row.half_width_s, 4),
                "snr_db": _rounded(row.snr_db, 1),
                "distance_km": _rounded(row.distance_km, 3),
                "s_minus_p_s": _rounded(row.sp_s, 3),
                "second_of_window": _rounded(row.sample / window.rate_hz, 3),
                "stations": row.n_stations,
                "event": row.event_id,
                "window": window.name,
                "is_noise_window": window.is_noise,
            }
        )
    return table


def _time(window: Window, sample: float) -> str:
    if math.isnan(sample):
        return ""
    return str(UTCDateTime(ns=window.start.ns + round(1e9 * sample / window.rate_hz)))


def _sp_seconds(window: Window, pick_shift_s: Mapping[str, float]) -> dict[tuple[str, int], float]:
    arrivals: dict[tuple[str, int], dict[int, float]] = {}
    for label in window.labels:
        arrivals.setdefault((label.event_id, label.station), {})[label.phase] = label.sample
    longer_s = pick_shift_s["S"] - pick_shift_s["P"]
    return {key: (both[1] - both[0]) / window.rate_hz + longer_s for key, both in arrivals.items() if len(both) == 2}


def _rounded(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
