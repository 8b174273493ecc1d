"""The graph block: what a station hears from its neighbours, and what it makes of it.

Upstream sends a [2C+4, T] tensor for every edge through two linear layers. Its first layer is a sum of a term of the
target and a term of the source, and the mean over edges commutes with the second layer (DESIGN section 2). All that is
left per edge is one addition, one GELU and one accumulation, done in one loop (kernels.py) for some samples at a time,
so that no tensor [edge, channel, time] is ever built, forwards or backwards, and the temporaries stay in cache. The
backward pass keeps the block's input and what every station heard, and computes the rest again.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from phaseno_peft.backbone.cpu import kernels, parallel
from phaseno_peft.backbone.cpu.parallel import run, undivided
from phaseno_peft.backbone.graph import Group, StationGraph

_gelu_backward = torch.ops.aten.gelu_backward.default
_ELEMENTS = 262_144
"""Of one temporary: small enough for the caches, large beside what a call costs."""
_MANY_STATIONS = 20
"""From here on a mean over all is interpolated; below, plain sums cost less."""
_PIECES = 8
"""Pieces a group's samples are shared out in, whatever the number of threads, so that sums always come out the same."""


class BlockWeights(NamedTuple):
    """What a graph block computes with, c channels and 4c hidden ones."""

    at_target: Tensor  # [4c, c] of the target's features
    at_source: Tensor  # [4c, c] of the source's features
    target_constant: Tensor  # [station, 4c] the rest of the first layer, constant in time
    source_constant: Tensor  # [station, 4c]
    edge_out: Tensor  # [c, 4c]
    edge_bias: Tensor  # [c]
    update_message: Tensor  # [4c, c]
    update_own: Tensor  # [4c, c]
    update_bias: Tensor  # [4c]
    out: Tensor  # [c, 4c]
    out_bias: Tensor  # [c]

    @classmethod
    def of(
        cls, edge_in: nn.Linear, edge_out: nn.Linear, update_in: nn.Linear, update_out: nn.Linear, places: Tensor
    ) -> BlockWeights:
        """Upstream's layers, split by what their input's columns are; places [station, 2]."""
        weight = edge_in.weight  # columns: target features, source coordinates, source features, target coordinates
        update_weight = update_in.weight  # columns: message, own features; each weight is read once, in this order,
        c = update_weight.shape[1] // 2  # since an adapter's dropout draws at every reading
        return cls(
            at_target=weight[:, :c],
            at_source=weight[:, c + 2 : 2 * c + 2],
            target_constant=F.linear(places, weight[:, 2 * c + 2 :], edge_in.bias),
            source_constant=F.linear(places, weight[:, c : c + 2]),
            edge_out=edge_out.weight,
            edge_bias=edge_out.bias,
            update_message=update_weight[:, :c],
            update_own=update_weight[:, c:],
            update_bias=update_in.bias,
            out=update_out.weight,
            out_bias=update_out.bias,
        )


def graph_block(x: Tensor, weights: BlockWeights, graph: StationGraph) -> Tensor:
    """[station, time, channel] -> same shape. A station without an incoming edge hears zero."""
    if not parallel.by_station(x):
        return _plain(x, weights, graph)
    result: Tensor = _GraphBlock.apply(torch.is_grad_enabled(), graph, x, *weights)  # type: ignore[no-untyped-call]  # torch's stub
    return result


def _plain(x: Tensor, weights: BlockWeights, graph: StationGraph) -> Tensor:
    """The same in whole tensors, for a compiler or an accelerator; no tensor over edges where either can avoid it."""
    w = weights
    at_target = F.linear(x, w.at_target) + w.target_constant[:, None]
    at_source = F.linear(x, w.at_source) + w.source_constant[:, None]
    heard = hear(at_target, at_source, *graph.neighbours)
    message = F.linear(heard, w.edge_out) + w.edge_bias * (graph.in_degree > 0)[:, None, None]
    hidden = F.linear(message, w.update_message) + F.linear(x, w.update_own, w.update_bias)
    return F.linear(F.gelu(hidden), w.out, w.out_bias)


def hear(at_target: Tensor, at_source: Tensor, rows: Tensor, share: Tensor) -> Tensor:
    """Sum over k of share[i, k] * gelu(at_target[i] + at_source[rows[i, k]]), all [station, time, hidden].

    A compiler fuses gather, GELU and sum into one loop; without one, neighbours are added one after the other, and the
    backward pass computes the GELUs again.
    """
    if torch.compiler.is_compiling():
        return (F.gelu(at_target[:, None] + at_source[rows]) * share[..., None, None]).sum(1)
    share = share.to(at_target.dtype)  # in mixed precision
    result: Tensor = _Hear.apply(at_target, at_source, rows, share)  # type: ignore[no-untyped-call]  # torch's stub
    return result


