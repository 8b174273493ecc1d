"""Which traces of a station become E, N and Z: sensors, component codes, conflicts, dead channels, clipping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phaseno_peft.campaign.padding import ABSURD_SAMPLE, padding
from phaseno_peft.campaign.segments import Segment, join
from phaseno_peft.campaign.stations import StationTable

CLIP_RUN_SAMPLES = 3
CLIP_RUNS = 2
CLIP_LEVELS = 100
"""A plateau counts as clipping only where the trace spans this many steps of the digitiser."""

MAX_SEGMENTS = 50_000
"""Pieces a channel may lie in; a day in pieces of two seconds. Filtering each alone would take minutes."""
CONFLICT_S = 1.0
"""Shorter overlaps with other samples are what a clock does when it is set."""
_STEEP_DEG, _FLAT_DEG = 45.0, 20.0

# Families of component codes and their slots. Beside Z, SEED numbers horizontals 1 and 2; some archives 2 and 3.
# Without Z: SEED 1 2 3, RefTek 0 1 2 (its channels in order), nodes of rg16 files 2 3 4, each vertical first.
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("ZNE", "ZNE"),
    ("UNE", "ZNE"),
    ("Z12", "ZNE"),
    ("Z23", "ZNE"),
    ("123", "ZNE"),
    ("012", "ZNE"),
    ("234", "ZNE"),
    ("ZYX", "ZNE"),
    ("ZRT", "ZNE"),
    ("12", "NE"),
)
_ASSUMED_VERTICAL = ("123", "012", "234")
_NIED = {"UD": "Z", "NS": "N", "EW": "E"}
"""K-NET; with a digit behind it KiK-net, 1 in the borehole and 2 at the surface."""


@dataclass(slots=True, eq=False)
class Channel:
    """Everything recorded under one NET.STA.LOC.CHA."""

    seed_id: str
    segments: list[Segment] = field(default_factory=list)
    dead: bool = False
    clipped: bool = False
    filled: bool = False
    living_s: float | None = None
    """Recorded seconds, where the samples were looked at piece by piece and are not held."""
    conflict: str = ""
    """What traces of this id contradict each other in; empty where none do."""

    @property
    def code(self) -> str:
        return self.seed_id.rsplit(".", 1)[1]

    @property
    def component(self) -> str:
        """Last letter of the channel code, upper case; E, N, Z for K-NET's codes; empty where there is none."""
        code = self._plain_code
        if code[:2] in _NIED and code[2:] in ("", "1", "2"):
            return _NIED[code[:2]]
        return code[-1:] if len(code) <= 3 else ""

    @property
    def sensor(self) -> tuple[str, str]:
        """What the channels of one sensor share: NET.STA.LOC, and the code without its component."""
        code = self._plain_code
        stem = f"NIED{code[2:]}" if code[:2] in _NIED and code[2:] in ("", "1", "2") else code[:-1]
        return self.seed_id.rsplit(".", 1)[0], stem

    @property
    def _plain_code(self) -> str:
        """Upper case; FDSN source identifiers (H_H_Z) without their underscores."""
        code = self.code.upper()
        return code.replace("_", "") if code.count("_") == 2 else code

    @property
    def covered_s(self) -> float:
        """Recorded seconds; 0 for a dead channel."""
        if self.dead:
            return 0.0
        return sum(len(s.samples) / s.rate_hz for s in self.segments) if self.living_s is None else self.living_s


def read_channel(seed_id: str, traces: list[Any]) -> Channel:
    """Gap-free runs of the traces of one id, in time order; no sample is invented.

    Masked, non-finite and absurdly large samples are gaps. Where runs overlap, the one that starts first stays, of
    those that start together the longest; samples that differ there make the channel's `conflict`. Runs that follow
    within half a sample and share the rate are joined (the tolerance of libmseed), counted from the first run's clock.
    """
    pieces: list[Segment] = []
    for trace in traces:
        samples = np.asarray(np.ma.getdata(trace.data))
        masked = np.ma.getmaskarray(trace.data) if np.ma.isMaskedArray(trace.data) else None
        whole = Segment(int(trace.stats.starttime.ns), float(trace.stats.sampling_rate), samples)
        pieces += good_pieces(whole, masked)
    channel = Channel(seed_id)
    differing_s = 0.0
    for chain in join(pieces):
        arrays = [samples for _, samples in chain.kept]
        held = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        channel.segments.append(Segment(chain.start_ns, chain.rate_hz, held))
        differing = sum(int(np.count_nonzero(held[at : at + len(x)] != x)) for at, x in chain.covered)
        differing_s += differing / chain.rate_hz + chain.other_rate_s
    channel.conflict = conflict_of(differing_s)
    return channel


