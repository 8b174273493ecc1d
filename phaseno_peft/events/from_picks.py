"""Picks in, a catalogue of located events out: which velocities, which picks, what is said of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from phaseno_peft.campaign import Catalogue, Finding, StationTable, read_catalogue, read_stations
from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.events.association import Association
from phaseno_peft.events.engine import AssociationRule, associate_picks, chance_picks
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.events.files import events_folder, write_association
from phaseno_peft.events.velocity import HalfSpace, Velocity, fit_half_space, half_space_of, read_velocity
from phaseno_peft.picks import Pick, PickList
from phaseno_peft.picks.csv_files import EARLIER_NAMES, HEADER

if TYPE_CHECKING:
    from obspy import Inventory

log = logging.getLogger(__name__)
FIRST_GUESSES = (
    HalfSpace(),
    HalfSpace(4.2, 2.35, source="half-space of sedimentary rock"),
    HalfSpace(3.0, 1.5, source="half-space of soft rock"),
)
"""Where nothing is known, the one of these in which most picks find an event gives the events for the first fit."""


def associate(
    picks: PickList | Catalogue | str | Path,
    stations: Inventory | StationTable | str | Path,
    *,
    velocity: Velocity | str | Path | None = None,
    catalogue: Catalogue | str | Path | None = None,
    rule: AssociationRule | None = None,
    skip_unknown: bool = False,
    folder: str | Path | None = None,
    overwrite: bool = False,
    on_stage: Callable[[str], None] | None = None,
) -> Association:
    """Associate P and S picks to events and locate them, by PyOcto.

    picks: a `PickList`, our CSV, or what else `read_catalogue` reads; its own events do not count. velocity: a
    `HalfSpace`, `Layers`, or a file (`read_velocity`). catalogue: events whose S-P times and move-out a half-space is
    fitted to instead (`fit_half_space`). Without either, a half-space is fitted to the events of a first association.
    skip_unknown: leave out picks of stations that the table does not list. folder: where the catalogue, its tables,
    figures and page go (`write_association`); `overwrite` replaces one that stands there.

    Raises `CampaignError` for unreadable picks and stations and for picks of unknown stations, and `PhasenoPeftError`
    for a velocity model that cannot be, a folder that must not be replaced, and where PyOcto is not installed.
    """
    say = on_stage or log.info
    target = None if folder is None else events_folder(folder, overwrite=overwrite)
    if velocity is not None and catalogue is not None:
        raise PhasenoPeftError("both a velocity model and a catalogue to fit one to are given. Leave one of them out.")
    rule = rule or AssociationRule()
    table = read_stations(stations)
    model = read_velocity(velocity) if isinstance(velocity, str | Path) else velocity
    if catalogue is not None:
        model = fit_half_space(catalogue, table)
    known, findings = _known(read_picks(picks), table, skip_unknown=skip_unknown)
    findings = [*table.findings, *findings]
    if known:
        table = table.select({pick.trace_id for pick in known}).at(known[0].time, known[-1].time)
        findings += table.findings_of(table.station_ids)
        placed = set(table.station_ids)
        known = PickList([p for p in known if p.trace_id in placed], creator=known.creator, findings=known.findings)
    if model is None:
        model, told = _own_half_space(known, table, rule, say)
        findings += told
    findings += _chance(known, model, rule)
    say(f"associating {len(known)} picks of {len(table)} stations in {model}")
    events = associate_picks(known, table, model, rule)
    made = Association(tuple(events), known, table, model, rule, tuple(findings))
    if target is not None:
        write_association(made, target, overwrite=overwrite)
    return made


def _chance(picks: Sequence[Pick], model: Velocity, rule: AssociationRule) -> list[Finding]:
    """A warning where stray picks are so many that events are made of them."""
    tolerance_s = model.tolerance_s if rule.tolerance_s is None else rule.tolerance_s
    expected, begin = chance_picks(picks, tolerance_s)
    if 6.0 * expected < rule.fewest_picks:
        return []
    text = (
        f"in the ten minutes from {begin} any place and time has {expected:.1f} picks by chance within {tolerance_s:g} "
        f"s, and {rule.fewest_picks} make an event: some events may be chance, and the association takes long. Raise "
        "the thresholds, give a velocity model, so that the tolerance can be smaller, or ask for more picks."
    )
    return [Finding("warning", text)]


def read_picks(picks: PickList | Catalogue | str | Path) -> PickList:
    """Picks of a list, of our CSV, or of what `read_catalogue` reads, whose picks count as certain."""
    if isinstance(picks, PickList):
        return picks
    if isinstance(picks, str | Path) and _is_own_table(Path(picks)):
        return PickList.from_csv(picks, creator=Path(picks).name)
    read = read_catalogue(picks)
    listed = [p for p in read.picks if p.usable]
    methods = {p.method.rsplit("phaseno-peft/", 1)[-1] for p in listed if p.method}
    return PickList(
        [Pick(p.station_id, p.phase, p.time, 1.0, float("nan") if p.uncertainty_s is None else p.uncertainty_s)
         for p in listed],
        creator=methods.pop() if len(methods) == 1 else read.source,
    )  # fmt: skip


def _is_own_table(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig") as file:
            names = {EARLIER_NAMES.get(name.strip(), name.strip()) for name in file.readline(1000).split(",")}
    except (OSError, UnicodeDecodeError):
        return False
    return names.issuperset(HEADER)


def _known(picks: PickList, table: StationTable, *, skip_unknown: bool) -> tuple[PickList, list[Finding]]:
    """The picks under the table's station ids, in time order, and what is said of those left out."""
    if not len(table):
        raise CampaignError(f"{table.source}: holds no station with coordinates. Give a table that does.")
    names: dict[tuple[str, int], str | None] = {}
    kept, unknown = PickList(creator=picks.creator, findings=picks.findings), dict[str, int]()
    for pick in picks.sorted():
        day = pick.time.ns // 86_400_000_000_000  # a station's place may change, hardly within a day
        key = (pick.trace_id, day)
        if key not in names:
            station = table.find(pick.trace_id, pick.time)
            names[key] = None if station is None else station.station_id
        if (name := names[key]) is None:
            unknown[pick.trace_id] = unknown.get(pick.trace_id, 0) + 1
        else:
            kept.append(pick if pick.trace_id == name else replace(pick, trace_id=name))
    findings: list[Finding] = []
    if unknown:
        first = next(iter(unknown))
        n, more = sum(unknown.values()), f" and {len(unknown) - 1} other stations" if len(unknown) > 1 else ""
        text = f"{n} picks of {first.rstrip('.')}{more} have no place: {table.why_not(first)}."
        if not skip_unknown:
            raise CampaignError(f"{text} Add the stations, or drop their picks with --skip-unknown.")
        findings.append(Finding("warning", f"{text} They are left out."))
    return kept, findings


