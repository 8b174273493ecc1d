"""Scores of several models side by side, as a table for the terminal, as Markdown, and as ``evaluation.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phaseno_peft.contract import PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation.scores import PhaseScore, Scores
from phaseno_peft.files import write_file
from phaseno_peft.schema import read_object
from phaseno_peft.text_tables import TextTable

EVALUATION_VERSION = 1
LARGEST_EVALUATION_BYTES = 64 << 20
"""Some hundred bytes a pick: a hundred thousand test picks."""
COLUMNS = ("precision", "recall", "F1 [95 %]", "median ms", "MAD ms", "TP", "FP", "FN")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What ``evaluation.json`` holds: scores of named models on the same windows, and what those windows were."""

    scores: dict[str, Scores]
    """Model name ("frozen", "adapter", ...) -> its scores; the order is kept."""
    about: dict[str, Any] = field(default_factory=dict)
    """Anything else worth keeping, of plain JSON types: campaign, side of the split, adapter, backbone fingerprint."""


def header(scores: Mapping[str, Scores]) -> str:
    """Return one line on what was scored: windows, noise windows, labels, and the time scale where it is not 1.

    Raises `PhasenoPeftError` where there is nothing to compare, or the models were not scored on the same windows.
    """
    first = _first(scores)
    labels = " and ".join(f"{first.n_labels(phase)} {phase}" for phase in PHASES)
    line = (
        f"{first.n_windows} windows, {first.n_noise_windows} of them noise; {labels} labels; "
        "median and MAD (times 1.4826) of pick - label"
    )
    if first.time_scale != 1.0:
        line += f"; tolerances in the network's time, {first.time_scale:g} times slower; residuals in real milliseconds"
    return line


def comparison_rows(scores: Mapping[str, Scores], tolerances_s: Sequence[float] | None = None) -> list[dict[str, str]]:
    """Return the table as texts, a row per phase, tolerance and model, with keys phase, within, model and `COLUMNS`.

    Tolerances are those of the first model's scores unless given, in the network's time.
    """
    tolerances = _first(scores).tolerances_s if tolerances_s is None else tolerances_s
    return [
        {"phase": phase, "within": f"{tolerance_s:g} s", "model": name, **_cells(found.phase(phase, tolerance_s))}
        for phase in PHASES
        for tolerance_s in tolerances
        for name, found in scores.items()
    ]


def comparison_table(scores: Mapping[str, Scores], tolerances_s: Sequence[float] | None = None) -> TextTable:
    """Return the comparison as a table for the terminal; the better F1 of each phase and tolerance is bold."""
    rows = comparison_rows(scores, tolerances_s)
    names, size = ("phase", "within", "model", *COLUMNS), len(scores)
    cells, bold = [[row[name] for name in names] for row in rows], set()
    for first in range(0, len(rows), size):
        f1 = [row["F1 [95 %]"].split()[0] for row in rows[first : first + size]]
        bold |= {(first + k, names.index("F1 [95 %]")) for k in range(size) if f1[k] == max(f1) != min(f1)}
        for row in cells[first + 1 : first + size]:
            row[:2] = ["", ""]  # phase and tolerance are named once a group
    return TextTable(names, cells, header(scores), n_left=3, group_size=size, bold=bold)


def comparison_markdown(scores: Mapping[str, Scores], tolerances_s: Sequence[float] | None = None) -> str:
    """Return the comparison as a Markdown table below its header line, for cards and reports."""
    names = ("phase", "within", "model", *COLUMNS)
    rows = [[row[name] for name in names] for row in comparison_rows(scores, tolerances_s)]
    return f"{header(scores)}.\n\n{TextTable(names, rows, n_left=3).markdown()}"


def write_evaluation(path: str | Path, evaluation: Evaluation) -> Path:
    """Write ``evaluation.json``, whole or not at all, and return its path.

    Raises `PhasenoPeftError` where `about` holds something JSON has no word for (NaN included).
    """
    raw = {
        "evaluation_version": EVALUATION_VERSION,
        "about": evaluation.about,
        "scores": {name: scores.to_json() for name, scores in evaluation.scores.items()},
    }
    try:
        text = json.dumps(raw, indent=1, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise PhasenoPeftError(
            f"{path}: the evaluation cannot be written as JSON: {error}. "
            "Keep to numbers, texts, lists and mappings in `about`."
        ) from error
    return write_file(path, text + "\n")


def read_evaluation(path: str | Path) -> Evaluation:
    """Read what `write_evaluation` wrote. Raises `PhasenoPeftError` for a missing, damaged or newer file."""
    try:
        raw = read_object(Path(path), LARGEST_EVALUATION_BYTES)
    except ValueError as error:
        raise PhasenoPeftError(
            f"{path}: cannot be read as an evaluation: {error}. Run the evaluation again."
        ) from error
    version = raw.get("evaluation_version")
    if version != EVALUATION_VERSION:
        raise PhasenoPeftError(
            f"{path}: evaluation version is {version!r}, this phaseno-peft reads version {EVALUATION_VERSION}. "
            "Run the evaluation again, or install the version that wrote it."
        )
    try:
        scores = {name: Scores.from_json(fields) for name, fields in raw["scores"].items()}
        return Evaluation(scores=scores, about=dict(raw["about"]))
    except (KeyError, TypeError, AttributeError, ValueError, PhasenoPeftError) as error:
        raise PhasenoPeftError(f"{path}: damaged evaluation: {error!s}") from error


def _first(scores: Mapping[str, Scores]) -> Scores:
    if not scores:
        raise PhasenoPeftError("there are no scores to compare. Give at least one model, such as {'frozen': scores}.")
    names, values = list(scores), list(scores.values())
    for name, other in zip(names[1:], values[1:], strict=True):
        same = (other.noise_windows, other.time_scale) == (values[0].noise_windows, values[0].time_scale)
        if not same or any(other.tallies[p].labels != values[0].tallies[p].labels for p in PHASES):
            raise PhasenoPeftError(
                f"{names[0]} and {name} were not scored on the same windows and labels, so they cannot be compared. "
                "Score both on the same windows."
            )
    return values[0]


def _cells(found: PhaseScore) -> dict[str, str]:
    low, high = found.f1_95
    values = (
        _ratio(found.precision),
        _ratio(found.recall),
        f"{found.f1:.3f} [{low:.3f}, {high:.3f}]" if found.n_labels else "no labels",
        _milliseconds(found.residual_median_s, sign=True),
        _milliseconds(found.residual_mad_s),
        str(found.tp),
        str(found.fp),
        str(found.fn),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _ratio(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _milliseconds(value_s: float, *, sign: bool = False) -> str:
    if not math.isfinite(value_s):
        return "-"
    rounded = round(1000.0 * value_s) + 0  # never -0
    return f"{rounded:+d}" if sign and rounded else f"{rounded:d}"
