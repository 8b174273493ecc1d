"""Any picker's list against a catalogue on continuous time, with what the records could have shown at all.

One to one and nearest first, station by station and phase by phase, as windows are scored. What counts as what:

- **Found** and **missed**: usable labels of the catalogue that a station recorded. Labels outside the records are told
  and not counted: no picker could have seen them.
- **False**: a pick within an event, at a station where the catalogue has this phase of this event, that matches no
  label; where the catalogue is said to list every arrival, every pick that matches none.
- **Not judged**: other picks without a label (nobody says that there is nothing), picks on labels of weight 0, and
  picks of a site's other sensor on an arrival that is found, where the catalogue names sites only.

A pick that a list holds twice is one, and is told.

All times are real.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from obspy import UTCDateTime

from phaseno_peft.campaign import Catalogue, Finding, LabelledPick, read_catalogue
from phaseno_peft.campaign.labels import event_end
from phaseno_peft.campaign.sources import Index, Source
from phaseno_peft.campaign.waveform_files import ChannelMap
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.evaluation.bootstrap import bootstrap_draws, interval_of_draws
from phaseno_peft.evaluation.matching import match
from phaseno_peft.evaluation.scores import PhaseScore
from phaseno_peft.picks import PickList
from phaseno_peft.station_ids import station_fields
from phaseno_peft.text_tables import TextTable

BEFORE_S = 1.0
"""A pick this long before an event's first label still belongs to it; after the last, as windows have it."""
NS = 1e-9
OUTCOMES = ("found", "missed", "false", "not judged")
Spans = Mapping[str, Sequence[tuple[int, int]]]
"""Station -> (first, last) nanoseconds of its records, in time order and apart."""


@dataclass(frozen=True)
class Completeness:
    """What of both lists the records could have shown."""

    labels: int
    """Usable P and S of the catalogue."""
    labels_recorded: int
    """Of them, those whose station recorded their time."""
    stations_without_record: tuple[str, ...]
    """Stations of labels that have no record at all."""
    picks: int
    picks_recorded: int
    station_hours: float
    """Recorded hours, summed over stations."""
    hours: float
    """Hours in which at least one station recorded."""

    def __str__(self) -> str:
        text = (
            f"The records ({self.hours:.2f} hours, {self.station_hours:.2f} station hours) hold {self.labels_recorded} "
            f"of {self.labels} labels and {self.picks_recorded} of {self.picks} picks; the rest is not counted."
        )
        silent = self.stations_without_record
        if silent:
            text += f" {len(silent)} stations of the catalogue have no record: {', '.join(silent[:6])}"
            text += ", ..." if len(silent) > 6 else "."
        return text


