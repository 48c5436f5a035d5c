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


@pytest.mark.parametrize(("limit", "smallest"), [(1, 1.0), (3, 2.9701), (8, 6.79346)])
def test_episodes_that_are_cut_off_early_are_learned_from_too(limit: int, smallest: float) -> None:
    """None is as long as half a rollout. The longest returns count then; without any, all weights would become NaN.

    At 0.99, 299 rewards are wanted, and half a rollout at most: 30, and then 15, 7, 3 or 1, whichever come first. Of so
    many the smallest return that counts is (1 - 0.99^n) / 0.01.
    """
    agent = make_tiny(REINFORCE, ReinforceConfig(), STILL, max_frames=limit, num_envs=3, rollout_steps=60)
    rollout, _ = agent.played
    _, returns, known = agent._estimate(rollout, torch.zeros(61, 3), 0.99)
    assert known.any()
    assert not known[~rollout.valid].any()
    assert returns[known].min().item() == pytest.approx(smallest, rel=1e-5)
    agent.iterate()
    assert all(weight.isfinite().all() for weight in agent.learner.network.state_dict().values())
