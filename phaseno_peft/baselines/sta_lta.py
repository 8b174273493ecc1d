"""STA/LTA with AIC onsets: what observatories have run for decades, with obspy's functions.

P triggers of a recursive STA/LTA on the vertical (Withers et al. 1998, doi:10.1785/BSSA0880010095), S triggers on the
horizontals after a P, both moved to the minimum of Akaike's criterion (Maeda 1985).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.baselines.rival import E, N, StationByStation, Z, living_components
from phaseno_peft.campaign.labels import triangles
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES

SAME_ARRIVAL_S = 0.5
"""A trigger on the vertical this near to an S is that S."""


@dataclass(frozen=True)
class StaLta(StationByStation):
    """STA/LTA triggers with AIC onsets. All times are the network's.

    A pick is a triangle as in the training targets, as high as ratio / (ratio + 4): 0.5 is a ratio of 4.
    """

    name: str = "STA/LTA + AIC"
    thresholds: Mapping[str, float] = field(default_factory=lambda: {"P": 0.5, "S": 0.33})
    """Ratios 4 and 2. S rises out of the coda of P, so that its ratios are smaller."""
    sta_s: float = 0.3
    lta_s: Mapping[str, float] = field(default_factory=lambda: {"P": 5.0, "S": 2.0})
    on_ratio: float = 1.5
    """Lowest ratio of a trigger; lower thresholds change nothing."""
    off_ratio: float = 1.0
    aic_lead_s: float = 1.0
    """The onset is sought from this long before the ratio has reached half of its peak, to the peak."""
    s_after_p_s: float = 0.2
    longest_sp_s: float = 15.0
    half_ratio: float = 4.0
    polarised: bool = False
    """Whether a ratio counts by the part of the energy behind the onset that is vertical (P) or horizontal (S)."""

    def _station(self, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
        """Curves [2, sample] of one station's waveforms [3, sample]."""
        components = living_components(waveforms)
        vertical = _filled(waveforms[Z if Z in components else max(components, default=Z)])
        horizontals = [_filled(waveforms[c]) for c in (E, N) if c in components] or [vertical]
        level = np.sqrt(sum(np.square(x) for x in horizontals))
        ratio_s = self._ratio(level, "S")
        arrivals: dict[str, list[tuple[float, float]]] = {phase: [] for phase in PHASES}
        waiting = [(self._onset(vertical, cross, peak), ratio) for cross, peak, ratio in self._triggers(vertical)]
        while waiting:
            onset, ratio = waiting.pop(0)
            arrivals["P"].append((onset, ratio))
            # A stronger trigger is the next event's P; a weaker one may be this event's S on the vertical.
            stronger = [later for later, height in waiting if height >= ratio]
            first = round(onset + self.s_after_p_s * NETWORK_RATE_HZ)
            last = round(min(onset + self.longest_sp_s * NETWORK_RATE_HZ, *stronger, len(level) - 1.0))
            for s_onset, s_ratio in self._s_arrival(ratio_s, horizontals, first, last):
                arrivals["S"].append((s_onset, s_ratio))
                near = SAME_ARRIVAL_S * NETWORK_RATE_HZ
                waiting = [(t, height) for t, height in waiting if height >= ratio or abs(t - s_onset) > near]
        curves = np.zeros((len(PHASES), waveforms.shape[-1]), np.float32)
        is_weighed = self.polarised and components == [E, N, Z]
        for number, phase in enumerate(PHASES):
            for onset, ratio in arrivals[phase]:
                part = _vertical_part(vertical, level, onset) if is_weighed else 1.0
                counted = ratio * (part if phase == "P" or not is_weighed else 1.0 - part)
                height = counted / (counted + self.half_ratio)
                np.maximum(curves[number], height * triangles([onset], len(curves[number])), out=curves[number])
        return curves

    def _s_arrival(
        self, ratio: NDArray[np.float64], horizontals: Sequence[NDArray[np.float64]], first: int, last: int
    ) -> list[tuple[float, float]]:
        """The highest trigger with its onset in [first, last), as (onset, ratio); none where there is no such."""
        from scipy.signal import find_peaks

        if last - first < 3:
            return []
        peaks = first + find_peaks(ratio[first:last], height=self.on_ratio)[0]
        for peak in peaks[np.argsort(-ratio[peaks], kind="stable")]:
            onset = min(self._onset(x, _rise(ratio, peak), peak) for x in horizontals)
            if onset >= first:  # else it is still P that makes the ratio high
                return [(onset, float(ratio[peak]))]
        return []

    def _ratio(self, x: NDArray[np.float64], phase: str) -> NDArray[np.float64]:
        """STA/LTA [sample]; the long average starts on the first second, mirrored until it is settled."""
        from obspy.signal.trigger import recursive_sta_lta

        lead = round(self.lta_s[phase] * NETWORK_RATE_HZ)
        second = x[: round(NETWORK_RATE_HZ)]
        quiet = np.resize(np.concatenate([second[::-1], second]), 2 * lead)[::-1]
        padded = np.concatenate([quiet, x])
        if not padded.any():
            return np.zeros(len(x))
        ratio = recursive_sta_lta(padded, round(self.sta_s * NETWORK_RATE_HZ), lead)[2 * lead :]
        return np.nan_to_num(np.asarray(ratio, np.float64), posinf=0.0)

    def _triggers(self, x: NDArray[np.float64]) -> list[tuple[int, int, float]]:
        """(sample where the ratio has risen to half its peak, sample of the peak, peak) of each P trigger, by time."""
        from obspy.signal.trigger import trigger_onset

        ratio = self._ratio(x, "P")
        found = []
        for on, off in trigger_onset(ratio, self.on_ratio, self.off_ratio):
            peak = int(on) + int(np.argmax(ratio[on : off + 1]))
            found.append((max(_rise(ratio, peak), int(on)), peak, float(ratio[peak])))
        return found

    def _onset(self, x: NDArray[np.float64], cross: int, peak: int) -> float:
        """Minimum of Akaike's criterion around a trigger, in samples; between the last of one part and the next."""
        from obspy.signal.trigger import aic_simple

        first = max(0, cross - round(self.aic_lead_s * NETWORK_RATE_HZ))
        piece = x[first : peak + 2]
        edge = 3
        if len(piece) < 4 * edge or not np.std(piece):
            return float(cross)
        with np.errstate(divide="ignore", invalid="ignore"):
            criterion = aic_simple(piece)
        inner = np.where(np.isfinite(criterion), criterion, np.inf)[edge:-edge]
        # obspy's element k divides after sample k: the change lies half a sample later.
        return first + edge + int(np.argmin(inner)) + 0.5


