"""What comes of every file of a folder: read (and how much of it), or refused (and with which sentence).

    python -m benchmarks.formats ../shared/data/formats

Each file is given to the three readers, as a user would: `read_waveforms`, `read_stations`, `read_catalogue`. A file
that none of them reads is shown with the sentence of the reader that knows most about it. Nothing may end in another
exception than `PhasenoPeftError`; the exit code is 1 where one does.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from phaseno_peft.campaign import read_catalogue, read_stations, read_waveforms
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.text_tables import TextTable

TELLING_NOTHING = (
    "not a waveform format obspy knows",
    "not readable as StationXML",
    "not readable as QuakeML",
    "not readable as text",
    "holds no file of stations",
    "column 'station' is missing",
    "column 'latitude' is missing",
    "is missing; the header is",
    "Schema version not supported",
)
"""What a reader says of a file that is about something else; the earlier it stands here, the likelier it is meant."""


@dataclass
class Outcome:
    """What the readers made of one file."""

    file: str
    read: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Exceptions that are no `PhasenoPeftError`."""

    @property
    def words(self) -> str:
        """One line for the table."""
        if self.broken:
            return "BROKEN: " + "; ".join(self.broken)
        if self.read:
            return "; ".join(self.read)
        return "refused: " + min(self.refused, key=_vagueness)


def _vagueness(text: str) -> int:
    return next((i for i, mark in enumerate(TELLING_NOTHING, start=1) if mark in text), 0)


def _waveforms(path: Path) -> str:
    traces = [t for stream in read_waveforms(path).values() for t in stream]
    rates = sorted({f"{t.stats.sampling_rate:g}" for t in traces})
    return f"{len(traces)} traces at {', '.join(rates)} Hz"


def _stations(path: Path) -> str:
    return f"{len(read_stations(path))} stations"


def _picks(path: Path) -> str:
    catalogue = read_catalogue(path)
    counts = Counter(p.phase for p in catalogue.picks)
    unused = sum(not p.usable for p in catalogue.picks)
    words = f"{counts['P']} P and {counts['S']} S picks of {len(catalogue.events)} events"
    return words + (f", {unused} of weight 0" if unused else "")


READERS: tuple[Callable[[Path], str], ...] = (_waveforms, _stations, _picks)


def outcome(path: Path, folder: Path) -> Outcome:
    """What the three readers make of a file."""
    made = Outcome(str(path.relative_to(folder)))
    for reader in READERS:
        try:
            made.read.append(reader(path))
        except PhasenoPeftError as error:
            made.refused.append(str(error).removeprefix(f"{path.parent}/"))
        except Exception as error:  # what is looked for
            made.broken.append(f"{reader.__name__[1:]}: {type(error).__name__}: {error}"[:200])
    return made


def main(arguments: list[str] | None = None) -> int:
    """Print the table and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    warnings.simplefilter("ignore")  # obspy's, of fields that are not there
    outcomes = [outcome(path, folder) for path in sorted(folder.glob("*/*")) if path.is_file()]
    print(TextTable.of([{"file": o.file, "what comes of it": o.words} for o in outcomes]).markdown())
    read, broken = sum(bool(o.read) for o in outcomes), sum(bool(o.broken) for o in outcomes)
    print(f"\n{read} of {len(outcomes)} files are read, {len(outcomes) - read - broken} refused, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
