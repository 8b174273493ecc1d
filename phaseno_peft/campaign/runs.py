"""Runs of record: stretches of time whose records touch, however many files hold them.

A run that is no longer than `INSPECTED_S` is looked at as a whole before anything is decided, as `prepare` does; longer
ones are prepared span by span (`long_run`). Nothing depends on the files, on their order, or on how much is read at
once.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from obspy import Stream, Trace, UTCDateTime

from phaseno_peft.campaign.file_headers import Header, Stored
from phaseno_peft.campaign.findings import Finding, gather, nothing_usable, warnings_first
from phaseno_peft.campaign.long_run import INSPECTED_S, LongRun, joined_runs
from phaseno_peft.campaign.run import OnFindings, Run
from phaseno_peft.campaign.sources import Index, Source, UnreadableFileError
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.waveform_files import ChannelMap
from phaseno_peft.campaign.waveforms import prepare
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError

TOUCHING_S = 1.0
"""Records that follow each other within this gap belong to one run, so that no window is cut at a file's end."""
AROUND_WINDOWS = 2.0
"""Lengths of a window by which picks hang on what lies before and behind them: a window that is not among those of the
whole record, and what its neighbour, a peak's flanks and a stronger pick beside it may change."""

FAR_APART_S = 5 * 31_556_952.0
"""Five years: records so far apart are seldom of one campaign. A clock without GPS begins at 1970 or 1980."""


@dataclass(frozen=True, slots=True)
class RunSpan:
    """From when to when a run of record reaches, and where its grid lies."""

    begin_ns: int
    """Time of the first sample of all, in nanoseconds since 1970."""
    end_ns: int
    """Time of the last sample of all."""
    anchor_ns: int | None = None
    """Time of a point of the grid; None where the run's own segments decide."""


