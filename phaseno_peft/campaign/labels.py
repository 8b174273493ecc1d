"""Targets of the network, the mask of where they are known, and the offset of the labels from the onsets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phaseno_peft.contract import PHASES, LabelConvention, LabelOffset

if TYPE_CHECKING:
    from phaseno_peft.campaign.catalog import LabelledPick
    from phaseno_peft.campaign.stretch import Stretch

HALF_BASE_SAMPLES = 20
"""Half the base of the label triangle: 0.4 s in all, in the network's time (papers.md section 1, as upstream)."""
NEIGHBOURHOOD_SAMPLES = 100
"""1 s of the network's time: around a doubtful pick, before a first pick and at the window's edges nothing is known."""
EVENT_TAIL_SAMPLES = 200
"""An event's unpicked arrivals have passed this long after its last pick, or after its moveout where that is longer."""

ONSET_REACH_SAMPLES = 40
"""The onset is sought this far before and after a pick, in the network's time (0.4 s)."""
ONSET_EDGE_SAMPLES = 5
ONSET_SNR = 3.0
"""Standard deviation of the 0.3 s after the onset over that before it, from which an arrival counts as clear."""
ONSET_SIGNAL_SAMPLES = 30
ONSET_LATER_SAMPLES = 300
"""What follows an arrival, for a filter that runs backwards to settle."""
ONSET_TOLERANCE_S = 0.02
"""Picks whose median lies this near to the onset are onset picks."""


def triangles(arrivals: Sequence[float], n_samples: int, half_base_samples: float = HALF_BASE_SAMPLES) -> np.ndarray:
    """Target [sample] float32: the maximum of max(0, 1 - |t - arrival| / half base) over arrivals in samples."""
    target = np.zeros(n_samples)
    for arrival in arrivals:
        first, last = _span(arrival - half_base_samples, arrival + half_base_samples, n_samples)
        t = np.arange(first, last)
        np.maximum(target[first:last], 1.0 - np.abs(t - arrival) / half_base_samples, out=target[first:last])
    return target.astype(np.float32)


def known_samples(
    n_samples: int,
    labels: Sequence[float],
    doubtful: Sequence[float],
    unlabelled_events: Sequence[tuple[float, float]],
) -> np.ndarray:
    """Mask [sample] bool of one station and phase: False where an absent label does not mean an absent arrival.

    `labels` and `doubtful` are picks in samples, those outside the window too; `unlabelled_events` are (first, last)
    pick in samples of the events that have no label here. Where the station-phase has no label at all, nothing is known
    from 1 s before the first pick of such an event to the end (an arrival may come late); where other events are
    labelled here, only for as long as the unlabelled event's arrivals can last. Within 1 s of a pick outside the window
    only labels are known; within 1 s of a doubtful pick nothing is.
    """
    known = np.ones(n_samples, bool)
    inside = [a for a in labels if 0 <= a <= n_samples - 1]
    for first, last in unlabelled_events:
        over = event_end(first, last)
        if over <= 0:
            continue
        until = over if inside or first < 0 else n_samples
        known[slice(*_span(first - NEIGHBOURHOOD_SAMPLES, until, n_samples))] = False
    outside = [a for a in labels if not 0 <= a <= n_samples - 1]
    _around(known, outside, NEIGHBOURHOOD_SAMPLES, False)
    _around(known, inside, HALF_BASE_SAMPLES, True)
    _around(known, doubtful, NEIGHBOURHOOD_SAMPLES, False)
    return known


def _around(known: np.ndarray, arrivals: Sequence[float], samples: float, value: bool) -> None:
    for arrival in arrivals:
        known[slice(*_span(arrival - samples, arrival + samples, len(known)))] = value


def event_end(first: float, last: float) -> float:
    """Sample after which an event with these first and last picks sends no more first arrivals."""
    return last + max(EVENT_TAIL_SAMPLES, last - first)


def measure_label_offset(stretches: Iterable[Stretch]) -> dict[str, LabelOffset]:
    """Median of (onset - pick) for P and S on clear arrivals: positive where the catalogue picks early.

    The onset is the minimum of Akaike's criterion (Maeda 1985) on the causally high-passed record, from 0.4 s before
    the pick to just after the largest amplitude within 0.4 s of it (network's time): on the vertical for P, on the
    clearer horizontal for S. Arrivals whose amplitude does not rise threefold there are left out.
    """
    offsets: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for pick, arrival in clear_arrivals(stretches):
        offsets[pick.phase].append((arrival.onset_sample - arrival.pick_sample) / arrival.rate_hz)
    return {phase: _summary(values) for phase, values in offsets.items()}


