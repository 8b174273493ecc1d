"""What an adapter costs away from its campaign: scores on windows of simulated networks (the forgetting windows).

The embedded backbone was pre-trained mostly on such networks (its card). These windows come from the same simulator
with a seed of their own and were in no training. For other backbones they are networks like any other.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from obspy import UTCDateTime

from phaseno_peft.campaign import Window
from phaseno_peft.campaign.coordinates import unit_coordinates
from phaseno_peft.campaign.grid import highpass
from phaseno_peft.campaign.labels import known_samples, triangles
from phaseno_peft.campaign.windows import WindowLabel, normalise
from phaseno_peft.contract import BackboneDefaults, Preprocessing
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
    return tuple(simulated_window(made, graph) for graph in range(WINDOWS))


def judge_forgetting(model: torch.nn.Module) -> Scores:
    """Scores of a model on every other forgetting window, with thresholds from the others."""
    windows = forgetting_windows()
    found = Predictions(windows, window_probabilities(model, windows, EDGE_LIMIT_KM))
    even, odd = found.rows(slice(0, None, 2)), found.rows(slice(1, None, 2))
    return score_at_thresholds_of(even, odd, min_distance_s=BackboneDefaults().min_distance_s)


def simulated_window(made: NetworkWindows, graph: int) -> Window:
    """One of the simulated windows as the network is trained and judged on: high-passed, its arrivals labelled."""
    preprocessing = Preprocessing()
    raw = made.waveforms[graph].astype(np.float64)
    samples = np.apply_along_axis(highpass, -1, raw, made.rate_hz, preprocessing.highpass_hz)
    onsets, snr = made.onset_samples[graph], made.snr[graph]  # [event, station, phase]
    n_stations, n = samples.shape[0], samples.shape[-1]
    labels: list[WindowLabel] = []
    targets = np.zeros((n_stations, 2, n), np.float32)
    known = np.ones((n_stations, 2, n), bool)
    for station, phase in np.ndindex(n_stations, 2):
        here, clear = onsets[:, station, phase], snr[:, station, phase] >= CLEAR_SNR
        arrivals = sorted(float(x) for x in here[np.isfinite(here) & clear])
        doubtful = [float(x) for x in here[np.isfinite(here) & ~clear]]
        targets[station, phase] = triangles(arrivals, n)
        known[station, phase] = known_samples(n, arrivals, doubtful, [])
        labels += [WindowLabel(station, phase, sample, f"forgetting-{graph}", "") for sample in arrivals]
    return Window(
        name=f"forgetting@{graph}",
        start=UTCDateTime(0),
        rate_hz=made.rate_hz,
        station_ids=tuple(f"QR.R{station:03d}." for station in range(n_stations)),
        waveforms=normalise(samples, np.ones(samples.shape, bool)),
        coordinates=unit_coordinates(made.coordinates_km[graph]),
        labels=tuple(labels),
        targets=targets,
        known=known,
        is_noise=not np.isfinite(onsets).any(),
    )
