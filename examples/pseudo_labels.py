"""No labels yet: a teacher's picks make a catalogue, an analyst corrects it, and an adapter is trained on it.

python examples/pseudo_labels.py

The records are simulated, so that the teacher's labels can be held against the truth, and the analyst's correction be
played: labels more than 0.1 s off are thrown away.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
from obspy import read_events

from phaseno_peft import (
    Campaign,
    TrainingSettings,
    load_teacher,
    pseudo_label,
    read_catalogue,
    score_picks,
    simulate_campaign,
    train_adapter,
)


def main() -> None:
    """Label, correct, train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--figure", type=Path, default=Path("pseudo_labels.png"))
    asked = parser.parse_args()

    made = simulate_campaign("ohio-frac", "unpicked", seed=3, events=asked.events, label_convention="onset")
    labels = pseudo_label(made.waveforms, made.stations, load_teacher())  # the frozen backbone
    print(f"{labels.teacher}: {len(labels.events)} events, {labels.counts}")
    labels.to_catalog().write("automatic.xml", format="QUAKEML")

    # In your own work: open automatic.xml in your picking tool, and save it as corrected.xml.
    truth = read_catalogue(made.picks)
    near = {(p.station_id, p.phase): [] for p in truth.picks}
    for pick in truth.picks:
        near[pick.station_id, pick.phase].append(pick.time)
    catalog, done = read_events("automatic.xml"), Counter()
    for event in catalog:
        kept = []
        for pick in event.picks:
            where = pick.waveform_id
            key = (f"{where.network_code}.{where.station_code}.{where.location_code or ''}", pick.phase_hint)
            is_right = any(abs(time - pick.time) <= 0.1 for time in near.get(key, ()))
            kept += [pick] if is_right else []
            done["kept" if is_right else "thrown away"] += 1
        ids = {pick.resource_id for pick in kept}
        for origin in event.origins:
            origin.arrivals = [arrival for arrival in origin.arrivals if arrival.pick_id in ids]
        event.picks = kept
    catalog.events = [event for event in catalog if event.picks]
    catalog.write("corrected.xml", format="QUAKEML")
    print(f"corrected: {dict(done)}")

    trained = train_adapter(
        "from-pseudo-labels",
        Campaign.read(made.waveforms, made.stations, "corrected.xml", name="unpicked"),
        training=TrainingSettings(epochs=asked.epochs),
        folds=0,
    )
    print(f"adapter: {trained.folder.name}")

    figure, axes = plt.subplots(figsize=(5, 2.6), layout="constrained")
    for n, (name, list_) in enumerate({"automatic": "automatic.xml", "corrected": "corrected.xml"}.items()):
        score = score_picks(read_catalogue(list_), truth, made.waveforms, tolerance=0.1, every_arrival=True)
        for k, phase in enumerate("PS"):
            found = score.phases[phase, 0.1]
            text = f"precision {found.precision:.2f}, recall {found.recall:.2f}"
            axes.barh(2.5 * n + k, found.f1, color=("C0", "C1")[k])
            axes.text(0.02, 2.5 * n + k, f"{name} {phase}: {text}", va="center", color="w", fontsize=8)
            print(f"{name} {phase} within 0.1 s: {text}")
    axes.set(xlim=(0, 1), xlabel="F1 of the labels against the truth, within 0.1 s", yticks=[])
    axes.invert_yaxis()
    figure.savefig(asked.figure, dpi=110)
    print(f"figure: {asked.figure}")


if __name__ == "__main__":
    main()
