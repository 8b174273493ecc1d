"""Figures of waveforms with picks: one window of a network, and a continuous recording with close-ups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.figures.style import (
    ADAPTER_COLOUR,
    FROZEN_COLOUR,
    PHASE_COLOURS,
    legend_outside,
    new_figure,
    plain,
    save,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from phaseno_peft.campaign.recording import Recording
    from phaseno_peft.campaign.windows import Window
    from phaseno_peft.evaluation.metrics import WindowPick
    from phaseno_peft.picks import Pick, PickList

TRACE_COLOUR = "0.25"
LANE = 1.25
"""Distance between the traces of one station, in units of their height."""
BEFORE_S, AFTER_S = 1.0, 2.0
"""A close-up begins this long before the first arrival and ends this long after the last, in the network's time."""


def record_section(
    window: Window,
    path: str | Path,
    *,
    frozen: Sequence[WindowPick] = (),
    adapter: Sequence[WindowPick] = (),
    frozen_probability: np.ndarray | None = None,
    adapter_probability: np.ndarray | None = None,
    distances_km: Sequence[float] | None = None,
    max_stations: int = 12,
    zoom: bool = True,
    names: tuple[str, str] = ("frozen", "adapter"),
) -> Path:
    """Draw one window: per station the vertical with P above the stronger horizontal with S.

    Catalogue picks are black lines, picks of the frozen network open and of the adapter filled triangles; probabilities
    [station, 2, sample], where given, are drawn under their trace. Stations are in order of `distances_km` [station],
    or of their first arrival; those beyond `max_stations` are left out. `zoom` shows the arrivals only. Times are real
    seconds.
    """
    order = _station_order(window, (*adapter, *frozen), distances_km)[:max_stations]
    first, last = _shown_samples(window, (*adapter, *frozen), zoom)
    seconds = np.arange(first, last) / window.rate_hz
    probabilities = (frozen_probability, adapter_probability)
    with style():
        figure = new_figure(8.6, 1.6 + 0.86 * len(order))
        axes = figure.subplots()
        names_at, y = [], 0.0
        for station in order:
            lanes = _lanes(window.waveforms[station, :, first:last])
            names_at.append((y + 0.5 * LANE * (len(lanes) - 1), _station_name(window, station, distances_km)))
            for component, trace, phases in lanes:
                axes.plot(seconds, y - 0.42 * _scaled(trace), color=TRACE_COLOUR, linewidth=0.7, zorder=2)
                axes.text(
                    1.008, y, component, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5, color="0.45"
                )
                for phase in phases:
                    channel = PHASES.index(phase)
                    for k, probability in enumerate(probabilities):
                        if probability is not None:
                            height = np.asarray(probability, np.float64)[station, channel, first:last]
                            curve = np.where(height > 0.01, y + 0.48 - 0.6 * height, np.nan)
                            colour = (FROZEN_COLOUR, ADAPTER_COLOUR)[k]
                            axes.plot(seconds, curve, color=colour, linewidth=1.0, zorder=3)
                    for label in window.labels:
                        if (label.station, label.phase) == (station, channel):
                            axes.vlines(label.sample / window.rate_hz, y - 0.46, y + 0.46, color="black", linewidth=1.3)
                    for k, picks in enumerate((frozen, adapter)):
                        at = [p.sample / window.rate_hz for p in picks if (p.station, p.phase) == (station, channel)]
                        _triangles(axes, at, y, phase, is_filled=k == 1)
                y += LANE
            y += 0.4
        axes.set_yticks([at for at, _ in names_at], [name for _, name in names_at])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(y - LANE + 0.3, -0.75)
        axes.set_xlim(seconds[0], seconds[-1])
        axes.set_xlabel(f"seconds after {window.start.strftime('%Y-%m-%d %H:%M:%S')} UTC")
        plain(axes)
        axes.spines["left"].set_visible(False)
        has_probability = (frozen_probability is not None, adapter_probability is not None)
        handles, labels = _section_legend(names, has_probability)
        legend_outside(figure, handles, labels, columns=4 if any(has_probability) else 5)
        if len(order) < len(window.station_ids):
            axes.set_title(f"{len(order)} of {len(window.station_ids)} stations", loc="right", color="0.45")
        return save(figure, path)