def good_pieces(segment: Segment, masked: np.ndarray | None = None) -> list[Segment]:
    """The runs of a segment's samples that are numbers; masked, non-finite and absurdly large ones are gaps."""
    samples = segment.samples
    good = np.ones(samples.shape, bool) if masked is None else ~masked
    if samples.dtype.kind == "f":
        good &= np.abs(samples) < ABSURD_SAMPLE  # False for NaN
    return [
        Segment(segment.start_ns + round(a * 1e9 / segment.rate_hz), segment.rate_hz, samples[a:b])
        for a, b in true_runs(good)
    ]


def conflict_of(differing_s: float) -> str:
    """What is said of a channel whose traces contradict each other for so long; empty for less than a second."""
    if differing_s < CONFLICT_S:
        return ""
    return (
        f"traces overlap under one id with different samples for {differing_s:g} s; where they do, the one that "
        "starts first is used, of those that start together the longest, then the first file's"
    )


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
    flat = padding([s.samples for s in channel.segments], [s.rate_hz for s in channel.segments])
    if any(flat):
        channel.filled = True
        channel.segments = [
            Segment(s.start_ns + round(a * 1e9 / s.rate_hz), s.rate_hz, s.samples[a:b])
            for s, runs in zip(channel.segments, flat, strict=True)
            for a, b in _between(runs, len(s.samples))
        ]
        spans = [(s.samples.min(), s.samples.max()) for s in channel.segments]
        channel.dead = not any(a != b for a, b in spans)


@dataclass(slots=True, eq=False)
class Sensor:
    """The channels of a station that belong together, by slot E, N, Z."""

    slots: dict[str, Channel]
    unknown: list[Channel] = field(default_factory=list)
    """Channels under the same stem whose component is not known."""
    assumed: str = ""
    """A sentence where a direction was taken from a convention that leaves room for doubt."""
    preference: int = 0
    """Place of the family; the first goes before the others of the same stem."""


def sensors_of(channels: list[Channel], stations: StationTable) -> list[Sensor]:
    """The sensors of a station by all its channels, dead ones too: a family is told from all its members.

    The inventory's dip and azimuth go before any convention but Z, N, E itself. A stem whose codes fit no family, or
    more than one, gives no sensor (or that of its Z, N, E), and its channels are `unknown`: nothing is guessed.
    """
    groups: dict[tuple[str, str], dict[str, Channel]] = {}
    nameless: list[Channel] = []
    for channel in channels:
        known = groups.setdefault(channel.sensor, {}).setdefault(channel.component, channel)
        if known is not channel:
            nameless.append(channel)  # HHZ beside hhz
    sensors: list[Sensor] = []
    for _, by_letter in sorted(groups.items()):
        found = _families(by_letter, stations)
        used = {id(c) for sensor in found for c in sensor.slots.values()}
        unknown = [c for c in by_letter.values() if id(c) not in used]
        sensors += found or [Sensor({})]
        for sensor in sensors[-max(1, len(found)) :]:
            sensor.unknown = unknown
    if nameless:
        sensors.append(Sensor({}, nameless))
    return sensors


def _families(by_letter: dict[str, Channel], stations: StationTable) -> list[Sensor]:
    letters = set(by_letter)
    found: list[Sensor] = []
    for preference, (family, slots) in enumerate(_FAMILIES):
        members = [c for c in family if c in letters]
        others = letters - set(family)
        fits = {
            "ZNE": bool(letters & set("ZNE")) and (bool(letters & set("NE")) or not letters & set("12XYRT23")),
            "UNE": "U" in letters and bool(letters & set("NE")) and not letters & set("ZVW"),
            "Z12": "Z" in letters and bool(letters & set("12")) and ("1" in letters or "3" not in letters),
            "Z23": "Z" in letters and "3" in letters and "1" not in letters,
            "123": set("123") <= letters and not letters & set("04"),
            "012": set("012") <= letters and (not others or others == set("345")),
            "234": set("234") <= letters and not letters & set("01Z"),
            "ZYX": bool(letters & set("XY")) and not others & set("UVW"),
            "ZRT": bool(letters & set("RT")) and ("R" in letters or "Z" in letters) and not others & set("LVQ"),
            "12": set("12") <= letters and not letters & set("Z034"),
        }[family]
        if family == "123" and "Z" in letters and fits and not letters & set("NE"):
            fits = False  # Z 1 2 is complete; the direction of 3 is unknown
        if not fits:
            continue
        named = {slot: by_letter[c] for c, slot in zip(family, slots, strict=True) if c in letters}
        told = ""
        if family in _ASSUMED_VERTICAL:
            named, told = _oriented(family, by_letter, stations)
        elif set("12") & set(members):
            _swap_by_azimuth(named, stations)
        elif family in ("ZYX", "ZRT"):
            told = f"channels {', '.join(c.code for c in named.values())}: R and Y are taken as N, T and X as E"
        found.append(Sensor(named, [], told, preference))
    if not found:
        directions = [(c, _orientation(c, stations)) for c in by_letter.values()]
        known = [(c, o) for c, o in directions if o is not None]
        if known and len(known) == len(directions) <= 3 and (slots_of := _by_direction(known)):
            found.append(Sensor(slots_of, [], "", len(_FAMILIES)))
    return found


