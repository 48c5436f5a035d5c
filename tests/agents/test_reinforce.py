"""REINFORCE: which steps it learns from. The rest is in test_on_policy.py, its returns in test_returns.py."""

import pytest
import torch

from agents.reinforce import REINFORCE, ReinforceConfig
from tests.agents.games import STILL
from tests.agents.making import make_tiny


@pytest.mark.parametrize("gamma", [0.5, 0.8, 0.9])
def test_at_most_a_twentieth_of_a_constant_reward_is_missing(gamma: float) -> None:
    """The reward is 1, and nothing terminates: the whole return would be 1 / (1 - gamma)."""
    agent = make_tiny(
        REINFORCE, ReinforceConfig(), STILL, max_frames=40, num_envs=3, rollout_steps=60, gamma=gamma, final_gamma=gamma
    )
    rollout, _ = agent.play()
    values = torch.full((61, 3), 2.0)
    advantages, returns, known = agent._estimate(rollout, values, gamma)
    valid, full = rollout.valid, 1 / (1 - gamma)
    assert torch.equal(known[valid], returns[valid] >= 0.95 * full)
    assert not known[~valid].any()
    assert known.any()
    assert not known[valid].all()
    torch.testing.assert_close(advantages[known], returns[known] - 2.0)


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_episodes_that_are_cut_off_early_are_learned_from_too(limit: int) -> None:
    """None is as long as half a rollout. The longest returns count then; without any, all weights would become NaN."""
    agent = make_tiny(REINFORCE, ReinforceConfig(), STILL, max_frames=limit, num_envs=3, rollout_steps=60)
    rollout, _ = agent.play()
    _, returns, known = agent._estimate(rollout, torch.zeros(61, 3), 0.99)
    assert known.any()
    assert returns[known].min() >= returns[rollout.valid].max() / 3
