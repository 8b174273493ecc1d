"""Windows against forgetting: simulated networks, the backbone's own kind, among those of the campaign.

An adapter that sees nothing but its campaign loses some of what the frozen network knows of others (`forgetting`).
Rehearsing a little of it in every epoch is the oldest remedy (Robins 1995, doi:10.1080/09540099550039318).
"""

from __future__ import annotations

import numpy as np

from phaseno_peft.campaign import Window
from phaseno_peft.simulation import simulate_network_windows
from phaseno_peft.training.forgetting import STATIONS, simulated_window


def replay_windows(n: int, seed: int, epoch: int) -> list[Window]:
    """So many windows of random simulated networks, others in every epoch; none of the forgetting windows.

    Labels are the true onsets of arrivals that stand out of the noise, whatever the campaign's analysts pick.
    """
    if not n:
        return []
    made = simulate_network_windows(np.random.default_rng([seed, 4, epoch]), None, n, stations=STATIONS)
    return [simulated_window(made, graph, f"replay@{epoch}-{graph}") for graph in range(n)]
