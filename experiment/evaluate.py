"""Honest evaluation: fresh seeds, greedy policy, a stated cap, an interval."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.guest import EnvFailure
from envs.stack import FrameStack
from experiment.policy import Policy

FRESH = 2**33  # evaluation seeds lie from here on; training draws seeds below 2**32
RESAMPLES = 10_000  # of the bootstrap


def fresh_seeds(seed: int, episodes: int) -> list[int]:
    """Return a seed for each episode of an evaluation; evaluations of different seeds share none."""
    return [FRESH + seed * 1_000_003 + i for i in range(episodes)]


def evaluate(
    make_envs: Callable[..., Any],
    policy: Policy,
    frames: int,
    episodes: int = 100,
    seed: int = 0,
    score_cap: int | None = 200,
    watch: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Play whole episodes, each from a fresh seed, all at once.

    Every game plays exactly one episode, so that short episodes are not counted more often than long ones. An episode
    that its environment broke off by failing counts for nothing, if such environments are made anew.

    Args:
        make_envs: called with num_envs and score_cap; returns the vector env, which may have played before.
        policy: chooses the actions. The result is that of a greedy policy only if this one is greedy.
        frames: frames in a stack.
        episodes: number of episodes.
        seed: evaluations of different seeds share no episode.
        score_cap: an episode ends when it reaches this score; None for no cap.
        watch: told, at every step, how many episodes have ended.

    Returns:
        episodes, seed, score_mean, score_median, score_ci95 (of the mean), score_min, score_cap,
        reached_cap (share of episodes), steps (decisions over all episodes), scores; `interrupted`, how many episodes
        were broken off and are in none of these, only if there were any.

    Raises:
        EnvFailure: if an environment fails and is not made anew, or all of them did.
    """
    envs = make_envs(num_envs=episodes, score_cap=score_cap)
    observations, info = envs.reset(seed=fresh_seeds(seed, episodes))
    stack = FrameStack(frames, observations)
    policy = policy.begin(episodes)
    playing, lost = np.ones(episodes, np.bool_), np.zeros(episodes, np.bool_)
    scores, steps = np.zeros(episodes), np.zeros(episodes, np.int64)
    actions = np.zeros(episodes, np.int64)
    while playing.any():
        steps += playing
        asked = np.ones_like(playing) if policy.recurrent else playing
        actions[asked] = policy(torch.from_numpy(stack.stacks[asked])).cpu().numpy()
        observations, _, terminated, truncated, info = envs.step(actions)
        stack.push(observations, np.zeros(episodes, np.bool_))
        lost |= playing & info.get("interrupted", False)
        playing &= ~lost
        ended = playing & (terminated | truncated)
        scores[ended] = info["score"][ended]
        playing &= ~ended
        envs.rest(~playing)
        if watch:
            watch(episodes - int(playing.sum()))
    if lost.all():
        raise EnvFailure("no episode came to an end: all their environments failed")
    result = summarize(scores[~lost], score_cap)
    result |= {"episodes": int((~lost).sum()), "seed": seed, "steps": int(steps[~lost].sum())}
    return result | {"interrupted": int(lost.sum())} if lost.any() else result


def one_line(result: dict[str, Any]) -> str:
    """Put an evaluation into words."""
    low, high = result["score_ci95"]
    text = f"score {result['score_mean']:.1f} (95% interval {low:.1f} to {high:.1f}), median {result['score_median']:g}"
    if result["score_cap"]:
        text += (
            f"; {result['reached_cap']:.0%} of {result['episodes']} episodes reached the cap of {result['score_cap']}"
        )
    return text


def summarize(scores: NDArray[np.float64], score_cap: int | None) -> dict[str, Any]:
    """Reduce scores, float [episodes], to a mean with its interval and the share that reached the cap."""
    return {
        "score_mean": float(scores.mean()),
        "score_median": float(np.median(scores)),
        "score_ci95": bootstrap_interval(scores),
        "score_min": float(scores.min()),
        "score_cap": score_cap,
        "reached_cap": float((scores >= score_cap).mean()) if score_cap else 0.0,
        "scores": scores.tolist(),
    }


def bootstrap_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95% percentile bootstrap interval of the mean (Efron 1979); the same for the same values."""
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(1), [2.5, 97.5])
    return float(low), float(high)
