"""From a folder of a company's files to an adapter: waveforms/, stations.xml, picks.xml.

python examples/train_on_a_folder.py ohio --name my-campaign
"""

from __future__ import annotations

import argparse
from pathlib import Path

from phaseno_peft import Campaign, TrainingSettings, train_adapter
from phaseno_peft.backbone import EMBEDDED


def main() -> None:
    """Read, look, train, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="my-campaign")
    parser.add_argument(
        "--picks-of",
        default="unknown",
        choices=("analyst", "automatic", "simulated", "unknown"),
        help="goes onto the card; where all picks are marked as automatic or simulated, they tell it themselves",
    )
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--backbone", default=EMBEDDED)
    asked = parser.parse_args()

    campaign = Campaign.read(
        asked.folder / "waveforms", asked.folder / "stations.xml", asked.folder / "picks.xml", name=asked.name
    )
    for finding in campaign.findings:  # sampling rates, doubtful picks, dead channels, offset from the onsets
        print(f"{finding.severity}: {finding.text}")

    trained = train_adapter(
        asked.name,
        campaign,
        backbone=asked.backbone,
        training=TrainingSettings(epochs=asked.epochs),
        label_source=asked.picks_of,
    )
    for model, scores in trained.scores.items():  # on events that neither training nor thresholds saw
        print(f"{model}: mean F1 within 0.5 s {scores.mean_f1(0.5):.3f}")
    print(f"card, scores and figures: {trained.folder}")


if __name__ == "__main__":
    main()
