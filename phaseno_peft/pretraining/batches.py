"""An endless, repeatable stream of batches: batch k is a pure function of the seed and k, whoever makes it.

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
from phaseno_peft.contract import PHASES, WINDOW_SAMPLES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.pretraining.continuous import Archive
from phaseno_peft.pretraining.distort import distort, draw_stretch, samples_before, stretch_time
from phaseno_peft.pretraining.noise import NoiseSet
from phaseno_peft.pretraining.raw_window import Scene, as_window, choose_stations
from phaseno_peft.pretraining.seisbench_set import LabelledSet
from phaseno_peft.pretraining.settings import PretrainingSettings
from phaseno_peft.pretraining.simulated import Simulator

TRAINING, VALIDATION, STEM = 0, 1, 3
"""Second word of a seed: what the numbers are drawn for."""
ALONE_TOGETHER = 4
"""Stations of a simulated network that are used one by one."""
AHEAD = 4
"""Batches each worker makes in advance."""


@dataclass(frozen=True)
class Sources:
    """Everything windows are made of."""

    labelled: tuple[LabelledSet, ...] = ()
    archives: tuple[Archive, ...] = ()
    simulator: Simulator = field(default_factory=Simulator)
    noise: tuple[NDArray[np.float32], ...] = ()
    """Records [3, sample] without events: stretches of the archives' training part, and the noise sets."""
    noise_sets: tuple[NoiseSet, ...] = ()

    @classmethod
    def of(
        cls,
        labelled: tuple[LabelledSet, ...],
        archives: tuple[Archive, ...],
        seed: int,
        noise_sets: tuple[NoiseSet, ...] = (),
    ) -> Sources:
        """With noise cut from the archives, and that of the noise sets."""
        rng = np.random.default_rng([seed, 2])
        noise = [r for archive in archives for r in archive.noise(rng)]
        noise += [r for noise_set in noise_sets for r in noise_set.records]
        return cls(labelled, archives, Simulator(), tuple(noise), noise_sets)


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


