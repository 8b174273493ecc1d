"""Several adapters on one backbone over one stream: swapping costs nothing, the frozen network is always there.

python examples/swap_adapters.py ohio my-campaign other-campaign
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from obspy import read

from phaseno_peft import load_adapter


def main() -> None:
    """Pick the same record with each adapter and with none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("adapters", nargs="+")
    parser.add_argument("--backbone")
    asked = parser.parse_args()

    picker = load_adapter(asked.adapters[0], backbone=asked.backbone)
    names = [picker.active_adapter, *(picker.load_adapter(name) for name in asked.adapters[1:])]
    stream, stations = read(str(asked.folder / "continuous" / "*.mseed")), asked.folder / "stations.xml"

    for name in names:
        started = time.perf_counter()
        picker.set_adapter(name)
        swapped_ms = 1000 * (time.perf_counter() - started)
        print(f"{name}: {len(picker.classify(stream, stations))} picks, swapped in {swapped_ms:.3f} ms")
    with picker.frozen():  # for this thread and this block only
        print(f"frozen: {len(picker.classify(stream, stations))} picks")
    print(f"in force again: {picker.active_adapter}")


if __name__ == "__main__":
    main()
