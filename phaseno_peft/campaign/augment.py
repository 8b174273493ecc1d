"""Augmentations of a training window that keep its arrivals: pure functions (rng, Window) -> Window.

Labels keep their samples; where stations go, labels, targets and masks go with them. Every function returns a new
window and leaves the given one alone. An exact zero in a normalised window is a sample that was not recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phaseno_peft.campaign.windows import Window, normalise
from phaseno_peft.errors import CampaignError

NOISE_LEVELS = (0.05, 0.7)
"""Standard deviation of added noise against that of the window; drawn evenly in its logarithm."""
STATION_DROP = 0.25
"""Part of the stations that goes, on average, when stations are dropped."""
COMPONENT_DROP = 0.2
"""Part of the three-component stations that lose components when components are dropped."""
ONLY_VERTICAL = 0.5
"""How often such a station keeps only its vertical; else it loses one component at random."""
SIGN_KEEPING_DEG = 45.0
"""Turned by so much at most, the stronger of two horizontals keeps its sign where the motion is linear."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How probable each change of `compose` is."""

    polarity: float = 0.5
    rotation: float = 0.5
    noise: float = 0.5
    stations: float = 0.3
    components: float = 0.1
    keeps_polarity: bool = False
    """No station is reversed, and horizontals turn by `SIGN_KEEPING_DEG` at most. For labels on peaks or troughs: a
    reversed trough is a peak, and the label would sit where such an analyst does not pick."""

    def __post_init__(self) -> None:
        check_probabilities({k: v for k, v in dataclasses.asdict(self).items() if k != "keeps_polarity"})


def check_probabilities(chances: Mapping[str, float]) -> None:
    """Raise `CampaignError` for the first that does not lie within 0 and 1."""
    for name, chance in chances.items():
        if not 0.0 <= chance <= 1.0:
            raise CampaignError(f"`{name}` should be a probability but is {chance}. Give 0 to 1.")


def flip_polarity(rng: np.random.Generator, window: Window) -> Window:
    """All components of each station times +1 or -1, drawn for each station."""
    signs = rng.choice(np.array([-1.0, 1.0], np.float32), len(window.station_ids))
    return dataclasses.replace(window, waveforms=window.waveforms * signs[:, None, None])


def rotate_horizontals(rng: np.random.Generator, window: Window, most_deg: float | None = None) -> Window:
    """E and N turned by one random azimuth, the same for all stations that have both; normalised again.

    With `most_deg` by so much at most, to either side.
    The traces of a window are normalised one by one, so that this turns the normalised pair, not the ground motion.
    Stations with a missing component or one trace in all slots stay as they are.
    """
    azimuth = rng.uniform(0.0, 2.0 * np.pi) if most_deg is None else np.deg2rad(rng.uniform(-most_deg, most_deg))
    both = _three_components(window.waveforms)
    east, north = window.waveforms[both, 0], window.waveforms[both, 1]
    recorded = (east != 0) & (north != 0)
    turned = np.zeros_like(window.waveforms[both])
    turned[:, 0] = np.where(recorded, np.cos(azimuth) * east + np.sin(azimuth) * north, 0.0)
    turned[:, 1] = np.where(recorded, np.cos(azimuth) * north - np.sin(azimuth) * east, 0.0)
    turned[:, 2] = window.waveforms[both, 2]
    waveforms = window.waveforms.copy()
    waveforms[both] = _renormalised(turned)
    return dataclasses.replace(window, waveforms=waveforms)


def superpose_noise(rng: np.random.Generator, window: Window, noise: Window) -> Window:
    """The window plus a noise window at a random lower level, normalised again: the same arrivals at a lower SNR.

    Each station gets its own noise, or a random station's where the noise window does not have it. Unrecorded samples
    stay unrecorded. Raises `CampaignError` where the second window holds an event.
    """
    if not noise.is_noise:
        raise CampaignError(f"{noise.name}: holds an event and cannot be added as noise. Give a noise window.")
    low, high = np.log(NOISE_LEVELS)
    level = np.float32(np.exp(rng.uniform(low, high)))
    index = {station_id: i for i, station_id in enumerate(noise.station_ids)}
    rows = [index.get(s, int(rng.integers(len(noise.station_ids)))) for s in window.station_ids]
    added = noise.waveforms[rows].copy()  # [station, component, sample]
    single = _one_component(window.waveforms)
    added[single] = added[single, 2:]  # one trace stays one trace
    mixed = np.where(window.waveforms != 0, window.waveforms + level * added, 0.0)
    return dataclasses.replace(window, waveforms=_renormalised(mixed))


