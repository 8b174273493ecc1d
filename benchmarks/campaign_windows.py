"""Time and memory from a campaign's files to its windows: synthetic events, the path of training before the network.

    python -m benchmarks.campaign_windows --events 400 --stations 25
    python -m benchmarks.campaign_windows --events 50 --stations 25 --days 1 3

Each event is a MiniSEED file of a minute of all stations at 100 Hz, three components; with `--days` the events lie in
continuous files of an hour a station instead, of so many days. Each campaign is read in a process of its own: files are
read and prepared (`Campaign.read`), and a training window of every event, a noise window beside each, is cut and kept
in one file. Shown are wall clock and CPU seconds, and the largest resident size beside that before the first file.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RATE_HZ = 100.0
RECORD_S = 60.0
FILE_S = 3600.0
APPARENT_KM_S = 5.0
START = "2024-01-01T00:00:00"


def main() -> None:
    """Write the campaigns, read each, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=400)
    parser.add_argument("--stations", type=int, default=25)
    parser.add_argument("--days", type=float, nargs="*", help="continuous archives of so many days")
    parser.add_argument("--folder", type=Path, default=None, help="where the campaigns are written and stay")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measure(asked.child)))
        return
    print("| archive | MB | event-station records | read and prepare s | windows s | CPU s | before MiB | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        for days in asked.days or [0.0]:
            folder = (asked.folder or Path(scratch)) / f"{asked.events}-{asked.stations}-{days:g}"
            if not folder.exists():
                write(folder, asked.events, asked.stations, days)
            words = [sys.executable, "-m", "benchmarks.campaign_windows", "--child", str(folder)]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout.strip().splitlines()[-1])
            size_mb = sum(file.stat().st_size for file in (folder / "waveforms").iterdir()) / 1e6
            print(
                f"| {f'{days:g} days' if days else 'events'} | {size_mb:.0f} | {found['records']} | "
                f"{found['read_s']:.1f} | {found['windows_s']:.1f} | {found['cpu_s']:.1f} | "
                f"{found['before_mib']:.0f} | {found['peak_mib']:.0f} |",
                flush=True,
            )


def write(folder: Path, n_events: int, n_stations: int, days: float) -> None:
    """The campaign's files: waveforms, stations.csv, picks.csv."""
    from obspy import Stream, UTCDateTime

    (folder / "waveforms").mkdir(parents=True)
    rng, start = np.random.default_rng(0), UTCDateTime(START)
    places = [(i % 5, i // 5) for i in range(n_stations)]
    rows = [f"XX,S{i:02d},{45 + 0.05 * y:.3f},{10 + 0.07 * x:.3f}" for i, (x, y) in enumerate(places)]
    (folder / "stations.csv").write_text("\n".join(["network,station,latitude,longitude", *rows]) + "\n")
    every_s = days * 86400 / n_events if days else 600.0
    picks = ["event,network,station,phase,time"]
    onsets: dict[int, list[tuple[int, float, float]]] = {}
    for event in range(n_events):
        at_s = event * every_s + (0.4 * every_s if days else 15.0)
        x0, y0 = rng.uniform(0, 4), rng.uniform(0, max(1, n_stations // 5 - 1))
        for i, (x, y) in enumerate(places):
            p_s = at_s + float(np.hypot(5.5 * (x - x0), 5.5 * (y - y0)) + 5) / APPARENT_KM_S
            s_s = at_s + 1.73 * (p_s - at_s)
            onsets.setdefault(event, []).append((i, p_s, s_s))
            picks += [f"{event},XX,S{i:02d},{phase},{start + t}" for phase, t in (("P", p_s), ("S", s_s))]
    (folder / "picks.csv").write_text("\n".join(picks) + "\n")
    wavelet = 9000 * np.exp(-np.arange(300) / 60) * np.sin(2 * np.pi * 6 * np.arange(300) / RATE_HZ)
    noise = 200 * rng.standard_normal(round(FILE_S * RATE_HZ) + 100_000)
    if not days:
        for event, arrivals in onsets.items():
            begin_s, stream = event * every_s, Stream()
            for i, *times in arrivals:
                stream += _station(i, start, begin_s, RECORD_S, times, wavelet, noise, rng)
            stream.write(str(folder / "waveforms" / f"event{event:05d}.mseed"), format="MSEED")
        return
    for hour in range(round(days * 86400 / FILE_S)):
        begin_s = hour * FILE_S
        for i in range(n_stations):
            times = [t for arrivals in onsets.values() for t in arrivals[i][1:] if 0 <= t - begin_s < FILE_S]
            stream = _station(i, start, begin_s, FILE_S, times, wavelet, noise, rng)
            stream.write(str(folder / "waveforms" / f"S{i:02d}.{hour:05d}.mseed"), format="MSEED")


def _station(i, start, begin_s, length_s, times, wavelet, noise, rng):  # type: ignore[no-untyped-def]
    """Traces of one station's three components, with a wavelet at each of the times."""
    from obspy import Stream, Trace

    stream, n = Stream(), round(length_s * RATE_HZ)
    for component in "ENZ":
        first = int(rng.integers(len(noise) - n))
        x = noise[first : first + n].copy()
        for t in times:
            at = round((t - begin_s) * RATE_HZ)
            x[at : at + len(wavelet)] += wavelet[: max(0, n - at)]
        header = {"network": "XX", "station": f"S{i:02d}", "channel": f"HH{component}", "sampling_rate": RATE_HZ}
        stream += Trace(np.round(x).astype(np.int32), {**header, "starttime": start + begin_s})
    return stream


def measure(folder: Path) -> dict[str, float]:
    """Read the campaign and cut its windows into a file."""
    from phaseno_peft.campaign import Campaign, WindowSampler

    before_mib = _resident_mib()
    begin, cpu = time.monotonic(), time.process_time()
    campaign = Campaign.read(folder / "waveforms", folder / "stations.csv", folder / "picks.csv")
    read_s = time.monotonic() - begin
    sampler = WindowSampler(campaign.stretches(), campaign.frame, campaign.preprocessing, 0)
    n = 2 * sampler.n_events
    with tempfile.TemporaryFile() as cache:
        for window in sampler.windows(n):
            for array in (window.waveforms, window.targets, window.known, window.coordinates):
                cache.write(np.ascontiguousarray(array).data)
    return {
        "records": len({(p.event_id, p.station_id) for p in campaign.catalogue.picks}),
        "read_s": read_s,
        "windows_s": time.monotonic() - begin - read_s,
        "cpu_s": time.process_time() - cpu,
        "before_mib": before_mib,
        "peak_mib": _resident_mib(),
    }


def _resident_mib() -> float:
    """Largest resident size so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main()
