"""Who labels continuous records: published probabilities, a file of picks, or a teacher of `phaseno_peft.labelling`.

Picks become labels where others support them (`phaseno_peft.labelling.coincide`); the rest are ambiguous, and their
stations are left out of the windows they lie in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from obspy import UTCDateTime

from phaseno_peft.campaign import Recording, StationTable, read_catalogue
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES, WINDOW_SAMPLES, BackboneDefaults
from phaseno_peft.errors import BackboneError, CampaignError
from phaseno_peft.picks.peaks import find_picks
from phaseno_peft.station_ids import station_fields

if TYPE_CHECKING:
    from phaseno_peft.labelling.teachers import PickerTeacher
    from phaseno_peft.picking import PickList

CLEAR_SOFT = 0.5
"""Soft probabilities that reach this are counted as picks, and are the labels validation looks at."""
AMBIGUOUS_PART = 1 / 3
"""A backbone's picks from this part of its threshold on are kept: below the threshold they are ambiguous."""
MIN_DISTANCE_SAMPLES = round(BackboneDefaults().min_distance_s * NETWORK_RATE_HZ)


@dataclass(frozen=True)
class TeacherLabels:
    """A teacher's picks of one recording, and perhaps its probabilities."""

    station: NDArray[np.intp]
    phase: NDArray[np.intp]
    sample: NDArray[np.float64]
    """[pick] row of the station, 0 P or 1 S, fractional sample."""
    is_label: NDArray[np.bool_]
    """[pick] False where the pick is ambiguous."""
    soft: NDArray[np.float32] | None = None
    """[station, phase, sample]"""


class RecordingTeacher(Protocol):
    """Anything that labels a recording."""

    @property
    def name(self) -> str:
        """For the card."""

    def label(self, recording: Recording, stations: StationTable) -> TeacherLabels:
        """Picks, and perhaps probabilities, of one recording at 100 Hz."""


@dataclass(frozen=True)
class PublishedProbabilities:
    """An .npz with, for each station code, `<code>_P` and `<code>_S` (uint8 or float), start_time and sampling_rate.

    Integers are divided by `scale` (255). The curves are taken as they are: those published with Ridgecrest 2019 peak
    on the onsets (median of 103 clear P: 0 ms).
    """

    path: Path

    @property
    def name(self) -> str:
        return f"published probabilities ({self.path.name})"

    def label(self, recording: Recording, stations: StationTable) -> TeacherLabels:  # noqa: ARG002  # a teacher's signature
        """Raises `CampaignError` for another rate, a missing phase, or stations that are not in the archive."""
        found = self._arrays()
        start, rate_hz = self._start_and_rate(found)
        if abs(rate_hz - NETWORK_RATE_HZ) > 1e-6:
            raise CampaignError(
                f"{self.path}: the teacher's probabilities are sampled at {rate_hz:g} Hz, the network works at "
                f"{NETWORK_RATE_HZ:g} Hz. Resample them, or give picks instead."
            )
        codes = {key[:-2] for key in found if key[-2:] in ("_P", "_S")}
        scale = float(found["scale"]) if "scale" in found else 255.0
        soft = np.zeros((len(recording.stations), len(PHASES), recording.n_samples), np.float32)
        any_station = False
        for row, station in enumerate(recording.stations):
            code = station_fields(station.station_id)[1]
            if code not in codes:
                continue
            any_station = True
            for j, phase in enumerate(PHASES):
                if f"{code}_{phase}" not in found:
                    raise CampaignError(
                        f"{self.path}: has no {code}_{phase}; a teacher must give both P and S of a station. "
                        "Leave the station out of the waveforms, or add the phase."
                    )
                curve = found[f"{code}_{phase}"]
                curve = curve / scale if curve.dtype.kind in "iu" else curve
                shift = round(recording.index_of(start))
                a, b = max(0, shift), min(recording.n_samples, shift + len(curve))
                if a < b:
                    soft[row, j, a:b] = curve[a - shift : b - shift]
        if not any_station:
            known = ", ".join(sorted(codes)) or "none"
            raise CampaignError(
                f"{self.path}: none of its stations ({known}) is in the archive, which has "
                f"{', '.join(recording.station_ids[:4])}. Give the probabilities of this archive."
            )
        rows, phases, samples = _peaks(soft, CLEAR_SOFT)
        return TeacherLabels(rows, phases, samples, np.ones(len(rows), bool), soft)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (OSError, ValueError) as error:
            raise CampaignError(f"{self.path}: not a readable .npz of probabilities ({error}).") from error

    def _start_and_rate(self, found: dict[str, NDArray[Any]]) -> tuple[UTCDateTime, float]:
        try:
            starts, rates = np.ravel(found["start_time"]), np.ravel(found["sampling_rate"])
            if len(set(starts.tolist())) != 1 or len(set(rates.tolist())) != 1:
                raise ValueError("stations differ in start or rate")
            return UTCDateTime(str(starts[0])), float(rates[0])
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise CampaignError(f"{self.path}: start_time or sampling_rate is missing or wrong ({error}).") from error


