"""InstanceNorm over time and GELU of a series that is centred already, in few passes over memory."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def normalise(y: Tensor, weight: Tensor, bias: Tensor, eps: float, out: Tensor | None = None) -> Tensor:
    """[..., time, channel] with zero mean over time -> variance and mean as `weight` and `bias` [channel] say."""
    return torch.addcmul(bias, y, _inverse_deviation(y, eps) * weight, out=out)


def _inverse_deviation(y: Tensor, eps: float) -> Tensor:
    """[..., 1, channel]."""
    return torch.rsqrt(y.square().mean(-2, keepdim=True) + eps)


def norm_gelu(y: Tensor, weight: Tensor, bias: Tensor, eps: float, activate: bool) -> Tensor:
    """`normalise`, then GELU if `activate`; differentiable, keeping only `y`."""
    if torch.compiler.is_compiling():
        y = normalise(y, weight, bias, eps)
        return F.gelu(y) if activate else y
    result: Tensor = _NormGelu.apply(y, weight, bias, eps, activate)  # type: ignore[no-untyped-call]  # torch's stub
    return result


class _NormGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, bias: Tensor, eps: float, activate: bool) -> Tensor:
        ctx.save_for_backward(y, weight, bias)
        ctx.eps, ctx.activate = eps, activate
        z = normalise(y, weight, bias, eps)
        return torch.ops.aten.gelu_(z) if activate else z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, weight, bias = ctx.saved_tensors
        inverse = _inverse_deviation(y, ctx.eps)
        if ctx.activate:
            z = torch.addcmul(bias, y, inverse * weight)
            grad = torch.ops.aten.gelu_backward.grad_input(grad, z, grad_input=z)
        shared = (grad * y).mean(-2, keepdim=True)  # [station, 1, channel]
        mean = grad.mean(-2, keepdim=True)
        samples = y.shape[-2]
        grad_weight = (shared * inverse).sum((0, 1)) * samples
        grad_bias = mean.sum((0, 1)) * samples
        scale = inverse * weight
        grad_y = torch.addcmul(-mean * scale, grad, scale).addcmul_(y, -shared * inverse.square() * scale)
        return grad_y, grad_weight, grad_bias, None, None
