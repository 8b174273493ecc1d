"""How much faster and smaller the backbone is than upstream's formulation, in one run on one machine.

    python -m benchmarks.backbone                        # the cases that take seconds
    python -m benchmarks.backbone 9 26-full train        # some of them
    python -m benchmarks.backbone --all --threads 2

Times are medians of runs that take turns; memory is the peak of a process of its own, less what it held before the
call. Where the reference would need more than --largest-gib it is not run. Ratios are to the reference with the same
number of threads; `1 thread` gives the reference's own time on one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from benchmarks.upstream_reference import UpstreamPhaseNO
from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StationGraph, load_backbone
from phaseno_peft.text_tables import TextTable

RIDGECREST = [
    (35.525, -117.365), (35.816, -117.598), (36.271, -117.592), (35.982, -117.809), (35.480, -117.682),
    (36.058, -117.489), (35.891, -117.283), (35.692, -117.751), (35.809, -117.765), (35.608, -117.890),
    (36.025, -117.765), (36.118, -117.855), (35.842, -117.906), (35.948, -117.650), (36.008, -117.890),
    (35.949, -117.818), (35.267, -117.846), (35.525, -117.365), (35.816, -117.598), (36.271, -117.592),
    (35.982, -117.809), (35.480, -117.682), (36.058, -117.489), (35.891, -117.283), (35.692, -117.751),
    (35.809, -117.765), (35.608, -117.890), (36.025, -117.765), (36.118, -117.855), (35.948, -117.650),
    (35.267, -117.846), (35.842, -117.906), (36.008, -117.890), (35.949, -117.818), (36.193, -117.668),
    (35.405, -117.259),
]  # fmt: skip
"""Latitude and longitude of 36 sensors of upstream's example (stations.csv of sun-hongyu/PhaseNO, MIT licence)."""


@dataclass(frozen=True, slots=True)
class Case:
    """A network of stations and what is done with it."""

    n_stations: int
    edge_limit_km: float | None = None
    side_km: float = 25.0
    """Stations are strewn over a square of this side."""
    real: bool = False
    trains: bool = False

    def graph(self) -> StationGraph:
        if self.real:
            degrees = np.array(RIDGECREST)
            east_km = (degrees[:, 1] + 117.6) * 111.2 * np.cos(np.radians(35.8))
            km = np.stack([east_km, (degrees[:, 0] - 35.8) * 111.2], 1)
        else:
            km = np.random.default_rng(self.n_stations).uniform(0, self.side_km, (self.n_stations, 2))
        return StationGraph.from_coordinates(torch.from_numpy(0.5 + km / 222).float(), self.edge_limit_km)

    def waveforms(self) -> Tensor:
        """Noise and an arrival that sweeps over the stations, normalised as upstream does."""
        rng = np.random.default_rng(1)
        time_s = np.arange(3000) / 100
        x = 0.3 * rng.standard_normal((self.n_stations, 3, 3000))
        for station in range(self.n_stations):
            since_s = np.clip(time_s - 5 - 15 * rng.uniform(), 0, None)
            x[station] += rng.normal(size=(3, 1)) * 3 * np.exp(-since_s / 2) * np.sin(2 * np.pi * 8 * since_s)
        return torch.from_numpy((x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) / 10).float()


CASES = {
    "1": Case(1),
    "9": Case(9),
    "13": Case(13),
    "26-full": Case(26),
    "26-near": Case(26, 30.0, 120.0),
    "36-real": Case(36, 30.0, real=True),
    "50-full": Case(50),
    "200-near": Case(200, 30.0, 333.0),
    "train": Case(9, trains=True),
}
QUICK = ["1", "9", "13", "26-near", "train"]


