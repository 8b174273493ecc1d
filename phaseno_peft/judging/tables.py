"""The tables behind a page, as plain rows: scores, picks, windows, contract, verdict; written as CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phaseno_peft.contract import PHASES
from phaseno_peft.evaluation import Scores, f1_gain
from phaseno_peft.files import write_file
from phaseno_peft.judging.evidence import ADAPTER, Judged, noise_hours
from phaseno_peft.judging.judged_picks import JudgedPick, pick_rows
from phaseno_peft.judging.verdict import Evidence, Verdict

Row = Mapping[str, Any]


def write_table(folder: Path, name: str, rows: Sequence[Row]) -> None:
    """Write NAME.csv and NAME.json. The columns are those of the first row; None is an empty cell and null.

    Lists and mappings are JSON in a cell of the CSV.
    """
    text = io.StringIO()
    columns = list(rows[0]) if rows else ["none"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _cell(value) for name, value in row.items()} for row in rows])
    write_file(folder / f"{name}.csv", text.getvalue())
    write_file(folder / f"{name}.json", json.dumps([dict(row) for row in rows], indent=1, allow_nan=False) + "\n")


def score_rows(scores: Mapping[str, Scores]) -> list[dict[str, Any]]:
    """Return scores as numbers: a row per phase, tolerance and model, with the paired gain of the adapter over it.

    F1 of a phase without labels is None; so is the threshold where each fold has its own.
    """
    rows = []
    for phase in PHASES:
        for tolerance_s in scores[ADAPTER].tolerances_s:
            for model, found in scores.items():
                own = found.phase(phase, tolerance_s)
                gain: tuple[float | None, ...] = (None,) * 3
                if model != ADAPTER and own.n_labels:
                    gain = f1_gain(found, scores[ADAPTER], phase, tolerance_s)
                f1 = (own.f1, *own.f1_95) if own.n_labels else (None,) * 3
                rows.append(
                    {
                        "phase": phase,
                        "tolerance_s": tolerance_s,
                        "model": model,
                        "threshold": None if found.tallies[phase].window_thresholds else own.threshold,
                        "precision": _finite(own.precision),
                        "recall": _finite(own.recall),
                        "f1": f1[0],
                        "f1_low": f1[1],
                        "f1_high": f1[2],
                        "adapter_minus_it": gain[0],
                        "adapter_minus_it_low": gain[1],
                        "adapter_minus_it_high": gain[2],
                        "residual_median_s": _finite(own.residual_median_s),
                        "residual_mad_s": _finite(own.residual_mad_s),
                        "tp": own.tp,
                        "fp": own.fp,
                        "fn": own.fn,
                        "labels": own.n_labels,
                    }
                )
    return rows


def window_rows(judged: Judged) -> list[dict[str, Any]]:
    """Return what was judged, a row per window; of noise beyond the windows of F1 only false picks are counted."""
    windows = judged.shown[ADAPTER].windows
    return [
        {
            "window": window.name,
            "start": str(window.start),
            "seconds": window.waveforms.shape[-1] / window.rate_hz,
            "is_noise": window.is_noise,
            "hours_of_noise": round(float(hours), 6),
            "in_f1": number < judged.judgement.scores[ADAPTER].n_windows,
            "stations": len(window.station_ids),
            "p_labels": sum(x.phase == 0 for x in window.labels),
            "s_labels": sum(x.phase == 1 for x in window.labels),
            "events": " ".join(sorted({x.event_id for x in window.labels})),
        }
        for number, (window, hours) in enumerate(zip(windows, noise_hours(windows), strict=True))
    ]


def verdict_row(judged: Judged) -> dict[str, Any]:
    """Return the verdict with the evidence it rests on."""
    return decided_row(judged.verdict, judged.evidence)


def decided_row(verdict: Verdict, evidence: Evidence) -> dict[str, Any]:
    """Return a verdict and what it rests on, plain JSON types."""
    return {
        "verdict": verdict.word,
        "reason": verdict.reason,
        "also": list(verdict.cautions),
        "evidence": dataclasses.asdict(evidence),
    }


def all_picks(judged: Judged, rows: Mapping[str, Sequence[JudgedPick]]) -> list[dict[str, Any]]:
    """Return labels and picks of all models, see `pick_rows`."""
    return [row for model, own in rows.items() for row in pick_rows(model, own, judged.shown[model].windows)]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple) else value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