class Runs:
    """The runs of a source, in time order: each is prepared when the iteration comes to it.

    Iterate once. Raises `CampaignError` for a source that cannot be read, and at the end where no run can be used; one
    run that cannot be used among others is told in `findings`.
    """

    def __init__(
        self,
        source: Source,
        stations: StationTable,
        preprocessing: Preprocessing,
        *,
        channels: ChannelMap | str | Path | None = None,
        skip_unreadable: bool = False,
        on_findings: OnFindings | None = None,
        between: tuple[UTCDateTime | None, UTCDateTime | None] = (None, None),
        spans: Sequence[RunSpan] | None = None,
    ) -> None:
        """between: read no more than what the picks from one time to another hang on; see `AROUND_WINDOWS`.

        spans: of the runs, where the source is a part of what was recorded, some stations or some days of it; by
        default they follow from its headers (`run_spans`).
        """
        self._stations, self._preprocessing = stations, preprocessing
        self._between_ns = _widened(between, AROUND_WINDOWS * preprocessing.window_s)
        self._told: set[Finding] = set()
        self._on_findings = on_findings
        self._index = Index(
            source,
            preprocessing.rate_hz,
            channels=channels,
            skip_unreadable=skip_unreadable,
            on_findings=self._tell,
        )
        if not self._index.headers:
            raise nothing_usable(self._index.findings)
        of_spans = _groups(self._index.headers, run_spans(self._index.headers) if spans is None else spans)
        self._groups = [group for group in of_spans if self._wanted_s(group) > 0]
        if not self._groups:
            first, last = self._index.headers[0].start_ns, max(h.end_ns for h in self._index.headers)
            wanted = " to ".join("" if time is None else f"{time}" for time in between).strip()
            raise CampaignError(
                f"the waveforms hold nothing of the time that is asked for ({wanted}): they reach from "
                f"{UTCDateTime(ns=first)} to {UTCDateTime(ns=last)}. Ask for another time."
            )
        self.prepared: list[Run] = []
        """The runs that have been given out."""
        self._failures: list[CampaignError] = []

    @property
    def duration_s(self) -> float:
        """Real length of all runs by their headers, also of those that will prove useless."""
        return sum(self._wanted_s(group) for group in self._groups)

    def __iter__(self) -> Iterator[Run]:
        try:
            named = [[(UTCDateTime(ns=h.start_ns), h.name) for h in group.headers] for group in self._groups]
            names = recording_names(named)
            ends_s = itertools.accumulate(self._wanted_s(group) for group in self._groups)
            for name, group, end_s in zip(names, self._groups, ends_s, strict=True):
                try:
                    run = self._run(name, group)
                except UnreadableFileError:
                    raise
                except CampaignError as error:
                    self._failures.append(error)
                    continue
                self._tell(run.findings)
                run.on_findings, run.before_s = self._tell, end_s - self._wanted_s(group)
                self.prepared.append(run)
                yield run
            if not self.prepared:
                raise self._failures[0]
            self._tell(self._of_all())
        finally:
            self._index.close()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was left out or assumed so far, warnings first, with the number of runs it holds for."""
        of_runs = gather([run.findings for run in self.prepared], len(self.prepared))
        return warnings_first([*self._index.findings, *of_runs, *self._of_all()])

    def _of_all(self) -> list[Finding]:
        findings = [Finding("warning", f"left out: {error}") for error in self._failures]
        rates, rate_hz = sorted(self._index.rates_hz), self._preprocessing.rate_hz
        if rates != [rate_hz]:
            listed = ", ".join(f"{rate:g}" for rate in rates)
            findings.append(Finding("note", f"sampling rates of {listed} Hz are brought to {rate_hz:g} Hz."))
        findings += years_apart([(group.span.begin_ns, group.span.end_ns) for group in self._groups])
        told = [finding.text for run in self.prepared for finding in run.findings]
        return findings + [f for f in self._stations.findings if not any(text.startswith(f.text) for text in told)]

    def _tell(self, findings: Sequence[Finding]) -> None:
        new = [finding for finding in findings if finding not in self._told]
        self._told.update(new)
        if new and self._on_findings is not None:
            self._on_findings(new)

    def _run(self, name: str, group: _Group) -> Run:
        span, stations, preprocessing = group.span, self._stations, self._preprocessing
        grid_ns = None if span == _span_of(group.headers) else (span.begin_ns, span.end_ns, span.anchor_ns)
        if (span.end_ns - span.begin_ns) * 1e-9 * preprocessing.time_scale <= INSPECTED_S:
            return Run.of(prepare(self._stream(group.headers), stations, preprocessing, name, grid_ns))
        return LongRun(name, group.headers, self._index, stations, preprocessing, self._between_ns, grid_ns).run()

    def _wanted_s(self, group: _Group) -> float:
        """Seconds of a run that are wanted; 0 for one that is not, next to 0 for a single sample."""
        begin, end = group.span.begin_ns, group.span.end_ns
        if self._between_ns is not None:
            begin, end = max(begin, self._between_ns[0]), min(end, self._between_ns[1])
        return max((end - begin) * 1e-9, 1e-9 if end == begin else 0.0)

    def _stream(self, group: Sequence[Header]) -> Stream:
        whole = [list(Stored(header, 0, header.n_samples).places()) for header in group]
        arrays = iter(self._index.read([place for places in whole for _, place in places]))
        traces = []
        for header, places in zip(group, whole, strict=True):
            network, station, location, channel = header.seed_id.split(".")
            codes = {"network": network, "station": station, "location": location, "channel": channel}
            there = [(at, samples) for at, _ in places if (samples := next(arrays)) is not None]
            for at, samples in joined_runs(there):
                start = UTCDateTime(ns=header.start_ns + round(at * 1e9 / header.rate_hz))
                traces.append(Trace(samples, {**codes, "sampling_rate": header.rate_hz, "starttime": start}))
        return Stream(traces)


def years_apart(spans_ns: Sequence[tuple[int, int]]) -> list[Finding]:
    """A warning for each two spans (start, end) in time order that follow each other after `FAR_APART_S`."""
    return [
        Finding(
            "warning",
            f"the records up to {UTCDateTime(ns=end)} lie {(start - end) * 5e-9 / FAR_APART_S:.0f} years before those "
            f"from {UTCDateTime(ns=start)}. If a clock was reset, correct the start times, or leave the files out.",
        )
        for (_, end), (start, _) in itertools.pairwise(spans_ns)
        if (start - end) * 1e-9 > FAR_APART_S
    ]


def _widened(between: tuple[UTCDateTime | None, UTCDateTime | None], by_s: float) -> tuple[int, int] | None:
    """Nanoseconds since 1970 from so many seconds before one time to as many behind the other; None for all times."""
    start, end = between
    if start is None and end is None:
        return None
    if start is not None and end is not None and start >= end:
        raise CampaignError(f"the time that is asked for begins at {start} and ends at {end}. Give an end behind it.")
    by_ns = round(by_s * 1e9)
    return (-(1 << 62) if start is None else start.ns - by_ns, 1 << 62 if end is None else end.ns + by_ns)


@dataclass(frozen=True, slots=True)
class _Group:
    """What is known of one run by its headers."""

    span: RunSpan
    headers: list[Header]
    """In time order, at least one."""


def run_spans(headers: Iterable[Header]) -> list[RunSpan]:
    """The runs that headers in time order make: records that touch belong to one."""
    spans: list[RunSpan] = []
    for header in headers:
        if spans and (header.start_ns - spans[-1].end_ns) * 1e-9 <= TOUCHING_S:
            spans[-1] = replace(spans[-1], end_ns=max(spans[-1].end_ns, header.end_ns))
        else:
            spans.append(RunSpan(header.start_ns, header.end_ns))
    return spans


def _span_of(headers: Sequence[Header]) -> RunSpan:
    return RunSpan(headers[0].start_ns, max(h.end_ns for h in headers))


def _groups(headers: Sequence[Header], spans: Sequence[RunSpan]) -> list[_Group]:
    """The headers, in time order, of each of the spans, in time order too, that holds any."""
    groups: list[_Group] = []
    begins = [span.begin_ns for span in spans]
    for header in headers:
        span = spans[max(0, bisect_right(begins, header.start_ns) - 1)]
        if not groups or groups[-1].span is not span:
            groups.append(_Group(span, []))
        groups[-1].headers.append(header)
    return groups


def recording_names(groups: Sequence[Sequence[tuple[UTCDateTime, str]]]) -> list[str]:
    """A name for each group of (start, name of the file): its files' names, with the time where they hold several."""
    pieces = Counter(name for group in groups for name in {name for _, name in group})
    named = []
    for group in groups:
        names = list(dict.fromkeys(name for _, name in group))
        shown = "+".join(names) if len(names) <= 2 else f"{names[0]}+{len(names) - 2}more+{names[-1]}"
        if any(pieces[name] > 1 for name in names):
            shown += group[0][0].strftime("_%Y%m%dT%H%M%S")
        named.append(shown)
    return named
