"""What reading and preparing saw in the data and tells the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


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