class _Hear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, at_target: Tensor, at_source: Tensor, rows: Tensor, share: Tensor) -> Tensor:
        ctx.save_for_backward(at_target, at_source, rows, share)
        heard = torch.zeros_like(at_target)
        for k in range(rows.shape[1]):
            heard.addcmul_(F.gelu(at_target + at_source[rows[:, k]]), share[:, k, None, None])
        return heard

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        at_target, at_source, rows, share = ctx.saved_tensors
        of_target, of_source = torch.zeros_like(at_target), torch.zeros_like(at_source)
        for k in range(rows.shape[1]):
            part = _gelu_backward(grad * share[:, k, None, None], at_target + at_source[rows[:, k]])
            of_target += part
            of_source.index_add_(0, rows[:, k], part)
        return of_target, of_source, None, None


class _GraphBlock(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, recording: bool, graph: StationGraph, x: Tensor, *tensors: Tensor) -> Tensor:
        weights, hidden = BlockWeights(*tensors), 4 * x.shape[2]
        result = torch.empty_like(x)
        kept = x.new_empty(*x.shape[:2], hidden) if recording and any(ctx.needs_input_grad) else None
        pieces = []
        for group in graph.groups:
            mine = _of_group(weights, group)
            smooth = group.is_full and group.n_stations >= _MANY_STATIONS and kept is None
            if smooth:
                mine = _sorted(mine, x[group.rows])
            for times in _shared_out(group, x.shape[1], hidden):
                pieces.append(partial(_forward, x, result, kept, mine, group, times, smooth))
        run(pieces)
        if kept is not None:
            ctx.graph = graph
            ctx.save_for_backward(x, kept, *tensors)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, kept, *tensors = ctx.saved_tensors
        weights, wanted = BlockWeights(*tensors), BlockWeights(*ctx.needs_input_grad[3:])
        grad_x = torch.empty_like(x)
        shares: list[tuple[Group, BlockWeights]] = []
        pieces = []
        for group in ctx.graph.groups:
            mine = _of_group(weights, group)
            for times in _shared_out(group, x.shape[1], 4 * x.shape[2]):
                share = BlockWeights(*(torch.zeros_like(w) for w in mine))
                shares.append((group, share))
                pieces.append(partial(_backward, x, kept, grad, grad_x, mine, group, times, share, wanted))
        with undivided():
            run(pieces)
        total = BlockWeights(*(torch.zeros_like(w) for w in weights))
        for group, share in shares:
            for name, whole, part in zip(BlockWeights._fields, total, share, strict=True):
                if name.endswith("_constant"):
                    whole[group.rows] += part
                else:
                    whole += part
        return None, None, grad_x, *(g if want else None for g, want in zip(total, wanted, strict=True))


def _of_group(weights: BlockWeights, group: Group) -> BlockWeights:
    return weights._replace(
        target_constant=weights.target_constant[group.rows], source_constant=weights.source_constant[group.rows]
    )


