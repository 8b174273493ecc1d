"""Quiet stretches: what the network sees nothing in, beside what the catalogue lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from phaseno_peft.campaign import Campaign
from phaseno_peft.picking.quiet_times import quiet_times
from tests.campaign.synthetic_network import T0, catalog, network_picks, record, table


class EnergyDetector(torch.nn.Module):
    """In the network's place: certain of P and S where a station's amplitude is seven standard deviations."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, waveforms: torch.Tensor, graph: Any) -> torch.Tensor:  # noqa: ARG002  # a station hears itself
        """Logits [station, 2, sample]."""
        loud = waveforms.abs().amax(1, keepdim=True) > 0.7
        return torch.where(loud, 10.0, -10.0).expand(-1, 2, -1)


def test_an_event_that_the_catalogue_misses_is_not_quiet() -> None:
    """Listed at 100 s, unlisted at 40 s: what lies 5 s around the unlisted one is no noise, the rest is."""
    stream = record(np.random.default_rng(3), [40.0, 100.0], 200.0, T0)
    campaign = Campaign.read({"a": stream}, table(), catalog([network_picks(T0 + 100)]))
    times = quiet_times(EnergyDetector(), campaign, {"P": 0.3, "S": 0.3})
    found = [(round((a - T0.ns) * 1e-9), round((b - T0.ns) * 1e-9)) for a, b in times]
    covered = np.zeros(200, bool)
    for first, last in found:
        covered[first:last] = True
    assert not covered[36:47].any()
    assert not covered[96:120].any()
    assert covered[2:34].all()
    assert covered[125:198].all()
