"""Exploration by noise on the weights of linear layers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIGMA = 0.5  # sigma_0 in the paper: the noise's size at the start, before it is divided by sqrt(in)


class NoisyLinear(nn.Linear):
    """A linear layer with learned, factorised Gaussian noise on its weights (Fortunato et al. 2018).

    With W and b the means, S and s the sizes of the noise, and f_in, f_out noise from `factorised_noise`:

        y = (W + S * f_out f_in^T) x + b + s * f_out
          = W x + b + f_out * (S (f_in * x) + s)

    The second form needs no matrix of noise, so that every row of a batch can have noise of its own.

    Attributes:
        weight, bias: W [out, in] and b [out].
        weight_sigma, bias_sigma: S [out, in] and s [out], all 0.5 / sqrt(in) at first.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        sigma = SIGMA / in_features**0.5
        self.weight_sigma = nn.Parameter(torch.full((out_features, in_features), sigma))
        self.bias_sigma = nn.Parameter(torch.full((out_features,), sigma))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Map [batch, in] to [batch, out]; noise: float [batch, in + out], f_in then f_out, or None for the means."""
        y: Tensor = super().forward(x)
        if noise is not None:
            f_in, f_out = noise[:, : self.in_features], noise[:, self.in_features :]
            y = y + f_out * F.linear(f_in * x, self.weight_sigma, self.bias_sigma)
        return y


def factorised_noise(rows: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw f(e) = sign(e) sqrt|e| for standard normal e, float [rows, width]."""
    e = torch.randn(rows, width, generator=generator)
    return e.sign() * e.abs().sqrt()
