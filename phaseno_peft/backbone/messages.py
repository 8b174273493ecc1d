"""What a station hears from its neighbours: mean over incoming edges of gelu(target term + source term).

Upstream sends a [2C+4, T] tensor for every edge through two linear layers. Its first layer is a sum of a term of the
target and a term of the source, and the mean commutes with the second layer (DESIGN section 2), so all that is left
per edge is one addition, one GELU and one accumulation. No tensor [edge, channel, time] is ever built, forwards or
backwards.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from phaseno_peft.backbone.graph import StationGraph


class _MeanOfGelu(torch.autograd.Function):
    """Keeps only the two terms for the backward pass and computes the edges again there."""

    @staticmethod
    def forward(ctx: Any, at_target: Tensor, at_source: Tensor, graph: StationGraph) -> Tensor:
        ctx.save_for_backward(at_target, at_source)
        ctx.graph = graph
        total = torch.zeros_like(at_target)
        for s, t in graph.edge_list:
            total[t] += F.gelu(at_target[t] + at_source[s])
        return total.div_(graph.in_degree.clamp(min=1).view(-1, 1, 1))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        at_target, at_source = ctx.saved_tensors
        graph: StationGraph = ctx.graph
        grad = grad / graph.in_degree.clamp(min=1).view(-1, 1, 1)
        grad_target, grad_source = torch.zeros_like(at_target), torch.zeros_like(at_source)
        for s, t in graph.edge_list:
            edge = torch.ops.aten.gelu_backward(grad[t], at_target[t] + at_source[s])
            grad_target[t] += edge
            grad_source[s] += edge
        return grad_target, grad_source, None


def mean_of_gelu(at_target: Tensor, at_source: Tensor, graph: StationGraph) -> Tensor:
    """[station, time, channel] terms of targets and sources -> the mean message of every station, same shape.

    A station without an incoming edge hears zero.
    """
    if graph.is_self_loops:
        return F.gelu(at_target + at_source)
    result: Tensor = _MeanOfGelu.apply(at_target, at_source, graph)  # type: ignore[no-untyped-call]  # torch's stub
    return result
