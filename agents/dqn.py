"""Deep Q-learning (Mnih et al. 2015) on many games at once.

With the parts of Rainbow (Hessel et al. 2018) as switches: double Q-learning (van Hasselt et al. 2016), a dueling
head (Wang et al. 2016), n-step returns, prioritised replay (Schaul et al. 2016), noisy heads (Fortunato et al. 2018)
and distributions of returns, here by their quantiles (Dabney et al. 2018). Deviations: large batches of many games
instead of one game and batches of 32; the target network follows by a running average, which also plays in
evaluations.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.beside import beside
from agents.device import one_thread
from agents.exploration import Leaning
from agents.learner import Learner, LearnerConfig, mean_logs
from agents.noisy import NoisyLinear, factorised_noise
from agents.replay import Batch, Drawn, Replay
from agents.rollout import Episodes
from agents.state import generator_state, load_generator_state
from experiment.checkpoint import nest, part
from experiment.policy import Thought
from experiment.ranges import Endless, Natural, NonNegative, Share
from perception import Encoder

ITERATION = 32  # steps of every game
TOGETHER = 4  # gradient steps, at most about, between two times that what plays is brought up to date


@dataclass
class DQNConfig(LearnerConfig):
    """Settings of DQN."""

    num_envs: int = 32
    """games played at once"""
    capacity: int = 200_000
    """transitions kept in the replay"""
    redraw: bool = True
    """keep the numbers of our own games and draw a batch's frames anew, in place of storing every frame"""
    batch_size: int = 512
    """transitions a gradient step"""
    replay_ratio: float = 2.0
    """times each transition is drawn on average"""
    learning_starts: Natural = 5_000
    """steps at random before learning starts"""
    learning_rate: float = 1e-3
    """Adam's step size at the start, for the heads, biases and normalisations"""
    muon_rate: NonNegative = 2e-3
    """Muon's step size at the start, for the encoder's weights; 0 leaves them to Adam"""
    gamma: Share = 0.95
    """discount per decision"""
    n_step: int = 5
    """rewards summed before bootstrapping"""
    double: bool = True
    """choose the next action by the online network, value it by the target network"""
    dueling: bool = True
    """separate heads for the state's value and the actions' advantages"""
    distributional: bool = False
    """learn the quantiles of each action's return instead of its mean alone"""
    quantiles: int = 32
    """how many quantiles"""
    prioritized: NonNegative = 0.0
    """exponent of the priorities; 0 draws uniformly, 0.6 is usual"""
    importance: Share = 0.4
    """how far importance weights correct for priorities at the start; rises to 1 over the run"""
    noisy: bool = False
    """explore by learned noise on the heads' weights; after the start no action is random then"""
    epsilon: Share = 0.01
    """share of random actions after exploration"""
    exploration: NonNegative = 2.0
    """random actions follow a leaning of each game's own: standard deviation of its logits; 0 for uniform"""
    exploration_steps: Natural = 50_000
    """steps over which the share of random actions falls from 1"""
    max_grad_norm: Endless = 10.0
    """gradients are scaled down to this norm"""
    averaging: Share = 0.995
    """the target network, which also plays in evaluations, is a running average of the weights: the share kept at each
    gradient step"""


