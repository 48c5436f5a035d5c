"""Contrastive in time (ATC, Stooke et al. 2021): features of one picture must tell which of many came a little later.

It needs no labels. The later picture is encoded by a moving average of the encoder, and both pictures are now and then
shifted by some pixels, so that nothing is gained by learning a picture's details by heart.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from experiment.ranges import Natural, Share
from perception.dataset import Batch, Dataset, Split
from perception.encoder import Encoder, freeze
from perception.pages import panel, tile
from perception.training import Way

CHUNK = 256  # pictures among which the right one is to be found


@dataclass
class ContrastiveConfig:
    """Settings of contrastive learning in time."""

    ahead: int = 3
    """decisions from the first picture to the second"""
    codes: int = 128
    """numbers by which pictures are compared"""
    shift: Natural = 4
    """pixels by which a picture may be shifted, up or down and left or right"""
    shift_share: Share = 0.1
    """share of pictures that are shifted"""
    momentum: Share = 0.99
    """share of the average that is kept at each gradient step"""


def shifted(observations: Tensor, most: int, share: float) -> Tensor:
    """Shift some stacks by up to `most` pixels each way, all frames of one alike; edges are repeated.

    Args:
        observations: [batch, frames, height, width].
        most: pixels.
        share: of the stacks that are shifted.
    """
    n, frames, height, width = observations.shape
    device = observations.device
    by = torch.randint(-most, most + 1, (n, 2), device=device) * (torch.rand(n, 1, device=device) < share)
    rows = (torch.arange(height, device=device) + by[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=device) + by[:, 1:]).clamp(0, width - 1)
    stack, frame = torch.arange(n, device=device), torch.arange(frames, device=device)
    return observations[
        stack[:, None, None, None], frame[None, :, None, None], rows[:, None, :, None], columns[:, None, None, :]
    ]


class Contrastive(Way):
    """Codes of now and of later, compared with each other.

    Args:
        encoder: the encoder to be trained.
        config: settings.
        data: the dataset to learn from.
    """

    objective = "contrastive"

    def __init__(self, encoder: Encoder, config: ContrastiveConfig, data: Dataset) -> None:
        super().__init__(encoder)
        self.config = config
        self.code = nn.Sequential(nn.Linear(encoder.feature_dim, config.codes), nn.LayerNorm(config.codes))
        self.forecast = nn.Sequential(
            nn.Linear(config.codes, 2 * config.codes), nn.ReLU(), nn.Linear(2 * config.codes, config.codes)
        )
        self.compare = nn.Linear(config.codes, config.codes, bias=False)
        nn.init.eye_(self.compare.weight)
        self.later = nn.ModuleDict({"encoder": copy.deepcopy(encoder), "code": copy.deepcopy(self.code)})
        freeze(self.later)

    def prepare(self, data: Dataset) -> None:
        """Begin the average with the encoder as it is, its normalisation included."""
        for name, module in (("encoder", self.encoder), ("code", self.code)):
            self.later[name].load_state_dict(module.state_dict())

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """InfoNCE: L = -mean_i log(exp(q_i W k_i) / sum_j exp(q_i W k_j)), q of now, k of later, where there is one."""
        if self.training:
            self._follow()
        logits = self._compare(batch, self.config.shift_share if self.training else 0.0)
        right = torch.from_numpy(np.flatnonzero(batch.lasts(self.config.ahead))).to(self.device)
        logits = logits[right]
        loss = F.cross_entropy(logits, right) if len(right) else logits.sum()
        return loss, {"accuracy": (logits.argmax(-1) == right).sum() / max(len(right), 1)}

    @torch.no_grad()
    def pictures(self, batch: Batch) -> NDArray[np.uint8]:
        """Draw pictures, beside each the one that came later, and the one on the page that is taken for it."""
        chosen = self._compare(batch, 0.0).argmax(-1).cpu()
        later = batch.later(self.config.ahead).observations[:, -1].numpy()
        panels, lasts = [], batch.lasts(self.config.ahead)
        for i, picture in enumerate(batch.observations[:, -1].numpy()):
            told = "right" if chosen[i] == i else "wrong"
            lines = ["now, later, and what is taken for it", told if lasts[i] else "the episode's end"]
            panels.append(panel(np.concatenate([picture, later[i], later[chosen[i]]], 1), lines))
        return tile(panels, 2)

    def judge(self, split: Split) -> dict[str, float]:
        """Measure how often the right one of 256 is found."""
        found = []
        order = np.random.default_rng(0).permutation(len(split))
        order = order[split.batch(order).lasts(self.config.ahead)]
        for start in range(0, len(order) - CHUNK + 1, CHUNK):
            logits = self._compare(split.batch(order[start : start + CHUNK]), 0.0)
            found.append((logits.argmax(-1).cpu() == torch.arange(CHUNK)).float().mean().item())
        return {f"accuracy_of_{CHUNK}": float(np.mean(found)) if found else float("nan")}

    def _compare(self, batch: Batch, share: float) -> Tensor:
        """Return how well each picture's forecast [batch] fits each later one, logits float32 [batch, batch].

        Where the episode ends sooner there is no later picture: its column is -inf.
        """
        now, later = batch.observations, batch.later(self.config.ahead).observations
        now, later = (shifted(x.to(self.device), self.config.shift, share) for x in (now, later))
        code = self.code(self.encoder(now))
        forecast = self.compare(code + self.forecast(code))
        with torch.no_grad():
            codes = self.later["code"](self.later["encoder"](later))
        with torch.autocast(self.device.type, enabled=False):
            logits: Tensor = forecast.float() @ codes.float().T
        return logits.masked_fill(torch.from_numpy(~batch.lasts(self.config.ahead)).to(self.device), -torch.inf)

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the average follow: average <- m average + (1 - m) weights."""
        for name, module in (("encoder", self.encoder), ("code", self.code)):
            averages = dict(self.later[name].named_buffers())
            for key, weight in module.named_parameters():
                averages[key].lerp_(weight, 1 - self.config.momentum)
