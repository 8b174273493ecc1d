"""Who says what an archive holds: published probabilities, a file of picks, or a PhaseNO backbone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from obspy import UTCDateTime

from phaseno_peft.campaign import Recording, StationTable, read_catalogue
from phaseno_peft.campaign.stations import KM_PER_UNIT, scaled_coordinates
from phaseno_peft.contract import PHASES, Preprocessing
from phaseno_peft.errors import BackboneError, CampaignError
from phaseno_peft.picking.peaks import find_picks
from phaseno_peft.pretraining.cleaning import AMBIGUOUS, supported
from phaseno_peft.pretraining.scene import NETWORK_RATE_HZ, WINDOW_SAMPLES

if TYPE_CHECKING:
    from phaseno_peft.picking import Picker, PickList

CLEAR_SOFT = 0.5
"""Soft probabilities that reach this are counted as picks, and are the labels validation looks at."""
UPSTREAM_EARLY_SAMPLES = 1
"""Upstream's own code writes its probabilities one sample early (golden vectors, pre-processing)."""
MIN_DISTANCE_SAMPLES = 50


@dataclass(frozen=True)
class Said:
    """What a teacher says of one recording."""

    station: NDArray[np.intp]
    phase: NDArray[np.intp]
    sample: NDArray[np.float64]
    """[pick] row of the station, 0 P or 1 S, fractional sample."""
    taught: NDArray[np.bool_]
    """[pick] False where the pick is ambiguous."""
    soft: NDArray[np.float32] | None = None
    """[station, phase, sample]"""


class Teacher(Protocol):
    """Anything that says what a recording holds."""

    @property
    def name(self) -> str:
        """For the card."""

    def listen(self, recording: Recording, stations: StationTable) -> Said:
        """Picks, and perhaps probabilities, of one recording at 100 Hz."""


@dataclass(frozen=True)
class PublishedProbabilities:
    """An .npz with, for each station code, `<code>_P` and `<code>_S` (uint8 or float), start_time and sampling_rate.

    What upstream's prediction script writes per station; integers are divided by `scale` (255). They are moved one
    sample later, as upstream's windows begin one sample after the time it gives them.
    """

    path: Path

    @property
    def name(self) -> str:
        return f"published probabilities ({self.path.name})"

    def listen(self, recording: Recording, stations: StationTable) -> Said:  # noqa: ARG002  # a teacher's signature
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
        heard = False
        for row, station in enumerate(recording.stations):
            code = station.station_id.split(".")[1]
            if code not in codes:
                continue
            heard = True
            for j, phase in enumerate(PHASES):
                if f"{code}_{phase}" not in found:
                    raise CampaignError(
                        f"{self.path}: has no {code}_{phase}; a teacher must give both P and S of a station. "
                        "Leave the station out of the waveforms, or add the phase."
                    )
                curve = found[f"{code}_{phase}"]
                curve = curve / scale if curve.dtype.kind in "iu" else curve
                shift = round(recording.index_of(start)) + UPSTREAM_EARLY_SAMPLES
                a, b = max(0, shift), min(recording.n_samples, shift + len(curve))
                if a < b:
                    soft[row, j, a:b] = curve[a - shift : b - shift]
        if not heard:
            there = ", ".join(sorted(codes)) or "none"
            raise CampaignError(
                f"{self.path}: none of its stations ({there}) is in the archive, which has "
                f"{', '.join(recording.station_ids[:4])}. Give the probabilities of this archive."
            )
        rows, phases, samples = _peaks(soft, CLEAR_SOFT)
        return Said(rows, phases, samples, np.ones(len(rows), bool), soft)

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
    """Picks of anybody: QuakeML, or the CSV that `phaseno-peft pick` writes with a probability for each pick."""

    path: Path

    @property
    def name(self) -> str:
        return f"picks ({self.path.name})"

    def listen(self, recording: Recording, stations: StationTable) -> Said:
        """Raises `CampaignError` where no pick of the whole file is for a station of the archive."""
        rows = {station_id: i for i, station_id in enumerate(recording.station_ids)}
        picks = self._picks()
        known = [(stations.find(s), p, t, v) for s, p, t, v in picks]
        if picks and not any(station is not None for station, *_ in known):
            raise CampaignError(
                f"{self.path}: none of its {len(picks)} picks is for a station of the archive, the first is for "
                f"{picks[0][0]}. Give the picks of this archive."
            )
        heard = [
            (rows[station.station_id], PHASES.index(phase), recording.index_of(time), value)
            for station, phase, time, value in known
            if station is not None and station.station_id in rows
        ]
        heard = [x for x in heard if 0 <= x[2] < recording.n_samples]
        return _cleaned(heard, recording, stations)

    def _picks(self) -> list[tuple[str, str, UTCDateTime, float]]:
        if self.path.suffix.lower() == ".csv":
            from phaseno_peft.picking import PickList

            return [(p.trace_id, p.phase, p.time, p.probability) for p in PickList.from_csv(self.path)]
        return [(p.station_id, p.phase, p.time, 1.0) for p in read_catalogue(self.path).picks if p.usable]


