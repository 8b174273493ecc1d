"""What reading and preparing saw in the data and tells the user."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from phaseno_peft.errors import CampaignError

_OF_STATION = re.compile(r"([^\s:]+\.[^\s:]+\.[^\s:]*): (.+)", re.DOTALL)
"""NET.STA.LOC, and the sentence about it."""
SEVERITIES = ("error", "warning", "note")
"""The more serious first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing seen in the data; a warning may spoil training or evaluation, an error forbids training."""

    severity: Literal["note", "warning", "error"]
    text: str
    """What was seen, with its numbers; the next step too where `next_step` is empty."""
    kind: str = ""
    """What it is about in two or three words, the same for all findings of its kind: "S before P"."""
    file: str = ""
    place: str = ""
    """Where in the file: station, channel, event, time."""
    value: str = ""
    """The number or text that was seen, with its unit."""
    next_step: str = ""

    @property
    def sentence(self) -> str:
        """What was seen and what to do."""
        return f"{self.text} {self.next_step}".rstrip()


def gather(per_recording: Iterable[Sequence[Finding]], n_recordings: int) -> list[Finding]:
    """Findings of all recordings, each once, with the number of recordings it holds for."""
    counts = Counter(finding for findings in per_recording for finding in set(findings))
    gathered = []
    for finding, n in sorted(counts.items(), key=lambda item: item[0].text):
        share = f" (In {n} of {n_recordings} recordings.)" if n_recordings > 1 else ""
        gathered.append(replace(finding, text=finding.text + share))
    return gathered


def warnings_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, each once: errors, warnings, notes."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: SEVERITIES.index(finding.severity)))


def condense(findings: Iterable[Finding], names: int = 4) -> list[Finding]:
    """Findings to be read by people: warnings first, and those that differ in nothing but the station as one.

    Of stations that share a finding the first `names` are named and the others counted.
    """
    alike: dict[tuple[Literal["note", "warning", "error"], str], list[str]] = {}
    for finding in warnings_first(findings):
        of_station = _OF_STATION.fullmatch(finding.sentence)
        station, text = of_station.groups() if of_station else ("", finding.sentence)
        alike.setdefault((finding.severity, text), []).append(station)
    condensed = []
    for (severity, text), stations in alike.items():
        named = [station for station in stations if station]
        more = f" and {len(named) - names} more" if len(named) > names else ""
        head = f"{', '.join(named[:names])}{more}: " if named else ""
        condensed.append(Finding(severity, head + text))
    return condensed


def nothing_usable(left_out: Sequence[Finding]) -> CampaignError:
    """What is raised for records of which nothing is left; the first that was left out says why."""
    why = left_out[0].text if left_out else "they hold no samples."
    return CampaignError(f"the waveforms cannot be used: {why} Give files with at least one trace.")
