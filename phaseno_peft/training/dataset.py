"""The data of one training: the split of a campaign, its windows, and how many of its labels may be used."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from phaseno_peft.campaign import (
    Campaign,
    Folds,
    Split,
    Stretch,
    Window,
    WindowSampler,
    fixed_windows,
    further_noise_windows,
    split_campaign,
)
from phaseno_peft.campaign.noise_times import common_times, times_between
from phaseno_peft.campaign.stretch import Times
from phaseno_peft.campaign.windows import NOISE_AFTER_S, NOISE_BEFORE_S
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError
from phaseno_peft.evaluation.judge import validation_windows
from phaseno_peft.picking.quiet_times import quiet_times


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
    other: Campaign | None = None
    """The campaign whose events are the validation events, if not its own."""
    training_noise: Times | None = None
    """Where training's noise windows are cut, if not where the campaign's are."""
    unlabelled: tuple[Stretch, ...] = ()
    """Pseudo-labelled pieces that train too; nothing is judged on them, no shift measured, and no noise cut there."""
    unlabelled_of_folds: tuple[tuple[Stretch, ...], ...] = ()
    """Of each fold, whose pieces must not be labelled by what saw its events. Those in the record of the events to be
    predicted are left out (`of_fold`)."""

    @classmethod
    def of(
        cls, campaign: Campaign, seed: int, *, validate_on: Campaign | None = None, training_noise: Times | None = None
    ) -> CampaignDataset:
        """Split a campaign.

        With `validate_on`, validation is across networks (arXiv 2512.13197, section 3): the events of that campaign,
        and noise of this one's validation side, each window regrouped to as many random stations as that network has.
        The events of this one's validation side then stay unused. Raises `CampaignError` where it has too few events,
        and where the other campaign was prepared in another way.
        """
        split = split_campaign(campaign, seed)
        frame, preprocessing = campaign.frame, campaign.preprocessing
        validation = validation_windows(split, frame, preprocessing, seed)
        if validate_on is not None:
            validation = cross_network_windows(validation, validate_on, preprocessing, seed)
        test = fixed_windows(split.test, frame, preprocessing, seed)
        return cls(campaign, split, validation, test, seed, validate_on, training_noise)

    @property
    def validation_events(self) -> int:
        """Events with a label in the validation windows."""
        return len({label.event_id for window in self.validation for label in window.labels})

    def of_fold(self, folds: Folds, part: int) -> CampaignDataset:
        """One part of the events to be predicted, the others to train on.

        Validation has the windows of the part at two places each, test is the first of them.
        """
        split = folds.without(part)
        frame, preprocessing = self.campaign.frame, self.campaign.preprocessing
        validation = validation_windows(split, frame, preprocessing, self.seed)
        test = fixed_windows(split.validation, frame, preprocessing, self.seed)
        own = self.unlabelled_of_folds[part] if self.unlabelled_of_folds else self.unlabelled
        judged = [(s.recording.start, s.recording.end) for s in split.validation]
        own = tuple(
            s for s in own if not any(s.recording.start <= end and begin <= s.recording.end for begin, end in judged)
        )
        return dataclasses.replace(self, split=split, validation=validation, test=test, unlabelled=own)

    def with_quiet_noise(
        self, model: torch.nn.Module, thresholds: Mapping[str, float], say: Callable[[str], None]
    ) -> CampaignDataset:
        """Training's noise from stretches between the events in which this model sees nothing (`quiet_times`)."""
        times = quiet_times(model, self.campaign, thresholds)
        seconds = sum(end - begin for begin, end in times) * 1e-9
        say(f"quiet stretches: the frozen backbone sees nothing in {seconds:.0f} s between the events")
        return dataclasses.replace(self, training_noise=times)

    def further_noise(self, hours: float) -> list[Window]:
        """Noise beside that of the test windows, so that both hold `hours` of the record where it has them."""
        judged = self.split.test or self.split.validation  # of a fold the events to be predicted
        frame, preprocessing = self.campaign.frame, self.campaign.preprocessing
        return further_noise_windows(judged, frame, preprocessing, self.seed, hours)

    @property
    def edge_limit_km(self) -> float:
        """Stations farther apart exchange no messages."""
        return self.campaign.frame.edge_limit_km

    @property
    def n_events(self) -> int:
        """Training events."""
        return len(training_events(self.split.train))

    @property
    def n_sampled(self) -> int:
        """Events that training windows are drawn of: labelled and pseudo-labelled ones."""
        return self.n_events + len(training_events(self.unlabelled))

    def train(self, labels: int | None = None, seed: int = 0) -> tuple[Stretch, ...]:
        """The training side with all its labels, or with those of `labels` events drawn at random.

        The draws of one seed are nested: the first 10 events are among the first 25. The other events' picks stay as
        places where nothing is known, never as noise. Raises `CampaignError` for more events than there are.
        """
        if labels is None:
            return self._with_noise(self.split.train)
        events = training_events(self.split.train)
        if not 1 <= labels <= len(events):
            raise CampaignError(
                f"{self.campaign.name}: {labels} labelled events are asked for, the training side has {len(events)}. "
                f"Give 1 to {len(events)}."
            )
        order = np.random.default_rng([seed, 2]).permutation(len(events))
        chosen = {events[i] for i in order[:labels]}
        return self._with_noise(tuple(_with_labels_of(stretch, chosen) for stretch in self.split.train))

    def _with_noise(self, stretches: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
        if self.training_noise is not None:
            stretches = tuple(_with_noise_of(s, self.training_noise) for s in stretches)
        busy = [times for stretch in self.unlabelled for times in _times_of_events(stretch)]
        return tuple(_without_noise_in(busy, stretch) for stretch in stretches)

    def sampler(self, stretches: Sequence[Stretch], seed: int) -> WindowSampler:
        """Training windows of these stretches and of the pseudo-labelled ones."""
        return WindowSampler((*stretches, *self.unlabelled), self.campaign.frame, self.campaign.preprocessing, seed)

    @cached_property
    def sha256(self) -> str:
        """Digest of everything that training and judging read: samples, picks, stations, preprocessing, split."""
        campaign, digest = self.campaign, hashlib.sha256()

        def note(*values: object) -> None:
            digest.update((repr(values) + "\n").encode())

        earlier: dict[object, object] = {"no": False, "event": True}  # what runs that were kept before call them
        complete = earlier.get(campaign.complete, campaign.complete)
        note(campaign.preprocessing, campaign.frame, complete, self.seed, self.split.how)
        if campaign.noise_times is not None or self.training_noise is not None:
            note(campaign.noise_times, self.training_noise)
        for window in self.validation if self.other is not None else ():
            note(window.name, window.station_ids, window.labels)
            digest.update(np.ascontiguousarray(window.waveforms).data)
        sides = (self.split.train, self.split.validation, self.split.test)
        for side in (*sides, self.unlabelled) if self.unlabelled else sides:
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


def cross_network_windows(
    own: Sequence[Window], other: Campaign, preprocessing: Preprocessing, seed: int
) -> list[Window]:
    """Event windows of another campaign, and this one's noise windows with as many random stations each.

    Raises `CampaignError` where the other campaign was prepared in another way or has no usable pick.
    """
    if other.preprocessing != preprocessing:
        raise CampaignError(
            f"{other.name}: was read with {other.preprocessing}, the training campaign with {preprocessing}. Read both "
            "with the same --time-scale."
        )
    windows = [w for w in fixed_windows(other.stretches(), other.frame, preprocessing, seed, 0.0) if w.labels]
    if not windows:
        raise CampaignError(f"{other.name}: no usable pick lies in a record; nothing to validate on.")
    n_stations = round(float(np.median([len(w.station_ids) for w in windows])))
    rng = np.random.default_rng([seed, 3])
    noise = [w for w in own if w.is_noise][: len(windows)]
    return windows + [_regrouped(w, n_stations, rng) for w in noise]


def _regrouped(window: Window, n_stations: int, rng: np.random.Generator) -> Window:
    """A noise window with some of its stations, drawn at random."""
    n = len(window.station_ids)
    rows = np.sort(rng.permutation(n)[: min(n, n_stations)])
    return dataclasses.replace(
        window,
        station_ids=tuple(window.station_ids[i] for i in rows),
        waveforms=window.waveforms[rows],
        coordinates=window.coordinates[rows],
        targets=window.targets[rows],
        known=window.known[rows],
    )


def _with_noise_of(stretch: Stretch, times: Times) -> Stretch:
    return dataclasses.replace(stretch, noise_times=common_times(stretch.noise_times, times))


def _without_noise_in(busy: Sequence[tuple[int, int]], stretch: Stretch) -> Stretch:
    begin_ns, end_ns = stretch.recording.start.ns, stretch.recording.end.ns
    here = [(a, b) for a, b in busy if a <= end_ns and begin_ns <= b]
    return _with_noise_of(stretch, times_between(here, begin_ns, end_ns)) if here else stretch


def _times_of_events(stretch: Stretch) -> list[tuple[int, int]]:
    """From when to when noise keeps away from each event with a usable pick, in nanoseconds since 1970."""
    times_ns: dict[str, list[int]] = {}
    for pick in stretch.picks:
        if pick.usable:
            times_ns.setdefault(pick.event_id, []).append(pick.time.ns)
    before_ns, after_ns = round(NOISE_BEFORE_S * 1e9), round(NOISE_AFTER_S * 1e9)
    return [(min(times) - before_ns, max(times) + after_ns) for times in times_ns.values()]


def training_events(stretches: Sequence[Stretch]) -> list[str]:
    """Ids of the events with a usable pick in these stretches, sorted."""
    return sorted({pick.event_id for stretch in stretches for pick in stretch.picks if pick.usable})


def _with_labels_of(stretch: Stretch, chosen: set[str]) -> Stretch:
    picks = tuple(p if p.event_id in chosen else dataclasses.replace(p, usable=False) for p in stretch.picks)
    return dataclasses.replace(stretch, picks=picks, event_ids=tuple(e for e in stretch.event_ids if e in chosen))
