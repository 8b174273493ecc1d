"""Continuous records with what a teacher says of them: soft probabilities, or cleaned pseudo-labels.

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
from phaseno_peft.campaign.windows import free_intervals
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES, WINDOW_SAMPLES, Preprocessing
from phaseno_peft.errors import CampaignError
from phaseno_peft.pretraining.raw_window import Arrival, Scene, choose_stations, loudness, quietness
from phaseno_peft.pretraining.teachers import ArchiveTeacher, Said
from phaseno_peft.simulation.own_noise import SHORTEST_S

HELD_OUT = 0.15
"""The last part of an archive's time: never trained on."""
AT_AN_ARRIVAL = 0.8
"""Part of the windows that hold an arrival, where there are any."""
QUIET_BEFORE_S, QUIET_AFTER_S = 5.0, 20.0
"""Noise keeps this distance from what the teacher picked, sure or not."""
SHORTEST_NOISE = round(SHORTEST_S * Preprocessing().network_rate_hz)
"""Event-free pieces this long, in samples, are noise: the least that the simulator takes."""
ATTEMPTS = 8


@dataclass(frozen=True)
class Piece:
    """One unbroken span of records of a network, prepared."""

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
    taught: NDArray[np.bool_]
    """[pick] False where it is ambiguous."""
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

    def quiet(self, row: int) -> list[tuple[int, int]]:
        """Training intervals in which the teacher taught nothing on the network and picked nothing on this station."""
        picks = self.sample[self.taught | (self.station == row)].tolist()
        before, after = QUIET_BEFORE_S * NETWORK_RATE_HZ, QUIET_AFTER_S * NETWORK_RATE_HZ
        busy = [(at - before, at + after) for at in picks]
        return free_intervals(busy, self.first_held_out, SHORTEST_NOISE)

    def scene(self, kind: str, first: int, n_samples: int) -> Scene:
        """All stations from a sample on; ambiguous picks are arrivals that drowned."""
        span = slice(first, first + n_samples)
        samples, recorded = np.array(self.samples[..., span]), np.array(self.recorded[..., span])
        near = np.flatnonzero((self.sample > first - 200) & (self.sample < first + n_samples + 200))
        arrivals = []
        for i in near:
            row, at = int(self.station[i]), float(self.sample[i]) - first
            quiet = quietness(samples[row], at)
            snr = max(loudness(samples[row], at) / quiet if quiet > 0 else 3.0, 2.0) if self.taught[i] else 0.0
            arrivals.append(Arrival(row, int(self.phase[i]), at, snr))
        soft = None if self.soft is None else np.array(self.soft[..., span], np.float32)
        known = np.ones((len(samples), len(PHASES), n_samples), bool)
        return Scene(kind, samples, recorded, self.coordinates_km, tuple(arrivals), known, soft)

    def ambiguous_rows(self, first: int, n_samples: int) -> set[int]:
        """Stations with an ambiguous pick in a window."""
        here = ~self.taught & (self.sample >= first) & (self.sample < first + n_samples)
        return set(self.station[here].tolist())


