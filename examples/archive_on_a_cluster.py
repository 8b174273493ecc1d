"""An archive on a cluster: stopped in the middle, gone on with, and the same picks as in one pass.

python examples/archive_on_a_cluster.py

Needs the extra `cluster`. The archive is simulated: three days of which a minute each was recorded, as an SDS tree.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
from obspy import read

from phaseno_peft import load_adapter, pick_archive, read_picks, simulate_campaign

DAY_S, MINUTE_S = 86400, 60


def write_sds(record: Path, archive: Path, days: int) -> None:
    """One minute of record a day, in files named and placed as an SDS tree has them."""
    for trace in read(str(record)).merge():
        for day in range(days):
            begin = trace.stats.starttime + MINUTE_S * day
            part = trace.slice(begin, begin + MINUTE_S - trace.stats.delta).copy()
            part.stats.starttime += (DAY_S - MINUTE_S) * day
            when = part.stats.starttime
            folder = archive / f"{when.year}" / part.stats.network / part.stats.station / f"{part.stats.channel}.D"
            folder.mkdir(parents=True, exist_ok=True)
            part.write(str(folder / f"{part.id}.D.{when.year}.{when.julday:03d}"), "MSEED")


def main() -> None:
    """Simulate, stop, go on, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--figure", type=Path, default=Path("archive_on_a_cluster.png"))
    asked = parser.parse_args()

    made = simulate_campaign(
        "ohio-frac", "recorded", seed=3, events=1, continuous_minutes=asked.days, continuous_events=2 * asked.days
    )
    archive, picker = Path("archive"), load_adapter("ohio-frac")
    write_sds(made.continuous, archive, asked.days)

    def stop(_: object) -> None:  # as Ctrl-C would, after the first task
        raise KeyboardInterrupt

    try:
        pick_archive(archive, made.stations, "picks", picker, progress=stop)
    except KeyboardInterrupt:
        print(f"stopped with {len(read_picks('picks'))} picks on the disk")
    done = pick_archive(archive, made.stations, "picks", picker, cluster="local:2")
    print(f"{done.tasks} tasks, {done.picked_now} of them now, {done.station_hours * 60:.0f} station-minutes")

    picks, one_pass = read_picks("picks"), picker.classify(archive, made.stations)
    same = [(p.trace_id, p.phase) for p in picks] == [(p.trace_id, p.phase) for p in one_pass]
    apart_s = max((abs(a.time - b.time) for a, b in zip(picks, one_pass, strict=False)), default=0.0)
    print(f"{len(picks)} picks, those of one pass: {same}, times at most {1e6 * apart_s:.0f} us apart")

    figure, axes = plt.subplots(1, asked.days, figsize=(8, 2.6), sharey=True, squeeze=False, layout="constrained")
    first, stations = min(p.time for p in picks), sorted({p.trace_id for p in picks})
    for day, axis in enumerate(axes[0]):
        midnight = type(first)(first.date) + DAY_S * day
        own = [p for p in picks if midnight <= p.time < midnight + DAY_S]
        for phase, colour in (("P", "tab:blue"), ("S", "tab:red")):
            listed = [p for p in own if p.phase == phase]
            seconds = [p.time - own[0].time for p in listed]
            axis.plot(seconds, [stations.index(p.trace_id) for p in listed], "|", color=colour, label=phase, ms=9)
        axis.set_title(f"{midnight.date}", fontsize=9)
        axis.set_xlabel("s after the day's first pick")
        axis.set_yticks(range(len(stations)), stations, fontsize=7)
    axes[0][0].legend(fontsize=7)
    figure.savefig(asked.figure, dpi=110)
    print(f"figure: {asked.figure}")


if __name__ == "__main__":  # workers of a cluster import this file
    main()
