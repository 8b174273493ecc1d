"""Windows of the network's length, cut from stretches, normalised and labelled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import LabelledPick
from phaseno_peft.campaign.completeness import answered_events
from phaseno_peft.campaign.coordinates import scaled_coordinates
from phaseno_peft.campaign.labels import event_end, known_samples, triangles
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.stretch import Stretch, Times
from phaseno_peft.contract import PHASES, Frame, Preprocessing

LIVING_SAMPLES = 100
"""A trace with fewer recorded samples in a window counts as dead there."""
MARGIN_S = 1.0
"""Picks of fixed windows keep this distance (network's time) to both ends."""
NOISE_BEFORE_S = 5.0
"""Noise ends this long (real time) before an event's first pick."""
NOISE_AFTER_S = 20.0
"""Noise begins this long (real time) after an event's last pick, when its coda is gone."""
SHORTEST_NOISE = 0.5
"""Pick-free pieces shorter than this part of a window are no noise windows; between it and 1 they are zero-padded."""
EVENT_PART = 0.5
"""Part of a training epoch that holds events, where there is noise to balance them."""
CUT_OFF_PART = 0.25
"""Part of the event windows of training that begin or end anywhere, also inside the event."""
MOST_FURTHER = 600
"""Further noise windows are kept in memory: half an hour of record that is ten times faster than the network's."""
LEAST_HOURS = 1e-6
"""Hours are sums of many small numbers: less than this is rounding."""
_ALL = slice(None)


@dataclass(frozen=True, slots=True)
class WindowLabel:
    """One arrival in a window: station index, phase index (0 P, 1 S) and fractional sample."""

    station: int
    phase: int
    sample: float
    event_id: str
    pick_id: str


@dataclass(frozen=True)
class InputWindow:
    """What the network sees of every station that lives in the window."""

    name: str
    """"<recording>@<first sample>"."""
    start: UTCDateTime
    rate_hz: float
    station_ids: tuple[str, ...]
    waveforms: np.ndarray
    """[station, component (E, N, Z), sample] float32, normalised."""
    coordinates: np.ndarray
    """[station, 2] float32."""


@dataclass(frozen=True)
class Window(InputWindow):
    """What the network sees and what it shall say."""

    labels: tuple[WindowLabel, ...]
    targets: np.ndarray
    """[station, phase, sample] float32 triangles."""
    known: np.ndarray
    """[station, phase, sample] bool; False where an absent label does not mean an absent arrival."""
    is_noise: bool
    """No event in it; every pick here is false."""


def normalise(samples: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    """Network input [..., station, 3, sample] float32 of high-passed samples and their mask, both of that shape.

    Each trace becomes (x - mean) / std / 10 over its recorded samples; unrecorded samples are 0, and so is a trace that
    does not move or has fewer than 100 recorded samples. A station with one living component carries it in all three
    slots, as in the network's training; with two, the third slot stays 0. The guard is relative, so that metres per
    second and counts give the same (upstream's 1e-6 is absolute).
    """
    x = np.where(recorded, samples, 0.0).astype(np.float64)
    count = recorded.sum(-1, keepdims=True)
    enough = count >= min(LIVING_SAMPLES, samples.shape[-1])
    divisor = np.maximum(count, 1)
    largest = np.abs(x).max(-1, keepdims=True, initial=0.0)
    x /= np.where(largest > 0, largest, 1.0)  # squares of 1e-30 m/s stay representable
    x = np.where(recorded, x - x.sum(-1, keepdims=True) / divisor, 0.0)
    std = np.sqrt(np.square(x).sum(-1, keepdims=True) / divisor)
    living = enough & (std > 1e-6)
    waveforms = np.where(living, x / np.where(living, std, 1.0) / 10.0, 0.0).astype(np.float32)
    single = living.sum(-2, keepdims=True) == 1  # [..., station, 1, 1]
    return np.asarray(np.where(single, waveforms.sum(-2, keepdims=True), waveforms), np.float32)


def input_window(
    recording: Recording, first_sample: int, frame: Frame, preprocessing: Preprocessing, rows: slice | list[int] = _ALL
) -> InputWindow:
    """The window that begins at a sample of the recording; where it passes the recording's ends it is zero-padded.

    Stations without a living trace in the window are left out, and those that are not among `rows`.
    """
    return _cut(recording, first_sample, frame, preprocessing, rows)[0]


def cut_window(stretch: Stretch, first_sample: int, frame: Frame, preprocessing: Preprocessing) -> Window:
    """`input_window` with labels and targets.

    A label needs its pick to lie in the window on recorded samples of a station of the window.
    """
    window, seen = _cut(stretch.recording, first_sample, frame, preprocessing, _ALL)
    n = preprocessing.window_samples
    labels, targets, known, is_noise = _labels(stretch, first_sample, window.station_ids, seen, n)
    given = {each.name: getattr(window, each.name) for each in fields(InputWindow)}
    return Window(**given, labels=labels, targets=targets, known=known, is_noise=is_noise)


def _cut(
    recording: Recording, first_sample: int, frame: Frame, preprocessing: Preprocessing, rows: slice | list[int]
) -> tuple[InputWindow, np.ndarray]:
    """The window, and where its stations were recorded [station, sample]."""
    n = preprocessing.window_samples
    begin, end = max(0, first_sample), min(recording.n_samples, first_sample + n)
    among = recording.stations[rows] if isinstance(rows, slice) else tuple(recording.stations[row] for row in rows)
    shape = (len(among), 3, n)
    samples, recorded = np.zeros(shape, np.float32), np.zeros(shape, bool)
    if end > begin:
        inside = slice(begin - first_sample, end - first_sample)
        samples[..., inside] = recording.samples[..., begin:end][rows]
        recorded[..., inside] = recording.recorded[..., begin:end][rows]
    waveforms = normalise(samples, recorded)
    alive = [i for i in range(len(among)) if waveforms[i].any()]
    stations = [among[i] for i in alive]
    seen: np.ndarray = np.any(recorded[alive], axis=1)
    window = InputWindow(
        name=f"{recording.name}@{recording.first_sample + first_sample}",
        start=recording.start + first_sample / recording.rate_hz,
        rate_hz=recording.rate_hz,
        station_ids=tuple(s.station_id for s in stations),
        waveforms=waveforms[alive],
        coordinates=scaled_coordinates(stations, frame, preprocessing.time_scale),
    )
    return window, seen


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """Where a noise window can be cut; ordered as the records are."""

    number: int
    stretch: Stretch = field(compare=False)
    start: int = field(compare=False)
    """Sample of the stretch's recording."""


def fixed_windows(
    stretches: Sequence[Stretch],
    frame: Frame,
    preprocessing: Preprocessing,
    seed: int,
    noise_per_event: float = 1.0,
) -> list[Window]:
    """Windows for validation and test: one an event and `noise_per_event` times as many of noise, where there are.

    An event's picks lie at a random place inside its window, at least 1 s (network's time) from the ends where they
    fit; events that fit into one window together share it. Noise windows do not overlap each other and keep 5 s before
    and 20 s after the picks. The same arguments give the same windows.
    """
    windows, places = _events_and_noise(stretches, frame, preprocessing, seed)
    return [
        *windows,
        *_noise_windows(sorted(places[: _n_noise(windows, places, noise_per_event)]), frame, preprocessing),
    ]


def further_noise_windows(
    stretches: Sequence[Stretch], frame: Frame, preprocessing: Preprocessing, seed: int, hours: float
) -> list[Window]:
    """Noise windows beside those of `fixed_windows` with the same arguments, until both hold `hours` of record.

    Hours are real ones in which something was recorded. No window overlaps another one. There are fewer where the
    record has no more, and at most `MOST_FURTHER`.
    """
    windows, places = _events_and_noise(stretches, frame, preprocessing, seed)
    taken = _n_noise(windows, places, 1.0)
    missing = hours - sum(recorded_hours(window) for window in _noise_windows(places[:taken], frame, preprocessing))
    found: list[tuple[_Place, Window]] = []
    for place in places[taken:]:
        if missing < LEAST_HOURS or len(found) == MOST_FURTHER:
            break
        for window in _noise_windows([place], frame, preprocessing):
            found.append((place, window))
            missing -= recorded_hours(window)
    return [window for _, window in sorted(found, key=lambda each: each[0])]


def recorded_hours(window: InputWindow) -> float:
    """Real hours of a window in which something was recorded."""
    return float(np.any(window.waveforms != 0, axis=(0, 1)).sum()) / window.rate_hz / 3600


def _n_noise(windows: Sequence[Window], places: Sequence[object], noise_per_event: float) -> int:
    """How many of the places `fixed_windows` takes."""
    return min(len(places), round(noise_per_event * len(windows)) if windows else len(places))


def _noise_windows(places: Sequence[_Place], frame: Frame, preprocessing: Preprocessing) -> list[Window]:
    windows = [cut_window(place.stretch, place.start, frame, preprocessing) for place in places]
    return [window for window in windows if window.station_ids]


def _events_and_noise(
    stretches: Sequence[Stretch], frame: Frame, preprocessing: Preprocessing, seed: int
) -> tuple[list[Window], list[_Place]]:
    """Event windows, and where noise windows can be cut, in random order."""
    rng = np.random.default_rng(seed)
    windows = [
        cut_window(stretch, _first_sample(rng, span, stretch, preprocessing), frame, preprocessing)
        for stretch in stretches
        for span in _shared_spans(stretch, preprocessing)
    ]
    windows = [w for w in windows if w.station_ids]
    places: list[_Place] = []
    for stretch in stretches:
        for first, last in noise_intervals(stretch, preprocessing):
            quiet = _quiet(stretch, first, last)
            spare = (last - first) % preprocessing.window_samples if last - first >= preprocessing.window_samples else 0
            offset = int(rng.integers(spare + 1))
            starts = range(
                offset, max(1, last - first - preprocessing.window_samples + 1), preprocessing.window_samples
            )
            places += [_Place(len(places) + i, quiet, start) for i, start in enumerate(starts)]
    return windows, [places[i] for i in rng.permutation(len(places))]


class WindowSampler:
    """Training windows at random shifts: half events, half noise where there is noise.

    Three of four event windows hold all picks of their event, one of four begins or ends anywhere, also inside the
    event. Events take turns; each epoch has a random state of its own, made of the seed and the epoch's number.
    """

    def __init__(self, stretches: Sequence[Stretch], frame: Frame, preprocessing: Preprocessing, seed: int) -> None:
        self.frame = frame
        self.preprocessing = preprocessing
        self.seed = seed
        self.number = 0
        """Number of the next epoch."""
        self._events = [(s, span) for s in stretches for span in _event_spans(s)]
        self._noise = [
            (_quiet(s, *interval), interval) for s in stretches for interval in noise_intervals(s, preprocessing)
        ]

    @property
    def n_events(self) -> int:
        """Events with at least one usable pick."""
        return len(self._events)

    @property
    def phases(self) -> frozenset[str]:
        """Phases with at least one usable pick."""
        return frozenset(pick.phase for stretch, _ in self._events for pick in stretch.picks if pick.usable)

    @property
    def noise_s(self) -> float:
        """Real seconds of noise that windows can be cut from."""
        return sum(last - first for _, (first, last) in self._noise) / self.preprocessing.rate_hz

    def epoch(self, n: int, number: int | None = None) -> list[Window]:
        """n windows in random order. Without a `number` the next epoch's; with it that epoch's, again and again."""
        return list(self.windows(n, number))

    def windows(self, n: int, number: int | None = None) -> Iterator[Window]:
        """Those of `epoch`, one at a time: each is cut when it is asked for."""
        if number is None:
            number, self.number = self.number, self.number + 1
        rng = np.random.default_rng([self.seed, number])
        n_events = n if not self._noise else 0 if not self._events else math.ceil(n * EVENT_PART)
        turns = -(-n_events // max(1, self.n_events))
        order = [int(i) for _ in range(turns) for i in rng.permutation(self.n_events)]
        places: list[tuple[Stretch, int]] = []
        for i in order[:n_events]:
            stretch, span = self._events[i]
            places.append((stretch, _first_sample(rng, span, stretch, self.preprocessing, rng.random() < CUT_OFF_PART)))
        if self._noise:
            lengths = np.array([last - first for _, (first, last) in self._noise], float)
            for i in rng.choice(len(self._noise), n - n_events, p=lengths / lengths.sum()):
                quiet = self._noise[i][0]
                spare = quiet.recording.n_samples - self.preprocessing.window_samples
                places.append((quiet, int(rng.integers(min(0, spare), max(0, spare) + 1))))
        for stretch, first_sample in (places[i] for i in rng.permutation(len(places))):
            window = cut_window(stretch, first_sample, self.frame, self.preprocessing)
            if window.station_ids:
                yield window


def noise_intervals(stretch: Stretch, preprocessing: Preprocessing) -> list[tuple[int, int]]:
    """Half-open sample intervals without events, long enough for a noise window, in time order.

    Where the stretch says which times may be noise, inside of these.
    """
    recording = stretch.recording
    busy = [
        (first - NOISE_BEFORE_S * recording.rate_hz, last + NOISE_AFTER_S * recording.rate_hz)
        for first, last in _event_extents(stretch).values()
    ]
    if stretch.noise_times is not None:
        busy += _outside(stretch.noise_times, recording)
    return free_intervals(busy, recording.n_samples, SHORTEST_NOISE * preprocessing.window_samples)


def _outside(times: Times, recording: Recording) -> list[tuple[float, float]]:
    """(first, last) sample of what lies between the times."""
    per_ns = 1e-9 * recording.rate_hz
    edges = [round((x - recording.start.ns) * per_ns, 3) for pair in sorted(times) for x in pair]
    bounds = [-math.inf, *edges, math.inf]
    return [
        (max(0.0, first), min(float(recording.n_samples), last))
        for first, last in zip(bounds[::2], bounds[1::2], strict=True)
        if last > max(0.0, first) and first < recording.n_samples
    ]


def free_intervals(busy: Iterable[tuple[float, float]], n_samples: int, shortest: float) -> list[tuple[int, int]]:
    """Half-open intervals of samples, at least `shortest` long, that no busy (first, last) touches, in time order."""
    free: list[tuple[int, int]] = []
    begin = 0
    for first, last in [*sorted(busy), (float(n_samples), float(n_samples))]:
        end = min(n_samples, math.floor(first))
        if end - begin >= shortest:
            free.append((begin, end))
        begin = max(begin, math.ceil(last))
    return free


def _labels(
    stretch: Stretch, first_sample: int, station_ids: Sequence[str], seen: np.ndarray, n: int
) -> tuple[tuple[WindowLabel, ...], np.ndarray, np.ndarray, bool]:
    """Labels, targets, known and is_noise of one window; `seen` [station, sample] is where a station was recorded."""
    index = {station_id: i for i, station_id in enumerate(station_ids)}
    extents = {e: (a - first_sample, b - first_sample) for e, (a, b) in _event_extents(stretch).items()}
    labels: list[WindowLabel] = []
    arrivals: dict[tuple[int, int], list[float]] = {}
    doubtful: dict[tuple[int, int], list[float]] = {}
    labelled: dict[tuple[int, int], set[str]] = {}
    heard: dict[int, set[str]] = {}
    for pick in stretch.picks:
        station = index.get(pick.station_id)
        if station is None:
            continue
        sample = stretch.recording.index_of(pick.time) - first_sample
        key = (station, PHASES.index(pick.phase))
        within = 0 <= sample <= n - 1
        if pick.usable and (not within or seen[station, round(sample)]):
            arrivals.setdefault(key, []).append(sample)
            if within:
                labels.append(WindowLabel(*key, sample, pick.event_id, pick.pick_id))
        else:
            doubtful.setdefault(key, []).append(sample)
        labelled.setdefault(key, set()).add(pick.event_id)
        heard.setdefault(station, set()).add(pick.event_id)
    targets = np.zeros((len(station_ids), len(PHASES), n), np.float32)
    known = np.ones((len(station_ids), len(PHASES), n), bool)
    for i in range(len(station_ids)):
        for phase in range(len(PHASES)):
            key = (i, phase)
            here = arrivals.get(key, [])
            targets[key] = triangles([a for a in here if 0 <= a <= n - 1], n)
            answered = answered_events(
                stretch.complete, station_ids[i], labelled.get(key, set()), heard.get(i, set()), extents
            )
            silent = [x for e, x in extents.items() if e not in answered]
            known[key] = known_samples(n, here, doubtful.get(key, []), silent)
    is_noise = not any(first < n and event_end(first, last) > 0 for first, last in extents.values())
    return tuple(sorted(labels, key=lambda x: (x.station, x.phase, x.sample))), targets, known, is_noise


def _event_extents(stretch: Stretch, *, usable: bool = False) -> dict[str, tuple[float, float]]:
    """First and last pick of each event, in samples of the stretch."""
    picks: dict[str, list[LabelledPick]] = {}
    for pick in stretch.picks:
        if pick.usable or not usable:
            picks.setdefault(pick.event_id, []).append(pick)
    spans = {e: [stretch.recording.index_of(p.time) for p in group] for e, group in picks.items()}
    return {e: (min(samples), max(samples)) for e, samples in spans.items()}


def _event_spans(stretch: Stretch) -> list[tuple[float, float]]:
    """(first, last) usable pick of each event in samples, in time order."""
    return sorted(_event_extents(stretch, usable=True).values())


def _shared_spans(stretch: Stretch, preprocessing: Preprocessing) -> list[tuple[float, float]]:
    """Event spans with those that fit into one window together merged."""
    room = preprocessing.window_samples - 1 - 2 * MARGIN_S * preprocessing.network_rate_hz
    merged: list[tuple[float, float]] = []
    for first, last in _event_spans(stretch):
        if merged and max(last, merged[-1][1]) - merged[-1][0] <= room:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _first_sample(
    rng: np.random.Generator,
    span: tuple[float, float],
    stretch: Stretch,
    preprocessing: Preprocessing,
    cut_off: bool = False,
) -> int:
    """A random start at which the window holds the span with its margins, or (cut off) at least one of its ends.

    Inside the stretch where that is possible. A span longer than a window begins one margin after the start.
    """
    n, margin = preprocessing.window_samples, MARGIN_S * preprocessing.network_rate_hz
    first, last = span
    if cut_off:
        low, high = math.ceil(first - n + margin), math.floor(last - margin / 2)
    else:
        low, high = math.ceil(last + margin - n + 1), math.floor(first - margin)
        low = min(low, high)
        if last - first + 2 * margin > n - 1:
            low = high
    longest = stretch.recording.n_samples - n
    if longest >= 0 and max(low, 0) <= min(high, longest):
        low, high = max(low, 0), min(high, longest)
    return int(rng.integers(low, high + 1))


def _quiet(stretch: Stretch, first: int, last: int) -> Stretch:
    """A pick-free piece of a stretch, so that padding rather than an event follows it."""
    return Stretch(stretch.recording.slice(first, last), (), (), stretch.complete)