class BatchMaker(torch.utils.data.Dataset[Batch]):
    """`maker[k]` is batch k."""

    def __init__(self, sources: Sources, settings: PretrainingSettings, drawn_for: int = TRAINING) -> None:
        self.sources, self.settings, self.drawn_for = sources, settings, drawn_for

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self.settings.seed, self.drawn_for, index])
        half_base = self.settings.half_base_samples(index)
        windows: list[tuple[str, Window]] = []
        room = self.settings.batch_stations
        while room > 0:
            for kind, window in self.windows(rng, room, str(index), half_base):
                windows.append((kind, window))
                room -= len(window.station_ids)
        return as_batch(windows, self.settings.edge_limit_km)

    def windows(self, rng: np.random.Generator, room: int, name: str, half_base: float) -> Iterator[tuple[str, Window]]:
        """A window of at most `room` stations, distorted; or a simulated network's stations, each a window by itself.

        The last costs the simulator little more than one station would.
        """
        chances = self.settings.chances
        kind = self._kind(rng)
        stations = min(self._stations(rng, kind), room)
        factor = draw_stretch(rng, chances.stretch)
        n_samples = WINDOW_SAMPLES if factor == 1 else samples_before(factor, WINDOW_SAMPLES)
        alone = kind == "simulated" and stations == 1
        scene = self._scene(rng, kind, min(ALONE_TOGETHER, room) if alone else stations, n_samples)
        scene = stretch_time(scene, factor, WINDOW_SAMPLES)
        rows = [[row] for row in range(scene.n_stations)] if alone else [list(range(scene.n_stations))]
        rivals = [choose_stations(scene, row) for row in rows]

        def second(k: int) -> Scene | None:
            """Another scene at a single station; two scenes of networks would not fit, and the simulator's overlap."""
            if alone:
                return rivals[k - 1] if len(rivals) > 1 else None
            if scene.n_stations > 1:
                return None
            return stretch_time(self._scene(rng, kind, 1, n_samples), factor, WINDOW_SAMPLES)

        for k, one in enumerate(rivals):
            distorted = distort(rng, one, chances, partial(second, k), self.sources.noise)
            window = as_window(distorted, name, half_base)
            if window.station_ids:
                yield scene.kind, compose(rng, window, (), chances.of_windows)

    def _kind(self, rng: np.random.Generator) -> str:
        """Which source; the parts are of station-windows, and labelled records have one station each."""
        s, u = self.settings, rng.random()
        mean = {
            "labelled": 1.0,
            "archive": self._mean_stations("archive"),
            "simulated": self._mean_stations("simulated"),
        }
        parts = {
            "labelled": s.labelled if self.sources.labelled else 0.0,
            "archive": s.archives if self.sources.archives else 0.0,
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
        if kind == "archive":
            most = min(most, max(archive.most_stations for archive in self.sources.archives))
        sizes = np.arange(1, most + 1)
        chance = 1.0 / sizes
        if kind == "archive":
            chance[0] = chance.min()
        elif most > 1:  # single stations come several at once
            alone = self.settings.alone / ALONE_TOGETHER
            chance[0] = chance[1:].sum() * alone / max(1 - self.settings.alone, 1e-9)
        return sizes, chance / chance.sum()

    def _mean_stations(self, kind: str) -> float:
        if kind == "archive" and not self.sources.archives:
            return 1.0
        sizes, chance = self._sizes(kind)
        made = np.where((sizes == 1) & (kind == "simulated"), ALONE_TOGETHER, sizes)
        return float(made @ chance)

    def _stations(self, rng: np.random.Generator, kind: str) -> int:
        if kind in ("labelled", "noise"):
            return 1
        sizes, chance = self._sizes(kind)
        return int(rng.choice(sizes, p=chance))

    def _scene(self, rng: np.random.Generator, kind: str, stations: int, n_samples: int) -> Scene:
        if kind == "labelled":
            weights = np.array([len(s.side(held_out=False)) for s in self.sources.labelled], float)
            chosen = int(rng.choice(len(weights), p=weights / weights.sum()))
            return self.sources.labelled[chosen].draw(rng, n_samples)
        if kind == "noise":
            sets = self.sources.noise_sets
            return sets[int(rng.integers(len(sets)))].draw(rng, n_samples)
        if kind == "archive":
            weights = np.sqrt([archive.station_minutes for archive in self.sources.archives])  # small ones tire
            chosen = int(rng.choice(len(weights), p=weights / weights.sum()))
            scene = self.sources.archives[chosen].draw(rng, stations, n_samples)
            if scene is not None:
                return scene
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
def streaming(maker: BatchMaker, first: int, workers: int) -> Iterator[Iterator[Batch]]:
    """Batches `first`, `first` + 1, ... made by so many worker processes; 0 makes them here."""
    numbers = range(first, sys.maxsize)
    if workers == 0:
        yield (maker[k] for k in numbers)
        return
    loader = torch.utils.data.DataLoader(
        maker,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=AHEAD,
        collate_fn=_as_it_is,
        worker_init_fn=_begin_worker,
        multiprocessing_context="spawn",
    )
    batches = iter(loader)
    try:
        yield _reporting(batches)
    finally:
        shutdown = getattr(batches, "_shutdown_workers", None)  # at once, not when the iterator is collected
        if shutdown is not None:
            shutdown()


def _reporting(batches: Iterator[Batch]) -> Iterator[Batch]:
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


def _as_it_is(batch: Any) -> Any:
    """No tensors between processes: they would need shared memory, of which containers have little."""
    return batch


def _begin_worker(_: int) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which saves and ends its workers


def held_out_windows(sources: Sources, settings: PretrainingSettings) -> dict[str, list[Window]]:
    """Windows of each source that training never sees, always the same ones; sources without any are missing.

    Labelled: records of the train split that were set aside, each once or more at random places. Archives: the last
    15 %. Simulated: seeds of their own.
    """
    found: dict[str, list[Window]] = {}
    n = settings.judged_windows
    for number, labelled in enumerate(sources.labelled):
        rng = np.random.default_rng([settings.seed, VALIDATION, 0, number])
        records = labelled.side(held_out=True)
        picked = [records[i % len(records)] for i in range(min(n, 3 * len(records)))]
        scenes = [labelled.cut(rng, record, WINDOW_SAMPLES, anywhere=False) for record in picked]
        found[labelled.name] = _windows(scenes, labelled.name)
    for number, archive in enumerate(sources.archives):
        rng = np.random.default_rng([settings.seed, VALIDATION, 1, number])
        minutes = sum(p.n_samples - p.first_held_out for p in archive.pieces) / WINDOW_SAMPLES
        wanted = min(n, int(2 * minutes))
        drawn = [archive.draw(rng, settings.most_stations, WINDOW_SAMPLES, held_out=True) for _ in range(wanted)]
        found[archive.name] = _windows([scene for scene in drawn if scene is not None], archive.name)
    rng = np.random.default_rng([settings.seed, VALIDATION, 2])
    sizes = [1 + k % min(6, settings.most_stations) for k in range(n)]
    simulated = [sources.simulator.draw(rng, size, WINDOW_SAMPLES) for size in sizes]
    found[sources.simulator.name] = _windows(simulated, sources.simulator.name)
    return {name: windows for name, windows in found.items() if windows}


def _windows(scenes: list[Scene], name: str) -> list[Window]:
    made = (as_window(scene, f"{name}@{k}") for k, scene in enumerate(scenes))
    return [window for window in made if window.station_ids]
