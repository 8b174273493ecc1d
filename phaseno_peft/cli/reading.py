"""Reading a campaign's files for a command: with a bar, and with what was found said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from phaseno_peft.cli.console import Terminal

if TYPE_CHECKING:
    from phaseno_peft.campaign import Campaign, Complete


def read_campaign(
    terminal: Terminal,
    name: str,
    waveforms: Path,
    stations: Path | None,
    picks: Path | None,
    *,
    time_scale: float,
    skip_unknown: bool,
    channels: str | None,
    edge_limit_km: float | None = None,
    complete: Complete = "no",
    noise: str = "between",
) -> Campaign:
    """The campaign, its findings told; without `edge_limit_km` that of upstream."""
    from phaseno_peft.campaign import Campaign
    from phaseno_peft.contract import EDGE_LIMIT_KM, Preprocessing

    with terminal.bar("reading") as update:
        campaign = Campaign.read(
            waveforms,
            stations,
            picks,
            name=name,
            preprocessing=Preprocessing(time_scale=time_scale),
            edge_limit_km=EDGE_LIMIT_KM if edge_limit_km is None else edge_limit_km,
            skip_unknown=skip_unknown,
            channels=channels,
            complete=complete,
            noise=noise,
            progress=update,
        )
    terminal.tell(campaign.findings)
    return campaign