@dataclass(frozen=True)
class PicksFile:
    """A file of picks: QuakeML, for example of `phaseno-peft pseudo-label`, or the CSV of `phaseno-peft pick`.

    A catalogue's picks are labels as they are, and ambiguous where it rejects them; what it does not list counts as
    noise. Picks of a CSV are labels where others support them.
    """

    path: Path

    @property
    def name(self) -> str:
        return f"picks ({self.path.name})"

    def label(self, recording: Recording, stations: StationTable) -> TeacherLabels:
        """Raises `CampaignError` where no pick of the whole file is for a station of the archive."""
        if self.path.suffix.lower() == ".csv":
            from phaseno_peft.picking import PickList

            listed = PickList.from_csv(self.path)
            self._check([pick.trace_id for pick in listed], stations)
            return _with_support(listed, PickList(), recording, stations)
        picks = read_catalogue(self.path).picks
        self._check([pick.station_id for pick in picks], stations)
        rows = [(pick.station_id, pick.phase, pick.time, pick.usable) for pick in picks]
        return _labels_of(rows, recording, stations)

    def _check(self, station_ids: Sequence[str], stations: StationTable) -> None:
        if station_ids and all(stations.find(station_id) is None for station_id in station_ids):
            raise CampaignError(
                f"{self.path}: none of its {len(station_ids)} picks is for a station of the archive, the first is for "
                f"{station_ids[0]}. Give the picks of this archive."
            )


@dataclass(frozen=True)
class ModelTeacher:
    """A PhaseNO backbone, PhaseNet, STA/LTA or a model of SeisBench, as `phaseno-peft pseudo-label` takes them.

    Its picks are kept in files, and read from there from the first time on: so they are the same to the last digit in
    every stretch of a run.
    """

    model: str
    phasenet_weights: str | None = None
    device: str = "cpu"
    keep_in: Path | None = None
    """Folder for two CSV of picks a recording: the confident ones, and a backbone's ambiguous ones."""

    @property
    def name(self) -> str:
        return f"pseudo-labels of {Path(self.model).name}"

    def label(self, recording: Recording, stations: StationTable) -> TeacherLabels:
        """Raises `BackboneError` for a backbone of another window, and what `labelling.load_teacher` raises."""
        from phaseno_peft.picking import PickList

        files = [self.keep_in / f"{recording.name}{end}.csv" for end in ("", "-ambiguous")] if self.keep_in else []
        if not files:
            return _with_support(*self._pick(recording), recording, stations)
        if not all(file.is_file() for file in files):
            for file, picks in zip(files, self._pick(recording), strict=True):
                file.parent.mkdir(parents=True, exist_ok=True)
                picks.to_csv(file)
        confident, ambiguous = (PickList.from_csv(file) for file in files)  # a CSV rounds times and probabilities
        return _with_support(confident, ambiguous, recording, stations)

    def _pick(self, recording: Recording) -> tuple[PickList, PickList]:
        from phaseno_peft.campaign.run import Run
        from phaseno_peft.labelling.teachers import PickerTeacher, load_teacher
        from phaseno_peft.picking import PickList, picks_of

        teacher = load_teacher(self.model, phasenet_weights=self.phasenet_weights)
        if not isinstance(teacher, PickerTeacher):
            return picks_of(teacher.annotations([Run.of(recording)])), PickList()
        _check_window(self.model, teacher)
        picker = teacher.picker
        picker.backbone.to(self.device)
        sure_from = picker.backbone_thresholds
        low = {f"{phase}_threshold": AMBIGUOUS_PART * sure_from[phase] for phase in PHASES}
        picks = picks_of(teacher.annotations([Run.of(recording)]), **low)
        confident, ambiguous = PickList(creator=picks.creator), PickList(creator=picks.creator)
        for pick in picks:
            (confident if pick.probability >= sure_from[pick.phase] else ambiguous).append(pick)
        return confident, ambiguous


