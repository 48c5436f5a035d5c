"""What plays in every on-policy algorithm: games, their exploration and their scores, a rollout at a time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.exploration import Leaning
from agents.rollout import Episodes, Rollout
from envs.scene import compiled
from experiment.checkpoint import nest, part
from experiment.errors import UserError
from experiment.ranges import Natural, NonNegative


@dataclass
class ActorConfig:
    """How games are played between two updates."""

    num_envs: int = 64
    """games played at once"""
    rollout_steps: int = 32
    """steps of each game between two updates"""
    exploration: NonNegative = 2.0
    """at first every game leans towards actions of its own: standard deviation of what is added to the logits"""
    exploration_steps: Natural = 100_000
    """steps over which this leaning fades away"""


class Actor:
    """Plays one rollout after the other with whatever policy it is given.

    Attributes:
        steps: decisions taken so far, over all games.
        rollout: what happened in the last one; where the next one goes is a place of its own.
        leaning: what each game prefers.
        episodes: scores of the last finished episodes.
        generator: of all that the algorithm draws.

    Args:
        envs: the games; see `Rollout`.
        frames: frames in a stack.
        config: settings.
        seed: of the games and the generator.
        device: where frames are kept.

    Raises:
        ValueError: if a rollout may hold nothing but resets.
    """

    def __init__(self, envs: Any, frames: int, config: ActorConfig, seed: int, device: torch.device) -> None:
        if config.rollout_steps < 2:
            raise ValueError(f"--rollout-steps must be at least 2, not {config.rollout_steps}")
        self.config = config
        self.generator = torch.Generator().manual_seed(seed)
        self.rollout, self._next = (Rollout(envs, config.rollout_steps, frames, device) for _ in range(2))
        self.rollout.start(seed)
        actions = int(envs.single_action_space.n)
        self.leaning = Leaning(config.num_envs, actions, config.exploration, self.generator)
        self.episodes = Episodes()
        self.steps = 0

    @property
    def exploring(self) -> float:
        """What is left of exploration, 1 to 0."""
        steps = self.config.exploration_steps
        return max(0.0, 1 - self.steps / steps) if steps else 0.0

    @property
    def lean(self) -> Tensor:
        """What is added to each game's logits now, float [games, actions]."""
        return self.exploring * self.leaning.offsets

    def explore(self) -> Tensor:
        """Play one rollout at random, which counts for nothing; returns its frames [steps * games, height, width]."""
        return self.rollout.explore(self.generator)

    @torch.no_grad()
    def play(self, choose: Callable[[Rollout, int], Tensor]) -> Rollout:
        """Play one rollout and return it; the one before stays as it was until the next call.

        Args:
            choose: called with (the rollout so far, step t); returns an action for each game, int64 [games].
        """
        rollout = self._next
        rollout.begin(self.rollout)
        for t in range(rollout.steps):
            info = rollout.add(t, choose(rollout, t))
            over = rollout.over(t)
            self.episodes.add(info, over)
            self.leaning.renew(over | info["interrupted"] if "interrupted" in info else over)
        self.rollout, self._next = rollout, self.rollout
        self.steps += rollout.steps * self.config.num_envs
        return rollout

    def draw(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Draw an action for each game from logits [games, actions] and its leaning.

        Returns:
            (actions int64 [games], their log probabilities float [games]), on the CPU.

        Raises:
            UserError: if logits are not finite.
        """
        games, leaning = len(logits), np.float32(self.exploring)
        chances = torch.rand(games, generator=self.generator)
        actions, log_probs = torch.empty(games, dtype=torch.int64), torch.empty(games)
        given = logits.cpu().numpy(), self.leaning.offsets.numpy()
        if not _draw(*given, leaning, chances.numpy(), actions.numpy(), log_probs.numpy()):
            raise UserError("training has diverged: the policy is NaN or infinite; try a smaller --learning-rate")
        return actions, log_probs

    def minibatches(self, rollout: Rollout, size: int) -> tuple[Tensor, ...]:
        """Shuffle a rollout's transitions, as flat indices t * games + game, into batches of about this size."""
        samples = rollout.valid.flatten().nonzero().squeeze(-1)
        order = samples[torch.randperm(len(samples), generator=self.generator)]
        return order.tensor_split(max(1, round(len(order) / size)))

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the next rollout depends on."""
        return {
            **nest("rollout", self.rollout.state_dict()),
            **nest("episodes", self.episodes.state_dict()),
            "leaning": self.leaning.offsets.clone(),
            "generator": self.generator.get_state(),
            "steps": torch.tensor(self.steps),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned."""
        self.rollout.load_state_dict(part("rollout", state))
        self.episodes.load_state_dict(part("episodes", state))
        self.leaning.offsets = state["leaning"].clone()
        self.generator.set_state(state["generator"])
        self.steps = int(state["steps"])


@compiled
def _draw(
    logits: NDArray[np.float32],
    offsets: NDArray[np.float32],
    leaning: np.float32,
    chances: NDArray[np.float32],
    actions: NDArray[np.int64],
    log_probs: NDArray[np.float32],
) -> bool:
    """Draw by a number from 0 to below 1 from each row's softmax: the action with which the sum comes to exceed it.

    The row is logits + leaning offsets. Returns False if it is not finite. As a dozen of torch's operations it would
    hold up who learns meanwhile.
    """
    actions_each = logits.shape[1]
    row = np.empty(actions_each, np.float32)
    for i in range(len(logits)):
        for a in range(actions_each):
            row[a] = logits[i, a] + leaning * offsets[i, a]
            if not math.isfinite(row[a]):
                return False
        highest, total = row[0], 0.0
        for a in range(actions_each):
            highest = max(highest, row[a])
        for a in range(actions_each):
            total += math.exp(row[a] - highest)
        left = chances[i] * total
        for a in range(actions_each):
            log_prob = row[a] - highest
            left -= math.exp(log_prob)
            if left < 0:  # sooner or later: a chance is at most 1 - 2^-24, and rounding far less
                break
        actions[i], log_probs[i] = a, log_prob - math.log(total)
    return True
