"""Generalised advantages against their definition as a mean of n-step advantages, in float64."""

import numpy as np
import pytest
import torch

from agents.returns import RunningScale, gae, growing, monte_carlo
from tests.agents.definitions import advantages as by_definition


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("gamma", [0.5, 0.97, 1.0])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_random_episodes(gamma: float, lam: float, share: float) -> None:
    rng = np.random.default_rng(int(100 * (gamma + 2 * lam + 4 * share)))
    rewards, values = rng.normal(size=(40, 6)), rng.normal(size=(41, 6))
    ends, deaths = rng.random((40, 6)) < share, rng.random((40, 6)) < 0.5
    terminated, truncated = ends & deaths, ends & ~deaths
    if share:  # also at both edges
        terminated[[0, -1], 0], truncated[[0, -1], 1] = True, True
        truncated[:, 0] &= ~terminated[:, 0]
        terminated[:, 1] &= ~truncated[:, 1]
    expected = by_definition(rewards, values, terminated, truncated, gamma, lam)
    flags = torch.from_numpy(terminated), torch.from_numpy(truncated)
    advantages, returns = gae(torch.from_numpy(rewards), torch.from_numpy(values), *flags, gamma, lam)
    assert advantages.shape == returns.shape == (40, 6)
    assert np.abs(advantages.numpy() - expected).max() < 1e-6
    assert np.abs(returns.numpy() - expected - values[:-1]).max() < 1e-6
    single, _ = gae(torch.from_numpy(rewards).float(), torch.from_numpy(values).float(), *flags, gamma, lam)
    assert single.dtype == torch.float32
    assert np.abs(single.numpy() - expected).max() < 1e-6 * max(1, np.abs(expected).max()) * 4


REWARDS, VALUES = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[10.0], [20.0], [30.0], [40.0]])
NO = torch.zeros(3, 1, dtype=torch.bool)


def at(*steps: int) -> torch.Tensor:
    flags = NO.clone()
    flags[list(steps)] = True
    return flags


def test_lambda_0_is_one_step_ahead() -> None:
    advantages, returns = gae(REWARDS, VALUES, NO, NO, 0.5, 0.0)
    assert advantages.flatten().tolist() == [1 + 10 - 10, 2 + 15 - 20, 4 + 20 - 30]
    assert returns.flatten().tolist() == [11, 17, 24]
    advantages, _ = gae(REWARDS, VALUES, at(1), NO, 0.5, 0.0)
    assert advantages.flatten().tolist() == [1, 2 - 20, -6]
    advantages, _ = gae(REWARDS, VALUES, NO, at(1), 0.5, 0.0)
    assert advantages.flatten().tolist() == [1, -3, -6]  # truncated: as if nothing had ended


def test_lambda_1_is_the_whole_return() -> None:
    _, returns = gae(REWARDS, VALUES, NO, NO, 0.5, 1.0)
    assert returns.flatten().tolist() == [1 + 1 + 1 + 40 / 8, 2 + 2 + 10, 4 + 20]
    _, returns = gae(REWARDS, VALUES, at(1), NO, 0.5, 1.0)
    assert returns.flatten().tolist() == [1 + 1, 2, 24]
    _, returns = gae(REWARDS, VALUES, NO, at(1), 0.5, 1.0)
    assert returns.flatten().tolist() == [1 + 1 + 30 / 4, 2 + 15, 24]


@pytest.mark.parametrize("lam", [0.0, 0.9, 1.0])
def test_a_constant_reward_is_worth_the_same_however_often_it_is_cut(lam: float) -> None:
    rewards, values = torch.ones(12, 2), torch.full((13, 2), 10.0)
    cut = torch.zeros(12, 2, dtype=torch.bool)
    cut[[3, 7], 0], cut[11, 1] = True, True
    advantages, returns = gae(rewards, values, torch.zeros_like(cut), cut, 0.9, lam)
    torch.testing.assert_close(returns, torch.full((12, 2), 10.0))
    torch.testing.assert_close(advantages, torch.zeros(12, 2), atol=1e-5, rtol=0)
    dead, _ = gae(rewards, values, cut, torch.zeros_like(cut), 0.9, lam)
    assert dead[cut].tolist() == [-9.0] * 3


def test_the_horizon_grows_by_equal_factors_and_then_stays() -> None:
    """From 10 steps to 1000: 100 halfway."""
    assert [growing(0.9, 0.999, p) for p in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([0.9, 0.99, 0.999, 0.999])
    assert growing(0.5, 1.0, 0.0) == 0.5
    assert growing(0.99, 0.9, 0.5) == pytest.approx(0.99)
    assert growing(0.0, 0.0, 0.3) == 0.0


def test_advantages_are_scaled_by_their_root_mean_square_of_late() -> None:
    """By hand: the first rollout's alone, then 19 parts of what was and one of what is new."""
    scale = RunningScale()
    assert scale(torch.tensor([3.0, -4.0, 0.0, 5.0])) == pytest.approx(12.5**0.5)
    assert scale(torch.tensor([10.0, -10.0])) == pytest.approx((0.95 * 12.5 + 5.0) ** 0.5)
    assert scale(torch.tensor([0.0])) == pytest.approx((0.95 * (0.95 * 12.5 + 5.0)) ** 0.5)


def test_monte_carlo_returns_sum_to_the_end_and_only_known_ones_count() -> None:
    """One game by hand, gamma 1/2: it terminates after step 1, is cut off after 4, and goes on at the end."""
    rewards = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])[:, None]
    terminated, truncated = torch.zeros(2, 7, 1, dtype=torch.bool)
    terminated[1], truncated[4] = True, True
    returns, known = monte_carlo(rewards, terminated, truncated, 0.5, needed=2)
    assert returns.flatten().tolist() == [1 + 1, 2, 4 + 4 + 4, 8 + 8, 16, 32 + 32, 64]
    assert known.flatten().tolist() == [True, True, True, True, False, True, False]
    assert monte_carlo(rewards, terminated, truncated, 0.5, needed=3)[1].flatten().tolist() == [True] * 3 + [False] * 4


@pytest.mark.parametrize("seed", range(5))
def test_monte_carlo_returns_are_the_double_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(20, 3))
    terminated, truncated = rng.random((2, 20, 3)) < 0.15
    returns, known = monte_carlo(
        *(torch.from_numpy(array) for array in (rewards, terminated, truncated)), gamma=0.9, needed=4
    )
    for t in range(20):
        for game in range(3):
            end = next((k for k in range(t, 20) if terminated[k, game] or truncated[k, game]), 19)
            expected = sum(0.9 ** (k - t) * rewards[k, game] for k in range(t, end + 1))
            assert returns[t, game].item() == pytest.approx(expected)
            assert known[t, game].item() == (terminated[end, game] or end - t + 1 >= 4)
