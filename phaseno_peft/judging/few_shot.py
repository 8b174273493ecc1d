"""What `compare --labels` found, for the report: scores of trainings with fewer labels."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phaseno_peft.contract import Contract
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.figures.few_shot import FewShotPoint

MEASURES = {
    "F1 within 0.5 s": "test F1",
    "within 0.1 s": "test F1 at 0.1 s",
    "within 0.1 s, offset removed": "offset removed, F1 at 0.1 s",
}
"""Heading -> measure of a comparison."""
COLUMNS = ("recipe", "labelled events", "seeds", *MEASURES)


@dataclass(frozen=True)
class FewShot:
    """Trainings by themselves, on the campaign and backbone of the adapter that is judged."""

    split: str
    rows: tuple[dict[str, Any], ...]
    """As `comparison.json` has them."""

    def lines(self) -> dict[str, list[FewShotPoint]]:
        """Recipe -> F1 within 0.5 s."""
        found: dict[str, list[FewShotPoint]] = {}
        for row in self.rows:
            deviation = row["deviation"]["test F1"] or 0.0
            point = FewShotPoint(row["labelled_events"], row["mean"]["test F1"], deviation)
            found.setdefault(row["recipe"], []).append(point)
        return found

    def cells(self) -> list[tuple[str, ...]]:
        """A row a recipe and number of labels, see `COLUMNS`."""
        return [
            (
                row["recipe"],
                str(row["labelled_events"]),
                str(len(row["seeds"])),
                *(f"{row['mean'][name]:.3f}" for name in MEASURES.values()),
            )
            for row in self.rows
        ]


def read_few_shot(folder: str | Path, contract: Contract) -> FewShot:
    """What `compare` left in a folder.

    Raises `PhasenoPeftError` where that is no comparison, cannot be read, or is of another backbone or campaign than
    the adapter with this contract.
    """
    path = Path(folder) / "comparison.json"
    if not path.is_file():
        raise PhasenoPeftError(f"{folder}: holds no comparison.json. Give the folder that `compare` wrote (--out).")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        campaign, backbone, digest = (str(raw[k]) for k in ("campaign", "backbone", "backbone_fingerprint"))
        rows = tuple(_row(row) for row in raw["rows"])
        split = str(raw["split"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PhasenoPeftError(f"{path}: cannot be read ({error}). Run `compare` again, or leave it out.") from error
    if not rows:
        raise PhasenoPeftError(f"{path}: holds no finished run. Let `compare` finish one.")
    if digest != contract.backbone_fingerprint:
        raise PhasenoPeftError(
            f"{path}: compares on the backbone {backbone!r} ({digest[:12]}), the adapter is one of "
            f"{contract.backbone_fingerprint[:12]}. Compare again with --backbone, or leave it out."
        )
    if campaign != contract.provenance.campaign:
        raise PhasenoPeftError(
            f"{path}: compares on the campaign {campaign!r}, the adapter is of {contract.provenance.campaign!r}. Give "
            "the comparison of its own campaign."
        )
    return FewShot(split, rows)


def _row(raw: Any) -> dict[str, Any]:
    """A row with what is shown of it. Raises KeyError, TypeError or ValueError."""
    mean = {name: float(raw["mean"][name]) for name in MEASURES.values()}
    deviation = raw["deviation"]["test F1"]
    if not all(math.isfinite(value) for value in (*mean.values(), deviation or 0.0)):
        raise ValueError("a score is no number")
    return {
        "recipe": str(raw["recipe"]),
        "labelled_events": int(raw["labelled_events"]),
        "seeds": list(raw["seeds"]),
        "mean": mean,
        "deviation": {"test F1": deviation},
    }
