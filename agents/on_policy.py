"""What the algorithms share that play a rollout, learn from it and forget it."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from agents.actor import Actor
from agents.beside import beside
from agents.learner import Learner, mean_logs
from agents.rollout import Rollout
from envs.guest import EnvFailure
from experiment.checkpoint import nest, part
from perception import Encoder

GradientStep = Callable[[], dict[str, Tensor]]


class Played(NamedTuple):
    """A rollout, and what was noted while it was played.

    Attributes:
        rollout: what happened.
        notes: tensors that the algorithm learns from, too.
    """

    rollout: Rollout
    notes: dict[str, Tensor]


class OnPolicy(ABC):
    """Learns one game from many copies of it.

    The next rollout is played beside the last gradient steps, half as many as one pass over a rollout has, with the
    weights as they are then. That much older is the policy that played when its rollout begins to be learned from.

    Attributes:
        steps: decisions learned from so far, over all games.
        policy: what has been learned, as it is evaluated.
        playing: the network that plays.
        played: the rollout that is learned from next, if it holds a transition.

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
        config: Any,
        total_steps: int,
        seed: int,
        device: torch.device,
        precision: str,
    ) -> None:
        self.config, self.total_steps, self.device = config, total_steps, device
        self.actor = Actor(envs, encoder.spec.frames, config, seed, device)
        network = self.make_network(encoder, int(envs.single_action_space.n), config)
        self.learner = Learner(network, config, device, precision)
        self.policy = self.learner.policy
        self.learner.fit_normalization(self.actor.explore())
        self.playing: Any = copy.deepcopy(self.learner.network)
        self.played = self._play()

    @staticmethod
    @abstractmethod
    def make_network(encoder: Encoder, actions: int, config: Any) -> nn.Module:
        """Build the network that learns; its average is evaluated."""

    @abstractmethod
    def play(self) -> Played:
        """Play one rollout with `playing`, whose weights stay as they are meanwhile."""

    @abstractmethod
    def learn(self, rollout: Rollout, notes: dict[str, Tensor]) -> tuple[Sequence[GradientStep], dict[str, float]]:
        """Get ready to learn from what was played.

        All that is random has been drawn when this returns.

        Returns:
            the gradient steps to take, in order, each of which returns what is worth logging; and what else is.
        """

    @property
    def passes(self) -> int:
        """Passes over each rollout."""
        return 1

    @property
    def steps(self) -> int:
        """Decisions learned from so far, over all games."""
        waiting = self.played.rollout
        return self.actor.steps - waiting.actions.numel() * bool(waiting.valid.any())

    def iterate(self) -> dict[str, float]:
        """Learn from the last rollout and play the next one; returns what is worth logging.

        A rollout without a single transition, as of an environment that always fails, is not learned from.

        Raises:
            EnvFailure: if an environment fails while it is played. The last rollout has been learned from, and counts
                for nothing when the run goes on.
        """
        rollout = self.played.rollout
        steps, logs = self.learn(*self.played) if rollout.valid.any() else ([], {})
        before = len(steps) - math.ceil(len(steps) / self.passes / 2)
        noted = [step() for step in steps[:before]]
        self.learner.lend(self.playing)
        try:
            self.played, later = beside(self._play, steps[before:])
        except EnvFailure:
            rollout.valid[:] = False
            raise
        return mean_logs(noted + later) | logs | {"train/score": self.actor.episodes.mean}

    def _play(self) -> Played:
        with self.learner.autocast(), self.playing.encoder.fixed():
            return self.play()

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""
        rollout, notes = self.played
        played = {**nest("rollout", rollout.record()), **nest("notes", notes)}
        return {**self.learner.state_dict(), **nest("actor", self.actor.state_dict()), **nest("played", played)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned."""
        self.learner.load_state_dict(state)
        self.actor.load_state_dict(part("actor", state))
        self.actor.rollout.load_record(part("played.rollout", state))
        notes = {name: tensor.clone() for name, tensor in part("played.notes", state).items()}
        self.played = Played(self.actor.rollout, notes)
