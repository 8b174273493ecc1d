"""The labels that may be used, and the digest of what is trained on."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from phaseno_peft.campaign import Campaign, Recording
from phaseno_peft.contract import Preprocessing
from phaseno_peft.errors import CampaignError
from phaseno_peft.training.dataset import CampaignDataset, training_events


def test_subsets_of_labels_are_nested_and_their_seed_decides(dataset: CampaignDataset) -> None:
    drawn = [set(training_events(dataset.train(n, seed=3))) for n in range(1, dataset.n_events + 1)]
    assert [len(events) for events in drawn] == list(range(1, dataset.n_events + 1))
    assert all(a < b for a, b in pairwise(drawn))
    assert drawn[-1] == set(training_events(dataset.split.train))
    others = [set(training_events(dataset.train(2, seed=seed))) for seed in range(8)]
    assert len({frozenset(events) for events in others}) > 1


def test_events_without_their_labels_are_unknown_and_never_noise(dataset: CampaignDataset) -> None:
    stretches = dataset.train(2, seed=0)
    chosen = set(training_events(stretches))
    picks = [(stretch.recording.start, p) for stretch in dataset.split.train for p in stretch.picks]
    hidden = [p for _, p in picks if p.usable and p.event_id not in chosen]
    windows = [w for number in range(6) for w in dataset.sampler(stretches, 0).epoch(14, number)]
    assert {label.event_id for window in windows for label in window.labels} == chosen
    masked = 0
    for window in windows:
        for pick in hidden:
            sample = round((pick.time - window.start) * window.rate_hz)
            if pick.station_id in window.station_ids and 0 <= sample < window.known.shape[-1]:
                station = window.station_ids.index(pick.station_id)
                phase = "PS".index(pick.phase)
                if not window.waveforms[station, :, sample].any():  # padding beyond a piece of noise
                    continue
                masked += 1
                assert not window.is_noise
                assert not window.known[station, phase, sample] or window.targets[station, phase, sample] > 0
    seen_otherwise = [w for n in range(6) for w in dataset.sampler(dataset.split.train, 0).epoch(14, n)]
    assert {label.event_id for window in seen_otherwise for label in window.labels} > chosen
    beyond = [stretch for stretch in stretches if not set(stretch.event_ids) and stretch.picks]
    assert beyond  # there are such events, and nothing was cut around them or it was masked
    assert masked < len(windows)


@pytest.mark.parametrize("labels", [0, 8])
def test_as_many_labels_as_there_are_not_are_refused(labels: int, dataset: CampaignDataset) -> None:
    with pytest.raises(CampaignError, match=f"{labels} labelled events are asked for, the training side has 7"):
        dataset.train(labels)


def test_the_digest_sees_samples_picks_stations_and_seeds(campaign: Campaign, dataset: CampaignDataset) -> None:
    digest = dataset.sha256
    assert CampaignDataset.of(campaign, 0).sha256 == digest
    first = campaign.recordings[0]
    samples = first.samples.copy()
    samples[0, 0, 0] = np.nextafter(samples[0, 0, 0], np.float32(np.inf))
    station = dataclasses.replace(first.stations[0], latitude_deg=first.stations[0].latitude_deg + 1e-4)
    changed = [dataclasses.replace(first, samples=samples)]
    changed.append(dataclasses.replace(first, stations=(station, *first.stations[1:])))
    for recording in changed:
        other = dataclasses.replace(campaign, recordings=(recording, *campaign.recordings[1:]))
        assert CampaignDataset.of(other, 0).sha256 != digest
    event = campaign.catalogue.events[0]
    pick = dataclasses.replace(event.picks[0], time=event.picks[0].time + 0.01)
    events = (dataclasses.replace(event, picks=(pick, *event.picks[1:])), *campaign.catalogue.events[1:])
    other = dataclasses.replace(campaign, catalogue=dataclasses.replace(campaign.catalogue, events=events))
    assert CampaignDataset.of(other, 0).sha256 != digest
    assert CampaignDataset.of(campaign, 1).sha256 != digest


def other_network(campaign: Campaign, n_stations: int) -> Campaign:
    """The same campaign as a network of its first stations: what else a network would be, `of` cannot tell."""
    kept = campaign.recordings[0].station_ids[:n_stations]

    def fewer(recording: Recording) -> Recording:
        rows = [recording.station_ids.index(i) for i in kept if i in recording.station_ids]
        return dataclasses.replace(
            recording,
            stations=tuple(recording.stations[i] for i in rows),
            samples=recording.samples[rows],
            recorded=recording.recorded[rows],
            components=tuple(recording.components[i] for i in rows),
        )

    return dataclasses.replace(campaign, name="other", recordings=tuple(fewer(r) for r in campaign.recordings))


def test_validation_on_another_network_has_its_events_and_own_noise_on_as_many_stations(campaign: Campaign) -> None:
    own, other = CampaignDataset.of(campaign, 0), other_network(campaign, 3)
    across = CampaignDataset.of(campaign, 0, validate_on=other)
    events, noise = ([w for w in across.validation if w.is_noise == wanted] for wanted in (False, True))
    assert across.validation_events == len({e for s in other.stretches() for e in s.event_ids if e})
    assert {len(w.station_ids) for w in events} <= {1, 2, 3}
    assert len(noise) == min(len(events), sum(w.is_noise for w in own.validation)) > 0
    for window in noise:
        whole = next(w for w in own.validation if w.name == window.name)
        assert len(window.station_ids) == 3
        for row, station_id in enumerate(window.station_ids):
            np.testing.assert_array_equal(window.waveforms[row], whole.waveforms[whole.station_ids.index(station_id)])
    assert [w.name for w in across.test] == [w.name for w in own.test]
    assert across.sha256 != own.sha256
    with pytest.raises(CampaignError, match="Read both with the same --time-scale"):
        CampaignDataset.of(campaign, 0, validate_on=dataclasses.replace(other, preprocessing=Preprocessing(2.0)))


def test_quiet_times_bind_training_alone(campaign: Campaign) -> None:
    own = CampaignDataset.of(campaign, 0)
    quiet = dataclasses.replace(own, training_noise=())
    assert own.sampler(own.train(), 0).noise_s > 0
    assert quiet.sampler(quiet.train(), 0).noise_s == 0
    assert any(w.is_noise for w in quiet.test)
    assert quiet.sha256 != own.sha256
