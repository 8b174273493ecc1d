"""Data sets in SeisBench's format (Woollam et al. 2022, doi 10.1785/0220210324): metadata CSV and waveforms HDF5.

A set is a folder with `metadata.csv` and `waveforms.hdf5`, or several such pairs (`metadata<chunk>.csv` and
`waveforms<chunk>.hdf5`). A row of the metadata is one record: a trace name, which is a data set in the HDF5 group
`data`, or a place in a block of many (`bucket$row,:components,:samples`). Components, their order, the order of the
dimensions and the sampling rate stand in the row or in the group `data_format`. Read with h5py, without seisbench.
"""

from __future__ import annotations

import csv
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.errors import CampaignError, PhasenoPeftError

if TYPE_CHECKING:
    from obspy import Stream, Trace

HDF5_HEAD = b"\x89HDF\r\n\x1a\n"
FIT_FOR_CODES = "ENZ12345UVWRTXY"
"""Component letters of ground motion; others (H, a hydrophone's pressure) are left out of streams."""
_MAX_SAMPLES_PER_BYTE, _FREE_SAMPLES = 8, 100_000_000
"""More samples than so many a byte of the file, beyond the free ones, are a lie of its header."""
_LONGEST_WORD = 1000
_REFERENCE_BYTES = 16
"""Of a text of variable length: its own length, the place of its heap and its number there."""
_GIVE_THE_SET = "Give the folder of a set in SeisBench's format, with metadata.csv and waveforms.hdf5."


@dataclass(frozen=True, slots=True)
class Chunk:
    """One pair of files of a set."""

    metadata: Path
    waveforms: Path


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the metadata."""

    line: int
    name: str
    """trace_name: where the samples lie."""
    rate_hz: float
    order: str
    """A letter a component, in the order of the samples, for example "ZNE"."""
    cells: Mapping[str, str]
    """All columns; an empty cell is an empty string."""

    def number(self, column: str) -> float | None:
        """A finite number, or None for an empty cell."""
        return finite_number(self.cells.get(column))


def finite_number(text: Any) -> float | None:
    """A finite number, or None for anything else."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


def set_folder(path: Any) -> Path | None:
    """The folder of the set that a path names, by itself or by one of its waveform files; None where it is none."""
    if not isinstance(path, str | Path):
        return None
    path = Path(path)
    if path.is_dir():
        return path if any(metadata_of(file) is not None for file in path.glob("waveforms*.hdf5")) else None
    return path.parent if metadata_of(path) is not None else None


def metadata_of(waveforms: Path) -> Path | None:
    """The metadata that lie beside a set's HDF5 file; None where it is no such file."""
    if not (waveforms.name.startswith("waveforms") and waveforms.suffix == ".hdf5" and waveforms.is_file()):
        return None
    metadata = waveforms.with_name(_beside(waveforms))
    return metadata if metadata.is_file() else None


def _beside(waveforms: Path) -> str:
    """Name of the metadata of an HDF5 file."""
    return f"metadata{waveforms.stem.removeprefix('waveforms')}.csv"


def chunks_of(folder: Path) -> list[Chunk]:
    """The pairs of files of a set, those that its file `chunks` lists or else all. Raises `CampaignError`."""
    listed = folder / "chunks"
    names = listed.read_text(encoding="utf-8").split() if listed.is_file() else []
    metadata = [folder / f"metadata{name}.csv" for name in names] or sorted(folder.glob("metadata*.csv"))
    if not metadata:
        raise CampaignError(f"{folder}: holds no metadata.csv. {_GIVE_THE_SET}")
    found = [Chunk(path, path.with_name(f"waveforms{path.stem.removeprefix('metadata')}.hdf5")) for path in metadata]
    for chunk in found:
        for path, other in ((chunk.metadata, "the file chunks lists it"), (chunk.waveforms, chunk.metadata.name)):
            if not path.is_file():
                why = other if path == chunk.metadata else f"{other} describes it"
                raise CampaignError(f"{path}: no such file, but {why}. Fetch the set again.")
    return found


