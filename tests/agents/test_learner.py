"""The average of the weights, the step sizes' fall, and which optimizer steps what."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agents.learner import Learner, LearnerConfig, mean_logs
from agents.optimizer import PERIOD
from tests.agents.making import copy, same


class Line(nn.Module):
    """One weight w and a bias b; w x + b."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder: Any = nn.Linear(1, 1, bias=False)
        self.encoder.pace = 1.0
        self.head = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.head(self.encoder(x)),)


def learner(**settings: float) -> Learner:
    torch.manual_seed(0)
    return Learner(Line(), LearnerConfig(**settings), torch.device("cpu"), "fp32")


def step(agent: Learner) -> None:
    agent.step(agent.network(torch.ones(1, 1))[0].square().sum())


def test_the_average_follows_the_weights() -> None:
    agent = learner(averaging=0.0)
    step(agent)
    assert same(agent.average.state_dict(), agent.network.state_dict())
    assert not any(parameter.requires_grad for parameter in agent.average.parameters())
    agent = learner(averaging=1.0)
    first = copy(agent.average.state_dict())
    step(agent)
    assert same(agent.average.state_dict(), first)
    assert not same(agent.network.state_dict(), first)
    agent = learner(averaging=0.75)
    for _ in range(2):
        before = copy(dict(agent.average.named_parameters()))
        step(agent)
        now = dict(agent.network.named_parameters())
        for key, value in agent.average.named_parameters():
            torch.testing.assert_close(value, 0.75 * before[key] + 0.25 * now[key])


def test_the_step_sizes_fall_to_a_twentieth() -> None:
    """0.05 + 0.95 (1 - 4/3 p)^2 of what they were, by hand; and stay there for the last quarter."""
    agent = learner(learning_rate=1e-3, muon_rate=4e-3)
    rates = [agent.decay(progress) for progress in (0.25, 0.5, 0.75, 1.0, 1.25)]
    assert rates == pytest.approx([4.722222e-4, 1.555556e-4, 5e-5, 5e-5, 5e-5])
    assert [group["lr"] for group in agent.optimizer.param_groups] == pytest.approx([0.05 * PERIOD * 4e-3, 5e-5])
    assert learner(learning_rate=0.5, anneal=False).decay(0.9) == 0.5


def test_gradients_are_scaled_down_to_a_norm_and_never_up() -> None:
    """Adam's first moments are a tenth of the first gradient, as far as it was taken."""
    for scale, norm in ((1e4, 0.5), (1e-4, None)):
        agent = learner(max_grad_norm=0.5, muon_rate=0.0)
        agent.step(scale * agent.network(torch.ones(1, 1))[0].sum())
        moments = [value for name, value in agent.state_dict().items() if name.endswith("exp_avg")]
        total = 10 * sum(float(value.square().sum()) for value in moments) ** 0.5
        if norm is not None:
            assert total == pytest.approx(norm, rel=1e-4)
        else:
            assert 0 < total < 1e-3


def test_logs_are_averaged_under_one_name() -> None:
    assert mean_logs([{"loss": torch.tensor(1.0)}, {"loss": torch.tensor(4.0)}]) == {"train/loss": 2.5}
    assert mean_logs([]) == {}
