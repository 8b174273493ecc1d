"""A piece of record and its picks: what splits, windows and label offsets work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phaseno_peft.campaign.catalog import LabelledPick
from phaseno_peft.campaign.recording import Recording


@dataclass(frozen=True)
class Stretch:
    """A piece of record and every pick that lies in it."""

    recording: Recording
    picks: tuple[LabelledPick, ...]
    event_ids: tuple[str, ...]
    complete: bool = False
    """True where the catalogue lists every arrival (simulations): an absent label is an absent arrival."""


def make_stretch(recording: Recording, picks: Sequence[LabelledPick], *, complete: bool = False) -> Stretch:
    """The recording with those of the picks that lie in it on a station it has."""
    stations = set(recording.station_ids)
    inside = tuple(
        p for p in picks if p.station_id in stations and 0 <= recording.index_of(p.time) <= recording.n_samples - 1
    )
    return Stretch(recording, inside, tuple(dict.fromkeys(p.event_id for p in inside)), complete)
