"""The arithmetic of a Fourier block and of the head, one station at a time, with backward passes of the same kind.

A station's series fits the caches; a window of stations does not. Nothing is kept for the backward pass but inputs and,
for each block, the sum of its two branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from phaseno_peft.backbone.cpu import kernels, parallel
from phaseno_peft.backbone.cpu.parallel import run, undivided
from phaseno_peft.backbone.fourier import Resample, SpectralConv

# --- the block -------------------------------------------------------------------------------------------------------


class Lift(NamedTuple):
    """A linear map from raw channels to a block's input, composed with the block's own and never applied by itself."""

    weights: list[Tensor]
    """[in, raw], one for each part of the raw channels, so that a part with zero weights changes no bit."""
    constant: Tensor
    """[station, in]; inert behind InstanceNorm, it matters only to an adapter's gate."""


class Gated(Protocol):
    """A pointwise layer that also weighs its output channels (an adapter's squeeze-and-excitation)."""

    def gate(self, time_mean: Tensor) -> Tensor | None:
        """[station, channel] mean over time of the layer's output -> [station, channel] factors, or None for ones."""


def fourier_block(
    parts: Sequence[Tensor],
    lift: Lift | None,
    conv: SpectralConv,
    local: nn.Conv1d,
    norm: nn.InstanceNorm1d,
    resample: Resample | None,
    activate: bool,
) -> Tensor:
    """`FourierBlock` of the parts [station, samples in, channel], side by side: -> [station, samples out, out].

    InstanceNorm removes the mean over time, which is known before the two branches are summed: mode 0 of the spectral
    branch is set to cancel the other's. So the sum needs no centring, and the spectral mode 0 and the convolution's
    bias, which cannot matter, are left out.
    """
    spectrum = analyse(conv.analysis if resample is None else torch.cat([conv.analysis, resample.mean[None]]), parts)
    weight = local.weight.squeeze(-1)  # [out, in]
    pointwise = weight  # [out, raw], or [station, out, raw] behind a gate
    if lift is not None:
        raw = [x.contiguous() for x in torch.split(spectrum, [part.shape[2] for part in parts], 2)]
        spectrum, pointwise = F.linear(raw[0], lift.weights[0]), torch.cat([weight @ w for w in lift.weights], 1)
        for x, w in zip(raw[1:], lift.weights[1:], strict=True):
            spectrum = spectrum + F.linear(x, w)
    centre = F.linear(spectrum[0 if resample is None else -1], weight)  # the pointwise branch's mean over time
    if hasattr(local, "gate"):
        mean = spectrum[0] if lift is None else spectrum[0] + lift.constant
        gate = cast(Gated, local).gate(F.linear(mean, weight, local.bias))
        if gate is not None:
            pointwise, centre = pointwise * gate[..., None], centre * gate
    mixed = mix(spectrum[: 2 * conv.modes], conv.weights1)
    mixed = torch.cat([-centre[None], mixed[1:]])
    fixed = Synthesis(conv.synthesis, resample, norm.eps, activate)
    return synthesise(fixed, mixed, pointwise, norm.weight, norm.bias, parts)


# --- spectrum -------------------------------------------------------------------------------------------------------


def analyse(rows: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """rows [row, time] times each of the parts [station, time, channel]: -> [row, station, channels of all parts]."""
    if not parallel.by_station(parts[0]):
        return torch.cat([torch.matmul(rows, part) for part in parts], 2).transpose(0, 1)
    result: Tensor = _Analyse.apply(rows, *parts)  # type: ignore[no-untyped-call]  # torch's stub
    return result


class _Analyse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, *parts: Tensor) -> Tensor:
        ctx.rows, ctx.channels = rows, [part.shape[2] for part in parts]
        spectrum = rows.new_empty(len(rows), len(parts[0]), sum(ctx.channels))

        def piece(s: int) -> None:
            torch.cat([torch.mm(rows, part[s]) for part in parts], 1, out=spectrum[:, s])

        run([partial(piece, s) for s in range(len(parts[0]))])
        return spectrum

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, wanted = ctx.rows, ctx.needs_input_grad[1:]
        n, samples = grad.shape[1], rows.shape[1]
        grads = [rows.new_empty(n, samples, c) if want else None for c, want in zip(ctx.channels, wanted, strict=True)]

        def piece(s: int) -> None:
            for whole, part in zip(grads, torch.split(grad[:, s], ctx.channels, 1), strict=True):
                if whole is not None:
                    torch.mm(rows.t(), part, out=whole[s])

        with undivided():
            run([partial(piece, s) for s in range(n)])
        return None, *grads