@dataclass(frozen=True)
class ListScore:
    """A list of picks scored against a catalogue."""

    phases: dict[tuple[str, float], PhaseScore]
    """(phase, tolerance in s) -> its score; intervals are over events."""
    recall_95: dict[tuple[str, float], tuple[float, float]]
    not_judged: dict[tuple[str, float], int]
    completeness: Completeness
    lists_every_arrival: bool
    """The catalogue was taken to list every arrival."""
    rows: tuple[dict[str, Any], ...]
    """Every counted label and pick at the widest tolerance: outcome, station, phase, times, residual."""
    findings: tuple[Finding, ...] = ()
    """Of reading both lists."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "scores": self.table(),
            "completeness": vars(self.completeness) | {"text": str(self.completeness)},
            "catalogue_lists_every_arrival": self.lists_every_arrival,
            "findings": [f"{finding.severity}: {finding.text}" for finding in self.findings],
        }

    def table(self) -> list[dict[str, Any]]:
        """A row per phase and tolerance, as numbers; None where a ratio has no denominator."""
        rows = []
        for (phase, tolerance_s), score in self.phases.items():
            low, high = self.recall_95[phase, tolerance_s]
            rows.append(
                {
                    "phase": phase,
                    "tolerance_s": tolerance_s,
                    "precision": _finite(score.precision),
                    "recall": _finite(score.recall),
                    "recall_low": _finite(low) if score.n_labels else None,
                    "recall_high": _finite(high) if score.n_labels else None,
                    "f1": score.f1 if score.n_labels else None,
                    "f1_low": score.f1_95[0] if score.n_labels else None,
                    "f1_high": score.f1_95[1] if score.n_labels else None,
                    "residual_median_s": _finite(score.residual_median_s),
                    "residual_mad_s": _finite(score.residual_mad_s),
                    "found": score.tp,
                    "missed": score.fn,
                    "false": score.fp,
                    "not_judged": self.not_judged[phase, tolerance_s],
                }
            )
        return rows


def score_picks(
    picks: PickList | Catalogue | str | Path,
    catalogue: Any,
    waveforms: Source,
    *,
    tolerance: float | Sequence[float] = (0.5, 0.1),
    every_arrival: bool = False,
    channels: ChannelMap | str | Path | None = None,
    skip_unreadable: bool = False,
    seed: int = 0,
) -> ListScore:
    """Score a list of picks of any program against a catalogue, on the records that both are about.

    `picks` and `catalogue` are what `read_catalogue` takes (our CSV, PhaseNet's, GaMMA's, SeisBench's, QuakeML and
    others), `picks` also a `PickList`; of `waveforms` only headers are read. `tolerance` is in real seconds;
    `every_arrival` says that the catalogue lists every arrival, so that every pick without a label is false. Raises
    `CampaignError` for files that cannot be read and where no label or none of the picks lies in the records, and
    `PhasenoPeftError` for a tolerance that is not positive.
    """
    tolerances = sorted({float(t) for t in np.atleast_1d(np.asarray(tolerance, np.float64))}, reverse=True)
    if not tolerances or not all(0 < t < 60 for t in tolerances):
        raise PhasenoPeftError(f"`tolerance` should be between 0 and 60 s but is {tolerance}.")
    known = read_catalogue(catalogue)
    found, source, told = _listed(picks)
    labels = [pick for event in known.events for pick in event.picks]
    recorded = recorded_spans(waveforms, channels, skip_unreadable=skip_unreadable)
    name_of = common_names(recorded, [pick.station_id for pick in (*labels, *found)])
    spans = _merged((name_of.get(i, i), spans) for i, spans in recorded.items())
    inside = [p for p in labels if _is_recorded(spans, name_of.get(p.station_id), p.time.ns)]
    seen = [p for p in found if _is_recorded(spans, name_of.get(p.station_id), p.time.ns)]
    usable = [p for p in labels if p.usable]
    if not any(p.usable for p in inside):
        raise CampaignError(_nothing_inside(known.source, "labels", usable, spans))
    if found and not seen:
        raise CampaignError(_nothing_inside(source, "picks", found, spans))
    completeness = Completeness(
        labels=len(usable),
        labels_recorded=sum(p.usable for p in inside),
        stations_without_record=tuple(
            sorted({p.station_id.rstrip(".") for p in usable if p.station_id not in name_of})
        ),
        picks=len(found),
        picks_recorded=len(seen),
        station_hours=sum(b - a for each in spans.values() for a, b in each) * NS / 3600,
        hours=sum(b - a for a, b in _merged([("", s) for s in spans.values()])[""]) * NS / 3600,
    )
    phases: dict[tuple[str, float], PhaseScore] = {}
    recall_95, not_judged, rows = {}, {}, list[dict[str, Any]]()
    for phase in PHASES:
        for tolerance_s in tolerances:
            key = phase, tolerance_s
            outcomes = _outcomes(inside, seen, name_of, phase, tolerance_s, every_arrival=every_arrival)
            phases[key], recall_95[key] = _scored(outcomes, phase, tolerance_s, seed)
            not_judged[key] = sum(row["outcome"] == "not judged" for row in outcomes)
            rows += [_told(row) for row in outcomes] if tolerance_s == tolerances[0] else []
    return ListScore(phases, recall_95, not_judged, completeness, every_arrival, tuple(rows), (*known.findings, *told))


def score_table(made: ListScore) -> TextTable:
    """Return the scores as a table for the terminal and for Markdown."""
    columns = ("phase", "within", "precision", "recall [95 %]", "F1 [95 %]", "median ms", "MAD ms", *OUTCOMES)
    rows = []
    for row in made.table():
        rows.append(
            (
                row["phase"],
                f"{row['tolerance_s']:g} s",
                _text(row["precision"], "{:.3f}"),
                f"{_text(row['recall'], '{:.3f}')} [{_text(row['recall_low'], '{:.3f}')}, "
                f"{_text(row['recall_high'], '{:.3f}')}]",
                f"{_text(row['f1'], '{:.3f}')} [{_text(row['f1_low'], '{:.3f}')}, {_text(row['f1_high'], '{:.3f}')}]",
                _text(row["residual_median_s"], "{:+.0f}", 1000.0),
                _text(row["residual_mad_s"], "{:.0f}", 1000.0),
                *(row[name.replace(" ", "_")] for name in OUTCOMES),
            )
        )
    return TextTable(columns, rows, "Picks against the catalogue; 95 % by bootstrap over events", n_left=2)


def recorded_spans(
    waveforms: Source, channels: ChannelMap | str | Path | None = None, *, skip_unreadable: bool = False
) -> dict[str, list[tuple[int, int]]]:
    """Return what each station NET.STA.LOC recorded on any channel, as (first, last) nanoseconds, by headers."""
    index = Index(waveforms, NETWORK_RATE_HZ, channels=channels, skip_unreadable=skip_unreadable)
    try:
        found = [
            (h.seed_id.rsplit(".", 1)[0], [(h.start_ns, h.end_ns + round(1e9 / h.rate_hz))]) for h in index.headers
        ]
    finally:
        index.close()
    if not found:
        raise CampaignError("the waveforms hold no samples. Give files with at least one trace.")
    return _merged(found)


def common_names(recorded: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Return the name under which a station id NET.STA.LOC is compared; wanted ids without record have none.

    Lists often leave out location or network codes. Where every wanted id of a site is a recorded one, sensors keep
    their own names; else the site NET.STA is one station. An id without network belongs to the one network that
    recorded its station code.
    """
    recorded, wanted = set(recorded), set(wanted)
    sites: dict[tuple[str, str], set[str]] = {}
    for station_id in recorded:
        sites.setdefault(station_fields(station_id)[:2], set()).add(station_id)
    site_of: dict[str, tuple[str, str]] = {}
    for station_id in wanted | recorded:
        network, code, _ = station_fields(station_id)
        near = [site for site in sites if site[1] == code and (site[0] == network or "" in (network, site[0]))]
        exact = [site for site in near if site[0] == network]
        if len(exact or near) == 1:
            site_of[station_id] = (exact or near)[0]
    inexact = {site for station_id, site in site_of.items() if station_id not in recorded}
    return {i: ".".join(site) if site in inexact else i for i, site in site_of.items()}


