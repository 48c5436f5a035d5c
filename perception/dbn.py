"""DBN (Hinton et al. 2006): restricted Boltzmann machines, trained one after the other and unrolled into an encoder.

A machine has visible units v and hidden units h of 0 and 1, and learns to give pictures a low energy:

    E(v, h) = |v - b|^2 / 2 - c h - v W h     of pixels, in units of a standard deviation s
    E(v, h) = -b v - c h - v W h              of the probabilities of the machine below, from 0 to 1

Once a machine has had its share of the run it stays as it is, and the next one learns from the probabilities of its
hidden units. No labels are needed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from experiment.errors import UserError
from perception.dataset import Batch, Dataset
from perception.encoder import Encoder, freeze
from perception.pages import panel, tile
from perception.training import Way


@dataclass
class DBNConfig:
    """Settings of the DBN."""

    pixel_noise: float = 0.5
    """standard deviation s of pixels in the first machine's energy, once they are centered and scaled"""
    chain: int = 1
    """k of contrastive divergence: steps of Gibbs sampling from a picture to its reconstruction"""


class RBM(nn.Module):
    """A restricted Boltzmann machine.

    Args:
        visible: units.
        hidden: units.
        pixels: whether visible units are numbers of a normal distribution, or between 0 and 1.
    """

    def __init__(self, visible: int, hidden: int, pixels: bool) -> None:
        super().__init__()
        self.pixels = pixels
        self.weight = nn.Parameter(0.01 * torch.randn(hidden, visible))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.visible = nn.Parameter(torch.zeros(visible))

    def free_energy(self, v: Tensor) -> Tensor:
        """Return F(v) = -log sum_h exp(-E(v, h)), float32 [batch], of v [batch, visible]."""
        own = (v - self.visible).square().sum(1) / 2 if self.pixels else -v @ self.visible
        return own.float() - F.softplus(F.linear(v, self.weight, self.bias).float()).sum(1)

    def up(self, v: Tensor) -> Tensor:
        """Return the probabilities of hidden units, [batch, hidden]."""
        return F.linear(v, self.weight, self.bias).sigmoid()

    def down(self, h: Tensor) -> Tensor:
        """Return the visible units' means, [batch, visible]."""
        v = F.linear(h, self.weight.T, self.visible)
        return v if self.pixels else v.sigmoid()


def contrastive_divergence(machine: RBM, v: Tensor, chain: int) -> tuple[Tensor, Tensor]:
    """Return L = mean_i F(v_i) - F(v'_i), whose gradient is that of CD-k, and v', the reconstruction of v.

    Args:
        machine: the RBM.
        v: float [batch, visible].
        chain: k, steps of Gibbs sampling.
    """
    with torch.no_grad():
        made = v
        for _ in range(chain):
            made = machine.down(torch.bernoulli(machine.up(made).float()).to(v.dtype))
    return (machine.free_energy(v) - machine.free_energy(made)).mean(), made


class DBN(Way):
    """Machines, and the encoder that they are unrolled into; its network must be `sigmoid`.

    Args:
        encoder: the encoder to be trained.
        config: settings.
        data: the dataset to learn from.

    Raises:
        UserError: for another network.
    """

    objective = "dbn"

    def __init__(self, encoder: Encoder, config: DBNConfig, data: Dataset) -> None:
        super().__init__(encoder)
        if encoder.spec.network != "sigmoid":
            raise UserError(f"a DBN is unrolled into the sigmoid encoder, not into {encoder.spec.network}")
        self.config = config
        freeze(encoder)  # its weights are the machines', which learn in a way of their own
        self._layers = [part for part in encoder.body.modules() if isinstance(part, nn.Linear)]
        self.machines = nn.ModuleList(
            RBM(layer.in_features, layer.out_features, k == 0) for k, layer in enumerate(self._layers)
        )

    @property
    def turns(self) -> Iterable[nn.Module]:
        """The machines."""
        return self.machines

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return contrastive divergence of the machine whose turn it is; logs the error of reconstructions."""
        turn = self._turn
        machine = self._machine(turn)
        v = self._visible(batch.observations.to(self.device))
        for below in range(turn):
            v = self._layers[below](v).sigmoid()
        v = self._scaled(v, turn)
        loss, made = contrastive_divergence(machine, v, self.config.chain)
        return loss, {"error": (made - v).float().square().mean().sqrt()}

    @torch.no_grad()
    def stepped(self) -> None:
        """Unroll the machine whose turn it is: give the encoder its weights."""
        layer, machine = self._layers[self._turn], self._machine(self._turn)
        layer.weight.copy_(machine.weight / (self.config.pixel_noise if machine.pixels else 1.0))
        layer.bias.copy_(machine.bias)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> NDArray[np.uint8]:
        """Draw halved pictures above their reconstructions, made by going up through all machines and down again."""
        v = self._visible(batch.observations.to(self.device))
        h = v
        for layer in self._layers:
            h = layer(h).sigmoid()
        for k in reversed(range(len(self.machines))):
            h = self._machine(k).down(h)
        panels = []
        for seen in (v, h * self.config.pixel_noise):
            frames = (self._frame(seen) + self._mean()).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
            panels += [panel(np.repeat(np.repeat(frame, 2, 0), 2, 1)) for frame in frames[:8]]
        return tile(panels, min(8, len(batch)))

    @property
    def _turn(self) -> int:
        """The number of the machine that learns now."""
        return min(int(self.progress * len(self.machines)), len(self.machines) - 1)

    def _machine(self, k: int) -> RBM:
        machine = self.machines[k]
        assert isinstance(machine, RBM)
        return machine

    def _visible(self, observations: Tensor) -> Tensor:
        """Return halved pictures, centered and scaled, [batch, pixels]."""
        scaled = (observations.float() - self.encoder.mean) * self.encoder.scale
        return F.avg_pool2d(scaled, 2).flatten(1)

    def _scaled(self, v: Tensor, k: int) -> Tensor:
        """Return pixels in units of their standard deviation; other units as they are."""
        return v / self.config.pixel_noise if k == 0 else v

    def _mean(self) -> Tensor:
        return F.avg_pool2d(self.encoder.mean[None], 2)[0]

    def _frame(self, v: Tensor) -> Tensor:
        """Return the newest frame's gray levels without the mean, [batch, height / 2, width / 2]."""
        spec = self.encoder.spec
        return v.float().view(len(v), spec.frames, spec.height // 2, spec.width // 2)[:, -1] / self.encoder.scale
