"""Advantages and returns by their definitions, in loops and float64."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def advantages(
    rewards: NDArray[Any], values: NDArray[Any], terminated: NDArray[Any], truncated: NDArray[Any], g: float, lam: float
) -> NDArray[np.float64]:
    """A = (1 - lambda) (A1 + lambda A2 + lambda^2 A3 + ...), Schulman et al. 2016, equation 16.

    An is the sum of n discounted rewards and the value after them, less the value before. Past the end of
    the episode or the rollout nothing changes any more, so that the last An stands for all that follow.
    """
    steps, games = rewards.shape
    found = np.zeros((steps, games))
    for game in range(games):
        for t in range(steps):
            n_step, total = [], 0.0
            for k in range(t, steps):
                total += g ** (k - t) * rewards[k, game]
                after = 0.0 if terminated[k, game] else g ** (k - t + 1) * values[k + 1, game]
                n_step.append(total + after - values[t, game])
                if terminated[k, game] or truncated[k, game]:
                    break
            weights = [(1 - lam) * lam**n for n in range(len(n_step) - 1)] + [lam ** (len(n_step) - 1)]
            found[t, game] = np.dot(weights, n_step)
    return found


def returns(rewards: NDArray[Any], done: NDArray[Any], g: float) -> NDArray[np.float64]:
    """Sum discounted rewards up to the one of the step at which an episode ends, or of the last."""
    steps, games = rewards.shape
    found = np.zeros((steps, games))
    for game in range(games):
        for t in range(steps):
            end = next((k for k in range(t, steps) if done[k, game]), steps - 1)
            found[t, game] = sum(g ** (k - t) * rewards[k, game] for k in range(t, end + 1))
    return found
