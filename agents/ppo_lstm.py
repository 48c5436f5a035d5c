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
from agents.on_policy import Played
from agents.ppo import PPO, PPOConfig
from agents.rollout import Rollout
from perception import Encoder


@dataclass
class PPOLSTMConfig(PPOConfig):
    """Settings of PPO with an LSTM."""

    rollout_steps: int = 64
    """steps of each game between two updates: as far as the LSTM learns back through time"""
    memory: int = 128
    """numbers that the LSTM recalls"""


class PPOLSTM(PPO):
    """Learns one game from many copies of it. Arguments as in `OnPolicy`."""

    config: PPOLSTMConfig

    def __init__(self, envs: Any, encoder: Encoder, config: PPOLSTMConfig, *args: Any) -> None:
        self.memory = torch.zeros(2, config.num_envs, config.memory)  # before the next observation
        super().__init__(envs, encoder, config, *args)

    @staticmethod
    def make_network(encoder: Encoder, actions: int, config: PPOConfig) -> RecurrentActorCritic:
        """Build the network that learns; its average is evaluated."""
        assert isinstance(config, PPOLSTMConfig)
        return RecurrentActorCritic(encoder, actions, config.memory)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""
        return {**super().state_dict(), "memory": self.memory.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned."""
        super().load_state_dict(state)
        self.memory = state["memory"].clone()

    def play(self) -> Played:
        """Play, and note the memory before the first observation, too, [2, games, size]."""
        self._recalled = self.memory.to(self.device)
        rollout, notes = super().play()
        before, self.memory = self.memory, self._recalled.cpu()
        return Played(rollout, {**notes, "memory": before})

    def _see(self, rollout: Rollout, t: int, kept: list[Tensor] | None) -> Tensor:
        """Recall and remember; the last observation is looked at again when the next rollout begins with it."""
        first = rollout.first[t : t + 1]
        seen: Tensor
        seen, recalled = self.playing.remember(rollout.at(t), first, self._recalled)
        if t < rollout.steps:
            self._recalled = recalled
        return seen

    def _answer_again(self, rollout: Rollout, notes: dict[str, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
        """Go through the whole rollout of the games that these steps are of, from the same memory on."""
        n = self.config.num_envs
        games, column = torch.unique(index % n, return_inverse=True)
        everything = torch.arange(rollout.steps)[:, None] * n + games
        logits, values, _ = self.learner.network.recall(
            rollout.stacks(everything.flatten()), rollout.first[:-1, games], notes["memory"][:, games]
        )
        row = index.div(n, rounding_mode="floor") * len(games) + column
        return logits[row], values[row]

    def _minibatches(self, rollout: Rollout) -> Sequence[Tensor]:
        """The rollout's transitions, all of a game in one minibatch."""
        n = self.config.num_envs
        order = torch.randperm(n, generator=self.actor.generator)
        step = torch.arange(rollout.steps)[:, None] * n
        found = []
        for games in order.tensor_split(max(1, round(n * rollout.steps / self.config.minibatch))):
            found.append((step + games)[rollout.valid[:, games]])
        return [index for index in found if len(index)]