def workload(case: Case, which: str) -> Callable[[], None]:
    """One forward pass or one training step, of "ours" or of "reference"."""
    torch.manual_seed(0)
    graph, waveforms = case.graph(), case.waveforms()
    label = (torch.rand(case.n_stations, 2, 3000) < 0.01).float()
    model: torch.nn.Module = load_backbone()
    if which == "reference":
        state = model.state_dict()
        model = UpstreamPhaseNO()
        model.load_state_dict(state)
        model.eval()
    elif case.trains:
        from peft import get_peft_model

        from phaseno_peft.cr_lora import CRLoraConfig

        model = get_peft_model(model, CRLoraConfig())

    def logits() -> Tensor:
        if which == "ours":
            result: Tensor = model(waveforms, graph)
        else:
            result = model(waveforms, graph.coordinates, graph.source, graph.target)
        return result

    if not case.trains:

        def forward() -> None:
            with torch.no_grad():
                logits()

        return forward
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])

    def step() -> None:
        loss = F.binary_cross_entropy_with_logits(logits(), label, pos_weight=torch.tensor(5.0))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stub
        optimizer.step()

    return step


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_mib(name: str, which: str, threads: int) -> float | None:
    """Peak memory of two calls in a process of their own; None if it ran out of memory."""
    command = [sys.executable, "-m", "benchmarks.backbone", "--alone", name, which, "--threads", str(threads)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(json.loads(answer.stdout)) if answer.returncode == 0 else None


def alone(name: str, which: str) -> None:
    """Print the peak of resident memory in MiB that a call adds; two calls where it trains."""
    work = workload(CASES[name], which)
    if which == "ours":  # the compiled loops are loaded once a process; they are not what a call adds
        tiny = PhaseNO(PhaseNOConfig(width=4, modes=6, window_samples=60, middle_samples=40, coarse_samples=20))
        graph = StationGraph.from_coordinates(torch.rand(21, 2), None)
        tiny(torch.randn(21, 3, 60), graph).sum().backward()  # type: ignore[no-untyped-call]  # torch's stub
        with torch.no_grad():
            tiny(torch.randn(21, 3, 60), graph)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far, a parent's even
    before = _status_kib("VmRSS")
    for _ in range(2 if CASES[name].trains else 1):
        work()
    sys.stdout.write(json.dumps((_status_kib("VmHWM") - before) / 1024))


def _status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def reference_gib(case: Case) -> float:
    """What the reference holds at its finest level, roughly: all edges' inputs and two hidden layers."""
    return case.graph().n_edges * (100 + 2 * 192) * 3100 * 4 / 2**30 * (2.5 if case.trains else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"among {', '.join(CASES)}; by default {' '.join(QUICK)}")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--largest-gib", type=float, default=8.0)
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.alone:
        alone(*arguments.alone)
        return
    columns = ("case", "edges", "ours (s)", "reference (s)", "ratio", "1 thread (s)", "ours (MiB)", "reference (MiB)")
    rows: list[list[str]] = []
    console = Console(width=120)
    for name in arguments.cases or (list(CASES) if arguments.all else QUICK):
        case = CASES[name]
        ours, reference = workload(case, "ours"), None
        if reference_gib(case) < arguments.largest_gib:
            reference = workload(case, "reference")
        ours()
        mine: list[float] = []
        theirs: list[float] = []
        for repeat in range(arguments.repeats):
            mine += [seconds(ours) for _ in range(3)]
            if reference is not None and (repeat == 0 or sum(theirs) < 40):
                theirs.append(seconds(reference))
        row = [name, str(case.graph().n_edges), f"{statistics.median(mine):.3f}"]
        if reference is None:
            row += ["", "", ""]
        else:
            torch.set_num_threads(1)
            once = seconds(reference)
            torch.set_num_threads(arguments.threads)
            ratio = statistics.median(theirs) / statistics.median(mine)
            row += [f"{statistics.median(theirs):.2f}", f"{ratio:.1f}", f"{once:.2f}"]
        del ours, reference
        row.append(f"{peak_mib(name, 'ours', arguments.threads) or float('nan'):.0f}")
        if row[3]:
            row.append(f"{peak_mib(name, 'reference', arguments.threads) or float('nan'):.0f}")
        rows.append(row)
        console.print(f"{name}: {', '.join(row[1:])}", style="dim")
    console.print(f"torch {torch.__version__}, {arguments.threads} threads, float32, CPU")
    console.print(TextTable(columns, rows))


if __name__ == "__main__":
    main()
