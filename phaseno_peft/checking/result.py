"""What a check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.checking.components import Polarisation
from phaseno_peft.checking.coverage import Coverage
from phaseno_peft.checking.delivery import Delivery
from phaseno_peft.checking.moveout import MoveOut
from phaseno_peft.checking.noise import NoiseSpectra
from phaseno_peft.checking.sides import Sides
from phaseno_peft.contract import LabelOffset

CANNOT_TRAIN, WARNINGS, SOUND = 2, 1, 0
"""Exit codes."""


@dataclass(frozen=True)
class CheckResult:
    """What was found in a delivery, and the measurements behind it."""

    findings: tuple[Finding, ...]
    """Errors, then warnings, then notes."""
    delivery: Delivery
    coverage: Coverage
    noise: NoiseSpectra | None
    moveout: MoveOut
    polarisation: tuple[Polarisation, ...]
    offsets: dict[str, LabelOffset]
    sides: Sides
    """What training would use; without rows where the events cannot be parted."""
    report: Path | None = None
    """The HTML page, where one was asked for."""

    @property
    def exit_code(self) -> int:
        """2 where the delivery cannot be trained on, 1 where there are warnings, else 0."""
        severities = {finding.severity for finding in self.findings}
        return CANNOT_TRAIN if "error" in severities else WARNINGS if "warning" in severities else SOUND

    def count(self, severity: str) -> int:
        """Findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Findings and numbers as plain types."""
        return {
            "exit_code": self.exit_code,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "notes": self.count("note"),
            "training_would_use": [asdict(use) for use in self.sides.uses],
            "label_offset": {phase: asdict(offset) for phase, offset in self.offsets.items()},
            "report": str(self.report) if self.report else None,
            "findings": [{k: v for k, v in asdict(finding).items() if v} for finding in self.findings],
        }
