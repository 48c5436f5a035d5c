"""PQN: its loss by hand and its returns against their definition. The rest is in test_on_policy.py."""

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.pqn import PQN, PQNConfig, q_loss
from agents.rollout import Rollout
from tests.agents.games import CATCH
from tests.agents.making import make_tiny


def test_loss_by_hand() -> None:
    """Half the mean square, of the chosen actions alone."""
    q = torch.tensor([[1.0, 7.0], [2.0, 8.0], [3.0, 9.0]], requires_grad=True)
    loss = q_loss(q, torch.tensor([0, 1, 1]), torch.tensor([1.5, 5.0, 9.0]))
    assert loss.item() == pytest.approx((0.25 + 9.0) / 6)
    (gradient,) = torch.autograd.grad(loss, q)
    assert gradient.flatten().tolist() == pytest.approx([-0.5 / 3, 0, 0, 1.0, 0, 0])


@pytest.mark.parametrize("max_frames", [None, 4])
def test_returns_are_the_weighted_mean_of_n_step_ones(max_frames: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """R = (1 - lambda) (R1 + lambda R2 + ...), in loops, where episodes terminate or are cut short.

    Rn is n discounted rewards and max_a Q after them. Past the end of the episode or the rollout the last stands
    for all that follow.
    """
    gamma, lam, steps, games = 0.9, 0.3, 12, 4
    agent = make_tiny(
        PQN, PQNConfig(), CATCH, max_frames=max_frames, num_envs=games, rollout_steps=steps,
        gamma=gamma, final_gamma=gamma, q_lambda=lam, epsilon=1.0,
    )  # fmt: skip
    torch.nn.init.normal_(agent.learner.network.advantage.weight)
    agent.learner.lend(agent.playing)
    wanted: dict[int, tuple[int, float]] = {}

    def noted(_: Rollout, index: Tensor, actions: Tensor, returns: Tensor) -> dict[str, Tensor]:
        wanted.update(zip(index.tolist(), zip(actions.tolist(), returns.tolist(), strict=True), strict=True))
        return {}

    monkeypatch.setattr(agent, "_gradient_step", noted)
    rollout, notes = agent.play()
    for step in agent.learn(rollout, notes)[0]:
        step()
    with torch.no_grad():
        q, _ = agent.learner.network(rollout.observations(torch.arange((steps + 1) * games)))
    best = q.double().numpy().max(-1).reshape(steps + 1, games)
    for t, game in rollout.valid.nonzero().tolist():
        n_step, total = [], 0.0
        for k in range(t, steps):
            total += gamma ** (k - t) * rollout.rewards[k, game].item()
            n_step.append(total + (0.0 if rollout.terminated[k, game] else gamma ** (k - t + 1) * best[k + 1, game]))
            if rollout.terminated[k, game] or rollout.truncated[k, game]:
                break
        weights = [(1 - lam) * lam**n for n in range(len(n_step) - 1)] + [lam ** (len(n_step) - 1)]
        action, returns = wanted.pop(t * games + game)
        assert action == rollout.actions[t, game]
        assert returns == pytest.approx(np.dot(weights, n_step), abs=1e-4)
    assert wanted == {}
    assert rollout.terminated.any() == rollout.rewards.any() == (max_frames is None)
    assert rollout.truncated.any() == (max_frames is not None)


def test_who_explores_no_more_does_what_is_worth_most() -> None:
    agent = make_tiny(PQN, PQNConfig(), CATCH, num_envs=8, rollout_steps=20, epsilon=0.0, exploration_steps=0)
    torch.nn.init.normal_(agent.learner.network.advantage.weight)
    agent.learner.lend(agent.playing)
    rollout, _ = agent.play()
    with torch.no_grad():
        q, _ = agent.playing(rollout.observations(torch.arange(20 * 8)))
    assert torch.equal(rollout.actions.flatten(), q.argmax(-1))
    assert len(rollout.actions.unique()) == 3
