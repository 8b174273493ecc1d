"""What training would use: folds or three sides, what each holds, and events alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from phaseno_peft.campaign.campaign import Campaign
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.repeaters import ALIKE, families, repeats
from phaseno_peft.campaign.splits import FEW_EVENTS, FOLDS, SIDES, fold_campaign, split_campaign
from phaseno_peft.campaign.stretch import Stretch
from phaseno_peft.checking.arrivals import short_event
from phaseno_peft.errors import CampaignError


@dataclass(frozen=True)
class Use:
    """What one fold, or one of three sides, would hold."""

    side: str
    events: int
    p_picks: int
    s_picks: int
    stations: int
    recordings: int
    hours: float


@dataclass(frozen=True)
class Sides:
    """How training would part the events, and what it would hold on each side."""

    how: str = ""
    uses: tuple[Use, ...] = ()
    in_folds: bool = False


def sides_of(campaign: Campaign, seed: int) -> tuple[Sides, list[Finding]]:
    """The folds or sides that training would make with this seed, and what stands against it."""
    n_events = len({p.event_id for s in campaign.stretches() for p in s.picks if p.usable})
    source, findings = campaign.catalogue.source, []
    try:
        if n_events >= FEW_EVENTS:
            split = split_campaign(campaign, seed)
            return _sides(split.how, {side: getattr(split, side) for side in SIDES}), []
        folds = fold_campaign(campaign, FOLDS, seed)
    except CampaignError as error:
        return Sides(), [Finding("error", str(error), "too few events", source)]
    if len(folds.parts) == 1:
        text = f"{folds.how} The adapter would be the frozen network with its picks moved by a constant shift."
        findings.append(
            Finding("warning", text, "too few events", source, "", str(n_events), "Label more events, apart in time.")
        )
    names = [f"fold {i}" for i in range(1, len(folds.parts) + 1)] if len(folds.parts) > 1 else ["all"]
    return _sides(folds.how, dict(zip(names, folds.parts, strict=True)), in_folds=True), findings


def alike_findings(campaign: Campaign) -> Iterator[Finding]:
    """Events whose waveforms are those of another: repeaters, or one record under two names."""
    found = repeats(campaign.stretches())
    if found:
        first = max(found, key=lambda pair: (pair.stations / pair.common, pair.stations))
        yield Finding(
            "warning",
            f"{len(families(found))} events have the same waveforms as another, the first "
            f"{short_event(first.event_id)} as {short_event(first.other_id)} (correlation above {ALIKE} at "
            f"{first.stations} of {first.common} stations). Training keeps such a family together, or scores would "
            "flatter.",
            "leakage",
            campaign.catalogue.source,
            f"events {short_event(first.event_id)}, {short_event(first.other_id)}",
            f"{first.stations} of {first.common}",
            "If they are one record under two times, delete a copy; an earthquake that repeats itself may stay.",
        )


def _sides(how: str, sides: Mapping[str, Sequence[Stretch]], *, in_folds: bool = False) -> Sides:
    uses = []
    for side, stretches in sides.items():
        picks = [p for s in stretches for p in s.picks if p.usable]
        uses.append(
            Use(
                side,
                len({event_id for s in stretches for event_id in s.event_ids}),
                sum(p.phase == "P" for p in picks),
                sum(p.phase == "S" for p in picks),
                len({p.station_id for p in picks}),
                len(stretches),
                sum(s.recording.duration_s for s in stretches) / 3600.0,
            )
        )
    return Sides(how, tuple(uses), in_folds)
