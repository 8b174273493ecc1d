"""Picks and the files they are handed on in: CSV, QuakeML, NLLOC_OBS, and tables for pandas and PyOcto.

Every file is written under a temporary name and then renamed, so that a reader never meets half a file.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex, overload

from obspy import UTCDateTime

from phaseno_peft.contract import PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.files import write_file
from phaseno_peft.station_ids import station_fields

if TYPE_CHECKING:
    import pandas
    from obspy.core.event import Catalog
    from obspy.core.event import Pick as QuakemlPick

    from phaseno_peft.campaign.findings import Finding

CSV_HEADER = ("trace_id", "phase", "time", "probability", "uncertainty_s")
FALLBACK_UNCERTAINTY_S = 0.1
"""Written to NLLOC_OBS, which demands an uncertainty above zero, for a pick whose own is not a positive number."""
ID_PREFIX = "smi:local/phaseno-peft"


@dataclass(frozen=True, slots=True)
class Pick:
    """One arrival of one phase at one station. Frozen; times are UTC."""

    trace_id: str
    """NET.STA.LOC as in SeisBench; ends with a dot where the location is empty."""
    phase: str
    """P or S."""
    time: UTCDateTime
    probability: float
    uncertainty_s: float
    """One standard deviation of the time, in real seconds."""


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

    def sorted(self) -> PickList:
        """Return the picks in order of time, then trace id, then phase."""
        return self._of(sorted(self, key=lambda p: (p.time.ns, p.trace_id, p.phase)))

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a table with columns station, time (datetime64, UTC without zone), probability, uncertainty_s, phase.

        Raises `PhasenoPeftError` where pandas is not installed.
        """
        frame = _pandas("to_dataframe")
        return frame.DataFrame(
            {
                "station": frame.Series([pick.trace_id for pick in self], dtype="object"),
                "time": frame.Series([pick.time.datetime for pick in self], dtype="datetime64[us]"),
                "probability": frame.Series([pick.probability for pick in self], dtype="float64"),
                "uncertainty_s": frame.Series([pick.uncertainty_s for pick in self], dtype="float64"),
                "phase": frame.Series([pick.phase for pick in self], dtype="object"),
            }
        )

    def to_pyocto(self, station_id: Literal["nsl", "ns", "sta"] = "nsl") -> pandas.DataFrame:
        """Return what ``pyocto.OctoAssociator.associate`` takes: station, phase, time (Unix seconds), probability.

        `station_id` says how stations are named, to agree with PyOcto's station table: "nsl" NET.STA.LOC, "ns" NET.STA,
        "sta" STA. Raises `PhasenoPeftError` for another word, or where pandas is not installed.
        """
        parts = {"nsl": slice(None), "ns": slice(0, 2), "sta": slice(1, 2)}
        if station_id not in parts:
            raise PhasenoPeftError(f"`station_id` should be one of {', '.join(parts)} but is {station_id!r}.")
        frame = _pandas("to_pyocto")
        names = [".".join(station_fields(pick.trace_id)[parts[station_id]]) for pick in self]
        return frame.DataFrame(
            {
                "station": frame.Series(names, dtype="object"),
                "phase": frame.Series([pick.phase for pick in self], dtype="object"),
                "time": frame.Series([pick.time.timestamp for pick in self], dtype="float64"),
                "probability": frame.Series([pick.probability for pick in self], dtype="float64"),
            }
        )

    def to_csv(self, path: str | Path) -> Path:
        """Write the picks with one header line and return the path. Times are ISO 8601 UTC to the microsecond."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_HEADER)
        for pick in self:
            time = _rounded(pick.time, 6)
            uncertainty = f"{pick.uncertainty_s:.6f}" if math.isfinite(pick.uncertainty_s) else ""
            writer.writerow([pick.trace_id, pick.phase, str(time), f"{pick.probability:.6f}", uncertainty])
        return write_file(path, text.getvalue())

    @classmethod
    def from_csv(cls, path: str | Path, *, creator: str = "frozen") -> PickList:
        """Read what `to_csv` wrote; further columns are ignored, an empty uncertainty is NaN.

        Raises `PhasenoPeftError` naming file and line for a missing column or a value that cannot be read.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise PhasenoPeftError(f"{path}: cannot be read as a CSV of picks: {error}.") from error
        reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
        try:
            rows = [(reader.line_num, row) for row in reader]
        except csv.Error as error:  # an unclosed quote before 131,072 characters
            raise PhasenoPeftError(f"{path}: line {reader.line_num}: not a table ({error}).") from error
        missing = [name for name in CSV_HEADER if name not in (reader.fieldnames or ())]
        if missing:
            raise PhasenoPeftError(
                f"{path}: line 1 lacks the column {missing[0]!r}. The header of a picks file is {','.join(CSV_HEADER)}."
            )
        picks = cls(creator=creator)
        for line, row in rows:
            try:
                picks.append(_parse_row(row))
            except ValueError as error:
                raise PhasenoPeftError(f"{path}: line {line}: {error}") from error
        return picks

    def to_catalog(self) -> Catalog:
        """Return an obspy catalogue with one event that holds every pick, unassociated.

        QuakeML has no place for a pick outside an event; a comment on the event says that it is none. Picks are
        automatic and preliminary, carry uncertainty, phase hint and a comment ``probability=0.83``; identifiers are
        derived from content, so that equal picks give equal files. Raises `PhasenoPeftError` for a trace id that is not
        NET.STA.LOC.
        """
        from obspy.core.event import Catalog, Comment, CreationInfo, Event, ResourceIdentifier

        event_id = f"{ID_PREFIX}/unassociated"
        seen: Counter[str] = Counter()
        event = Event(
            resource_id=ResourceIdentifier(event_id),
            picks=[_quakeml_pick(pick, self.creator, seen) for pick in self],
            comments=[
                Comment(
                    text="Automatic picks that are not associated: this event is only their container.",
                    resource_id=ResourceIdentifier(f"{event_id}/comment"),
                )
            ],
            creation_info=CreationInfo(author="phaseno-peft"),
        )
        return Catalog(events=[event], resource_id=ResourceIdentifier(f"{ID_PREFIX}/picks"))

    def to_quakeml(self, path: str | Path) -> Path:
        """Write `to_catalog` as QuakeML 1.2 and return the path."""
        file = io.BytesIO()
        self.to_catalog().write(file, format="QUAKEML")
        return write_file(path, file.getvalue())

    def to_nlloc(self, path: str | Path) -> Path:
        """Write NonLinLoc phases (NLLOC_OBS) and return the path.

        The format holds one event, names a station without its network, and resolves 0.1 ms. Every line has an
        uncertainty: where the pick's own is not above zero, `FALLBACK_UNCERTAINTY_S`. An empty list gives an empty
        file.
        """
        if not self:
            return write_file(path, b"")
        catalog = self.to_catalog()
        for pick in catalog[0].picks:
            pick.time = _rounded(pick.time, 4)  # obspy prints seconds as %7.4f: 59.99996 would become 60.0000
            if not (pick.time_errors.uncertainty or 0.0) > 0.0:
                pick.time_errors.uncertainty = FALLBACK_UNCERTAINTY_S
        file = io.BytesIO()
        catalog.write(file, format="NLLOC_OBS")
        return write_file(path, file.getvalue())