def _sorted(weights: BlockWeights, x: Tensor) -> BlockWeights:
    """The edge's hidden channels in order of how far stations lie apart in them; the result does not depend on it."""
    w, some = weights, x[:, :: max(1, x.shape[1] // 64)]
    at_target = F.linear(some, w.at_target) + w.target_constant[:, None]
    order = (at_target.amax(0) - at_target.amin(0)).mean(0).argsort()
    return w._replace(
        at_target=w.at_target[order],
        at_source=w.at_source[order],
        target_constant=w.target_constant[:, order],
        source_constant=w.source_constant[:, order],
        edge_out=w.edge_out[:, order],
    )


def _shared_out(group: Group, samples: int, hidden: int) -> list[list[tuple[int, int]]]:
    """Blocks of samples (first, last + 1), dealt to pieces."""
    fitting = _ELEMENTS // (hidden * group.n_stations)
    n_blocks = -(-samples // max(4, min(fitting, samples)))
    edges = [round(i * samples / n_blocks) for i in range(n_blocks + 1)]
    blocks = list(pairwise(edges))
    n_pieces = min(_PIECES, n_blocks)
    cuts = [round(i * n_blocks / n_pieces) for i in range(n_pieces + 1)]
    return [blocks[first:last] for first, last in pairwise(cuts)]


class _Scratch(dict[str, Tensor]):
    """Temporaries by name, used again for the next block: fresh memory costs as much as the arithmetic done in it."""

    def take(self, name: str, *shape: int) -> Tensor:
        """Uninitialised, [shape]; what was taken under this name before is gone."""
        size = math.prod(shape)
        if name not in self or self[name].numel() < size:
            self[name] = torch.empty(size)
        return self[name][:size].view(shape)


def _rows_of(x: Tensor, group: Group, first: int, last: int, scratch: _Scratch, name: str) -> Tensor:
    """[station * time, channel], a copy."""
    part = scratch.take(name, group.n_stations, last - first, x.shape[2]).copy_(x[:, first:last][group.rows])
    return part.view(-1, x.shape[2])


def _terms(x: Tensor, weight: Tensor, constant: Tensor, scratch: _Scratch, name: str) -> Tensor:
    """[station, time * hidden]."""
    n, hidden = constant.shape
    terms = torch.mm(x, weight.t(), out=scratch.take(name, len(x), hidden)).view(n, -1, hidden)
    return terms.add_(constant[:, None]).view(n, -1)


def _forward(
    x: Tensor,
    result: Tensor,
    kept: Tensor | None,
    weights: BlockWeights,
    group: Group,
    times: list[tuple[int, int]],
    smooth: bool,
) -> None:
    """Write the result of one piece, and what its stations heard to `kept`."""
    w, n, scratch = weights, group.n_stations, _Scratch()
    for first, last in times:
        own = _rows_of(x, group, first, last, scratch, "own")
        if group.is_alone:
            constant = w.target_constant + w.source_constant
            heard = kernels.gelu_(_terms(own, w.at_target + w.at_source, constant, scratch, "heard"))
        else:
            target = _terms(own, w.at_target, w.target_constant, scratch, "target")
            source = _terms(own, w.at_source, w.source_constant, scratch, "source")
            heard = scratch.take("heard", *target.shape)
            if smooth:
                kernels.hear_everyone(target, source, heard)
            else:
                kernels.hear(target, source, group.pointers, group.heard, heard)
        heard = heard.view(len(own), -1)
        hidden, _ = _update(own, heard, weights, group, scratch)
        part = torch.addmm(w.out_bias, kernels.gelu_(hidden), w.out.t(), out=own)
        result[:, first:last][group.rows] = part.view(n, -1, part.shape[1])
        if kept is not None:
            kept[:, first:last][group.rows] = heard.view(n, -1, heard.shape[1])


def _update(
    own: Tensor, heard: Tensor, weights: BlockWeights, group: Group, scratch: _Scratch
) -> tuple[Tensor, Tensor]:
    """Argument of the update's GELU, and the message, both [station * time, ...]."""
    w = weights
    message = torch.addmm(w.edge_bias, heard, w.edge_out.t(), out=scratch.take("message", *own.shape))
    if not group.all_hear:
        message.view(group.n_stations, -1)[group.degree == 0] = 0
    hidden = torch.addmm(w.update_bias, own, w.update_own.t(), out=scratch.take("hidden", *heard.shape))
    return hidden.addmm_(message, w.update_message.t()), message


def _backward(
    x: Tensor,
    kept: Tensor,
    grad: Tensor,
    grad_x: Tensor,
    weights: BlockWeights,
    group: Group,
    times: list[tuple[int, int]],
    share: BlockWeights,
    wanted: BlockWeights,
) -> None:
    """Write the gradient of one piece of the input and add to `share` what it brings to the wanted weights."""
    w, n, scratch = weights, group.n_stations, _Scratch()
    silent = None if group.all_hear else group.degree == 0
    for first, last in times:
        own = _rows_of(x, group, first, last, scratch, "own")
        heard = _rows_of(kept, group, first, last, scratch, "heard")
        g = _rows_of(grad, group, first, last, scratch, "grad")
        hidden, message = _update(own, heard, w, group, scratch)
        if wanted.out:
            share.out.addmm_(g.t(), kernels.gelu_(scratch.take("activated", *hidden.shape).copy_(hidden)))
        if wanted.out_bias:
            share.out_bias.add_(g.sum(0))
        g = torch.mm(g, w.out, out=scratch.take("grad_hidden", *hidden.shape))
        g = kernels.gelu_backward_(g, hidden)
        if wanted.update_message:
            share.update_message.addmm_(g.t(), message)
        if wanted.update_own:
            share.update_own.addmm_(g.t(), own)
        if wanted.update_bias:
            share.update_bias.add_(g.sum(0))
        g_own = torch.mm(g, w.update_own, out=scratch.take("grad_own", *own.shape))
        g = torch.mm(g, w.update_message, out=message)
        if silent is not None:
            g.view(n, -1)[silent] = 0
        if wanted.edge_out:
            share.edge_out.addmm_(g.t(), heard)
        if wanted.edge_bias:
            share.edge_bias.add_(g.sum(0))
        g = torch.mm(g, w.edge_out, out=hidden).view(n, -1)
        if group.is_alone:
            constant = w.target_constant + w.source_constant
            terms = _terms(own, w.at_target + w.at_source, constant, scratch, "target")
            g_target = g_source = kernels.gelu_backward_(g, terms).view(len(own), -1)
            g_own.addmm_(g_target, w.at_target + w.at_source)
        else:
            target = _terms(own, w.at_target, w.target_constant, scratch, "target")
            source = _terms(own, w.at_source, w.source_constant, scratch, "source")
            g_target, g_source = scratch.take("of_target", *target.shape), heard.view(n, -1)
            kernels.hear_backward(g, target, source, group.pointers, group.heard, g_target, g_source)
            g_target, g_source = g_target.view(len(own), -1), g_source.view(len(own), -1)
            g_own.addmm_(g_target, w.at_target).addmm_(g_source, w.at_source)
        if wanted.at_target:
            share.at_target.addmm_(g_target.t(), own)
        if wanted.at_source:
            share.at_source.addmm_(g_source.t(), own)
        if wanted.target_constant:
            share.target_constant.add_(g_target.view(n, -1, g_target.shape[1]).sum(1))
        if wanted.source_constant:
            share.source_constant.add_(g_source.view(n, -1, g_source.shape[1]).sum(1))
        grad_x[:, first:last][group.rows] = g_own.view(n, -1, g_own.shape[1])
