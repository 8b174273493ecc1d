"""Which picks belong to one event, by agreement alone: no velocity model, no location.

A *reading* is what one station says of one event: P, S or both. P and S of a station are one reading where the S is the
first after the P within the possible span and no other P lies between them. Readings of two stations agree where picks
of the same phase differ by no more than the travel time between the stations at a slow velocity, and, where both have P
and S, where their origin times agree (Wadati 1933). An event is a set of readings that all agree, and it counts where

- at least three stations have the same phase, or
- a station has both P and S.

A pick is *ambiguous*, and no label, where it could as well be another: the weaker of two readings of a station that
both fit the event (both, where neither is clearly stronger), a reading that fits two events of three and more stations,
and a single P or S in an event where fewer than three stations have that phase.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from obspy import UTCDateTime

from phaseno_peft.campaign import StationTable
from phaseno_peft.campaign.coordinates import local_km, scaled_coordinates
from phaseno_peft.contract import PHASES
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.picks import Pick, PickList

SP_VELOCITY_KM_S = 8.0
"""Distance of an event over its S-P time: vp vs / (vp - vs) in the upper crust."""
FAR_KM = 30.0
"""An event may lie this far outside the network, where the span of S-P is not given."""
MOST_READINGS, MOST_PER_STATION = 200, 4
"""More readings in a row than the larger of these are parted at their widest gap: the work grows as the square."""
ORIGIN_FACTOR, ORIGIN_SPREAD = 1.37, 0.3
"""Origin is this many S-P times before P: 1 / (vp/vs - 1), for vp/vs of 1.73 and from 1.6 to 1.94."""


@dataclass(frozen=True, slots=True)
class Coincidence:
    """The rule's numbers. Times are real seconds; `for_time_scale` fits those that do not follow from distances."""

    fewest_stations: int = 3
    slowest_km_s: tuple[float, float] = (2.0, 1.1)
    """Slowest apparent velocity of P and of S between two stations."""
    slack_s: float = 0.5
    """Picks may be wrong by this much, together."""
    shortest_sp_s: float = 0.1
    longest_sp_s: float | None = None
    """None: that of an event 30 km outside the network."""
    clearly: float = 1.5
    """A reading this many times as probable as another of the same station wins; closer ones are both ambiguous."""

    def __post_init__(self) -> None:
        longest = math.inf if self.longest_sp_s is None else self.longest_sp_s
        positive = (*self.slowest_km_s, self.clearly)
        if self.fewest_stations < 2 or self.slack_s < 0 or min(positive) <= 0 or not 0 <= self.shortest_sp_s < longest:
            raise PhasenoPeftError(
                f"{self}: cannot be a rule. Give at least 2 stations, velocities above 0, a slack that is not negative "
                "and a shortest S-P below the longest."
            )

    def for_time_scale(self, k: float) -> Coincidence:
        """The rule for data that are k times faster than what the network was trained on."""
        return Coincidence(
            self.fewest_stations,
            self.slowest_km_s,
            self.slack_s / k,
            self.shortest_sp_s / k,
            self.longest_sp_s,
            self.clearly,
        )


@dataclass(frozen=True, eq=False)
class Reading:
    """What one station says of one event."""

    station: int
    P: Pick | None
    S: Pick | None

    @property
    def picks(self) -> tuple[Pick, ...]:
        return tuple(pick for pick in (self.P, self.S) if pick is not None)

    @property
    def is_pair(self) -> bool:
        return self.P is not None and self.S is not None

    @property
    def strength(self) -> float:
        return sum(pick.probability for pick in self.picks)

    @property
    def first_s(self) -> float:
        return min(float(pick.time.timestamp) for pick in self.picks)

    def time_s(self, phase: int) -> float:
        """Seconds since 1970, NaN without that phase."""
        pick = (self.P, self.S)[phase]
        return math.nan if pick is None else float(pick.time.timestamp)


def coincide(picks: Iterable[Pick], stations: StationTable, rule: Coincidence | None = None) -> list[AssociatedEvent]:
    """Return the events that picks agree on, in time order.

    Raises `CampaignError` for a pick of a station that the table does not list.
    """
    rule = rule or Coincidence()
    listed = list(picks)
    ids = sorted({pick.trace_id for pick in listed})
    unlisted = [station_id for station_id in ids if station_id not in stations]
    if unlisted:
        raise CampaignError(
            f"picks of {unlisted[0]} cannot be associated: {stations.source} does not list the station. Add it."
        )
    if not ids:
        return []
    frame = stations.select(ids).frame()
    km = local_km(scaled_coordinates([stations[i] for i in ids], frame, 1.0))
    network = _Network(rule, km)
    rows = {station_id: i for i, station_id in enumerate(ids)}
    readings = network.readings([(rows[pick.trace_id], pick) for pick in listed])
    events = [event for block in network.blocks(readings) for event in network.events(block)]
    made = [_labelled(members, doubtful, stations) for members, doubtful in events]
    return sorted(made, key=lambda event: event.picks[0].time.ns)


