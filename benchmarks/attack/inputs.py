"""Altered waveform, station and catalogue files, read as the library reads them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attack.altered_inputs import (
    CATALOGUES,
    LARGEST_BYTES,
    SET_WAVEFORMS,
    STATIONS,
    WAVEFORMS,
    altered,
    bombs,
    good_files,
    pickled,
    set_metadata,
    wrapped,
)
from benchmarks.attack.report import AttackResult, Outcome
from benchmarks.attack.subject import Subject
from phaseno_peft.campaign import (
    Campaign,
    Catalogue,
    Recording,
    StationTable,
    prepare_recordings,
    read_catalogue,
    read_stations,
    read_waveforms,
)
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import PhasenoPeftError

_BOMB_EVERY = 50
"""A bomb takes as long as a hundred other files."""


class InputAttack:
    """Makes attack `number`: one file altered, read alone or as a part of a campaign."""

    def __init__(self, subject: Subject, seed: int) -> None:
        self.subject, self.seed = subject, seed
        self.mark, self.folder = subject.scratch / "executed", subject.scratch / "inputs"
        self.files, self.bombs = good_files(subject), bombs()
        self.good = {kind: self._put(kind, name, self.files[kind][name]) for kind, name in _USED.items()}
        self.right = {
            (kind, name): _facts(self._read(kind, self._put("tried", name, content)))
            for kind, files in self.files.items()
            for name, content in files.items()
            if self._is_read(kind, name, content)
        }

    def _is_read(self, kind: str, name: str, content: bytes) -> bool:
        try:
            self._read(kind, self._put("tried", name, content))
        except PhasenoPeftError:
            return False
        return True

    def _put(self, folder: str, name: str, content: bytes) -> Path:
        shutil.rmtree(self.folder / folder, ignore_errors=True)
        (self.folder / folder).mkdir(parents=True)
        (self.folder / folder / name).write_bytes(content)
        if name == SET_WAVEFORMS:
            (self.folder / folder / "metadata.csv").write_text(set_metadata(self.subject))
        return self.folder / folder / name

    def _read(self, kind: str, path: Path) -> Any:
        if kind == WAVEFORMS:
            return prepare_recordings(read_waveforms(path), self.subject.stations, Preprocessing())[0]
        return read_stations(path) if kind == STATIONS else read_catalogue(path)

    def __call__(self, number: int) -> AttackResult:
        rng = np.random.default_rng([self.seed, 2, number])
        kind = str(rng.choice([WAVEFORMS, WAVEFORMS, STATIONS, CATALOGUES]))
        name = str(rng.choice(sorted(self.files[kind])))
        content, what, same = self.files[kind][name], name, rng.random() < 0.05
        stored = name
        if number % _BOMB_EVERY == 0:
            stored = str(rng.choice(sorted(self.bombs)))
            content, what, same = self.bombs[stored], stored, False
        elif rng.random() < 0.08:
            content, what, same = pickled(self.mark, rng), f"{name} is a pickle", False
        elif not same:
            for _ in range(int(rng.choice([1, 1, 2, 3]))):
                content, how = altered(content, name, rng)
                what += f"; {how}"
            content = content[:LARGEST_BYTES]
        if rng.random() < (0.7 if "is a pickle" in what else 0.3) and stored == name:
            content, stored, how = wrapped(content, name, rng)
            what += f"; in {how}"
        self.mark.unlink(missing_ok=True)
        path = self._put("tried", stored[-200:], content)
        way = str(rng.choice(["alone", "folder", "campaign"]))
        self.subject.doing.write_text(f"{what} ({kind}, {way})")
        outcome, seen = self._result(kind, path, way, self.right.get((kind, name)) if same else None)
        return AttackResult("executed" if self.mark.exists() else outcome, f"{what} ({kind}, {way}) -> {seen}")

    def _result(self, kind: str, path: Path, way: str, right: object) -> tuple[Outcome, str]:
        try:
            if way == "campaign":
                files = {**self.good, kind: path}
                campaign = Campaign.read(files[WAVEFORMS], files[STATIONS], files[CATALOGUES], skip_unknown=True)
                found: Any = campaign.recordings
            else:
                found = self._read(kind, path if way == "alone" or kind == CATALOGUES else path.parent)
            facts = _facts(found)
        except PhasenoPeftError as error:
            return "refused", f"{str(error)[:160]}"
        except Exception as error:  # what is looked for
            return "raw error", f"{type(error).__name__}: {str(error)[:160]}"
        if isinstance(facts, str):
            return "other result", facts
        if right is not None and way != "campaign" and facts != right:
            return "other result", "only packed, and read otherwise than unpacked"
        return "identical", "read"


_USED = {WAVEFORMS: "steim2.mseed", STATIONS: "stations.xml", CATALOGUES: "picks.xml"}
"""The other two files of a campaign, of which one is altered."""


def _facts(found: StationTable | Catalogue | tuple[Recording, ...]) -> object:
    """What was read, to be compared; a sentence where it is nothing that may come out of a reader."""
    if isinstance(found, StationTable):
        for s in found:  # an absurd elevation is told with the campaign: nothing is computed from it
            if not (abs(s.latitude_deg) <= 90 and abs(s.longitude_deg) <= 360):
                return f"station {s} came out"
        return [(s.station_id, s.latitude_deg, s.longitude_deg, s.elevation_m) for s in found]
    if isinstance(found, Catalogue):
        return [(p.station_id, p.phase, p.time.ns) for p in found.picks]
    for recording in found:
        if not np.isfinite(recording.samples).all():
            return f"samples of {recording.station_ids} came out that are not finite"
        if np.any(recording.samples[~recording.recorded]):
            return "samples came out where nothing was recorded"
    return [(r.start.ns, r.station_ids, r.samples.tobytes()) for r in found]
