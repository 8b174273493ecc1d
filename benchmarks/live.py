"""How soon a live pick is told: a simulated network replayed by a SeedLink server of our own on the loopback interface.

    python -m benchmarks.live [--speed 1 20] [--minutes 3] [--stations 10] [--adapter NAME]

The server (`tests/live/seedlink_server.py`: ringserver is packaged for neither pip nor apt here) sends records of 512
bytes when their last sample is there. Latency is wall clock from the packet with the pick's own sample to the first
report of it; beside it the part after the newest packet of the pass. Other work on the machine lengthens both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from obspy import read

from phaseno_peft.campaign import read_stations
from phaseno_peft.live import watch
from phaseno_peft.simulation import simulate_campaign
from phaseno_peft.text_tables import TextTable
from tests.live.seedlink_server import ReplayServer, records_of

PRESET, SEED = "us-industrial", 20261128


def main() -> None:
    """Simulate, replay at each speed, watch, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", type=float, nargs="+", default=[1.0, 20.0])
    parser.add_argument("--minutes", type=float, default=3.0, help="Wall clock of each watch.")
    parser.add_argument("--stations", type=int, default=10)
    parser.add_argument("--every", type=float, default=2.0)
    parser.add_argument("--preset", default=PRESET)
    parser.add_argument("--adapter", help="Without: the frozen embedded backbone.")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for speed in given.speed:
            minutes = given.minutes * speed
            made = simulate_campaign(
                given.preset,
                Path(scratch) / f"{speed:g}",
                seed=SEED,
                events=1,
                continuous_minutes=minutes,
                continuous_events=max(2, round(2 * minutes)),
            )
            table = read_stations(made.stations)
            table = table.select(table.station_ids[: given.stations])
            codes = {station_id.split(".")[1] for station_id in table.station_ids}
            stream = read(str(made.continuous))
            server = ReplayServer(records_of(type(stream)(t for t in stream if t.stats.station in codes)), speed)
            server.start()
            begin, cpu = time.monotonic(), time.process_time()
            told: list[str] = []
            done = watch(
                server.url,
                table,
                given.adapter,
                every_s=given.every,
                minutes=given.minutes,
                warn=told.append,
                say=lambda _: None,
            )
            server.kill()
            wall, cores = time.monotonic() - begin, (time.process_time() - cpu) / (time.monotonic() - begin)
            since = done.since_last_sample_s or [float("nan")]
            rows.append(
                (
                    f"{speed:g}x",
                    len(table),
                    f"{wall / 60:.1f}",
                    done.n_packets,
                    done.n_passes,
                    done.n_windows,
                    len(done.latencies_s),
                    f"{done.quantile_s(0.5):.1f} / {done.quantile_s(0.95):.1f}",
                    f"{np.median(since):.1f} / {np.quantile(since, 0.95):.1f}",
                    f"{cores:.2f}",
                    f"{done.lost_s:.0f}",
                )
            )
            for text in dict.fromkeys(told):
                print(f"{speed:g}x: {text}", flush=True)
    columns = ("speed", "stations", "min", "packets", "passes", "windows", "picks", "latency s (median / 95 %)",
               "after the newest sample", "cores", "s lost")  # fmt: skip
    print(TextTable(columns, rows).markdown())


if __name__ == "__main__":
    main()