class QNetwork(nn.Module):
    """An encoder with a head for the quantiles of each action's return, dueling or plain, noisy or not.

    Args:
        encoder: pixels to features.
        actions: number of actions.
        dueling: separate layers for the state's value and the actions' advantages.
        quantiles: of each return; 1 for its mean alone.
        noisy: layers with noise on their weights.
    """

    def __init__(self, encoder: Encoder, actions: int, dueling: bool, quantiles: int = 1, noisy: bool = False) -> None:
        super().__init__()
        self.encoder, self.quantiles = encoder, quantiles
        linear = NoisyLinear if noisy else nn.Linear
        self.advantage = linear(encoder.feature_dim, actions * quantiles)
        self.value = linear(encoder.feature_dim, quantiles) if dueling else None
        for layer in self._layers():
            nn.init.orthogonal_(layer.weight, 0.1)
            nn.init.zeros_(layer.bias)

    def _layers(self) -> list[nn.Linear]:
        return [layer for layer in (self.advantage, self.value) if layer is not None]

    @property
    def noise_dims(self) -> list[int]:
        """How much noise each layer takes, if it is noisy."""
        return [layer.in_features + layer.out_features for layer in self._layers()]

    def forward(self, observations: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map observations [batch, frames, height, width] to Q [batch, actions] and [batch, actions, quantiles].

        theta_i = V_i + A_i - mean_a A_i and Q = mean_i theta_i. The noise is float [batch, sum of noise_dims], or
        None for the mean weights.
        """
        return self.heads(self.encoder(observations), noise)

    def heads(self, features: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map features, float32 [batch, feature_dim], to what `forward` returns."""
        with torch.autocast(features.device.type, enabled=False):  # the heads stay in float32
            if noise is None:
                outputs = [layer(features) for layer in self._layers()]
            else:
                parts = zip(self._layers(), torch.split(noise, self.noise_dims, -1), strict=True)
                outputs = [layer(features, part) for layer, part in parts]
            theta = outputs[0].unflatten(-1, (-1, self.quantiles))
            if self.value is not None:
                theta = outputs[1].unsqueeze(-2) + theta - theta.mean(-2, keepdim=True)
        return theta.mean(-1), theta

    def thought(self, q: Tensor, theta: Tensor) -> Thought:
        """Explain what `forward` returned: the actions' values, and the state's, that of the best."""
        return Thought(q.argmax(-1), q, False, q.max(-1).values)


def q_targets(batch: Batch, next_target: Tensor, next_online: Tensor | None) -> Tensor:
    """Targets y = R + gamma^k Q'(s', a'), float [batch].

    a' is the best action by the online network's next values (double Q-learning), or by the target
    network's own if those are None.
    """
    chooser = next_target if next_online is None else next_online
    best = chooser.argmax(-1, keepdim=True)
    return batch.returns + batch.discounts * next_target.gather(-1, best).squeeze(-1)


def q_loss(q: Tensor, actions: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Huber loss L = mean w huber(Q(s, a) - y); returns (L, the errors Q(s, a) - y, float [batch])."""
    chosen = q.gather(-1, actions[:, None]).squeeze(-1)
    return (weights * F.smooth_l1_loss(chosen, targets, reduction="none")).mean(), (chosen - targets).detach()


def quantile_targets(batch: Batch, next_target: Tensor, next_online: Tensor | None) -> Tensor:
    """Targets y_j = R + gamma^k theta'_j(s', a'), float [batch, quantiles], of quantiles [batch, actions, quantiles].

    a' is chosen as in `q_targets`, by values Q' = mean_j theta'_j or the online network's Q [batch, actions].
    """
    chooser = next_target.mean(-1) if next_online is None else next_online
    best = chooser.argmax(-1)[:, None, None]
    return batch.returns[:, None] + batch.discounts[:, None] * next_target.take_along_dim(best, 1).squeeze(1)


def quantile_loss(theta: Tensor, actions: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Quantile regression for theta [batch, actions, quantiles] and targets y [batch, quantiles].

    L = mean w sum_i mean_j |tau_i - 1(y_j < theta_i)| huber(y_j - theta_i), tau_i = (i - 1/2) / quantiles; returns
    (L, the errors mean_i theta_i - mean_j y_j, float [batch]).
    """
    chosen = theta.take_along_dim(actions[:, None, None], 1).squeeze(1)
    u = targets[:, None, :] - chosen[:, :, None]  # [batch, i, j]
    tau = (torch.arange(theta.shape[-1], device=theta.device)[:, None] + 0.5) / theta.shape[-1]
    losses = (tau - (u < 0).float()).abs() * F.smooth_l1_loss(u, torch.zeros_like(u), reduction="none")
    errors = (chosen.mean(-1) - targets.mean(-1)).detach()
    return (weights * losses.mean(-1).sum(-1)).mean(), errors


class Learned(NamedTuple):
    """What a gradient step noted.

    Attributes:
        slots: of the transitions, see `Drawn`.
        errors: of their values, float32 [batch].
        logs: what is worth logging.
    """

    slots: NDArray[np.int64]
    errors: Tensor
    logs: dict[str, Tensor]


class DQN:
    """Learns one game from many copies of it and a replay. Arguments as in `OnPolicy`.

    Raises:
        ValueError: if the replay is too small, or its ratio not more than 0.
        MemoryError: if the replay does not fit into memory.
    """

    def __init__(
        self,
        envs: Any,
        encoder: Encoder,
        config: DQNConfig,
        total_steps: int,
        seed: int,
        device: torch.device,
        precision: str,
    ) -> None:
        if config.replay_ratio <= 0:
            raise ValueError(f"--replay-ratio must be more than 0, not {config.replay_ratio}")
        self.config, self.total_steps, self.device = config, total_steps, device
        self.seed, self.actions = seed, int(envs.single_action_space.n)
        self.rng = np.random.default_rng(seed)
        self._gradient_steps = config.num_envs * config.replay_ratio / config.batch_size  # for a step of every game
        # Steps of every game at a time, a power of two.
        self._ahead = min(ITERATION, 2 ** max(0, int(math.log2(TOGETHER / self._gradient_steps))))
        network = self.make_network(encoder, self.actions, config)
        self.learner = Learner(network, config, device, precision)  # its average is the target network
        self.policy = self.learner.policy
        self.playing: Any = deepcopy(self.learner.network)  # plays; equal to it when the last games began
        self._known = encoder.frozen and encoder.settled  # features stay what they are, and the replay keeps them
        self.replay = Replay(
            envs,
            config.capacity,
            encoder.spec.frames,
            config.n_step,
            config.gamma,
            config.prioritized,
            config.redraw,
            self._ahead,
            self._encode if self._known else None,
            encoder.feature_dim if self._known else 0,
        )
        self.replay.start(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.leaning = Leaning(config.num_envs, self.actions, config.exploration, self.generator)
        self.noise = self._draw_noise(config.num_envs) if config.noisy else None  # with which each game is played
        self.episodes = Episodes()
        self.steps = 0
        self._due = 0.0  # gradient steps owed
        self._fitted = encoder.settled  # the encoder's normalisation

    @staticmethod
    def make_network(encoder: Encoder, actions: int, config: DQNConfig) -> QNetwork:
        """Build the network that learns; its average plays."""
        quantiles = config.quantiles if config.distributional else 1
        return QNetwork(encoder, actions, config.dueling, quantiles, config.noisy)

    def iterate(self) -> dict[str, float]:
        """Play 32 steps of every game, learning on the way; returns what is worth logging."""
        logs: list[dict[str, Tensor]] = []
        for _ in range(ITERATION // self._ahead):
            logs += self._play_and_learn()
        return mean_logs(logs) | {"train/score": self.episodes.mean, "train/epsilon": self._epsilon()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on, but for a replay that stores frames: it fills anew."""
        return {
            **self.learner.state_dict(),
            **nest("episodes", self.episodes.state_dict()),
            **nest("replay", self.replay.state_dict()),
            "leaning": self.leaning.offsets.clone(),
            "generator": self.generator.get_state(),
            "rng": generator_state(self.rng),
            "steps": torch.tensor(self.steps),
            "due": torch.tensor(self._due, dtype=torch.float64),
            "fitted": torch.tensor(self._fitted),
            **({} if self.noise is None else {"noise": self.noise.clone()}),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned; without the replay, games begin anew with fresh seeds."""
        self.learner.load_state_dict(state)
        self.learner.lend(self.playing)
        self.episodes.load_state_dict(part("episodes", state))
        self.leaning.offsets = state["leaning"].clone()
        self.generator.set_state(state["generator"])
        load_generator_state(self.rng, state["rng"])
        self.steps, self._due, self._fitted = int(state["steps"]), float(state["due"]), bool(state["fitted"])
        replay = part("replay", state)
        if replay:
            self.replay.load_state_dict(replay)
        else:
            self.replay.start(int(np.random.default_rng([self.seed, self.steps]).integers(2**32)))
        if self.noise is not None:
            self.noise = state["noise"].to(self.device).clone()

    @torch.no_grad()
    def _encode(self, stacks: Tensor) -> Tensor:
        """What a frozen encoder tells of stacks, which stays the same whatever is learned, and when it is asked again.

        It is asked by one thread: how a sum is split up among several shows in its last bits.
        """
        with self.learner.autocast(), one_thread():
            features: Tensor = self.playing.encoder.features(stacks.to(self.device))
        return features

    def _values(self, network: QNetwork, seen: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """What a network makes of observations as the replay has them; see `QNetwork.forward`."""
        if self._known:
            return network.heads(network.encoder.read(seen), noise)
        values: tuple[Tensor, Tensor] = network(seen, noise)
        return values

    def _draw_noise(self, rows: int) -> Tensor:
        return factorised_noise(rows, sum(self.learner.network.noise_dims), self.generator).to(self.device)

    def _epsilon(self) -> float:
        if self.config.noisy:
            return float(self.steps < self.config.learning_starts)
        begun, steps = self.steps - self.config.learning_starts, self.config.exploration_steps
        if begun < 0:
            return 1.0
        return max(self.config.epsilon, 1 - begun / steps if steps else 0.0)

    def _fit_normalization(self) -> None:
        """Fit the encoder to the frames that random play has shown."""
        drawn = self.replay.draw(2048, self.rng)
        self.learner.fit_normalization(self.replay.observations(drawn.slots)[:, -1])
        self._fitted = True

    def _play_and_learn(self) -> list[dict[str, Tensor]]:
        """Play some steps beside half of the gradient steps due for them, which learn from what was there before."""
        steps = self._due_steps()
        half = len(steps) // 2
        learned = [step() for step in steps[:half]]
        self.learner.lend(self.playing)
        _, later = beside(self._play, steps[half:])
        if self.config.prioritized:
            for slots, errors, _ in learned + later:
                self.replay.update_priorities(slots, errors.cpu().numpy())
        return [logs for *_, logs in learned + later]

    def _play(self) -> None:
        encoder = self.playing.encoder
        # Features that the replay keeps are those that it would find once more when a run goes on.
        with self.learner.autocast(), nullcontext() if self._known else encoder.fixed():
            for _ in range(self._ahead):
                self._play_step()

    @torch.no_grad()
    def _play_step(self) -> None:
        """Step every game once, epsilon-greedily, each with noise of its own for a whole episode."""
        games = self.config.num_envs
        actions = self.leaning.actions().numpy()
        epsilon = self._epsilon()
        if epsilon < 1:
            q, _ = self._values(self.playing, self.replay.newest().to(self.device), self.noise)
            greedy = self.rng.random(games) >= epsilon
            actions = np.where(greedy, q.argmax(-1).cpu().numpy(), actions)
        info, ended = self.replay.add(actions)
        self.episodes.add(info, ended)
        ended = ended | info["interrupted"] if "interrupted" in info else ended
        self.leaning.renew(ended)
        if self.noise is not None and ended.any():
            self.noise[torch.from_numpy(ended)] = self._draw_noise(int(ended.sum()))
        self.steps += games

    def _due_steps(self) -> list[Callable[[], Learned]]:
        """The gradient steps due for the next `_ahead` steps of the games; all that is random has been drawn."""
        config, progress = self.config, min(self.steps / self.total_steps, 1.0)
        seen = self.replay.now * config.num_envs  # fewer than `steps` if the replay began empty at a resume
        if seen < config.learning_starts or not self.replay.drawable():
            return []
        if not self._fitted:
            self._fit_normalization()
        self.learner.decay(progress)
        beta = config.importance + (1 - config.importance) * progress
        due, self._due = divmod(self._due + self._ahead * self._gradient_steps, 1.0)
        steps: list[Callable[[], Learned]] = []
        for _ in range(int(due)):
            drawn = self.replay.draw(config.batch_size, self.rng, beta)
            noise = [self._draw_noise(config.batch_size) if config.noisy else None for _ in range(3)]  # independent
            steps.append(partial(self._gradient_step, drawn, noise))
        return steps

    def _gradient_step(self, drawn: Drawn, noise: Sequence[Tensor | None]) -> Learned:
        config, network, target = self.config, self.learner.network, self.learner.average
        batch = Batch(*(x.to(self.device) for x in self.replay.gather(drawn)))
        with self.learner.autocast():
            with torch.no_grad():
                next_q, next_theta = self._values(target, batch.next_observations, noise[0])
                next_online = self._values(network, batch.next_observations, noise[1])[0] if config.double else None
            q, theta = self._values(network, batch.observations, noise[2])
        if config.distributional:
            targets = quantile_targets(batch, next_theta, next_online)
            loss, errors = quantile_loss(theta, batch.actions, targets, batch.weights)
        else:
            loss, errors = q_loss(q, batch.actions, q_targets(batch, next_q, next_online), batch.weights)
        self.learner.step(loss)
        return Learned(drawn.slots, errors, {"loss": loss, "q": q.mean(), "error": errors.abs().mean()})
