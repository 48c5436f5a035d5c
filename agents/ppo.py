"""Proximal policy optimisation (Schulman et al. 2017) on many games at once.

Deviations from the paper's Atari settings, explained in docs/ppo.md: one epoch instead of three (fresh
frames are cheap here), Muon beside Adam, values learned by classification, a horizon that grows, advantages
on a running scale, the next rollout played while it learns, and a running average of the weights for evaluation.
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
from experiment.ranges import Endless, NonNegative, Share
from perception import Encoder


@dataclass
class PPOConfig(LearnerConfig, ActorConfig):
    """Settings of PPO."""

    epochs: int = 1
    """passes over each rollout"""
    minibatch: int = 256
    """samples a gradient step, about"""
    gamma: Share = 0.95
    """discount per decision at the start"""
    final_gamma: Share = 0.98
    """discount per decision after the run's first quarter; the horizon 1 / (1 - gamma) grows until then or stays"""
    gae_lambda: Share = 0.9
    """lambda of generalised advantage estimation at the start"""
    final_gae_lambda: Share = 0.95
    """lambda after the run's first quarter; no less than at the start"""
    clip: Endless = 0.2
    """how far the new policy may go from the old: ratio within 1 - clip and 1 + clip"""
    entropy_coef: NonNegative = 0.003
    """weight of the entropy bonus"""
    value_coef: NonNegative = 1.0
    """weight of the value loss"""


def policy_loss(log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Clipped surrogate: L = -mean min(ratio A, clip(ratio, 1 - eps, 1 + eps) A), ratio = pi / pi_old."""
    ratio = (log_prob - old_log_prob).exp()
    return -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


class PPO(OnPolicy):
    """Learns one game from many copies of it. Arguments as in `OnPolicy`."""

    config: PPOConfig

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.advantage_scale = RunningScale()

    @staticmethod
    def make_network(encoder: Encoder, actions: int, config: PPOConfig) -> ActorCritic:
        """Build the network that learns; its average is evaluated."""
        return ActorCritic(encoder, actions)

    @property
    def passes(self) -> int:
        """Passes over each rollout."""
        return self.config.epochs

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""
        return {**super().state_dict(), "advantage_square": self.advantage_scale.square.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned."""
        super().load_state_dict(state)
        self.advantage_scale.square = state["advantage_square"].clone()

    @torch.no_grad()
    def play(self) -> Played:
        """Play; notes the values, [steps + 1, games], and the chosen actions' log probabilities, [steps, games].

        Features of a frozen encoder, too, [(steps + 1) * games, feature_dim]: they are the same in each epoch.
        """
        seen: list[Tensor] = []
        log_probs: list[Tensor] = []
        features: list[Tensor] | None = [] if self.playing.encoder.frozen else None

        def choose(rollout: Rollout, t: int) -> Tensor:
            seen.append(self._see(rollout, t, features))
            actions, log_prob = self.actor.draw(self.playing.rank(seen[-1]))
            log_probs.append(log_prob)
            return actions

        rollout = self.actor.play(choose)
        seen.append(self._see(rollout, rollout.steps, features))
        values = self.playing.value
        notes = {"values": values.mean(values(torch.stack(seen))).cpu(), "log_probs": torch.stack(log_probs)}
        return Played(rollout, {**notes, "features": torch.cat(features)} if features else notes)

    def learn(self, rollout: Rollout, notes: dict[str, Tensor]) -> tuple[Sequence[GradientStep], dict[str, float]]:
        """Estimate advantages and returns, shuffle them into minibatches: a gradient step of each."""
        config, progress, values = self.config, self.actor.steps / self.total_steps, notes["values"]
        rate = self.learner.decay(progress)
        gamma = growing(config.gamma, config.final_gamma, 4 * progress)
        lam = growing(config.gae_lambda, config.final_gae_lambda, 4 * progress)
        advantages, returns = gae(rollout.rewards, values, rollout.terminated, rollout.truncated, gamma, lam)
        advantages = advantages / self.advantage_scale(advantages[rollout.valid])
        for network in (self.learner.network, self.learner.average):
            network.value.rescale(returns[rollout.valid].to(self.device))
        notes = {name: x.to(self.device) for name, x in notes.items()}
        flat = [x.flatten().to(self.device) for x in (notes["log_probs"], advantages, returns, rollout.actions)]
        steps = [
            partial(self._gradient_step, rollout, notes, index, *(x[index.to(self.device)] for x in flat))
            for _ in range(self.passes)
            for index in self._minibatches(rollout)
        ]
        errors, wanted = (x[rollout.valid].var(correction=0) for x in (returns - values[:-1], returns))
        return steps, {"train/explained_variance": 1 - float(errors / wanted), "train/learning_rate": rate}

    def _see(self, rollout: Rollout, t: int, kept: list[Tensor] | None) -> Tensor:
        """What the heads see, [games, width], of all games at step t while they are played.

        Features are added to those kept, if they are worth keeping.
        """
        encoder = self.playing.encoder
        features = encoder.features(rollout.at(t))
        if kept is not None:
            kept.append(features)
        seen: Tensor = encoder.read(features)
        return seen

    def _answer_again(self, rollout: Rollout, notes: dict[str, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
        """Ask the network that learns about these steps of the rollout, flat indices t * games + game."""
        network = self.learner.network
        if "features" in notes:
            features = notes["features"][index.to(self.device)]
        else:
            features = network.encoder.features(rollout.stacks(index))
        logits: tuple[Tensor, Tensor] = network.heads(network.encoder.read(features))
        return logits

    def _minibatches(self, rollout: Rollout) -> Sequence[Tensor]:
        """The rollout's transitions, shuffled and split."""
        return self.actor.minibatches(rollout, self.config.minibatch)

    def _gradient_step(
        self,
        rollout: Rollout,
        notes: dict[str, Tensor],
        index: Tensor,
        old_log_prob: Tensor,
        advantages: Tensor,
        returns: Tensor,
        actions: Tensor,
    ) -> dict[str, Tensor]:
        config, network = self.config, self.learner.network
        with self.learner.autocast():
            logits, value_logits = self._answer_again(rollout, notes, index)
        log_prob, entropy = chosen(logits, actions)
        policy = policy_loss(log_prob, old_log_prob, advantages, config.clip)
        value = network.value.loss(value_logits, returns)
        self.learner.step(policy + config.value_coef * value - config.entropy_coef * entropy)
        with torch.no_grad():
            clipped = ((log_prob - old_log_prob).exp().sub(1).abs() > config.clip).float().mean()
            kl = (old_log_prob - log_prob).mean()
        return {"policy_loss": policy, "value_loss": value, "entropy": entropy, "clipped": clipped, "kl": kl}
