"""An endless, repeatable stream of batches: batch k is a pure function of the seed and k, in whichever process.

Worker processes each make some of the batches; they arrive in order, so that the number of workers changes nothing, and
a run that goes on at batch k sees what it would have seen without the stop.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phaseno_peft.backbone import StationGraph
from phaseno_peft.campaign import Window, edges
from phaseno_peft.campaign.augment import compose
from phaseno_peft.campaign.raw_window import RawWindow, as_window, choose_stations
from phaseno_peft.contract import PHASES, WINDOW_SAMPLES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.pretraining.continuous import ContinuousSet
from phaseno_peft.pretraining.distort import distort, draw_stretch, samples_before, stretch_time
from phaseno_peft.pretraining.noise import NoiseSet
from phaseno_peft.pretraining.seisbench_set import SeisBenchSet
from phaseno_peft.pretraining.settings import PretrainingSettings
from phaseno_peft.pretraining.simulated import Simulator

TRAINING, VALIDATION, STEM = 0, 1, 3
"""Second word of a seed: what the numbers are drawn for."""
SINGLE_STATIONS_PER_DRAW = 4
"""Stations of a simulated network that become windows of one station each: one draw costs little more than one."""
PREFETCHED_BATCHES = 4
"""Batches each worker makes in advance."""


@dataclass(frozen=True)
class Sources:
    """Everything windows are made of."""

    seisbench_sets: tuple[SeisBenchSet, ...] = ()
    continuous_sets: tuple[ContinuousSet, ...] = ()
    simulator: Simulator = field(default_factory=Simulator)
    noise: tuple[NDArray[np.float32], ...] = ()
    """Records [3, sample] without events: pieces of the continuous sets' training part, and the noise sets."""
    noise_sets: tuple[NoiseSet, ...] = ()

    @classmethod
    def of(
        cls,
        seisbench_sets: tuple[SeisBenchSet, ...],
        continuous_sets: tuple[ContinuousSet, ...],
        seed: int,
        noise_sets: tuple[NoiseSet, ...] = (),
    ) -> Sources:
        """With noise cut from the continuous sets, and that of the noise sets."""
        rng = np.random.default_rng([seed, 2])
        noise = [r for continuous_set in continuous_sets for r in continuous_set.noise(rng)]
        noise += [r for noise_set in noise_sets for r in noise_set.records]
        return cls(seisbench_sets, continuous_sets, Simulator(), tuple(noise), noise_sets)