POLARISATION_S = 0.4
"""Behind an onset, over which energies are compared."""


def _vertical_part(vertical: NDArray[np.float64], level: NDArray[np.float64], onset: float) -> float:
    """Of the energy behind an onset, the part on the vertical, between 0 and 1; `level` is the horizontals' length."""
    behind = slice(round(onset), round(onset + POLARISATION_S * NETWORK_RATE_HZ))
    up, across = float(np.square(vertical[behind]).sum()), float(np.square(level[behind]).sum())
    return up / (up + across) if up + across > 0.0 else 0.5


def _filled(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """The trace with unrecorded pieces (zeros, 0.2 s and longer) filled by the mirrored second after or before them.

    Else the first sample after a gap would be a trigger.
    """
    y = np.array(x, np.float64)
    zero = np.concatenate([[0], (y == 0).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(zero))
    second = round(NETWORK_RATE_HZ)
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first < 0.2 * NETWORK_RATE_HZ or last - first == len(y):
            continue
        after, before = y[last : last + second], y[max(0, first - second) : first]
        source = after if len(after) >= len(before) else before[::-1]
        tile = np.resize(np.concatenate([source, source[::-1]]), last - first)
        y[first:last] = tile[::-1] if source is after else tile
    return y


def _rise(ratio: NDArray[np.float64], peak: int) -> int:
    """First sample of the last rise through half of the peak's height."""
    below = np.flatnonzero(ratio[: peak + 1] < 0.5 * ratio[peak])
    return int(below[-1]) + 1 if len(below) else 0
