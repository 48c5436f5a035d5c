"""Atari games in ALE's own vector environment: many in this process, stepped by threads of its own.

It skips frames, pools, makes gray and reduces by itself; what that saves stands in docs/benchmarks.md. Its pictures
are those of as many `Guest`s but for rounding, with two exceptions: ALE pools after it has made them gray, and of an
episode's end it shows the picture before. Nobody can rest in it. So it is for training; evaluations see what people
see.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.guest import short
from envs.hosts import Failure, Results
from envs.screen import Screen
from envs.worker import RESET, REST

VECTOR = "ale_py.vector_env:AtariVectorEnv"
SINCE = (0, 12, 1)  # before, ALE could not begin some of the games anew
COMMON = {"repeat_action_probability", "full_action_space", "frameskip", "max_num_frames_per_episode"}


def wishes(env_id: str, settings: Mapping[str, Any], screen: Screen) -> dict[str, Any] | None:
    """Say what to ask ALE's vector environment for; None if this is none of ALE's games, or more than it can do.

    Args:
        env_id: as for `gymnasium.make`.
        settings: for the environment itself.
        screen: what lies between.
    """
    spec = gym.registry.get(env_id)
    if spec is None or spec.vector_entry_point != VECTOR:
        return None
    if tuple(map(int, re.findall(r"\d+", version("ale-py"))[:3])) < SINCE:
        return None
    asked = {**spec.kwargs, **settings}
    usual = Screen(frame_skip=screen.frame_skip, pool=screen.pool, clip_rewards=screen.clip_rewards, size=screen.size)
    skips = screen.frame_skip > 1  # else ALE does, by its own setting
    if screen != usual or not asked.keys() <= COMMON | {"game"} or (skips and "frameskip" in settings):
        return None
    counts = asked["frameskip"], asked["max_num_frames_per_episode"]
    if not all(isinstance(count, int) and count > 0 for count in counts):
        return None
    asked["full_action_space"] = bool(asked["full_action_space"])
    asked["repeat_action_probability"] = float(asked["repeat_action_probability"])
    return {**asked, "frameskip": screen.frame_skip if skips else counts[0], "maxpool": screen.pool and skips}


class Atari:
    """A `Host` of games that never fail, nor rest.

    Args:
        asked: see `wishes`.
        count: of games.
        shape: of an observation, (1, height, width).
        threads: to step them.
    """

    def __init__(self, asked: Mapping[str, Any], count: int, shape: Sequence[int], threads: int) -> None:
        from ale_py.vector_env import AtariVectorEnv

        self._games = AtariVectorEnv(
            num_envs=count,
            num_threads=threads,
            img_height=shape[1],
            img_width=shape[2],
            stack_num=1,
            noop_max=0,
            reward_clipping=False,
            use_fire_reset=False,
            **asked,
        )
        self._over = np.zeros(count, np.bool_)  # whose next step begins a new episode by itself

    def play(
        self, orders: Sequence[int], seeds: Sequence[int | None], out: NDArray[Any], results: Results, only: range
    ) -> list[Failure]:
        """See `Host`; only all at once.

        Raises:
            ValueError: if one is to rest.
        """
        wanted = np.array(orders)
        if (wanted == REST).any():
            raise ValueError("no game can rest in ALE's vector environment")
        numbers = np.array([-1 if seed is None else short(seed, 31) for seed in seeds])
        anew = (wanted == RESET) & (~self._over | (numbers >= 0))
        if not anew.all():
            out[:], results.rewards[:], results.terminated[:], results.truncated[:], _ = self._games.step(
                np.maximum(wanted, 0)
            )
            self._over = results.terminated | results.truncated
        if anew.any():
            out[anew] = self._games.reset(seed=numbers[anew], options={"reset_mask": anew})[0][anew]
            self._over[anew] = False
        results.rewards[anew], results.terminated[anew], results.truncated[anew] = 0.0, False, False
        return []

    def renew(self, failure: Failure) -> Failure | None:
        """See `Host`."""
        raise AssertionError("nothing has failed")

    def close(self) -> None:
        """See `Host`."""
        self._games.close()
        vars(self._games).pop("ale", None)  # with which its threads end
