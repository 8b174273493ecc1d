"""Which traces of a station become E, N and Z: sensor groups, component codes, dead channels, filled gaps, clipping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phaseno_peft.campaign.stations import StationTable

FILLED_GAP_S = 2.0
"""A constant run this long inside a moving trace is a gap that somebody filled."""
FILLED_GAP_SAMPLES = 100
SAME_RATE = 1e-5
"""Relative difference of rates that headers of one clock may show."""
CLIP_RUN_SAMPLES = 3
CLIP_RUNS = 2
CLIP_LEVELS = 100
"""A plateau counts as clipping only where the trace spans this many steps of the digitiser."""

_CODE_SETS = ("ENZ", "12Z", "123", "XYZ", "RTZ")
"""Component codes that one three-component sensor uses; a group with six channels holds two sensors."""


@dataclass(slots=True, eq=False)
class Segment:
    """A gap-free run of raw samples. `start_ns` is the time of sample 0 in nanoseconds since 1970."""

    start_ns: int
    rate_hz: float
    samples: np.ndarray

    @property
    def end_ns(self) -> int:
        """Time of one sample after the last."""
        return self.start_ns + round(len(self.samples) * 1e9 / self.rate_hz)


@dataclass(slots=True, eq=False)
class Channel:
    """Everything recorded under one NET.STA.LOC.CHA."""

    seed_id: str
    segments: list[Segment] = field(default_factory=list)
    dead: bool = False
    clipped: bool = False
    filled: bool = False

    @property
    def code(self) -> str:
        return self.seed_id.rsplit(".", 1)[1]

    @property
    def component(self) -> str:
        """Last letter of the channel code, upper case; empty where there is no code."""
        return self.code[-1:].upper()

    @property
    def covered_s(self) -> float:
        """Recorded seconds; 0 for a dead channel."""
        return 0.0 if self.dead else sum(len(s.samples) / s.rate_hz for s in self.segments)


def contiguous_segments(traces: list[Any]) -> list[Segment]:
    """Gap-free runs of the traces of one channel, in time order; no sample is invented.

    Masked and non-finite samples are gaps. Where runs overlap, the one that starts first stays. Runs that follow
    within half a sample and share the rate are joined (the tolerance of libmseed), counted from the first run's clock.
    """
    pieces: list[Segment] = []
    for trace in traces:
        rate_hz = float(trace.stats.sampling_rate)
        samples = np.asarray(np.ma.getdata(trace.data))
        good = ~np.ma.getmaskarray(trace.data) if np.ma.isMaskedArray(trace.data) else np.ones(samples.shape, bool)
        if samples.dtype.kind == "f":
            good &= np.isfinite(samples)
        start_ns = int(trace.stats.starttime.ns)
        for first, last in _runs(good):
            pieces.append(Segment(start_ns + round(first * 1e9 / rate_hz), rate_hz, samples[first:last]))
    pieces.sort(key=lambda s: (s.start_ns, -len(s.samples)))
    joined: list[list[Segment]] = []
    for piece in pieces:
        if joined:
            chain = joined[-1]
            head, length = chain[0], sum(len(s.samples) for s in chain)
            late = (piece.start_ns - head.start_ns) * 1e-9 * head.rate_hz - length  # samples after the chain's end
            if abs(piece.rate_hz / head.rate_hz - 1.0) <= SAME_RATE:
                skip = max(0, round(-late))
                if skip >= len(piece.samples):
                    continue
                if abs(late + skip) <= 0.5:
                    chain.append(Segment(piece.start_ns, piece.rate_hz, piece.samples[skip:]))
                    continue
            elif late < 0:
                skip = int(np.ceil(-late / head.rate_hz * piece.rate_hz))
                if skip >= len(piece.samples):
                    continue
                start_ns = piece.start_ns + round(skip * 1e9 / piece.rate_hz)
                piece = Segment(start_ns, piece.rate_hz, piece.samples[skip:])
        joined.append([piece])
    return [
        c[0] if len(c) == 1 else Segment(c[0].start_ns, c[0].rate_hz, np.concatenate([s.samples for s in c]))
        for c in joined
    ]


def inspect_channel(channel: Channel) -> None:
    """Mark the channel dead or clipped, and cut constant runs that fill a gap out of its segments."""
    spans = [(s.samples.min(), s.samples.max()) for s in channel.segments if len(s.samples)]
    if not spans:
        channel.dead = True
        return
    low, high = min(a for a, _ in spans), max(b for _, b in spans)
    if not any(a != b for a, b in spans):  # also two segments that are constant at different values
        channel.dead = True
        return
    channel.clipped = any(_clipped(s.samples, low, high) for s in channel.segments)
    total = sum(len(s.samples) for s in channel.segments)
    flat = [_flat_runs(s) for s in channel.segments]
    if 0 < sum(last - first for runs in flat for first, last in runs) <= total / 2:
        channel.filled = True
        channel.segments = [
            Segment(s.start_ns + round(a * 1e9 / s.rate_hz), s.rate_hz, s.samples[a:b])
            for s, runs in zip(channel.segments, flat, strict=True)
            for a, b in _between(runs, len(s.samples))
        ]


def choose_sensor(channels: list[Channel]) -> tuple[list[Channel], list[Channel]]:
    """(chosen, dropped) of a station's living channels: one sensor, with the most complete set of components.

    Between sensors that are equally complete, seismometers go before accelerometers (instrument code N), then the
    longer record, then the higher rate, then Z/N/E before numbered channels.
    """
    longest = max((c.covered_s for c in channels), default=0.0)
    best: tuple[tuple[float, ...], list[Channel]] | None = None
    groups: dict[tuple[str, str], list[Channel]] = {}
    for channel in channels:
        groups.setdefault((channel.seed_id.rsplit(".", 1)[0], channel.code[:-1]), []).append(channel)
    for (_, band), members in sorted(groups.items()):
        by_component = {c.component: c for c in members}
        for preference, codes in enumerate(_CODE_SETS):
            if codes == "123" and "3" not in by_component and "Z" in by_component:
                continue
            sensor = [by_component[c] for c in codes if c in by_component]
            if not sensor:
                continue
            complete = sum(c.covered_s >= longest / 2 for c in sensor)
            score = (
                complete,
                len(sensor),
                band[-1:].upper() != "N",
                sum(c.covered_s for c in sensor),
                max(s.rate_hz for c in sensor for s in c.segments),
                -preference,
            )
            if best is None or score > best[0]:
                best = (score, sensor)
    # Without any known component letter: one trace of unknown direction, as if vertical.
    chosen = sorted(channels, key=lambda c: -c.covered_s)[:1] if best is None else best[1]
    return chosen, [c for c in channels if c not in chosen]


def assign_components(sensor: list[Channel], stations: StationTable) -> tuple[dict[str, Channel], str | None]:
    """Slots "E", "N", "Z" of one sensor's channels, and a sentence where a direction had to be assumed.

    Letters say it themselves; 1 and 2 beside Z are N and E (SEED), unless the inventory's azimuths say the opposite.
    Of 1, 2, 3 the inventory's dip (steeper than 45 degrees) finds the vertical; else 1 is Z, 2 is N and 3 is E.
    """
    by_code = {c.component: c for c in sensor}
    slots: dict[str, Channel] = {}
    assumed: str | None = None
    for letters, slot in (("Z", "Z"), ("NYR", "N"), ("EXT", "E")):
        for letter in letters:
            if letter in by_code:
                slots.setdefault(slot, by_code[letter])
    numbered = [by_code[c] for c in "123" if c in by_code]
    if "Z" not in slots and numbered:
        steep = [c for c in numbered if abs((stations.orientation(c.seed_id) or (0.0, 0.0))[1]) > 45.0]
        if len(steep) == 1:
            slots["Z"] = steep[0]
        elif "3" in by_code or len(numbered) == 1:
            slots["Z"] = numbered[0]
            names = ", ".join(c.code for c in numbered)
            rule = "Z" if len(numbered) == 1 else "Z, N, E"
            assumed = f"channels {names} have no dip in {stations.source}; they are taken as {rule} in this order"
        numbered = [c for c in numbered if c is not slots.get("Z")]
    if numbered:
        first, *rest = numbered
        azimuths = [stations.orientation(c.seed_id) for c in (first, *rest)]
        swapped = first.component == "2" and not rest
        if all(a is not None for a in azimuths):
            north = [abs(np.cos(np.radians(a[0]))) for a in azimuths if a is not None]
            swapped = north[1] > north[0] + 1e-9 if rest else north[0] < 0.5
        for channel, slot in zip((first, *rest), "EN" if swapped else "NE", strict=False):
            slots.setdefault(slot, channel)
    if not slots and sensor:
        slots["Z"] = sensor[0]
        assumed = f"channel {sensor[0].code or '(no code)'} names no component; it is taken as Z"
    elif any(letter in by_code for letter in "RTXY"):
        names = ", ".join(c.code for c in sensor)
        assumed = f"channels {names}: R and Y are taken as N, T and X as E"
    return slots, assumed


def _runs(good: np.ndarray) -> list[tuple[int, int]]:
    """Half-open runs of True."""
    if good.all():
        return [(0, len(good))] if len(good) else []
    steps = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(steps[::2], steps[1::2], strict=True)]


def _between(runs: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The non-empty half-open stretches of [0, length) outside the runs."""
    bounds = [0, *(edge for run in runs for edge in run), length]
    return [(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True) if b > a]


