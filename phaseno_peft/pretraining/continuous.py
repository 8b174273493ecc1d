"""Continuous records with a teacher's labels: soft probabilities, or cleaned pseudo-labels.

A folder with `waveforms/` and `stations.xml` (or `stations.csv`). The last 15 % of its time is held out for validation.
Prepared samples lie in memory-mapped files of a scratch folder, so that all worker processes share them.
"""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.campaign import Recording, StationTable, prepare_recordings, read_stations, read_waveforms
from phaseno_peft.campaign.coordinates import local_km, scaled_coordinates
from phaseno_peft.campaign.raw_window import (
    Arrival,
    RawWindow,
    choose_stations,
    noise_rms,
    onset_rms,
)
from phaseno_peft.campaign.windows import free_intervals
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES, WINDOW_SAMPLES, Preprocessing
from phaseno_peft.errors import CampaignError
from phaseno_peft.pretraining.teachers import RecordingTeacher, TeacherLabels
from phaseno_peft.simulation.own_noise import SHORTEST_S

HELD_OUT_PART = 0.15
"""The last part of an archive's time: never trained on."""
ARRIVAL_PART = 0.8
"""Part of the windows that hold an arrival, where there are any."""
NOISE_BEFORE_PICK_S, NOISE_AFTER_PICK_S = 5.0, 20.0
"""Noise is taken this far from the teacher's picks, ambiguous ones included."""
SHORTEST_NOISE_SAMPLES = round(SHORTEST_S * Preprocessing().network_rate_hz)
"""Event-free pieces this long are noise: the least that the simulator takes."""
DRAW_ATTEMPTS = 8


@dataclass(frozen=True)
class ContinuousRecord:
    """One prepared recording of a network, without a break in time, and the teacher's picks."""

    name: str
    folder: Path
    """Of samples.npy [station, component, sample] float32, recorded.npy bool and, perhaps, soft.npy float16."""
    coordinates_km: NDArray[np.float64]
    first_held_out: int
    """Samples from here on are held out."""
    n_samples: int
    station: NDArray[np.intp]
    phase: NDArray[np.intp]
    sample: NDArray[np.float64]
    """[pick] what the teacher picked, sorted by time."""
    is_label: NDArray[np.bool_]
    """[pick] False where the pick is ambiguous."""
    is_soft: bool

    @cached_property
    def samples(self) -> NDArray[np.float32]:
        return np.asarray(np.load(self.folder / "samples.npy", mmap_mode="r"))

    @cached_property
    def recorded(self) -> NDArray[np.bool_]:
        return np.asarray(np.load(self.folder / "recorded.npy", mmap_mode="r"))

    @cached_property
    def soft(self) -> NDArray[np.float16] | None:
        return np.asarray(np.load(self.folder / "soft.npy", mmap_mode="r")) if self.is_soft else None

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def side(self, *, held_out: bool) -> tuple[int, int]:
        """Half-open span of samples."""
        return (self.first_held_out, self.n_samples) if held_out else (0, self.first_held_out)

    def noise_intervals(self, row: int) -> list[tuple[int, int]]:
        """Training intervals without a label on the network and without any pick on this station."""
        picks = self.sample[self.is_label | (self.station == row)].tolist()
        before, after = NOISE_BEFORE_PICK_S * NETWORK_RATE_HZ, NOISE_AFTER_PICK_S * NETWORK_RATE_HZ
        busy = [(at - before, at + after) for at in picks]
        return free_intervals(busy, self.first_held_out, SHORTEST_NOISE_SAMPLES)

    def raw_window(self, kind: str, first: int, n_samples: int) -> RawWindow:
        """All stations from a sample on; ambiguous picks are arrivals with `snr` 0, so that they are masked."""
        span = slice(first, first + n_samples)
        samples, recorded = np.array(self.samples[..., span]), np.array(self.recorded[..., span])
        near = np.flatnonzero((self.sample > first - 200) & (self.sample < first + n_samples + 200))
        arrivals = []
        for i in near:
            row, at = int(self.station[i]), float(self.sample[i]) - first
            before = noise_rms(samples[row], at)
            ratio = onset_rms(samples[row], at) / before if before > 0 else 3.0
            snr = max(ratio, 2.0) if self.is_label[i] else 0.0
            arrivals.append(Arrival(row, int(self.phase[i]), at, snr))
        soft = None if self.soft is None else np.array(self.soft[..., span], np.float32)
        known = np.ones((len(samples), len(PHASES), n_samples), bool)
        return RawWindow(kind, samples, recorded, self.coordinates_km, tuple(arrivals), known, soft)

    def ambiguous_rows(self, first: int, n_samples: int) -> set[int]:
        """Stations with an ambiguous pick in a window."""
        here = ~self.is_label & (self.sample >= first) & (self.sample < first + n_samples)
        return set(self.station[here].tolist())


