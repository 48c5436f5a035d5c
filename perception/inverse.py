"""Inverse dynamics (Pathak et al. 2017): an action, predicted from the features before and after it.

It needs no labels but the player's own actions. The features need not hold anything that actions have no effect on;
whether that is good depends on the game.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from perception.dataset import Batch, Dataset, Split
from perception.encoder import Encoder
from perception.pages import panel, tile
from perception.training import Way

CHUNK = 512
RARE = 0.01  # share of an action; one that is rarer weighs as if it were this


@dataclass
class InverseConfig:
    """Settings of inverse dynamics."""

    ahead: int = 1
    """decisions from the first picture to the second; the first of them is predicted"""
    hidden: int = 256
    """width of the layer that compares them"""


class Inverse(Way):
    """Predicts the action from two observations' features, by a head of its own.

    Args:
        encoder: the encoder to be trained.
        config: settings.
        data: the dataset to learn from.
    """

    objective = "inverse"

    def __init__(self, encoder: Encoder, config: InverseConfig, data: Dataset) -> None:
        super().__init__(encoder)
        self.config, self.names = config, data.game.actions
        actions = len(data.game.actions)
        self.head = nn.Sequential(
            nn.Linear(2 * encoder.feature_dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, actions)
        )
        self.weights: Tensor
        self.register_buffer("weights", torch.ones(actions))

    def prepare(self, data: Dataset) -> None:
        """Weigh actions by how rare they are, so that nothing is gained by always predicting the same one."""
        batch = data.splits["train"].sample(1 << 16, np.random.default_rng(0))
        done = batch.actions[batch.actions >= 0]
        shares = torch.bincount(done, minlength=len(self.weights)) / len(done)
        self.weights.copy_(1 / shares.clamp(min=RARE))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy L = -sum_i w_{a_i} log p(a_i | s_i, s_{i+k}) / sum_i w_{a_i}.

        The sums are over the rows that have an action and a second picture.
        """
        known = self._known(batch)
        actions = batch.actions.to(self.device)[known]
        logits = self._tell(batch)[known]
        loss = F.cross_entropy(logits, actions, self.weights) if len(actions) else logits.sum()
        right = (logits.argmax(-1) == actions).float()
        weights = self.weights[actions]
        return loss, {"accuracy": (right * weights).sum() / weights.sum().clamp(min=1e-8)}

    @torch.no_grad()
    def pictures(self, batch: Batch) -> NDArray[np.uint8]:
        """Draw both pictures side by side, with the action and the predicted probabilities."""
        chances = self._tell(batch).softmax(-1).cpu()
        panels = []
        later = batch.later(self.config.ahead).observations
        for i, action in enumerate(batch.actions.tolist()):
            both = np.concatenate([batch.observations[i, -1].numpy(), later[i, -1].numpy()], 1)
            told = ", ".join(
                f"{name} {chance:.2f}" for name, chance in zip(self.names, chances[i].tolist(), strict=True)
            )
            panels.append(panel(both, [told, f"it was {self.names[action]}" if action >= 0 else "the episode's end"]))
        return tile(panels, 2)

    def judge(self, split: Split) -> dict[str, float]:
        """Measure the share of each action that is told right, and the mean of these."""
        right, count = np.zeros(len(self.names)), np.zeros(len(self.names))
        for index in np.array_split(np.arange(len(split)), -(-len(split) // CHUNK)):
            batch = split.batch(index)
            known = self._known(batch)
            actions, told = batch.actions[known.cpu()].numpy(), self._tell(batch)[known].argmax(-1).cpu().numpy()
            np.add.at(count, actions, 1)
            np.add.at(right, actions, told == actions)
        with np.errstate(invalid="ignore"):
            shares = right / count
        result = {f"accuracy/{name}": float(share) for name, share in zip(self.names, shares, strict=True)}
        return result | {"accuracy": float(np.nanmean(shares))}

    def _known(self, batch: Batch) -> Tensor:
        """Which rows have an action and a picture so many decisions later, bool [batch]."""
        known = batch.lasts(self.config.ahead) & (batch.rows["action"] >= 0)
        return torch.from_numpy(known).to(self.device)

    def _tell(self, batch: Batch) -> Tensor:
        """Return logits of the actions, float32 [batch, actions]."""
        both = torch.cat([batch.observations, batch.later(self.config.ahead).observations]).to(self.device)
        before, after = self.encoder(both).chunk(2)
        logits: Tensor = self.head(torch.cat([before, after], -1)).float()
        return logits
