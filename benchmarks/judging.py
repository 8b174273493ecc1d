"""What judging costs beside the forward passes: scores, and the report.

    python -m benchmarks.judging [--windows 1000] [--events 20]

Simulated records of nine stations are predicted by the embedded backbone and by a shipped adapter; their windows are
repeated, under other event ids, until there are as many as asked for. Shown are processor seconds of one run: forward
passes (of the first windows, times the number of windows), scoring of both models, and the report with all tables,
figures and record sections.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from phaseno_peft.campaign import Campaign, Window, fixed_windows
from phaseno_peft.evaluation import Predictions, score
from phaseno_peft.evaluation.judge import Judgement, predicted
from phaseno_peft.judging.evidence import weigh
from phaseno_peft.judging.page import write_report
from phaseno_peft.picking import load_adapter
from phaseno_peft.simulation import simulate_campaign
from phaseno_peft.text_tables import TextTable

PRESET = "bc-frac"
"""Nine stations; the adapter of this name."""


def repeated(windows: Sequence[Window], n: int) -> list[Window]:
    """`n` windows, the given ones over and over, each time of other events."""
    made = []
    for k in range(n):
        window, turn = windows[k % len(windows)], k // len(windows)
        labels = tuple(dataclasses.replace(label, event_id=f"{label.event_id}/{turn}") for label in window.labels)
        made.append(dataclasses.replace(window, name=f"{window.name}/{turn}", labels=labels))
    return made


def measure(n_windows: int, events: int) -> TextTable:
    """Processor seconds of each part, and its ratio to the forward passes."""
    picker = load_adapter(PRESET)
    contract = picker.adapter_contract
    with tempfile.TemporaryDirectory() as scratch:
        made = simulate_campaign(PRESET, Path(scratch) / "campaign", seed=7, events=events)
        campaign = Campaign.read(made.waveforms, made.stations, made.picks, name=PRESET)
        few = fixed_windows(campaign.stretches(), campaign.frame, contract.preprocessing, 0)
        predicted(picker, None, few[:1])  # compiles the loops
        started = time.process_time()
        said = {"frozen": predicted(picker, None, few), "adapter": predicted(picker, PRESET, few)}
        forward_s = (time.process_time() - started) / len(few) * n_windows
        windows = repeated(few, n_windows)
        found = {
            model: Predictions(windows, [curves[k % len(few)] for k in range(n_windows)])
            for model, curves in said.items()
        }
        started = time.process_time()
        scores = {model: score(*predictions, contract.thresholds) for model, predictions in found.items()}
        scored_s = time.process_time() - started
        n_events = len({label.event_id for window in windows for label in window.labels})
        judgement = Judgement(scores, "simulated events", found, n_events, is_own=True, may_flatter=False)
        started = time.process_time()
        page = write_report(weigh(PRESET, contract, campaign, judgement), Path(scratch) / "report")
        reported_s = time.process_time() - started
        size_mb = page.stat().st_size / 1e6
    rows = [
        ["forward passes of both models", f"{forward_s:.1f}", "1"],
        ["forward passes and scores", f"{forward_s + scored_s:.1f}", f"{1 + scored_s / forward_s:.3f}"],
        [f"report ({size_mb:.1f} MB page)", f"{reported_s:.1f}", f"{reported_s / forward_s:.3f}"],
    ]
    title = f"{n_windows} windows of nine stations, one thread's processor seconds"
    return TextTable(("", "s", "ratio"), rows, title, n_left=1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1000)
    parser.add_argument("--events", type=int, default=20, help="simulated events, whose windows are repeated")
    asked = parser.parse_args()
    Console().print(measure(asked.windows, asked.events))


if __name__ == "__main__":
    main()