@dataclass(frozen=True)
class Archive:
    """All pieces of one archive."""

    name: str
    pieces: tuple[Piece, ...]
    teacher: str
    findings: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: str | Path, teacher: ArchiveTeacher, scratch: Path) -> Archive:
        """Prepare an archive and ask the teacher. Raises `CampaignError` for one without a usable 30 s to train on."""
        folder = Path(folder)
        streams, table = read_waveforms(_waveforms(folder)), read_stations(_stations(folder))
        prepared, findings = prepare_recordings(streams, table, Preprocessing())
        name = folder.resolve().name
        recordings = [r for r in prepared if r.n_samples >= 2]
        ends = np.cumsum([r.n_samples for r in recordings])
        cut = int((1 - HELD_OUT) * (ends[-1] if len(ends) else 0))
        pieces = []
        for number, (recording, end) in enumerate(zip(recordings, ends, strict=True)):
            said = teacher.listen(recording, table)
            first_held_out = int(np.clip(cut - (end - recording.n_samples), 0, recording.n_samples))
            place = scratch / f"{name}-{zlib.crc32(str(folder.resolve()).encode()):08x}-{number}"
            pieces.append(_piece(recording, table, said, first_held_out, place))
        longest = max((p.first_held_out for p in pieces), default=0)
        if longest < WINDOW_SAMPLES or not any(len(_starts(p, WINDOW_SAMPLES)) for p in pieces):
            raise CampaignError(
                f"{folder}: no usable stretch of {WINDOW_SAMPLES / NETWORK_RATE_HZ:g} s to train on: the longest of "
                f"{len(pieces)} pieces has {longest / NETWORK_RATE_HZ:.0f} s with a recording station before the "
                f"held-out last {HELD_OUT:.0%}. Give longer records, or leave the archive out."
            )
        notes = tuple(f"{name}: {finding.text}" for finding in findings if finding.severity == "warning")
        return cls(name, tuple(pieces), teacher.name, notes)

    @property
    def most_stations(self) -> int:
        return max(len(p.coordinates_km) for p in self.pieces)

    @property
    def station_minutes(self) -> float:
        """What may be trained on, network's time."""
        samples = sum(len(p.coordinates_km) * p.first_held_out for p in self.pieces)
        return samples / NETWORK_RATE_HZ / 60

    def describe(self) -> dict[str, Any]:
        """What it is, in plain JSON types: for the card, and to notice another archive or teacher on resuming."""
        taught = {
            phase: int(sum(np.sum(p.taught & (p.phase == j) & (p.sample < p.first_held_out)) for p in self.pieces))
            for j, phase in enumerate(PHASES)
        }
        ambiguous = int(sum(np.sum(~p.taught & (p.sample < p.first_held_out)) for p in self.pieces))
        return {
            "kind": "continuous archive",
            "name": self.name,
            "teacher": self.teacher,
            "labels": "soft" if any(p.is_soft for p in self.pieces) else "picks",
            "stations": self.most_stations,
            "train_minutes": round(sum(p.first_held_out for p in self.pieces) / NETWORK_RATE_HZ / 60, 2),
            "held_out_minutes": round(
                sum(p.n_samples - p.first_held_out for p in self.pieces) / NETWORK_RATE_HZ / 60, 2
            ),
            "picks": taught,
            "ambiguous_picks": ambiguous,
        }

    def draw(self, rng: np.random.Generator, stations: int, n_samples: int, *, held_out: bool = False) -> Scene | None:
        """Up to so many stations of a random moment; None where none was found in a few attempts.

        Stations with an ambiguous pick in the window are left out, and the window where that is more than half of
        them. With soft labels nothing is ambiguous.
        """
        starts = [_starts(p, n_samples, held_out=held_out) for p in self.pieces]
        room = np.array([len(s) for s in starts], float)
        if not room.sum():
            return None
        for _ in range(ATTEMPTS):
            k = int(rng.choice(len(self.pieces), p=room / room.sum()))
            piece, span = self.pieces[k], starts[k]
            first = int(rng.integers(span.start, span.stop))
            at = piece.sample[(piece.sample >= span.start) & (piece.sample < span.stop + n_samples) & piece.taught]
            if len(at) and rng.random() < AT_AN_ARRIVAL:
                first = int(rng.choice(at)) - int(rng.integers(50, n_samples - 50))
                first = min(max(first, span.start), span.stop - 1)
            recorded = piece.recorded[..., first : first + n_samples].any(axis=1).sum(axis=-1) >= n_samples // 2
            alive = np.flatnonzero(recorded)
            bad = piece.ambiguous_rows(first, n_samples) if not piece.is_soft else set()
            fine = [int(row) for row in alive if int(row) not in bad]
            if fine and 2 * len(fine) >= len(alive):
                rows = rng.permutation(fine)[:stations]
                return choose_stations(piece.scene(self.name, first, n_samples), rows)
        return None

    def noise(self, rng: np.random.Generator, most: int = 64) -> list[NDArray[np.float32]]:
        """Records [3, sample] of single stations from the event-free part that may be trained on, at most so many."""
        found = []
        for piece in self.pieces:
            for row in range(len(piece.coordinates_km)):
                for first, last in piece.quiet(row):
                    last = min(last, first + 10 * WINDOW_SAMPLES)
                    if piece.recorded[row, 2, first:last].all():
                        found.append(np.array(piece.samples[row, :, first:last]))
        chosen = rng.permutation(len(found))[:most]
        return [found[int(i)] for i in chosen]


def _starts(piece: Piece, n_samples: int, *, held_out: bool = False) -> range:
    """First samples of windows that lie on one side."""
    first, last = piece.side(held_out=held_out)
    return range(first, max(first, last - n_samples + 1))


def _piece(recording: Recording, table: StationTable, said: Said, first_held_out: int, place: Path) -> Piece:
    arrays = {"samples": recording.samples, "recorded": recording.recorded}
    if said.soft is not None:
        arrays["soft"] = said.soft.astype(np.float16)
    try:
        place.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(place / f"{name}.npy", array)
    except OSError as error:
        megabytes = sum(array.nbytes for array in arrays.values()) / 1e6
        raise CampaignError(
            f"{place}: the prepared records of {recording.name} ({megabytes:.0f} MB) cannot be written ({error}). "
            "Make room, or set TMPDIR to a folder that has it."
        ) from error
    units = scaled_coordinates(recording.stations, table.frame(), 1.0)
    order = np.argsort(said.sample, kind="stable")
    return Piece(
        name=recording.name,
        folder=place,
        coordinates_km=local_km(units),
        first_held_out=first_held_out,
        n_samples=recording.n_samples,
        station=said.station[order],
        phase=said.phase[order],
        sample=said.sample[order],
        taught=said.taught[order],
        is_soft=said.soft is not None,
    )


def _waveforms(folder: Path) -> Path:
    if not folder.is_dir():
        raise CampaignError(f"{folder}: no such folder. Give an archive with waveforms/ and stations.xml in it.")
    return folder / "waveforms" if (folder / "waveforms").is_dir() else folder


def _stations(folder: Path) -> Path:
    for name in ("stations.xml", "stations.csv"):
        if (folder / name).is_file():
            return folder / name
    raise CampaignError(f"{folder}: holds neither stations.xml nor stations.csv. Put the stations' places there.")
