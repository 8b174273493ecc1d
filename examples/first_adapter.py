"""From nothing to a first adapter: simulate a campaign, look at it, train, pick records that nobody has seen.

python examples/first_adapter.py

Eight events and two passes are a rehearsal of the way, not a result.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from phaseno_peft import Campaign, TrainingSettings, load_adapter, simulate_campaign, train_adapter


def main() -> None:
    """Simulate, check, train, pick."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--figure", type=Path, default=Path("first_adapter.png"))
    asked = parser.parse_args()

    # A company's delivery: waveforms, stations, and the picks of an analyst; a minute of continuous record beside them.
    made = simulate_campaign("ohio-frac", "ohio", seed=0, events=asked.events, continuous_minutes=1)
    campaign = Campaign.read(made.waveforms, made.stations, made.picks, name="ohio")
    for finding in campaign.findings:  # what the library sees in it before anything is trained
        print(f"{finding.severity}: {finding.text}")

    # Some events train, one validates, the others judge. With your own few events leave `folds` at "auto".
    trained = train_adapter(
        "first-adapter",
        campaign,
        training=TrainingSettings(epochs=asked.epochs),
        folds=0,
        label_source="simulated",
        on_stage=print,
    )
    for model, scores in trained.scores.items():
        print(f"{model}: mean F1 within 0.5 s {scores.mean_f1(0.5):.3f}, within 0.1 s {scores.mean_f1(0.1):.3f}")

    picker = load_adapter("first-adapter")  # by name, from your library
    picks = picker.classify(made.folder / "continuous", made.stations)
    print(f"{len(picks)} picks in a minute of continuous record")
    picks.to_quakeml("first-picks.xml")

    shutil.copy(trained.folder / "figures" / "residuals.png", asked.figure)
    print(f"figure: {asked.figure}")


if __name__ == "__main__":
    main()
