"""Samples that were not recorded: constant runs that fill a gap, and fill values, unlike quiet noise and clipping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phaseno_peft.campaign.straight_runs import straight_runs

PADDING_S = 2.0
PADDING_SAMPLES = 100
"""A constant run this long (the longer of the two) is padding, whatever stands beside it."""
DROPOUT_SAMPLES = 20
"""A constant run this long is padding where the trace jumps into or out of it."""
TYPICAL_RUNS = 20.0
"""A run must be this many times the mean of the other runs: quiet digitised noise repeats its values by itself."""
_MANY_RUNS = 30
"""So many other runs of a value make it one that noise keeps; two stuck stretches at one level say nothing."""
CHANCE = 1e-6
"""Noise may make a run as long as a padding one in so many channels: runs of one value have geometric lengths."""
ABSURD_SAMPLE = 1e18
"""No count and no ground motion; netCDF, SEG-Y and Fortran programs fill with 1e20, 1e30 or 3.4e38."""
# fmt: off
FILL_VALUES = (
    -(2**31), -(2**31) + 1, 2**31 - 1, -(2**15), 2**15 - 1, -12345, 9999, -9999, 99999, -99999, 999999, -999999,
    9999999, -9999999,
)
# fmt: on
"""What recorders and programs write for a missing sample: integer limits, SAC's undefined, nines. However short,
such values are padding where nothing else in the trace comes near them."""
DROPOUT_VALUES = (0, -1)
"""What telemetry leaves of a lost sample. They are usual values too: however short, they are padding where the trace
jumps to them, from far away and in one sample, and comes near them nowhere else."""

_USUAL_SIGMAS, _RARE_SIGMAS = 2.0, 8.0
"""Noise has its extremes between these; a level below or above that the trace reaches is where it is clipped."""
_FAR_STEPS = 10.0
"""A dropout lies so many of the digitiser's steps away from the trace, and `_RARE_SIGMAS`."""
_FEW_VISITS = 3
"""Shorter stays at a level that show the trace is clipped there."""


@dataclass(slots=True, frozen=True)
class _Runs:
    """Constant runs of one segment."""

    first: np.ndarray
    length: np.ndarray
    value: np.ndarray
    step_in: np.ndarray
    """Absolute jump from the sample before; NaN at the segment's start."""
    step_out: np.ndarray


def padding(segments: list[np.ndarray], rates_hz: list[float]) -> list[list[tuple[int, int]]]:
    """Half-open runs of padding in each segment [sample] of one channel; values of the whole channel are compared.

    A constant run counts by its length, by the jumps at its ends and by what is usual in this channel: noise of +-1
    count, a crest of a slow wave and clipping stay. At the extreme of the values a run is clipping where the rest of
    the trace reaches towards it.
    """
    lines = straight_runs(segments, [max(PADDING_SAMPLES, round(PADDING_S * rate_hz)) for rate_hz in rates_hz])
    if not any(_suspicious(x) for x in segments):
        return lines
    runs = [_runs_of(x) for x in segments]
    lengths = np.concatenate([r.length for r in runs])
    total, count = int(lengths.sum()), len(lengths)
    steps = np.concatenate([r.step_in[1:] for r in runs])
    smallest = float(steps.min()) if len(steps) else 0.0  # the digitiser's step
    values = _ChannelValues(runs)
    found: list[list[tuple[int, int]]] = []
    for r, rate_hz in zip(runs, rates_hz, strict=True):
        # Mean of the other runs of this channel, for each run.
        usual = np.where(count > 1, (total - r.length) / max(count - 1, 1), 1.0)
        long = r.length >= max(PADDING_SAMPLES, round(PADDING_S * rate_hz))
        biggest_step = np.fmax(r.step_in, r.step_out)  # NaN only where the run is the whole segment
        jump = (r.length >= DROPOUT_SAMPLES) & (biggest_step > 2.0 * smallest)
        steps_in_noise = ~(biggest_step > 2.0 * smallest)
        by_chance = np.where(steps_in_noise, values.longest_by_chance(r), 0.0)
        is_padding = (long | jump) & (r.length >= TYPICAL_RUNS * usual) & (r.length >= by_chance)
        is_padding |= np.isin(r.value, FILL_VALUES) | values.dropouts(r, smallest)
        found.append(
            [
                (int(r.first[i]), int(r.first[i] + r.length[i]))
                for i in np.flatnonzero(is_padding)
                if not values.reaches(float(r.value[i]), int(r.length[i]), short=not (long[i] or jump[i]))
            ]
        )
    return [_joined(sorted(edges + others)) for edges, others in zip(found, lines, strict=True)]


