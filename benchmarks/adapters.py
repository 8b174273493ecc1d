"""What swapping, loading, mixing and folding adapters costs, in one run on one machine.

    python -m benchmarks.adapters

Times are medians. Speeds are ratios of runs that take turns. The cold start runs processes of its own.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from obspy import UTCDateTime
from rich.console import Console

from phaseno_peft.backbone import StationGraph
from phaseno_peft.campaign import Station, StationTable
from phaseno_peft.contract import Contract, Frame, Preprocessing, Provenance
from phaseno_peft.cr_lora import CRLoraSettings, adapters_by_window, expected_tensors, fold, selected_adapter
from phaseno_peft.library.card import Card
from phaseno_peft.library.store import write_adapter
from phaseno_peft.picking import Picker
from phaseno_peft.text_tables import TextTable

COLD_START = """
import sys, time
begun = time.perf_counter()
import obspy
from phaseno_peft import load_adapter
imported = time.perf_counter()
picker = load_adapter(sys.argv[1])
loaded = time.perf_counter()
first = []
picks = picker.classify(obspy.read(sys.argv[2]), sys.argv[3], progress=lambda *_: first.append(time.perf_counter()))
ended = time.perf_counter()
print(imported - begun, loaded - imported, first[0] - loaded, ended - begun, "peft" in sys.modules)
"""


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Median over repeats."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def relative_speed(ours: Callable[[], object], reference: Callable[[], object], repeats: int) -> float:
    """How fast `ours` is beside the reference: the median of ratios of neighbours in time."""
    ours(), reference()
    return statistics.median(milliseconds(reference, 1) / milliseconds(ours, 1) for _ in range(repeats))


def make_adapters(picker: Picker, home: Path, n: int) -> list[Path]:
    """Adapters with random tensors, as folders."""
    settings = CRLoraSettings()
    shapes = expected_tensors(picker.backbone, settings)
    contract = Contract(
        backbone_name=picker.backbone_name,
        backbone_fingerprint=picker.backbone_fingerprint,
        preprocessing=Preprocessing(),
        frame=Frame(0.0, 0.0),
        label_convention="unknown",
        label_offset={},
        thresholds={"P": 0.3, "S": 0.3},
        min_distance_s=1.0,
        uncertainty_factor={"P": 1.0, "S": 1.0},
        provenance=Provenance("benchmark", "simulated", 0, 0, 0, 0, 0, 0, {}, "none", {}, []),
        versions={},
    )
    folders = []
    for i in range(n):
        torch.manual_seed(i)
        tensors = {key: 0.02 * torch.randn(shape) for key, shape in shapes.items()}
        folders.append(
            write_adapter(
                home / f"campaign-{i}",
                settings,
                contract,
                tensors,
                Card(f"campaign-{i}", settings, contract, {}, {}, []),
                {},
            )
        )
    return folders


def resident_bytes() -> int:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    torch.set_num_threads(2)
    rows: list[tuple[str, str, str]] = []
    picker = Picker.load()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        folders = make_adapters(picker, home, 64)
        picker.load_adapter(folders[0])
        picker.load_adapter(folders[1])
        load = milliseconds(lambda: picker.load_adapter(folders[1]), 30)
        rows.append(("load from disk with all checks", f"{load:.1f} ms", "<= 15 ms"))

        names = iter(["campaign-0", "campaign-1"] * 5000)
        swap = milliseconds(lambda: picker.set_adapter(next(names)), 5000)
        rows.append(("set_adapter between residents", f"{swap:.4f} ms", "<= 0.1 ms"))

        def using() -> None:
            with picker.using("campaign-0"):
                pass

        rows.append(("enter and leave using(...)", f"{milliseconds(using, 5000):.4f} ms", "<= 0.1 ms"))

        before = resident_bytes()
        for each in folders[2:]:
            picker.load_adapter(each, activate=False)
        each_kib = (resident_bytes() - before) / 62 / 1024
        rows.append(("memory of a resident adapter, of 64", f"{each_kib:.0f} KiB", f"<= {350e3 * 1.05 / 1024:.0f} KiB"))

        torch.manual_seed(0)
        graphs = [StationGraph.from_coordinates(torch.rand(5, 2) * 0.05) for _ in range(16)]
        x, graph = torch.randn(80, 3, 3000) * 0.1, StationGraph.stack(graphs)

        def run(names: list[str | None]) -> Callable[[], object]:
            def call() -> None:
                with torch.inference_mode(), adapters_by_window(names):
                    picker.backbone(x, graph)

            return call

        many, one = run([f"campaign-{i}" for i in range(16)]), run(["campaign-0"] * 16)
        share = relative_speed(many, one, 5)
        rows.append(("16 windows with 16 adapters, speed beside one adapter", f"{100 * share:.0f} %", ">= 85 %"))

        few, small = x[:20], StationGraph.stack(graphs[:4])

        def plain(name: str | None) -> Callable[[], object]:
            def call() -> None:
                with torch.inference_mode(), selected_adapter(name):
                    picker.backbone(few, small)

            return call

        bare = Picker.load()

        def frozen() -> None:
            with torch.inference_mode():
                bare.backbone(few, small)

        live = relative_speed(plain("campaign-2"), frozen, 15)
        fold(picker.backbone, "campaign-0")
        folded = relative_speed(plain("campaign-0"), frozen, 15)
        rows.append(("live adapter, speed beside the bare backbone", f"{100 * live:.0f} %", ""))
        rows.append(("partially merged adapter, the same", f"{100 * folded:.0f} %", ">= 95 %"))

        for row in cold_start(home, folders[0]):
            rows.append(row)
    console = Console(width=100)
    console.print(f"torch {torch.__version__}, 2 threads, float32, CPU, full-size backbone")
    console.print(TextTable(("what", "measured", "goal"), rows))


def cold_start(home: Path, adapter: Path) -> list[tuple[str, str, str]]:
    """New processes that pick ten minutes of five stations, three components at 100 Hz; then `--help`."""
    import numpy as np
    from obspy import Stream, Trace

    rng = np.random.default_rng(0)
    stations = StationTable([Station(f"XX.S{i}.", 0.01 * i, 0.0, 0.0) for i in range(5)])
    stream = Stream()
    for station in stations:
        for component in "ENZ":
            header = {"network": "XX", "station": station.station_id.split(".")[1], "channel": f"HH{component}"}
            header |= {"sampling_rate": 100.0, "starttime": UTCDateTime(2020, 1, 1)}
            stream += Trace(rng.standard_normal(60_000).astype(np.float32), header)
    stream.write(str(home / "stream.mseed"), format="MSEED")
    lines = ["network,station,latitude,longitude"]
    lines += [f"XX,{s.station_id.split('.')[1]},{s.latitude_deg},{s.longitude_deg}" for s in stations]
    (home / "stations.csv").write_text("\n".join(lines))
    command = [sys.executable, "-c", COLD_START, str(adapter), str(home / "stream.mseed"), str(home / "stations.csv")]
    runs = []
    for _ in range(3):
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert answer[-1] == "False", "PEFT was imported"
        runs.append([float(each) for each in answer[:-1]])
    imported, loaded, first, total = (statistics.median(each) for each in zip(*runs, strict=True))
    help_of = [sys.executable, "-m", "phaseno_peft", "--help"]  # the environment need not be activated
    helped = milliseconds(lambda: subprocess.run(help_of, capture_output=True, check=True), 5)
    return [
        ("new process: import", f"{imported:.2f} s", ""),
        ("new process: load_adapter", f"{loaded:.2f} s", ""),
        ("new process: to the first picked windows", f"{imported + loaded + first:.2f} s", "<= 6 s"),
        ("new process: to all picks of ten minutes", f"{total:.2f} s", ""),
        ("phaseno-peft --help", f"{helped / 1000:.2f} s", "<= 0.5 s"),
    ]


if __name__ == "__main__":
    main()
