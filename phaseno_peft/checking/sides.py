"""What training would use: the split, what each side holds, and records alike on two sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from phaseno_peft.campaign.campaign import Campaign
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.splits import SIDES, Split, split_campaign
from phaseno_peft.campaign.stretch import Stretch
from phaseno_peft.checking.arrivals import short_event
from phaseno_peft.errors import CampaignError

WAVE_SAMPLES = (-20, 200)
"""The stretch of record around P that is compared, in the network's time."""
SHIFT_SAMPLES = 20
"""Picks of one waveform may differ by this."""
ALIKE = 0.97
"""Correlation, median over stations, from which two records are the same earthquake for all a network can tell."""
ALIKE_STATIONS = 3
MOST_EVENTS = 60
"""Of the training and of the test side each, so that thousands of events do not make millions of comparisons."""


@dataclass(frozen=True)
class Use:
    """What one side of the split would hold."""

    side: str
    events: int
    p_picks: int
    s_picks: int
    stations: int
    recordings: int
    hours: float


def split_or_error(campaign: Campaign, seed: int) -> tuple[Split | None, list[Finding]]:
    """The split training would make with this seed, or why it cannot."""
    try:
        return split_campaign(campaign, seed), []
    except CampaignError as error:
        return None, [Finding("error", str(error), "too few events", campaign.catalogue.source)]


def uses_of(split: Split) -> list[Use]:
    """Counts of the three sides."""
    uses = []
    for side in SIDES:
        stretches: tuple[Stretch, ...] = getattr(split, side)
        picks = [p for s in stretches for p in s.picks if p.usable]
        uses.append(
            Use(
                side,
                len({event_id for s in stretches for event_id in s.event_ids}),
                sum(p.phase == "P" for p in picks),
                sum(p.phase == "S" for p in picks),
                len({p.station_id for p in picks}),
                len(stretches),
                sum(s.recording.duration_s for s in stretches) / 3600.0,
            )
        )
    return uses


def leak_findings(split: Split, source: str) -> Iterator[Finding]:
    """Test events whose waveforms stand among the training events too: repeaters, or one record under two names."""
    training, test = (_waves(side) for side in (split.train, split.test))
    pairs = []
    for event_id, waves in list(test.items())[:MOST_EVENTS]:
        for other_id, others in list(training.items())[:MOST_EVENTS]:
            common = sorted(waves.keys() & others.keys())
            if len(common) < ALIKE_STATIONS:
                continue
            alike = float(np.median([_correlation(waves[i], others[i]) for i in common]))
            if alike > ALIKE:
                pairs.append((alike, event_id, other_id))
    if pairs:
        alike, event_id, other_id = max(pairs)
        yield Finding(
            "warning",
            f"{len({e for _, e, _ in pairs})} test events have the same waveforms as training events, the first "
            f"{short_event(event_id)} as {short_event(other_id)} (correlation {alike:.3f}): scores will flatter.",
            "leakage",
            source,
            f"events {short_event(event_id)}, {short_event(other_id)}",
            f"{alike:.3f}",
            "If they are one record under two times, delete a copy; if the earthquake repeats itself, keep the family "
            "together by giving its records in one file.",
        )


def _waves(stretches: Sequence[Stretch]) -> dict[str, dict[str, np.ndarray]]:
    """Event -> station -> vertical around P."""
    waves: dict[str, dict[str, np.ndarray]] = {}
    for stretch in stretches:
        recording = stretch.recording
        rows = {i: k for k, i in enumerate(recording.station_ids)}
        for pick in stretch.picks:
            at = round(recording.index_of(pick.time))
            first, last = at + WAVE_SAMPLES[0] - SHIFT_SAMPLES, at + WAVE_SAMPLES[1] + SHIFT_SAMPLES
            if pick.phase != "P" or not pick.usable or first < 0 or last > recording.n_samples:
                continue
            piece = recording.samples[rows[pick.station_id], 2, first:last].astype(np.float64)
            if piece.std() > 0 and recording.recorded[rows[pick.station_id], 2, first:last].all():
                waves.setdefault(pick.event_id, {})[pick.station_id] = piece
    return waves


def _correlation(wave: np.ndarray, other: np.ndarray) -> float:
    """Largest normalised correlation of the middle of one with the other, within `SHIFT_SAMPLES`."""
    middle = wave[SHIFT_SAMPLES:-SHIFT_SAMPLES]
    middle = middle - middle.mean()
    windows = np.lib.stride_tricks.sliding_window_view(other, len(middle))
    windows = windows - windows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(windows, axis=1) * np.linalg.norm(middle)
    return float((windows @ middle / np.where(norms > 0, norms, np.inf)).max())