def _listed(picks: PickList | Catalogue | str | Path) -> tuple[list[LabelledPick], str, list[Finding]]:
    """Every pick of a list once, its name, and what was found while reading it."""
    if isinstance(picks, PickList):
        made = [
            LabelledPick(str(n), "", p.trace_id, p.phase, p.time, p.uncertainty_s, usable=True, number=n)
            for n, p in enumerate(picks, start=1)
        ]
        source, findings = "the picks", list[Finding]()
    else:
        read = read_catalogue(picks, of_a_picker=True, may_be_empty=True)
        made, source, findings = list(read.picks), read.source, list(read.findings)
    once = list({(pick.station_id, pick.phase, pick.time.ns): pick for pick in made}.values())
    if len(once) < len(made):
        n = len(made) - len(once)
        findings.append(
            Finding("warning", f"{source}: {n} picks stand there twice, to the same sample; each counts once.")
        )
    return once, source, findings


def _merged(spans: Iterable[tuple[str, Sequence[tuple[int, int]]]]) -> dict[str, list[tuple[int, int]]]:
    together: dict[str, list[tuple[int, int]]] = {}
    for name, own in spans:
        together.setdefault(name, []).extend(own)
    for name, own in together.items():
        apart: list[tuple[int, int]] = []
        for first, last in sorted(own):
            if apart and first <= apart[-1][1]:
                apart[-1] = (apart[-1][0], max(last, apart[-1][1]))
            else:
                apart.append((first, last))
        together[name] = apart
    return together


def _is_recorded(spans: Spans, name: str | None, time_ns: int) -> bool:
    own = spans.get(name, ()) if name is not None else ()
    k = bisect.bisect_right(own, (time_ns, 1 << 63)) - 1
    return k >= 0 and time_ns <= own[k][1]


def _outcomes(
    labels: Sequence[LabelledPick],
    picks: Sequence[LabelledPick],
    name_of: Mapping[str, str],
    phase: str,
    tolerance_s: float,
    *,
    every_arrival: bool,
) -> list[dict[str, Any]]:
    """Rows of outcome, station, event, label and pick (or None) of one phase, by station and time."""
    extents = _extents(labels)
    of_station: dict[str, tuple[list[LabelledPick], list[LabelledPick]]] = {}
    for k, given in enumerate((labels, picks)):
        for each in given:
            if each.phase == phase:
                of_station.setdefault(name_of[each.station_id], ([], []))[k].append(each)
    rows: list[dict[str, Any]] = []
    reach_ns = round(tolerance_s / NS)
    for station, (here, found) in sorted(of_station.items()):
        zero = min(p.time.ns for p in (*here, *found))
        matching = match([(p.time.ns - zero) * NS for p in found], [(p.time.ns - zero) * NS for p in here], tolerance_s)
        for pick, label in matching.pairs:
            outcome = "found" if here[label].usable else "not judged"
            rows.append(_row(outcome, station, here[label].event_id, here[label], found[pick]))
        for label in matching.unmatched_labels:
            if here[label].usable:
                rows.append(_row("missed", station, here[label].event_id, here[label], None))
        own_extents = sorted((*extents[event_id], event_id) for event_id in {p.event_id for p in here if p.usable})
        firsts = [first for first, _, _ in own_extents]
        longest = max((last - first for first, last, _ in own_extents), default=0)
        arrivals = sorted((here[label].time.ns, found[pick].station_id) for pick, label in matching.pairs)
        for pick in matching.unmatched_picks:
            at = found[pick].time.ns
            near = own_extents[bisect.bisect_left(firsts, at - longest) : bisect.bisect_right(firsts, at)]
            event_id = next((event for _, last, event in near if at <= last), "")
            first = bisect.bisect_left(arrivals, (at - reach_ns, ""))
            around = arrivals[first : bisect.bisect_left(arrivals, (at + reach_ns + 1, ""))]
            is_others = any(sensor != found[pick].station_id for _, sensor in around)
            outcome = "false" if (every_arrival or event_id) and not is_others else "not judged"
            rows.append(_row(outcome, station, event_id, None, found[pick]))
    return rows