def drop_stations(rng: np.random.Generator, window: Window, part: float = STATION_DROP) -> Window:
    """Each station gone with probability `part`; one stays at least, and one with a label where there are labels."""
    keep = rng.random(len(window.station_ids)) >= part
    wanted = sorted({label.station for label in window.labels}) or range(len(window.station_ids))
    if len(wanted) and not keep[list(wanted)].any():
        keep[rng.choice(list(wanted))] = True
    return _with_stations(window, keep)


def limit_stations(rng: np.random.Generator, window: Window, most: int) -> Window:
    """At most `most` stations, drawn at random, those with labels before those without.

    A training step costs as the number of stations, and a station without a label teaches little.
    """
    n = len(window.station_ids)
    if n <= most:
        return window
    labelled = {label.station for label in window.labels}
    order = sorted(range(n), key=lambda i: (i not in labelled, rng.random()))
    keep = np.zeros(n, bool)
    keep[order[:most]] = True
    return _with_stations(window, keep)


def _with_stations(window: Window, keep: np.ndarray) -> Window:
    """The window with the stations [station] bool that are kept."""
    place = np.cumsum(keep) - 1
    return dataclasses.replace(
        window,
        station_ids=tuple(s for s, k in zip(window.station_ids, keep, strict=True) if k),
        waveforms=window.waveforms[keep],
        coordinates=window.coordinates[keep],
        labels=tuple(dataclasses.replace(x, station=int(place[x.station])) for x in window.labels if keep[x.station]),
        targets=window.targets[keep],
        known=window.known[keep],
    )


def drop_components(rng: np.random.Generator, window: Window, part: float = COMPONENT_DROP) -> Window:
    """Some three-component stations left with two components, or with the vertical alone in all three slots."""
    waveforms = window.waveforms.copy()
    for station in np.flatnonzero(_three_components(waveforms)):
        if rng.random() >= part:
            continue
        if rng.random() < ONLY_VERTICAL:
            waveforms[station] = waveforms[station, 2]
        else:
            waveforms[station, rng.integers(3)] = 0.0
    return dataclasses.replace(window, waveforms=waveforms)


def compose(
    rng: np.random.Generator,
    window: Window,
    noise_windows: Sequence[Window] = (),
    augmentation: Augmentation | None = None,
) -> Window:
    """The window after a random choice of all changes; noise is added where there are noise windows."""
    chance = augmentation or Augmentation()
    if rng.random() < chance.stations:
        window = drop_stations(rng, window)
    if rng.random() < chance.noise and len(noise_windows):
        window = superpose_noise(rng, window, noise_windows[int(rng.integers(len(noise_windows)))])
    if rng.random() < chance.rotation:
        window = rotate_horizontals(rng, window, SIGN_KEEPING_DEG if chance.keeps_polarity else None)
    if rng.random() < chance.components:
        window = drop_components(rng, window)
    if rng.random() < chance.polarity and not chance.keeps_polarity:
        window = flip_polarity(rng, window)
    return window


def _renormalised(waveforms: np.ndarray) -> np.ndarray:
    return normalise(waveforms, waveforms != 0)


def _one_component(waveforms: np.ndarray) -> np.ndarray:
    """Stations [station] bool that carry one trace in all three slots."""
    same: np.ndarray = np.all((waveforms[:, 0] == waveforms[:, 2]) & (waveforms[:, 1] == waveforms[:, 2]), axis=-1)
    return same


def _three_components(waveforms: np.ndarray) -> np.ndarray:
    """Stations [station] bool with three different living traces."""
    living: np.ndarray = np.all(np.any(waveforms, axis=-1), axis=-1)
    return np.asarray(living & ~_one_component(waveforms))
