"""What adapting the stem costs, and what it brings.

    python -m benchmarks.stem_adapters cost [--backbone NAME]
    python -m benchmarks.stem_adapters gain CAMPAIGN... --backbone NAME --out FOLDER [--splits 5]

`cost` runs in a minute: parameters and bytes of an adapter for each setting of `stem`, and the time of a nine-station
window, live and partially merged, and of a training step. Times are ratios to neighbours in time: windows to the bare
backbone's, steps to those of an adapter that leaves the stem alone. Without --backbone the network has the default
sizes and random weights, on which no time depends.

`gain` trains for hours, and the same command goes on where it was stopped. A CAMPAIGN is a folder with waveforms/,
stations.xml and picks.xml. It is split by event anew for each of the splits; every recipe is trained and judged on the
same windows, thresholds and epochs chosen on validation events, and the test F1 of all splits are set side by side with
their paired differences to cr-lora.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import torch
from peft import get_peft_model
from rich.console import Console
from safetensors.torch import save_file

from benchmarks.adapters import milliseconds
from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StationGraph, StemConfig, load_backbone
from phaseno_peft.campaign import Campaign
from phaseno_peft.comparison.compare import compare
from phaseno_peft.cr_lora import CRLoraConfig, CRLoraSettings, attach, expected_tensors, fold, selected_adapter
from phaseno_peft.text_tables import TextTable

Setting = Literal["none", "lora", "last", "full"]
RECIPES = ("frozen", "cr-lora", "cr-lora+stem", "cr-lora+stem-last", "cr-lora+stem-full")
STATIONS = 9
REPEATS = 15


def backbone(name: str | None) -> PhaseNO:
    """The named backbone, or one of the default sizes with random weights."""
    if name is not None:
        return load_backbone(name)
    torch.manual_seed(0)
    model = PhaseNO(PhaseNOConfig(stem=StemConfig()))
    model.skip.data.fill_(0.4)
    return model.eval().requires_grad_(False)


def ratios(ours: Callable[[], object], reference: Callable[[], object]) -> tuple[float, float, float]:
    """Median and quartiles of the ratio of times of neighbouring calls."""
    ours(), reference()
    found = sorted(milliseconds(ours, 1) / milliseconds(reference, 1) for _ in range(REPEATS))
    return statistics.median(found), found[REPEATS // 4], found[-1 - REPEATS // 4]


def cost(name: str | None) -> TextTable:
    """One row for each setting of `stem`."""
    model, bare = backbone(name), backbone(name)
    generator = torch.Generator().manual_seed(0)
    graph = StationGraph.from_coordinates(torch.rand(STATIONS, 2, generator=generator) * 0.05)
    record = 0.1 * torch.randn(STATIONS, 3, model.phaseno_config.window_samples, generator=generator)

    def window(adapter: str | None, network: PhaseNO = model) -> Callable[[], object]:
        def call() -> None:
            with torch.inference_mode(), selected_adapter(adapter):
                network(record, graph)

        return call

    def step(stem: Setting) -> Callable[[], object]:
        adapted = get_peft_model(backbone(name), CRLoraConfig(stem=stem))

        def call() -> None:
            adapted(record, graph).square().mean().backward()

        return call

    plain_step = step("none")
    rows: list[tuple[str, ...]] = []
    for stem in get_args(Setting):
        settings = CRLoraSettings(stem=stem)
        shapes = expected_tensors(model, settings)
        tensors = {key: 0.02 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
        attach(model, f"with-{stem}", settings, tensors, "benchmark")
        with tempfile.TemporaryDirectory() as folder:
            save_file(tensors, file := Path(folder, "adapter_model.safetensors"))
            size = file.stat().st_size
        live = ratios(window(f"with-{stem}"), window(None, bare))
        fold(model, f"with-{stem}")
        folded = ratios(window(f"with-{stem}"), window(None, bare))
        count = sum(tensor.numel() for tensor in tensors.values())
        times = (
            f"{median:.3f} ({low:.3f}-{high:.3f})"
            for median, low, high in (live, folded, ratios(step(stem), plain_step))
        )
        rows.append((stem, f"{count:,}", f"{size:,}", *times))
    return TextTable(("stem", "parameters", "file, bytes", "window, live", "window, folded", "training step"), rows)


def gain(campaigns: list[Path], name: str, out: Path, splits: int, epochs: int | None) -> TextTable:
    """Test F1 of every recipe on every campaign, over splits, and what it gains on cr-lora in the same split."""
    columns = ("campaign", "recipe", "parameters", "F1, 0.5 s", "on cr-lora", "F1, 0.1 s", "on cr-lora")
    rows: list[tuple[str, ...]] = []
    for folder in campaigns:
        campaign = Campaign.read(folder / "waveforms", folder / "stations.xml", folder / "picks.xml", name=folder.name)
        of_split = [
            {
                run.recipe: run
                for run in compare(
                    folder.name,
                    campaign,
                    RECIPES,
                    folder=out / f"{folder.name}-{seed}",
                    epochs=epochs,
                    backbone=name,
                    seed=seed,
                ).runs
            }
            for seed in range(splits)
        ]
        for recipe in RECIPES:
            cells = []
            for tolerance_s in (0.5, 0.1):
                f1 = [runs[recipe].test.mean_f1(tolerance_s) for runs in of_split]
                gained = [f1[k] - runs["cr-lora"].test.mean_f1(tolerance_s) for k, runs in enumerate(of_split)]
                ahead = sum(each > 0 for each in gained)
                cells += [spread(f1), "" if recipe == "cr-lora" else f"{spread(gained)}, ahead in {ahead}"]
            rows.append((folder.name, recipe, f"{of_split[0][recipe].n_trainable:,}", *cells))
    return TextTable(columns, rows)


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("cost").add_argument("--backbone")
    of_gain = verbs.add_parser("gain")
    of_gain.add_argument("campaigns", nargs="+", type=Path)
    of_gain.add_argument("--backbone", required=True)
    of_gain.add_argument("--out", required=True, type=Path)
    of_gain.add_argument("--splits", type=int, default=5)
    of_gain.add_argument("--epochs", type=int)
    given, console, begun = parser.parse_args(), Console(width=120), time.monotonic()
    if given.verb == "cost":
        console.print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32, {STATIONS} stations")
        table = cost(given.backbone)
    else:
        table = gain(given.campaigns, given.backbone, given.out, given.splits, given.epochs)
    console.print(table)
    console.print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