def mix(spectrum: Tensor, weights: Tensor) -> Tensor:
    """Modes mixed over channels: [2 * mode, station, in], [in, out, mode] complex -> [2 * mode, station, out]."""
    if not parallel.by_station(spectrum):
        return _mix(spectrum, *_modes_first(weights))
    result: Tensor = _Mix.apply(spectrum, weights)  # type: ignore[no-untyped-call]  # torch's stub
    return result


def _modes_first(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts, [mode, in, out]."""
    real, imaginary = torch.view_as_real(weights).unbind(-1)
    return real.permute(2, 0, 1), imaginary.permute(2, 0, 1)


def _mix(spectrum: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    x, y = torch.split(spectrum, len(real))
    return torch.cat(
        [torch.bmm(x, real) - torch.bmm(y, imaginary), torch.bmm(x, imaginary) + torch.bmm(y, real)],
    )


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(spectrum, weights)
        return _mix(spectrum, *_modes_first(weights))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        spectrum, weights = ctx.saved_tensors
        real, imaginary = _modes_first(weights)
        grad_weights = None
        with undivided():
            grad_spectrum = _mix(grad, real.transpose(1, 2), -imaginary.transpose(1, 2))
            if ctx.needs_input_grad[1]:
                x, y = (half.transpose(1, 2) for half in torch.split(spectrum, len(real)))
                g, h = torch.split(grad, len(real))
                of_real, of_imaginary = torch.bmm(x, g) + torch.bmm(y, h), torch.bmm(x, h) - torch.bmm(y, g)
                grad_weights = torch.complex(of_real.permute(1, 2, 0).contiguous(), of_imaginary.permute(1, 2, 0))
        return grad_spectrum, grad_weights


# --- both branches, InstanceNorm, GELU ------------------------------------------------------------------------------


class Synthesis(NamedTuple):
    """What of a Fourier block's second half is fixed."""

    matrix: Tensor  # [samples out, 2 * mode]
    resample: Resample | None
    eps: float
    activate: bool


def synthesise(
    fixed: Synthesis, mixed: Tensor, pointwise: Tensor, weight: Tensor, bias: Tensor, parts: Sequence[Tensor]
) -> Tensor:
    """gelu(InstanceNorm(matrix @ mixed + resampled(parts @ pointwise))) of a sum whose mean over time is zero.

    mixed [2 * mode, station, out], pointwise [out, in] or, one for each station, [station, out, in], weight and bias
    [out] of the norm, parts [station, samples in, channel] -> [station, samples out, out].
    """
    if not parallel.by_station(mixed):
        series = mixed.transpose(0, 1)
        y = torch.baddbmm(_local(fixed, parts, pointwise), fixed.matrix.expand(len(series), -1, -1), series)
        y = torch.addcmul(bias, y, _inverse_deviation(y, fixed.eps) * weight)
        return F.gelu(y) if fixed.activate else y
    result: Tensor = _Synthesise.apply(  # type: ignore[no-untyped-call]  # torch's stub
        torch.is_grad_enabled(), fixed, mixed, pointwise, weight, bias, *parts
    )
    return result


def _local(fixed: Synthesis, parts: Sequence[Tensor], pointwise: Tensor) -> Tensor:
    """The pointwise branch without bias; convolved at the lower of the two rates, which commutes with resampling."""
    resample = fixed.resample
    if resample is not None and resample.shrinks:
        parts = [resample(part) for part in parts]
    weights = torch.split(pointwise.transpose(-1, -2), [part.shape[-1] for part in parts], -2)
    y = torch.matmul(parts[0], weights[0])
    for part, w in zip(parts[1:], weights[1:], strict=True):
        y = y + torch.matmul(part, w)
    return y if resample is None or resample.shrinks else resample(y)


def _inverse_deviation(y: Tensor, eps: float) -> Tensor:
    """[..., time, channel] -> [..., 1, channel]."""
    return torch.rsqrt(y.square().mean(-2, keepdim=True) + eps)


class _Synthesise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        recording: bool,
        fixed: Synthesis,
        mixed: Tensor,
        pointwise: Tensor,
        weight: Tensor,
        bias: Tensor,
        *parts: Tensor,
    ) -> Tensor:
        n = mixed.shape[1]
        result = mixed.new_empty(n, len(fixed.matrix), mixed.shape[2])
        kept = torch.empty_like(result) if recording and any(ctx.needs_input_grad) else None

        def piece(s: int) -> None:
            y = _local(fixed, [part[s] for part in parts], _of_station(pointwise, s))
            y = torch.addmm(y, fixed.matrix, mixed[:, s], out=y if kept is None else kept[s])
            scale = _inverse_deviation(y, fixed.eps)[0] * weight
            if fixed.activate:
                kernels.scaled_gelu(y, scale, bias, result[s])
            else:
                torch.addcmul(bias, y, scale, out=result[s])

        run([partial(piece, s) for s in range(n)])
        if kept is not None:
            ctx.fixed = fixed
            ctx.save_for_backward(kept, pointwise, weight, bias, *parts)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        fixed: Synthesis = ctx.fixed
        kept, pointwise, weight, bias, *parts = ctx.saved_tensors
        _, _, want_mixed, want_pointwise, want_weight, want_bias, *want_parts = ctx.needs_input_grad
        n, samples, channels = kept.shape
        grad = grad.contiguous()
        grad_mixed = grad.new_empty(fixed.matrix.shape[1], n, channels)
        grad_pointwise = grad.new_empty(n, *pointwise.shape[-2:])
        grad_weight, grad_bias = grad.new_empty(n, channels), grad.new_empty(n, channels)
        grad_parts = [torch.empty_like(part) if want else None for part, want in zip(parts, want_parts, strict=True)]
        widths = [part.shape[2] for part in parts]
        resample = fixed.resample

        def piece(s: int) -> None:
            y, g = kept[s], grad[s]
            inverse = _inverse_deviation(y, fixed.eps)
            if fixed.activate:
                g = kernels.scaled_gelu_backward(g, y, inverse[0] * weight, bias, torch.empty_like(y))
            mean, shared = g.mean(0), (g * y).mean(0)
            torch.mul(mean, samples, out=grad_bias[s])
            torch.mul(shared * inverse[0], samples, out=grad_weight[s])
            scale = inverse * weight
            g = torch.addcmul(-mean * scale, g, scale).addcmul_(y, -shared * inverse.square() * scale)
            torch.mm(fixed.matrix.t(), g, out=grad_mixed[:, s])
            if resample is not None and not resample.shrinks:
                g = resample.transposed(g)
            first = 0
            weights = _of_station(pointwise, s)
            for part, whole, width in zip(parts, grad_parts, widths, strict=True):
                columns = slice(first, first + width)
                first += width
                if want_pointwise:
                    x = resample(part[s]) if resample is not None and resample.shrinks else part[s]
                    torch.mm(g.t(), x, out=grad_pointwise[s, :, columns])
                if whole is None:
                    continue
                if resample is not None and resample.shrinks:
                    whole[s] = resample.transposed(torch.mm(g, weights[:, columns]))
                else:
                    torch.mm(g, weights[:, columns], out=whole[s])

        with undivided():
            run([partial(piece, s) for s in range(n)])
        return (
            None,
            None,
            grad_mixed if want_mixed else None,
            (grad_pointwise if pointwise.ndim == 3 else grad_pointwise.sum(0)) if want_pointwise else None,
            grad_weight.sum(0) if want_weight else None,
            grad_bias.sum(0) if want_bias else None,
            *grad_parts,
        )


