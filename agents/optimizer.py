"""Muon for the matrices of the hidden layers, Adam for everything else, as one optimizer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from agents.state import load_optimizer_state, nest, optimizer_state, part

PERIOD = 2  # gradient steps to one of Muon's


class HiddenMuon:
    """Muon (Jordan et al. 2024) steps the hidden layers' weights, Adam the heads, biases and normalisations.

    Muon makes each step's matrix orthogonal, so that rare directions are learned as fast as common ones. The
    kernels of a convolution count as a matrix [out, in x height x width].

    Making it orthogonal takes a third as long as the gradient, and with its momentum the direction changes slowly, so
    Muon steps once for every few of Adam's: as far, along the mean of the gradients since its last step.

    Attributes:
        param_groups: of both; "lr" may be changed.

    Args:
        network: all that learns.
        hidden: the part of it whose weights Muon steps.
        learning_rate: Adam's step size.
        muon_rate: Muon's, for entries of the size that Adam's steps have (Liu et al. 2025); 0 leaves all to Adam.
        hidden_rate: Adam's step size for all of the hidden part, in place of Muon; None as said above.
    """

    def __init__(
        self,
        network: nn.Module,
        hidden: nn.Module,
        learning_rate: float,
        muon_rate: float,
        hidden_rate: float | None = None,
    ) -> None:
        if hidden_rate is not None:
            muon_rate = 0.0
        own = [] if hidden_rate is None else list(hidden.parameters())
        self._weights = [weight for weight in hidden.parameters() if weight.ndim > 1 and muon_rate > 0]
        known = {id(weight) for weight in [*self._weights, *own]}
        others = [weight for weight in network.parameters() if id(weight) not in known]
        # The same memory, seen as matrices.
        self._matrices = [nn.Parameter(weight.detach().flatten(1)) for weight in self._weights]
        # Gradients since Muon's last step, [out, in] each.
        self._gradients = [torch.zeros_like(matrix) for matrix in self._matrices]
        self._steps = 0
        # An optimizer of nothing may not be made, but it may have a group of nothing.
        self._muon = torch.optim.Muon(
            [{"params": self._matrices}],
            lr=PERIOD * muon_rate,
            weight_decay=0.0,
            momentum=0.95**PERIOD,
            adjust_lr_fn="match_rms_adamw",
        )
        groups: list[dict[str, Any]] = [{"params": others}]
        if own:
            groups.append({"params": own, "lr": hidden_rate})
        self._adam = torch.optim.Adam(groups, lr=learning_rate, eps=1e-5, fused=True)
        self.param_groups: list[dict[str, Any]] = [*self._muon.param_groups, *self._adam.param_groups]
        self._first_rates = [float(group["lr"]) for group in self.param_groups]

    def decay(self, share: float) -> None:
        """Set all step sizes to this share of what they were at the start."""
        for group, rate in zip(self.param_groups, self._first_rates, strict=True):
            group["lr"] = share * rate

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self._adam.zero_grad(set_to_none=True)
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take a step along the gradients."""
        self._adam.step()
        for gradient, weight in zip(self._gradients, self._weights, strict=True):
            if weight.grad is not None:
                gradient.add_(weight.grad.flatten(1), alpha=1 / PERIOD)
        self._steps += 1
        if self._steps % PERIOD == 0:
            for matrix, gradient in zip(self._matrices, self._gradients, strict=True):
                matrix.grad = gradient
            self._muon.step()  # type: ignore[no-untyped-call]
            for gradient in self._gradients:
                gradient.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Return all tensors, zeros before the first step."""
        return {
            **nest("muon", optimizer_state(self._muon, ("momentum_buffer",))),
            **nest("gradients", {str(i): gradient.clone() for i, gradient in enumerate(self._gradients)}),
            **nest("adam", optimizer_state(self._adam)),
            "steps": torch.tensor(self._steps),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned."""
        load_optimizer_state(self._muon, part("muon", state), ("momentum_buffer",))
        for i, gradient in enumerate(self._gradients):
            gradient.copy_(state[f"gradients.{i}"])
        load_optimizer_state(self._adam, part("adam", state))
        self._steps = int(state["steps"])