class _ChannelValues:
    """All values of a channel, to tell a level the trace reaches (clipping) from one it jumps to (filling)."""

    def __init__(self, runs: list[_Runs]) -> None:
        self._length = np.concatenate([r.length for r in runs])
        self._value = np.concatenate([r.value for r in runs]).astype(np.float64)
        # Long runs must not decide what is usual: every run counts by at most a few samples.
        counted = np.repeat(self._value, np.minimum(self._length, 3))
        self._levels, of_level = np.unique(self._value, return_inverse=True)
        self._runs_at, self._samples_at = np.bincount(of_level), np.bincount(of_level, self._length)
        self._low, self._high = float(counted.min()), float(counted.max())
        rest = counted[~np.isin(counted, FILL_VALUES)]
        self._median = float(np.median(rest if len(rest) else counted))
        self._sigma = 1.4826 * float(np.median(np.abs((rest if len(rest) else counted) - self._median)))

    def longest_by_chance(self, runs: _Runs) -> np.ndarray:
        """For each run the length that noise which stays at its value as long as the other runs do might reach."""
        own = np.searchsorted(self._levels, runs.value.astype(np.float64))
        others = self._runs_at[own] - 1
        enough = others >= _MANY_RUNS
        mean = np.where(enough, (self._samples_at[own] - runs.length) / np.maximum(others, 1), 0.0)
        return np.asarray(mean * np.log(np.maximum(others, 1) / CHANCE))

    def dropouts(self, runs: _Runs, smallest: float) -> np.ndarray:
        """Which runs stand at a dropout's value, far from the rest, with a jump at each end that there is."""
        distance = np.abs(runs.value.astype(np.float64) - self._median)
        jumps = (np.fmin(runs.step_in, runs.step_out) >= 0.5 * distance) | (
            np.isnan(runs.step_in) & np.isnan(runs.step_out)
        )
        far = distance > max(_RARE_SIGMAS * self._sigma, _FAR_STEPS * smallest)
        return np.asarray(np.isin(runs.value, DROPOUT_VALUES) & jumps & far)

    def reaches(self, value: float, length: int, *, short: bool) -> bool:
        """True where the run is clipping: at the extreme of the trace, which comes near it elsewhere too.

        `short` is for runs that only their value makes suspicious: they stay where the trace reaches so far at all.
        """
        others = self._value[self._value != value]
        if not len(others):
            return True
        distance = abs(value - self._median)
        nearest = float(np.max((others - self._median) * np.sign(value - self._median)))
        near = nearest >= 0.5 * distance
        if short:
            return near
        if value not in (self._low, self._high) or not near or distance == 0.0:
            return False
        visits = np.count_nonzero((self._value == value) & (self._length >= 2) & (self._length < length))
        sigmas = distance / self._sigma if self._sigma > 0 else np.inf
        return bool(sigmas > _RARE_SIGMAS or sigmas < _USUAL_SIGMAS or visits >= _FEW_VISITS)


def _suspicious(x: np.ndarray) -> bool:
    """False where no run of `DROPOUT_SAMPLES` and no fill value can be in x; quick, for the usual case."""
    comb = x[:: DROPOUT_SAMPLES // 2]
    return bool((comb[1:] == comb[:-1]).any()) or bool(np.isin((x.min(), x.max()), FILL_VALUES + DROPOUT_VALUES).any())


def _runs_of(x: np.ndarray) -> _Runs:
    changes = np.flatnonzero(x[1:] != x[:-1]) + 1
    first = np.concatenate([[0], changes])
    value = x[first]
    steps = np.abs(np.diff(value.astype(np.float64)))
    return _Runs(
        first,
        np.diff(np.concatenate([first, [len(x)]])),
        value,
        np.concatenate([[np.nan], steps]),
        np.concatenate([steps, [np.nan]]),
    )


def _joined(edges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs that follow each other or overlap as one."""
    joined: list[tuple[int, int]] = []
    for first, last in edges:
        if joined and joined[-1][1] >= first:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined
