"""What reading and preparing saw in the data and tells the user."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

_OF_STATION = re.compile(r"([^\s:]+\.[^\s:]+\.[^\s:]*): (.+)", re.DOTALL)
"""NET.STA.LOC, and what is said of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing seen in the data; a warning is something that may spoil training or evaluation."""

    severity: Literal["note", "warning"]
    text: str


def gather(per_recording: Iterable[Sequence[Finding]], n_recordings: int) -> list[Finding]:
    """Findings of all recordings, each once, with the number of recordings it holds for."""
    counts = Counter(finding for findings in per_recording for finding in set(findings))
    gathered = []
    for finding, n in sorted(counts.items(), key=lambda item: item[0].text):
        share = f" (In {n} of {n_recordings} recordings.)" if n_recordings > 1 else ""
        gathered.append(Finding(finding.severity, finding.text + share))
    return gathered


def warnings_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, each once, warnings before notes."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: finding.severity != "warning"))


def condense(findings: Iterable[Finding], names: int = 4) -> list[Finding]:
    """Findings to be read by people: warnings first, and those that differ in nothing but the station as one.

    Of stations that share a finding the first `names` are named and the others counted.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for finding in warnings_first(findings):
        of_station = _OF_STATION.fullmatch(finding.text)
        station, said = of_station.groups() if of_station else ("", finding.text)
        alike.setdefault((finding.severity, said), []).append(station)
    condensed = []
    for (severity, said), stations in alike.items():
        named = [station for station in stations if station]
        more = f" and {len(named) - names} more" if len(named) > names else ""
        head = f"{', '.join(named[:names])}{more}: " if named else ""
        condensed.append(Finding("warning" if severity == "warning" else "note", head + said))
    return condensed