@dataclass(frozen=True)
class ContinuousSet:
    """All recordings of one archive of continuous records."""

    name: str
    records: tuple[ContinuousRecord, ...]
    teacher: str
    findings: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: str | Path, teacher: RecordingTeacher, scratch: Path) -> ContinuousSet:
        """Prepare an archive and ask the teacher. Raises `CampaignError` for one without a usable 30 s to train on."""
        folder = Path(folder)
        streams, table = read_waveforms(_waveforms(folder)), read_stations(_stations(folder))
        prepared, findings = prepare_recordings(streams, table, Preprocessing())
        name = folder.resolve().name
        recordings = [r for r in prepared if r.n_samples >= 2]
        ends = np.cumsum([r.n_samples for r in recordings])
        cut = int((1 - HELD_OUT_PART) * (ends[-1] if len(ends) else 0))
        records = []
        for number, (recording, end) in enumerate(zip(recordings, ends, strict=True)):
            labels = teacher.label(recording, table)
            first_held_out = int(np.clip(cut - (end - recording.n_samples), 0, recording.n_samples))
            target = scratch / f"{name}-{zlib.crc32(str(folder.resolve()).encode()):08x}-{number}"
            records.append(_written(recording, table, labels, first_held_out, target))
        longest = max((p.first_held_out for p in records), default=0)
        if longest < WINDOW_SAMPLES or not any(len(_starts(p, WINDOW_SAMPLES)) for p in records):
            raise CampaignError(
                f"{folder}: no usable stretch of {WINDOW_SAMPLES / NETWORK_RATE_HZ:g} s to train on: the longest of "
                f"{len(records)} pieces has {longest / NETWORK_RATE_HZ:.0f} s with a recording station before the "
                f"held-out last {HELD_OUT_PART:.0%}. Give longer records, or leave the archive out."
            )
        notes = tuple(f"{name}: {finding.text}" for finding in findings if finding.severity == "warning")
        return cls(name, tuple(records), teacher.name, notes)

    @property
    def most_stations(self) -> int:
        return max(len(p.coordinates_km) for p in self.records)

    @property
    def station_minutes(self) -> float:
        """What may be trained on, network's time."""
        samples = sum(len(p.coordinates_km) * p.first_held_out for p in self.records)
        return samples / NETWORK_RATE_HZ / 60

    def describe(self) -> dict[str, Any]:
        """What it is, in plain JSON types: for the card, and to notice another archive or teacher on resuming."""
        n_labels = {
            phase: int(sum(np.sum(p.is_label & (p.phase == j) & (p.sample < p.first_held_out)) for p in self.records))
            for j, phase in enumerate(PHASES)
        }
        ambiguous = int(sum(np.sum(~p.is_label & (p.sample < p.first_held_out)) for p in self.records))
        return {
            "kind": "continuous archive",
            "name": self.name,
            "teacher": self.teacher,
            "labels": "soft" if any(p.is_soft for p in self.records) else "picks",
            "stations": self.most_stations,
            "train_minutes": round(sum(p.first_held_out for p in self.records) / NETWORK_RATE_HZ / 60, 2),
            "held_out_minutes": round(
                sum(p.n_samples - p.first_held_out for p in self.records) / NETWORK_RATE_HZ / 60, 2
            ),
            "picks": n_labels,
            "ambiguous_picks": ambiguous,
        }

    def draw(
        self, rng: np.random.Generator, stations: int, n_samples: int, *, held_out: bool = False
    ) -> RawWindow | None:
        """Up to so many stations of a random moment; None where none was found in a few attempts.

        Stations with an ambiguous pick in the window are left out, and the window where that is more than half of
        them. With soft labels nothing is ambiguous.
        """
        starts = [_starts(p, n_samples, held_out=held_out) for p in self.records]
        n_starts = np.array([len(s) for s in starts], float)
        if not n_starts.sum():
            return None
        for _ in range(DRAW_ATTEMPTS):
            k = int(rng.choice(len(self.records), p=n_starts / n_starts.sum()))
            record, span = self.records[k], starts[k]
            first = int(rng.integers(span.start, span.stop))
            at = record.sample[
                (record.sample >= span.start) & (record.sample < span.stop + n_samples) & record.is_label
            ]
            if len(at) and rng.random() < ARRIVAL_PART:
                first = int(rng.choice(at)) - int(rng.integers(50, n_samples - 50))
                first = min(max(first, span.start), span.stop - 1)
            recorded = record.recorded[..., first : first + n_samples].any(axis=1).sum(axis=-1) >= n_samples // 2
            alive = np.flatnonzero(recorded)
            ambiguous = record.ambiguous_rows(first, n_samples) if not record.is_soft else set()
            usable = [int(row) for row in alive if int(row) not in ambiguous]
            if usable and 2 * len(usable) >= len(alive):
                rows = rng.permutation(usable)[:stations]
                return choose_stations(record.raw_window(self.name, first, n_samples), rows)
        return None

    def noise(self, rng: np.random.Generator, most: int = 64) -> list[NDArray[np.float32]]:
        """Records [3, sample] of single stations from the event-free part that may be trained on, at most so many."""
        found = []
        for record in self.records:
            for row in range(len(record.coordinates_km)):
                for first, last in record.noise_intervals(row):
                    last = min(last, first + 10 * WINDOW_SAMPLES)
                    if record.recorded[row, 2, first:last].all():
                        found.append(np.array(record.samples[row, :, first:last]))
        chosen = rng.permutation(len(found))[:most]
        return [found[int(i)] for i in chosen]


