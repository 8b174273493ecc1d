"""Records that nobody picked, in training: what is cut of them, who is taught by it, and what is written of it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from phaseno_peft.campaign import Campaign, fold_campaign
from phaseno_peft.errors import AdapterError
from phaseno_peft.evaluation import read_evaluation, score
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.picks import Pick
from phaseno_peft.training import Unlabelled, train_adapter
from phaseno_peft.training import forgetting as forgetting_module
from phaseno_peft.training.dataset import CampaignDataset, training_events
from phaseno_peft.training.outcome import Outcome
from phaseno_peft.training.unlabelled import PseudoLabelled, cut_events, train_in_rounds
from tests.training.test_cross_fit import SHORT, parts_of


@pytest.fixture(scope="module")
def archive(campaign_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last two of twelve triggered records."""
    folder = tmp_path_factory.mktemp("archive")
    for file in sorted((campaign_folder / "waveforms").iterdir())[-2:]:
        shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="module")
def own(campaign: Campaign) -> Campaign:
    """The first four records, which are labelled."""
    return dataclasses.replace(campaign, recordings=campaign.recordings[:4])


@pytest.fixture(scope="module")
def guessed(campaign: Campaign, own: Campaign, archive: Path) -> PseudoLabelled:
    """The true picks of the archive as pseudo-labels, the last pick of each event as a doubtful one."""
    events = []
    for stretch in campaign.stretches()[-2:]:
        picks = [Pick(p.station_id, p.phase, p.time, 0.8, 0.05) for p in stretch.picks]
        events.append(AssociatedEvent(tuple(picks[:-1]), (picks[-1],), picks[0].time, 0.0, 0.0))
    both = cut_events(events, Unlabelled(archive), own)
    return PseudoLabelled(both, (both[:1], both[1:]))


def test_pieces_have_labels_masks_and_no_noise(guessed: PseudoLabelled, own: Campaign) -> None:
    assert guessed.counts["events"] == 2
    assert guessed.counts["masked"] == 2
    dataset = CampaignDataset(own, fold_campaign(own, 2, 0).whole, [], [], 0)
    alone = dataset.sampler(guessed.all, 0)
    assert alone.noise_s == 0.0
    doubtful = {(p.station_id, p.phase) for s in guessed.all for p in s.picks if not p.usable}
    assert len(doubtful) >= 1
    masked = [
        not window.known[window.station_ids.index(station), 0 if phase == "P" else 1].all()
        for window in alone.epoch(6)
        for station, phase in doubtful
        if station in window.station_ids
    ]
    assert any(masked)


def test_they_train_beside_the_labels_and_are_not_judged_counted_or_shared_between_folds(
    guessed: PseudoLabelled, own: Campaign
) -> None:
    folds = fold_campaign(own, 2, 0)
    plain = CampaignDataset(own, folds.whole, [], [], 0)
    beside = guessed.beside(plain)
    assert (beside.n_events, beside.n_sampled) == (plain.n_events, plain.n_events + 2)
    assert beside.train() == plain.train()
    assert beside.sha256 != plain.sha256
    sampled = beside.sampler(beside.train(), 0)
    assert sampled.n_events == plain.sampler(plain.train(), 0).n_events + 2
    first, second = (beside.of_fold(folds, i) for i in range(2))
    assert first.unlabelled == guessed.all[:1]
    assert second.unlabelled == guessed.all[1:]
    judged = {label.event_id for window in first.validation for label in window.labels}
    assert not judged & set(training_events(guessed.all))


def test_a_second_training_that_is_worse_is_not_kept_and_a_better_one_is(
    campaign: Campaign, guessed: PseudoLabelled, small_backbone: Path, tmp_path: Path
) -> None:
    good = parts_of(campaign, tmp_path, small_backbone, None)
    windows = good.dataset.validation
    nothing = [np.zeros((len(w.station_ids), 2, w.waveforms.shape[-1]), np.float32) for w in windows]
    silent = score(windows, nothing, {"P": 0.3, "S": 0.3})
    bad = dataclasses.replace(good, adapter=dataclasses.replace(good.adapter, validation=silent))
    assert good.adapter.validation.mean_f1(0.5) > silent.mean_f1(0.5)
    none = PseudoLabelled((), ((), ()))
    said: list[str] = []

    def rounds(first: Outcome, second: Outcome, found: PseudoLabelled, n: int = 1) -> tuple[Outcome, list[str]]:
        names: list[str] = []

        def train(dataset: CampaignDataset, name: str) -> Outcome:
            assert dataset.unlabelled == guessed.all
            names.append(name)
            return second

        return train_in_rounds(n, first, good.dataset, lambda _: found, train, said.append), names

    made, names = rounds(good, bad, guessed, 2)
    assert made.adapter is good.adapter
    assert names == ["round-1"]
    assert [one["kept"] for one in made.about["unlabelled"]] == [False]
    assert made.sentences[-1].endswith("made it no better on labelled events: not used.")
    made, names = rounds(bad, good, guessed, 2)
    assert made.adapter is good.adapter
    assert names == ["round-1", "round-2"]
    assert made.sentences[-1].startswith("2 pseudo-labelled events of records that nobody picked trained too (2 of 2")
    made, names = rounds(good, bad, none)
    assert (made.adapter, names) == (good.adapter, [])
    assert made.about["folds"] == good.about["folds"]


def test_a_whole_training_with_an_archive_says_what_came_of_it(
    own: Campaign, archive: Path, small_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = forgetting_module.forgetting_windows()[:3]
    monkeypatch.setattr(forgetting_module, "forgetting_windows", lambda: few)
    said: list[str] = []
    trained = train_adapter(
        "beside",
        own,
        folder=tmp_path,
        backbone=small_backbone,
        folds=2,
        training=SHORT,
        recipe="se-only",
        unlabelled=Unlabelled(archive),
        on_stage=said.append,
    )
    about = read_evaluation(trained.folder / "evaluation.json").about
    assert {"events", "P", "S", "masked", "kept"} <= set(about["unlabelled"][0])
    assert any(line.startswith("unlabelled records: ") for line in said)
    assert "nobody picked" in (trained.folder / "README.md").read_text()
    assert trained.contract.provenance.train_events == 4


def test_rounds_are_one_or_two() -> None:
    with pytest.raises(AdapterError, match="`rounds` should be 1 or 2 but is 3"):
        Unlabelled("archive", rounds=3)