def _own_half_space(
    picks: PickList, table: StationTable, rule: AssociationRule, say: Callable[[str], None]
) -> tuple[HalfSpace, list[Finding]]:
    """A half-space fitted to the events of a first association; the first guess where no event has picks enough."""
    tried = [(guess, associate_picks(picks, table, guess, rule)) for guess in FIRST_GUESSES] if picks else []
    if not any(events for _, events in tried):
        return FIRST_GUESSES[0], []
    guess, events = max(tried, key=lambda pair: sum(len(event.picks) for event in pair[1]))
    fitted = half_space_of(catalogue_events(events), table, "half-space fitted to the events themselves")
    if fitted is None:
        text = (
            f"no event has six picks on four stations, so that no half-space could be fitted: {guess}. Places are "
            "rough. Give a velocity model with --velocity, or a catalogue to fit one to with --catalogue."
        )
        return guess, [Finding("warning", text)]
    say(f"first association in {guess}: {len(events)} events")
    return fitted, [Finding("note", f"no velocity model was given: {fitted}.")]


def catalogue_events(events: Sequence[AssociatedEvent]) -> list[CatalogueEvent]:
    """Events as a catalogue's, for what reads catalogues."""
    made = []
    for k, event in enumerate(events):
        own = [
            LabelledPick(f"{k}-{i}", str(k), p.trace_id, p.phase, p.time, p.uncertainty_s, usable=True, number=i)
            for i, p in enumerate(event.picks, start=1)
        ]
        made.append(
            CatalogueEvent(
                str(k), event.origin_time, event.latitude_deg, event.longitude_deg, event.depth_m, tuple(own)
            )
        )
    return made
