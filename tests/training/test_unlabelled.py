"""Records that nobody picked, in training: what is cut of them, who is taught by it, and what is written of it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from obspy import Stream, Trace, read

from phaseno_peft.campaign import Campaign, fold_campaign
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.campaign.windows import noise_intervals
from phaseno_peft.cr_lora import ResidentAdapter
from phaseno_peft.errors import AdapterError, CampaignError
from phaseno_peft.evaluation import read_evaluation, score
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.library import read_adapter
from phaseno_peft.paths import shipped_folder
from phaseno_peft.picking import Picker
from phaseno_peft.picks import Pick, PickList
from phaseno_peft.training import Unlabelled, train_adapter
from phaseno_peft.training import forgetting as forgetting_module
from phaseno_peft.training import unlabelled as unlabelled_module
from phaseno_peft.training.dataset import CampaignDataset, training_events
from phaseno_peft.training.outcome import Outcome
from phaseno_peft.training.unlabelled import (
    PseudoLabelled,
    check_unlabelled,
    cut_events,
    pseudo_labelled,
    train_in_rounds,
)
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
    windows = good.dataset.test
    nothing = [np.zeros((len(w.station_ids), 2, w.waveforms.shape[-1]), np.float32) for w in windows]
    silent = score(windows, nothing, {"P": 0.3, "S": 0.3})
    bad = dataclasses.replace(good, adapter=dataclasses.replace(good.adapter, test=silent))
    assert good.adapter.test.mean_f1(0.5) > silent.mean_f1(0.5)
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


def test_no_noise_is_cut_around_pseudo_labelled_events_and_none_lie_in_the_record_that_is_judged(
    guessed: PseudoLabelled, campaign: Campaign
) -> None:
    last_two = dataclasses.replace(campaign, recordings=campaign.recordings[-2:])  # the archive's own records
    folds = fold_campaign(last_two, 2, 0)
    plain = CampaignDataset(last_two, folds.whole, [], [], 0)
    quiet = tuple(dataclasses.replace(s, picks=(), event_ids=()) for s in plain.train())  # nobody picked there yet
    unpicked = dataclasses.replace(plain, split=dataclasses.replace(plain.split, train=quiet))
    beside = guessed.beside(unpicked)
    sure_ns = [p.time.ns for s in guessed.all for p in s.picks if p.usable]

    def in_noise(dataset: CampaignDataset) -> int:
        found = 0
        for stretch in dataset.train():
            recording = stretch.recording
            for first, last in noise_intervals(stretch, last_two.preprocessing):
                begin, end = (recording.start.ns + round(x / recording.rate_hz * 1e9) for x in (first, last))
                found += sum(begin <= t <= end for t in sure_ns)
        return found

    assert in_noise(unpicked) == len(sure_ns)
    assert in_noise(beside) == 0
    assert beside.sampler(beside.train(), 0).noise_s > 0
    both = PseudoLabelled(guessed.all, (guessed.all, guessed.all)).beside(plain)
    for i in range(2):
        own = both.of_fold(folds, i)
        assert len(own.unlabelled) == 1
        judged = [(s.recording.start, s.recording.end) for s in own.split.validation]
        assert not any(a <= p.time <= b for s in own.unlabelled for p in s.picks for a, b in judged)


class Agreeing:
    """A committee whose members all have the true picks of the campaign, each a little apart."""

    truth: ClassVar[list[Pick]] = []

    def __init__(self, _: Picker, together: ResidentAdapter, *_rest: object) -> None:
        self.n, self.thresholds = len(together.members), {"P": 0.5, "S": 0.5}

    def picks(self, _: float) -> Agreeing:
        return self

    def annotations(self, runs: Runs) -> list[object]:
        list(runs)
        return []

    def close(self) -> list[PickList]:
        return [
            PickList(dataclasses.replace(p, time=p.time + 0.01 * i, probability=p.probability) for p in self.truth)
            for i in range(self.n)
        ]


def labelled_by(outcome: Outcome, campaign: Campaign, archive: Path, backbone: Path, seed: int = 0) -> PseudoLabelled:
    shift = {"P": 0.0, "S": 0.0}
    contract = dataclasses.replace(
        read_adapter(shipped_folder("adapters") / "ohio-frac").contract,
        pick_shift_s=shift,
        preprocessing=campaign.preprocessing,
        frame=campaign.frame,
    )
    return pseudo_labelled(Unlabelled(archive), outcome, contract, campaign, backbone, seed, lambda _: None)


def test_what_the_folds_agree_on_is_labelled_but_nothing_near_a_label_and_no_more_events_than_those(
    campaign: Campaign, own: Campaign, campaign_folder: Path, small_backbone: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    archive = tmp_path / "archive"
    archive.mkdir()
    for file in sorted((campaign_folder / "waveforms").iterdir())[4:]:
        shutil.copy(file, archive)
    times = [(r.start, r.end) for r in own.recordings]
    events = [e for e in own.catalogue.events if any(a <= e.picks[0].time <= b for a, b in times)]
    own = dataclasses.replace(own, catalogue=dataclasses.replace(own.catalogue, events=tuple(events)))
    outcome = parts_of(own, tmp_path, small_backbone, None)
    assert len(outcome.folds) == 2
    monkeypatch.setattr(unlabelled_module, "Committee", Agreeing)
    of_archive = campaign.stretches()[4:]
    heard = [len({p.station_id for p in s.picks if p.phase == "P"}) for s in of_archive]
    truth = sorted((p for s in of_archive for p in s.picks), key=lambda p: p.time.ns)
    weak = {s.picks[-1].time.ns for s in of_archive if s.picks}
    picks = [Pick(p.station_id, p.phase, p.time, 0.2 if p.time.ns in weak else 0.8, 0.05) for p in truth]
    monkeypatch.setattr(Agreeing, "truth", picks)
    found = labelled_by(outcome, own, archive, small_backbone)
    assert 2 <= found.counts["events"] <= min(4, sum(n >= 3 for n in heard))  # not more than are labelled
    assert len(found.of_folds) == 2
    labels = [p for s in found.all for p in s.picks if p.usable]
    assert {(p.station_id, p.phase) for p in labels} <= {(p.trace_id, p.phase) for p in picks}
    assert all(min(abs(p.time - t.time) for t in picks) < 0.02 for p in labels)
    assert all(min(abs(p.time.ns - t) for t in weak) > 0 for p in labels)
    assert found.counts["masked"] >= 1
    one = dataclasses.replace(own, recordings=own.recordings[:1])  # its other events are in no record
    fewer = labelled_by(outcome, one, archive, small_backbone)
    assert fewer.counts["events"] == 1
    near = dataclasses.replace(campaign, recordings=campaign.recordings[4:])  # all of it is labelled
    assert labelled_by(outcome, near, archive, small_backbone).all == ()


def archive_of(folder: Path, traces: Sequence[Trace]) -> Path:
    folder.mkdir()
    Stream(traces).write(str(folder / "a.mseed"), "MSEED")
    return folder


def test_an_archive_that_cannot_be_used_is_refused_before_anything_is_trained(
    own: Campaign, archive: Path, small_backbone: Path, tmp_path: Path
) -> None:
    traces = read(str(sorted(archive.iterdir())[0]))
    flat, foreign = traces.copy(), traces.copy()
    for trace in flat:
        trace.data = np.full_like(trace.data, 7)
    for trace in foreign:
        trace.stats.station = "ELSE"
    empty = tmp_path / "empty"
    empty.mkdir()
    damaged = tmp_path / "damaged"
    shutil.copytree(archive, damaged)
    file = sorted(damaged.iterdir())[0]
    whole = bytearray(file.read_bytes())
    for at in range(0, len(whole), 512):  # headers stay
        whole[at + 64 : at + 512] = b"\x5a" * len(whole[at + 64 : at + 512])
    file.write_bytes(whole)
    cases = [
        (empty, "none of its 0 files is a waveform file"),
        (archive_of(tmp_path / "flat", flat), "constant"),
        (archive_of(tmp_path / "foreign", foreign), "ELSE"),
        (damaged, f"{file.name}.*--skip-unreadable"),
    ]
    for source, words in cases:
        with pytest.raises(CampaignError, match=f"(?s)the records without picks: .*{words}"):
            train_adapter(
                "beside", own, folder=tmp_path / "out", backbone=small_backbone, unlabelled=Unlabelled(source)
            )
        assert not (tmp_path / "out" / "beside").exists()
    said: list[str] = []
    check_unlabelled(Unlabelled(damaged, skip_unreadable=True), own, said.append)
    assert any(file.name in line for line in said)
    with pytest.raises(AdapterError, match="an iterator can be read once"):
        Unlabelled(iter([traces]))


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
