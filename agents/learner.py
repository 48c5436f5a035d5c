"""What learns in every algorithm: a network, its optimizer, and an average of its weights that plays."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.actor_critic import RecurrentActorCritic
from agents.device import autocast
from agents.optimizer import HiddenMuon
from agents.state import nest, part


@dataclass
class LearnerConfig:
    """How weights follow a loss."""

    learning_rate: float = 2e-3
    """Adam's step size at the start, for the heads, biases and normalisations"""
    muon_rate: float = 4e-3
    """Muon's step size at the start, for the encoder's weights; 0 leaves them to Adam"""
    anneal: bool = True
    """lower the step sizes over the run, as the square of what is left of it, to a twentieth"""
    max_grad_norm: float = 0.5
    """gradients are scaled down to this norm"""
    averaging: float = 0.99
    """evaluation plays with a running average of the weights: the share kept at each gradient step"""


class GreedyPolicy:
    """Chooses the action that a network ranks first.

    A network with a memory (`RecurrentActorCritic`) recalls an episode only from its start, so `begin` a policy with
    each batch of episodes; called directly, it takes every observation for an episode's first.

    Args:
        network: see `Learner`.
        device: where it is.
        precision: "fp32" or "bf16".
    """

    def __init__(self, network: nn.Module, device: torch.device, precision: str) -> None:
        self._network, self._device, self._precision = network, device, precision

    @torch.no_grad()
    def __call__(self, observations: Tensor) -> Tensor:
        """Choose actions, int64 [batch], for observations [batch, frames, height, width]."""
        with autocast(self._device, self._precision):
            actions: Tensor = self._network(observations.to(self._device))[0].argmax(-1)
        return actions

    def begin(self, games: int) -> Callable[[Tensor], Tensor]:
        """Return the policy for this many games, to be asked about all of them from their first observation on."""
        network = self._network
        if not isinstance(network, RecurrentActorCritic):
            return self
        memory, going_on = network.blank(games), torch.zeros(1, games, dtype=torch.bool)

        @torch.no_grad()
        def act(observations: Tensor) -> Tensor:
            nonlocal memory
            with autocast(self._device, self._precision):
                logits, _, memory = network.recall(observations.to(self._device), going_on, memory)
            return logits.argmax(-1)

        return act


class Learner:
    """A network on its device, stepped along gradients.

    Attributes:
        network: what learns; its forward pass returns a tuple whose first part ranks the actions, and
            `network.encoder` is its encoder.
        average: the running average of its weights, which plays.

    Args:
        network: fresh from its seed.
        config: settings.
        device: where to compute.
        precision: "fp32" or "bf16".
    """

    def __init__(self, network: Any, config: LearnerConfig, device: torch.device, precision: str) -> None:
        self.config, self.device, self.precision = config, device, precision
        self.network: Any = network.to(device)
        self.average: Any = copy.deepcopy(self.network).requires_grad_(False)
        self.policy = GreedyPolicy(self.average, device, precision)
        encoder = self.network.encoder
        self.optimizer = HiddenMuon(
            self.network, encoder, config.learning_rate, config.muon_rate, getattr(encoder, "learning_rate", None)
        )
        # Looked up once: walking through the modules takes longer than the arithmetic.
        self._weights, self._averages = list(self.network.parameters()), list(self.average.parameters())

    def autocast(self) -> Any:
        """Compute in the chosen format within this context; weights stay float32."""
        return autocast(self.device, self.precision)

    def fit_normalization(self, frames: Tensor) -> None:
        """Fit the encoder to frames [n, height, width]; see `Encoder.fit_normalization`."""
        for network in (self.network, self.average):
            network.encoder.fit_normalization(frames.to(self.device))

    def decay(self, progress: float) -> float:
        """Lower the step sizes to what they are at this share of the run; returns Adam's."""
        left = 0.05 + 0.95 * (1 - min(progress, 1.0)) ** 2 if self.config.anneal else 1.0
        self.optimizer.decay(left)
        return left * self.config.learning_rate

    def step(self, loss: Tensor) -> None:
        """Take one gradient step; the average follows: average <- k average + (1 - k) weights."""
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._weights, self.config.max_grad_norm, foreach=True)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._weights, 1 - self.config.averaging)

    def act(self, observations: Tensor) -> Tensor:
        """Choose what the average ranks first; see `GreedyPolicy`."""
        return self.policy(observations)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all tensors; those of "average" are what is played with."""
        return {
            **nest("network", self.network.state_dict()),
            **nest("average", self.average.state_dict()),
            **nest("optimizer", self.optimizer.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned."""
        self.network.load_state_dict(part("network", state))
        self.average.load_state_dict(part("average", state))
        self.optimizer.load_state_dict(part("optimizer", state))


def mean_logs(logs: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """Average what gradient steps noted; keys get "train/" before them. Nothing of no steps."""
    return {f"train/{key}": float(torch.stack([log[key].detach() for log in logs]).mean()) for key in (logs or [{}])[0]}