_EventDraft = tuple[list[int], list[int]]
"""Readings of an event, and ambiguous ones."""


@dataclass(frozen=True)
class _PairAgreement:
    """Which readings agree and which contradict: station [reading], agree and differ [reading, reading]."""

    station: NDArray[np.intp]
    agree: NDArray[np.bool_]
    differ: NDArray[np.bool_]

    def n_differing_stations(self, rows: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.int64]:
        """[row] how many stations of `others` differ from the reading with some reading and agree with none."""
        _, column = np.unique(self.station[others], return_inverse=True)
        belongs = np.eye(int(column.max(initial=-1)) + 1, dtype=np.int64)[column]  # [other, station]
        agreeing = self.agree[np.ix_(rows, others)].astype(np.int64) @ belongs
        differing = self.differ[np.ix_(rows, others)].astype(np.int64) @ belongs
        return np.asarray(((differing > 0) & (agreeing == 0)).sum(axis=1), np.int64)


class _Network:
    """The rule on stations at km [station, 2]."""

    def __init__(self, rule: Coincidence, km: NDArray[np.float64]) -> None:
        self.rule = rule
        self.apart_km = np.hypot(*np.moveaxis(km[:, None] - km[None], -1, 0))
        aperture_km = float(self.apart_km.max())
        self.longest_sp_s = rule.longest_sp_s or (aperture_km + FAR_KM) / SP_VELOCITY_KM_S
        self.span_s = aperture_km / min(rule.slowest_km_s) + rule.slack_s + self.longest_sp_s

    def readings(self, picks: Sequence[tuple[int, Pick]]) -> list[Reading]:
        """Picks (station row, pick) paired station by station, in time order."""
        found: list[Reading] = []
        for station in sorted({row for row, _ in picks}):
            own = sorted((p for row, p in picks if row == station), key=lambda p: (p.time.ns, p.phase))
            waiting: Pick | None = None
            for pick in own:
                if pick.phase == "P":
                    if waiting is not None:
                        found.append(Reading(station, waiting, None))
                    waiting = pick
                elif waiting is not None and self.rule.shortest_sp_s <= pick.time - waiting.time <= self.longest_sp_s:
                    found.append(Reading(station, waiting, pick))
                    waiting = None
                else:
                    found.append(Reading(station, None, pick))
            if waiting is not None:
                found.append(Reading(station, waiting, None))
        return sorted(found, key=lambda r: (r.first_s, r.station))

    def blocks(self, readings: Sequence[Reading]) -> list[list[Reading]]:
        """Readings parted where nothing can belong together, and where they are too many at the widest gap."""
        parted: list[list[Reading]] = []
        for reading in readings:
            if not parted or reading.first_s - parted[-1][-1].first_s > self.span_s:
                parted.append([])
            parted[-1].append(reading)
        small: list[list[Reading]] = []
        while parted:
            block = parted.pop()
            if len(block) <= max(MOST_READINGS, MOST_PER_STATION * len(self.apart_km)):
                small.append(block)
                continue
            first = len(block) // 4  # cuts in the middle half, so that no piece stays long
            gaps = np.diff([r.first_s for r in block])[first : 3 * first]
            cut = first + int(np.argmax(gaps)) + 1
            parted += [block[:cut], block[cut:]]
        return small

    def events(self, readings: Sequence[Reading]) -> list[tuple[list[Reading], list[Pick]]]:
        """(readings that count, picks that are ambiguous) of each event; those with most stations first."""
        agreement = _PairAgreement(np.array([r.station for r in readings]), *self._agreement(readings))
        free = np.ones(len(readings), bool)
        drafts: list[_EventDraft] = []
        candidates = {seed: self._event_around(seed, readings, agreement, free) for seed in range(len(readings))}
        weight = {seed: self._weight(draft[0], readings) for seed, draft in candidates.items()}
        while candidates:
            best = max(candidates, key=lambda seed: (*weight[seed], -seed))
            if not weight[best][0]:
                break
            drafts.append(candidates[best])
            used = {i for part in candidates[best] for i in part}
            free[list(used)] = False
            candidates = {seed: draft for seed, draft in candidates.items() if free[seed]}
            for seed, draft in candidates.items():
                if any(i in used for part in draft for i in part):
                    candidates[seed] = self._event_around(seed, readings, agreement, free)
                    weight[seed] = self._weight(candidates[seed][0], readings)
        self._make_shared_ambiguous(drafts, readings, agreement)
        events = []
        for members, doubtful in drafts:
            kept, loose = self._supported([readings[i] for i in members])
            if kept:
                ambiguous = [*loose, *(p for i in doubtful for p in readings[i].picks)]
                events.append((kept, sorted(ambiguous, key=lambda p: p.time.ns)))
        return events

    def _weight(self, members: Sequence[int], readings: Sequence[Reading]) -> tuple[bool, int, float]:
        own = [readings[i] for i in members]
        return self._is_event(own), len(own), sum(r.strength for r in own)

    def _agreement(self, readings: Sequence[Reading]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """[reading, reading] whether two readings of different stations agree, and whether they disagree.

        Neither, where one has only P and the other only S.
        """
        station = np.array([r.station for r in readings])
        apart_km = self.apart_km[station[:, None], station[None]]
        shared = np.zeros(apart_km.shape, bool)
        fits = np.ones(apart_km.shape, bool)
        times = [np.array([r.time_s(phase) for r in readings]) for phase in range(len(PHASES))]
        for time_s, slowest in zip(times, self.rule.slowest_km_s, strict=True):
            difference = np.abs(time_s[:, None] - time_s[None])
            both = np.isfinite(difference)
            shared |= both
            fits &= ~both | (difference <= apart_km / slowest + self.rule.slack_s)
        sp = times[1] - times[0]
        origin = times[0] - ORIGIN_FACTOR * sp
        difference = np.abs(origin[:, None] - origin[None])
        allowed = ORIGIN_SPREAD * (sp[:, None] + sp[None]) + (1 + ORIGIN_FACTOR) * self.rule.slack_s
        fits &= ~np.isfinite(difference) | (difference <= allowed)
        shared &= station[:, None] != station[None]
        return shared & fits, shared & ~fits

    def _event_around(
        self, seed: int, readings: Sequence[Reading], agreement: _PairAgreement, free: NDArray[np.bool_]
    ) -> _EventDraft:
        """The event around one reading."""
        station = agreement.station
        members = np.flatnonzero(agreement.agree[seed] & free)
        strength = np.array([readings[i].strength for i in members.tolist()])
        # Readings that disagree with most stations go first, until all that are left agree.
        while len(members):
            differing = agreement.n_differing_stations(members, np.append(members, seed))
            worst = int(np.lexsort((members, -strength, differing))[-1])
            if not differing[worst]:
                break
            members, strength = np.delete(members, worst), np.delete(strength, worst)
        # The seed's own station may have other readings that fit as well.
        own = np.flatnonzero(free & (station == station[seed]) & agreement.agree[:, members].any(axis=1))
        fitting = own[agreement.n_differing_stations(own, members) == 0] if len(own) else own
        together = sorted({seed, *members.tolist(), *fitting.tolist()})
        by_station: dict[int, list[int]] = {}
        for i in together:
            by_station.setdefault(readings[i].station, []).append(i)
        kept: list[int] = []
        ambiguous: list[int] = []
        for group in by_station.values():
            best, *others = sorted(group, key=lambda i: -readings[i].strength)
            is_clear = not others or readings[best].strength >= self.rule.clearly * readings[others[0]].strength
            (kept if is_clear else ambiguous).append(best)
            ambiguous += others
        return kept, ambiguous

    def _make_shared_ambiguous(
        self, drafts: Sequence[_EventDraft], readings: Sequence[Reading], agreement: _PairAgreement
    ) -> None:
        """A reading that fits another event of enough stations, which lacks its station, is ambiguous."""
        moves = []
        for own, (members, _) in enumerate(drafts):
            for i in members:
                for other, (others, _) in enumerate(drafts):
                    if other == own or len(others) < self.rule.fewest_stations:
                        continue
                    if (
                        readings[i].station not in {readings[j].station for j in others}
                        and agreement.agree[i, others].all()
                    ):
                        moves.append((own, i))
        for own, i in set(moves):
            drafts[own][0].remove(i)
            drafts[own][1].append(i)

    def _is_event(self, members: Sequence[Reading]) -> bool:
        return bool(self._supported(members)[0])

    def _supported(self, members: Sequence[Reading]) -> tuple[list[Reading], list[Pick]]:
        """Readings whose picks are supported, and picks that are not."""
        enough = {
            phase: sum(phase in {p.phase for p in r.picks} for r in members) >= self.rule.fewest_stations
            for phase in PHASES
        }
        kept = [r for r in members if r.is_pair or enough[r.picks[0].phase]]
        return kept, [p for r in members if r not in kept for p in r.picks]


def _labelled(members: Sequence[Reading], ambiguous: Sequence[Pick], stations: StationTable) -> AssociatedEvent:
    picks = sorted((p for r in members for p in r.picks), key=lambda p: (p.time.ns, p.trace_id, p.phase))
    origins = [
        float(r.P.time.timestamp) - ORIGIN_FACTOR * (r.S.time - r.P.time)
        for r in members
        if r.P is not None and r.S is not None
    ]
    nearest = stations[picks[0].trace_id]
    return AssociatedEvent(
        picks=tuple(picks),
        ambiguous=tuple(ambiguous),
        origin_time=UTCDateTime(float(np.median(origins))) if origins else picks[0].time,
        latitude_deg=nearest.latitude_deg,
        longitude_deg=nearest.longitude_deg,
    )


def kept_and_left(events: Sequence[AssociatedEvent], picks: PickList) -> dict[str, int]:
    """How many of the teacher's picks became labels, are ambiguous, or belong to no event."""
    labels = sum(len(event.picks) for event in events)
    ambiguous = sum(len(event.ambiguous) for event in events)
    return {"labels": labels, "ambiguous": ambiguous, "alone": len(picks) - labels - ambiguous}
