"""Windows of several networks in one forward pass, each window with the adapter of its own campaign.

python examples/several_campaigns_in_one_batch.py
python examples/several_campaigns_in_one_batch.py ohio=my-campaign bc=other-campaign

Without words: simulated campaigns of two networks, with the adapters of theirs that come with the package.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from phaseno_peft import Campaign, simulate_campaign
from phaseno_peft.backbone import EMBEDDED, load_backbone
from phaseno_peft.campaign import fixed_windows
from phaseno_peft.cr_lora import adapters_by_window, attach
from phaseno_peft.library import read_adapter
from phaseno_peft.picking.inference import network_input

EDGE_LIMIT_KM = 30.0


def main() -> None:
    """Stack the windows, name an adapter for each, split the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaigns", nargs="*", help="FOLDER=ADAPTER")
    parser.add_argument("--backbone", default=EMBEDDED)
    parser.add_argument("--figure", type=Path, default=Path("several_campaigns.png"))
    asked = parser.parse_args()
    if not asked.campaigns:
        for name in ("ohio-frac", "bc-frac"):
            made = simulate_campaign(name, f"batch-{name}", seed=5, events=2)
            asked.campaigns.append(f"{made.folder}={name}")

    backbone = load_backbone(asked.backbone)
    windows, names = [], []
    for text in asked.campaigns:
        folder, adapter = text.split("=")
        stored = read_adapter(adapter)
        attach(backbone, stored.name, stored.settings, stored.tensors, str(stored.folder))
        files = (Path(folder) / name for name in ("waveforms", "stations.xml", "picks.xml"))
        campaign = Campaign.read(*files, preprocessing=stored.contract.preprocessing)
        own = fixed_windows(campaign.stretches()[:2], campaign.frame, campaign.preprocessing, seed=0)
        windows += own
        names += [stored.name] * len(own)

    waveforms, graph = network_input(windows, EDGE_LIMIT_KM)  # the stations of all windows, one disjoint graph
    with torch.inference_mode(), adapters_by_window(names):
        probabilities = torch.sigmoid(backbone(waveforms, graph))  # [station of all windows, 2 (P, S), 3000]
    sizes = [len(window.station_ids) for window in windows]
    for window, name, found in zip(windows, names, probabilities.split(sizes), strict=True):
        best = ", ".join(f"{phase} {found[:, i].max():.2f}" for i, phase in enumerate("PS"))
        print(f"{window.name} with {name}: {len(window.station_ids)} stations, highest probability {best}")

    figure, axes = plt.subplots(len(windows), 1, figsize=(7, 1.3 * len(windows)), sharex=True, layout="constrained")
    seconds = torch.arange(probabilities.shape[-1]) / 100  # the network's time, 100 Hz
    for axis, window, name, found in zip(axes, windows, names, probabilities.split(sizes), strict=True):
        for i, phase in enumerate("PS"):
            axis.plot(seconds, found[:, i].T, color=f"C{i}", lw=0.8, label=[phase] + [""] * (len(found) - 1))
        axis.set(ylim=(0, 1), ylabel="probability")
        axis.set_title(f"{window.name}, adapter {name}: {len(window.station_ids)} stations", fontsize=8)
    axes[0].legend(fontsize=7)
    axes[-1].set_xlabel("seconds")
    figure.savefig(asked.figure, dpi=90)
    print(f"figure: {asked.figure}")


if __name__ == "__main__":
    main()
