"""A2C: its loss by hand, and that it learns by the policy that played. The rest is in test_on_policy.py."""

import numpy as np
import pytest
import torch
from torch import Tensor

from agents import a2c
from agents.a2c import A2C, A2CConfig, policy_loss
from tests.agents.definitions import advantages
from tests.agents.games import CATCH
from tests.agents.making import make_tiny
from tests.agents.telling import one_step


def test_policy_loss_by_hand() -> None:
    log_prob = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    loss = policy_loss(log_prob, torch.tensor([2.0, -3.0, 0.0]))
    assert loss.item() == pytest.approx((2 - 6 + 0) / 3)
    (gradient,) = torch.autograd.grad(loss, log_prob)
    assert gradient.tolist() == pytest.approx([-2 / 3, 1.0, 0.0])


def test_the_loss_is_of_the_policy_with_its_leaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the weights that played, the log probabilities are those with which the actions were drawn."""
    agent = make_tiny(A2C, A2CConfig(), CATCH, num_envs=4, rollout_steps=20, exploration_steps=1000)
    played: list[Tensor] = []
    met: list[Tensor] = []
    draw = agent.actor.draw

    def noted_draw(logits: Tensor) -> tuple[Tensor, Tensor]:
        actions, log_probs = draw(logits)
        played.append(log_probs)
        return actions, log_probs

    def noted_loss(log_prob: Tensor, advantages: Tensor) -> Tensor:
        assert log_prob.shape == advantages.shape
        met.append(log_prob.detach())
        return policy_loss(log_prob, advantages)

    monkeypatch.setattr(agent.actor, "draw", noted_draw)
    monkeypatch.setattr(a2c, "policy_loss", noted_loss)
    agent.iterate()
    for _ in range(3):
        wanted, valid = torch.stack(played[-20:]), agent.actor.rollout.valid
        assert not valid.all()
        wanted = wanted[valid]
        agent.learner.network.load_state_dict(agent.playing.state_dict())
        agent.iterate()
        torch.testing.assert_close(met[-1], wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("max_frames", [None, 4])
def test_a_gradient_step_is_told_what_belongs_together(max_frames: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Advantages and returns by definition, from the learning network's values, beside its answers there."""
    gamma, lam = 0.9, 0.7
    agent = make_tiny(
        A2C, A2CConfig(), CATCH, max_frames=max_frames, num_envs=4, rollout_steps=20,
        gamma=gamma, final_gamma=gamma, gae_lambda=lam,
    )  # fmt: skip
    told = one_step(agent, monkeypatch)
    rollout = told.rollout
    flags = rollout.terminated.numpy(), rollout.truncated.numpy()
    by_definition = advantages(rollout.rewards.numpy(), told.values, *flags, gamma, lam)
    valid = rollout.valid.numpy()
    expected = by_definition[valid]
    assert told.advantages == pytest.approx(expected / np.sqrt((expected**2).mean()), abs=1e-4)
    assert told.returns == pytest.approx((by_definition + told.values[:-1])[valid], abs=1e-4)
    assert told.log_probs == pytest.approx(told.expected_log_probs[valid], abs=1e-4)
    assert told.answers == pytest.approx(told.values[:-1][valid], abs=1e-4)
    assert rollout.terminated.any() == (max_frames is None)
    assert rollout.truncated.any() == (max_frames is not None)
