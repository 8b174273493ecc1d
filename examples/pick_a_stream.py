"""An obspy Stream to probabilities and picks with one adapter.

python examples/pick_a_stream.py ohio --adapter my-campaign
"""

from __future__ import annotations

import argparse
from pathlib import Path

from obspy import read

from phaseno_peft import load_adapter


def main() -> None:
    """Probabilities as a Stream, picks as CSV and QuakeML."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--adapter", default="my-campaign")
    parser.add_argument("--backbone")
    parser.add_argument("--threshold", type=float, help="default: chosen when the adapter was trained")
    asked = parser.parse_args()

    picker = load_adapter(asked.adapter, backbone=asked.backbone)
    stream, stations = read(str(asked.folder / "continuous" / "*.mseed")), asked.folder / "stations.xml"

    probabilities = picker.annotate(stream, stations)  # channels P and S of every station, as in SeisBench
    print(probabilities)

    picks = picker.classify(stream, stations, P_threshold=asked.threshold, S_threshold=asked.threshold)
    for pick in picks[:10]:
        print(pick.trace_id, pick.phase, pick.time, f"{pick.probability:.2f}", f"+- {pick.uncertainty_s:.3f} s")
    picks.to_csv(asked.folder / "new-picks.csv")
    picks.to_quakeml(asked.folder / "new-picks.xml")
    print(f"{len(picks)} picks: {asked.folder / 'new-picks.xml'}")


if __name__ == "__main__":
    main()
