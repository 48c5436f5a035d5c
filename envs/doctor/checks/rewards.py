"""What an agent is paid: finite numbers of a size to learn from."""

from collections.abc import Iterator

import numpy as np

from envs.doctor.checks.evidence import Evidence, steps
from envs.doctor.finding import ERROR, NOTE, WARNING, Finding
from envs.doctor.probe import describe, number


def reward_type(seen: Evidence) -> Iterator[Finding]:
    """A reward is one number."""
    for reward, label in steps(seen, seen.play.rewards):
        if isinstance(reward, (bool, np.bool_)):
            yield Finding("reward-type", WARNING, f"the reward of {label} is a bool, {reward}")
            return
        if not isinstance(reward, (int, float, np.integer, np.floating)):
            yield Finding("reward-type", ERROR, f"the reward of {label} is {describe(reward)}")
            return


def reward_finite(seen: Evidence) -> Iterator[Finding]:
    """There is no NaN and no infinity among the rewards."""
    for reward, label in steps(seen, seen.play.rewards):
        if not np.isfinite(number(reward)):
            yield Finding("reward-not-finite", ERROR, f"the reward of {label} is {number(reward)}")
            return


def reward_scale(seen: Evidence) -> Iterator[Finding]:
    """Rewards are of a size that a value network can learn."""
    rewards = np.array([number(reward) for reward in seen.play.rewards])
    rewards = rewards[np.isfinite(rewards)]
    if len(rewards) and np.abs(rewards).max() > 1000:
        yield Finding("reward-scale", WARNING, f"rewards go from {rewards.min():,.6g} to {rewards.max():,.6g}")
    elif len(rewards) and 0 < np.abs(rewards).max() < 1e-4:
        yield Finding("reward-scale", WARNING, f"no reward is larger than {np.abs(rewards).max():.2g}")


def reward_zero(seen: Evidence) -> Iterator[Finding]:
    """Random play meets a reward now and then."""
    if seen.play.rewards and not any(number(reward) for reward in seen.play.rewards):
        count = f"{len(seen.play.rewards):,} steps and {len(seen.play.episodes):,} ends"
        yield Finding("reward-zero", NOTE, f"every reward was 0, in {count} of episodes of random play")