@dataclass(frozen=True, slots=True)
class ClearArrival:
    """A piece of record around a usable pick, on the component that shows its phase best, and the onset in it."""

    samples: np.ndarray
    """[sample], `ONSET_REACH_SAMPLES` on both sides of the pick."""
    pick_sample: float
    onset_sample: float
    rate_hz: float
    later: np.ndarray
    """[sample]: the piece and up to `ONSET_LATER_SAMPLES` behind it."""


def clear_arrivals(stretches: Iterable[Stretch]) -> Iterator[tuple[LabelledPick, ClearArrival]]:
    """Usable picks of arrivals whose amplitude rises threefold, as `measure_label_offset` finds them."""
    for stretch in stretches:
        recording = stretch.recording
        stations = {station_id: i for i, station_id in enumerate(recording.station_ids)}
        for pick in stretch.picks:
            if not pick.usable or pick.station_id not in stations:
                continue
            station = stations[pick.station_id]
            sample = recording.index_of(pick.time)
            first, last = round(sample) - ONSET_REACH_SAMPLES, round(sample) + ONSET_REACH_SAMPLES
            if first < 0 or last >= recording.n_samples:
                continue
            recorded: np.ndarray = np.all(recording.recorded[station, :, first:last], axis=-1)
            fit = [c for c in ((2,) if pick.phase == "P" else (0, 1)) if recorded[c]] or [2] * bool(recorded[2])
            pieces = [recording.samples[station, c, first:last].astype(float) for c in fit]
            onsets = [(*_onset(piece), i) for i, piece in enumerate(pieces)]
            snr, onset, i = max(onsets, default=(0.0, 0.0, 0))
            if snr > ONSET_SNR:
                later = recording.samples[station, fit[i], first : last + ONSET_LATER_SAMPLES]
                yield pick, ClearArrival(pieces[i], sample - first, onset, recording.rate_hz, later)


def suggest_convention(offset: LabelOffset) -> LabelConvention:
    """ "onset" where the median offset is within 0.02 s, else "unknown".

    Early picks (positive) come from a detector or a template, late ones (negative) often from picking peaks or troughs;
    which of them is the user's to say.
    """
    if offset.median_s is not None and abs(offset.median_s) < ONSET_TOLERANCE_S:
        return "onset"
    return "unknown"


def _onset(x: np.ndarray) -> tuple[float, float]:
    """(signal-to-noise ratio, onset in samples) of a piece [sample] centred on a pick."""
    centre = len(x) // 2
    end = centre + int(np.argmax(np.abs(x[centre:]))) + ONSET_EDGE_SAMPLES
    k = _aic_minimum(x[:end])
    noise = float(np.std(x[: k - ONSET_EDGE_SAMPLES])) if k > 2 * ONSET_EDGE_SAMPLES else float(np.std(x[:k]))
    signal = float(np.std(x[k : k + ONSET_SIGNAL_SAMPLES]))
    return (signal / noise if noise > 0 else 0.0), k - 0.5  # the change lies between samples k - 1 and k


def _aic_minimum(x: np.ndarray) -> int:
    """First sample of the second of the two parts into which Akaike's criterion divides x."""
    n = len(x)
    k = np.arange(ONSET_EDGE_SAMPLES, n - ONSET_EDGE_SAMPLES + 1)
    total, squares = np.cumsum(x), np.cumsum(np.square(x))
    before = squares[k - 1] / k - np.square(total[k - 1] / k)
    after = (squares[-1] - squares[k - 1]) / (n - k) - np.square((total[-1] - total[k - 1]) / (n - k))
    floor = 1e-12 * float(np.var(x)) or np.finfo(float).tiny
    return int(k[np.argmin(k * np.log(np.maximum(before, floor)) + (n - k) * np.log(np.maximum(after, floor)))])


def _summary(values: list[float]) -> LabelOffset:
    if not values:
        return LabelOffset(0, None, None)
    low, median, high = np.percentile(values, [25, 50, 75])
    return LabelOffset(len(values), float(median), (float(low), float(high)))


def _span(first: float, last: float, n_samples: int) -> tuple[int, int]:
    """Whole samples in [first, last], clipped to the window, half-open."""
    return max(0, int(np.ceil(first))), max(0, min(n_samples, int(np.floor(last)) + 1))
