"""Windows -> network input -> probabilities -> those of a whole record.

For picking, judging and the training of adapters; pre-training stacks its windows in worker processes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import StationGraph
from phaseno_peft.campaign import (
    Finding,
    Recording,
    StationTable,
    edges,
    scaled_coordinates,
)
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.windows import InputWindow
from phaseno_peft.contract import PHASES, Frame, Preprocessing
from phaseno_peft.cr_lora import ResidentAdapter, adapters_by_window
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picking.ensemble import moved_curves, shift_s
from phaseno_peft.picking.quiet_windows import loud_stations, reached

AnyWindow = TypeVar("AnyWindow", bound=InputWindow)

BATCH_STATIONS = 24
"""Stations of all windows that go through the network together; more costs memory and gains nothing on two cores."""
FARTHEST_FRAME_DEG = 2.0
"""Stations farther than this from an adapter's centre belong to another network and get a centre of their own."""
WINDOW_TOLERANCE_SAMPLES = 0.01
"""A grid whose samples lie so little behind a window's place counts as lying on it: times are whole nanoseconds."""
WIDEST_UNITS = 2.0
"""Stations farther than this (444 km in the network's scale) from the middle are picked as several networks: at 350 km
from the centre picks are what they are at 100 km, at 1,000 km a sixth of them changes, at 3,500 km most are lost."""


def networks(
    stations: Sequence[Station], trained: Frame | None, preprocessing: Preprocessing
) -> tuple[list[tuple[list[int], Frame]], list[Finding]]:
    """(rows of stations, their frame) of every network that is picked on its own, and what is to be said of it.

    A frame is centred on the stations that recorded, as in training: what else a station table lists is not seen. In
    the reach of the frame an adapter was `trained` with, that frame is used. Stations are one network unless they lie
    too wide apart; then those that hear each other make one.
    """
    edge_limit_km = trained.edge_limit_km if trained else Frame(0.0, 0.0).edge_limit_km
    own = StationTable(stations).frame(edge_limit_km)
    units = scaled_coordinates(stations, own, preprocessing.time_scale)
    if np.abs(units - 0.5).max() <= WIDEST_UNITS:
        parts = [(list(range(len(stations))), own)]
    else:
        groups = _connected(edges(units, edge_limit_km), len(units))
        parts = [(rows, StationTable([stations[row] for row in rows]).frame(edge_limit_km)) for rows in groups]
    if trained is None:
        return parts, []
    framed = [(rows, trained if _is_near(frame, trained) else frame) for rows, frame in parts]
    elsewhere = [stations[rows[0]].station_id for rows, frame in framed if frame is not trained]
    findings = [
        Finding(
            "warning",
            f"the network of {elsewhere[0]}{f' and {len(elsewhere) - 1} more' if elsewhere[1:] else ''} lies more than "
            f"{FARTHEST_FRAME_DEG:g} degrees from {trained.center_latitude_deg:.1f}, {trained.center_longitude_deg:.1f}"
            ", where the adapter was trained: it is used on another network.",
        )
        for _ in elsewhere[:1]
    ]
    return framed, findings


