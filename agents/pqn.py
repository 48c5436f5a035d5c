"""Parallelised Q-learning (PQN, Gallici et al. 2024): no replay and no target network, on many games at once.

Q(lambda) returns over short rollouts take the place of both, and the encoder's LayerNorm keeps learning from
running away. Deviations from the paper, explained in docs/pqn.md: one epoch, a dueling head, Muon beside Adam,
a horizon that grows, random actions that lean, and a running average of the weights for evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.actor import ActorConfig
from agents.dqn import QNetwork
from agents.learner import LearnerConfig
from agents.on_policy import GradientStep, OnPolicy, Played
from agents.returns import gae, growing
from agents.rollout import Rollout
from experiment.ranges import Natural, NonNegative, Share
from perception import Encoder


@dataclass
class PQNConfig(LearnerConfig, ActorConfig):
    """Settings of PQN."""

    epochs: int = 1
    """passes over each rollout"""
    minibatch: int = 256
    """samples a gradient step, about"""
    gamma: Share = 0.95
    """discount per decision at the start"""
    final_gamma: Share = 0.98
    """discount per decision after the run's first quarter; the horizon 1 / (1 - gamma) grows until then or stays"""
    q_lambda: Share = 0.65
    """lambda of the returns: 0 for one step, 1 for the whole rollout"""
    dueling: bool = True
    """separate heads for the state's value and the actions' advantages"""
    epsilon: Share = 0.001
    """share of random actions after exploration"""
    exploration: NonNegative = 2.0
    """random actions lean towards some that each game prefers: standard deviation of their logits"""
    exploration_steps: Natural = 100_000
    """steps over which the share of random actions falls from 1 to epsilon"""


def q_loss(q: Tensor, actions: Tensor, returns: Tensor) -> Tensor:
    """Squared error: L = 1/2 mean (Q(s, a) - R)^2."""
    return 0.5 * F.mse_loss(q.gather(-1, actions[:, None]).squeeze(-1), returns)


class PQN(OnPolicy):
    """Learns one game from many copies of it. Arguments as in `OnPolicy`."""

    config: PQNConfig

    @staticmethod
    def make_network(encoder: Encoder, actions: int, config: PQNConfig) -> QNetwork:
        """Build the network that learns; its average is evaluated."""
        return QNetwork(encoder, actions, config.dueling)

    @property
    def passes(self) -> int:
        """Passes over each rollout."""
        return self.config.epochs

    @property
    def epsilon(self) -> float:
        """Share of random actions now."""
        return max(self.config.epsilon, self.actor.exploring)

    @torch.no_grad()
    def play(self) -> Played:
        """Play epsilon-greedily; notes max_a Q(s, a), float [steps + 1, games]."""
        games, generator, values = self.config.num_envs, self.actor.generator, list[Tensor]()

        def choose(rollout: Rollout, t: int) -> Tensor:
            best, greedy = self.playing(rollout.at(t))[0].cpu().max(-1)
            values.append(best)
            chance = torch.rand(games, generator=generator) < self.epsilon
            return torch.where(chance, self.actor.leaning.actions(), greedy)

        rollout = self.actor.play(choose)
        values.append(self.playing(rollout.at(rollout.steps))[0].amax(-1).cpu())
        return Played(rollout, {"values": torch.stack(values)})

    def learn(self, rollout: Rollout, notes: dict[str, Tensor]) -> tuple[Sequence[GradientStep], dict[str, float]]:
        """Learn Q(lambda) returns, which are GAE's with V = max_a Q.

        R_t = r_t + gamma (1 - terminated_t) [(1 - lambda) max_a Q(s_{t+1}, a) + lambda R_{t+1}]
        """
        config, progress, values = self.config, self.actor.steps / self.total_steps, notes["values"]
        rate = self.learner.decay(progress)
        gamma = growing(config.gamma, config.final_gamma, 4 * progress)
        _, returns = gae(rollout.rewards, values, rollout.terminated, rollout.truncated, gamma, config.q_lambda)
        actions, wanted = rollout.actions.flatten(), returns.flatten().to(self.device)
        steps = [
            partial(self._gradient_step, rollout, index, actions[index.to(self.device)], wanted[index.to(self.device)])
            for _ in range(self.passes)
            for index in self.actor.minibatches(rollout, config.minibatch)
        ]
        return steps, {"train/learning_rate": rate, "train/epsilon": self.epsilon}

    def _gradient_step(self, rollout: Rollout, index: Tensor, actions: Tensor, returns: Tensor) -> dict[str, Tensor]:
        with self.learner.autocast():
            q, _ = self.learner.network(rollout.stacks(index))
        loss = q_loss(q, actions, returns)
        self.learner.step(loss)
        return {"loss": loss, "q": q.mean()}
