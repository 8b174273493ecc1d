"""What an adapter costs away from its campaign: scores on windows of simulated networks (the forgetting windows).

The embedded backbone was pre-trained mostly on such networks (its card). These windows come from the same simulator
with a seed of their own and were in no training. For other backbones they are networks like any other.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from phaseno_peft.campaign import Window
from phaseno_peft.campaign.raw_window import as_window
from phaseno_peft.contract import BackboneDefaults
from phaseno_peft.evaluation import Predictions, Scores, score_at_thresholds_of
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.simulation import NetworkWindows, simulate_network_windows

SEED = 71_943_205
WINDOWS, STATIONS = 48, 4
CLEAR_SNR = 3.0
"""Arrivals from this ratio on are labels; weaker ones are places where nothing is known."""
EDGE_LIMIT_KM = 30.0
FORGETTING_WINDOWS = (
    f"{WINDOWS} simulated windows of random networks with {STATIONS} stations, the kind the embedded backbone was "
    f"pre-trained on, in no training (seed {SEED}); thresholds of each model chosen on every other window, scored on "
    "the rest"
)


@lru_cache(maxsize=1)
def forgetting_windows() -> tuple[Window, ...]:
    """The same windows every time."""
    made = simulate_network_windows(np.random.default_rng(SEED), None, WINDOWS, stations=STATIONS)
    return tuple(simulated_window(made, graph, f"forgetting@{graph}") for graph in range(WINDOWS))


def judge_forgetting(model: torch.nn.Module) -> Scores:
    """Scores of a model on every other forgetting window, with thresholds from the others."""
    return score_forgetting(window_probabilities(model, forgetting_windows(), EDGE_LIMIT_KM))


def score_forgetting(probabilities: list[NDArray[np.float32]]) -> Scores:
    """`judge_forgetting` of what some picker says of the forgetting windows."""
    found = Predictions(forgetting_windows(), probabilities)
    even, odd = found.rows(slice(0, None, 2)), found.rows(slice(1, None, 2))
    return score_at_thresholds_of(even, odd, min_distance_s=BackboneDefaults().min_distance_s)


def simulated_window(made: NetworkWindows, graph: int, name: str) -> Window:
    """One of the simulated windows as the network is judged on: high-passed, its clear arrivals labelled."""
    raw = made.raw_window(graph, "simulated", weakest_snr=CLEAR_SNR, dtype=np.float64)
    return as_window(raw, name, masked_labels=True)
