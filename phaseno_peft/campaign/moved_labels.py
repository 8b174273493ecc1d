"""Windows whose labels lie where the network picks: moved by a constant time per phase.

The sign is that of `Contract.pick_shift_s`: a pick given out is the network's pick plus the shift, so that a label for
the network is the catalogue's pick minus the shift. Scoring picks against moved labels is scoring moved picks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from phaseno_peft.campaign.labels import triangles
from phaseno_peft.campaign.windows import Window
from phaseno_peft.contract import PHASES


def with_moved_labels(windows: Sequence[Window], pick_shift_s: Mapping[str, float]) -> list[Window]:
    """The windows with labels, targets and masks moved by minus the shift (real seconds) of their phase.

    Waveforms, and which labels a window has, stay: a label near an end may come to lie outside it. Masks move by whole
    samples; at the end they come from they keep their last value.
    """
    if not any(pick_shift_s.values()):
        return list(windows)
    return [_moved(window, pick_shift_s) for window in windows]


def _moved(window: Window, pick_shift_s: Mapping[str, float]) -> Window:
    shifts = [pick_shift_s[phase] * window.rate_hz for phase in PHASES]  # samples
    labels = tuple(dataclasses.replace(x, sample=x.sample - shifts[x.phase]) for x in window.labels)
    targets, known = np.empty_like(window.targets), np.empty_like(window.known)
    n = window.known.shape[-1]
    for phase, shift in enumerate(shifts):
        known[:, phase] = window.known[:, phase, np.clip(np.arange(n) + round(shift), 0, n - 1)]
        for station in range(len(window.station_ids)):
            arrivals = [x.sample for x in labels if (x.station, x.phase) == (station, phase)]
            targets[station, phase] = triangles(arrivals, n)
    return dataclasses.replace(window, labels=labels, targets=targets, known=known)