def continuous_section(
    recording: Recording,
    picks: PickList,
    path: str | Path,
    *,
    first_s: float = 0.0,
    duration_s: float = 600.0,
    max_stations: int = 5,
    zooms: int = 2,
) -> Path:
    """Draw a stretch of a recording with its picks, and below it close-ups of the events with most picks.

    The overview shows the verticals of the `max_stations` stations with most picks, in the order of the recording. An
    "event" here is only a moment around which many picks lie. Times are real; raises `PhasenoPeftError` where nothing
    was recorded in the stretch.
    """
    first = max(0, round(first_s * recording.rate_hz))
    last = min(recording.samples.shape[-1], round((first_s + duration_s) * recording.rate_hz))
    if last - first < 2:
        raise PhasenoPeftError(
            f"{recording.name}: nothing to draw between {first_s:g} s and {first_s + duration_s:g} s of a recording of "
            f"{recording.samples.shape[-1] / recording.rate_hz:g} s. Choose another `first_s`."
        )
    start = recording.start + first / recording.rate_hz
    span_s = (last - first) / recording.rate_hz
    shown = [(pick, pick.time - start) for pick in picks if 0.0 <= pick.time - start <= span_s]
    stations = _busiest(recording, [pick for pick, _ in shown], max_stations)
    ids = [recording.stations[i].station_id for i in stations]
    moments = _busiest_moments(np.array([at for _, at in shown]), zooms, recording.rate_hz)
    with style():
        figure = new_figure(9.2, 2.6 + 0.42 * len(stations) * (1 + bool(moments) * 1.6))
        panels: dict[str, Axes] = figure.subplot_mosaic(
            [["overview"] * max(len(moments), 1), [f"zoom{i}" for i in range(len(moments))]]
            if moments
            else [["overview"]],
            height_ratios=(1.0, 1.6) if moments else None,
        )
        spans = {"overview": (0.0, span_s)} | {f"zoom{i}": moment for i, moment in enumerate(moments)}
        for name, (begin_s, end_s) in spans.items():
            axes, is_zoom = panels[name], name != "overview"
            low = first + max(0, int(begin_s * recording.rate_hz))
            high = min(last, first + int(np.ceil(end_s * recording.rate_hz)))
            seconds = (np.arange(low, high) - first) / recording.rate_hz
            for y, station in enumerate(stations):
                trace = recording.samples[station, 2, low:high]
                trace = trace if np.any(trace) else recording.samples[station, :, low:high].sum(axis=0)
                axes.plot(
                    *_thinned(seconds, y - 0.45 * _scaled(trace)), color=TRACE_COLOUR, linewidth=0.6 if is_zoom else 0.4
                )
            for pick, at in shown:
                if pick.trace_id in ids and begin_s <= at <= end_s:
                    y = ids.index(pick.trace_id)
                    top, bottom = (0.46, 0.46) if is_zoom else ((0.45, 0.0) if pick.phase == "P" else (0.0, 0.45))
                    axes.vlines(at, y - top, y + bottom, color=PHASE_COLOURS[pick.phase], linewidth=1.5, zorder=3)
            axes.set_ylim(len(stations) - 0.4, -0.6)
            axes.set_xlim(begin_s, end_s)
            labelled = name in ("overview", "zoom0")
            axes.set_yticks(range(len(stations)), [_short(i) for i in ids] if labelled else [""] * len(ids))
            axes.tick_params(axis="y", length=0)
            plain(axes)
            axes.spines["left"].set_visible(False)
            axes.set_xlabel(f"seconds after {start.strftime('%Y-%m-%d %H:%M:%S')} UTC" if not is_zoom else "seconds")
            if is_zoom:
                panels["overview"].axvspan(begin_s, end_s, color="0.9", zorder=0, linewidth=0.0)
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], color=PHASE_COLOURS[phase], linewidth=2.0) for phase in PHASES]
        counts = [sum(pick.phase == phase and pick.trace_id in ids for pick, _ in shown) for phase in PHASES]
        legend_outside(figure, handles, [f"{phase} ({n} picks)" for phase, n in zip(PHASES, counts, strict=True)])
        return save(figure, path)


def _station_order(window: Window, picks: Sequence[WindowPick], distances_km: Sequence[float] | None) -> list[int]:
    """Indices of stations: nearest first, or first arrival first and those without any last."""
    n = len(window.station_ids)
    if distances_km is not None:
        if len(distances_km) != n:
            raise PhasenoPeftError(
                f"window {window.name}: `distances_km` has {len(distances_km)} values for {n} stations."
            )
        return sorted(range(n), key=lambda i: (distances_km[i], i))
    arrivals = dict.fromkeys(range(n), np.inf)
    for arrival in window.labels or picks:
        arrivals[arrival.station] = min(arrivals[arrival.station], arrival.sample)
    return sorted(range(n), key=lambda i: (arrivals[i], i))


