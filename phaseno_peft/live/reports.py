"""Which picks are told, when, and under which id: first as they are seen, again when they move, at last as final."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from obspy import UTCDateTime

from phaseno_peft.picks import Pick
from phaseno_peft.picks.pick import rounded

SAME_S = 0.5
"""Picks of one station and phase this near are one pick, seen by two passes."""
MOVED_S, CHANGED = 0.03, 0.15
"""A pick that moves or changes its probability by more is told again."""
MOST_GIVEN = 200_000
"""Of so many ids the older half is forgotten."""
EDGE_S = 0.5
"""Nearer than this to the end of the record a peak may still be rising."""

Status = Literal["preliminary", "final", "withdrawn"]
"""preliminary: windows to come may change it. final: none will. withdrawn: a later pass has it no more."""


@dataclass(frozen=True)
class Report:
    """One line of output."""

    pick: Pick
    id: str
    status: Status
    replaces: str | None
    """The id that this one is told instead of; None for a new pick and for one that stays as it is."""
    latency_s: float | None
    """From the packet with the pick's own sample to this report, wall clock; None where it is not known."""
    since_last_sample_s: float
    """From the packet with the newest sample of the pass to this report."""

    def row(self) -> dict[str, Any]:
        """Plain JSON types, in the order of the columns of a table."""
        return {
            "id": self.id,
            "status": self.status,
            "replaces": self.replaces,
            "station": self.pick.trace_id,
            "phase": self.pick.phase,
            "time": str(rounded(self.pick.time, 6)),
            "probability": round(self.pick.probability, 6),
            "uncertainty_s": round(self.pick.uncertainty_s, 6),
            "latency_s": None if self.latency_s is None else round(self.latency_s, 3),
            "since_last_sample_s": round(self.since_last_sample_s, 3),
        }


@dataclass
class _Known:
    pick: Pick
    id: str
    revision: int
    status: Status


class ReportedPicks:
    """What has been told, and what is to be told after a pass."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], list[_Known]] = {}
        self._given: dict[str, None] = {}
        """Ids that were given away, the newest last."""

    def update(
        self,
        picks: Iterable[Pick],
        *,
        complete_ns: int,
        certain_ns: int,
        end_ns: int,
        wall: Callable[[Pick], tuple[float | None, float]],
    ) -> list[Report]:
        """Reports in time order after a pass, whose times `phaseno_peft.live.passes.Pass` explains.

        wall: a pick's `latency_s` and `since_last_sample_s`. What is final is not told again; samples that come later
        than two windows cannot change it.
        """
        reports: list[Report] = []
        found: dict[tuple[str, str], list[Pick]] = {}
        last_ns = end_ns - round(EDGE_S * 1e9)
        for pick in picks:
            if complete_ns <= pick.time.ns <= last_ns:
                found.setdefault((pick.trace_id, pick.phase), []).append(pick)

        def tell(known: _Known, replaces: str | None) -> None:
            latency_s, since_s = wall(known.pick)
            reports.append(Report(known.pick, known.id, known.status, replaces, latency_s, since_s))

        for key in sorted({*self._known, *found}):
            before = [k for k in self._known.get(key, []) if k.pick.time.ns >= complete_ns - round(SAME_S * 1e9)]
            for known in self._known.get(key, []):
                if known.status == "preliminary" and known not in before:  # its record was lost on the way
                    known.status = "withdrawn"
                    tell(known, None)
            now = found.get(key, [])
            kept: list[_Known] = []
            pairs = _pairs([k.pick for k in before], now)
            for old, new in pairs.items():
                known, pick = before[old], now[new]
                kept.append(known)
                if known.status == "final":
                    continue
                is_final = pick.time.ns < certain_ns
                moved = abs(pick.time - known.pick.time) > MOVED_S
                if moved or abs(pick.probability - known.pick.probability) > CHANGED:
                    replaced = known.id
                    known.pick = pick
                    known.id, known.revision = self._new_id(pick, known.revision + 1)
                    known.status = "final" if is_final else "preliminary"
                    tell(known, replaced)
                elif is_final:
                    known.status = "final"
                    tell(known, None)
            for number, known in enumerate(before):
                if number in pairs:
                    continue
                if known.status == "preliminary" and complete_ns <= known.pick.time.ns <= last_ns:
                    known.status = "withdrawn"
                    tell(known, None)
                else:
                    kept.append(known)
            for number, pick in enumerate(now):
                if number not in pairs.values():
                    status: Status = "final" if pick.time.ns < certain_ns else "preliminary"
                    new_one = _Known(pick, *self._new_id(pick, 0), status)
                    kept.append(new_one)
                    tell(new_one, None)
            self._known[key] = kept
        if len(self._given) > MOST_GIVEN:
            self._given = dict.fromkeys(list(self._given)[MOST_GIVEN // 2 :])
        return sorted(reports, key=lambda r: (r.pick.time.ns, r.pick.trace_id, r.pick.phase))

    def end(self, wall: Callable[[Pick], tuple[float | None, float]]) -> list[Report]:
        """Tell everything preliminary as final, where no pass can change it any more, and forget all but the ids."""
        reports = []
        for known in (known for of_key in self._known.values() for known in of_key):
            if known.status == "preliminary":
                reports.append(Report(known.pick, known.id, "final", None, *wall(known.pick)))
        self._known.clear()
        return sorted(reports, key=lambda r: (r.pick.time.ns, r.pick.trace_id, r.pick.phase))

    def _new_id(self, pick: Pick, revision: int) -> tuple[str, int]:
        """An id that was not given yet, and its revision."""
        while (name := _name(pick, revision)) in self._given:
            revision += 1
        self._given[name] = None
        return name, revision


def _pairs(before: list[Pick], now: list[Pick]) -> dict[int, int]:
    """Position among the old picks -> position among the new ones, nearest first, at most `SAME_S` apart."""
    near = sorted(
        (abs(new.time - old.time), i, j)
        for i, old in enumerate(before)
        for j, new in enumerate(now)
        if abs(new.time - old.time) <= SAME_S
    )
    pairs: dict[int, int] = {}
    for _, i, j in near:
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _name(pick: Pick, revision: int) -> str:
    """Made of station, phase, time as first told and the number of changes, so that equal streams give equal ids."""
    time: UTCDateTime = rounded(pick.time, 3)
    return f"{pick.trace_id}/{pick.phase}/{time.strftime('%Y%m%dT%H%M%S')}.{time.microsecond // 1000:03d}/{revision}"
