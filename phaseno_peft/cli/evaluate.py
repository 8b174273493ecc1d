"""`phaseno-peft evaluate`: an adapter beside the frozen backbone, and rivals, on labelled records."""

from __future__ import annotations

from typing import Annotated

import typer

from phaseno_peft.cli.adapters import AdapterArgument
from phaseno_peft.cli.console import Terminal, findings_json
from phaseno_peft.cli.options import (
    BackboneOption,
    ChannelsOption,
    JsonOption,
    PhasenetWeightsOption,
    PicksOption,
    QuietOption,
    SkipUnknownOption,
    StationsOption,
    WaveformsOption,
)


def evaluate(
    name: AdapterArgument,
    waveforms: WaveformsOption,
    stations: StationsOption,
    picks: PicksOption,
    backbone: BackboneOption = None,
    rivals: Annotated[
        str | None,
        typer.Option(
            "--rivals",
            help="Other pickers to score, with commas: stalta, phasenet, or a SeisBench model as CLASS:WEIGHTS.",
        ),
    ] = None,
    phasenet_weights: PhasenetWeightsOption = None,
    skip_unknown: SkipUnknownOption = False,
    channels: ChannelsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score an adapter on labelled records, beside the frozen backbone.

    On the campaign it was trained on, only the held-out test events are used; on another one, all events.

    Example: phaseno-peft evaluate samba-nz --waveforms waveforms --stations stations.xml --picks picks.xml
    """
    from phaseno_peft.baselines import load_rivals
    from phaseno_peft.campaign import Campaign
    from phaseno_peft.errors import PhasenoPeftError
    from phaseno_peft.evaluation import comparison_table
    from phaseno_peft.evaluation.judge import judge
    from phaseno_peft.picking import load_adapter

    terminal = Terminal(quiet=quiet)
    if rivals is None and phasenet_weights is not None:
        raise PhasenoPeftError("--phasenet-weights goes with a rival. Add --rivals phasenet.")
    others = load_rivals(rivals, phasenet_weights) if rivals is not None else []
    picker = load_adapter(name, backbone=backbone)
    contract = picker.adapter_contract
    with terminal.bar("reading") as update:
        campaign = Campaign.read(
            waveforms,
            stations,
            picks,
            name=contract.provenance.campaign,
            preprocessing=contract.preprocessing,
            edge_limit_km=contract.frame.edge_limit_km,
            skip_unknown=skip_unknown,
            channels=channels,
            progress=update,
        )
    terminal.tell(campaign.findings)
    judged = judge(picker, campaign, on_stage=terminal.say, rivals=others)
    if as_json:
        summary = {model: scores.to_json()["summary"] for model, scores in judged.scores.items()}
        made = {"adapter": picker.active_adapter, "events": judged.events, "scores": summary}
        terminal.show_json({**made, **findings_json(campaign.findings)})
        return
    terminal.show(comparison_table(judged.scores))
    terminal.show(judged.events)
