"""Single-station records with labels of a set in SeisBench's format (`campaign/seisbench_files.py` reads it).

Records are prepared as everywhere (campaign-v1). Only the train split is used; a part of it is held out for validation,
chosen by the event (`source_id`) where there is one.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from obspy import Stream, Trace, UTCDateTime

from phaseno_peft.campaign import StationTable, prepare
from phaseno_peft.campaign.labels import known_samples
from phaseno_peft.campaign.raw_window import WEAKEST_SNR, Arrival, RawWindow, noise_rms, onset_rms
from phaseno_peft.campaign.seisbench_files import Chunk, SetWaveforms, chunks_of, rows_of
from phaseno_peft.campaign.station import Station
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES, Preprocessing
from phaseno_peft.errors import CampaignError

HELD_OUT_PERCENT = 12
"""Of the train split's events."""
CACHE_BYTES = 200_000_000
"""Prepared records that each process keeps."""
ANYWHERE = 0.25
"""Part of the windows that are cut anywhere; the others hold the P or the S."""
_ARRIVAL = re.compile(r"^trace_(p|pg|pn|p1|s|sg|sn|s1)_arrival_sample$", re.IGNORECASE)
_PLACE = StationTable([Station("XX.STA.", 0.0, 0.0, 0.0)])
_START = UTCDateTime(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the metadata."""

    file: Path
    name: str
    rate_hz: float
    order: str
    arrivals: tuple[float | None, float | None]
    """First P and first S in samples of the record, None where there is none."""
    held_out: bool


@dataclass
class SeisBenchSet:
    """The train split of one set. Waveforms are read when they are drawn, in whichever process draws them."""

    name: str
    records: tuple[Record, ...]
    left_out: dict[str, int]
    """Records of other splits, and labels that were dropped, for the card."""
    _sides: tuple[list[Record], list[Record]] = field(default_factory=lambda: ([], []), repr=False)
    _waveforms: SetWaveforms = field(default_factory=SetWaveforms, repr=False)
    _bytes: int = 0
    _kept: OrderedDict[str, tuple[NDArray[np.float32], NDArray[np.bool_], list[float | None]]] = field(
        default_factory=OrderedDict, repr=False
    )

    @classmethod
    def read(cls, folder: str | Path) -> SeisBenchSet:
        """Read the metadata of a set. Raises `CampaignError` where it is not one, or has no usable train record."""
        folder = Path(folder)
        records: list[Record] = []
        left_out = {"other splits": 0, "labels outside their record": 0, "records without a label": 0}
        strays: list[str] = []
        with SetWaveforms() as waveforms:
            for chunk in chunks_of(folder):
                records += _records(chunk, waveforms, left_out, strays)
        if not records:
            raise CampaignError(
                f"{folder}: no record of the train split has a P or S label inside its waveform "
                f"({left_out['other splits']} records of other splits"
                + (f"; outside is {strays[0]}" if strays else "")
                + "). Check the columns split and trace_p_arrival_sample of metadata.csv."
            )
        return cls(folder.resolve().name, tuple(records), {k: n for k, n in left_out.items() if n})

    @property
    def findings(self) -> list[str]:
        """What was left out, in sentences for the terminal."""
        return [f"{self.name}: {n} {what} left out" for what, n in self.left_out.items() if what != "other splits"]

    def __post_init__(self) -> None:
        """Divide the records once: sets have up to millions of them."""
        for record in self.records:
            self._sides[record.held_out].append(record)

    def side(self, *, held_out: bool) -> Sequence[Record]:
        """Records on one side."""
        return self._sides[held_out]

    def describe(self) -> dict[str, Any]:
        """What it is, in plain JSON types: for the card, and to notice another set on resuming."""
        digest = zlib.crc32("\n".join(f"{r.name} {r.arrivals}" for r in self.records).encode())
        return {
            "kind": "labelled records",
            "name": self.name,
            "train_records": len(self.side(held_out=False)),
            "held_out_records": len(self.side(held_out=True)),
            "digest": f"{digest:08x}",
            "left_out": dict(self.left_out),
        }

    def draw(self, rng: np.random.Generator, n_samples: int, *, held_out: bool = False) -> RawWindow:
        """A random piece of a random record: one station at the origin.

        A phase without a label is unknown from 1 s before the other phase's; a label is an arrival whatever its
        amplitude, until something is added.
        """
        side = self.side(held_out=held_out)
        return self.cut(rng, side[int(rng.integers(len(side)))], n_samples, anywhere=rng.random() < ANYWHERE)

    def cut(self, rng: np.random.Generator, record: Record, n_samples: int, *, anywhere: bool) -> RawWindow:
        """A piece of one record, anywhere, or so that it holds the first labelled phase and where it fits the last."""
        samples, recorded, times = self._prepared(record)
        labelled = [t for t in times if t is not None]
        size = samples.shape[-1]
        low, high = 0, max(0, size - n_samples)
        if not anywhere:
            margin = min(30, n_samples // 10)
            latest, earliest = int(min(labelled)) - margin, int(max(labelled)) - n_samples + margin
            low, high = max(low, min(earliest, latest)), min(high, max(latest, 0))
        first = int(rng.integers(low, max(low, high) + 1))
        piece = np.zeros((1, 3, n_samples), np.float32)
        mask = np.zeros((1, 3, n_samples), bool)
        end = min(size, first + n_samples)
        piece[0, :, : end - first], mask[0, :, : end - first] = samples[:, first:end], recorded[:, first:end]
        known = np.ones((1, len(PHASES), n_samples), bool)
        quiet = noise_rms(samples, min(labelled))
        arrivals = []
        for phase, time in enumerate(times):
            if time is None:
                other = [(t - first, t - first) for t in labelled]
                known[0, phase] = known_samples(n_samples, [], [], other)
                continue
            snr = onset_rms(samples, time) / quiet if quiet > 0 else 3.0
            arrivals.append(Arrival(0, phase, time - first, max(snr, 1.5 * WEAKEST_SNR)))
        return RawWindow(self.name, piece, mask, np.zeros((1, 2)), tuple(arrivals), known)

    def _prepared(self, record: Record) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[float | None]]:
        """Samples and mask [3, sample] at 100 Hz, and the arrivals in these samples."""
        if record.name in self._kept:
            self._kept.move_to_end(record.name)
            return self._kept[record.name]
        raw = self._raw(record)
        stream = Stream()
        for component, trace in zip(record.order, raw, strict=True):
            header = {"network": "XX", "station": "STA", "channel": f"HH{component}", "starttime": _START}
            if np.any(trace):
                stream.append(Trace(np.ascontiguousarray(trace), {**header, "sampling_rate": record.rate_hz}))
        if not stream:
            raise CampaignError(f"{record.file}: record {record.name} is all zero. Take it out of metadata.csv.")
        made = prepare(stream, _PLACE, Preprocessing(), record.name)
        times = [None if a is None else made.index_of(_START + a / record.rate_hz) for a in record.arrivals]
        found = made.samples[0], made.recorded[0], times
        self._kept[record.name] = found
        self._bytes += found[0].nbytes + found[1].nbytes
        while len(self._kept) > 1 and self._bytes > CACHE_BYTES:
            _, (samples, mask, _) = self._kept.popitem(last=False)
            self._bytes -= samples.nbytes + mask.nbytes
        return found

    def _raw(self, record: Record) -> NDArray[np.float64]:
        """[component in the file's order, sample]"""
        found = self._waveforms.read(record.file, record.name, record.order)
        return np.nan_to_num(np.asarray(found, np.float64))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_waveforms": SetWaveforms(), "_kept": OrderedDict(), "_bytes": 0}


def _records(chunk: Chunk, waveforms: SetWaveforms, left_out: dict[str, int], strays: list[str]) -> list[Record]:
    """Train records of one pair of files that have a label."""
    found: list[Record] = []
    columns: list[tuple[str, int]] | None = None
    for row in rows_of(chunk, waveforms):
        if columns is None:
            columns = [(name, "ps".index(m[1][0].lower())) for name in row.cells if (m := _ARRIVAL.match(name))]
            if not columns:
                raise CampaignError(
                    f"{chunk.metadata}: lacks the column trace_p_arrival_sample (or trace_s_..., trace_Pg_...). Give "
                    "metadata in SeisBench's format."
                )
        if (row.cells.get("split") or "train").strip().lower() != "train":
            left_out["other splits"] += 1
            continue
        size = row.number("trace_npts") or np.inf
        arrivals: list[float | None] = [None, None]
        for column, phase in columns:
            sample = row.number(column)
            if sample is None:
                continue
            if not 0 <= sample < size:
                left_out["labels outside their record"] += 1
                strays.append(f"{row.name}: {column} is {sample:g} of {size:g} samples")
                continue
            earlier = arrivals[phase]
            arrivals[phase] = sample if earlier is None else min(earlier, sample)
        if arrivals == [None, None]:
            left_out["records without a label"] += 1
            continue
        if not row.rate_hz >= NETWORK_RATE_HZ / 10:
            raise CampaignError(
                f"{chunk.metadata}: {row.name} has sampling rate {row.rate_hz} Hz. Give trace_sampling_rate_hz for "
                "every record."
            )
        held_out = zlib.crc32((row.cells.get("source_id") or row.name).encode()) % 100 < HELD_OUT_PERCENT
        found.append(Record(chunk.waveforms, row.name, row.rate_hz, row.order, (arrivals[0], arrivals[1]), held_out))
    return found
