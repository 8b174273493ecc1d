"""Reading a campaign's files for a command: with a bar, and with what was found said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phaseno_peft.cli.console import Terminal

if TYPE_CHECKING:
    from phaseno_peft.campaign import Campaign, Complete
    from phaseno_peft.campaign.conventions import Target


def read_campaign(
    terminal: Terminal,
    name: str,
    waveforms: Path,
    stations: Path | None,
    picks: Path | None,
    *,
    time_scale: float | None,
    skip_unknown: bool,
    channels: str | None,
    edge_limit_km: float | None = None,
    complete: Complete | str | Path = "no",
    noise: str = "between",
    picks_on: Target | None = None,
    more: Sequence[Path] = (),
    auto: Mapping[str, Any] | None = None,
) -> Campaign:
    """The campaign, its findings told; without `edge_limit_km` that of upstream.

    Without `time_scale` that of the data; `auto` says with which backbone, seed and device it is checked.
    """
    from phaseno_peft.campaign import Campaign
    from phaseno_peft.contract import EDGE_LIMIT_KM, Preprocessing

    options: dict[str, Any] = {
        "name": name,
        "edge_limit_km": EDGE_LIMIT_KM if edge_limit_km is None else edge_limit_km,
        "skip_unknown": skip_unknown,
        "channels": channels,
        "complete": complete,
        "noise": noise,
        "picks_on": picks_on,
        "more": more,
    }
    with terminal.bar("reading") as update:
        if time_scale is not None:
            preprocessing = Preprocessing(time_scale=time_scale)
            campaign = Campaign.read(
                waveforms, stations, picks, preprocessing=preprocessing, progress=update, **options
            )
        else:
            from phaseno_peft.training.time_scale import read_at_best_scale

            campaign = read_at_best_scale(
                waveforms, stations, picks, progress=update, say=terminal.say, **options, **(auto or {})
            )
    terminal.tell(campaign.findings)
    return campaign