def _check_window(name: str, teacher: PickerTeacher) -> None:
    config = getattr(teacher.picker.backbone, "phaseno_config", None)
    if config is not None and config.window_samples != WINDOW_SAMPLES:
        raise BackboneError(
            f"teacher {name!r} has windows of {config.window_samples} samples, pre-training works with "
            f"{WINDOW_SAMPLES} at {NETWORK_RATE_HZ:g} Hz. Give a teacher of the same rate and length."
        )


def _with_support(
    confident: PickList, ambiguous: PickList, recording: Recording, stations: StationTable
) -> TeacherLabels:
    """The picks of one recording; labels are the confident ones that belong to an event."""
    from phaseno_peft.labelling import coincide

    own = [p for p in confident if stations.find(p.trace_id) is not None and recording.start <= p.time < recording.end]
    named = [dataclasses.replace(p, trace_id=_table_id(stations, p.trace_id)) for p in own]
    labels = {(p.trace_id, p.phase, p.time.ns) for event in coincide(named, stations) for p in event.picks}
    rows = [(p.trace_id, p.phase, p.time, (p.trace_id, p.phase, p.time.ns) in labels) for p in named]
    return _labels_of([*rows, *((p.trace_id, p.phase, p.time, False) for p in ambiguous)], recording, stations)


def _labels_of(
    rows: Sequence[tuple[str, str, UTCDateTime, bool]], recording: Recording, stations: StationTable
) -> TeacherLabels:
    """From (station id, phase, time, is a label), of this recording and others."""
    rows_by_id = {station_id: i for i, station_id in enumerate(recording.station_ids)}
    known = [(_table_id(stations, s), p, recording.index_of(t), label) for s, p, t, label in rows]
    inside = [(rows_by_id[s], PHASES.index(p), at, label) for s, p, at, label in known if s in rows_by_id]
    table = np.array([x for x in inside if 0 <= x[2] < recording.n_samples], np.float64).reshape(-1, 4)
    station, phase, sample, is_label = table.T
    return TeacherLabels(station.astype(np.intp), phase.astype(np.intp), sample, is_label > 0)


def _table_id(stations: StationTable, station_id: str) -> str:
    station = stations.find(station_id)
    return "" if station is None else station.station_id


def _peaks(
    curves: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Station, phase and sample of the picks of [station, phase, sample]."""
    stations, phases, samples = [], [], []
    for i, j in np.ndindex(*curves.shape[:2]):
        for position in find_picks(curves[i, j], threshold, MIN_DISTANCE_SAMPLES)[0]:
            stations.append(i)
            phases.append(j)
            samples.append(float(position))
    return np.array(stations, np.intp), np.array(phases, np.intp), np.array(samples, np.float64)