def _quakeml_pick(pick: Pick, creator: str, seen: Counter[str]) -> QuakemlPick:
    from obspy.core.event import Comment, QuantityError, ResourceIdentifier, WaveformStreamID
    from obspy.core.event import Pick as QuakemlPick

    try:
        parts = station_fields(pick.trace_id)
    except PhasenoPeftError as error:
        raise PhasenoPeftError(
            f"pick at {pick.time}: `trace_id` should be NET.STA.LOC (ending with a dot where the location is empty) "
            f"but is {pick.trace_id!r}."
        ) from error
    method, time = _identifier_part(creator), _rounded(pick.time, 6)
    trace = _identifier_part(pick.trace_id)
    pick_id = f"{ID_PREFIX}/{method}/{trace}/{pick.phase}/{time.strftime('%Y%m%dT%H%M%S%f')}"
    seen[pick_id] += 1
    if seen[pick_id] > 1:
        pick_id = f"{pick_id}/{seen[pick_id]}"
    errors = QuantityError(uncertainty=float(pick.uncertainty_s)) if math.isfinite(pick.uncertainty_s) else None
    return QuakemlPick(
        resource_id=ResourceIdentifier(pick_id),
        time=time,
        time_errors=errors,
        # An empty location is written as such: None would mean that it is not known (megies/obspyck#49).
        waveform_id=WaveformStreamID(network_code=parts[0], station_code=parts[1], location_code=parts[2]),
        method_id=ResourceIdentifier(f"{ID_PREFIX}/{method}"),
        phase_hint=pick.phase,
        evaluation_mode="automatic",
        evaluation_status="preliminary",
        comments=[
            Comment(
                text=f"probability={pick.probability:.2f}",
                resource_id=ResourceIdentifier(f"{pick_id}/probability"),
            )
        ],
    )


def _identifier_part(text: str) -> str:
    """The text with what a QuakeML identifier does not allow replaced by hyphens; "@" of a revision becomes "#"."""
    return re.sub(r"[^\w\-.~'()*#/]", "-", text.replace("@", "#"), flags=re.ASCII) or "unknown"


def _rounded(time: UTCDateTime, decimals: int) -> UTCDateTime:
    """The time rounded (UTCDateTime itself cuts) to decimals of a second."""
    step = 10 ** (9 - decimals)
    return UTCDateTime(ns=(time.ns + step // 2) // step * step)


def _parse_row(row: dict[str, str | None]) -> Pick:
    """One line of a CSV as a pick; raises `ValueError` with a sentence about the first wrong value."""
    trace_id, phase, time, probability, uncertainty = ((row[name] or "").strip() for name in CSV_HEADER)
    if trace_id.count(".") < 2:  # a station code may hold dots itself
        raise ValueError(
            f"trace_id should be NET.STA.LOC (ending with a dot where the location is empty) but is {trace_id!r}."
        )
    if phase not in PHASES:
        raise ValueError(f"phase should be {' or '.join(PHASES)} but is {phase!r}.")
    try:
        if not re.match(r"\d{4}-\d{2}-\d{2}[T ]", time):  # UTCDateTime reads a bare number as seconds since 1970
            raise ValueError
        when = UTCDateTime(time)
    except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
        raise ValueError(f"time should be like 2013-09-05T02:08:14.120000Z but is {time!r}.") from error
    return Pick(
        trace_id=trace_id,
        phase=phase,
        time=when,
        probability=_number("probability", probability, 1.0),
        uncertainty_s=_number("uncertainty_s", uncertainty, math.inf) if uncertainty else math.nan,
    )


def _number(name: str, text: str, largest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and 0.0 <= value <= largest):
        limits = "between 0 and 1" if largest == 1.0 else "not below 0"
        raise ValueError(f"{name} should be a number {limits} but is {text!r}.")
    return value


def _pandas(method: str) -> Any:
    try:
        import pandas
    except ImportError as error:
        raise PhasenoPeftError(
            f"PickList.{method}() needs pandas, which is not installed. Install it: pip install pandas"
        ) from error
    return pandas
