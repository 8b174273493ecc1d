"""What a run leaves to read: learning curve as CSV and figure, and the card of its backbone."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phaseno_peft.contract import PHASES
from phaseno_peft.figures.style import (
    ADAPTER_COLOUR,
    OTHER_COLOURS,
    PHASE_COLOURS,
    legend_outside,
    new_figure,
    plain,
    save,
    style,
)
from phaseno_peft.files import write_file
from phaseno_peft.pretraining.checkpoint import Progress
from phaseno_peft.text_tables import TextTable

Row = Mapping[str, float | int | None]
FIRST_COLUMNS = ("step", "seen", "minutes", "loss", "learning_rate", "validation_loss", "score")
CARD_ROWS = 12
MARKERS = "os^"
"""One after the other where there are more sources than colours."""
LEGEND_COLUMNS = 4


def write_curve(folder: Path, rows: Sequence[Row], kept: int | None) -> list[Path]:
    """Write curve.csv and, once there are two rows, curve.png into a folder; each whole or not at all."""
    names = dict.fromkeys([*FIRST_COLUMNS, *(key for row in rows for key in row)])
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
    table.writeheader()
    table.writerows([{k: "" if v is None else round(v, 7) for k, v in row.items()} for row in rows])
    made = [write_file(folder / "curve.csv", text.getvalue())]
    if len(rows) > 1:
        made.append(draw_curve(folder / "curve.png", rows, kept))
    return made


def draw_curve(path: Path, rows: Sequence[Row], kept: int | None) -> Path:
    """Validation F1 of each source (mean of P and S) above the losses, against the station-windows seen."""
    judged = [row for row in rows if row.get("score") is not None]
    names = list(dict.fromkeys(key[: -len(" P 0.5 s")] for row in judged for key in row if key.endswith(" P 0.5 s")))
    colours = (ADAPTER_COLOUR, *OTHER_COLOURS, *PHASE_COLOURS.values())
    with style():
        figure = new_figure(7.0, 5.2)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for k, name in enumerate(names):
            colour, marker = colours[k % len(colours)], MARKERS[k // len(colours) % len(MARKERS)]
            for tolerance, line in (("0.5 s", "-"), ("0.1 s", "--")):
                phases = [phase for phase in PHASES if any(f"{name} {phase} {tolerance}" in r for r in judged)]
                mean = np.mean([[_value(r, f"{name} {phase} {tolerance}") for r in judged] for phase in phases], axis=0)
                label = name if line == "-" else None
                top.plot(
                    [r["seen"] for r in judged], mean, line, color=colour, marker=marker, markersize=2.5, label=label
                )
        top.set_ylabel("held-out F1, mean of P and S\n(dashed: within 0.1 s)")
        top.set_ylim(0, 1.02)
        bottom.plot([r["seen"] for r in rows], [_value(r, "loss") for r in rows], color="0.2", label="training loss")
        held_out = [_value(r, "validation_loss") for r in judged]
        bottom.plot([r["seen"] for r in judged], held_out, color="0.55", marker="s", markersize=2.5, label="held out")
        bottom.set_ylabel("loss")
        bottom.set_yscale("log")
        bottom.set_xlabel("station-windows seen")
        bottom.legend(frameon=False, fontsize=8)
        best = [r["seen"] for r in judged if r["step"] == kept]
        for axes in (top, bottom):
            plain(axes, grid=True)
            if best and best[0] is not None:
                axes.axvline(float(best[0]), color="0.75", linewidth=1.0, zorder=0)
        if names:
            handles, labels = top.get_legend_handles_labels()
            legend_outside(figure, handles, labels, min(len(names), LEGEND_COLUMNS))
        return save(figure, path)


def volumes(counts: Counter[str]) -> list[tuple[str, int, int, int, int]]:
    """(source, windows, station-windows, P, S) of every source that was seen."""
    names = dict.fromkeys(key.rpartition("/")[0] for key in sorted(counts))
    return [(n, *(counts[f"{n}/{what}"] for what in ("windows", "station-windows", "P", "S"))) for n in names]  # type: ignore[misc]  # four


def card(name: str, progress: Progress, versions: Mapping[str, str]) -> str:
    """README.md of the backbone a run has made."""
    what = progress.what
    settings = what["settings"]
    lines = [
        "---",
        "library_name: phaseno-peft",
        'tags: ["phaseno-peft-backbone", "phaseno", "seismology", "phase-picking"]',
        "---",
        "",
        f"# {name}",
        "",
        "A PhaseNO (Sun et al. 2023) pre-trained by `phaseno-peft pretrain`.",
        "",
        "- **Input**: 100 Hz, windows of 3000 samples (30 s), components E, N, Z, causal 1 Hz high-pass, every "
        "trace of a window as (x - mean) / std / 10; coordinates in units of 222 km. **Output**: logits of P and S.",
        f"- **Start**: {what['initial']}.",
        *_of_stem(progress),
        f"- **Training**: {progress.step:,} steps of {settings['batch_stations']} station-windows, "
        f"{progress.seen:,} in all, {progress.seconds / 60:.0f} minutes; AdamW at {settings['learning_rate']:g}"
        + (", ended by a cooldown to zero" if progress.finished else ", not cooled down yet")
        + f"; moving average of the weights. Seed {settings['seed']}.",
        f"- **Kept**: {_kept(progress)}, the best of the held-out windows (score "
        f"{progress.best_score:.3f}: mean F1 of P and S at 0.5 s and 0.1 s over the sources)."
        if progress.best_step is not None
        else "- **Kept**: nothing was judged.",
        f"- **Thresholds**: {', '.join(f'{k} {v:.2f}' for k, v in progress.thresholds.items())}, chosen on all "
        "held-out windows together.",
        "",
        "## Sources",
        "",
        TextTable(("source", "windows", "station-windows", "P", "S"), _volume_rows(progress)).markdown(),
        *(f"- {source.pop('kind')} `{source.pop('name')}`: {_facts(source)}" for source in map(dict, what["sources"])),
        "",
        "Held out and never trained on: part of the train records of labelled sets (by event), the last 15 % of every "
        "archive, simulated networks with seeds of their own. Dev and test splits were not read.",
        "",
        "## Learning curve",
        "",
        *_curve_table(progress),
        "",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".",
        "",
    ]
    return "\n".join(lines)


def _of_stem(progress: Progress) -> list[str]:
    """A line on the stem's own stage, where there was one."""
    if not progress.stem_step:
        return []
    own = progress.what["settings"]["stem"]
    return [
        f"- **Stem first**: {progress.stem_step:,} steps of {own['batch_stations']} single stations, "
        f"{progress.stem_seen:,} station-windows, {progress.stem_seconds / 60:.0f} minutes; after the curves of "
        f"{', '.join(progress.what['stem_teachers'])}, and labels at {own['label_part']:g} of the loss; AdamW at "
        f"{own['learning_rate']:g}, falling to zero. None of a teacher's weights is in this file. The table counts the "
        "windows of both stages."
    ]


