"""What learns in every algorithm: a network, its optimizer, and an average of its weights that plays."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.actor_critic import RecurrentActorCritic
from agents.device import PRECISIONS, autocast
from agents.optimizer import HiddenMuon, side_by_side
from experiment.checkpoint import nest, part
from experiment.policy import Thought
from experiment.ranges import Endless, NonNegative, Share

ANNEALED = 0.75  # share of the run over which step sizes fall


@dataclass
class LearnerConfig:
    """How weights follow a loss."""

    learning_rate: float = 2e-3
    """Adam's step size at the start, for the heads, biases and normalisations"""
    muon_rate: NonNegative = 4e-3
    """Muon's step size at the start, for the encoder's weights; 0 leaves them to Adam"""
    anneal: bool = True
    """lower the step sizes over three quarters of the run, as the square of what is left of these, to a twentieth"""
    max_grad_norm: Endless = 0.5
    """gradients are scaled down to this norm"""
    averaging: Share = 0.99
    """evaluation plays with a running average of the weights: the share kept at each gradient step"""


class GreedyPolicy:
    """Chooses the action that a network ranks first.

    A network with a memory (`RecurrentActorCritic`) recalls an episode only from its start, so `begin` a policy with
    each batch of episodes; called directly, it takes every observation for an episode's first.

    Attributes:
        network: see `Learner`.
        memory: what a network with a memory had recalled before the newest observation; None for others.

    Args:
        network: see `Learner`.
        device: where it is.
        precision: "fp32" or "bf16".
    """

    def __init__(self, network: nn.Module, device: torch.device, precision: str) -> None:
        self.network: Any = network
        self.memory: Tensor | None = None
        self._device, self._precision = device, precision

    @property
    def recurrent(self) -> bool:
        """See `Policy`."""
        return isinstance(self.network, RecurrentActorCritic)

    @torch.no_grad()
    def __call__(self, observations: Tensor) -> Tensor:
        """Choose actions, int64 [batch], for observations [batch, frames, height, width]."""
        actions: Tensor = self._answer(observations)[0].argmax(-1)
        return actions

    @torch.no_grad()
    def think(self, observations: Tensor) -> Thought:
        """Choose the same actions and tell why: what a network's `thought` makes of its answers, on the CPU."""
        thought: Thought = self.network.thought(*self._answer(observations))
        return thought.cpu()

    @torch.no_grad()
    def feature_maps(self, observations: Tensor) -> Tensor | None:
        """Return what the first convolution answers to observations [batch, frames, height, width].

        Returns:
            float32 [batch, channels, height, width] on the CPU, negative answers as 0; None without a convolution.
        """
        convolutions = (module for module in self.network.encoder.modules() if isinstance(module, nn.Conv2d))
        first = next(convolutions, None)
        if first is None:
            return None
        answers: list[Tensor] = []
        hook = first.register_forward_hook(lambda module, inputs, output: answers.append(output))
        try:
            with autocast(self._device, self._precision):
                encoder = self.network.encoder
                encoder.body(encoder.centered(observations.to(self._device)))
        finally:
            hook.remove()
        return answers[0].float().clamp(min=0).cpu()

    def begin(self, games: int) -> "GreedyPolicy":
        """Return the policy for this many games, to be asked about all of them from their first observation on."""
        if not self.recurrent:
            return self
        return _Recalling(self.network, self._device, self._precision, games)

    def _answer(self, observations: Tensor) -> tuple[Tensor, ...]:
        with autocast(self._device, self._precision):
            outputs: tuple[Tensor, ...] = self.network(observations.to(self._device))
        return outputs


class _Recalling(GreedyPolicy):
    """The policy of a network with a memory, in the middle of some games."""

    def __init__(self, network: RecurrentActorCritic, device: torch.device, precision: str, games: int) -> None:
        super().__init__(network, device, precision)
        self.memory, self._next = network.blank(games), network.blank(games)
        self._going_on = torch.zeros(1, games, dtype=torch.bool)

    def _answer(self, observations: Tensor) -> tuple[Tensor, ...]:
        self.memory = self._next
        with autocast(self._device, self._precision):
            recalled = self.network.recall(observations.to(self._device), self._going_on, self.memory)
        logits, values, self._next = recalled
        return logits, values


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
        rates = config.learning_rate, config.muon_rate, encoder.pace
        self.optimizer = HiddenMuon(self.network, encoder, *rates, dtype=PRECISIONS[precision])
        averages = dict(self.average.named_parameters())
        self._averages = side_by_side([averages[name] for name in self.optimizer.names])

    def autocast(self) -> Any:
        """Compute in the chosen format within this context; weights stay float32."""
        return autocast(self.device, self.precision)

    def fit_normalization(self, frames: Tensor) -> None:
        """Fit the encoder to frames [n, height, width]; see `Encoder.fit_normalization`."""
        for network in (self.network, self.average):
            network.encoder.fit_normalization(frames.to(self.device))

    def decay(self, progress: float) -> float:
        """Lower the step sizes to what they are at this share of the run; returns Adam's."""
        left = 0.05 + 0.95 * (1 - min(progress / ANNEALED, 1.0)) ** 2 if self.config.anneal else 1.0
        self.optimizer.decay(left)
        return left * self.config.learning_rate

    def step(self, loss: Tensor) -> None:
        """Take one gradient step; the average follows: average <- k average + (1 - k) weights."""
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step(self.config.max_grad_norm)
        self._averages.lerp_(self.optimizer.vector, 1 - self.config.averaging)

    @torch.no_grad()
    def lend(self, network: nn.Module) -> None:
        """Make a copy of the network equal to it."""
        for mine, its in ((self.network.parameters, network.parameters), (self.network.buffers, network.buffers)):
            torch._foreach_copy_(list(its()), list(mine()))

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