def _flat_runs(segment: Segment) -> list[tuple[int, int]]:
    """Runs of one repeated value that last at least `FILLED_GAP_S`."""
    least = max(FILLED_GAP_SAMPLES, round(FILLED_GAP_S * segment.rate_hz))
    if len(segment.samples) < least:
        return []
    x = segment.samples
    if not (x[:: least // 2][1:] == x[:: least // 2][:-1]).any():  # a flat run holds two neighbours of this coarse comb
        return []
    changes = np.flatnonzero(x[1:] != x[:-1]) + 1
    bounds = np.concatenate([[0], changes, [len(x)]])
    long = np.flatnonzero(np.diff(bounds) >= least)
    return [(int(bounds[i]), int(bounds[i + 1])) for i in long]


def _clipped(x: np.ndarray, low: float, high: float) -> bool:
    """True where the trace stays on its extreme value in several plateaus, as a saturated digitiser does."""
    for extreme in (low, high):
        at = np.flatnonzero(x == extreme)
        if len(at) < CLIP_RUNS * CLIP_RUN_SAMPLES:
            continue
        lengths = np.diff(np.flatnonzero(np.concatenate([[True], np.diff(at) > 1, [True]])))
        if np.count_nonzero(lengths >= CLIP_RUN_SAMPLES) >= CLIP_RUNS:
            steps = np.abs(np.diff(x.astype(np.float64)))
            steps = steps[steps > 0]
            return bool(len(steps) and (float(high) - float(low)) / steps.min() >= CLIP_LEVELS)
    return False
