"""D1, D2 and D3, simulated: recordings, sides, and the windows of validation and of the three tests.

The paper's sets are proprietary. These have its geometries, rates, depths and counts, and simulated earthquakes, noise
and analysts: they show what the method does under the protocol, not what it does on the paper's records.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phaseno_peft.campaign import Campaign, Split, Stretch, Window, fixed_windows
from phaseno_peft.simulation import simulate_campaign
from phaseno_peft.training.dataset import CampaignDataset, cross_network_windows

PRESETS = {"D1": "bc-frac", "D2": "ohio-frac", "D3": "us-industrial"}
DATA_SEEDS = {"D1": 101, "D2": 102, "D3": 103}
WINDOW_SEED = 0
"""Of the places of events in their windows."""
TEST_NAMES = {
    1: "D1, nine stations",
    2: "D2 and noise of D1 on five stations (another network)",
    3: "D3, eleven stations at 500 Hz, half false triggers (a third network)",
}


@dataclass(frozen=True)
class Sizes:
    """Counts of events; as many windows of noise go with them."""

    train: int = 100
    validation: int = 50
    tests: tuple[int, int, int] = (500, 50, 10)

    def simulated(self) -> dict[str, tuple[int, int]]:
        """Set -> (events, records without an event)."""
        first, second, third = self.tests
        return {
            "D1": (self.train + first, self.train + self.validation + first + second),
            "D2": (self.validation + second, 0),
            "D3": (third, third),
        }


@dataclass(frozen=True)
class PaperData:
    """What is trained on, and what is tested on."""

    dataset: CampaignDataset
    """Training on D1; validation on D2's events and D1's noise regrouped to D2's number of stations; test 1."""
    tests: dict[int, list[Window]]


def read_data(folder: Path, sizes: Sizes) -> PaperData:
    """Simulate the three sets into `folder`, those that are not there yet, and part them."""
    campaigns = {name: _campaign(folder, name, *counts) for name, counts in sizes.simulated().items()}
    d1, d2, d3 = (campaigns[name] for name in PRESETS)
    events1, quiet1 = _by_kind(d1)
    events2, _ = _by_kind(d2)
    first, second, _ = sizes.tests
    quiet = _parts(quiet1, (sizes.train, sizes.validation, first, second))
    train = (*events1[: sizes.train], *quiet[0])
    tested = (*events1[sizes.train :], *quiet[2])
    how = (
        f"Simulated: {sizes.train} events and as many records of noise of D1 train; {sizes.validation} events of D2 "
        "and noise of D1 on as many stations as D2 has choose; no record is on two sides."
    )
    own_noise = _windows(d1, quiet[1])
    validation = cross_network_windows(own_noise, _only(d2, events2[: sizes.validation]), d1.preprocessing, WINDOW_SEED)
    tests = {
        1: _windows(d1, tested),
        2: cross_network_windows(
            _windows(d1, quiet[3]), _only(d2, events2[sizes.validation :]), d1.preprocessing, WINDOW_SEED + 1
        ),
        3: _windows(d3, d3.stretches()),
    }
    split = Split(train, quiet[1], tested, how)
    dataset = CampaignDataset(d1, split, validation, tests[1], WINDOW_SEED, d2)
    return PaperData(dataset, tests)


def _campaign(folder: Path, name: str, events: int, quiet: int) -> Campaign:
    """Of this many events; made once, and made anew for other counts."""
    where = folder / f"{name}-{events}-{quiet}"
    if not (where / "picks.xml").is_file():  # written whole or not at all
        simulate_campaign(PRESETS[name], where, seed=DATA_SEEDS[name], events=events, false_triggers=quiet)
    files = where / "waveforms", where / "stations.xml", where / "picks.xml"
    return Campaign.read(*files, name=f"{name}, simulated", complete="event")  # every trace was looked at


def _by_kind(campaign: Campaign) -> tuple[list[Stretch], list[Stretch]]:
    """Records with an event, and without, in time order: each record is of 60 s and apart from the others."""
    records = sorted(campaign.stretches(), key=lambda stretch: stretch.recording.start.ns)
    return [r for r in records if r.picks], [r for r in records if not r.picks]


def _windows(campaign: Campaign, stretches: Sequence[Stretch]) -> list[Window]:
    """One of each event, one of each record without."""
    events = [r for r in stretches if r.picks]
    quiet = [r for r in stretches if not r.picks]
    frame, preprocessing = campaign.frame, campaign.preprocessing
    windows = fixed_windows(events, frame, preprocessing, WINDOW_SEED, noise_per_event=0) if events else []
    for number, record in enumerate(quiet):  # the first of the two that a record of 60 s holds
        windows += fixed_windows([record], frame, preprocessing, WINDOW_SEED + number)[:1]
    return windows


def _only(campaign: Campaign, stretches: Sequence[Stretch]) -> Campaign:
    return dataclasses.replace(campaign, recordings=tuple(stretch.recording for stretch in stretches))


def _parts(records: Sequence[Stretch], sizes: Sequence[int]) -> list[Sequence[Stretch]]:
    parts, begin = [], 0
    for size in sizes:
        parts.append(records[begin : begin + size])
        begin += size
    return parts
