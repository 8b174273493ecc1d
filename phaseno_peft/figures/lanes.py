"""A window's record section with what was found, missed and false: two lanes a station, P above S."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES
from phaseno_peft.figures.shapes import Drawing
from phaseno_peft.report import FAINT, INK, MUTED, P_INK, S_INK, WARN_INK

if TYPE_CHECKING:
    from phaseno_peft.campaign.windows import Window

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1100.0, 132.0, 22.0, 14.0, 34.0
"""Pixels: the drawing, and its margins."""
LANE, PAUSE = 34.0, 9.0
"""Height of a lane, and space between stations, in pixels."""
BEFORE_S, AFTER_S, SHORTEST_S = 1.5, 2.0, 6.0
"""What is shown around arrivals and picks, and at least (network's time)."""
MOST_POINTS = 640
PHASE_INKS = {"P": P_INK, "S": S_INK}
FAINTEST = 0.05
"""Probabilities below this are not drawn."""


@dataclass(frozen=True)
class Mark:
    """One label or pick in a lane."""

    station: int
    phase: str
    kind: Literal["label", "pick", "other pick", "false", "missed", "not judged"]
    """"label": the catalogue's; "pick": the model's, right; "other pick": of the model it is compared with."""
    sample: float


@dataclass(frozen=True)
class Lanes:
    """What a record section shows."""

    window: Window
    marks: Sequence[Mark]
    stations: Sequence[int]
    """Rows of the window, from top to bottom."""
    names: Mapping[int, str]
    """Row -> what stands beside it; a second line after a line break."""
    probability: np.ndarray | None = None
    """[station, phase, sample] of the model."""
    other_probability: np.ndarray | None = None
    shift_samples: Mapping[str, float] = field(default_factory=dict)
    """Phase -> samples by which the model's picks are given out later than on its curve, which is moved too."""


def draw_lanes(lanes: Lanes) -> Drawing:
    """Return the drawing. Each trace is scaled to itself; times are real seconds after the window's start."""
    first, last = _shown(lanes)
    height = TOP + BOTTOM + sum(2 * LANE + PAUSE for _ in lanes.stations)
    drawing = Drawing(WIDTH, height)
    rate_hz = lanes.window.rate_hz
    per_sample = (WIDTH - LEFT - RIGHT) / max(last - 1 - first, 1)

    def x(sample: float | np.ndarray) -> np.ndarray:
        return np.asarray(LEFT + (np.asarray(sample, np.float64) - first) * per_sample)

    bottom = height - BOTTOM
    for second in _ticks(first / rate_hz, last / rate_hz):
        at = float(x(second * rate_hz))
        drawing.line([(at, TOP - 4), (at, bottom + 4)], FAINT, 1.0)
        drawing.text(at, bottom + 12, f"{second:g}", 12, MUTED, "middle")
    drawing.text(WIDTH - RIGHT, height - 7, f"seconds after {_start(lanes.window)} UTC", 12, MUTED, "end")
    for n, row in enumerate(lanes.stations):
        top = TOP + n * (2 * LANE + PAUSE)
        for k, line in enumerate(lanes.names[row].split("\n")):
            drawing.text(2, top + LANE - 8 + 15 * k, line, 13 if k == 0 else 11.5, INK if k == 0 else MUTED)
        for k, (component, trace) in enumerate(_traces(lanes.window.waveforms[row])):
            phase, y = PHASES[k], top + (k + 0.5) * LANE
            drawing.text(LEFT - 8, y, component, 11, MUTED, "end")
            shown = trace[first:last].astype(np.float64)
            shown = shown - shown.mean()
            largest = float(np.abs(shown).max(initial=0.0))
            if largest > 0:
                samples, value = _thinned(np.arange(first, last), shown / largest)
                drawing.line(np.stack([x(samples), y - 0.44 * LANE * value], axis=1), INK, 0.8)
            else:
                drawing.line([(LEFT, y), (WIDTH - RIGHT, y)], FAINT, 1.0, "2 3")
            for probability, ink, dashes in (
                (lanes.other_probability, MUTED, "5 3"),
                (lanes.probability, PHASE_INKS[phase], ""),
            ):
                if probability is not None:
                    moved = lanes.shift_samples.get(phase, 0.0) if not dashes else 0.0
                    curve = np.asarray(probability[row, k, first:last], np.float64)
                    samples, value = _thinned(np.arange(first, last), np.where(curve > FAINTEST, curve, 0.0))
                    height_y = np.where(value > 0, y + 0.48 * LANE - 0.8 * LANE * value, np.nan)
                    drawing.line(np.stack([x(samples + moved), height_y], axis=1), ink, 1.3, dashes)
            for mark in lanes.marks:
                if (mark.station, mark.phase) == (row, phase) and first <= mark.sample <= last:
                    _draw_mark(drawing, mark, float(x(mark.sample)), y)
    return drawing


def _draw_mark(drawing: Drawing, mark: Mark, x: float, y: float) -> None:
    ink = PHASE_INKS[mark.phase]
    half = LANE / 2
    if mark.kind in ("label", "missed"):
        drawing.line([(x, y - half), (x, y + half)], INK, 2.0)
    if mark.kind == "missed":
        drawing.mark("ring", x, y - half + 4, 6.5, WARN_INK)
    elif mark.kind == "pick":
        drawing.mark("up", x, y + half - 1, 5.5, ink)
    elif mark.kind == "other pick":
        drawing.mark("down", x, y - half + 1, 4.5, MUTED, is_filled=False)
    elif mark.kind == "false":
        drawing.mark("up", x, y + half - 1, 5.5, ink)
        drawing.mark("cross", x, y + 2, 6.5, WARN_INK)
    elif mark.kind == "not judged":
        drawing.mark("up", x, y + half - 1, 5.0, ink, is_filled=False)


def _shown(lanes: Lanes) -> tuple[int, int]:
    """First and one past the last sample: around all arrivals and picks, or the whole window where there are none."""
    n = lanes.window.waveforms.shape[-1]
    at = [m.sample for m in lanes.marks if m.station in lanes.stations and m.kind != "other pick"]
    if not at:
        return 0, n
    low, high = min(at) - BEFORE_S * NETWORK_RATE_HZ, max(at) + AFTER_S * NETWORK_RATE_HZ
    spare = max(0.0, SHORTEST_S * NETWORK_RATE_HZ - (high - low)) / 2
    return max(0, int(low - spare)), min(n, int(high + spare) + 1)


def _traces(traces: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(component, samples) of the vertical for P and the stronger horizontal for S; one component serves for both."""
    east, north, vertical = traces
    if np.array_equal(east, vertical) and np.array_equal(north, vertical):
        return [("Z", vertical), ("Z", vertical)]
    return [("Z", vertical), ("E", east) if np.std(east) >= np.std(north) else ("N", north)]


def _thinned(at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of each block in the order they come in, so that no peak is lost or turned."""
    size = 2 * len(values) // MOST_POINTS
    if size < 3:
        return at, values
    blocks = values[: len(values) // size * size].reshape(-1, size)
    both = np.sort(np.stack([blocks.argmin(axis=1), blocks.argmax(axis=1)], axis=1), axis=1)
    rows = (both + size * np.arange(len(blocks))[:, None]).ravel()
    return at[rows], values[rows]


def _ticks(first_s: float, last_s: float) -> list[float]:
    steps = [m * 10.0**e for e in range(-3, 3) for m in (1, 2, 5)]
    step = next((s for s in steps if (last_s - first_s) / s <= 10), steps[-1])
    return [round(k * step, 6) for k in range(int(np.ceil(first_s / step)), int(np.floor(last_s / step)) + 1)]


def _start(window: Window) -> str:
    """To a hundredth of a second."""
    return str(UTCDateTime(ns=round(window.start.ns, -7)).strftime("%Y-%m-%d %H:%M:%S.%f"))[:-4]