@dataclass(frozen=True)
class Batch:
    """Windows of several networks, stations stacked; numpy only, so that it travels between processes."""

    waveforms: NDArray[np.float32]
    """[station, component, sample]"""
    targets: NDArray[np.float32]
    """[station, phase, sample]"""
    known: NDArray[np.bool_]
    """[station, phase, sample]"""
    coordinates: NDArray[np.float32]
    """[station, 2]"""
    edges: NDArray[np.int64]
    """[2 (source, target), edge] station rows; none joins two windows."""
    sizes: tuple[int, ...]
    """Stations of each window."""
    counts: Counter[str]
    """"<source>/windows", "/station-windows", "/P", "/S"."""

    def graph(self) -> StationGraph:
        """The windows' disjoint graph."""
        source, target = torch.from_numpy(self.edges)
        return StationGraph(torch.from_numpy(self.coordinates), source, target, self.sizes)

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Waveforms, targets and mask on a device."""
        made = (torch.from_numpy(x) for x in (self.waveforms, self.targets, self.known))
        waveforms, targets, known = (x.to(device, non_blocking=True) for x in made)
        return waveforms, targets, known


class BatchDataset(torch.utils.data.Dataset[Batch]):
    """`dataset[k]` is batch k."""

    def __init__(self, sources: Sources, settings: PretrainingSettings, drawn_for: int = TRAINING) -> None:
        self.sources, self.settings, self.drawn_for = sources, settings, drawn_for

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self.settings.seed, self.drawn_for, index])
        half_base = self.settings.half_base_samples(index)
        windows: list[tuple[str, Window]] = []
        stations_left = self.settings.batch_stations
        while stations_left > 0:
            for kind, window in self.windows(rng, stations_left, str(index), half_base):
                windows.append((kind, window))
                stations_left -= len(window.station_ids)
        return as_batch(windows, self.settings.edge_limit_km)

    def windows(self, rng: np.random.Generator, most: int, name: str, half_base: float) -> Iterator[tuple[str, Window]]:
        """A window of so many stations at most, distorted; or a simulated network's stations, one a window."""
        chances = self.settings.chances
        kind = self._kind(rng)
        stations = min(self._stations(rng, kind), most)
        factor = draw_stretch(rng, chances.stretch)
        n_samples = WINDOW_SAMPLES if factor == 1 else samples_before(factor, WINDOW_SAMPLES)
        one_by_one = kind == "simulated" and stations == 1
        raw = self._raw_window(rng, kind, min(SINGLE_STATIONS_PER_DRAW, most) if one_by_one else stations, n_samples)
        raw = stretch_time(raw, factor, WINDOW_SAMPLES)
        rows = [[row] for row in range(raw.n_stations)] if one_by_one else [list(range(raw.n_stations))]
        parts = [choose_stations(raw, row) for row in rows]

        def second(k: int) -> RawWindow | None:
            """Another event at a single station; two networks would differ, simulated ones hold several."""
            if one_by_one:
                return parts[k - 1] if len(parts) > 1 else None
            if raw.n_stations > 1:
                return None
            return stretch_time(self._raw_window(rng, kind, 1, n_samples), factor, WINDOW_SAMPLES)

        for k, part in enumerate(parts):
            distorted = distort(rng, part, chances, partial(second, k), self.sources.noise)
            window = as_window(distorted, name, half_base)
            if window.station_ids:
                yield raw.kind, compose(rng, window, (), chances.of_windows)

    def _kind(self, rng: np.random.Generator) -> str:
        """Which source; the parts are of station-windows, and SeisBench records have one station each."""
        s, u = self.settings, rng.random()
        mean = {
            "seisbench": 1.0,
            "continuous": self._mean_stations("continuous"),
            "simulated": self._mean_stations("simulated"),
        }
        parts = {
            "seisbench": s.labelled if self.sources.seisbench_sets else 0.0,
            "continuous": s.archives if self.sources.continuous_sets else 0.0,
        }
        parts["simulated"] = 1.0 - sum(parts.values())
        weights = {kind: parts[kind] / mean[kind] for kind in parts}
        if self.sources.noise_sets:
            weights["noise"] = sum(weights.values()) * s.noise / (1 - s.noise)
        total = sum(weights.values())
        for kind, weight in weights.items():
            u -= weight / total
            if u < 0:
                return kind
        return "simulated"

    def _sizes(self, kind: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        most = self.settings.most_stations
        if kind == "continuous":
            most = min(most, max(one.most_stations for one in self.sources.continuous_sets))
        sizes = np.arange(1, most + 1)
        chance = 1.0 / sizes
        if kind == "continuous":
            chance[0] = chance.min()
        elif most > 1:  # single stations come several at once
            alone = self.settings.alone / SINGLE_STATIONS_PER_DRAW
            chance[0] = chance[1:].sum() * alone / max(1 - self.settings.alone, 1e-9)
        return sizes, chance / chance.sum()

    def _mean_stations(self, kind: str) -> float:
        if kind == "continuous" and not self.sources.continuous_sets:
            return 1.0
        sizes, chance = self._sizes(kind)
        made = np.where((sizes == 1) & (kind == "simulated"), SINGLE_STATIONS_PER_DRAW, sizes)
        return float(made @ chance)

    def _stations(self, rng: np.random.Generator, kind: str) -> int:
        if kind in ("seisbench", "noise"):
            return 1
        sizes, chance = self._sizes(kind)
        return int(rng.choice(sizes, p=chance))

    def _raw_window(self, rng: np.random.Generator, kind: str, stations: int, n_samples: int) -> RawWindow:
        if kind == "seisbench":
            weights = np.array([len(s.side(held_out=False)) for s in self.sources.seisbench_sets], float)
            chosen = int(rng.choice(len(weights), p=weights / weights.sum()))
            return self.sources.seisbench_sets[chosen].draw(rng, n_samples)
        if kind == "noise":
            sets = self.sources.noise_sets
            return sets[int(rng.integers(len(sets)))].draw(rng, n_samples)
        if kind == "continuous":
            # by the square root of their length, so that short sets are not repeated too often
            weights = np.sqrt([one.station_minutes for one in self.sources.continuous_sets])
            chosen = int(rng.choice(len(weights), p=weights / weights.sum()))
            raw = self.sources.continuous_sets[chosen].draw(rng, stations, n_samples)
            if raw is not None:
                return raw
        return self.sources.simulator.draw(rng, stations, n_samples, self.sources.noise)


def as_batch(windows: list[tuple[str, Window]], edge_limit_km: float) -> Batch:
    """Windows and the sources they are from, stacked, joined and counted."""
    counts: Counter[str] = Counter()
    for kind, window in windows:
        counts[f"{kind}/windows"] += 1
        counts[f"{kind}/station-windows"] += len(window.station_ids)
        for label in window.labels:
            counts[f"{kind}/{PHASES[label.phase]}"] += 1
    made = [window for _, window in windows]
    first = np.cumsum([0, *(len(w.station_ids) for w in made)])
    return Batch(
        waveforms=np.concatenate([w.waveforms for w in made]),
        targets=np.concatenate([w.targets for w in made]),
        known=np.concatenate([w.known for w in made]),
        coordinates=np.concatenate([w.coordinates for w in made]),
        edges=np.concatenate(
            [edges(w.coordinates, edge_limit_km) + row for w, row in zip(made, first, strict=False)], axis=1
        ),
        sizes=tuple(len(w.station_ids) for w in made),
        counts=counts,
    )


@contextlib.contextmanager
def iterate_batches(dataset: BatchDataset, first: int, workers: int) -> Iterator[Iterator[Batch]]:
    """Batches `first`, `first` + 1, ... made by so many worker processes; 0 makes them here."""
    numbers = range(first, sys.maxsize)
    if workers == 0:
        yield (dataset[k] for k in numbers)
        return
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=PREFETCHED_BATCHES,
        collate_fn=_unchanged,
        worker_init_fn=_init_worker,
        multiprocessing_context="spawn",
    )
    batches = iter(loader)
    try:
        yield _with_worker_errors(batches)
    finally:
        shutdown = getattr(batches, "_shutdown_workers", None)  # at once, not when the iterator is collected
        if shutdown is not None:
            shutdown()


