"""Several adapters on one backbone over one stream: swapping costs nothing, the frozen network is always there.

python examples/swap_adapters.py
python examples/swap_adapters.py ohio my-campaign other-campaign

Without words: two simulated minutes of `ohio-frac`, and two of the adapters that come with the package.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
from obspy import read

from phaseno_peft import PickList, load_adapter, simulate_campaign


def main() -> None:
    """Pick the same record with each adapter and with none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("adapters", nargs="*", default=["ohio-frac", "bc-frac"])
    parser.add_argument("--backbone")
    parser.add_argument("--figure", type=Path, default=Path("swap_adapters.png"))
    asked = parser.parse_args()
    if asked.folder is None:
        asked.folder = simulate_campaign(
            "ohio-frac", "swap-ohio", seed=4, events=1, continuous_minutes=2, continuous_events=4
        ).folder

    picker = load_adapter(asked.adapters[0], backbone=asked.backbone)
    names = [picker.active_adapter, *(picker.load_adapter(name) for name in asked.adapters[1:])]
    stream, stations = read(str(asked.folder / "continuous" / "*.mseed")), asked.folder / "stations.xml"

    found: dict[str, PickList] = {}
    for name in names:
        started = time.perf_counter()
        picker.set_adapter(name)
        swapped_ms = 1000 * (time.perf_counter() - started)
        found[name] = picker.classify(stream, stations)
        print(f"{name}: {len(found[name])} picks, swapped in {swapped_ms:.3f} ms")
    with picker.frozen():  # for this thread and this block only
        found["frozen"] = picker.classify(stream, stations)
    print(f"frozen: {len(found['frozen'])} picks")
    print(f"in force again: {picker.active_adapter}")
    draw(found, asked.figure)


def draw(found: dict[str, PickList], path: Path) -> None:
    """Picks of each adapter along the record, a line a station."""
    places = sorted({pick.trace_id for picks in found.values() for pick in picks})
    start = min((pick.time for picks in found.values() for pick in picks), default=None)
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    for n, (name, picks) in enumerate(found.items()):
        for phase, marker in (("P", "v"), ("S", "^")):
            own = [pick for pick in picks if pick.phase == phase]
            rows = [places.index(pick.trace_id) + 0.2 * n for pick in own]
            axes.plot([pick.time - start for pick in own], rows, marker, color=f"C{n}", ms=5, label=f"{name} {phase}")
    axes.set(yticks=range(len(places)), yticklabels=places, xlabel=f"seconds after {start}")
    figure.legend(loc="outside upper center", ncols=len(found) * 2, fontsize=7)
    figure.savefig(path, dpi=110)
    print(f"figure: {path}")


if __name__ == "__main__":
    main()
