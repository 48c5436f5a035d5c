"""What a gradient step of A2C, or of REINFORCE, is told, beside what the network says of the same steps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents import a2c
from agents.rollout import Rollout


@dataclass
class Told:
    """One gradient step.

    Attributes:
        rollout: what was learned from.
        values: what the network that learned said, [steps + 1, games].
        expected_log_probs: of what was done, by the policy with its leaning, [steps, games].
        log_probs, advantages, returns, answers: what losses were asked about, one a transition; answers are values.
    """

    rollout: Rollout
    values: NDArray[np.float32]
    expected_log_probs: NDArray[np.float32]
    log_probs: NDArray[np.float32]
    advantages: NDArray[np.float32]
    returns: NDArray[np.float32]
    answers: NDArray[np.float32]


def one_step(agent: Any, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Play a rollout and learn from it, with values from random weights, which are not known to be any good."""
    network, met = agent.learner.network, list[NDArray[np.float32]]()
    torch.nn.init.normal_(network.value.linear.weight)
    network.value.scale.fill_(1.0)
    agent.learner.lend(agent.playing)
    policy_loss, value_loss = a2c.policy_loss, network.value.loss

    def noted_policy(log_prob: Tensor, advantages: Tensor) -> Tensor:
        met.extend((log_prob.detach().numpy(), advantages.numpy()))
        return policy_loss(log_prob, advantages)

    def noted_value(logits: Tensor, wanted: Tensor) -> Tensor:
        met.extend((wanted.numpy(), scaled(logits)))
        loss: Tensor = value_loss(logits, wanted)
        return loss

    def scaled(logits: Tensor) -> NDArray[np.float32]:
        """The mean value, on the scale that it had before the returns moved it."""
        values: Tensor = (logits.detach().softmax(-1) * network.value.atoms).sum(-1)
        return values.numpy()

    monkeypatch.setattr(a2c, "policy_loss", noted_policy)
    monkeypatch.setattr(network.value, "loss", noted_value)
    rollout, notes = agent.play()
    games = agent.config.num_envs
    with torch.no_grad():
        logits, value_logits = network(rollout.observations(torch.arange((rollout.steps + 1) * games)))
    values = scaled(value_logits).reshape(-1, games)
    policy = (logits.view(rollout.steps + 1, games, -1)[:-1] + notes["leaning"]).log_softmax(-1)
    chosen = policy.gather(-1, rollout.actions[..., None]).squeeze(-1).numpy()
    for step in agent.learn(rollout, notes)[0]:
        step()
    return Told(rollout, values, chosen, *met)
