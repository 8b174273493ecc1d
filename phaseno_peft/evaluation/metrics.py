"""Windows and probabilities -> scores and thresholds.

Counting follows the paper: per station and phase, summed over windows. What counts as what:

- **True positive**: a pick within the tolerance of a label that no nearer pick has taken. **False negative**: a label
  left over. Only ``window.labels`` are labels: catalogue picks of weight 0 and those outside the window are not.
- **False positive**: any other pick that can be judged. In a noise window every pick can. In an event window a pick can
  where ``window.known`` is True at its sample, and within 1 s (or the widest tolerance) of a label. Elsewhere it is not
  counted at all: catalogues are incomplete, and a pick nobody made may still be right.
- **True negative**: a station and phase without label and pick, in a noise window, or where every sample is known.

Positions are in samples of the network's 100 Hz; tolerances and minimum distances are given in the network's seconds,
while residuals and widths are reported in real seconds (network seconds / time_scale). A pick may be exactly the
tolerance away.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES, BackboneDefaults
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation.matching import ROUNDING_S, Matching, match
from phaseno_peft.evaluation.scores import WIDEST_TOLERANCE_S, PhaseTally, Scores
from phaseno_peft.picks.peaks import find_picks

if TYPE_CHECKING:
    from phaseno_peft.campaign.windows import Window

log = logging.getLogger(__name__)

FEW_LABELS = 20
"""One pick of fewer is no small difference."""
THRESHOLD_CANDIDATES = tuple(round(0.05 + 0.01 * i, 2) for i in range(91))
"""0.05 to 0.95 in steps of 0.01."""


@dataclass(frozen=True, slots=True)
class WindowPick:
    """One pick in a window; station and phase are indices as in `WindowLabel`."""

    station: int
    phase: int
    sample: float
    probability: float
    half_width_samples: float


def cross_entropy(
    windows: Sequence[Window], probabilities: Sequence[NDArray[np.floating]], positive_weight: float = 5.0
) -> float:
    """Training's loss: mean over all known samples of probabilities [station, 2, sample]; labels weigh so much more."""
    total = samples = 0.0
    for window, found in zip(windows, probabilities, strict=True):
        p, target = np.clip(found[window.known], 1e-6, 1 - 1e-6), window.targets[window.known]
        total -= float((positive_weight * target * np.log(p) + (1 - target) * np.log1p(-p)).sum(dtype=np.float64))
        samples += p.size
    return total / max(samples, 1.0)


def pick_window(
    window: Window, probability: NDArray[np.floating], thresholds: Mapping[str, float], *, min_distance_s: float = 0.5
) -> list[WindowPick]:
    """Return the picks of probabilities [station, 2, sample] by station, phase and time.

    `min_distance_s` is in the network's time. Raises `PhasenoPeftError` for probabilities of another shape than the
    window's, or a phase without a threshold.
    """
    return [
        WindowPick(curve.station, curve.phase, float(sample), float(height), float(half_width))
        for curve in phase_curves([window], [probability], thresholds, min_distance_s)
        for sample, height, half_width in zip(curve.samples, curve.heights, curve.half_widths, strict=True)
    ]


def score(
    windows: Sequence[Window],
    probabilities: Sequence[NDArray[np.floating]],
    thresholds: Mapping[str, float],
    *,
    tolerances_s: Sequence[float] = (0.5, 0.1),
    min_distance_s: float = 0.5,
    seed: int = 0,
) -> Scores:
    """Return the scores of probabilities [window][station, 2, sample] against the labels of their windows.

    `thresholds` has one probability per phase; `tolerances_s` and `min_distance_s` are in the network's time; `seed` is
    the bootstrap's. Raises `PhasenoPeftError` where windows and probabilities do not fit, or windows have different
    rates.
    """
    widest_s = max(WIDEST_TOLERANCE_S, *tolerances_s)
    counts = {phase: np.zeros((3, len(windows)), dtype=np.int64) for phase in PHASES}  # labels, judged picks, quiet
    matches: dict[str, list[tuple[int, float, float, float]]] = {phase: [] for phase in PHASES}
    for curve in phase_curves(windows, probabilities, thresholds, min_distance_s, widest_s):
        phase = PHASES[curve.phase]
        counts[phase][0, curve.window] += len(curve.labels)
        counts[phase][1, curve.window] += int(curve.is_judged.sum())
        counts[phase][2, curve.window] += int(curve.may_be_quiet and len(curve.samples) == 0)
        for pick, label in curve.match(widest_s).pairs:
            residual_s = float(curve.samples[pick] - curve.labels[label]) / NETWORK_RATE_HZ
            half_width_s = float(curve.half_widths[pick]) / NETWORK_RATE_HZ
            matches[phase].append((curve.window, residual_s, half_width_s, float(curve.heights[pick])))
    tallies = {}
    for phase in PHASES:
        labels, judged_picks, quiet = (tuple(row.tolist()) for row in counts[phase])
        columns: list[tuple[Any, ...]] = list(zip(*matches[phase], strict=True)) or [(), (), (), ()]
        tallies[phase] = PhaseTally(phase, float(thresholds[phase]), labels, judged_picks, quiet, *columns)
    return Scores(
        tallies=tallies,
        tolerances_s=tuple(float(t) for t in tolerances_s),
        widest_tolerance_s=float(widest_s),
        min_distance_s=float(min_distance_s),
        time_scale=_time_scale(windows),
        noise_windows=tuple(bool(window.is_noise) for window in windows),
        seed=seed,
        window_groups=event_groups(windows),
    )


