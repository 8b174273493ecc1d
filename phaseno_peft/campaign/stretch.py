"""A piece of record and its picks: what splits, windows and label offsets work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from phaseno_peft.campaign.catalog import LabelledPick
from phaseno_peft.campaign.completeness import Complete
from phaseno_peft.campaign.recording import Recording

Times: TypeAlias = tuple[tuple[int, int], ...]
"""(begin, end) of pieces of time in nanoseconds since 1970, in their order."""


@dataclass(frozen=True)
class Stretch:
    """A piece of record and every pick that lies in it."""

    recording: Recording
    picks: tuple[LabelledPick, ...]
    event_ids: tuple[str, ...]
    complete: Complete = "no"
    noise_times: Times | None = None
    """Where noise windows may be cut, if not everywhere between the events."""


def make_stretch(
    recording: Recording,
    picks: Sequence[LabelledPick],
    *,
    complete: Complete = "no",
    noise_times: Times | None = None,
) -> Stretch:
    """The recording with those of the picks that lie in it on a station it has."""
    stations = set(recording.station_ids)
    inside = tuple(
        p for p in picks if p.station_id in stations and 0 <= recording.index_of(p.time) <= recording.n_samples - 1
    )
    return Stretch(recording, inside, tuple(dict.fromkeys(p.event_id for p in inside)), complete, noise_times)