def _with_worker_errors(batches: Iterator[Batch]) -> Iterator[Batch]:
    try:
        yield from batches
    except PhasenoPeftError as error:  # DataLoader puts the worker's traceback before the sentence
        sentence = str(error).strip().splitlines()[-1]
        raise type(error)(sentence.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")) from None
    except RuntimeError as error:
        if "DataLoader worker" in str(error) and "exited" in str(error):
            raise PhasenoPeftError(
                f"a worker process died ({error}). It may have run out of memory: the same command with fewer "
                "--workers goes on from the last checkpoint."
            ) from error
        raise


def _unchanged(batch: Any) -> Any:
    """No tensors between processes: they would need shared memory, of which containers have little."""
    return batch


def _init_worker(_: int) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which saves and ends its workers


def held_out_windows(sources: Sources, settings: PretrainingSettings) -> dict[str, list[Window]]:
    """Windows of each source that training never sees, always the same ones; sources without any are missing.

    SeisBench sets: records of the train split that were set aside, each once or more at random places. Continuous
    sets: the last 15 %. Simulated: seeds of their own.
    """
    found: dict[str, list[Window]] = {}
    n = settings.judged_windows
    for number, seisbench_set in enumerate(sources.seisbench_sets):
        rng = np.random.default_rng([settings.seed, VALIDATION, 0, number])
        records = seisbench_set.side(held_out=True)
        picked = [records[i % len(records)] for i in range(min(n, 3 * len(records)))]
        raw_windows = [seisbench_set.cut(rng, record, WINDOW_SAMPLES, anywhere=False) for record in picked]
        found[seisbench_set.name] = _windows(raw_windows, seisbench_set.name)
    for number, continuous_set in enumerate(sources.continuous_sets):
        rng = np.random.default_rng([settings.seed, VALIDATION, 1, number])
        minutes = sum(p.n_samples - p.first_held_out for p in continuous_set.records) / WINDOW_SAMPLES
        wanted = min(n, int(2 * minutes))
        drawn = [continuous_set.draw(rng, settings.most_stations, WINDOW_SAMPLES, held_out=True) for _ in range(wanted)]
        found[continuous_set.name] = _windows([raw for raw in drawn if raw is not None], continuous_set.name)
    rng = np.random.default_rng([settings.seed, VALIDATION, 2])
    sizes = [1 + k % min(6, settings.most_stations) for k in range(n)]
    simulated = [sources.simulator.draw(rng, size, WINDOW_SAMPLES) for size in sizes]
    found[sources.simulator.name] = _windows(simulated, sources.simulator.name)
    return {name: windows for name, windows in found.items() if windows}


def _windows(raw_windows: list[RawWindow], name: str) -> list[Window]:
    made = (as_window(raw, f"{name}@{k}") for k, raw in enumerate(raw_windows))
    return [window for window in made if window.station_ids]
