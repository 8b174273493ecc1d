"""Runs of record: stretches of time whose records touch, however many files hold them.

A run that is no longer than `INSPECTED_S` is looked at as a whole before anything is decided, as `prepare` does; longer
ones are prepared span by span (`long_run`). Nothing depends on the files, on their order, or on how much is read at
once.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from obspy import Stream, Trace, UTCDateTime

from phaseno_peft.campaign.findings import Finding, gather, warnings_first
from phaseno_peft.campaign.long_run import INSPECTED_S, LongRun, joined_runs
from phaseno_peft.campaign.run import OnFindings, Run
from phaseno_peft.campaign.sources import Header, Index, Source, Stored, UnreadableFileError
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.waveform_files import ChannelMap
from phaseno_peft.campaign.waveforms import prepare
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError

TOUCHING_S = 1.0
"""Records that follow each other within this gap belong to one run, so that no window is cut at a file's end."""


FAR_APART_S = 5 * 31_556_952.0
"""Five years: records so far apart are seldom of one campaign. A clock without GPS begins at 1970 or 1980."""


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
    ) -> None:
        self._stations, self._preprocessing = stations, preprocessing
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
            why = self._index.findings[0].text if self._index.findings else "they hold no samples."
            raise CampaignError(f"the waveforms cannot be used: {why} Give files with at least one trace.")
        self._groups = _groups(self._index.headers)
        self.prepared: list[Run] = []
        """The runs that have been given out."""
        self._failures: list[CampaignError] = []

    @property
    def duration_s(self) -> float:
        """Real length of all runs by their headers, also of those that will prove useless."""
        return sum(_span_s(group) for group in self._groups)

    def __iter__(self) -> Iterator[Run]:
        try:
            names = recording_names([[(UTCDateTime(ns=h.start_ns), h.name) for h in group] for group in self._groups])
            ends_s = itertools.accumulate(_span_s(group) for group in self._groups)
            for name, group, end_s in zip(names, self._groups, ends_s, strict=True):
                try:
                    run = self._run(name, group)
                except UnreadableFileError:
                    raise
                except CampaignError as error:
                    self._failures.append(error)
                    continue
                self._tell(run.findings)
                run.on_findings, run.before_s = self._tell, end_s - _span_s(group)
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
        findings += years_apart([(group[0].start_ns, max(h.end_ns for h in group)) for group in self._groups])
        told = [finding.text for run in self.prepared for finding in run.findings]
        return findings + [f for f in self._stations.findings if not any(text.startswith(f.text) for text in told)]

    def _tell(self, findings: Sequence[Finding]) -> None:
        new = [finding for finding in findings if finding not in self._told]
        self._told.update(new)
        if new and self._on_findings is not None:
            self._on_findings(new)

    def _run(self, name: str, group: Sequence[Header]) -> Run:
        if _span_s(group) * self._preprocessing.time_scale <= INSPECTED_S:
            return Run.of(prepare(self._stream(group), self._stations, self._preprocessing, name))
        return LongRun(name, group, self._index, self._stations, self._preprocessing).run()

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


def _span_s(group: Sequence[Header]) -> float:
    return (max(h.end_ns for h in group) - group[0].start_ns) * 1e-9


def _groups(headers: Sequence[Header]) -> list[list[Header]]:
    """Headers in time order as runs of records that touch."""
    groups: list[list[Header]] = []
    end_ns = 0
    for header in headers:
        if not groups or (header.start_ns - end_ns) * 1e-9 > TOUCHING_S:
            groups.append([])
            end_ns = header.end_ns
        groups[-1].append(header)
        end_ns = max(end_ns, header.end_ns)
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