def open_hdf5(path: Path) -> Any:
    """An HDF5 file, for reading. Raises `PhasenoPeftError` where h5py is not installed, `CampaignError` if damaged."""
    h5py = h5py_for(path, "reading")
    try:
        file = h5py.File(path, "r")
        file["data"]
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise CampaignError(f"{path}: not SeisBench waveforms ({error}). Fetch the set again.") from error
    return file


def h5py_for(path: Path, doing: str) -> Any:
    """The module h5py. Raises `PhasenoPeftError` where it is not installed."""
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise PhasenoPeftError(
            f"{path}: {doing} HDF5 needs h5py, which is not installed. Install the extra: pip install "
            "'phaseno-peft[datasets]'."
        ) from error


class SetWaveforms:
    """Samples of a set's HDF5 files, which stay open until `close`."""

    def __init__(self) -> None:
        self._files: dict[Path, Any] = {}
        self._formats: dict[Path, dict[str, Any]] = {}

    def __enter__(self) -> SetWaveforms:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files; the next reading opens them again."""
        for file in self._files.values():
            file.close()
        self._files, self._formats = {}, {}

    def data_format(self, path: Path) -> dict[str, Any]:
        """What the group `data_format` says, its words as str; empty where there is none."""
        if path not in self._files:
            self._files[path] = open_hdf5(path)
            self._formats[path] = _words(path, self._files[path])
        return self._formats[path]

    def shape(self, path: Path, name: str, order: str) -> tuple[int, int]:
        """(components, samples) of a record. Raises `CampaignError` as `read` does."""
        dimensions, stored = self._stored(path, name)
        shape = tuple(
            len(range(*piece.indices(length)))
            for piece, length in zip(stored.pieces, stored.block.shape[stored.skipped :], strict=True)
        )
        first, second = shape
        return (first, second) if _components_first(path, name, order, shape, dimensions) else (second, first)

    def read(self, path: Path, name: str, order: str) -> NDArray[Any]:
        """Samples [component in the order of `order`, sample] as they are stored.

        Raises `CampaignError` for a record that is not there or has not as many components as `order` has letters.
        """
        dimensions, stored = self._stored(path, name)
        try:
            found = np.asarray(stored.block[(*stored.row, *stored.pieces)])
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise CampaignError(f"{path}: record {name} cannot be read ({error}). Fetch the set again.") from error
        return found if _components_first(path, name, order, found.shape, dimensions) else found.T

    def _stored(self, path: Path, name: str) -> tuple[str, _Stored]:
        """(the declared order of the dimensions C and W, or nothing; where the record lies)."""
        data_format = self.data_format(path)
        block, _, place = name.partition("$")
        try:
            found = _inside(self._files[path], self._files[path]["data"][block])
            row: tuple[int, ...] = ()
            pieces: tuple[slice, ...] = (slice(None), slice(None))
            if place:
                first, *others = place.split(",")
                row, pieces = (int(first),), tuple(_piece(part) for part in others)
                if not 0 <= row[0] < found.shape[0]:
                    raise IndexError(f"row {row[0]} of {found.shape[0]}")
            if found.dtype.kind not in "iuf" or len(found.shape) != len(row) + 2 or len(pieces) != 2:
                raise ValueError(f"it is {found.dtype} {list(found.shape)}")
        except (AttributeError, KeyError, ValueError, IndexError, TypeError, OSError, RuntimeError) as error:
            raise CampaignError(
                f"{path}: no waveform {name!r}, but {_beside(path)} lists it ({error}). Fetch the set again."
            ) from error
        declared = str(data_format.get("dimension_order", "")).upper().replace("N", "")
        return declared, _Stored(found, row, pieces, len(row))


def _inside(file: Any, found: Any) -> Any:
    """`found`, a data set that lies in this file alone. Raises `ValueError` for others, and for sizes it cannot have.

    HDF5 knows links to other files and data sets whose samples are any file's bytes: somebody else's set could name
    yours.
    """
    if found.file.filename != file.filename or getattr(found, "external", None) or getattr(found, "is_virtual", False):
        raise ValueError("it takes its samples from another file, which could be any file of yours")
    if found.size > max(_FREE_SAMPLES, _MAX_SAMPLES_PER_BYTE * Path(file.filename).stat().st_size):
        raise ValueError(f"it announces {found.size} samples, which this file cannot hold")
    return found


@dataclass(frozen=True, slots=True)
class _Stored:
    """A data set, the row of it that counts, and the parts of the other two dimensions."""

    block: Any
    row: tuple[int, ...]
    pieces: tuple[slice, ...]
    skipped: int


def _piece(text: str) -> slice:
    first, _, last = text.strip().partition(":")
    return slice(int(first) if first else None, int(last) if last else None)


def _components_first(path: Path, name: str, order: str, shape: tuple[int, ...], declared: str) -> bool:
    """True for [component, sample]; undeclared orders follow from the number of components."""
    dimensions = declared or ("CW" if shape[0] == len(order) else "WC")
    if dimensions not in ("CW", "WC"):
        raise CampaignError(f"{path}: dimension_order is {declared!r}. Known are CW and WC, with or without an N.")
    if shape[dimensions.index("C")] != len(order):
        raise CampaignError(
            f"{path}: {name} is {list(shape)} in the order {dimensions}, but its component order is {order!r}. "
            "Correct trace_component_order, or dimension_order in data_format."
        )
    return dimensions == "CW"


def rows_of(chunk: Chunk, waveforms: SetWaveforms) -> Iterator[Row]:
    """The rows of one pair of files, in their order. Raises `CampaignError` naming the line of one without a rate."""
    common = waveforms.data_format(chunk.waveforms)
    order = str(common.get("component_order", "ZNE"))
    with chunk.metadata.open(newline="", encoding="utf-8-sig", errors="replace") as text:
        table = csv.DictReader(text)
        try:
            if "trace_name" not in (table.fieldnames or ()):
                raise CampaignError(f"{chunk.metadata}: lacks the column trace_name. {_GIVE_THE_SET}")
            for cells in table:
                period_s = finite_number(cells.get("trace_dt_s"))
                rate_hz = (
                    finite_number(cells.get("trace_sampling_rate_hz"))
                    or (1 / period_s if period_s else None)
                    or finite_number(common.get("sampling_rate"))
                )
                name = cells["trace_name"] or ""
                if rate_hz is None or not rate_hz > 0:
                    raise CampaignError(
                        f"{chunk.metadata}: line {table.line_num}: {name} has sampling rate {rate_hz} Hz. Give "
                        "trace_sampling_rate_hz for every record."
                    )
                components = (cells.get("trace_component_order") or order).strip()
                known = {key: value or "" for key, value in cells.items() if isinstance(key, str)}
                yield Row(table.line_num, name, rate_hz, components, known)
        except csv.Error as error:  # a NUL, or a field of more than 131,072 characters: an unclosed quote
            raise CampaignError(
                f"{chunk.metadata}: line {table.line_num}: not a table ({error}). Check it for a stray quote."
            ) from error


@dataclass(frozen=True, slots=True)
class SetRecord:
    """Where one record of a set lies, and what its traces are called; components of ground motion only."""

    path: Path
    name: str
    order: str
    rate_hz: float
    start_ns: int
    network: str
    station: str
    location: str
    band: str

    def n_samples(self, waveforms: SetWaveforms) -> int:
        """Of each component."""
        return waveforms.shape(self.path, self.name, self.order)[1]

    def traces(self, waveforms: SetWaveforms, *, headers_only: bool = False) -> Iterator[Trace]:
        """One trace a component."""
        from obspy import Trace, UTCDateTime

        codes = {"network": self.network, "station": self.station, "location": self.location}
        header = {**codes, "starttime": UTCDateTime(ns=self.start_ns), "sampling_rate": self.rate_hz}
        samples = None if headers_only else waveforms.read(self.path, self.name, self.order)
        n_samples = self.n_samples(waveforms) if samples is None else 0
        for number, component in enumerate(self.order.upper()):
            if component in FIT_FOR_CODES:
                header["channel"] = self.band + component
                if samples is None:
                    yield Trace(header={**header, "npts": n_samples})
                else:
                    yield Trace(np.ascontiguousarray(samples[number]), dict(header))


def records_of(path: Path, waveforms: SetWaveforms) -> Iterator[SetRecord]:
    """Every record of one HDF5 file of a set.

    Raises `CampaignError` for rows without a start time, a station code or a waveform, naming the line.
    """
    metadata = metadata_of(path)
    if metadata is None:
        raise CampaignError(f"{path}: HDF5 without its metadata.csv beside it. {_GIVE_THE_SET}")
    is_empty = True
    for row in rows_of(Chunk(metadata, path), waveforms):
        is_empty = False
        where = f"{metadata}: line {row.line}: {row.name}"
        codes, start_ns = _codes(row, where), int(_start(row, where).ns)
        band = re.sub(r"[^A-Z0-9]", "", row.cells.get("trace_channel", "").upper())[:2]
        yield SetRecord(path, row.name, row.order, row.rate_hz, start_ns, **codes, band=band)
    if is_empty:
        raise CampaignError(f"{metadata}: lists no record. {_GIVE_THE_SET}")


def stream_of(path: Path, *, headers_only: bool = False) -> Stream:
    """All records of one HDF5 file of a set. Raises as `records_of` does."""
    from obspy import Stream

    with SetWaveforms() as waveforms:
        return Stream(
            [
                trace
                for record in records_of(path, waveforms)
                for trace in record.traces(waveforms, headers_only=headers_only)
            ]
        )


def _codes(row: Row, where: str) -> dict[str, str]:
    station = row.cells.get("station_code", "").strip()
    if not station:
        raise CampaignError(f"{where} names no station. Fill the column station_code.")
    location = row.cells.get("station_location_code", "").strip()
    return {
        "network": row.cells.get("station_network_code", "").strip(),
        "station": station,
        "location": "" if location == "--" else location,
    }


def _start(row: Row, where: str) -> Any:
    from obspy import UTCDateTime

    text = re.sub(r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3", row.cells.get("trace_start_time", "").strip())
    try:
        if not re.match(r"\d{4}-\d\d-\d\d", text):
            raise ValueError("no date")
        return UTCDateTime(text)
    except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
        raise CampaignError(
            f"{where} has trace_start_time {text!r}: records of one event cannot be brought together without it. "
            "Fill it, or use the set with `phaseno-peft pretrain`, which needs no times."
        ) from error


def _longest_text(word: Any, path: Path) -> int:
    """Letters of the longest text of variable length in a data set, which HDF5 makes room for before it looks for them.

    In the file stand, for each, 4 bytes of length and 12 that say where its letters are. Raises `ValueError` where that
    is not in one piece.
    """
    if word.dtype.kind != "O" or not word.size:
        return 0
    offset = word.id.get_offset()
    if offset is None:
        raise ValueError("its words are in chunks or compact; write them as h5py does by itself")
    with path.open("rb") as raw:
        raw.seek(offset)
        references = raw.read(_REFERENCE_BYTES * word.size)
    return max(int.from_bytes(references[i : i + 4], "little") for i in range(0, len(references), _REFERENCE_BYTES))


def _words(path: Path, file: Any) -> dict[str, Any]:
    try:
        found = {}
        for key, word in file.get("data_format", {}).items():
            if _inside(file, word).size > _LONGEST_WORD or _longest_text(word, path) > _LONGEST_WORD:
                raise ValueError(f"{key} has more than {_LONGEST_WORD} values or letters")
            found[key] = word[()]
    except (OSError, RuntimeError, AttributeError, TypeError, ValueError) as error:
        raise CampaignError(f"{path}: its data_format cannot be read ({error}). Fetch the set again.") from error
    for key, value in found.items():
        if isinstance(value, np.ndarray):
            value = "".join(x.decode() if isinstance(x, bytes) else str(x) for x in value.ravel().tolist())
        found[key] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return found