def _connected(joined: NDArray[np.int64], n: int) -> list[list[int]]:
    """Rows of each connected group of an undirected graph [2, edge] of n nodes."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, label = connected_components(coo_array((np.ones(joined.shape[1]), (joined[0], joined[1])), shape=(n, n)))
    return [np.flatnonzero(label == group).tolist() for group in range(int(label.max()) + 1)]


def _is_near(own: Frame, trained: Frame) -> bool:
    east = abs((own.center_longitude_deg - trained.center_longitude_deg + 180) % 360 - 180)
    return max(abs(own.center_latitude_deg - trained.center_latitude_deg), east) <= FARTHEST_FRAME_DEG


def network_input(windows: Sequence[InputWindow], edge_limit_km: float) -> tuple[torch.Tensor, StationGraph]:
    """Waveforms [station, 3, sample] of all windows stacked, and their disjoint graph."""
    waveforms = torch.from_numpy(np.concatenate([window.waveforms for window in windows]))
    graph = StationGraph.stack(
        [StationGraph.from_coordinates(torch.from_numpy(window.coordinates), edge_limit_km) for window in windows]
    )
    return waveforms, graph


def batches(windows: Iterable[AnyWindow], stations: int = BATCH_STATIONS) -> Iterator[list[AnyWindow]]:
    """Consecutive windows of at most `stations` stations together, at least one window each."""
    batch: list[AnyWindow] = []
    size = 0
    for window in windows:
        if batch and size + len(window.station_ids) > stations:
            yield batch
            batch, size = [], 0
        batch.append(window)
        size += len(window.station_ids)
    if batch:
        yield batch


def window_probabilities(
    model: torch.nn.Module,
    windows: Sequence[InputWindow],
    edge_limit_km: float,
    progress: Callable[[int, int], None] | None = None,
    *,
    may_diverge: bool = False,
) -> list[NDArray[np.float32]]:
    """Probabilities [station, 2 (P, S), sample] of every window; `progress(done, all)` is called after each batch.

    Raises `PhasenoPeftError` where the network's answer is not finite, unless it `may_diverge`, as in training.
    """
    found: list[NDArray[np.float32]] = []
    was_training = model.training
    if was_training:  # a picker's network never is: other threads run it
        model.eval()
    try:
        for batch in batches(windows):
            found += _answers(model, batch, edge_limit_km, may_diverge=may_diverge)
            if progress is not None:
                progress(len(found), len(windows))
    finally:
        if was_training:
            model.train()
    return found


def _answers(
    model: torch.nn.Module, batch: Sequence[InputWindow], edge_limit_km: float, *, may_diverge: bool
) -> list[NDArray[np.float32]]:
    """Probabilities [station, 2, sample] of the windows of one batch."""
    device = next(model.parameters()).device
    waveforms, graph = network_input(batch, edge_limit_km)
    with torch.inference_mode():
        stacked = torch.sigmoid(model(waveforms.to(device), graph.to(device))).float().cpu().numpy()
    if not may_diverge and not np.isfinite(stacked).all():
        raise PhasenoPeftError(
            f"the network's answer to window {batch[0].name} and its neighbours is not finite. Do not use this adapter "
            "or backbone; check the record for samples near the limits of its kind of number."
        )
    return np.split(stacked, np.cumsum([len(window.station_ids) for window in batch])[:-1])


def member_probabilities(
    model: torch.nn.Module, windows: Sequence[InputWindow], edge_limit_km: float, adapter: ResidentAdapter
) -> list[NDArray[np.float32]]:
    """Probabilities [station, 2 * member, sample] of every window by each member, P and S of the first in front.

    Each member's lie where the constant shift of `adapter` finds its picks. A window goes through the network once for
    each, in one mixed batch. Raises as `window_probabilities` does.
    """
    members, shift = adapter.members, shift_s(adapter)
    by_s = [{phase: shift_s(one)[phase] - shift[phase] for phase in PHASES} for one in members]
    found: list[NDArray[np.float32]] = []
    for batch in batches(windows):
        repeated = [window for window in batch for _ in members]
        with adapters_by_window([one for _ in batch for one in members]):
            answers = _answers(model, repeated, edge_limit_km, may_diverge=False)
        moved = [
            moved_curves(curves, by_s[i % len(members)], window.rate_hz)
            for i, (curves, window) in enumerate(zip(answers, repeated, strict=True))
        ]
        found += [np.concatenate(moved[i : i + len(members)], axis=1) for i in range(0, len(moved), len(members))]
    return found


def ensemble_probabilities(
    model: torch.nn.Module, windows: Sequence[InputWindow], edge_limit_km: float, adapter: ResidentAdapter
) -> list[NDArray[np.float32]]:
    """Mean probabilities [station, 2, sample] of every window over the members of an adapter."""
    each = member_probabilities(model, windows, edge_limit_km, adapter)
    return [p.reshape(len(p), len(adapter.members), len(PHASES), -1).mean(axis=1) for p in each]


def loud_window_probabilities(
    model: torch.nn.Module, windows: Sequence[InputWindow], edge_limit_km: float
) -> list[NDArray[np.float32] | None]:
    """`window_probabilities`, None of each window that the model's stem finds quiet, NaN of stations it finds quiet.

    Through the operator go the loud stations and those whose messages reach them.
    """
    stem = getattr(model, "stem", None)
    if stem is None:
        return [*window_probabilities(model, windows, edge_limit_km)]
    device = next(model.parameters()).device
    picked: list[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]] = []
    with torch.inference_mode():
        for number, window in enumerate(windows):
            curves = torch.sigmoid(stem(torch.from_numpy(window.waveforms).to(device))).float().cpu().numpy()
            loud = loud_stations(curves, window.coordinates, edge_limit_km)
            if loud.any():
                picked.append((number, loud, np.any(reached(window.coordinates, edge_limit_km)[loud], axis=0)))
    found: list[NDArray[np.float32] | None] = [None] * len(windows)
    parts = [_with_stations(windows[number], heard) for number, _, heard in picked]
    of_parts = window_probabilities(model, parts, edge_limit_km)
    for (number, loud, heard), one in zip(picked, of_parts, strict=True):
        whole = one if heard.all() else np.full((len(heard), *one.shape[1:]), np.nan, np.float32)
        if not loud.all():
            whole[heard], whole[~loud] = one, np.nan
        found[number] = whole
    return found


def _with_stations(window: InputWindow, rows: NDArray[np.bool_]) -> InputWindow:
    """The window with some of its stations."""
    if rows.all():
        return window
    kept = tuple(station_id for station_id, row in zip(window.station_ids, rows, strict=True) if row)
    return replace(window, station_ids=kept, waveforms=window.waveforms[rows], coordinates=window.coordinates[rows])


def window_starts(
    n_samples: int, preprocessing: Preprocessing, stride_s: float | None = None, start_ns: int = 0
) -> Sequence[int]:
    """First samples of the windows that cover a record, half a window apart unless `stride_s` (real) is given.

    The first window begins with the record and the last ends with it. Of a record that begins at `start_ns`
    (nanoseconds since 1970), those between stand at multiples of their distance since 1970. Raises `PhasenoPeftError`
    for an impossible stride.
    """
    n = preprocessing.window_samples
    stride = n // 2 if stride_s is None else round(stride_s * preprocessing.rate_hz)
    if not 1 <= stride <= n:
        raise PhasenoPeftError(
            f"`stride_s` is {stride_s}; it should be between {1 / preprocessing.rate_hz:g} and "
            f"{preprocessing.window_s:g} s, the length of a window."
        )
    last = n_samples - n
    to_next = -Fraction(start_ns) * Fraction(preprocessing.rate_hz) / 10**9 % stride  # samples
    first = math.ceil(float(to_next) - WINDOW_TOLERANCE_SAMPLES) % stride
    between = range(first or stride, last, stride)
    return [0, *between, last] if last > 0 else [0]


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """Probabilities of a window, and where it lies in a record."""

    start: int
    """First sample."""
    station_ids: tuple[str, ...]
    n_samples: int
    probabilities: NDArray[np.float32] | None
    """[station, 2 (P, S), sample]; None: these stations were quiet and did not go through the operator."""

    @property
    def end(self) -> int:
        """One sample after the last."""
        return self.start + self.n_samples

    @classmethod
    def of(cls, start: int, window: InputWindow, probabilities: NDArray[np.float32] | None) -> list[JudgedWindow]:
        """What `loud_window_probabilities` says of a window that begins at a sample: its loud stations, its quiet."""
        ids, n = window.station_ids, window.waveforms.shape[-1]
        if probabilities is None:
            return [cls(start, ids, n, None)]
        quiet: NDArray[np.bool_] = np.all(np.isnan(probabilities), axis=(1, 2))
        if not quiet.any():
            return [cls(start, ids, n, probabilities)]
        parts = [tuple(i for i, row in zip(ids, rows, strict=True) if row) for rows in (~quiet, quiet)]
        return [cls(start, parts[0], n, probabilities[~quiet]), cls(start, parts[1], n, None)]


def merge_windows(
    recording: Recording,
    windows: Sequence[JudgedWindow],
    merge: Literal["mean", "median", "max"],
    taper_samples: int,
    n_curves: int = len(PHASES),
) -> NDArray[np.float32]:
    """Probabilities [station, 2, sample] of a record from those of its windows; NaN where no window or no sample is.

    n_curves: of a station, where windows have those of several adapters.
    Starts of windows count from the record's first sample; a window may begin before it and end behind the record.
    Quiet windows give 0 where no other window lies.
    mean: window ends weigh less over `taper_samples`, so that a sample is judged by windows that see around it.
    median and max: plain, over the windows that cover a sample.
    """
    row = {station.station_id: i for i, station in enumerate(recording.stations)}
    size = recording.n_samples
    shape = (len(recording.stations), n_curves, size)
    picked = [(window, window.probabilities) for window in windows if window.probabilities is not None]
    if merge == "mean":
        total, weight = np.zeros(shape, np.float64), np.zeros((shape[0], 1, size))
        for window, probabilities in picked:
            n = window.n_samples
            ramp = np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) / (taper_samples + 1)
            rows = [row[station_id] for station_id in window.station_ids]
            first, last = max(window.start, 0), min(window.end, size)
            inside = slice(first - window.start, last - window.start)
            share = np.minimum(ramp, 1.0)[inside]
            total[rows, :, first:last] += probabilities[..., inside] * share
            weight[rows, :, first:last] += share
        merged = np.divide(total, weight, out=np.full(shape, np.nan), where=weight > 0).astype(np.float32)
    elif merge in ("median", "max"):
        merged = np.full(shape, np.nan, np.float32)
        bounds = {0, size, *(min(max(at, 0), size) for window in windows for at in (window.start, window.end))}
        for begin, end in itertools.pairwise(sorted(bounds)):
            stack: dict[int, list[NDArray[np.float32]]] = {}
            for window, probabilities in picked:
                if window.start <= begin and end <= window.end:
                    inside = slice(begin - window.start, end - window.start)
                    for i, station_id in enumerate(window.station_ids):
                        stack.setdefault(row[station_id], []).append(probabilities[i, :, inside])
            for i, layers in stack.items():
                merged[i, :, begin:end] = np.median(layers, 0) if merge == "median" else np.max(layers, 0)
    else:
        raise PhasenoPeftError(f"`merge` should be 'mean', 'median' or 'max' but is {merge!r}.")
    for window in windows:
        if window.probabilities is None:
            rows = [row[station_id] for station_id in window.station_ids]
            part = merged[rows, :, max(window.start, 0) : window.end]
            merged[rows, :, max(window.start, 0) : window.end] = np.where(np.isnan(part), np.float32(0), part)
    recorded: NDArray[np.bool_] = np.any(recording.recorded, axis=1, keepdims=True)  # [station, 1, sample]
    return np.where(recorded, merged, np.float32(np.nan))
