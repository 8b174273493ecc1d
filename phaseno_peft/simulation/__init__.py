"""Simulated microseismic campaigns: the same files a company delivers, with the truth kept beside them."""

from __future__ import annotations

from phaseno_peft.simulation.analyst import Analyst
from phaseno_peft.simulation.campaign import SimulatedCampaign, simulate_campaign
from phaseno_peft.simulation.files import SimulatedEvent, TruthArrival
from phaseno_peft.simulation.own_noise import read_own_noise
from phaseno_peft.simulation.presets import PRESETS, Preset, find_preset
from phaseno_peft.simulation.sources import Source
from phaseno_peft.simulation.travel_times import LayeredModel, direct_rays, first_arrivals, head_waves
from phaseno_peft.simulation.windows import NetworkWindows, simulate_network_windows

__all__ = [
    "PRESETS",
    "Analyst",
    "LayeredModel",
    "NetworkWindows",
    "Preset",
    "SimulatedCampaign",
    "SimulatedEvent",
    "Source",
    "TruthArrival",
    "direct_rays",
    "find_preset",
    "first_arrivals",
    "head_waves",
    "read_own_noise",
    "simulate_campaign",
    "simulate_network_windows",
]
