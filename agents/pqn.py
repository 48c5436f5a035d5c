"""Parallelised Q-learning (PQN, Gallici et al. 2024): no replay and no target network, on many games at once.

Q(lambda) returns over short rollouts take the place of both, and the encoder's LayerNorm keeps learning from
running away. Deviations from the paper, explained in docs/pqn.md: one epoch, a dueling head, Muon beside Adam,
a horizon that grows, random actions that lean, and a running average of the weights for evaluation.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.actor import Actor, ActorConfig
from agents.dqn import QNetwork
from agents.learner import Learner, LearnerConfig, mean_logs
from agents.returns import gae, growing
from agents.state import nest, part
from perception import Encoder


@dataclass
class PQNConfig(LearnerConfig, ActorConfig):
    """Settings of PQN."""

    epochs: int = 1
    """passes over each rollout"""
    minibatch: int = 256
    """samples a gradient step, about"""
    gamma: float = 0.95
    """discount per decision at the start"""
    final_gamma: float = 0.98
    """discount per decision after the run's first quarter; the horizon 1 / (1 - gamma) grows until then"""
    q_lambda: float = 0.65
    """lambda of the returns: 0 for one step, 1 for the whole rollout"""
    dueling: bool = True
    """separate heads for the state's value and the actions' advantages"""
    epsilon: float = 0.001
    """share of random actions after exploration"""


def q_loss(q: Tensor, actions: Tensor, returns: Tensor) -> Tensor:
    """Squared error: L = 1/2 mean (Q(s, a) - R)^2."""
    return 0.5 * F.mse_loss(q.gather(-1, actions[:, None]).squeeze(-1), returns)


class PQN:
    """Learns one game from many copies of it. Arguments as in `PPO`."""

    def __init__(
        self,
        envs: Any,
        encoder: Encoder,
        config: PQNConfig,
        total_steps: int,
        seed: int,
        device: torch.device,
        precision: str,
    ) -> None:
        self.config, self.total_steps, self.device = config, total_steps, device
        self.actor = Actor(envs, encoder.spec.frames, config, seed, device)
        network = self.make_network(encoder, int(envs.single_action_space.n), config)
        self.learner = Learner(network, config, device, precision)
        self.learner.fit_normalization(self.actor.explore())

    @staticmethod
    def make_network(encoder: Encoder, actions: int, config: PQNConfig) -> QNetwork:
        """Build the network that learns; its average plays."""
        return QNetwork(encoder, actions, config.dueling)

    @property
    def steps(self) -> int:
        """Decisions taken so far, over all games."""
        return self.actor.steps

    @property
    def epsilon(self) -> float:
        """Share of random actions now."""
        return max(self.config.epsilon, self.actor.exploring)

    def act(self, observations: Tensor) -> Tensor:
        """Choose the best actions, int64 [batch], for observations [batch, frames, height, width]."""
        return self.learner.act(observations)

    def iterate(self) -> dict[str, float]:
        """Play one rollout, learn from it; returns what is worth logging."""
        epsilon, values = self.epsilon, self._collect()
        return self._update(values) | {"train/score": self.actor.episodes.mean, "train/epsilon": epsilon}

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""
        return {**self.learner.state_dict(), **nest("actor", self.actor.state_dict())}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned."""
        self.learner.load_state_dict(state)
        self.actor.load_state_dict(part("actor", state))

    @torch.no_grad()
    def _collect(self) -> Tensor:
        """Play epsilon-greedily; returns max_a Q(s, a), float [steps + 1, games]."""
        network, actor, games = self.learner.network, self.actor, self.config.num_envs
        values = torch.zeros(actor.rollout.steps + 1, games)

        def choose(t: int, observations: Tensor) -> Tensor:
            values[t], greedy = network(observations)[0].cpu().max(-1)
            chance = torch.rand(games, generator=actor.generator) < self.epsilon
            return torch.where(chance, actor.leaning.actions(), greedy)

        with self.learner.autocast():
            actor.play(choose)
            values[-1] = network(actor.rollout.at(actor.rollout.steps))[0].amax(-1)
        return values

    def _update(self, values: Tensor) -> dict[str, float]:
        """Learn Q(lambda) returns, which are GAE's with V = max_a Q.

        R_t = r_t + gamma (1 - terminated_t) [(1 - lambda) max_a Q(s_{t+1}, a) + lambda R_{t+1}]
        """
        config, rollout, progress = self.config, self.actor.rollout, self.steps / self.total_steps
        rate = self.learner.decay(progress)
        gamma = growing(config.gamma, config.final_gamma, 4 * progress)
        _, returns = gae(rollout.rewards, values, rollout.terminated, rollout.truncated, gamma, config.q_lambda)
        actions, wanted = rollout.actions.flatten(), returns.flatten().to(self.device)
        logs: list[dict[str, Tensor]] = []
        for _ in range(config.epochs):
            for index in self.actor.minibatches(config.minibatch):
                at = index.to(self.device)
                logs.append(self._gradient_step(index, actions[at], wanted[at]))
        return mean_logs(logs) | {"train/learning_rate": rate}

    def _gradient_step(self, index: Tensor, actions: Tensor, returns: Tensor) -> dict[str, Tensor]:
        with self.learner.autocast():
            q, _ = self.learner.network(self.actor.rollout.observations(index))
        loss = q_loss(q, actions, returns)
        self.learner.step(loss)
        return {"loss": loss, "q": q.mean()}
