"""Atari games in ALE's own vector environment: many in this process, stepped by threads of its own.

It skips frames, pools, makes gray and reduces by itself, in a little more than half of the time that as many
`Guest`s take (docs/any-env.md). Its pictures are theirs to within a few gray levels, not to the last bit: ALE pools
after it has made them gray.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.hosts import Failure, Results
from envs.screen import Screen
from envs.worker import RESET, REST

VECTOR = "ale_py.vector_env:AtariVectorEnv"
COMMON = {"repeat_action_probability", "full_action_space", "frameskip", "max_num_frames_per_episode"}
MOST = 2**31 - 1  # seeds


def wishes(env_id: str, settings: Mapping[str, Any], screen: Screen) -> dict[str, Any] | None:
    """Say what to ask ALE's vector environment for; None if this is none of ALE's, or more than that can do.

    Args:
        env_id: as for `gymnasium.make`.
        settings: for the environment itself.
        screen: what lies between.
    """
    spec = gym.registry.get(env_id)
    if spec is None or spec.vector_entry_point != VECTOR:
        return None
    asked = {**spec.kwargs, **settings}
    usual = Screen(frame_skip=screen.frame_skip, pool=screen.pool, clip_rewards=screen.clip_rewards, size=screen.size)
    twice = screen.frame_skip > 1 and "frameskip" in settings
    if screen != usual or twice or not asked.keys() <= COMMON | {"game"} or not isinstance(asked["frameskip"], int):
        return None
    if screen.frame_skip > 1:
        asked["frameskip"] = screen.frame_skip
    return {**asked, "maxpool": screen.pool}


class Atari:
    """A `Host` of games that never fail. Who is to rest is stepped, too, which changes nothing that anyone sees.

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
        """See `Host`; only all at once."""
        wanted = np.array(orders)
        numbers = np.array([-1 if seed is None else seed % MOST for seed in seeds])
        anew = (wanted == RESET) & (~self._over | (numbers >= 0))
        if not anew.all():
            out[:], results.rewards[:], results.terminated[:], results.truncated[:], _ = self._games.step(
                np.maximum(wanted, 0)
            )
            self._over = results.terminated | results.truncated
        if anew.any():
            out[anew] = self._games.reset(seed=numbers[anew], options={"reset_mask": anew})[0][anew]
            self._over[anew] = False
        idle = anew | (wanted == REST)
        results.rewards[idle], results.terminated[idle], results.truncated[idle] = 0.0, False, False
        return []

    def renew(self, failure: Failure) -> Failure | None:
        """See `Host`."""
        raise AssertionError("nothing has failed")

    def close(self) -> None:
        """See `Host`."""
        self._games.close()