def _orientation(channel: Channel, stations: StationTable) -> tuple[float, float] | None:
    return stations.orientation(channel.seed_id) if channel.seed_id.count(".") == 3 else None


def _by_direction(known: list[tuple[Channel, tuple[float, float]]]) -> dict[str, Channel] | None:
    """Slots by azimuth and dip; None where a channel is inclined or two point the same way."""
    slots: dict[str, Channel] = {}
    flat: list[tuple[float, Channel]] = []
    for channel, (azimuth_deg, dip_deg) in known:
        if abs(dip_deg) > 90.0 - _FLAT_DEG:
            if "Z" in slots:
                return None
            slots["Z"] = channel
        elif abs(dip_deg) <= _FLAT_DEG:
            flat.append((abs(float(np.cos(np.radians(azimuth_deg)))), channel))
        else:
            return None
    flat.sort(key=lambda f: -f[0])
    if len(flat) > 2 or (len(flat) == 2 and flat[0][0] - flat[1][0] < 1e-9):
        return None
    if len(flat) == 2:
        slots["N"], slots["E"] = flat[0][1], flat[1][1]
    elif flat:
        slots["N" if flat[0][0] >= 0.5 else "E"] = flat[0][1]
    return slots


def _oriented(family: str, by_letter: dict[str, Channel], stations: StationTable) -> tuple[dict[str, Channel], str]:
    """Slots of three numbered channels: the one steep one is Z, else the first; azimuths may swap the others."""
    channels = [by_letter[c] for c in family]
    steep = [c for c in channels if abs((_orientation(c, stations) or (0.0, 0.0))[1]) > _STEEP_DEG]
    vertical = steep[0] if len(steep) == 1 else channels[0]
    north, east = (c for c in channels if c is not vertical)
    slots = {"Z": vertical, "N": north, "E": east}
    _swap_by_azimuth(slots, stations)
    told = ""
    if len(steep) != 1:
        living = [(c.code, slot) for slot, c in slots.items() if not c.dead]
        told = (
            f"channels {', '.join(code for code, _ in living)} have no dip in {stations.source}; "
            f"they are taken as {', '.join(slot for _, slot in living)} in this order"
        )
    return slots, told


def _swap_by_azimuth(slots: dict[str, Channel], stations: StationTable) -> None:
    """Exchange N and E where the inventory's azimuths say the opposite of the numbers."""
    if "N" in slots and "E" in slots:
        azimuths = [_orientation(slots[slot], stations) for slot in "NE"]
        north = [abs(np.cos(np.radians(a[0]))) for a in azimuths if a is not None]
        if len(north) == 2 and north[1] > north[0] + 1e-9:
            slots["N"], slots["E"] = slots["E"], slots["N"]
    else:
        for slot, other in ("NE", "EN"):
            orientation = _orientation(slots[slot], stations) if slot in slots else None
            if orientation is not None:
                is_north = abs(np.cos(np.radians(orientation[0]))) >= 0.5
                if is_north != (slot == "N"):
                    slots[other] = slots.pop(slot)
                return


def choose_sensor(sensors: list[Sensor]) -> Sensor | None:
    """The sensor with the most complete set of living components; None where none has any.

    Between sensors that are equally complete, seismometers go before accelerometers (instrument code N), then the
    longer record, then the higher rate, then Z, N, E before numbered channels.
    """
    longest = max((c.covered_s for sensor in sensors for c in sensor.slots.values()), default=0.0)
    best: tuple[tuple[float, ...], Sensor] | None = None
    for sensor in sensors:
        if not (members := list(sensor.slots.values())):
            continue
        score = (
            sum(c.covered_s >= longest / 2 for c in members),
            len(members),
            members[0].sensor[1][-1:] != "N",
            sum(c.covered_s for c in members),
            max(s.rate_hz for c in members for s in c.segments),
            -sensor.preference,
        )
        if best is None or score > best[0]:
            best = (score, sensor)
    return None if best is None else best[1]


def true_runs(good: np.ndarray) -> list[tuple[int, int]]:
    """Half-open runs of True."""
    if good.all():
        return [(0, len(good))] if len(good) else []
    steps = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(steps[::2], steps[1::2], strict=True)]


def _between(runs: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The non-empty half-open stretches of [0, length) outside the runs."""
    bounds = [0, *(edge for run in runs for edge in run), length]
    return [(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True) if b > a]


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
