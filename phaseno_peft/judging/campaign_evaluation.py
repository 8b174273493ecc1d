"""`evaluate`: an adapter on a campaign's files, beside the frozen backbone and others; its verdict and report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from phaseno_peft.baselines import load_rivals
from phaseno_peft.campaign import Campaign, Complete, Finding
from phaseno_peft.campaign.conventions import Target
from phaseno_peft.campaign.noise_times import BETWEEN
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation.judge import judge
from phaseno_peft.evaluation.report import Evaluation
from phaseno_peft.judging.evidence import stored_forgetting, weigh
from phaseno_peft.judging.few_shot import read_few_shot
from phaseno_peft.judging.page import report_folder, write_report
from phaseno_peft.judging.tables import verdict_row
from phaseno_peft.judging.verdict import FEWEST_NOISE_HOURS
from phaseno_peft.picking.picker import load_adapter

MOST_NOISE_HOURS = 24.0
"""Windows are kept in memory."""


def evaluate(
    adapter: str | Path,
    waveforms: Any,
    stations: Any = None,
    picks: Any = None,
    *,
    backbone: str | Path | None = None,
    rivals: Sequence[str] | str | None = None,
    phasenet_weights: str | Path | None = None,
    skip_unknown: bool = False,
    channels: Mapping[str, str] | str | Path | None = None,
    complete: Complete | str | Path = "no",
    noise: Any = BETWEEN,
    picks_on: Target | None = None,
    report: str | Path | None = None,
    overwrite: bool = False,
    confidential: bool = False,
    few_shot: str | Path | None = None,
    noise_hours: float = FEWEST_NOISE_HOURS,
    on_stage: Callable[[str], None] | None = None,
    on_findings: Callable[[Sequence[Finding]], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score an adapter on labelled records, prepared as its contract says, beside the frozen backbone and `rivals`.

    `waveforms`, `stations`, `picks`, `skip_unknown`, `channels`, `complete`, `noise` and `picks_on` are those of
    `Campaign.read`; `rivals` are names that `load_rivals` takes, such as "stalta,phasenet". On the campaign the adapter
    was trained on only the held-out test events are used, on another one all events; `about["events"]` says which.
    `about["verdict"]` says what the scores mean by the rules of `judging.verdict`. `report` is a folder for one
    self-contained HTML page with its tables and figures beside it; a report that is there is replaced with `overwrite`
    only. A `confidential` one leaves stations, times, exact place, single picks and records out. `few_shot` is a folder
    that `compare` wrote for the same campaign and backbone: its F1 against labelled events goes into the report. False
    picks are counted in up to `noise_hours` of record without events, 600 windows at most; F1 has a window of noise for
    each of an event. Raises `AdapterError`, `CampaignError` also where no label lies in a record, and
    `PhasenoPeftError` for weights of a rival that is not asked for and a report that cannot be written.
    """
    if not 0 <= noise_hours <= MOST_NOISE_HOURS:
        raise PhasenoPeftError(
            f"`noise_hours` should be 0 to {MOST_NOISE_HOURS:g} but is {noise_hours:g}. For longer noise use "
            "`phaseno-peft score`, which counts on continuous records."
        )
    if confidential and report is None:
        raise PhasenoPeftError(
            "`confidential` is about the report. Give `report` a folder (--report), or leave it out."
        )
    if few_shot is not None and report is None:
        raise PhasenoPeftError("`few_shot` is about the report. Give `report` a folder (--report), or leave it out.")
    if report is not None:
        report_folder(report, overwrite=overwrite)  # refuse before any work is done
    if rivals is None and phasenet_weights is not None:
        raise PhasenoPeftError("--phasenet-weights goes with a rival. Add --rivals phasenet.")
    others = load_rivals(rivals, phasenet_weights) if rivals is not None else []
    picker = load_adapter(adapter, backbone=backbone)
    contract = picker.adapter_contract
    curve = None if few_shot is None else read_few_shot(few_shot, contract)
    campaign = Campaign.read(
        waveforms,
        stations,
        picks,
        name=contract.provenance.campaign,
        preprocessing=contract.preprocessing,
        edge_limit_km=contract.frame.edge_limit_km,
        skip_unknown=skip_unknown,
        channels=channels,
        complete=complete,
        noise=noise,
        picks_on=picks_on,
        progress=progress,
    )
    if on_findings is not None:
        on_findings(campaign.findings)
    judged = judge(picker, campaign, on_stage, rivals=others, noise_hours=noise_hours)
    weighed = weigh(str(picker.active_adapter), contract, campaign, judged, stored_forgetting(adapter))
    page = None
    if report is not None:
        if on_stage is not None:
            on_stage("writing the report")
        weighed = dataclasses.replace(weighed, few_shot=curve)
        page = write_report(weighed, report, overwrite=overwrite, confidential=confidential)
    about = {
        "adapter": picker.active_adapter,
        "events": judged.events,
        "verdict": verdict_row(weighed),
        "report": str(page) if page is not None else None,
        "findings": [{k: v for k, v in dataclasses.asdict(finding).items() if v} for finding in campaign.findings],
    }
    return Evaluation(judged.scores, about)
