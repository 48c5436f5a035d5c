"""A noisy layer: its means, its noise as the paper has it, and how large that is."""

import math

import pytest
import torch
from torch import Tensor

from agents.noisy import NoisyLinear, factorised_noise


def layer(inputs: int, outputs: int) -> NoisyLinear:
    """A layer with all its numbers different."""
    torch.manual_seed(0)
    noisy = NoisyLinear(inputs, outputs)
    for parameter in noisy.parameters():
        torch.nn.init.normal_(parameter)
    return noisy


def draw(rows: int, width: int) -> Tensor:
    return factorised_noise(rows, width, torch.Generator().manual_seed(0))


def test_without_noise_it_is_the_linear_layer_of_its_means() -> None:
    noisy, x = layer(5, 3), torch.randn(7, 5)
    assert torch.equal(noisy(x), torch.nn.functional.linear(x, noisy.weight, noisy.bias))


def test_noise_is_the_signed_root_of_normal_numbers() -> None:
    normal = torch.randn(4, 9, generator=torch.Generator().manual_seed(0)).double()
    by_hand = [[math.copysign(math.sqrt(abs(e)), e) for e in row] for row in normal.tolist()]
    torch.testing.assert_close(draw(4, 9).double(), torch.tensor(by_hand, dtype=torch.float64))


def test_every_row_has_a_noisy_matrix_of_its_own() -> None:
    """Equations 9 to 11 of the paper, weight by weight, in float64."""
    noisy, x, noise = layer(5, 3), torch.randn(4, 5), draw(4, 8)
    w, b, w_sigma, b_sigma = (
        p.detach().double() for p in (noisy.weight, noisy.bias, noisy.weight_sigma, noisy.bias_sigma)
    )
    expected = torch.zeros(4, 3, dtype=torch.float64)
    for row in range(4):
        for j in range(3):
            f_out = noise[row, 5 + j].double()
            expected[row, j] = b[j] + b_sigma[j] * f_out
            for i in range(5):
                expected[row, j] += (w[j, i] + w_sigma[j, i] * noise[row, i].double() * f_out) * x[row, i].double()
    torch.testing.assert_close(noisy(x, noise).double(), expected, rtol=1e-5, atol=1e-5)


def test_the_output_spreads_as_the_sigmas_say() -> None:
    """E f(e)^2 = E|e| = sqrt(2 / pi): Var y = sum_i (sigma_i x_i)^2 2 / pi + sigma_b^2 sqrt(2 / pi)."""
    noisy, x = layer(6, 3), torch.randn(6)
    with torch.no_grad():
        y = noisy(x.expand(200_000, 6), draw(200_000, 9))
        variance = (noisy.weight_sigma * x).square().sum(-1) * 2 / math.pi
        variance += noisy.bias_sigma.square() * math.sqrt(2 / math.pi)
        assert y.var(0).tolist() == pytest.approx(variance.tolist(), rel=0.03)
        off = (y.mean(0) - noisy(x)).abs() / (variance / 200_000).sqrt()
    assert off.max() < 4  # standard errors


def test_the_noise_begins_at_the_papers_size() -> None:
    noisy = NoisyLinear(16, 3)
    for sigma in (noisy.weight_sigma, noisy.bias_sigma):
        assert torch.equal(sigma, torch.full_like(sigma, 0.125))  # 0.5 / sqrt(16)
