"""Memory and time of picking a long record: synthetic MiniSEED of many stations, and the real path around the network.

    python -m benchmarks.memory --stations 50 --hours 1 6 24
    python -m benchmarks.memory --stations 50 --hours 1 --network phaseno

Each length is picked in a process of its own by `Picker.iter_annotations`; shown are its largest resident size, what
it had before the first record was opened, and the time of a record hour. So that a day takes minutes, one convolution
stands in for the network, unless a small PhaseNO with random weights is asked for; everything before and after it
costs what it costs with the real one, whose own memory (201 MiB for a window of fifty stations) comes on top.
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

STRIDE_S = 30.0
"""Windows follow each other without overlap: half the network's time, the same memory."""


def main() -> None:
    """Write the records, pick them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stations", type=int, default=50)
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 6.0, 24.0])
    parser.add_argument("--rate", type=float, default=100.0, help="Hz")
    parser.add_argument("--file-hours", type=float, default=1.0, help="length of one file")
    parser.add_argument("--network", choices=["convolution", "phaseno"], default="convolution")
    parser.add_argument("--folder", type=Path, default=None, help="where the records are written and stay")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(pick(Path(arguments.child), arguments.network)))
        return
    print("| hours | files | GB | windows | before MiB | peak MiB | picks | s per record hour |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        for hours in sorted(arguments.hours):
            write(folder, arguments.stations, hours, arguments.rate, arguments.file_hours)
            words = [sys.executable, "-m", "benchmarks.memory", "--child", str(folder), "--network", arguments.network]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.strip().splitlines()[-1])
            files = list((folder / "records").iterdir())
            size_gb = sum(file.stat().st_size for file in files) / 1e9
            print(
                f"| {hours:g} | {len(files)} | {size_gb:.2f} | {found['windows']} | {found['before_mib']:.0f} | "
                f"{found['peak_mib']:.0f} | {found['picks']} | {found['seconds'] / hours:.1f} |",
                flush=True,
            )


def write(folder: Path, n_stations: int, hours: float, rate_hz: float, file_hours: float) -> None:
    """Noise of `n_stations` stations with a burst a minute; files that are there are kept."""
    from obspy import Stream, Trace, UTCDateTime

    records = folder / "records"
    records.mkdir(parents=True, exist_ok=True)
    places = [f"XX,S{i:02d},{45 + 0.05 * (i // 8)},{10 + 0.05 * (i % 8)}" for i in range(n_stations)]
    (folder / "stations.csv").write_text("\n".join(["network,station,latitude,longitude", *places]) + "\n")
    start, n = UTCDateTime(2024, 1, 1), round(file_hours * 3600 * rate_hz)
    rng = np.random.default_rng(0)
    noise = np.round(300 * rng.standard_normal(n + 4096)).astype(np.int32)
    minute = round(60 * rate_hz)
    burst = np.round(9000 * np.exp(-np.arange(400) / 80) * np.sin(np.arange(400))).astype(np.int32)
    for number in range(round(np.ceil(hours / file_hours))):
        path = records / f"{number:03d}.mseed"
        if path.exists():
            continue
        stream = Stream()
        for i in range(n_stations):
            for c, component in enumerate("ENZ"):
                samples = noise[29 * i + 7 * c :][:n].copy()
                for first in range(1000 + 9 * i, n - 400, minute):
                    samples[first : first + 400] += burst
                header = {"network": "XX", "station": f"S{i:02d}", "channel": f"HH{component}"}
                header |= {"sampling_rate": rate_hz, "starttime": start + number * file_hours * 3600}
                stream += Trace(samples, header)
        stream.write(str(path), "MSEED")


def pick(folder: Path, network: str) -> dict[str, float]:
    """What picking the folder costs this process."""
    import torch

    from phaseno_peft.backbone import PhaseNO, PhaseNOConfig
    from phaseno_peft.picking import Picker, picks_of

    torch.manual_seed(0)
    torch.set_num_threads(1)
    picker = Picker(PhaseNO(PhaseNOConfig(width=4, modes=6)).eval(), "tiny", {"P": 0.6, "S": 0.6})
    convolution = torch.nn.Conv1d(3, 2, 101, padding=50)
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begun, windows = time.perf_counter(), 0
    phaseno = picker.backbone.forward

    def forward(waveforms: torch.Tensor, graph: object) -> torch.Tensor:
        nonlocal windows
        windows += 1
        return convolution(waveforms) if network == "convolution" else phaseno(waveforms, graph)

    picker.backbone.forward = forward  # type: ignore[method-assign]
    blocks = picker.iter_annotations(folder / "records", folder / "stations.csv", stride_s=STRIDE_S)
    picks = picks_of(blocks)
    return {
        "seconds": time.perf_counter() - begun,
        "before_mib": before_mib,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "picks": len(picks),
        "windows": windows,
    }


if __name__ == "__main__":
    main()
