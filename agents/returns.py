"""Estimators of returns and advantages, arrays [steps, games], and what they are scaled and discounted by."""

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
    deltas, kept = rewards + gamma * alive * values[1:] - values[:-1], gamma * lam * going_on
    advantages = [torch.zeros_like(rewards[0])]
    for delta, keep in zip(reversed(deltas.unbind()), reversed(kept.unbind()), strict=True):
        advantages.append(torch.addcmul(delta, keep, advantages[-1]))
    found = torch.stack(advantages[:0:-1])
    return found, found + values[:-1]


def monte_carlo(
    rewards: Tensor, terminated: Tensor, truncated: Tensor, gamma: float, needed: int
) -> tuple[Tensor, Tensor]:
    """Sum rewards to the episode's end, without any estimate of what comes after.

        R_t = r_t + gamma (1 - done_t) R_{t+1}

    Where an episode is cut off, by a limit or by the end of the arrays, the last returns lack most of what would have
    followed. They are known only if at least `needed` rewards were summed.

    Args:
        rewards: float [steps, games].
        terminated: bool [steps, games].
        truncated: bool [steps, games].
        gamma: discount.
        needed: rewards that make a return known if the episode did not terminate.

    Returns:
        (returns float, known bool), [steps, games] each.
    """
    returns, known = torch.empty_like(rewards), torch.empty_like(terminated)
    later, summed = torch.zeros_like(rewards[0]), torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        done = terminated[t] | truncated[t]
        later = rewards[t] + gamma * torch.where(done, 0, later)
        summed = torch.where(terminated[t], float("inf"), torch.where(truncated[t], 0, summed) + 1)
        returns[t], known[t] = later, summed >= needed
    return returns, known


def growing(first: float, last: float, progress: float) -> float:
    """Go from one discount to another so that the horizon 1 / (1 - discount) grows geometrically.

    A short horizon learns quickly, a long one sees far: what kills may have happened one pipe earlier
    (annealed as in Schwarzer et al. 2023).

    Args:
        first: at progress 0.
        last: at progress 1 and beyond; the horizon never shrinks, so a smaller one than the first counts for nothing.
        progress: 0 to 1.
    """
    progress, last = min(progress, 1.0), max(first, last)
    return float(1 - (1 - first) ** (1 - progress) * (1 - last) ** progress)


class RunningScale:
    """Root mean square of the advantages, averaged over about the last twenty rollouts.

    Most minibatches of a good player hold no death. Scaled by their own deviation, as is usual, they would
    blow up the value function's small errors to the size of the rare advantages that matter.

    Attributes:
        square: running mean square, float64 []; 0 before the first rollout.
    """

    def __init__(self) -> None:
        self.square = torch.zeros((), dtype=torch.float64)

    def __call__(self, advantages: Tensor) -> float:
        """Take new advantages, of any shape, into the scale; returns it."""
        square = advantages.double().square().mean()
        self.square = torch.lerp(self.square, square, 0.05) if self.square else square
        return float(self.square.sqrt()) + 1e-8
