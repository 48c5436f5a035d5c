"""Advantage actor-critic (Mnih et al. 2016), synchronous, on many games at once.

Short rollouts, one gradient step from all of each, and nothing else. Deviations from the paper, explained in
docs/a2c.md: generalised advantage estimation, and what PPO has here, too: Muon beside Adam, values learned by
classification, advantages on a running scale, leaning, and a running average of the weights for evaluation.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.actor import Actor, ActorConfig
from agents.actor_critic import ActorCritic, chosen
from agents.learner import Learner, LearnerConfig
from agents.returns import RunningScale, gae, growing
from agents.state import nest, part
from perception import Encoder


@dataclass
class A2CConfig(LearnerConfig, ActorConfig):
    """Settings of A2C."""

    learning_rate: float = 1e-3
    """Adam's step size at the start, for the heads, biases and normalisations; nothing holds a large step back here"""
    muon_rate: float = 2e-3
    """Muon's step size at the start, for the encoder's weights; 0 leaves them to Adam"""
    num_envs: int = 32
    """games played at once"""
    rollout_steps: int = 16
    """steps of each game between two updates"""
    gamma: float = 0.95
    """discount per decision at the start"""
    final_gamma: float = 0.98
    """discount per decision after the run's first quarter; the horizon 1 / (1 - gamma) grows until then"""
    gae_lambda: float = 0.9
    """lambda of generalised advantage estimation; 1 for the paper's n-step returns"""
    entropy_coef: float = 0.003
    """weight of the entropy bonus"""
    value_coef: float = 1.0
    """weight of the value loss"""


def policy_loss(log_prob: Tensor, advantages: Tensor) -> Tensor:
    """Policy gradient: L = -mean log pi(a|s) A."""
    return -(log_prob * advantages).mean()


class A2C:
    """Learns one game from many copies of it. Arguments as in `PPO`."""

    def __init__(
        self,
        envs: Any,
        encoder: Encoder,
        config: A2CConfig,
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
        self.advantage_scale = RunningScale()

    @staticmethod
    def make_network(encoder: Encoder, actions: int, config: A2CConfig) -> ActorCritic:
        """Build the network that learns; its average plays."""
        return ActorCritic(encoder, actions)

    @property
    def steps(self) -> int:
        """Decisions taken so far, over all games."""
        return self.actor.steps

    def act(self, observations: Tensor) -> Tensor:
        """Choose the likeliest actions, int64 [batch], for observations [batch, frames, height, width]."""
        return self.learner.act(observations)

    def iterate(self) -> dict[str, float]:
        """Play one rollout, learn from it; returns what is worth logging."""
        leaning = self._collect()
        return self._update(leaning) | {"train/score": self.actor.episodes.mean}

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""
        return {
            **self.learner.state_dict(),
            **nest("actor", self.actor.state_dict()),
            "advantage_square": self.advantage_scale.square.clone(),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned."""
        self.learner.load_state_dict(state)
        self.actor.load_state_dict(part("actor", state))
        self.advantage_scale.square = state["advantage_square"].clone()

    @torch.no_grad()
    def _collect(self) -> Tensor:
        """Play; returns what was added to the logits, float [steps, games, actions]."""
        leaning: list[Tensor] = []

        def choose(t: int, observations: Tensor) -> Tensor:
            leaning.append(self.actor.lean)
            return self.actor.draw(self.learner.network(observations)[0])[0]

        with self.learner.autocast():
            self.actor.play(choose)
        return torch.stack(leaning)

    def _estimate(self, values: Tensor, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
        """Returns (advantages, returns, which steps are learned from), [steps, games] each."""
        rollout = self.actor.rollout
        lam = self.config.gae_lambda
        advantages, returns = gae(rollout.rewards, values, rollout.terminated, rollout.truncated, gamma, lam)
        return advantages, returns, rollout.valid

    def _update(self, leaning: Tensor) -> dict[str, float]:
        """Take one gradient step, in which the policy is still the one that played."""
        config, network, rollout = self.config, self.learner.network, self.actor.rollout
        progress = self.steps / self.total_steps
        rate = self.learner.decay(progress)
        everything = torch.arange((rollout.steps + 1) * config.num_envs)  # the last observations, too, have a value
        with self.learner.autocast():
            logits, value_logits = network(rollout.observations(everything))
        with torch.no_grad():
            values = network.value.mean(value_logits).cpu().view(rollout.steps + 1, config.num_envs)
        gamma = growing(config.gamma, config.final_gamma, 4 * progress)
        advantages, returns, known = self._estimate(values, gamma)
        advantages = advantages / self.advantage_scale(advantages[known])
        for each in (network, self.learner.average):
            each.value.rescale(returns[known].to(self.device))
        index = known.flatten().nonzero().squeeze(-1).to(self.device)
        advantage, wanted, lean, actions = (
            x.flatten(0, 1).to(self.device)[index] for x in (advantages, returns, leaning, rollout.actions)
        )
        log_prob, entropy = chosen(logits[index] + lean, actions)
        policy, value = policy_loss(log_prob, advantage), network.value.loss(value_logits[index], wanted)
        self.learner.step(policy + config.value_coef * value - config.entropy_coef * entropy)
        metrics = {"policy_loss": policy, "value_loss": value, "entropy": entropy}
        return {f"train/{key}": item.item() for key, item in metrics.items()} | {"train/learning_rate": rate}
