"""The data of one training: the split of a campaign, its windows, and how many of its labels may be used."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phaseno_peft.campaign import Campaign, Split, Stretch, Window, WindowSampler, fixed_windows, split_campaign
from phaseno_peft.errors import CampaignError
from phaseno_peft.evaluation.judge import validation_windows


@dataclass(frozen=True)
class CampaignDataset:
    """A campaign split by event, with the fixed windows that every model is judged on."""

    campaign: Campaign
    split: Split
    validation: list[Window]
    """Thresholds, the best epoch and the best seed are chosen on these."""
    test: list[Window]
    """Nothing is chosen on these."""
    seed: int
    """Of the split and of these windows; trainings have seeds of their own."""

    @classmethod
    def of(cls, campaign: Campaign, seed: int) -> CampaignDataset:
        """Split a campaign. Raises `CampaignError` where it has too few events."""
        split = split_campaign(campaign, seed)
        frame, preprocessing = campaign.frame, campaign.preprocessing
        validation = validation_windows(split, frame, preprocessing, seed)
        return cls(campaign, split, validation, fixed_windows(split.test, frame, preprocessing, seed), seed)

    @property
    def edge_limit_km(self) -> float:
        """Stations farther apart exchange no messages."""
        return self.campaign.frame.edge_limit_km

    @property
    def n_events(self) -> int:
        """Training events."""
        return len(training_events(self.split.train))

    def train(self, labels: int | None = None, seed: int = 0) -> tuple[Stretch, ...]:
        """The training side with all its labels, or with those of `labels` events drawn at random.

        The draws of one seed are nested: the first 10 events are among the first 25. The other events' picks stay as
        places where nothing is known, never as noise. Raises `CampaignError` for more events than there are.
        """
        if labels is None:
            return self.split.train
        events = training_events(self.split.train)
        if not 1 <= labels <= len(events):
            raise CampaignError(
                f"{self.campaign.name}: {labels} labelled events are asked for, the training side has {len(events)}. "
                f"Give 1 to {len(events)}."
            )
        order = np.random.default_rng([seed, 2]).permutation(len(events))
        chosen = {events[i] for i in order[:labels]}
        return tuple(_with_labels_of(stretch, chosen) for stretch in self.split.train)

    def sampler(self, stretches: Sequence[Stretch], seed: int) -> WindowSampler:
        """Training windows of these stretches."""
        return WindowSampler(stretches, self.campaign.frame, self.campaign.preprocessing, seed)

    @cached_property
    def sha256(self) -> str:
        """Digest of everything that training and judging read: samples, picks, stations, preprocessing, split."""
        campaign, digest = self.campaign, hashlib.sha256()

        def note(*values: object) -> None:
            digest.update((repr(values) + "\n").encode())

        note(campaign.preprocessing, campaign.frame, campaign.complete, self.seed, self.split.how)
        for side in (self.split.train, self.split.validation, self.split.test):
            for stretch in side:
                recording = stretch.recording
                note(recording.name, recording.start.ns, recording.rate_hz, recording.samples.shape, stretch.event_ids)
                for station in recording.stations:
                    note(station.station_id, station.latitude_deg, station.longitude_deg)
                for pick in stretch.picks:
                    note(pick.event_id, pick.station_id, pick.phase, pick.time.ns, pick.usable)
                digest.update(np.ascontiguousarray(recording.samples).data)
                digest.update(np.ascontiguousarray(recording.recorded).data)
        return digest.hexdigest()


def training_events(stretches: Sequence[Stretch]) -> list[str]:
    """Ids of the events with a usable pick in these stretches, sorted."""
    return sorted({pick.event_id for stretch in stretches for pick in stretch.picks if pick.usable})


def _with_labels_of(stretch: Stretch, chosen: set[str]) -> Stretch:
    picks = tuple(p if p.event_id in chosen else dataclasses.replace(p, usable=False) for p in stretch.picks)
    return dataclasses.replace(stretch, picks=picks, event_ids=tuple(e for e in stretch.event_ids if e in chosen))
