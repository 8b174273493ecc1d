"""Raw segments onto the common grid of a recording: causal high-pass, then resampling, in one piece or in many."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
import scipy.signal

from phaseno_peft.campaign.resampling import TIMING_TOLERANCE_S, Resampler
from phaseno_peft.campaign.segments import Segment
from phaseno_peft.contract import Preprocessing

_SETTLING_SAMPLES = 5
"""The high-pass starts as if the median of so many samples had lasted for ever."""


def grid_anchor(segments: Iterable[Segment], rate_hz: float) -> int:
    """Start of a segment that most segments agree with, so that as few as possible need a fractional shift."""
    reference: int | None = None
    counts: dict[int, list[int]] = {}
    for segment in segments:
        reference = segment.start_ns if reference is None else reference
        phase = ((segment.start_ns - reference) * 1e-9 * rate_hz) % 1.0
        entry = counts.setdefault(round(phase * 1000) % 1000, [0, segment.start_ns])
        entry[0] += segment.end_ns - segment.start_ns
        entry[1] = min(entry[1], segment.start_ns)
    return max(counts.values(), key=lambda e: (e[0], -e[1]))[1]


def first_index(start_ns: int, anchor_ns: int, rate_hz: float) -> int:
    """First grid point at or after the first sample of a segment."""
    return int(np.ceil(((start_ns - anchor_ns) * 1e-9 - TIMING_TOLERANCE_S) * rate_hz))


def last_index(start_ns: int, n_samples: int, own_rate_hz: float, anchor_ns: int, rate_hz: float) -> int:
    """Last grid point at or before the last sample of a segment."""
    end_s = (start_ns - anchor_ns) * 1e-9 + (n_samples - 1) / own_rate_hz
    return int(np.floor((end_s + TIMING_TOLERANCE_S) * rate_hz))


class SegmentOnGrid:
    """A segment on its way to the grid: the same values, bit for bit, in however many pieces it comes."""

    def __init__(self, start_ns: int, own_rate_hz: float, anchor_ns: int, preprocessing: Preprocessing) -> None:
        self._start_ns, self._own_rate_hz, self._anchor_ns = start_ns, own_rate_hz, anchor_ns
        self._rate_hz = preprocessing.rate_hz
        self.first = first_index(start_ns, anchor_ns, self._rate_hz)
        """Grid index of the first value."""
        self.made = 0
        """Values that have been given out."""
        self._seen = 0
        self._waiting = np.zeros(0)
        self._sos, self._settled = highpass_design(own_rate_hz, preprocessing.highpass_hz * preprocessing.time_scale)
        self._state: np.ndarray | None = None
        # from the first raw sample to the first grid point
        lead_s = self.first / self._rate_hz - (start_ns - anchor_ns) * 1e-9
        self._resampler = Resampler(own_rate_hz, self._rate_hz, lead_s)

    def push(self, samples: np.ndarray, *, last: bool) -> np.ndarray:
        """The values that follow those given out before, as far as they are certain; all the rest with the `last`."""
        x = samples.astype(np.float64)
        self._seen += len(x)
        if self._state is None:
            x = np.concatenate([self._waiting, x]) if len(self._waiting) else x
            if len(x) < _SETTLING_SAMPLES and not last:
                self._waiting = x
                return np.zeros(0)
            if self._seen < 2:
                return np.zeros(0)
            self._state = self._settled * float(np.median(x[:_SETTLING_SAMPLES]))
        if len(x):
            x, self._state = scipy.signal.sosfilt(self._sos, x, zi=self._state)
        values = self._resampler.push(x, last=last)
        if last:
            end = last_index(self._start_ns, self._seen, self._own_rate_hz, self._anchor_ns, self._rate_hz)
            values = values[: max(0, end + 1 - self.first - self.made)]
        self.made += len(values)
        return values


def highpass(x: np.ndarray, rate_hz: float, corner_hz: float) -> np.ndarray:
    """Causal Butterworth high-pass, 4 corners, started as if the first samples had lasted for ever."""
    sos, settled = highpass_design(rate_hz, corner_hz)
    filtered, _ = scipy.signal.sosfilt(sos, x, zi=settled * float(np.median(x[:_SETTLING_SAMPLES])))
    return np.asarray(filtered)


@functools.lru_cache(maxsize=32)
def highpass_design(rate_hz: float, corner_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Second-order sections of the high-pass, and their state after a constant 1 that lasted for ever."""
    sos = scipy.signal.butter(4, corner_hz, "highpass", fs=rate_hz, output="sos")
    return sos, scipy.signal.sosfilt_zi(sos)


class Canvas:
    """Samples and their mask over grid points `first` to `last`, for a number of stations."""

    def __init__(self, n_stations: int, first: int, last: int) -> None:
        self.first = first
        self.samples = np.zeros((n_stations, 3, last - first + 1), np.float32)
        self.recorded = np.zeros((n_stations, 3, last - first + 1), bool)

    def put(self, station: int, component: int, start: int, values: np.ndarray) -> None:
        """Write values from grid point `start` on; what was written there before stays."""
        at = slice(start - self.first, start - self.first + len(values))
        free = ~self.recorded[station, component, at]
        self.samples[station, component, at][free] = values[free]
        self.recorded[station, component, at] = True

    def copy(self, other: Canvas) -> None:
        """Take over what another canvas holds; it ends within this one."""
        at = slice(other.first - self.first, other.first - self.first + other.samples.shape[-1])
        self.samples[..., at] = other.samples
        self.recorded[..., at] = other.recorded

    def tail(self, first: int) -> Canvas:
        """A copy of what lies from a grid point on."""
        n_stations, _, n = self.samples.shape
        tail = Canvas(n_stations, first, self.first + n - 1)
        tail.samples[:] = self.samples[..., first - self.first :]
        tail.recorded[:] = self.recorded[..., first - self.first :]
        return tail