def _shown_samples(window: Window, picks: Sequence[WindowPick], zoom: bool) -> tuple[int, int]:
    """First and one past the last sample to draw."""
    n = window.waveforms.shape[-1]
    arrivals = [arrival.sample for arrival in window.labels or picks]
    if not zoom or not arrivals:
        return 0, n
    return max(0, int(min(arrivals) - 100 * BEFORE_S)), min(n, int(max(arrivals) + 100 * AFTER_S))


def _lanes(traces: np.ndarray) -> list[tuple[str, np.ndarray, str]]:
    """(component, samples, phases drawn on it) of a station [3 (E, N, Z), sample]; one lane for one component."""
    east, north, vertical = traces
    if np.array_equal(east, vertical) and np.array_equal(north, vertical):
        return [("Z", vertical, "PS")]
    horizontal, component = (east, "E") if np.std(east) >= np.std(north) else (north, "N")
    return [("Z", vertical, "P"), (component, horizontal, "S")]


def _scaled(trace: np.ndarray) -> np.ndarray:
    centred = trace - np.mean(trace)
    return np.asarray(centred / max(float(np.max(np.abs(centred))), 1e-30))


def _triangles(axes: Axes, at: Sequence[float], y: float, phase: str, *, is_filled: bool) -> None:
    """The frozen network's picks open and above the trace, the adapter's filled and below it."""
    axes.plot(
        at,
        [y + (0.44 if is_filled else -0.44)] * len(at),
        linestyle="none",
        marker="^" if is_filled else "v",
        markersize=6.0,
        markerfacecolor=PHASE_COLOURS[phase] if is_filled else "white",
        markeredgecolor=PHASE_COLOURS[phase],
        markeredgewidth=1.2,
        zorder=5,
    )


def _section_legend(names: tuple[str, str], has_probability: tuple[bool, bool]) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    handles: list[Any] = []
    labels: list[str] = []
    for k, name in enumerate(names):
        for phase in PHASES:
            colour = PHASE_COLOURS[phase]
            face = colour if k else "white"
            handles.append(
                Line2D([], [], linestyle="none", marker="^" if k else "v", markerfacecolor=face, markeredgecolor=colour)
            )
            labels.append(f"{name} {phase}")
    if has_probability[0]:
        handles.append(Line2D([], [], color=FROZEN_COLOUR))
        labels.append(f"{names[0]} probability")
    if has_probability[1]:
        handles.append(Line2D([], [], color=ADAPTER_COLOUR))
        labels.append(f"{names[1]} probability")
    return [*handles, Line2D([], [], color="black", linewidth=1.3)], [*labels, "catalogue"]


def _station_name(window: Window, station: int, distances_km: Sequence[float] | None) -> str:
    name = _short(window.station_ids[station])
    return name if distances_km is None else f"{name}\n{distances_km[station]:.1f} km"


def _short(station_id: str) -> str:
    """The id without the dot of an empty location."""
    return station_id.rstrip(".")


def _busiest(recording: Recording, picks: Sequence[Pick], most: int) -> list[int]:
    """Indices of the stations with most picks, in the order of the recording."""
    counts = [sum(pick.trace_id == station.station_id for pick in picks) for station in recording.stations]
    return sorted(sorted(range(len(counts)), key=lambda i: (-counts[i], i))[:most])


def _busiest_moments(times_s: np.ndarray, most: int, rate_hz: float) -> list[tuple[float, float]]:
    """(begin, end) in seconds around the disjoint tenths of a network window with most picks, in time order."""
    scale = NETWORK_RATE_HZ / rate_hz  # network seconds -> real seconds
    times = np.sort(times_s)
    spans: list[tuple[float, float]] = []
    reach_s = 8.0 * scale
    while len(times) and len(spans) < most:
        inside = np.searchsorted(times, times + reach_s, side="right") - np.arange(len(times))
        begin = int(np.argmax(inside))
        end = begin + int(inside[begin])
        spans.append((float(times[begin] - BEFORE_S * scale), float(times[end - 1] + AFTER_S * scale)))
        away = (times < spans[-1][0] - reach_s) | (times > spans[-1][1] + reach_s)
        times = times[away]
    return sorted(spans)


def _thinned(x: np.ndarray, y: np.ndarray, points: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value per block, so that a long trace is drawn fast and no peak is lost."""
    size = len(x) // points
    if size < 2:
        return x, y
    blocks = y[: len(y) // size * size].reshape(-1, size)
    extremes = np.stack([blocks.min(axis=1), blocks.max(axis=1)], axis=1).ravel()
    return np.repeat(x[: len(blocks) * size : size], 2), extremes
