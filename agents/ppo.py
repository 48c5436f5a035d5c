"""Proximal policy optimisation (Schulman et al. 2017) on many games at once.

Deviations from the paper's Atari settings, explained in docs/ppo.md: one epoch instead of three (fresh
frames are cheap here), Muon beside Adam, values learned by classification, a horizon that grows, advantages
on a running scale, and a running average of the weights for evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.actor import Actor, ActorConfig
from agents.actor_critic import ActorCritic, chosen
from agents.learner import Learner, LearnerConfig, mean_logs
from agents.returns import RunningScale, gae, growing
from agents.state import nest, part
from perception import Encoder


@dataclass
class PPOConfig(LearnerConfig, ActorConfig):
    """Settings of PPO."""

    epochs: int = 1
    """passes over each rollout"""
    minibatch: int = 256
    """samples a gradient step, about"""
    gamma: float = 0.95
    """discount per decision at the start"""
    final_gamma: float = 0.98
    """discount per decision after the run's first quarter; the horizon 1 / (1 - gamma) grows until then"""
    gae_lambda: float = 0.9
    """lambda of generalised advantage estimation at the start"""
    final_gae_lambda: float = 0.95
    """lambda after the run's first quarter"""
    clip: float = 0.2
    """how far the new policy may go from the old: ratio within 1 - clip and 1 + clip"""
    entropy_coef: float = 0.003
    """weight of the entropy bonus"""
    value_coef: float = 1.0
    """weight of the value loss"""


def policy_loss(log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Clipped surrogate: L = -mean min(ratio A, clip(ratio, 1 - eps, 1 + eps) A), ratio = pi / pi_old."""
    ratio = (log_prob - old_log_prob).exp()
    return -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


class PPO:
    """Learns one game from many copies of it.

    Args:
        envs: the games; see `Rollout`.
        encoder: pixels to features.
        config: settings.
        total_steps: length of the whole run in steps; the step sizes fall over it.
        seed: of the games and of all that is drawn here.
        device: where to compute.
        precision: "fp32" or "bf16".

    Raises:
        ValueError: if a rollout may hold nothing but resets.
    """

    def __init__(
        self,
        envs: Any,
        encoder: Encoder,
        config: PPOConfig,
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
    def make_network(encoder: Encoder, actions: int, config: PPOConfig) -> ActorCritic:
        """Build the network that learns; its average plays."""
        return ActorCritic(encoder, actions)

    @property
    def steps(self) -> int:
        """Decisions taken so far, over all games."""
        return self.actor.steps

    def act(self, observations: Tensor) -> Tensor:
        """Choose the likeliest actions, int64 [batch], for uint8 [batch, frames, height, width]."""
        return self.learner.act(observations)

    def iterate(self) -> dict[str, float]:
        """Play one rollout, learn from it; returns what is worth logging."""
        values, log_probs = self._collect()
        return self._update(values, log_probs) | {"train/score": self.actor.episodes.mean}

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
    def _collect(self) -> tuple[Tensor, Tensor]:
        """Play; returns values [steps + 1, games] and the chosen actions' log probabilities [steps, games]."""
        network, rollout = self.learner.network, self.actor.rollout
        values = torch.zeros(rollout.steps + 1, self.config.num_envs)
        log_probs = torch.zeros(rollout.steps, self.config.num_envs)

        def choose(t: int, observations: Tensor) -> Tensor:
            logits, value_logits = self._look(t, observations)
            values[t] = network.value.mean(value_logits)
            actions, log_probs[t] = self.actor.draw(logits)
            return actions

        with self.learner.autocast():
            self.actor.play(choose)
            values[-1] = network.value.mean(self._look(rollout.steps, rollout.at(rollout.steps))[1])
        return values, log_probs

    def _look(self, t: int, observations: Tensor) -> tuple[Tensor, Tensor]:
        """What the network makes of the games' observations at step t while they are played; see `ActorCritic`."""
        logits: tuple[Tensor, Tensor] = self.learner.network(observations)
        return logits

    def _look_again(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """What it makes of these steps of the rollout, flat indices t * games + game, to learn from them."""
        logits: tuple[Tensor, Tensor] = self.learner.network(self.actor.rollout.observations(index))
        return logits

    def _minibatches(self) -> Sequence[Tensor]:
        """The rollout's transitions, shuffled and split."""
        return self.actor.minibatches(self.config.minibatch)

    def _update(self, values: Tensor, old_log_probs: Tensor) -> dict[str, float]:
        config, rollout, progress = self.config, self.actor.rollout, self.steps / self.total_steps
        rate = self.learner.decay(progress)
        gamma = growing(config.gamma, config.final_gamma, 4 * progress)
        lam = growing(config.gae_lambda, config.final_gae_lambda, 4 * progress)
        advantages, returns = gae(rollout.rewards, values, rollout.terminated, rollout.truncated, gamma, lam)
        advantages = advantages / self.advantage_scale(advantages[rollout.valid])
        for network in (self.learner.network, self.learner.average):
            network.value.rescale(returns[rollout.valid].to(self.device))
        flat = [x.flatten().to(self.device) for x in (old_log_probs, advantages, returns, rollout.actions)]
        logs: list[dict[str, Tensor]] = []
        for _ in range(config.epochs):
            for index in self._minibatches():
                logs.append(self._gradient_step(index, *(x[index.to(self.device)] for x in flat)))
        errors, wanted = (x[rollout.valid].var(correction=0) for x in (returns - values[:-1], returns))
        return mean_logs(logs) | {"train/explained_variance": 1 - float(errors / wanted), "train/learning_rate": rate}

    def _gradient_step(
        self, index: Tensor, old_log_prob: Tensor, advantages: Tensor, returns: Tensor, actions: Tensor
    ) -> dict[str, Tensor]:
        config, network = self.config, self.learner.network
        with self.learner.autocast():
            logits, value_logits = self._look_again(index)
        log_prob, entropy = chosen(logits, actions)
        policy = policy_loss(log_prob, old_log_prob, advantages, config.clip)
        value = network.value.loss(value_logits, returns)
        self.learner.step(policy + config.value_coef * value - config.entropy_coef * entropy)
        with torch.no_grad():
            clipped = ((log_prob - old_log_prob).exp().sub(1).abs() > config.clip).float().mean()
            kl = (old_log_prob - log_prob).mean()
        return {"policy_loss": policy, "value_loss": value, "entropy": entropy, "clipped": clipped, "kl": kl}
