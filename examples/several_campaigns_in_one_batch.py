"""Windows of several networks in one forward pass, each window with the adapter of its own campaign.

python examples/several_campaigns_in_one_batch.py ohio=my-campaign bc=other-campaign
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from phaseno_peft import Campaign
from phaseno_peft.backbone import EMBEDDED, load_backbone
from phaseno_peft.campaign import fixed_windows
from phaseno_peft.cr_lora import adapters_by_window, attach
from phaseno_peft.library import read_adapter
from phaseno_peft.picking.inference import network_input

EDGE_LIMIT_KM = 30.0


def main() -> None:
    """Stack the windows, name an adapter for each, split the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaigns", nargs="+", help="FOLDER=ADAPTER")
    parser.add_argument("--backbone", default=EMBEDDED)
    asked = parser.parse_args()

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


if __name__ == "__main__":
    main()