def _of_station(pointwise: Tensor, station: int) -> Tensor:
    return pointwise if pointwise.ndim == 2 else pointwise[station]


# --- head -----------------------------------------------------------------------------------------------------------


def decide(x: Tensor, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """Two linear layers (weight, bias) with a GELU between: [station, time, channel] -> [station, out, time]."""
    if not parallel.by_station(x):
        return F.linear(F.gelu(F.linear(x, *first)), *second).transpose(1, 2)
    result: Tensor = _Decide.apply(x, *first, *second)  # type: ignore[no-untyped-call]  # torch's stub
    return result


class _Decide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        ctx.save_for_backward(x, w1, b1, w2)
        logits = x.new_empty(x.shape[0], len(w2), x.shape[1])

        def piece(s: int) -> None:
            hidden = kernels.gelu_(torch.addmm(b1, x[s], w1.t()))
            torch.addmm(b2[:, None], w2, hidden.t(), out=logits[s])

        run([partial(piece, s) for s in range(len(x))])
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, b1, w2 = ctx.saved_tensors
        n = len(x)
        grad_x = x.new_empty(x.shape)
        sums = [x.new_empty(n, *weight.shape) for weight in (w1, b1, w2)]

        def piece(s: int) -> None:
            hidden = torch.addmm(b1, x[s], w1.t())
            torch.mm(grad[s], kernels.gelu_(hidden.clone()), out=sums[2][s])
            g = kernels.gelu_backward_(torch.mm(grad[s].t(), w2), hidden)
            torch.mm(g.t(), x[s], out=sums[0][s])
            torch.sum(g, 0, out=sums[1][s])
            torch.mm(g, w1, out=grad_x[s])

        with undivided():
            run([partial(piece, s) for s in range(n)])
        grads = [grad_x, *(each.sum(0) for each in sums), grad.sum((0, 2))]
        return tuple(g if want else None for g, want in zip(grads, ctx.needs_input_grad, strict=True))
