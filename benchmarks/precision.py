"""Half precision: what it does to speed on this machine and to picks.

    python -m benchmarks.precision

Speed: the two operations that make up the network (matrix product of a block, GELU) in each number format. Picks: the
embedded network with weights rounded to the format, against the same in float32, on simulated windows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console

from phaseno_peft.backbone import PhaseNO, StationGraph, load_backbone
from phaseno_peft.campaign import normalise
from phaseno_peft.campaign.grid import highpass
from phaseno_peft.picks.peaks import find_picks
from phaseno_peft.simulation import NetworkWindows, simulate_network_windows
from phaseno_peft.text_tables import TextTable

FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def seconds(call: Callable[[], object], repeats: int = 15) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def rounded(kind: torch.dtype) -> PhaseNO:
    """The embedded backbone with every weight rounded to `kind`, computing in float32."""
    model = load_backbone()
    with torch.no_grad():
        for parameter in model.parameters():
            numbers = torch.view_as_real(parameter) if parameter.is_complex() else parameter
            numbers.copy_(numbers.to(kind).float())
    return model


def probabilities(model: PhaseNO, made: NetworkWindows) -> list[NDArray[np.float32]]:
    """[station, 2, sample] of every window."""
    found = []
    for records, km in zip(made.waveforms, made.coordinates_km, strict=True):
        filtered = np.apply_along_axis(lambda trace: highpass(trace, made.rate_hz, 1.0), -1, records)
        x = normalise(filtered, np.ones(records.shape, bool))
        graph = StationGraph.from_coordinates(torch.from_numpy(0.5 + km / 222).float())
        with torch.inference_mode():
            found.append(torch.sigmoid(model(torch.from_numpy(x.astype(np.float32)), graph)).numpy())
    return found


def main() -> None:
    torch.set_num_threads(2)
    x, weight = torch.randn(3100, 48), torch.randn(48, 192)
    edges = torch.randn(9 * 250, 192)
    speed: list[tuple[str, str, str]] = []
    for name, kind in FORMATS.items():
        a, b, e = x.to(kind), weight.to(kind), edges.to(kind)
        with torch.inference_mode():
            product, gelu = seconds(lambda a=a, b=b: a @ b), seconds(lambda e=e: F.gelu(e))
            speed.append((name, f"{1e6 * product:.0f}", f"{1e6 * gelu:.0f}"))
    made = simulate_network_windows(np.random.default_rng(1), "random", 40, stations=6)
    exact = probabilities(load_backbone(), made)
    picks: list[tuple[str, ...]] = []
    for name, kind in FORMATS.items():
        found = probabilities(rounded(kind), made)
        n = lost = new = moved = 0
        for ours, reference in zip(found, exact, strict=True):
            for curve, true in zip(ours.reshape(-1, 3000), reference.reshape(-1, 3000), strict=True):
                mine, theirs = find_picks(curve, 0.3, 50)[0], find_picks(true, 0.3, 50)[0]
                apart = np.abs(mine[:, None] - theirs[None]) if len(mine) and len(theirs) else np.full((1, 1), np.inf)
                nearest = apart.min(0) if len(theirs) and len(mine) else np.full(len(theirs), np.inf)
                n += len(theirs)
                lost += int((nearest > 50).sum())
                new += len(mine) - int((nearest <= 50).sum())
                moved += int(((nearest >= 1) & (nearest <= 50)).sum())
        largest = max(float(np.abs(a - b).max()) for a, b in zip(found, exact, strict=True))
        picks.append((name, f"{largest:.1e}", str(n), str(lost), str(new), str(moved)))
    console = Console(width=110)
    console.print(f"torch {torch.__version__}, 2 threads, {torch.backends.cpu.get_cpu_capability()}")
    console.print(TextTable(("format", "3100x48 @ 48x192 (us)", "GELU of 432,000 (us)"), speed, "speed"))
    columns = ("weights", "largest probability difference", "picks in float32", "lost", "new", "moved 10 ms or more")
    console.print(TextTable(columns, picks, "picks at 0.3"))


if __name__ == "__main__":
    main()
