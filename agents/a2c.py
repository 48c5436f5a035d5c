"""Advantage actor-critic (Mnih et al. 2016), synchronous, on many games at once.

Short rollouts, one gradient step from all of each, and nothing else. Deviations from the paper, explained in
docs/a2c.md: generalised advantage estimation, and what PPO has here, too: Muon beside Adam, values learned by
classification, advantages on a running scale, leaning, and a running average of the weights for evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from agents.actor import ActorConfig
from agents.actor_critic import ActorCritic, chosen
from agents.learner import LearnerConfig
from agents.on_policy import GradientStep, OnPolicy, Played
from agents.returns import RunningScale, gae, growing
from agents.rollout import Rollout
from experiment.ranges import NonNegative, Share
from perception import Encoder


@dataclass
class A2CConfig(LearnerConfig, ActorConfig):
    """Settings of A2C."""

    learning_rate: float = 1e-3
    """Adam's step size at the start, for the heads, biases and normalisations; nothing holds a large step back here"""
    muon_rate: NonNegative = 2e-3
    """Muon's step size at the start, for the encoder's weights; 0 leaves them to Adam"""
    num_envs: int = 32
    """games played at once"""
    rollout_steps: int = 16
    """steps of each game between two updates"""
    gamma: Share = 0.95
    """discount per decision at the start"""
    final_gamma: Share = 0.98
    """discount per decision after the run's first quarter; the horizon 1 / (1 - gamma) grows until then or stays"""
    gae_lambda: Share = 0.9
    """lambda of generalised advantage estimation; 1 for the paper's n-step returns"""
    entropy_coef: NonNegative = 0.003
    """weight of the entropy bonus"""
    value_coef: NonNegative = 1.0
    """weight of the value loss"""


def policy_loss(log_prob: Tensor, advantages: Tensor) -> Tensor:
    """Policy gradient: L = -mean log pi(a|s) A."""
    return -(log_prob * advantages).mean()


class A2C(OnPolicy):
    """Learns one game from many copies of it. Arguments as in `OnPolicy`."""

    config: A2CConfig

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.advantage_scale = RunningScale()

    @staticmethod
    def make_network(encoder: Encoder, actions: int, config: A2CConfig) -> ActorCritic:
        """Build the network that learns; its average is evaluated."""
        return ActorCritic(encoder, actions)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""
        return {**super().state_dict(), "advantage_square": self.advantage_scale.square.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned."""
        super().load_state_dict(state)
        self.advantage_scale.square = state["advantage_square"].clone()

    @torch.no_grad()
    def play(self) -> Played:
        """Play; notes what was added to the logits, [steps, games, actions]."""
        leaning: list[Tensor] = []

        def choose(rollout: Rollout, t: int) -> Tensor:
            leaning.append(self.actor.lean)
            return self.actor.draw(self.playing.rank(self.playing.encoder(rollout.at(t))))[0]

        rollout = self.actor.play(choose)
        return Played(rollout, {"leaning": torch.stack(leaning)})

    def learn(self, rollout: Rollout, notes: dict[str, Tensor]) -> tuple[Sequence[GradientStep], dict[str, float]]:
        """Learn from all of it at once."""
        progress = self.actor.steps / self.total_steps
        rate = self.learner.decay(progress)
        gamma = growing(self.config.gamma, self.config.final_gamma, 4 * progress)
        return [partial(self._gradient_step, rollout, notes["leaning"], gamma)], {"train/learning_rate": rate}

    def _estimate(self, rollout: Rollout, values: Tensor, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
        """Returns (advantages, returns, which steps are learned from), [steps, games] each."""
        lam = self.config.gae_lambda
        advantages, returns = gae(rollout.rewards, values, rollout.terminated, rollout.truncated, gamma, lam)
        return advantages, returns, rollout.valid

    def _gradient_step(self, rollout: Rollout, leaning: Tensor, gamma: float) -> dict[str, Tensor]:
        config, network = self.config, self.learner.network
        everything = torch.arange((rollout.steps + 1) * config.num_envs)  # the last observations, too, have a value
        with self.learner.autocast():
            logits, value_logits = network(rollout.stacks(everything))
        with torch.no_grad():
            values = network.value.mean(value_logits).cpu().view(rollout.steps + 1, config.num_envs)
        advantages, returns, known = self._estimate(rollout, values, gamma)
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
        return {"policy_loss": policy, "value_loss": value, "entropy": entropy}