def event_groups(windows: Sequence[Window]) -> tuple[int, ...]:
    """Return the number of its group [window], in order of first appearance: windows that share an event are one."""
    group_of_event: dict[str, int] = {}
    merged: list[int] = []  # group -> the earlier group it became part of, or itself
    first: list[int] = []

    def root(group: int) -> int:
        while merged[group] != group:
            group = merged[group]
        return group

    for window in windows:
        events = {label.event_id for label in window.labels}
        known = sorted({root(group_of_event[event]) for event in events & set(group_of_event)})
        if not known:
            merged.append(len(merged))
            known = [merged[-1]]
        for other in known[1:]:
            merged[other] = known[0]
        group_of_event |= dict.fromkeys(events, known[0])
        first.append(known[0])
    number: dict[int, int] = {}
    return tuple(number.setdefault(root(group), len(number)) for group in first)


def threshold_counts(
    windows: Sequence[Window],
    probabilities: Sequence[NDArray[np.floating]],
    thresholds: Sequence[float] | NDArray[np.floating],
    *,
    tolerance_s: float = 0.5,
    min_distance_s: float = 0.5,
) -> NDArray[np.int64]:
    """Return [phase, window, 3 (true positives, judged picks, labels), threshold] over ascending thresholds.

    Picks are found once, at the lowest threshold: dropping the lower ones is the same as picking higher (see `peaks`).
    """
    grid = np.asarray(thresholds, dtype=np.float64)
    widest_s = max(WIDEST_TOLERANCE_S, tolerance_s)
    counts = np.zeros((len(PHASES), len(windows), 3, len(grid)), dtype=np.int64)
    for curve in phase_curves(windows, probabilities, dict.fromkeys(PHASES, float(grid[0])), min_distance_s, widest_s):
        highest_first = np.argsort(-curve.heights, kind="stable")
        # Only as many different outcomes as picks: the curve's k highest picks for k = 0, 1, ..., all.
        tp_of_k = np.zeros(len(highest_first) + 1, dtype=np.int64)
        if len(curve.labels):
            for k in range(1, len(tp_of_k)):
                tp_of_k[k] = len(curve.match(tolerance_s, highest_first[:k]).pairs)
        judged_of_k = np.concatenate([[0], np.cumsum(curve.is_judged[highest_first])])
        k_of_threshold = len(highest_first) - np.searchsorted(np.sort(curve.heights), grid, side="left")
        counts[curve.phase, curve.window, 0] += tp_of_k[k_of_threshold]
        counts[curve.phase, curve.window, 1] += judged_of_k[k_of_threshold]
        counts[curve.phase, curve.window, 2] += len(curve.labels)
    return counts


def choose_thresholds(
    windows: Sequence[Window],
    probabilities: Sequence[NDArray[np.floating]],
    *,
    tolerance_s: float = 0.5,
    min_distance_s: float = 0.5,
    candidates: Sequence[float] = THRESHOLD_CANDIDATES,
    spare_picks: float = 1.0,
) -> dict[str, float]:
    """Return per phase the middle of the first longest unbroken run of candidates whose F1 is as good as the best.

    As good: less than `spare_picks` picks worse (of 20 at least, where there are fewer labels). Of some tens of labels
    the very best threshold is often a lucky one at the edge of a plateau; the plateau's middle serves other windows.
    A phase that reaches no true positive at any candidate gets the backbone's default, with a warning in the log.
    """
    grid = np.sort(np.asarray(candidates, dtype=np.float64))
    if len(grid) == 0:
        raise PhasenoPeftError("`candidates` should hold at least one threshold but is empty.")
    counts = threshold_counts(windows, probabilities, grid, tolerance_s=tolerance_s, min_distance_s=min_distance_s).sum(
        axis=1
    )
    chosen = {}
    for index, phase in enumerate(PHASES):
        tp, judged, labels = counts[index]
        f1 = 2.0 * tp / np.maximum(judged + labels, 1)
        if f1.max() > 0.0:
            spare = spare_picks / max(labels[0], FEW_LABELS)
            chosen[phase] = float(grid[_middle_of_longest_run((f1 == f1.max()) | (f1 > f1.max() - spare))])
        else:
            chosen[phase] = BackboneDefaults().thresholds[phase]
            log.warning(
                "no %s threshold could be chosen: no pick is within %g s of one of the %d labels; %g is used",
                phase,
                tolerance_s,
                int(labels[0]),
                chosen[phase],
            )
    return chosen


