"""What leaving out quiet windows saves, and which picks it costs.

    python -m benchmarks.quiet_windows [FOLDER ...] [--adapter NAME] [--simulated-minutes 30]

A FOLDER holds waveforms/ (or continuous/) and stations.xml. Simulated records of the three presets with an event every
ten minutes come first. Each is picked with `--gate off` and `--gate auto` by the embedded backbone or an adapter;
shown are the part of the station-windows that was left out, the picks that were lost (none within 0.1 s of the same
station and phase), those of them above 1.2 times their threshold, and the times' ratio. Times of a run are neighbours;
other work on the machine blurs them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from obspy import UTCDateTime
from rich.console import Console

from phaseno_peft.campaign import Recording, Station
from phaseno_peft.picking import Picker, PickList, inference, load_adapter
from phaseno_peft.picking.quiet_windows import loud_stations, reached
from phaseno_peft.picks import Pick
from phaseno_peft.simulation import simulate_campaign
from phaseno_peft.text_tables import TextTable

PRESETS = ("ohio-frac", "bc-frac", "us-industrial")
SEED = 20261128
SAME_S = 0.1


@contextmanager
def counted() -> Iterator[list[tuple[int, int]]]:
    """(stations, stations left out) of every window that is looked at within the block."""
    seen: list[tuple[int, int]] = []

    def looked_at(curves: NDArray, coordinates: NDArray, edge_limit_km: float) -> NDArray:  # type: ignore[type-arg]
        loud = loud_stations(curves, coordinates, edge_limit_km)
        heard = reached(coordinates, edge_limit_km)[loud].any(axis=0)
        seen.append((len(curves), int((~heard).sum())))
        return loud

    inference.loud_stations = looked_at
    try:
        yield seen
    finally:
        inference.loud_stations = loud_stations


def lost(whole: PickList, gated: PickList) -> list[Pick]:
    """Picks of the first list that the second lacks, within `SAME_S` at the same station and phase."""
    kept: dict[tuple[str, str], list[float]] = {}
    for pick in gated:
        kept.setdefault((pick.trace_id, pick.phase), []).append(pick.time.timestamp)
    return [
        pick
        for pick in whole
        if not any(abs(pick.time.timestamp - t) <= SAME_S for t in kept.get((pick.trace_id, pick.phase), ()))
    ]


def row(picker: Picker, name: str, waveforms: Path, stations: Path) -> tuple[object, ...]:
    """One record, picked both ways."""
    begin = time.perf_counter()
    whole = picker.classify(waveforms, stations, gate="off")
    between = time.perf_counter()
    with counted() as seen:
        gated = picker.classify(waveforms, stations, gate="auto")
    end = time.perf_counter()
    contract = picker.contract()
    thresholds = picker.backbone_thresholds if contract is None else contract.thresholds
    gone = lost(whole, gated)
    strong = sum(pick.probability >= 1.2 * thresholds[pick.phase] for pick in gone)
    n = sum(stations for stations, _ in seen)
    left_out = sum(quiet for _, quiet in seen) / n if n else 0.0
    return (
        name,
        n,
        f"{left_out:.1%}",
        len(whole),
        len(gone),
        strong,
        len(lost(gated, whole)),
        f"{(end - between) / (between - begin):.2f}",
    )


def _noise() -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
    """One window of one station, and its mask."""
    samples = np.random.default_rng(0).standard_normal((1, 3, 3000)).astype(np.float32)
    return samples, np.ones(samples.shape, bool)


def main() -> None:
    """Pick, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--adapter", help="Default: the frozen backbone.")
    parser.add_argument("--simulated-minutes", type=float, default=30.0, help="Of each preset; 0 leaves them out.")
    arguments = parser.parse_args()
    picker = Picker.load() if arguments.adapter is None else load_adapter(arguments.adapter)
    rows = []
    noise = Recording("noise", UTCDateTime(0), 100.0, (Station("XX.A.", 0.0, 0.0, 0.0),), *_noise(), ("ENZ",))
    picker.annotate_recording(noise)  # opens libraries and caches
    with tempfile.TemporaryDirectory() as folder:
        for number, preset in enumerate(PRESETS if arguments.simulated_minutes else ()):
            made = Path(folder) / preset
            simulate_campaign(
                preset,
                made,
                seed=SEED + number,
                events=1,
                continuous_minutes=arguments.simulated_minutes,
                continuous_events=max(1, round(arguments.simulated_minutes / 10)),
            )
            rows.append(row(picker, f"simulated {preset}", made / "continuous", made / "stations.xml"))
        for place in arguments.folders:
            inner = place / "continuous" if (place / "continuous").is_dir() else place / "waveforms"
            rows.append(row(picker, place.name, inner, place / "stations.xml"))
    header = ("record", "station-windows", "left out", "picks", "lost", "of 1.2 x", "new", "time auto / off")
    Console().print(TextTable(header, rows, n_left=1))


if __name__ == "__main__":
    main()
