"""Training, validation and test, or folds, that share neither an event nor a sample, nor two of a kind."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from phaseno_peft.campaign.repeaters import families, repeats
from phaseno_peft.campaign.stretch import Stretch, make_stretch
from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from phaseno_peft.campaign.campaign import Campaign

SIDES = ("train", "validation", "test")
FEWEST_EVENTS = 6
"""For three sides."""
FEW_EVENTS, FOLDS = 60, 4
"""Below so many labelled events training parts them into so many folds unless told otherwise."""
LARGEST_UNIT = 0.2
"""A recording with more than this part of the events is cut in time where it can be."""
MOST_PIECES = 12
"""A recording is cut into at most this many pieces: each cut costs the windows around it their context."""
NARROWEST_CUT_SAMPLES = 200
"""Records are cut only where picks leave this much room (2 s of the network's time)."""
STRAY_SAMPLES = 500
"""A pick this far (network's time) from the middle half of its event's picks does not stop a cut."""


@dataclass(frozen=True)
class Split:
    """Stretches of the three sides."""

    train: tuple[Stretch, ...]
    validation: tuple[Stretch, ...]
    test: tuple[Stretch, ...]
    how: str
    """What was done, in a sentence or two with counts."""

    def sha256(self) -> dict[str, str]:
        """Digest of each side's sorted event ids."""
        return {
            side: hashlib.sha256("\n".join(sorted(_event_ids(getattr(self, side)))).encode()).hexdigest()
            for side in SIDES
        }


@dataclass(frozen=True)
class Folds:
    """Parts of a campaign's events, each of which is predicted by what was trained on the others."""

    parts: tuple[tuple[Stretch, ...], ...]
    how: str
    """What was done, in a sentence or two with counts."""

    @property
    def whole(self) -> Split:
        """All parts for training."""
        return Split(self._in_time(range(len(self.parts))), (), (), self.how)

    def without(self, part: int) -> Split:
        """One part for validation, all others for training; a part that is alone is both."""
        others = self._in_time([i for i in range(len(self.parts)) if i != part] or [part])
        how = f"Fold {part + 1} of {len(self.parts)}. {self.how}"
        return Split(others, self.parts[part], (), how)

    def _in_time(self, parts: Sequence[int]) -> tuple[Stretch, ...]:
        return tuple(sorted((s for i in parts for s in self.parts[i]), key=lambda s: s.recording.start))


def fold_campaign(campaign: Campaign, folds: int, seed: int) -> Folds:
    """Part the events into `folds` groups of about the same size, as `split_campaign` parts them into three sides.

    There are fewer groups where the events can be parted into fewer only, and one where they cannot be parted at all;
    `how` says so. Raises `CampaignError` for a campaign without a usable pick, and for fewer than two folds.
    """
    if folds < 2:
        raise CampaignError(f"`folds` should be at least 2 but is {folds}. Give 0 to set events aside instead.")
    stretches = [_with_core_events(s) for s in campaign.stretches()]
    events = _event_ids(stretches)
    if not events:
        raise CampaignError(
            f"{campaign.name}: no event has a usable pick in the records. Check that picks and waveforms overlap in "
            "time."
        )
    pieces, strays, cuts = _pieces(stretches, LARGEST_UNIT * len(events))
    family = families(repeats(stretches))
    units = _units(pieces, family)
    n = min(folds, sum(bool(_event_ids(unit)) for unit in units))
    names = [str(i) for i in range(n)]
    assigned = _assign(units, dict.fromkeys(names, 1 / n), len(events), np.random.default_rng(seed))
    parts = tuple(tuple(sorted(assigned[name], key=lambda s: s.recording.start)) for name in names)
    counts = [len(_event_ids(part)) for part in parts]
    how = f"{len(events)} events in {len(stretches)} recordings{cuts}"
    if n == 1:
        why = "there is one event, or their records overlap"
        if family:
            why = f"{len(family)} of them have the waveforms of another, and the others' records overlap with these"
            if len(family) == len(events):
                why = "all have the same waveforms, so that none would be new to what was trained on another"
        how += f" cannot be parted: {why}. None could be held out."
    else:
        how += (
            f" were parted at random with seed {seed} into {n} folds of {', '.join(map(str, counts))}"
            + (f" ({folds} were asked for, the events cannot be parted further)" if n < folds else "")
            + f". Records that overlap in time and events that share a record are in one fold{_kept_together(family)}"
            + (f"; {strays} picks that lie in another fold's record count as unknown there." if strays else ".")
        )
    return Folds(parts, how)


def all_events_sha256(campaign: Campaign) -> str:
    """Digest of the sorted ids of all events with a usable pick, as `Split.sha256` has it of a side."""
    return Split(tuple(_with_core_events(s) for s in campaign.stretches()), (), (), "").sha256()["train"]


def split_campaign(campaign: Campaign, seed: int, validation: float = 0.15, test: float = 0.25) -> Split:
    """Split by event and by record: no event and no sample is on two sides.

    Recordings (files that overlap are one) are drawn at random to come near the wished parts of the events; those that
    share an event go together. Where a recording holds so many of the events that this cannot come near, it is cut in
    time at its widest pick-free places. Raises `CampaignError` for fewer than 6 events, for impossible parts, and where
    the events cannot be parted.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise CampaignError(
            f"validation={validation} and test={test} leave no training. Give two parts whose sum is below 1."
        )
    stretches = [_with_core_events(s) for s in campaign.stretches()]
    events = _event_ids(stretches)
    if len(events) < FEWEST_EVENTS:
        raise CampaignError(
            f"{campaign.name}: {len(events)} events with usable picks in the records; three sides need "
            f"{FEWEST_EVENTS}. Train in folds, which set none aside (`train-adapter` without --folds 0, --quick, "
            "--seeds, --labels and --validate-on; `compare --folds 4`), or label more events."
        )
    parts = {"train": 1 - validation - test, "validation": validation, "test": test}
    n_recordings = len(stretches)
    pieces, strays, cuts = _pieces(stretches, LARGEST_UNIT * len(events))
    family = families(repeats(stretches))
    sides = _assign(_units(pieces, family), parts, len(events), np.random.default_rng(seed))
    counts = {side: len(_event_ids(sides[side])) for side in SIDES}
    empty = [side for side in SIDES if not counts[side]]
    if empty:
        raise CampaignError(
            f"{campaign.name}: the {len(events)} events cannot be parted, {' and '.join(empty)} would be empty, "
            f"because their records overlap in {n_recordings} recordings"
            f"{f' or {len(family)} of them have the waveforms of another' if family else ''}. "
            "Give more records, or events farther apart in time."
        )
    how = (
        f"{len(events)} events in {n_recordings} recordings{cuts}"
        f" were drawn at random with seed {seed}: "
        + ", ".join(f"{counts[side]} {side}" for side in SIDES)
        + f". Records that overlap in time and events that share a record are on one side{_kept_together(family)}"
        + (f"; {strays} picks that lie in another side's record count as unknown there." if strays else ".")
    )
    order = {side: tuple(sorted(sides[side], key=lambda s: s.recording.start)) for side in SIDES}
    return Split(order["train"], order["validation"], order["test"], how)


def _pieces(stretches: Sequence[Stretch], largest: float) -> tuple[list[Stretch], int, str]:
    """Stretches, cut in time where one unit of them holds more than `largest` events; strays; the cuts in words."""
    pieces, cuts = list(stretches), ""
    if max(len(_event_ids(unit)) for unit in _units(stretches)) > largest:
        pieces = [piece for s in stretches for piece in _cut(s, largest)]
        if len(pieces) > len(stretches):
            cuts = f", cut in time into {len(pieces)} pieces"
    return (*_one_side_an_event(pieces), cuts)


def _event_ids(stretches: Sequence[Stretch]) -> set[str]:
    return {event_id for s in stretches for event_id in s.event_ids}


def _with_core_events(stretch: Stretch) -> Stretch:
    """Only events with a usable pick count as events of a stretch."""
    return dataclasses.replace(stretch, event_ids=tuple(dict.fromkeys(p.event_id for p in stretch.picks if p.usable)))


def _kept_together(family: Mapping[str, str]) -> str:
    n = len(set(family.values()))
    families_ = f"the {n} families" if n > 1 else "the family"
    return f", and so are {families_} of {len(family)} events with the same waveforms" if n else ""


def _units(stretches: Sequence[Stretch], family: Mapping[str, str] | None = None) -> list[list[Stretch]]:
    """Stretches that must stay together because they share an event, or events of a family (event -> its first)."""
    parent = list(range(len(stretches)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    owner: dict[str, int] = {}
    for i, stretch in enumerate(stretches):
        for event_id in stretch.event_ids:
            a, b = sorted((root(i), root(owner.setdefault((family or {}).get(event_id, event_id), i))))
            parent[b] = a
    units: dict[int, list[Stretch]] = {}
    for i, stretch in enumerate(stretches):
        units.setdefault(root(i), []).append(stretch)
    return list(units.values())


def _assign(
    units: Sequence[list[Stretch]], parts: dict[str, float], n_events: int, rng: np.random.Generator
) -> dict[str, list[Stretch]]:
    """Units in random order, large ones first, each to the side that lacks most events (without events: samples)."""
    sides: dict[str, list[Stretch]] = {side: [] for side in parts}
    events = dict.fromkeys(parts, 0.0)
    quiet = dict.fromkeys(parts, 0.0)
    shuffled = [units[i] for i in rng.permutation(len(units))]
    quiet_total = sum(s.recording.n_samples for unit in units if not _event_ids(unit) for s in unit)
    for unit in sorted(shuffled, key=lambda u: -len(_event_ids(u))):
        size = len(_event_ids(unit))
        have, total = (events, n_events) if size else (quiet, quiet_total)
        share = size or sum(s.recording.n_samples for s in unit)
        left = [side for side in parts if not events[side]] if size else []
        rest = n_events - sum(events.values())
        # The last units go to sides that would stay empty.
        candidates = left if left and rest <= size * len(left) else list(parts)
        side = max(candidates, key=lambda s: parts[s] * total - have[s])
        sides[side] += unit
        have[side] += share
    return sides


def _cut(stretch: Stretch, largest: float) -> list[Stretch]:
    """Pieces of a stretch, cut at the widest places between events until no piece holds more than `largest` events."""
    recording = stretch.recording
    cores = sorted(_cores(stretch).values())
    places: list[tuple[float, int]] = []  # (width of the pick-free gap, sample of the cut)
    reach = -np.inf
    for first, last in cores:
        if first - reach >= NARROWEST_CUT_SAMPLES and np.isfinite(reach):
            places.append((first - reach, round((first + reach) / 2)))
        reach = max(reach, last)
    bounds = [0, recording.n_samples]
    firsts = np.array([first for first, _ in cores])
    for _, cut in sorted(places, reverse=True):
        held = np.histogram(firsts, bounds)[0]
        if held.max() <= largest or len(bounds) > MOST_PIECES:
            break
        i = int(np.searchsorted(bounds, cut))
        if held[i - 1] > 1:
            bounds.insert(i, cut)
    piece_of = {e: int(np.searchsorted(bounds, first, side="right")) - 1 for e, (first, _) in _cores(stretch).items()}
    pieces = []
    for i, (a, b) in enumerate(pairwise(bounds)):
        piece = make_stretch(
            recording.slice(a, b), stretch.picks, complete=stretch.complete, noise_times=stretch.noise_times
        )
        pieces.append(dataclasses.replace(piece, event_ids=tuple(e for e in stretch.event_ids if piece_of[e] == i)))
    return pieces


def _cores(stretch: Stretch) -> dict[str, tuple[float, float]]:
    """First and last pick of each event in samples, without picks that stray far from the middle half."""
    picks: dict[str, list[float]] = {}
    for pick in stretch.picks:
        if pick.usable:
            picks.setdefault(pick.event_id, []).append(stretch.recording.index_of(pick.time))
    cores = {}
    for event_id, samples in picks.items():
        low, high = np.percentile(samples, [25, 75])
        near = [s for s in samples if low - STRAY_SAMPLES <= s <= high + STRAY_SAMPLES]
        cores[event_id] = (min(near), max(near))
    return cores


def _one_side_an_event(pieces: Sequence[Stretch]) -> tuple[list[Stretch], int]:
    """Pieces whose picks of foreign events (strays across a cut) are unusable there, and the number of such picks."""
    strays = 0
    clean = []
    for piece in pieces:
        own = set(piece.event_ids)
        picks = tuple(
            dataclasses.replace(p, usable=False) if p.usable and p.event_id not in own else p for p in piece.picks
        )
        strays += sum(a is not b for a, b in zip(picks, piece.picks, strict=True))
        clean.append(dataclasses.replace(piece, picks=picks))
    return clean, strays