@dataclass(frozen=True, slots=True)
class PhaseCurve:
    """One phase at one station of one window: its picks, its labels, and how picks without a label count."""

    window: int
    station: int
    phase: int
    samples: NDArray[np.float64]  # [pick]
    heights: NDArray[np.float64]  # [pick]
    half_widths: NDArray[np.float64]  # [pick], samples
    labels: NDArray[np.float64]  # [label], samples
    is_judged: NDArray[np.bool_]  # [pick] is false unless matched
    may_be_quiet: bool  # a true negative if there is no pick

    def match(self, tolerance_s: float, picks: NDArray[np.intp] | slice = slice(None)) -> Matching:
        return match(self.samples[picks] / NETWORK_RATE_HZ, self.labels / NETWORK_RATE_HZ, tolerance_s)


def phase_curves(
    windows: Sequence[Window],
    probabilities: Sequence[NDArray[np.floating]],
    thresholds: Mapping[str, float] | Sequence[Mapping[str, float]],
    min_distance_s: float,
    widest_s: float = WIDEST_TOLERANCE_S,
) -> Iterator[PhaseCurve]:
    """Every station and phase of every window, in order; `thresholds` are those of all windows, or of each."""
    for own in [thresholds] if isinstance(thresholds, Mapping) else thresholds:
        if missing := [phase for phase in PHASES if phase not in own]:
            raise PhasenoPeftError(f"`thresholds` has no value for {missing[0]}: {dict(own)}.")
    if len(windows) != len(probabilities):
        raise PhasenoPeftError(
            f"there are {len(windows)} windows but probabilities of {len(probabilities)}. Give one array per window."
        )
    of_windows = [thresholds] * len(windows) if isinstance(thresholds, Mapping) else thresholds
    if len(of_windows) != len(windows):
        raise PhasenoPeftError(f"there are {len(windows)} windows but thresholds of {len(of_windows)}.")
    min_distance_samples = round(min_distance_s * NETWORK_RATE_HZ)
    for number, (window, probability) in enumerate(zip(windows, probabilities, strict=True)):
        curves = np.asarray(probability)
        if curves.shape != window.known.shape:
            raise PhasenoPeftError(
                f"window {window.name}: probabilities have shape {curves.shape}, the window needs {window.known.shape} "
                "(station, phase, sample)."
            )
        labels: dict[tuple[int, int], list[float]] = {}
        for label in window.labels:
            labels.setdefault((label.station, label.phase), []).append(label.sample)
        for station, phase in np.ndindex(*curves.shape[:2]):
            samples, heights, half_widths = find_picks(
                curves[station, phase], of_windows[number][PHASES[phase]], min_distance_samples
            )
            here = np.array(labels.get((station, phase), ()), dtype=np.float64)
            known = window.known[station, phase]
            is_judged = window.is_noise | known[np.rint(samples).astype(int)]
            if len(here):
                distance_s = np.abs(samples[:, None] - here[None, :]).min(axis=1) / NETWORK_RATE_HZ
                is_judged |= distance_s <= widest_s + ROUNDING_S  # whatever may match a label is judged
            yield PhaseCurve(
                window=number,
                station=station,
                phase=phase,
                samples=samples,
                heights=heights,
                half_widths=half_widths,
                labels=here,
                is_judged=is_judged,
                may_be_quiet=len(here) == 0 and (window.is_noise or bool(known.all())),
            )


def _time_scale(windows: Sequence[Window]) -> float:
    rates = {float(window.rate_hz) for window in windows}
    if len(rates) > 1:
        raise PhasenoPeftError(
            f"windows have different rates ({', '.join(f'{rate:g} Hz' for rate in sorted(rates))}). "
            "They have different time scales. Score each on its own."
        )
    return rates.pop() / NETWORK_RATE_HZ if rates else 1.0


def _middle_of_longest_run(is_best: NDArray[np.bool_]) -> int:
    """Index in the middle (the lower of two) of the first longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_best.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest] + ends[longest] - 1) // 2
