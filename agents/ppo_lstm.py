"""PPO with a memory: an LSTM between encoder and heads, for single frames, flickering screens and hidden things.

All else is PPO's (agents/ppo.py). What differs: the network carries a memory from step to step, and a minibatch is
the whole rollout of some of the games, so that the LSTM learns through time as it played.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.actor_critic import RecurrentActorCritic
from agents.ppo import PPO, PPOConfig
from perception import Encoder


@dataclass
class PPOLSTMConfig(PPOConfig):
    """Settings of PPO with an LSTM."""

    memory: int = 128
    """numbers that the LSTM recalls"""


class PPOLSTM(PPO):
    """Learns one game from many copies of it. Arguments as in `PPO`."""

    config: PPOLSTMConfig

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.act = self.learner.policy  # type: ignore[method-assign]  # has `begin`, for whole episodes
        self.memory: Tensor = self.learner.network.blank(self.config.num_envs)  # before the next observation
        self._before = self.memory  # before the rollout's first

    @staticmethod
    def make_network(encoder: Encoder, actions: int, config: PPOConfig) -> RecurrentActorCritic:
        """Build the network that learns; its average plays."""
        assert isinstance(config, PPOLSTMConfig)
        return RecurrentActorCritic(encoder, actions, config.memory)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""
        return {**super().state_dict(), "memory": self.memory.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned."""
        super().load_state_dict(state)
        self.memory = state["memory"].to(self.device).clone()

    def _look(self, t: int, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Recall and remember; the last observation is looked at again when the next rollout begins with it."""
        if t == 0:
            self._before = self.memory
        logits, values, memory = self.learner.network.recall(
            observations, self.actor.rollout.first[t : t + 1], self.memory
        )
        if t < self.actor.rollout.steps:
            self.memory = memory
        return logits, values

    def _look_again(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Go through the whole rollout of the games that these steps are of."""
        rollout, n = self.actor.rollout, self.config.num_envs
        games, column = torch.unique(index % n, return_inverse=True)
        everything = torch.arange(rollout.steps)[:, None] * n + games
        logits, values, _ = self.learner.network.recall(
            rollout.observations(everything.flatten()), rollout.first[:-1, games], self._before[:, games]
        )
        row = index.div(n, rounding_mode="floor") * len(games) + column
        return logits[row], values[row]

    def _minibatches(self) -> Sequence[Tensor]:
        """The rollout's transitions, all of a game in one minibatch."""
        rollout, n = self.actor.rollout, self.config.num_envs
        order = torch.randperm(n, generator=self.actor.generator)
        step = torch.arange(rollout.steps)[:, None] * n
        found = []
        for games in order.tensor_split(max(1, round(n * rollout.steps / self.config.minibatch))):
            found.append((step + games)[rollout.valid[:, games]])
        return [index for index in found if len(index)]
