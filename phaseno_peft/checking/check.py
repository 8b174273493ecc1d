"""Everything that can be said of a delivery before a minute is spent on training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from phaseno_peft.campaign.catalog import Catalogue
from phaseno_peft.campaign.conventions import convention_findings, measure_conventions
from phaseno_peft.campaign.findings import Finding, warnings_first
from phaseno_peft.campaign.labels import measure_label_offset
from phaseno_peft.campaign.time_scale import suggest_time_scale
from phaseno_peft.campaign.waveform_files import ChannelMap
from phaseno_peft.checking.arrivals import arrival_findings
from phaseno_peft.checking.channels import channel_findings
from phaseno_peft.checking.components import Polarisation, component_findings, measure_polarisation
from phaseno_peft.checking.coverage import coverage_findings, measure_coverage
from phaseno_peft.checking.delivery import Delivery, places_km, read_delivery
from phaseno_peft.checking.hidden_events import find_hidden_events, hidden_event_findings
from phaseno_peft.checking.moveout import MoveOut, fit_moveout, moveout_findings
from phaseno_peft.checking.noise import measure_noise, noise_findings
from phaseno_peft.checking.page import page_path, write_report
from phaseno_peft.checking.result import CheckResult
from phaseno_peft.checking.sides import Sides, alike_findings, sides_of
from phaseno_peft.contract import EDGE_LIMIT_KM, LabelOffset, Preprocessing

_STATION = re.compile(r"[A-Z0-9]{0,8}\.[A-Z0-9]{1,8}\.[A-Z0-9]{0,8}", re.IGNORECASE)
_OF_PICKS = (
    "label offset",
    "pick without waveforms",
    "too few events",
    "S before P",
    "off the move-out",
    "short S-P times",
)
NEXT_STEPS = {
    "clipped": "Picks of first arrivals can be kept; lower the gain where you can.",
    "dead channel": "Check the cable and the digitiser, or leave the channel out.",
    "label offset": "Keep it if it is your convention; otherwise pick again, on onsets.",
    "pick without waveforms": "Deliver the missing records, correct times or station codes, or delete the picks.",
    "station without coordinates": "Add it to the station file, or leave its traces out.",
}
"""For what reading found without saying what to do."""


def check(
    waveforms: Any = None,
    stations: Any = None,
    picks: Any = None,
    *,
    name: str = "campaign",
    channels: ChannelMap | str | Path | None = None,
    time_scale: float = 1.0,
    edge_limit_km: float = EDGE_LIMIT_KM,
    seed: int = 0,
    report: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Look at waveforms, stations and picks, each where given, and say what is wrong with them and where.

    The three are what `Campaign.read` takes. A file that cannot be read, or a campaign that cannot be trained on,
    becomes a finding of severity "error"; nothing is raised for it. `report` is a folder for one self-contained HTML
    page, `index.html`; an existing page is replaced with `overwrite` only. `seed` is that of folds and split. Raises
    `PhasenoPeftError` for `channels` that cannot be read and a page that cannot be written.
    """
    if report is not None:
        page_path(report, overwrite=overwrite)  # refuse before any work is done
    preprocessing = Preprocessing(time_scale=time_scale)
    delivery = read_delivery(
        waveforms,
        stations,
        picks,
        preprocessing=preprocessing,
        edge_limit_km=edge_limit_km,
        channels=channels,
        progress=progress,
    )
    result = _look(delivery, preprocessing, seed)
    if report is not None:
        result = replace(result, report=write_report(result, report, name, overwrite=overwrite))
    return result


def _look(delivery: Delivery, preprocessing: Preprocessing, seed: int) -> CheckResult:
    campaign, catalogue = delivery.campaign, delivery.catalogue
    own: list[Finding] = []
    coverage = measure_coverage(delivery.recordings)
    own += coverage_findings(delivery, coverage)
    own += channel_findings(delivery)
    noise = measure_noise(delivery)
    if noise is not None:
        own += noise_findings(noise, "waveforms")
    moveout, polarisation, offsets = MoveOut(), list[Polarisation](), dict[str, LabelOffset]()
    sides = Sides()
    if catalogue is not None:
        events = campaign.catalogue.events if campaign is not None else catalogue.events
        own += arrival_findings(campaign.catalogue if campaign is not None else catalogue, preprocessing.window_s)
        if delivery.stations is not None and len(delivery.stations):
            places = places_km(delivery.stations)
            moveout = fit_moveout(events, places)
            own += moveout_findings(moveout, catalogue.source)
            own += _time_scale(delivery, catalogue, preprocessing.time_scale)
    if campaign is not None and delivery.stations is not None:
        stretches = campaign.stretches()
        sources = {e.event_id: e.place_km for e in moveout.events if not e.is_mixed}
        polarisation = measure_polarisation(stretches, places, sources)
        own += component_findings(polarisation, "waveforms")
        own += hidden_event_findings(find_hidden_events(stretches, preprocessing.window_samples))
        offsets = measure_label_offset(stretches)
        own += convention_findings(measure_conventions(stretches), campaign.catalogue.source)
        sides, cannot = sides_of(campaign, seed)
        own += cannot
        own += alike_findings(campaign)
    return CheckResult(
        warnings_first([*_absent(delivery), *own, *_not_said_better(delivery, own)]),
        delivery,
        coverage,
        noise,
        moveout,
        tuple(polarisation),
        offsets,
        sides,
    )


def _time_scale(delivery: Delivery, catalogue: Catalogue, given: float) -> Iterator[Finding]:
    """A note where the data ask for another scale than 1 and none was given."""
    recorded = {i for r in delivery.recordings for i in r.station_ids}
    if delivery.stations is None or not recorded or given != 1.0:
        return
    asked = suggest_time_scale(delivery.arrivals, delivery.stations.select(recorded), catalogue)
    if asked.k != 1.0:
        yield Finding(
            "note",
            f"the data ask for a time scale of {asked.k:g}: {asked.why}.",
            kind="time scale",
            file=catalogue.source,
            place="all stations",
            value=f"{asked.k:g}",
            next_step="Train with --time-scale auto, which checks that on the validation events.",
        )


def _not_said_better(delivery: Delivery, own: list[Finding]) -> Iterator[Finding]:
    """Findings of reading, with place, file and next step, without those that a check of ours names one by one."""
    sources = [part.source if part is not None else "" for part in (delivery.stations, delivery.catalogue)]
    better = {f.kind for f in own} & {"off the move-out", "S before P", "too few events"}
    for finding in delivery.findings:
        if finding.kind in better and (finding.kind != "too few events" or any(f.severity == "error" for f in own)):
            continue
        place = finding.place
        if not place and finding.kind == "" and (found := _STATION.search(finding.text)):
            place = found[0]
        in_text = next((source for source in sources if source and source in finding.text), "")
        file = finding.file or in_text or (sources[1] if finding.kind in _OF_PICKS else "waveforms" if place else "")
        yield replace(finding, place=place, file=file, next_step=finding.next_step or NEXT_STEPS.get(finding.kind, ""))


def _absent(delivery: Delivery) -> Iterator[Finding]:
    unread = {f.kind for f in delivery.findings if f.severity == "error"}
    if unread:
        return
    for given, what, costs in (
        (delivery.traces, "waveforms", "gaps, noise, components and labels"),
        (delivery.stations, "stations", "move-out, components and what training would use"),
        (delivery.catalogue, "picks", "arrivals, label offsets and what training would use"),
    ):
        if not given:
            yield Finding("note", f"no {what} were given: {costs} are not checked.", "not given")
