"""Proximal policy optimisation (Schulman et al. 2017) on many games at once.

Deviations from the paper's Atari settings, explained in docs/ppo.md: one epoch instead of three (fresh
frames are cheap here), Muon beside Adam, values learned by classification, a horizon that grows, advantages
on a running scale, and a running average of the weights for evaluation.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.device import autocast
from agents.exploration import Leaning
from agents.optimizer import HiddenMuon
from agents.returns import gae
from agents.rollout import Episodes, Rollout
from agents.state import nest, part
from agents.values import ValueHead
from perception import Encoder


@dataclass
class PPOConfig:
    """Settings of PPO."""

    num_envs: int = 64
    """games played at once"""
    rollout_steps: int = 64
    """steps of each game between two updates"""
    epochs: int = 1
    """passes over each rollout"""
    minibatch: int = 256
    """samples a gradient step, about"""
    learning_rate: float = 2e-3
    """Adam's step size at the start, for the heads, biases and normalisations"""
    muon_rate: float = 4e-3
    """Muon's step size at the start, for the encoder's weights"""
    anneal: bool = True
    """lower the step sizes over the run, as the square of what is left of it, to a twentieth"""
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
    max_grad_norm: float = 0.5
    """gradients are scaled down to this norm"""
    exploration: float = 2.0
    """at first every game leans towards actions of its own: standard deviation of what is added to the logits"""
    exploration_steps: int = 100_000
    """steps over which this leaning fades away"""
    averaging: float = 0.99
    """evaluation plays with a running average of the weights: the share kept at each gradient step"""