def _starts(record: ContinuousRecord, n_samples: int, *, held_out: bool = False) -> range:
    """First samples of windows that lie on one side."""
    first, last = record.side(held_out=held_out)
    return range(first, max(first, last - n_samples + 1))


def _written(
    recording: Recording, table: StationTable, labels: TeacherLabels, first_held_out: int, folder: Path
) -> ContinuousRecord:
    arrays = {"samples": recording.samples, "recorded": recording.recorded}
    if labels.soft is not None:
        arrays["soft"] = labels.soft.astype(np.float16)
    try:
        folder.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
    except OSError as error:
        megabytes = sum(array.nbytes for array in arrays.values()) / 1e6
        raise CampaignError(
            f"{folder}: the prepared records of {recording.name} ({megabytes:.0f} MB) cannot be written ({error}). "
            "Make room, or set TMPDIR to a folder that has it."
        ) from error
    units = scaled_coordinates(recording.stations, table.frame(), 1.0)
    order = np.argsort(labels.sample, kind="stable")
    return ContinuousRecord(
        name=recording.name,
        folder=folder,
        coordinates_km=local_km(units),
        first_held_out=first_held_out,
        n_samples=recording.n_samples,
        station=labels.station[order],
        phase=labels.phase[order],
        sample=labels.sample[order],
        is_label=labels.is_label[order],
        is_soft=labels.soft is not None,
    )


def _waveforms(folder: Path) -> Path:
    if not folder.is_dir():
        raise CampaignError(f"{folder}: no such folder. Give an archive with waveforms/ and stations.xml in it.")
    return folder / "waveforms" if (folder / "waveforms").is_dir() else folder


def _stations(folder: Path) -> Path:
    for name in ("stations.xml", "stations.csv"):
        if (folder / name).is_file():
            return folder / name
    raise CampaignError(f"{folder}: holds neither stations.xml nor stations.csv. Put the stations' coordinates there.")
