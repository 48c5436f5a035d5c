"""Estimators of returns and advantages. Pure functions of arrays [steps, games]."""

import torch
from torch import Tensor


def gae(
    rewards: Tensor, values: Tensor, terminated: Tensor, truncated: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016).

        delta_t = r_t + gamma (1 - terminated_t) V_{t+1} - V_t
        A_t = delta_t + gamma lambda (1 - done_t) A_{t+1}

    A truncated episode still bootstraps from V_{t+1}, the value of its last observation; only a
    terminated one does not. The sum of advantages stops at either.

    Args:
        rewards: float [steps, games].
        values: float [steps + 1, games]; values[t + 1] belongs to the observation that step t led to.
        terminated: bool [steps, games].
        truncated: bool [steps, games].
        gamma: discount.
        lam: lambda, 0 for one-step advantages, 1 for Monte Carlo.

    Returns:
        (advantages, returns), float [steps, games] each; returns = advantages + values.
    """
    alive = (~terminated).to(rewards.dtype)
    going_on = (~(terminated | truncated)).to(rewards.dtype)
    advantages = torch.empty_like(rewards)
    later = torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * alive[t] * values[t + 1] - values[t]
        later = delta + gamma * lam * going_on[t] * later
        advantages[t] = later
    return advantages, advantages + values[:-1]
