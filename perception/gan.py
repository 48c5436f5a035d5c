"""GAN: a generator and a judge trained against each other, and an encoder that the judge can't tell from the generator.

The judge sees pairs (Donahue et al. 2017; Dumoulin et al. 2017): a played picture x with its code E(x), or a drawn one
G(z) with the chance z that it was drawn from. It says which of two pairs is rather a played one (Jolicoeur-Martineau
2019), and its slopes are kept small at both (Roth et al. 2017): together these make the game settle, and keep the
generator from leaving kinds of pictures out (Huang et al. 2024). The encoder must also tell z from G(z).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from perception.dataset import Batch, Dataset
from perception.encoder import Encoder
from perception.generative import Generative, make_decoder

JUDGED = 256  # width of the judge's layers
SLOPES = 4  # one pair in so many is asked for its slopes: they take twice as long as all else


@dataclass
class GANConfig:
    """Settings of the GAN."""

    latents: int = 32
    """numbers from which a stack of frames is drawn"""
    channels: int = 16
    """of the generator and of the judge"""
    slope: float = 1000.0
    """weight of the judge's squared slopes, which are small: a picture has many pixels"""
    latent_coef: float = 1.0
    """weight of the error in what the encoder tells of the chance that a picture was drawn from"""


def rather(real: Tensor, fake: Tensor) -> Tensor:
    """How wrong it is that the first of each pair is rather a played one: L = mean_i log(1 + exp(D(f_i) - D(r_i)))."""
    return F.softplus(fake - real).mean()


def squared_slope(judge: nn.Module, picture: Tensor, code: Tensor) -> Tensor:
    """How steep a judge's opinion is: L = mean_i |grad D(x_i, z_i)|^2.

    Args:
        judge: D.
        picture: x, float [batch, frames, height, width].
        code: z, float [batch, latents].
    """
    pair = [part.detach().requires_grad_() for part in (picture, code)]
    slopes = torch.autograd.grad(judge(*pair).sum(), pair, create_graph=True)
    return torch.stack([slope.float().square().flatten(1).sum(1) for slope in slopes]).sum(0).mean()


class Judge(nn.Module):
    """How much a picture and a code look like played ones."""

    def __init__(self, latents: int, channels: int, frames: int, height: int, width: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for out, kernel, stride in ((channels // 2, 5, 3), (channels, 4, 2), (2 * channels, 4, 2)):
            parts += [nn.Conv2d(frames, out, kernel, stride, padding=1), nn.LeakyReLU(0.2)]
            frames, height, width = out, (height + 2 - kernel) // stride + 1, (width + 2 - kernel) // stride + 1
        self.look = nn.Sequential(*parts, nn.Flatten(), nn.Linear(frames * height * width, JUDGED), nn.LeakyReLU(0.2))
        self.read = nn.Sequential(nn.Linear(latents, JUDGED), nn.LeakyReLU(0.2))
        self.say = nn.Sequential(nn.Linear(2 * JUDGED, JUDGED), nn.LeakyReLU(0.2), nn.Linear(JUDGED, 1))

    def forward(self, picture: Tensor, code: Tensor) -> Tensor:
        """Say so; float32 [batch]."""
        opinion: Tensor = self.say(torch.cat([self.look(picture), self.read(code)], -1))
        return opinion[:, 0].float()


class GAN(Generative):
    """Encoder, generator and judge.

    Args:
        encoder: what is trained.
        config: settings.
        data: what will be learned from.
    """

    objective = "gan"

    def __init__(self, encoder: Encoder, config: GANConfig, data: Dataset) -> None:
        super().__init__(encoder, config.latents)
        self.config, spec = config, encoder.spec
        self.code = nn.Linear(encoder.feature_dim, config.latents)
        shape = (config.latents, config.channels, spec.frames, spec.height, spec.width)
        self.generator, self.judge_pair = make_decoder(*shape), Judge(*shape)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the judge's loss and the players' together; each reaches its own weights alone."""
        observations = batch.observations.to(self.device)
        real, z = self._scaled(observations), torch.randn(len(batch), self.latents, device=self.device)
        code, drawn = self.encode(observations), self.generator(z)
        fixed = {name: weight.detach() for name, weight in self.judge_pair.named_parameters()}
        opinions = [functional_call(self.judge_pair, fixed, pair) for pair in ((real, code), (drawn, z))]
        players = rather(opinions[1], opinions[0])
        told = F.mse_loss(self.code(self.encoder.body(drawn)).float(), z)
        loss = players + self.config.latent_coef * told
        logs = {"loss": loss, "players": players, "latents": told}  # of the players alone, as in validation
        if self.training:
            pairs = [(real, code.detach()), (drawn.detach(), z)]
            opinions = [self.judge_pair(*pair) for pair in pairs]
            few = -(-len(batch) // SLOPES)
            slopes = [squared_slope(self.judge_pair, picture[:few], chance[:few]) for picture, chance in pairs]
            logs |= {"judge": rather(*opinions), "slopes": slopes[0] + slopes[1]}
            loss = loss + logs["judge"] + self.config.slope / 2 * logs["slopes"]
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
