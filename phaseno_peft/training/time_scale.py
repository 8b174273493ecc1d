"""`--time-scale auto`: the scale that a campaign's numbers ask for, checked by the frozen backbone on validation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from obspy import Stream

from phaseno_peft.backbone import EMBEDDED, load_backbone
from phaseno_peft.campaign import (
    Campaign,
    fold_campaign,
    read_catalogue,
    read_stations,
    read_waveforms,
    split_campaign,
)
from phaseno_peft.campaign.around_events import is_large, streams_around
from phaseno_peft.campaign.campaign import own_metadata
from phaseno_peft.campaign.splits import FOLDS
from phaseno_peft.campaign.time_scale import suggest_time_scale
from phaseno_peft.campaign.waveform_files import ChannelMap
from phaseno_peft.contract import BackboneDefaults, Preprocessing
from phaseno_peft.errors import CampaignError
from phaseno_peft.evaluation.held_out import Predictions, score_at_thresholds_of
from phaseno_peft.evaluation.judge import validation_windows
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.station_ids import station_fields

LARGEST_TOLERANCE_S = 0.5
"""Network's time, of the larger scale; the other one is judged within as many real seconds."""


def read_at_best_scale(
    waveforms: Any,
    stations: Any = None,
    picks: Any = None,
    *,
    backbone: str | Path = EMBEDDED,
    seed: int = 0,
    device: str | torch.device = "cpu",
    say: Callable[[str], None] = lambda _: None,
    channels: ChannelMap | str | Path | None = None,
    **reading: Any,
) -> Campaign:
    """A campaign read with the scale that it asks for (`suggest_time_scale`), or with 1 where that is better.

    Where another scale than 1 is asked for, the frozen backbone is judged with both on the validation events of the
    split with this seed (on all events, where they are too few to be parted: nothing was trained on them), at
    thresholds chosen there, within the same real tolerance. The suggested scale is kept unless 1 is better by more than
    one pick. `say` is told what was chosen and why; all else as for `Campaign.read`.
    """
    table = read_stations(own_metadata(waveforms, "stations") if stations is None else stations)
    catalogue = read_catalogue(own_metadata(waveforms, "picks") if picks is None else picks)
    streams = {"stream": waveforms} if isinstance(waveforms, Stream) else waveforms
    if isinstance(streams, Mapping):
        waveforms = streams
    elif is_large(waveforms):
        streams, reading["channels"] = streams_around(waveforms, catalogue.events, channels), channels
    else:
        waveforms = streams = read_waveforms(waveforms, channels)
    recorded = {(t.stats.network, t.stats.station) for s in streams.values() for t in s}
    among = table.select({i for i in table.station_ids if station_fields(i)[:2] in recorded})
    suggested = suggest_time_scale(streams, among if len(among) else table, catalogue)

    def read(k: float) -> Campaign:
        return Campaign.read(waveforms, table, catalogue, preprocessing=Preprocessing(time_scale=k), **reading)

    if suggested.k == 1.0:
        say(f"time scale 1: {suggested.why}")
        return read(1.0)
    model = load_backbone(backbone, device)
    tolerance_s = LARGEST_TOLERANCE_S / suggested.k  # real
    campaigns = {k: read(k) for k in (1.0, suggested.k)}
    scores = {k: _mean_f1(model, campaign, seed, tolerance_s * k) for k, campaign in campaigns.items()}
    (plain, n_labels, events), (scaled, _, _) = scores[1.0], scores[suggested.k]
    k = 1.0 if plain > scaled + 1 / max(1, n_labels) else suggested.k
    say(
        f"time scale {k:g}: {suggested.why}, which asks for {suggested.k:g}. On {events} the frozen "
        f"backbone reaches a mean F1 of {scaled:.3f} within {1000 * tolerance_s:.0f} ms with it, and {plain:.3f} with 1"
    )
    return campaigns[k]


def _mean_f1(model: torch.nn.Module, campaign: Campaign, seed: int, tolerance_s: float) -> tuple[float, int, str]:
    """(mean F1 of P and S, labels, of which events); the tolerance is in the network's time."""
    try:
        split, events = split_campaign(campaign, seed), "the validation events"
    except CampaignError:
        split, events = fold_campaign(campaign, FOLDS, seed).whole, "all events, too few to be parted,"
        split = dataclasses.replace(split, validation=split.train)
    windows = validation_windows(split, campaign.frame, campaign.preprocessing, seed)
    found = Predictions(windows, window_probabilities(model, windows, campaign.frame.edge_limit_km))
    scores = score_at_thresholds_of(found, found, min_distance_s=BackboneDefaults().min_distance_s)
    return scores.mean_f1(tolerance_s), sum(len(window.labels) for window in windows), events
