"""REINFORCE: which steps it learns from. The rest is in test_on_policy.py, its returns in test_returns.py."""

import numpy as np
import pytest
import torch

from agents.reinforce import REINFORCE, ReinforceConfig
from tests.agents.definitions import returns
from tests.agents.games import CATCH, STILL
from tests.agents.making import make_tiny
from tests.agents.telling import one_step


@pytest.mark.parametrize("gamma", [0.5, 0.8, 0.9])
def test_at_most_a_twentieth_of_a_constant_reward_is_missing(gamma: float) -> None:
    """The reward is 1, and nothing terminates: the whole return would be 1 / (1 - gamma)."""
    agent = make_tiny(
        REINFORCE,
        ReinforceConfig(),
        STILL,
        max_frames=40,
        num_envs=3,
        rollout_steps=120,
        gamma=gamma,
        final_gamma=gamma,
    )
    rollout, _ = agent.play()
    values = torch.full((121, 3), 2.0)
    advantages, returns, known = agent._estimate(rollout, values, gamma)
    valid, full = rollout.valid, 1 / (1 - gamma)
    assert torch.equal(known[valid], returns[valid] >= 0.95 * full)
    assert not known[~valid].any()
    assert known.any()
    assert not known[valid].all()
    torch.testing.assert_close(advantages[known], returns[known] - 2.0)


@pytest.mark.parametrize(("limit", "smallest"), [(1, 1.0), (3, 2.9701), (8, 6.79346)])
def test_episodes_that_are_cut_off_early_are_learned_from_too(limit: int, smallest: float) -> None:
    """None is as long as a quarter of a rollout. The longest returns count then, or all weights would become NaN.

    At 0.99, 299 rewards are wanted, and a quarter of a rollout at most: 15, and then 7, 3 or 1, whichever come first.
    Of so many the smallest return that counts is (1 - 0.99^n) / 0.01.
    """
    agent = make_tiny(REINFORCE, ReinforceConfig(), STILL, max_frames=limit, num_envs=3, rollout_steps=60)
    rollout, _ = agent.played
    _, returns, known = agent._estimate(rollout, torch.zeros(61, 3), 0.99)
    assert known.any()
    assert not known[~rollout.valid].any()
    assert returns[known].min().item() == pytest.approx(smallest, rel=1e-5)
    agent.iterate()
    assert all(weight.isfinite().all() for weight in agent.learner.network.state_dict().values())


@pytest.mark.parametrize("max_frames", [None, 4])
def test_a_gradient_step_is_told_what_belongs_together(max_frames: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Returns by definition, less values of the same steps, which come from random weights; of known returns alone.

    At 0.5 five rewards make a return. Of the last four steps none counts, or those that died soon would stand for all.
    """
    agent = make_tiny(
        REINFORCE, ReinforceConfig(), CATCH, max_frames=max_frames, num_envs=4, rollout_steps=20,
        gamma=0.5, final_gamma=0.5,
    )  # fmt: skip
    told = one_step(agent, monkeypatch)
    rollout = told.rollout
    terminated, truncated = rollout.terminated.numpy(), rollout.truncated.numpy()
    by_definition = returns(rollout.rewards.numpy(), terminated | truncated, 0.5)
    known = np.zeros((20, 4), np.bool_)
    for t, game in rollout.valid.nonzero().tolist():
        end = next((k for k in range(t, 20) if terminated[k, game] or truncated[k, game]), 19)
        known[t, game] = t <= 15 and (terminated[end, game] or end - t + 1 >= 5)
    if max_frames:  # no episode has five steps: two rewards are enough then
        known = rollout.valid.numpy() & (np.arange(20) <= 18)[:, None] & ~truncated
    expected = (by_definition - told.values[:-1])[known]
    assert told.returns == pytest.approx(by_definition[known], abs=1e-5)
    assert told.advantages == pytest.approx(expected / np.sqrt((expected**2).mean()), abs=1e-4)
    assert told.log_probs == pytest.approx(told.expected_log_probs[known], abs=1e-4)
    assert told.answers == pytest.approx(told.values[:-1][known], abs=1e-4)
