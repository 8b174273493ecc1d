"""Single-station records with labels in SeisBench's format (Woollam et al. 2022): metadata CSV and waveforms HDF5.

Understood: `metadata.csv` + `waveforms.hdf5`, chunked sets (`metadata<chunk>.csv` + `waveforms<chunk>.hdf5`), blocks of
traces (`bucket$row,:components,:samples`), one component order for all or one a trace, any sampling rate. Records are
prepared as everywhere (campaign-v1). Only the train split is used; a part of it is held out for validation, chosen by
the event (`source_id`) where there is one.
"""

from __future__ import annotations

import csv
import importlib
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
from phaseno_peft.campaign.station import Station
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES, Preprocessing
from phaseno_peft.errors import CampaignError, PhasenoPeftError

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
    _files: dict[Path, Any] = field(default_factory=dict, repr=False)
    _bytes: int = 0
    _kept: OrderedDict[str, tuple[NDArray[np.float32], NDArray[np.bool_], list[float | None]]] = field(
        default_factory=OrderedDict, repr=False
    )

    @classmethod
    def read(cls, folder: str | Path) -> SeisBenchSet:
        """Read the metadata of a set. Raises `CampaignError` where it is not one, or has no usable train record."""
        folder = Path(folder)
        pairs = [
            (path, path.with_name(path.name.replace("metadata", "waveforms", 1)).with_suffix(".hdf5"))
            for path in sorted(folder.glob("metadata*.csv"))
        ]
        if not pairs:
            raise CampaignError(
                f"{folder}: holds no metadata.csv. Give the folder of a set in SeisBench's format, with metadata.csv "
                "and waveforms.hdf5."
            )
        records: list[Record] = []
        left_out = {"other splits": 0, "labels outside their record": 0, "records without a label": 0}
        strays: list[str] = []
        for metadata, waveforms in pairs:
            if not waveforms.is_file():
                raise CampaignError(
                    f"{waveforms}: no such file, but {metadata.name} describes it. Fetch the set again."
                )
            records += _records(metadata, waveforms, left_out, strays)
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
        if record.file not in self._files:
            self._files[record.file] = open_hdf5(record.file)
        data = self._files[record.file]["data"]
        block, _, place = record.name.partition("$")
        try:
            found = data[block]
            if place:
                row, components, length = (part.strip(" :") for part in place.split(","))
                found = found[int(row)][: int(components), : int(length)]
            raw = np.asarray(found, np.float64)
        except (KeyError, ValueError, IndexError) as error:
            raise CampaignError(
                f"{record.file}: no waveform {record.name!r}, but metadata.csv lists it ({error}). Fetch the set again."
            ) from error
        raw = raw if raw.shape[0] == len(record.order) else raw.T
        if raw.ndim != 2 or raw.shape[0] != len(record.order):
            raise CampaignError(
                f"{record.file}: {record.name} is {list(np.shape(found))}, but its component order is {record.order!r}."
            )
        return np.nan_to_num(raw)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}, "_kept": OrderedDict(), "_bytes": 0}


def open_hdf5(path: Path) -> Any:
    """An HDF5 file, for reading. Raises `PhasenoPeftError` where h5py is not installed, `CampaignError` if damaged."""
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise PhasenoPeftError(
            f"{path}: reading HDF5 needs h5py, which is not installed. Install the extra: pip install "
            "'phaseno-peft[pretrain]'."
        ) from error
    try:
        file = h5py.File(path, "r")
        file["data"]
    except (OSError, KeyError) as error:
        raise CampaignError(f"{path}: not SeisBench waveforms ({error}). Fetch the set again.") from error
    return file


def _records(metadata: Path, waveforms: Path, left_out: dict[str, int], strays: list[str]) -> list[Record]:
    """Train records of one pair of files that have a label."""
    file = open_hdf5(waveforms)
    common = {key: file["data_format"][key][()] for key in file.get("data_format", {})}
    file.close()
    order = common.get("component_order", b"ZNE")
    order = order.decode() if isinstance(order, bytes) else str(order)
    found: list[Record] = []
    with metadata.open(newline="", encoding="utf-8-sig") as text:
        rows = csv.DictReader(text)
        columns = [
            (name, "ps".index(match[1][0].lower())) for name in rows.fieldnames or () if (match := _ARRIVAL.match(name))
        ]
        if "trace_name" not in (rows.fieldnames or ()) or not columns:
            raise CampaignError(
                f"{metadata}: lacks the columns trace_name and trace_p_arrival_sample (or trace_s_..., trace_Pg_...). "
                "Give metadata in SeisBench's format."
            )
        for row in rows:
            if (row.get("split") or "train").strip().lower() != "train":
                left_out["other splits"] += 1
                continue
            name = row["trace_name"]
            size = _number(row.get("trace_npts")) or np.inf
            arrivals: list[float | None] = [None, None]
            for column, phase in columns:
                sample = _number(row.get(column))
                if sample is None:
                    continue
                if not 0 <= sample < size:
                    left_out["labels outside their record"] += 1
                    strays.append(f"{name}: {column} is {sample:g} of {size:g} samples")
                    continue
                earlier = arrivals[phase]
                arrivals[phase] = sample if earlier is None else min(earlier, sample)
            if arrivals == [None, None]:
                left_out["records without a label"] += 1
                continue
            rate_hz = _number(row.get("trace_sampling_rate_hz")) or _number(common.get("sampling_rate"))
            if rate_hz is None or not rate_hz >= NETWORK_RATE_HZ / 10:
                raise CampaignError(
                    f"{metadata}: {name} has sampling rate {rate_hz} Hz. Give trace_sampling_rate_hz for every record."
                )
            components = (row.get("trace_component_order") or order).strip()
            held_out = zlib.crc32((row.get("source_id") or name).encode()) % 100 < HELD_OUT_PERCENT
            found.append(Record(waveforms, name, rate_hz, components, (arrivals[0], arrivals[1]), held_out))
    return found


def _number(text: Any) -> float | None:
    """A finite number, or None for an empty cell."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None