class ActorCritic(nn.Module):
    """An encoder with a policy head and a value head."""

    def __init__(self, encoder: Encoder, actions: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.policy = nn.Linear(encoder.feature_dim, actions)
        self.value = ValueHead(encoder.feature_dim)
        nn.init.orthogonal_(self.policy.weight, 0.01)
        nn.init.zeros_(self.policy.bias)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 [batch, frames, height, width] to logits of (actions [batch, actions], values [batch, atoms])."""
        features = self.encoder(observations)
        with torch.autocast(features.device.type, enabled=False):  # the heads stay in float32
            return self.policy(features), self.value(features)


def policy_loss(log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Clipped surrogate: L = -mean min(ratio A, clip(ratio, 1 - eps, 1 + eps) A), ratio = pi / pi_old."""
    ratio = (log_prob - old_log_prob).exp()
    return -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


def growing(first: float, last: float, progress: float) -> float:
    """Go from one discount to another so that the horizon 1 / (1 - discount) grows geometrically.

    A short horizon learns quickly, a long one sees far: what kills may have happened one pipe earlier
    (annealed as in Schwarzer et al. 2023).

    Args:
        first: at progress 0.
        last: at progress 1 and beyond.
        progress: 0 to 1.
    """
    progress = min(progress, 1.0)
    return float(1 - (1 - first) ** (1 - progress) * (1 - last) ** progress)


class PPO:
    """Learns one game from many copies of it.

    Attributes:
        steps: decisions taken so far, over all games.

    Args:
        envs: the games; see `Rollout`.
        encoder: pixels to features.
        config: settings.
        total_steps: length of the whole run in steps; the learning rate falls over it.
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
        if config.rollout_steps < 2:
            raise ValueError(f"--rollout-steps must be at least 2, not {config.rollout_steps}")
        self.config, self.total_steps, self.device, self.precision = config, total_steps, device, precision
        self.generator = torch.Generator().manual_seed(seed)
        self.rollout = Rollout(envs, config.rollout_steps, encoder.spec.frames, device)
        self.rollout.start(seed)
        self.network = self.make_network(encoder, int(envs.single_action_space.n), config).to(device)
        self.network.encoder.fit_normalization(self.rollout.explore(self.generator))
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = HiddenMuon(self.network, self.network.encoder, config.learning_rate, config.muon_rate)
        self.leaning = Leaning(config.num_envs, int(envs.single_action_space.n), config.exploration, self.generator)
        self.episodes = Episodes()
        self.advantage_square = 0.0  # running mean square of the advantages; 0 before the first rollout
        self.steps = 0

    @staticmethod
    def make_network(encoder: Encoder, actions: int, config: PPOConfig) -> ActorCritic:
        """Build the network that learns; its average plays."""
        return ActorCritic(encoder, actions)

    @property
    def memory(self) -> int:
        """Bytes of the rollout."""
        return self.rollout.memory

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        """Choose the likeliest actions, int64 [batch], for uint8 [batch, frames, height, width]."""
        with autocast(self.device, self.precision):
            logits, _ = self.average(observations.to(self.device))
        actions: Tensor = logits.argmax(-1)
        return actions

    def iterate(self) -> dict[str, float]:
        """Play one rollout, learn from it; returns what is worth logging."""
        values, log_probs = self._collect()
        return self._update(values, log_probs) | {"train/score": self.episodes.mean}

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""
        return {
            **nest("network", self.network.state_dict()),
            **nest("average", self.average.state_dict()),
            **nest("optimizer", self.optimizer.state_dict()),
            **nest("rollout", self.rollout.state_dict()),
            **nest("episodes", self.episodes.state_dict()),
            "leaning": self.leaning.offsets.clone(),
            "advantage_square": torch.tensor(self.advantage_square, dtype=torch.float64),
            "generator": self.generator.get_state(),
            "steps": torch.tensor(self.steps),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned."""
        self.network.load_state_dict(part("network", state))
        self.average.load_state_dict(part("average", state))
        self.optimizer.load_state_dict(part("optimizer", state))
        self.rollout.load_state_dict(part("rollout", state))
        self.episodes.load_state_dict(part("episodes", state))
        self.leaning.offsets = state["leaning"].clone()
        self.advantage_square = float(state["advantage_square"])
        self.generator.set_state(state["generator"])
        self.steps = int(state["steps"])

    @torch.no_grad()
    def _collect(self) -> tuple[Tensor, Tensor]:
        """Returns values [steps + 1, games] and the chosen actions' log probabilities [steps, games]."""
        rollout, n = self.rollout, self.config.num_envs
        rollout.begin()
        values, log_probs = torch.zeros(rollout.steps + 1, n), torch.zeros(rollout.steps, n)
        with autocast(self.device, self.precision):
            for t in range(rollout.steps):
                logits, value = self.network(rollout.at(t))
                logits, values[t] = logits.cpu() + self._exploration() * self.leaning.offsets, self._mean(value)
                actions = torch.multinomial(logits.softmax(-1), 1, generator=self.generator).squeeze(-1)
                log_probs[t] = logits.log_softmax(-1).gather(-1, actions[:, None]).squeeze(-1)
                info = rollout.add(t, actions)
                over = rollout.terminated[t] | rollout.truncated[t]
                self.episodes.add(info, over.numpy())
                self.leaning.renew(over)
            values[-1] = self._mean(self.network(rollout.at(rollout.steps))[1])
        self.steps += rollout.steps * n
        return values, log_probs

    def _mean(self, value: Tensor) -> Tensor:
        """Values, float [games] on the CPU."""
        return self.network.value.mean(value).cpu()

    def _exploration(self) -> float:
        """What share of their leaning the games still follow."""
        return max(0.0, 1 - self.steps / max(1, self.config.exploration_steps))

    def _update(self, values: Tensor, old_log_probs: Tensor) -> dict[str, float]:
        config, rollout = self.config, self.rollout
        progress = min(self.steps / self.total_steps, 1.0)
        left = 0.05 + 0.95 * (1 - progress) ** 2 if config.anneal else 1.0
        self.optimizer.decay(left)
        gamma = growing(config.gamma, config.final_gamma, 4 * progress)
        lam = growing(config.gae_lambda, config.final_gae_lambda, 4 * progress)
        advantages, returns = gae(rollout.rewards, values, rollout.terminated, rollout.truncated, gamma, lam)
        advantages = advantages / self._advantage_scale(advantages[rollout.valid])
        for network in (self.network, self.average):
            network.value.rescale(returns[rollout.valid].to(self.device))
        samples = rollout.valid.flatten().nonzero().squeeze(-1)
        flat = [x.flatten().to(self.device) for x in (old_log_probs, advantages, returns, rollout.actions)]
        logs: dict[str, list[Tensor]] = {}
        for _ in range(config.epochs):
            order = samples[torch.randperm(len(samples), generator=self.generator)]
            for index in order.tensor_split(max(1, round(len(order) / config.minibatch))):
                for key, value in self._gradient_step(index, *(x[index.to(self.device)] for x in flat)).items():
                    logs.setdefault(key, []).append(value)
        metrics = {f"train/{key}": float(torch.stack(value).mean()) for key, value in logs.items()}
        errors, wanted = (x[rollout.valid].var(correction=0) for x in (returns - values[:-1], returns))
        return metrics | {
            "train/explained_variance": 1 - float(errors / wanted),
            "train/learning_rate": left * config.learning_rate,
        }

    def _advantage_scale(self, advantages: Tensor) -> float:
        """Root mean square of the advantages, averaged over about the last twenty rollouts.

        Most minibatches of a good player hold no death. Scaled by their own deviation, as is usual, they would
        blow up the value function's small errors to the size of the rare advantages that matter.
        """
        square = float(advantages.square().mean())
        self.advantage_square = self.advantage_square * 0.95 + square * 0.05 if self.advantage_square else square
        return math.sqrt(self.advantage_square) + 1e-8

    def _gradient_step(
        self, index: Tensor, old_log_prob: Tensor, advantages: Tensor, returns: Tensor, actions: Tensor
    ) -> dict[str, Tensor]:
        config = self.config
        with autocast(self.device, self.precision):
            logits, value_logits = self.network(self.rollout.observations(index))
        log_probs = logits.log_softmax(-1)
        log_prob = log_probs.gather(-1, actions[:, None]).squeeze(-1)
        entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
        policy = policy_loss(log_prob, old_log_prob, advantages, config.clip)
        value = self.network.value.loss(value_logits, returns)
        loss = policy + config.value_coef * value - config.entropy_coef * entropy
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), config.max_grad_norm, foreach=True)
        self.optimizer.step()
        with torch.no_grad():
            # average <- k average + (1 - k) weights
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - config.averaging)
            ratio_off = (log_prob - old_log_prob).exp().sub(1).abs()
            clipped = (ratio_off > config.clip).float().mean()
            kl = (old_log_prob - log_prob).mean()
        logs = {"policy_loss": policy, "value_loss": value, "entropy": entropy, "clipped": clipped, "kl": kl}
        return {key: item.detach() for key, item in logs.items()}
