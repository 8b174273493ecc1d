"""Lists of picks: filtered, sorted, joined, and handed on as files and tables."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Self, SupportsIndex, overload

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picks.csv_files import LAYOUTS, read_csv, write_csv, write_layout
from phaseno_peft.picks.event_files import write_events
from phaseno_peft.picks.pick import Pick
from phaseno_peft.picks.quakeml import catalog_of, catalog_of_bursts
from phaseno_peft.picks.tables import StationNames, dataframe, pyocto_table

if TYPE_CHECKING:
    import pandas
    from obspy import UTCDateTime
    from obspy.core.event import Catalog

    from phaseno_peft.campaign.findings import Finding
    from phaseno_peft.campaign.stations import StationTable


class PickList(list[Pick]):
    """A list of `Pick` that can be filtered, sorted and written.

    `creator` names the adapter (or "frozen"). `findings` says what was left out or assumed while the records were
    prepared, warnings first; it goes along with parts and joins of the list, not into files.
    """

    findings: tuple[Finding, ...] = ()

    def __init__(
        self, picks: Iterable[Pick] = (), *, creator: str = "frozen", findings: Iterable[Finding] = ()
    ) -> None:
        super().__init__(picks)
        self.creator = creator
        self.findings = tuple(findings)

    @property
    def picks(self) -> PickList:
        """The list itself, so that SeisBench's ``classify(...).picks`` works here too."""
        return self

    def __repr__(self) -> str:
        counts = Counter(pick.phase for pick in self)
        numbers = ", ".join(f"{counts[phase]} {phase}" for phase in sorted(counts)) or "none"
        warnings = sum(finding.severity == "warning" for finding in self.findings)
        more = f"; {warnings} warnings in .findings" if warnings else ""
        return f"PickList({len(self)} picks by {self.creator!r}: {numbers}{more})"

    def _of(self, picks: Iterable[Pick]) -> PickList:
        """Other picks of the same making."""
        return PickList(picks, creator=self.creator, findings=self.findings)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Pick: ...
    @overload
    def __getitem__(self, index: slice) -> PickList: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Pick | PickList:
        if isinstance(index, slice):
            return self._of(super().__getitem__(index))
        return super().__getitem__(index)

    def extend(self, picks: Iterable[Pick]) -> None:
        """Append picks; those of another `PickList` bring its findings along."""
        super().extend(picks)
        if isinstance(picks, PickList):
            joined = dict.fromkeys((*self.findings, *picks.findings))
            self.findings = tuple(sorted(joined, key=lambda finding: finding.severity != "warning"))

    def __iadd__(self, picks: Iterable[Pick]) -> Self:  # type: ignore[override]  # as list's, which typeshed narrows
        self.extend(picks)
        return self

    def __add__(self, picks: Iterable[Pick]) -> PickList:  # type: ignore[override]  # of picks only
        joined = self.copy()
        joined.extend(picks)
        return joined

    def copy(self) -> PickList:
        """The same picks in another list."""
        return self._of(self)

    def select(
        self, trace_id: str | None = None, phase: str | None = None, min_probability: float | None = None
    ) -> PickList:
        """Return the picks whose whole trace id matches the regular expression, of this phase, at least this probable.

        Raises `PhasenoPeftError` for a pattern that is no regular expression.
        """
        try:
            pattern = re.compile(trace_id if trace_id is not None else ".*")
        except re.error as error:
            raise PhasenoPeftError(
                f"`trace_id` should be a regular expression but is {trace_id!r}: {error}. For any station write '.*'."
            ) from error
        return self._of(
            pick
            for pick in self
            if pattern.fullmatch(pick.trace_id)
            and (phase is None or pick.phase == phase)
            and (min_probability is None or pick.probability >= min_probability)
        )

    def between(self, starttime: UTCDateTime | None = None, endtime: UTCDateTime | None = None) -> PickList:
        """Return the picks from one time up to, not at, another; without one there is no such limit."""
        first = -math.inf if starttime is None else starttime.ns
        last = math.inf if endtime is None else endtime.ns
        return self._of(pick for pick in self if first <= pick.time.ns < last)

    def sorted(self) -> PickList:
        """Return the picks in order of time, then trace id, then phase."""
        return self._of(sorted(self, key=lambda p: (p.time.ns, p.trace_id, p.phase)))

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a table with columns station, time (datetime64, UTC without zone), probability, uncertainty_s, phase.

        Raises `PhasenoPeftError` where pandas is not installed.
        """
        return dataframe(self)

    def to_pyocto(self, station_id: StationNames = "nsl") -> pandas.DataFrame:
        """Return what ``pyocto.OctoAssociator.associate`` takes: station, phase, time (Unix seconds), probability.

        `station_id` says how stations are named, to agree with PyOcto's station table: "nsl" NET.STA.LOC, "ns" NET.STA,
        "sta" STA. Raises `PhasenoPeftError` for another word, or where pandas is not installed.
        """
        return pyocto_table(self, station_id)

    def to_csv(self, path: str | Path) -> Path:
        """Write the picks with one header line and return the path. Times are ISO 8601 UTC to the microsecond."""
        return write_csv(path, self)

    @classmethod
    def from_csv(cls, path: str | Path, *, creator: str = "frozen") -> PickList:
        """Read what `to_csv` wrote; further columns are ignored, an empty uncertainty is NaN.

        Raises `PhasenoPeftError` naming file and line for a missing column or a value that cannot be read.
        """
        return cls(read_csv(path), creator=creator)

    def to_catalog(self) -> Catalog:
        """Return an obspy catalogue with one event that holds every pick, unassociated.

        QuakeML has no place for a pick outside an event; a comment on the event says that it is none. Picks are
        automatic and preliminary, carry uncertainty, phase hint and a comment ``probability=0.83``; identifiers are
        derived from content, so that equal picks give equal files. Raises `PhasenoPeftError` for a trace id that is not
        NET.STA.LOC.
        """
        return catalog_of(self, self.creator)

    def to_quakeml(self, path: str | Path) -> Path:
        """Write `to_catalog` as QuakeML 1.2 and return the path."""
        return write_events(path, self.to_catalog(), "quakeml")

    def to_nlloc(self, path: str | Path) -> Path:
        """Write NonLinLoc phases (NLLOC_OBS) and return the path.

        The format holds one event, names a station without its network, and resolves 0.1 ms. Every line has an
        uncertainty: where the pick's own is not above zero, `FALLBACK_UNCERTAINTY_S`. An empty list gives an empty
        file.
        """
        return write_events(path, self.to_catalog(), "nlloc")

    def write(self, path: str | Path, format: str | None = None, stations: StationTable | None = None) -> Path:
        """Write the picks in a format by its name, or by the file's ending, and return the path.

        `FORMATS` lists names and endings. Each can be corrected in its tool and read back by `read_catalogue`. Nordic
        and HypoDD hold events only: picks between pauses are one, at the station of its first pick, which `stations`
        places; HypoDD's need that. Raises `PhasenoPeftError` for an unknown format or ending, and for what a format
        cannot hold.
        """
        name = format or format_of(path)
        if name == "csv":
            return write_csv(path, self)
        if name in LAYOUTS:
            return write_layout(path, self, name)
        if name in ("nordic", "hypodd"):
            return write_events(path, catalog_of_bursts(self, self.creator, stations), name)
        return write_events(path, self.to_catalog(), name)


FORMATS: dict[str, tuple[str, ...]] = {
    "csv": (".csv",),
    "quakeml": (".xml", ".quakeml"),
    "scml": (".scml",),
    "nordic": (".sfile", ".nordic"),
    "nlloc": (".obs",),
    "hypodd": (".pha",),
    "snuffler": (".markers",),
    **dict.fromkeys(LAYOUTS, ()),
}
"""What `PickList.write` writes: name -> endings that stand for it; tables of other programs are asked for by name."""


def format_of(path: str | Path) -> str:
    """The format a file's ending stands for. Raises `PhasenoPeftError` for an ending of none."""
    ending = Path(path).suffix.lower()
    for name, endings in FORMATS.items():
        if ending in endings:
            return name
    known = ", ".join(f"{endings[0]} ({name})" for name, endings in FORMATS.items() if endings)
    raise PhasenoPeftError(f"{path}: unknown ending {ending!r}. Use {known}, or name the format: {', '.join(FORMATS)}.")
