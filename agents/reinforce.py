"""REINFORCE with a baseline (Williams 1992) on many games at once.

The oldest policy gradient: what an action is worth is what came after it, summed to the episode's end. Nothing is
ever filled in by an estimate, which is all that tells it from A2C.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from agents.a2c import A2C
from agents.actor import ActorConfig
from agents.learner import LearnerConfig
from agents.returns import monte_carlo
from agents.rollout import Rollout
from experiment.ranges import NonNegative, Share


@dataclass
class ReinforceConfig(LearnerConfig, ActorConfig):
    """Settings of REINFORCE."""

    num_envs: int = 8
    """games played at once"""
    rollout_steps: int = 256
    """steps of each game between two updates"""
    gamma: Share = 0.95
    """discount per decision at the start"""
    final_gamma: Share = 0.98
    """discount per decision after the run's first quarter; the horizon 1 / (1 - gamma) grows until then or stays"""
    entropy_coef: NonNegative = 0.003
    """weight of the entropy bonus"""
    value_coef: NonNegative = 1.0
    """weight of the baseline's loss"""


class REINFORCE(A2C):
    """Learns one game from many copies of it. Arguments as in `OnPolicy`.

    A step is learned from if its return is known: the episode terminated, or so many rewards followed within
    the rollout that at most a twentieth of a constant reward's return is missing. For large discounts that would
    leave little of a rollout; a quarter of a rollout of rewards is always enough, and less where no step has as
    many. Where fewer steps are left of a rollout than that, none is learned from: only those whose episode ends soon
    would be known, and to learn from these alone is to learn that all end soon. The same remains before a limit on an
    episode's length, of which nothing is known here.
    """

    config: ReinforceConfig  # type: ignore[assignment]

    def _estimate(self, rollout: Rollout, values: Tensor, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
        """A_t = R_t - V(s_t): the return less the baseline."""
        needed = math.ceil(math.log(0.05) / math.log(gamma)) if 0 < gamma < 1 else rollout.steps
        needed = min(needed, max(1, rollout.steps // 4))
        while True:
            returns, enough = monte_carlo(rollout.rewards, rollout.terminated, rollout.truncated, gamma, needed)
            known = enough & rollout.valid
            known[rollout.steps - needed + 1 :] = False  # of these, only who died soon would be known
            if known.any() or needed <= 1:
                return returns - values[:-1], returns, known
            needed //= 2  # where a limit cuts all episodes off sooner, there must be something to learn from, too
