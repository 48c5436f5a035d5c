"""GAN (BiGAN): a generator and an encoder, trained against a discriminator that sees pictures and their latents.

The discriminator D sees pairs (Donahue et al. 2017; Dumoulin et al. 2017): a real, that is played, picture x with its
latents E(x), or a generated one G(z) with the z that it was drawn from. Its loss is relativistic, of the difference
between a real and a generated pair (Jolicoeur-Martineau 2019), and has gradient penalties at both (Roth et al. 2017):
together these make training converge and keep the generator from dropping modes (Huang et al. 2024). The encoder must
also recover z from G(z).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from experiment.ranges import NonNegative
from perception.dataset import Batch, Dataset
from perception.encoder import Encoder
from perception.generative import Generative, make_decoder

HIDDEN = 256  # width of the discriminator's layers
PENALIZED = 4  # the gradient penalties are those of one pair in so many: they take twice as long as all else


@dataclass
class GANConfig:
    """Settings of the GAN."""

    latents: int = 32
    """numbers from which a stack of frames is drawn"""
    channels: int = 16
    """of the generator and of the discriminator"""
    slope: NonNegative = 1000.0
    """weight of the gradient penalties, which are small: a picture has many pixels"""
    latent_coef: NonNegative = 1.0
    """weight of the error with which the encoder recovers the latents that a picture was generated from"""


def relativistic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic loss of the discriminator: L = mean_i log(1 + exp(D(f_i) - D(r_i))).

    With its arguments exchanged it is the loss of the generator and the encoder.

    Args:
        real: D(r), float [batch], of played pictures.
        fake: D(f), float [batch], of generated ones.
    """
    return F.softplus(fake - real).mean()


def gradient_penalty(discriminator: nn.Module, picture: Tensor, code: Tensor) -> Tensor:
    """Mean squared norm of the discriminator's gradient at its input: L = mean_i |grad D(x_i, z_i)|^2.

    Args:
        discriminator: D.
        picture: x, float [batch, frames, height, width].
        code: z, float [batch, latents].
    """
    pair = [part.detach().requires_grad_() for part in (picture, code)]
    gradients = torch.autograd.grad(discriminator(*pair).sum(), pair, create_graph=True)
    return torch.stack([gradient.float().square().flatten(1).sum(1) for gradient in gradients]).sum(0).mean()


class Discriminator(nn.Module):
    """D(x, z): the larger, the more a picture and its latents look like a real pair."""

    def __init__(self, latents: int, channels: int, frames: int, height: int, width: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for out, kernel, stride in ((channels // 2, 5, 3), (channels, 4, 2), (2 * channels, 4, 2)):
            parts += [nn.Conv2d(frames, out, kernel, stride, padding=1), nn.LeakyReLU(0.2)]
            frames, height, width = out, (height + 2 - kernel) // stride + 1, (width + 2 - kernel) // stride + 1
        self.look = nn.Sequential(*parts, nn.Flatten(), nn.Linear(frames * height * width, HIDDEN), nn.LeakyReLU(0.2))
        self.read = nn.Sequential(nn.Linear(latents, HIDDEN), nn.LeakyReLU(0.2))
        self.say = nn.Sequential(nn.Linear(2 * HIDDEN, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1))

    def forward(self, picture: Tensor, code: Tensor) -> Tensor:
        """Return D(x, z), float32 [batch], of x [batch, frames, height, width] and z [batch, latents]."""
        logit: Tensor = self.say(torch.cat([self.look(picture), self.read(code)], -1))
        return logit[:, 0].float()


class GAN(Generative):
    """Encoder, generator and discriminator.

    Args:
        encoder: the encoder to be trained.
        config: settings.
        data: the dataset to learn from.
    """

    objective = "gan"

    def __init__(self, encoder: Encoder, config: GANConfig, data: Dataset) -> None:
        super().__init__(encoder, config.latents)
        self.config, spec = config, encoder.spec
        self.code = nn.Linear(encoder.feature_dim, config.latents)
        shape = (config.latents, config.channels, spec.frames, spec.height, spec.width)
        self.generator = make_decoder(*shape)
        self.judge_pair = Discriminator(*shape)  # under this name in the checkpoints of every run so far

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of the discriminator's loss and that of the generator and the encoder.

        Each reaches its own weights alone. In validation there is no discriminator's loss.
        """
        observations = batch.observations.to(self.device)
        real, z = self._scaled(observations), torch.randn(len(batch), self.latents, device=self.device)
        code, fake = self.encode(observations), self.generator(z)
        fixed = {name: weight.detach() for name, weight in self.judge_pair.named_parameters()}
        logits = [functional_call(self.judge_pair, fixed, pair) for pair in ((real, code), (fake, z))]
        adversarial = relativistic_loss(logits[1], logits[0])
        latent_loss = F.mse_loss(self.code(self.encoder.body(fake)).float(), z)
        loss = adversarial + self.config.latent_coef * latent_loss
        logs = {"loss": loss, "adversarial": adversarial, "latents": latent_loss}  # the same in training and validation
        if self.training:
            pairs = [(real, code.detach()), (fake.detach(), z)]
            logits = [self.judge_pair(*pair) for pair in pairs]
            few = -(-len(batch) // PENALIZED)
            penalties = [gradient_penalty(self.judge_pair, x[:few], latents[:few]) for x, latents in pairs]
            logs |= {"discriminator": relativistic_loss(*logits), "gradient_penalty": penalties[0] + penalties[1]}
            loss = loss + logs["discriminator"] + self.config.slope / 2 * logs["gradient_penalty"]
        return loss, logs

    def encode(self, observations: Tensor) -> Tensor:
        """Return the latents of stacks, float32 [batch, latents]."""
        code: Tensor = self.code(self.encoder(observations)).float()
        return code

    def draw(self, latents: Tensor) -> Tensor:
        """Draw newest frames in gray levels, float32 [batch, height, width]."""
        drawn: Tensor = self.generator(latents)[:, -1].float()
        return self.encoder.mean + drawn / self.encoder.scale

    def _scaled(self, observations: Tensor) -> Tensor:
        """Return pictures as the encoder's body sees them."""
        return (observations.float() - self.encoder.mean) * self.encoder.scale
