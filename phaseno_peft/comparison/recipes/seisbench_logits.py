"""Pickers of SeisBench as networks that can be trained where PhaseNO is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from phaseno_peft.backbone.graph import StationGraph
from phaseno_peft.baselines.rival import longer
from phaseno_peft.contract import NETWORK_RATE_HZ, PHASES, Preprocessing
from phaseno_peft.errors import PhasenoPeftError


class SeisBenchLogits(nn.Module):
    """A picker of SeisBench in PhaseNO's place, to be trained: it is called alike, and the graph is nothing to it.

    It gets the windows as the backbone does, E, N and Z in its own order and normalised by its own rule, made
    `baselines.rival.longer` where its windows are. The statistics of its norms stay as they were trained: batches are
    small.
    Raises `PhasenoPeftError` for a model without P and S, of another rate, or with windows shorter than PhaseNO's.
    """

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        labels, order = list(model.labels or ""), str(model.component_order)
        if not set(PHASES) <= set(labels) or model.sampling_rate != NETWORK_RATE_HZ or sorted(order) != list("ENZ"):
            raise PhasenoPeftError(
                f"{name}: has the labels {labels}, {model.sampling_rate} Hz and the components {order!r}, and cannot "
                f"be trained here. Give one with P, S, {NETWORK_RATE_HZ:g} Hz and three components."
            )
        if model.in_samples < Preprocessing().window_samples:
            raise PhasenoPeftError(f"{name}: its windows have {model.in_samples} samples. Give one with longer ones.")
        self.model = model
        self._columns = [labels.index(phase) for phase in PHASES]
        self._order = ["ENZ".index(component) for component in order]

    def train(self, mode: bool = True) -> SeisBenchLogits:
        """As torch's, but for norms."""
        super().train(mode)
        for module in self.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, waveforms: Tensor, graph: StationGraph) -> Tensor:  # noqa: ARG002
        """[station, 3 (E, N, Z), sample] -> logits [station, 2 (P, S), sample]."""
        n = waveforms.shape[-1]
        is_one = (waveforms[:, :2] == waveforms[:, 2:]).all(-1).all(-1)  # a vertical in all three slots
        alone = waveforms * waveforms.new_tensor([0.0, 0.0, 1.0])[:, None]
        x = torch.where(is_one[:, None, None], alone, waveforms)[:, self._order]
        before = (self.model.in_samples - n) // 2
        x = self.model.annotate_batch_pre(x.clone(), {})
        rows = torch.from_numpy(longer(n, before, self.model.in_samples - n - before)).to(x.device)
        said = self.model(x[..., rows], logits=True)
        if isinstance(said, tuple):  # a curve for each label by itself
            logits = torch.stack([said[column] for column in self._columns], 1)
        else:  # classes that exclude each other
            rest = [
                torch.logsumexp(torch.cat([said[:, :column], said[:, column + 1 :]], 1), 1) for column in self._columns
            ]
            logits = said[:, self._columns] - torch.stack(rest, 1)
        return logits[..., before : before + n]
