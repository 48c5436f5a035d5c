"""Variational autoencoder (Kingma & Welling 2014): the features must hold all that reconstructs the newest frame.

A bird is a hundredth of the picture, and a loss that counts every pixel alike drowns it in pipes and sky. Here each
pixel's error counts in units of how much that pixel changes from frame to frame at that place (its temporal variance,
from the training episodes), and the more where something moves just now.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from experiment.ranges import NonNegative
from perception.dataset import Batch, Dataset
from perception.encoder import Encoder
from perception.generative import STILL, Generative, make_decoder

LOOKED_AT = 4096  # pairs of frames from which the temporal variance is taken


@dataclass
class VAEConfig:
    """Settings of the VAE."""

    latents: int = 32
    """numbers from which the frame is reconstructed"""
    beta: NonNegative = 1.0
    """weight of the latents' divergence from a normal distribution, with the errors summed over the picture"""
    moving: NonNegative = 10.0
    """how much more a pixel counts where it changes right now than where it does not"""
    channels: int = 32
    """of the decoder"""


def reconstruction_loss(drawn: Tensor, frame: Tensor, before: Tensor, scale: Tensor, moving: float) -> Tensor:
    """Weighted squared error: L = mean_i sum_p w_ip ((x_ip - m_ip) / s_p)^2 / 2.

    w_ip = (1 + c d_ip) / mean_p (1 + c d_ip) and d_ip = min(|x_ip - y_ip| / s_p, 1): the weights of a picture have the
    mean 1, whatever moves in it.

    Args:
        drawn: m, float [batch, height, width].
        frame: x, what it should be.
        before: y, the frame before it.
        scale: s, [height, width], how much each pixel changes.
        moving: c.
    """
    weight = 1 + moving * ((frame - before).abs() / scale).clamp(max=1)
    weight = weight / weight.mean((1, 2), keepdim=True)
    return (weight * ((frame - drawn) / scale).square()).sum((1, 2)).mean() / 2


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, v) || N(0, 1)): L = mean_i sum_k (m_ik^2 + v_ik - log v_ik - 1) / 2."""
    return (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean() / 2


class VAE(Generative):
    """Latents from the features, and the newest frame from the latents."""

    objective = "vae"

    def __init__(self, encoder: Encoder, config: VAEConfig, data: Dataset) -> None:
        super().__init__(encoder, config.latents)
        self.config = config
        self.code = nn.Linear(encoder.feature_dim, 2 * config.latents)
        height, width = encoder.spec.height, encoder.spec.width
        self.decoder = make_decoder(config.latents, config.channels, 1, height, width)
        self.pixels: Tensor
        self.register_buffer("pixels", torch.ones(height, width))

    def prepare(self, data: Dataset) -> None:
        """Take each pixel's change from one frame to the next: s_p^2 = mean_t (x_t - x_{t-1})_p^2 + STILL^2."""
        split = data.splits["train"]
        batch = split.sample(LOOKED_AT, np.random.default_rng(0))
        batch = split.batch(batch.index[batch.lasts(1)])
        now, then = (part.observations[:, -1].float() for part in (batch.later(1), batch))
        self.pixels.copy_(((now - then).square().mean(0) + STILL**2).sqrt())

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of a picture's errors and of its divergence, per pixel."""
        observations = batch.observations.to(self.device)
        frame = observations[:, -1].float()
        before = observations[:, -2].float() if observations.shape[1] > 1 else frame
        mean, log_variance = self._posterior(observations)
        drawn = self.draw(mean + torch.randn_like(mean) * (log_variance / 2).exp())
        errors = reconstruction_loss(drawn, frame, before, self.pixels, self.config.moving)
        kl = divergence(mean, log_variance)
        return (errors + self.config.beta * kl) / frame[0].numel(), {"reconstruction": errors, "divergence": kl}

    def encode(self, observations: Tensor) -> Tensor:
        """Return the latents' means, float32 [batch, latents]."""
        return self._posterior(observations)[0]

    def draw(self, latents: Tensor) -> Tensor:
        """Draw newest frames in gray levels, float32 [batch, height, width]."""
        drawn: Tensor = self.decoder(latents)[:, 0].float()
        return self.encoder.mean + 64 * drawn

    def _posterior(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and logarithms of variances, float32 [batch, latents] each."""
        mean, log_variance = self.code(self.encoder(observations)).float().chunk(2, -1)
        return mean, log_variance.clamp(-10, 10)
