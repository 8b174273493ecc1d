"""How fast a quiet archive is picked, what the gate costs and saves, and how PhaseNet does beside it.

    python -m benchmarks.archive [--preset us-industrial] [--minutes 20] [--adapter NAME] [--phasenet-weights FILE]

A simulated record with an event every ten minutes is picked by `pick_archive` with `--gate off` and `--gate auto`, in
this process on one core, and by SeisBench's PhaseNet on the same records, if its weights are given (it sees the same
windows, 30 s every 15 s, prepared by the same code). Shown are station-days an hour and core, extrapolated from the
minutes that were picked and counted in seconds of that core, the part of the station-windows that the gate left out,
and the picks that it lost (none within 0.1 s of the same station and phase), also those above 1.2 times their
threshold. Rates are those of one run, one after the other: read the ratios.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core, before torch is imported

from rich.console import Console

from benchmarks.quiet_windows import counted, lost
from phaseno_peft.archive import pick_archive, read_picks
from phaseno_peft.campaign import read_stations
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.contract import Preprocessing
from phaseno_peft.labelling.teachers import load_teacher
from phaseno_peft.picking import Picker, load_adapter, picks_of
from phaseno_peft.simulation import simulate_campaign
from phaseno_peft.text_tables import TextTable

SEED = 20261129


def cpu_s() -> float:
    """Seconds of a core that this process has used: other work on the machine does not count."""
    return time.process_time()


def main() -> None:
    """Simulate, pick, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="us-industrial")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--adapter", help="Default: the frozen backbone.")
    parser.add_argument("--phasenet-weights", help="As for `compare`. Default: PhaseNet is left out.")
    arguments = parser.parse_args()
    picker = Picker.load() if arguments.adapter is None else load_adapter(arguments.adapter)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PHASENO_PEFT_HOME"] = f"{scratch}/home"
        made = Path(scratch) / "simulated"
        events = max(1, round(arguments.minutes / 10))
        simulate_campaign(
            arguments.preset,
            made,
            seed=SEED,
            events=1,
            continuous_minutes=arguments.minutes,
            continuous_events=events,
        )
        archive, table = made / "continuous", read_stations(made / "stations.xml")
        picker.classify(archive, table)  # opens libraries and caches
        rows: list[tuple[object, ...]] = []
        found = {}
        for gate in ("off", "auto"):
            begin = cpu_s()
            with counted() as seen:
                summary = pick_archive(archive, table, Path(scratch) / gate, picker, gate=gate)
            days_an_hour = summary.station_hours / 24 / ((cpu_s() - begin) / 3600)
            found[gate] = read_picks(Path(scratch) / gate)
            gone = lost(found["off"], found[gate])
            strong = sum(pick.probability >= 1.2 * picker.thresholds[pick.phase] for pick in gone)
            n = sum(stations for stations, _ in seen)
            left_out = f"{sum(quiet for _, quiet in seen) / n:.1%}" if n else "-"
            name = f"{summary.creator}, gate {gate}"
            rows.append((name, f"{days_an_hour:.0f}", left_out, len(found[gate]), len(gone), strong))
        if arguments.phasenet_weights:
            teacher = load_teacher("phasenet", phasenet_weights=arguments.phasenet_weights)
            begin = cpu_s()
            picks = picks_of(teacher.annotations(Runs(archive, table, Preprocessing())))
            days_an_hour = summary.station_hours / 24 / ((cpu_s() - begin) / 3600)
            rows.append((teacher.name, f"{days_an_hour:.0f}", "-", len(picks), "-", "-"))
        title = f"{summary.stations} stations, {summary.station_hours:.1f} station-hours, {events} events"
    header = ("picker", "station-days / h and core", "left out", "picks", "lost", "of 1.2 x")
    console = Console()
    console.print(title)
    console.print(TextTable(header, rows, n_left=1))


if __name__ == "__main__":
    main()