def _curve_table(progress: Progress) -> list[str]:
    judged = [row for row in progress.curve if row.get("score") is not None]
    if not judged:
        return ["Not judged."]
    chosen = sorted({round(i) for i in np.linspace(0, len(judged) - 1, CARD_ROWS)})
    names = [key for key in judged[-1] if key.endswith(" s")]
    rows = []
    for row in (judged[i] for i in chosen):
        cells = [f"{_value(row, key):.3f}" for key in ("score", *names)]
        loss = "" if row.get("loss") is None else f"{row['loss']:.4f}"
        rows.append([f"{row['step']:,}", loss, *cells])
    return [TextTable(("step", "loss", "score", *names), rows, n_left=0).markdown().rstrip()]


def _kept(progress: Progress) -> str:
    after = f"the average after step {progress.best_step:,}"
    if progress.best_part == 1:
        return after
    return f"{progress.best_part:g} of the way from the first weights to {after}"


def _volume_rows(progress: Progress) -> list[list[str]]:
    return [[name, *(f"{count:,}" for count in counts)] for name, *counts in volumes(progress.counts)]


def _facts(source: Mapping[str, Any]) -> str:
    facts = []
    for key, value in source.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{number} {name}" for name, number in value.items())
        if value not in ("", None):
            facts.append(f"{key.replace('_', ' ')}: {value}")
    return "; ".join(facts)


def _value(row: Row, key: str) -> float:
    value = row.get(key)
    return float("nan") if value is None else float(value)
