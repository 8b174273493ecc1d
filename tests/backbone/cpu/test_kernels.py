"""The compiled loops against float64 arithmetic in the plainest form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from phaseno_peft.backbone.cpu import kernels


def places() -> Tensor:
    """Everywhere a GELU bends, its far ends, and a number of elements that no vector width divides."""
    return torch.cat([torch.linspace(-9, 9, 20_011), torch.tensor([0.0, -0.0, 1e-30, -1e-30, 5.5, -5.5, 80.0, -80.0])])


def exactly(x: Tensor) -> Tensor:
    return torch.tensor([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x.double().tolist()], dtype=torch.float64)


def test_gelu_is_as_exact_as_a_float32_erf() -> None:
    x = places()
    error = (kernels.gelu_(x.clone()).double() - exactly(x)).abs()
    of_torch = (F.gelu(x).double() - exactly(x)).abs()
    assert float(error[x.abs() < 8].max()) < 2 * float(of_torch[x.abs() < 8].max())
    assert float(error.max()) < 1e-6
    by_tanh = (F.gelu(x, approximate="tanh").double() - exactly(x)).abs()
    assert float(by_tanh.max()) > 1e-4  # the wrong GELU would be seen


def test_derivative_of_gelu() -> None:
    x = places()
    exact = x.double().requires_grad_()
    F.gelu(exact).sum().backward()
    assert exact.grad is not None
    slope = kernels.gelu_backward_(torch.full_like(x, 3.0), x.clone())
    assert float((slope.double() / 3 - exact.grad).abs().max()) < 1.5e-6


def test_nan_and_infinity_are_not_hidden() -> None:
    x = torch.tensor([math.nan, math.inf, -math.inf] * 8)
    y = kernels.gelu_(x.clone())
    assert y[::3].isnan().all()
    assert (y[1::3] == math.inf).all()
    assert (y[2::3].abs() < 1e-6).all()
    heard = torch.empty(2, 24)
    kernels.hear(x.expand(2, -1).contiguous(), torch.zeros(2, 24), np.array([0, 1, 2]), np.array([0, 1]), heard)
    assert heard[:, ::3].isnan().all()


def test_scaled_gelu_and_its_derivative() -> None:
    rng = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(37, 13, generator=rng) for _ in range(2))
    scale, shift = (torch.randn(13, generator=rng) for _ in range(2))
    exact = x.double().requires_grad_()
    z = exact * scale + shift
    z.retain_grad()
    expected = F.gelu(z)
    expected.backward(grad.double())
    assert z.grad is not None
    assert float((kernels.scaled_gelu(x, scale, shift, torch.empty_like(x)) - expected.detach()).abs().max()) < 2e-6
    back = kernels.scaled_gelu_backward(grad, x, scale, shift, torch.empty_like(x))
    assert float((back - z.grad).abs().max()) < 5e-6


@pytest.mark.parametrize("elements", [1, 63, 512, 1300])
def test_messages_and_their_gradients_on_any_graph(elements: int) -> None:
    """Stations that hear none, one, two and five, one of them twice."""
    hears = [[], [0], [0, 2], [1, 1, 4, 3, 0], [4]]
    pointers = np.cumsum([0, *map(len, hears)])
    rows = np.array([row for each in hears for row in each])
    rng = torch.Generator().manual_seed(elements)
    target, source, grad = (torch.randn(5, elements, generator=rng) for _ in range(3))
    a, b = target.double().requires_grad_(), source.double().requires_grad_()
    expected = torch.stack(
        [F.gelu(a[i] + b[each]).mean(0) if each else torch.zeros_like(a[i]) for i, each in enumerate(hears)]
    )
    expected.backward(grad.double())
    heard, of_target, of_source = (torch.full_like(target, math.nan) for _ in range(3))
    kernels.hear(target, source, pointers, rows, heard)
    kernels.hear_backward(grad, target, source, pointers, rows, of_target, of_source)
    assert float((heard - expected).abs().max()) < 2e-6
    assert a.grad is not None
    assert b.grad is not None
    assert float((of_target - a.grad).abs().max()) < 1e-5
    assert float((of_source - b.grad).abs().max()) < 1e-5


@pytest.mark.parametrize("spread", [0.05, 0.7, 2.5, 6.0])
@pytest.mark.parametrize("n", [3, 26, 41])
def test_interpolated_mean_over_everyone(n: int, spread: float) -> None:
    """Whatever the range of the targets, also where one station lies far from the rest or all agree."""
    rng = torch.Generator().manual_seed(n)
    target, source = spread * torch.randn(n, 1000, generator=rng), 2 * torch.randn(n, 1000, generator=rng)
    target[0, :200] += 4 * spread
    target[:, 200:300] = target[0, 200:300]
    out = torch.full_like(target, math.nan)
    kernels.hear_everyone(target, source, out)
    expected = F.gelu(target.double()[:, None] + source.double()[None]).mean(1)
    assert float((out - expected).abs().max()) < 2e-5