def _extents(labels: Sequence[LabelledPick]) -> dict[str, tuple[int, int]]:
    """Event -> (first, last) nanoseconds between which it sends arrivals."""
    times: dict[str, list[int]] = {}
    for label in labels:
        times.setdefault(label.event_id, []).append(label.time.ns)
    extents = {}
    for event_id, own in times.items():
        length = (max(own) - min(own)) * NS * NETWORK_RATE_HZ
        last_ns = min(own) + round(event_end(0.0, length) / NETWORK_RATE_HZ * 1e9)
        extents[event_id] = min(own) - round(BEFORE_S * 1e9), last_ns
    return extents


def _row(
    outcome: str, station: str, event_id: str, label: LabelledPick | None, pick: LabelledPick | None
) -> dict[str, Any]:
    return {"outcome": outcome, "station": station, "event": event_id, "label": label, "pick": pick}


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as plain values."""
    label, pick = row["label"], row["pick"]
    residual = round((pick.time.ns - label.time.ns) * NS, 4) if label is not None and pick is not None else None
    return {
        "outcome": row["outcome"],
        "phase": (label or pick).phase,
        "station": row["station"].rstrip("."),
        "label_time": str(label.time) if label is not None else "",
        "pick_time": str(pick.time) if pick is not None else "",
        "residual_s": residual,
        "event": row["event"],
    }


def _scored(
    rows: Sequence[Mapping[str, Any]], phase: str, tolerance_s: float, seed: int
) -> tuple[PhaseScore, tuple[float, float]]:
    """The score and the interval of recall; events are drawn with replacement, false picks without one each alone."""
    counts = Counter(row["outcome"] for row in rows)
    residuals = [(row["pick"].time.ns - row["label"].time.ns) * NS for row in rows if row["outcome"] == "found"]
    units: dict[str, int] = {}
    judged: list[tuple[int, int]] = []
    for n, row in enumerate(rows):
        if row["outcome"] != "not judged":
            unit = units.setdefault(row["event"] or f"\0{n}", len(units))
            judged.append((unit, ("found", "false", "missed").index(row["outcome"])))
    by_unit: NDArray[np.float64] = np.zeros((len(units), 3))
    for unit, outcome in judged:
        by_unit[unit, outcome] += 1
    tp, fp, fn = bootstrap_draws(by_unit, range(len(units)), seed).T
    f1 = 2 * tp / np.maximum(2 * tp + fp + fn, 1)
    recall = tp / np.maximum(tp + fn, 1)
    found, false, missed = counts["found"], counts["false"], counts["missed"]
    score = PhaseScore(
        phase=phase,
        tolerance_s=tolerance_s,
        threshold=0.0,
        tp=found,
        fp=false,
        fn=missed,
        tn=0,
        n_labels=found + missed,
        residuals_s=tuple(residuals),
        half_widths_s=(),
        f1_95=interval_of_draws(f1),
    )
    return score, interval_of_draws(recall)


def _nothing_inside(source: str, what: str, picks: Sequence[LabelledPick], spans: Spans) -> str:
    firsts = [own[0][0] for own in spans.values()], [own[-1][1] for own in spans.values()]
    times = [p.time for p in picks]
    when = f", from {min(times)} to {max(times)} at {len({p.station_id for p in picks})} stations," if times else ""
    return (
        f"{source}: none of its {len(picks)} {what}{when} lies in the records, which reach from "
        f"{UTCDateTime(ns=min(firsts[0]))} to {UTCDateTime(ns=max(firsts[1]))} at {len(spans)} stations, the first "
        f"{min(spans)}. Compare times and station codes."
    )


def _text(value: float | None, form: str, times: float = 1.0) -> str:
    return "-" if value is None else form.format(times * value)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
