"""What became of each attack, counted, as a Markdown table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from phaseno_peft.text_tables import TextTable

Outcome = Literal[
    "refused",
    "identical",
    "other result",
    "raw error",
    "hang",
    "memory",
    "executed",
    "resident in part",
    "lost",
    "half-written",
    "mixed",
]
OUTCOMES: dict[Outcome, str] = {
    "refused": "with a sentence of ours, and nothing changed",
    "identical": "loaded, read, written or picked, with exactly the right result",
    "other result": "loaded or read, with another result than the original's, or another through the other loader",
    "raw error": "an error that is not ours, or the process died",
    "hang": "longer than the limit",
    "memory": "more memory than the limit",
    "executed": "code from a file ran",
    "resident in part": "after a refusal the picker or model was not what it was",
    "lost": "what was there before is gone",
    "half-written": "a reader saw neither the old nor the new, something stayed behind, or a repeat failed",
    "mixed": "weights, thresholds or name of two adapters in one pick",
}
GOOD: tuple[Outcome, ...] = ("refused", "identical")
_EXAMPLES_SHOWN = 12


@dataclass(frozen=True)
class AttackResult:
    """One attack's outcome, and in a line what was done and seen."""

    outcome: Outcome
    what: str = ""


@dataclass
class Tally:
    """Outcomes of one part."""

    part: str
    wanted: int
    """Attacks asked for."""
    seconds: float = 0.0
    counts: Counter[Outcome] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """`number: what` of each attack that came out wrong."""
    notes: list[str] = field(default_factory=list)

    def add(self, number: int | str, result: AttackResult) -> None:
        """Count one."""
        self.counts[result.outcome] += 1
        if result.outcome not in GOOD:
            self.faults.append(f"{self.part} {number}: {result.outcome}: {result.what}")

    @property
    def done(self) -> int:
        """Attacks that were made."""
        return sum(self.counts.values())


def markdown(tallies: list[Tally], seed: int) -> str:
    """A table of all parts, what stopped early, what the columns mean, and the first faults of each part."""
    rows = [[t.part, t.done, *(t.counts[outcome] for outcome in OUTCOMES)] for t in tallies]
    lines = [TextTable((f"seed {seed}", "attacks", *OUTCOMES), rows).markdown()]
    lines += [f"{t.part}: {t.seconds:.0f} s. {' '.join(t.notes)}".rstrip() for t in tallies]
    stopped = [
        f"{t.part}: stopped after {t.done} of {t.wanted}, the time was up." for t in tallies if t.done < t.wanted
    ]
    lines += [*stopped, "", *(f"- {outcome}: {meaning}." for outcome, meaning in OUTCOMES.items())]
    for tally in tallies:
        if tally.faults:
            lines += ["", f"First faults of {len(tally.faults)} in {tally.part}:", ""]
            lines += [f"- {fault}" for fault in tally.faults[:_EXAMPLES_SHOWN]]
    return "\n".join(lines) + "\n"