@dataclass(frozen=True)
class BackboneTeacher:
    """A PhaseNO backbone, applied to the whole network; its picks are kept in a file, so that they never change."""

    backbone: str
    device: str = "cpu"
    keep_in: Path | None = None
    """Folder for one CSV of picks a recording."""

    @property
    def name(self) -> str:
        return f"backbone {self.backbone}"

    def listen(self, recording: Recording, stations: StationTable) -> Said:
        """Raises `BackboneError` for a teacher of another rate or window."""
        from phaseno_peft.picking import PickList

        kept = None if self.keep_in is None else self.keep_in / f"{recording.name}.csv"
        if kept is not None and kept.is_file():
            picks = PickList.from_csv(kept)
        else:
            picks = self._ask(recording, stations)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                picks.to_csv(kept)
        rows = {station_id: i for i, station_id in enumerate(recording.station_ids)}
        heard = [
            (rows[p.trace_id], PHASES.index(p.phase), recording.index_of(p.time), p.probability)
            for p in picks
            if p.trace_id in rows
        ]
        return _cleaned([x for x in heard if 0 <= x[2] < recording.n_samples], recording, stations)

    def _ask(self, recording: Recording, stations: StationTable) -> PickList:
        picker = _picker(self.backbone, self.device)
        annotation = picker.annotate_recording(recording, stations)
        return picker.picks(annotation, P_threshold=AMBIGUOUS, S_threshold=AMBIGUOUS)


def _picker(backbone: str, device: str) -> Picker:
    from phaseno_peft.backbone import read_card
    from phaseno_peft.picking import Picker

    config = read_card(backbone).config
    if config.window_samples != WINDOW_SAMPLES:
        raise BackboneError(
            f"teacher {backbone!r} has windows of {config.window_samples} samples, pre-training works with "
            f"{WINDOW_SAMPLES} at {Preprocessing().network_rate_hz:g} Hz. Give a teacher of the same rate and length."
        )
    return Picker.load(backbone, device)


def _cleaned(heard: list[tuple[int, int, float, float]], recording: Recording, stations: StationTable) -> Said:
    """Picks (station row, phase, sample, probability) with what the others make of them."""
    table = np.array(heard, np.float64).reshape(-1, 4)
    station, phase, sample, probability = table[:, 0].astype(np.intp), table[:, 1].astype(np.intp), *table[:, 2:].T
    coordinates_km = np.asarray(scaled_coordinates(recording.stations, stations.frame(), 1.0), np.float64) * KM_PER_UNIT
    taught = supported(station, phase, sample / NETWORK_RATE_HZ, probability, coordinates_km)
    return Said(station, phase, sample, taught)


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
