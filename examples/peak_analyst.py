"""Adapt to an analyst who picks peaks: how far picks lie from this analyst's, before and after.

python examples/peak_analyst.py

The same network and analyst are simulated twice: one campaign trains, the other one is only picked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

from phaseno_peft import Campaign, TrainingSettings, load_adapter, score_picks, simulate_campaign, train_adapter


def main() -> None:
    """Train on one campaign, compare residuals on another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--figure", type=Path, default=Path("peak_analyst.png"))
    asked = parser.parse_args()

    analyst = {"label_convention": "peak", "events": asked.events}
    known = simulate_campaign("ohio-frac", "peak-known", seed=1, **analyst)
    later = simulate_campaign("ohio-frac", "peak-later", seed=2, **analyst)
    train_adapter(
        "peak-analyst",
        Campaign.read(known.waveforms, known.stations, known.picks, name="peak-known"),
        training=TrainingSettings(epochs=asked.epochs),
        folds=0,
        label_source="simulated",
        label_convention="peak",
    )

    picker = load_adapter("peak-analyst")
    shift = picker.adapter_contract.pick_shift_s
    print(f"constant shift of the picks: P {1000 * shift['P']:+.0f} ms, S {1000 * shift['S']:+.0f} ms")
    with picker.frozen():
        frozen = picker.classify(later.waveforms, later.stations)
    adapted = picker.classify(later.waveforms, later.stations)

    figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True, layout="constrained")
    for model, picks in (("frozen", frozen), ("adapter", adapted)):
        score = score_picks(picks, later.picks, later.waveforms)
        for axis, phase in zip(axes, "PS", strict=True):
            found = score.phases[phase, 0.5]
            label = f"{model}, median {1000 * found.residual_median_s:+.0f} ms"
            axis.hist([1000 * r for r in found.residuals_s], bins=range(-150, 151, 15), histtype="step", label=label)
            axis.set_xlabel(f"{phase}: pick minus analyst's pick, ms")
            print(f"{phase} {label}, {found.tp} of {found.n_labels} found")
    for axis in axes:
        axis.axvline(0, color="0.7", zorder=0)
        axis.legend(fontsize=7)
    figure.savefig(asked.figure, dpi=110)
    print(f"figure: {asked.figure}")


if __name__ == "__main__":
    main()
